/**
 * The store on disk. The only file that imports lmdb.
 *
 * Owns: opening a folder as a store, the queue of writes, and everything that has to be known about lmdb-js.
 * Does not own: the folder's shape (folder.ts), its lock (lock.ts), the header check (data-file.ts), what is acknowledged before
 * the data file has it (durability.ts, write-behind.ts).
 *
 *      write() -> queue -> [ group: all that is queued ] -> room? -> one LMDB transaction -> fdatasync -> resolve
 *                   ^                                                      |
 *                   +---- gathers while the group before is under way -----+  one transaction at a time
 *
 * Invariants:
 *   D1  LMDB runs without overlapping syncs: pages are written, fdatasync returns, then the header page is written
 *       through a file opened with O_DSYNC, and only then is the transaction visible and its promise resolved. So
 *       get() never shows what power loss could take back, and a transaction that fails was never visible.
 *       test/runtime/store/lmdb-durability.test.ts reads this order off strace.
 *   D8  `mapBytesMax` bounds what rows and index take. lmdb-js grows LMDB's map by itself and never reports it full,
 *       so the bound is kept here.
 *
 * Choices, with what was measured (one 20 KiB put, awaited, ext4 on a virtual disk, median of 1,100 taken in turns; the
 * disk wanders by 10 % from run to run, the order does not):
 *   floor: append of the same bytes and fdatasync        345 us     overwrite in place and fdatasync      195 us
 *   async put, no overlapping sync, file grown ahead     400 us     (chosen; the event loop is busy for 125 us of it)
 *   the same without growing the file ahead              555 us     fdatasync must also journal the new length
 *   overlapping sync (the default of lmdb-js)            590 us     same two flushes, but visible before durable
 *   transactionSync                                      515 us     all of it with the event loop blocked
 *   useWritemap 560, pageSize 8192 590, 16384 575, noMemInit 565 us: no gain, so the safe or default value stays
 *   noMetaSync 412 us: one flush less, but the header may be lost, which breaks D1; noSync 52 us: see write-behind.ts
 * Under load one flush serves a whole group: 2,000-2,400 writes/s one by one, 20,000-27,000 with 32 callers.
 *
 * Known about lmdb-js 3.5.6, and why the code is as it is:
 *   - A failed commit rejects one promise of ours, and error.commitError later; unless both are handled the process
 *     dies of an unhandled rejection. Puts outside batch() reject one more, which nobody can reach: hence batch() only.
 *   - After LMDB's own "fatal error" flag the next transaction would leave a lock held and never settle. The flag shows
 *     in reads, so after every failure a read is tried, and if that fails the store takes no more writes.
 *   - Starting one transaction after another, as its queue does, parks a libuv thread on each: hence one at a time.
 *   - It checks the free pages that it keeps in memory as a whole at every commit, so their number is kept small (FREE_PAGES).
 *   - It may lose its way in its list of free pages, and gives up a transaction with which nothing is wrong: begin-again.ts.
 *   - A path with a dot in its last part is taken for a file: hence noSubdir.
 *   - Its notices about failed commits go to stderr, from C and by console.error, and cannot be turned off.
 *   - It puts its message about a page that could not be written into 100 bytes, which may be too few; then the process may be
 *     aborted (seen with injected faults and full disks). Nothing acknowledged is lost by it. So LMDB is not let into a full disk as long
 *     as that can be avoided: file-room.ts.
 *   - It makes its lock file as a hole and maps it, so that a full disk would kill the process (SIGBUS): hence makeLockFile().
 */
