/**
 * One writer per folder: the lock that a runtime holds while it has a store open.
 *
 * Owns: the lock, and owner.json, which says who holds it. Does not own: what is in the folder (folder.ts).
 *
 * The lock must be won by exactly one of two that race for it, and be gone the instant its holder is, also after
 * kill -9. Node has no file locks, but the kernel gives names out one at a time and takes them back with the process:
 *
 *      Linux     an abstract unix socket    \0signalbox-<device>-<inode>
 *      Windows   a named pipe               \\.\pipe\signalbox-<device>-<inode>
 *      others    a unix socket in the folder for temporary files; one left behind is known by nobody answering
 *
 * The name is made of the folder's identity, not of its path, so another spelling or a symlink meets the same lock.
 *
 * Three things can hide a holder from that name, and none may be taken for granted:
 *   - a process in another network namespace (a container that mounts the same volume) has other abstract names.
 *     owner.json then tells: if it was written since this machine started, by a process of our pid namespace that is
 *     still the same process (its start time is compared, a reused pid does not count) and still has the data file
 *     open, the folder is taken. Whatever cannot be verified is not held against us: owner.json left by a crash, by
 *     an earlier boot or from another container never refuses anybody.
 *   - a process in another pid namespace cannot be looked up. lmdb.ts therefore also asks LMDB's own table of readers,
 *     whose fcntl lock the kernel keeps per file, and refuses when anybody else is in it.
 *   - a process on another machine, over a network file system, is not seen at all. Do not do that.
 */
import {
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { StoreLockedError, StoreUnreadableError } from './errors.js';

/** For people and for the check above; the lock itself is the kernel's. */
export const OWNER_FILE = 'owner.json';

interface Owner {
  pid: number;
  /** When that process started, for people. */
  startedAt: string;
  /** Linux: this boot of the machine, the pid namespace, and the process's start time in clock ticks since boot. */
  boot?: string | undefined;
  pidNamespace?: string | undefined;
  startTicks?: string | undefined;
}

export interface FolderLock {
  /** Writes owner.json. Called once the folder is known to be ours, so that a foreign folder is left as it was. */
  announce(): void;
  /** Removes owner.json and lets the folder go. Safe to call twice. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a folder, which must exist.
 * Throws StoreLockedError when somebody has it, StoreUnreadableError when the system gives out no names.
 */
export async function lockFolder(folder: string, dataFile: string): Promise<FolderLock> {
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = await listenAlone(lockAddress(`signalbox-${dev}-${ino}`), folder);
  if (server === undefined) throw new StoreLockedError(folder, readOwner(folder)?.pid);
  const owner = readOwner(folder);
  if (owner !== undefined && stillHasItOpen(owner, path.join(folder, dataFile))) {
    await closeServer(server);
    throw new StoreLockedError(folder, owner.pid);
  }
  return heldLock(folder, server);
}

function heldLock(folder: string, server: Server): FolderLock {
  let released: Promise<void> | undefined;
  let announced = false;
  return {
    announce() {
      announced = true;
      // A full disk must not keep a store from being opened, which is how room is made: the lock holds without a note.
      attempt(() => writeFileSync(path.join(folder, OWNER_FILE), `${JSON.stringify(ourselves())}\n`));
    },
    release() {
      // owner.json goes first: once the name is free, the next holder may already be writing its own.
      if (released === undefined && announced)
        attempt(() => rmSync(path.join(folder, OWNER_FILE), { force: true }));
      released ??= closeServer(server);
      return released;
    },
  };
}

/** Where the kernel keeps the name. Exported for the tests of the form that other systems use. */
export function lockAddress(name: string, platform: NodeJS.Platform = process.platform): string {
  if (platform === 'linux') return `\0${name}`;
  if (platform === 'win32') return `\\\\.\\pipe\\${name}`;
  return path.join(os.tmpdir(), `${name}.sock`);
}

/**
 * Listens on an address that nobody else listens on; undefined when somebody does. A socket file that nobody answers
 * is removed. (Two processes that find the same dead file at the same instant could both win here; LMDB's table of
 * readers then tells them apart. Linux and Windows have no such files.)
 */
export async function listenAlone(address: string, folder: string): Promise<Server | undefined> {
  const isFile = !address.startsWith('\0') && !address.startsWith('\\\\');
  for (let round = 0; round < 2; round += 1) {
    const result = await listen(address);
    if (typeof result !== 'string') return result;
    if (result !== 'EADDRINUSE') {
      const advice =
        'Allow this process to make unix sockets (named pipes on Windows), which lock the folder.';
      throw new StoreUnreadableError(folder, `its lock cannot be taken (${result})`, advice);
    }
    if (!isFile || (await somebodyAnswers(address))) return undefined;
    rmSync(address, { force: true });
  }
  return undefined;
}

/** The server, or the code of the error. */
function listen(address: string): Promise<Server | string> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    // Without `exclusive`, workers of node:cluster would share the name among them and all believe they hold it.
    server.listen({ path: address, exclusive: true }, () => resolve(server));
    server.unref();
  });
}

function somebodyAnswers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function ourselves(): Owner {
  return {
    pid: process.pid,
    startedAt: new Date(performance.timeOrigin).toISOString(),
    boot: bootId(),
    pidNamespace: pidNamespace(),
    startTicks: startTicks(process.pid),
  };
}

function readOwner(folder: string): Owner | undefined {
  const text = attempt(() => readFileSync(path.join(folder, OWNER_FILE), 'utf8'));
  const owner: unknown = attempt(() => JSON.parse(text ?? 'null'));
  const hasPid =
    typeof owner === 'object' && owner !== null && 'pid' in owner && Number.isSafeInteger(owner.pid);
  return hasPid ? (owner as Owner) : undefined;
}

/** Whether the owner is provably a living process other than this one that has the data file open. */
function stillHasItOpen(owner: Owner, dataFile: string): boolean {
  if (owner.pid === process.pid || owner.boot === undefined || owner.startTicks === undefined) return false;
  if (owner.boot !== bootId() || owner.pidNamespace !== pidNamespace()) return false;
  if (owner.startTicks !== startTicks(owner.pid)) return false;
  const data = attempt(() => statSync(dataFile));
  const fds = attempt(() => readdirSync(`/proc/${owner.pid}/fd`));
  // Another user's process does not show its files; it is alive and wrote owner.json, which is as good as we can know.
  if (data === undefined || fds === undefined) return data !== undefined;
  return fds.some((fd) =>
    isSameFile(
      attempt(() => statSync(`/proc/${owner.pid}/fd/${fd}`)),
      data,
    ),
  );
}

function isSameFile(a: Stats | undefined, b: Stats): boolean {
  return a !== undefined && a.dev === b.dev && a.ino === b.ino;
}

function bootId(): string | undefined {
  return attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
}

function pidNamespace(): string | undefined {
  return attempt(() => readlinkSync('/proc/self/ns/pid'));
}

/** Field 22 of /proc/<pid>/stat. The name in field 2 may hold spaces and brackets, so counting starts after it. */
function startTicks(pid: number): string | undefined {
  const text = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

/** The result, or undefined where the file is absent or may not be touched: for reads that means "cannot tell". */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
