/**
 * The folder of a store, before anything in it is opened.
 *
 * Owns: making the folder, judging what is in it, and the names of the files. Does not own: the lock (lock.ts), the
 * inside of data.mdb (data-file.ts, lmdb.ts) and of the redo files (redo.ts).
 *
 *      data.mdb     the rows                       lock.mdb   LMDB's own, never opened by us (closing it would drop
 *      redo.0/1     writes not yet in data.mdb                LMDB's lock on it); owner.json   see lock.ts
 *
 * A folder is a store when it has data.mdb, which appears whole, with its format number inside, by a rename. An empty
 * data.mdb is therefore damage and never mistaken for a new store.
 */
import { constants, existsSync } from 'node:fs';
import { access, mkdir, open, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { StoreFormatError, StoreMissingError, StoreUnreadableError } from './errors.js';
import { OWNER_FILE } from './lock.js';

export const DATA_FILE = 'data.mdb';
export const LMDB_LOCK_FILE = 'lock.mdb';
export const REDO_FILES = ['redo.0', 'redo.1'] as const;

/** In whole pages; LMDB makes it 8,272 bytes long. A longer one has places for more readers. */
const LOCK_FILE_BYTES = 12 * 1024;
/** More than a new store takes on the disk, and than its lock file. */
const NEW_STORE_BYTES = 64 * 1024;

const OURS: ReadonlySet<string> = new Set([DATA_FILE, LMDB_LOCK_FILE, OWNER_FILE, ...REDO_FILES]);
/** What file systems and desktops put into a folder by themselves does not make it foreign. */
const IGNORED = /^\.|^lost\+found$|^System Volume Information$/;

/**
 * The real path of the folder, which is created, parents too, unless `create` is false.
 * Throws StoreMissingError or StoreUnreadableError.
 */
export async function prepareFolder(given: string, create: boolean): Promise<string> {
  const folder = path.resolve(given);
  try {
    const made = create ? await mkdir(folder, { recursive: true }) : undefined;
    // Each folder that was made is a name in the one above it.
    for (let at = folder; made !== undefined && at.length >= made.length; at = path.dirname(at))
      await syncFolder(path.dirname(at));
    if (!(await stat(folder)).isDirectory())
      throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return await realpath(folder);
  } catch (error) {
    throw explain(folder, error as NodeJS.ErrnoException);
  }
}

function explain(folder: string, error: NodeJS.ErrnoException): Error {
  const unreadable = (what: string, advice: string) =>
    new StoreUnreadableError(folder, what, advice, { cause: error });
  switch (error.code) {
    case 'ENOENT':
      return new StoreMissingError(folder);
    case 'EEXIST':
    case 'ENOTDIR':
      return unreadable('it, or a part of its path, is a file', 'A store is a folder: choose another path.');
    case 'EACCES':
    case 'EPERM':
      return unreadable('permission is denied', 'Let the user of this process read and write the folder.');
    case 'EROFS':
      return unreadable(
        'its file system is read-only',
        'Choose a path on a file system that can be written.',
      );
    default:
      return unreadable(error.message, 'Choose another path, or mend what the system reports.');
  }
}

/** Whether the folder holds a store. Throws StoreFormatError when it holds something else. */
export async function holdsStore(folder: string, format: number): Promise<boolean> {
  const names = (await readdir(folder)).filter((name) => !IGNORED.test(name));
  if (names.includes(DATA_FILE)) return true;
  const foreign = names.find((name) => !OURS.has(name));
  if (foreign !== undefined)
    throw new StoreFormatError(folder, undefined, format, `it has a file named ${foreign}`);
  return false;
}

/** Throws the system's error where a new store would not fit: LMDB would not survive a disk that becomes full meanwhile. */
export async function checkRoom(folder: string): Promise<void> {
  const file = path.join(folder, 'room');
  await writeFile(file, Buffer.alloc(NEW_STORE_BYTES));
  await rm(file);
}

/** LMDB's lock file, with room on the disk for what LMDB will put into it. Does nothing where there is one. */
export async function makeLockFile(folder: string): Promise<void> {
  const file = path.join(folder, LMDB_LOCK_FILE);
  if (existsSync(file)) return;
  try {
    await writeFile(file, Buffer.alloc(LOCK_FILE_BYTES), { flag: 'wx' });
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

/** A new name in a folder survives loss of power only when the folder itself was synced. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder for that, and keeps its own journal of names.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