import { existsSync } from 'node:fs';
import { mkdtemp, open as openFile, readdir, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { beginAgain } from './begin-again.js';
import { checkDataFile } from './data-file.js';
import { GENERATION_KEY, withDurability } from './durability.js';
import {
  StoreClosedError,
  StoreError,
  StoreFailedError,
  StoreFormatError,
  StoreFullError,
  StoreLockedError,
  StoreMissingError,
  StoreUnreadableError,
} from './errors.js';
import { EXTENT_BYTES, FileRoom, type Room } from './file-room.js';
import {
  checkRoom,
  DATA_FILE,
  holdsStore,
  LMDB_LOCK_FILE,
  makeLockFile,
  prepareFolder,
  syncFolder,
} from './folder.js';
import { type LmdbStats, pagesFor, usedPages } from './lmdb-pages.js';
import { type FolderLock, lockFolder } from './lock.js';
import { isInputOutput, isNoSpace } from './no-space.js';
import { NO_VALUE, type Page, type PageRequest, pagedRange, takePage } from './pages.js';
import {
  boundFor,
  checkBounds,
  checkOps,
  type Durability,
  isReserved,
  isStorable,
  type RangeOptions,
  RESERVED_PREFIX,
  type Row,
  type Store,
  type StoreStats,
  type WriteOp,
} from './store.js';
import type { Backing } from './write-behind.js';

export interface LmdbStoreOptions {
  /** Folder of the store. Created, parents too, when absent. */
  path: string;
  /** What a resolved write has reached; see store.ts. Can differ from one opening to the next. */
  durability: Durability;
  /** Format number that a new store is given, and the newest that is accepted in an existing one. */
  format: number;
  /** Oldest format number that is accepted. Default 1. */
  formatMin?: number;
  /**
   * Bytes that rows and index may take. Default no bound but the disk's. A write that removes rows may go an eighth
   * above it, so that a full store can be made smaller. The file itself can be longer, by what is free for reuse.
   */
  mapBytesMax?: number;
  /** False refuses to make a new store, with StoreMissingError. Default true. */
  create?: boolean;
}

/**
 * Opens the store in a folder, or makes one.
 * Rejects with StoreLockedError, StoreFormatError, StoreUnreadableError or StoreMissingError, and then nothing that
 * was there has changed; with StoreFullError when there is no room to make a store, or none to take over redo files (with durability 'memory' and mapBytesMax).
 * A store of an older format, down to formatMin, is opened as it is, and has the newest number from then on: what is written into
 * it may be what those who know only the older one misread. To bring what is in it up to date is the caller's business.
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<Store> {
  const folder = await prepareFolder(options.path, options.create ?? true);
  const lock = await lockFolder(folder, DATA_FILE);
  try {
    if (!(await holdsStore(folder, options.format))) {
      if (options.create === false) throw new StoreMissingError(folder);
      await createStore(folder, options.format);
    }
    const store = await openStore(folder, lock, options);
    lock.announce();
    return await withDurability(folder, store, options);
  } catch (error) {
    await lock.release();
    throw isNoSpace(error)
      ? new StoreFullError(folder, 'the disk is full', { cause: error })
      : unreadable(folder, error);
  }
}

type Database = RootDatabase<Uint8Array, Uint8Array>;

const FORMAT_KEY = Buffer.concat([RESERVED_PREFIX, Buffer.from('format')]);
/**
 * Address space set aside at once, so that the map is seldom moved while the store grows. Costs no memory. A map that is moved
 * leaves the old one behind, and the pages in both count twice in the resident set.
 */
const MAP_BYTES =
  process.platform === 'win32' || /^(arm|ia32|mips|mipsel|ppc)$/.test(process.arch) ? undefined : 2 ** 34;

/**
 * How many entries of LMDB's list of free pages are read into memory at most before the file is made longer, and how many
 * stay there from one transaction to the next. Options of lmdb-js that its documentation does not have.
 * Rows that are rewritten here and there leave many single free pages. By default (50,000 and 75,000) all of them are kept
 * and checked at each commit: 300,000 rows, 20 of them rewritten in a transaction beside a journal of 200 values, took 0.35 ms
 * a transaction (not flushed) at first and 5 ms after 10,000 of them, and the file had grown by half. With these it stays at 0.2 ms. With
 * 300 and 200 it took as long, but a transaction of some hundred rows might find too few pages when it ends and be given up (begin-again.ts).
 * The second must be the smaller one: a list between the two is neither added to nor read anew, and
 * the file grows for as long as it lives (1,000 and 1,500 made it five times as long in 70,000 transactions).
 */
const FREE_PAGES = { maxFreeSpaceToLoad: 10_000, maxFreeSpaceToRetain: 8_000 };

function openDatabase(folder: string): Database {
  return open<Uint8Array, Uint8Array>({
    path: folder,
    noSubdir: false,
    keyEncoding: 'binary',
    encoding: 'binary',
    maxDbs: 1,
    overlappingSync: false,
    // What is to be one transaction says so with batch(); the grouping by event turn would only delay it.
    eventTurnBatching: false,
    ...FREE_PAGES,
    ...(MAP_BYTES === undefined ? {} : { mapSize: MAP_BYTES }),
  });
}

/** The data file is made aside and moved into place, so that there never is one without its format number. */
async function createStore(folder: string, format: number): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith('.new-')) await rm(path.join(folder, name), { recursive: true });
  }
  const aside = await mkdtemp(path.join(folder, '.new-'));
  try {
    await checkRoom(aside);
    await makeLockFile(aside);
    const database = openDatabase(aside);
    try {
      await putFormat(database, formatValue(format));
    } finally {
      await database.close();
    }
    await rename(path.join(aside, DATA_FILE), path.join(folder, DATA_FILE));
  } finally {
    await rm(aside, { recursive: true });
  }
  await syncFolder(folder);
}

function formatValue(format: number): Uint8Array {
  return Buffer.from(JSON.stringify({ store: 'signalbox', format }));
}

async function putFormat(database: Database, value: Uint8Array): Promise<void> {
  try {
    await database.batch(() => database.put(FORMAT_KEY, value));
  } catch (error) {
    throw await reasonOf(error);
  }
}

async function openStore(folder: string, lock: FolderLock, options: LmdbStoreOptions): Promise<LmdbStore> {
  await checkDataFile(folder, path.join(folder, DATA_FILE));
  const hadLockFile = existsSync(path.join(folder, LMDB_LOCK_FILE));
  let database: Database | undefined;
  let room: FileRoom | undefined;
  try {
    await makeLockFile(folder);
    database = openDatabase(folder);
    checkAlone(folder, database);
    const format = checkFormat(folder, database, options);
    room = new FileRoom(folder, await openFile(path.join(folder, DATA_FILE), 'r+'));
    if (format < options.format) {
      const value = formatValue(options.format);
      await room.make([{ kind: 'put', key: FORMAT_KEY, value }], statsOf(database));
      await putFormat(database, value);
    }
    return new LmdbStore({ folder, database, room, lock, bytesMax: options.mapBytesMax ?? Infinity });
  } catch (error) {
    await room?.close();
    await database?.close();
    if (!hadLockFile) await rm(path.join(folder, LMDB_LOCK_FILE), { force: true });
    throw error;
  }
}

/** LMDB's table of readers, which every process that has the file open shares, must be empty before our first read and ours after. */
function checkAlone(folder: string, database: Database): void {
  const readers = () => database.readerList().match(/^\s*\d+ /gm)?.length ?? 0;
  const before = readers();
  database.get(FORMAT_KEY);
  if (before > 0 || readers() > 1) throw new StoreLockedError(folder);
}

function statsOf(database: Database): LmdbStats {
  const stats = database.getStats() as LmdbStats;
  // The statistics opened a read transaction, and LMDB reuses no page that a reader could still see.
  database.resetReadTxn();
  return stats;
}

/** Returns the format that the store has. */
function checkFormat(
  folder: string,
  database: Database,
  { format: known, formatMin = 1 }: LmdbStoreOptions,
): number {
  const value = database.get(FORMAT_KEY);
  if (value === undefined)
    throw new StoreFormatError(folder, undefined, known, 'its data.mdb is of another program');
  const { format } = JSON.parse(Buffer.from(value).toString()) as { format: number };
  if (format > known || format < formatMin) throw new StoreFormatError(folder, format, known);
  return format;
}

/** Errors of LMDB while opening or reading become ours; ours stay as they are. */
function unreadable(folder: string, error: unknown): Error {
  if (error instanceof StoreError) return error;
  const advice = 'Check the disk; if it is sound, restore the folder from a backup.';
  return new StoreUnreadableError(folder, `the system says: ${(error as Error).message}`, advice, {
    cause: error,
  });
}

// ---------------------------------------------------------------------------------------------------------------

interface Queued {
  ops: readonly WriteOp[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

type State = { kind: 'open' } | { kind: 'failed'; error: StoreFailedError };

/** Bytes of one transaction at most, so that a long queue reaches the disk in steps that are each soon over. */
const GROUP_BYTES_MAX = 16 * 1024 * 1024;

class LmdbStore implements Backing {
  readonly #folder: string;
  readonly #database: Database;
  readonly #room: FileRoom;
  readonly #lock: FolderLock;
  readonly #bytesMax: number;
  #queue: Queued[] = [];
  #committing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #state: State = { kind: 'open' };

  constructor(parts: {
    folder: string;
    database: Database;
    room: FileRoom;
    lock: FolderLock;
    bytesMax: number;
  }) {
    this.#folder = parts.folder;
    this.#database = parts.database;
    this.#room = parts.room;
    this.#lock = parts.lock;
    this.#bytesMax = parts.bytesMax;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return isStorable(key) ? this.#read(key) : this.#checkOpen();
  }

  range(from: Uint8Array, to: Uint8Array, options?: RangeOptions): Iterable<Row> {
    this.#checkOpen();
    checkBounds(from, to);
    return pagedRange((request) => this.readPage(request), from, to, options);
  }

  readPage(request: PageRequest): Page {
    this.#checkOpen();
    try {
      return takePage(this.#rows(request), request, (value) => value.length);
    } catch (error) {
      throw unreadable(this.#folder, error);
    }
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    try {
      this.#checkOpen();
      checkOps(ops);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.commit(ops);
  }

  commit(ops: readonly WriteOp[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw new StoreClosedError(this.#folder);
      this.#queue.push({ ops, resolve, reject });
      this.#committing ??= this.#commitQueue();
    });
  }

  stats(): StoreStats {
    this.#checkOpen();
    const stats = statsOf(this.#database);
    return {
      entries: stats.entryCount - this.#reservedRows(),
      usedBytes: usedPages(stats) * stats.pageSize,
      fileBytes: (stats.lastPageNumber + 1) * stats.pageSize,
      mapBytes: stats.mapSize,
    };
  }

  /** The generation of the redo files that the data file took over last; 0 when there was none. */
  generation(): number {
    return Number(Buffer.from(this.#read(GENERATION_KEY) ?? []).toString());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#committing;
    await this.#database.close();
    await this.#room.close();
    await this.#lock.release();
  }

  #checkOpen(): undefined {
    if (this.#closing !== undefined) throw new StoreClosedError(this.#folder);
  }

  /** lmdb-js reads into one shared buffer and hands out a copy of it, so the bytes are the caller's. */
  #read(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    try {
      return this.#database.get(key);
    } catch (error) {
      throw unreadable(this.#folder, error);
    }
  }

  *#rows({ from, fromExcluded, to, reverse, keysOnly }: PageRequest): Generator<Row, void, undefined> {
    // LMDB has no empty key; one zero byte is the least there is.
    const first = from.length === 0 ? Buffer.from([0]) : from;
    const span = reverse
      ? { start: to, exclusiveStart: true, end: first, inclusiveEnd: !fromExcluded, reverse: true }
      : { start: first, exclusiveStart: fromExcluded, end: to };
    if (keysOnly) {
      for (const key of this.#database.getKeys(span)) if (!isReserved(key)) yield [key, NO_VALUE];
      return;
    }
    for (const { key, value } of this.#database.getRange(span)) {
      if (!isReserved(key)) yield [key, value];
    }
  }

  #reservedRows(): number {
    return this.#read(GENERATION_KEY) === undefined ? 1 : 2;
  }

  // -- writing ----------------------------------------------------------------------------------------------------

  /** Commits group after group until the queue is empty. Never rejects. */
  async #commitQueue(): Promise<void> {
    // Writes that are made in one go belong together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      const error = await this.#commitGroup(group);
      if (error instanceof StoreFullError && group.length > 1) await this.#commitEach(group);
      else settle(group, error);
    }
    this.#committing = undefined;
  }

  #takeGroup(): Queued[] {
    let bytes = 0;
    const isWithin = ({ ops }: Queued, index: number) => {
      bytes += ops.reduce((sum, op) => sum + op.key.length + (op.kind === 'put' ? op.value.length : 0), 0);
      return index === 0 || bytes <= GROUP_BYTES_MAX;
    };
    const cut = this.#queue.findIndex((queued, index) => !isWithin(queued, index));
    return this.#queue.splice(0, cut === -1 ? this.#queue.length : cut);
  }

  /** What did not fit together may fit in part: each write is tried by itself, in order. */
  async #commitEach(group: Queued[]): Promise<void> {
    for (const queued of group) settle([queued], await this.#commitGroup([queued]));
  }

  /** One transaction. Returns what went wrong, if anything; then none of it is stored. */
  async #commitGroup(group: Queued[]): Promise<StoreFullError | StoreFailedError | undefined> {
    if (this.#state.kind === 'failed') return this.#state.error;
    const ops = group.flatMap((queued) => queued.ops);
    if (ops.length === 0) return undefined;
    let room: Room = 'ample';
    try {
      room = await this.#makeRoom(group, ops);
      // What the transaction before freed can be used from the one after this on.
      if (room === 'tight') await this.#smallBatch();
      await beginAgain({ transaction: () => this.#batch(ops), small: () => this.#smallBatch(), reasonOf });
      return undefined;
    } catch (error) {
      return this.#explain(error, await reasonOf(error), room);
    }
  }

  /** A transaction that changes nothing that anybody sees. */
  #smallBatch(): Promise<unknown> {
    const value = this.#database.get(FORMAT_KEY)!;
    this.#database.resetReadTxn();
    return this.#batch([{ kind: 'put', key: FORMAT_KEY, value }]);
  }

  #batch(ops: readonly WriteOp[]): Promise<unknown> {
    return this.#database.batch(() => {
      for (const op of ops) {
        if (op.kind === 'put') this.#database.put(op.key, op.value);
        else this.#database.remove(op.key);
      }
    });
  }

  /** Refuses what is over the bound, and what there is no room for in the file. */
  async #makeRoom(group: Queued[], ops: readonly WriteOp[]): Promise<Room> {
    const stats = statsOf(this.#database);
    if (this.#bytesMax !== Infinity) this.#checkBound(group, stats);
    return this.#room.make(ops, stats);
  }

  /** Each write is held against its own bound, so that one which only adds cannot ride on one that removes. */
  #checkBound(group: Queued[], stats: LmdbStats): void {
    let used = usedPages(stats) * stats.pageSize;
    for (const { ops } of group) {
      const added = pagesFor(ops, stats).values * stats.pageSize;
      if (added > 0 && used + added > boundFor(ops, this.#bytesMax)) {
        const bound = `${this.#bytesMax} (mapBytesMax)`;
        throw new StoreFullError(this.#folder, `it takes ${used} bytes of at most ${bound}`);
      }
      used += added;
    }
  }

  /** Full disk or broken disk: the first can be tried again, the second ends writing. */
  async #explain(error: unknown, reason: Error, room: Room): Promise<StoreFullError | StoreFailedError> {
    if (error instanceof StoreFullError) return error;
    if ((await this.#isFull(reason, room)) && this.#isSound()) {
      return new StoreFullError(this.#folder, 'the disk became full in the middle of it', { cause: reason });
    }
    const failed = new StoreFailedError(this.#folder, `LMDB says: ${reason.message}`, { cause: reason });
    this.#state = { kind: 'failed', error: failed };
    return failed;
  }

  /** LMDB calls a write that was cut short an input/output error, also when a full disk was what cut it. */
  async #isFull(reason: Error, room: Room): Promise<boolean> {
    if (!isInputOutput(reason)) return isNoSpace(reason);
    if (room === 'tight') return true;
    const disk = await statfs(this.#folder).catch(() => undefined);
    return disk !== undefined && disk.bavail * disk.bsize < EXTENT_BYTES;
  }

  /** LMDB's flag that it cannot go on shows in reads. */
  #isSound(): boolean {
    try {
      this.#database.resetReadTxn();
      return this.#database.get(FORMAT_KEY) !== undefined;
    } catch {
      return false;
    }
  }
}

function settle(group: Queued[], error: unknown): void {
  for (const { resolve, reject } of group) {
    if (error === undefined) resolve();
    else reject(error);
  }
}

/** The error behind lmdb-js's "Commit failed". Waiting for it here is also what keeps it from being unhandled. */
async function reasonOf(error: unknown): Promise<Error> {
  const behind = (error as { commitError?: Promise<never> }).commitError;
  if (behind === undefined) return error as Error;
  return behind.catch((reason: Error) => reason);
}
