/**
 * The store port: ordered keys, whole batches, one writer. Everything durable in Signalbox goes through these five
 * methods, and no caller knows which form of them it holds.
 *
 *      write(ops) ---> [ all earlier writes ] ---> applied as one ---> as durable as promised ---> promise resolves
 *                                                        |
 *      get, range <--------------------------------------+   never half a write
 *
 * Owns: the types, the limits on keys, and the check of a write that every form makes first.
 * Does not own: keys and values (codec/), grouping of turns (the committer), the forms: lmdb.ts, memory.ts and
 * faulty.ts. test/contract/store.test.ts holds every form to the sentences below.
 *
 * Invariants:
 *   D1  a write resolves only when it is as durable as the store promises, and a rejected write leaves nothing behind.
 *   D8  a write that does not fit is refused with StoreFullError; memory does not grow with the size of the store.
 *       The store does not bound what callers hand over without awaiting it: the committer does.
 */

export type WriteOp =
  | { kind: 'put'; key: Uint8Array; value: Uint8Array }
  | { kind: 'remove'; key: Uint8Array };

/**
 * What a resolved write has reached.
 *   flush   the disk said that it has it (fdatasync returned). Survives loss of power.
 *   commit  the operating system has it. Survives kill -9; loss of power may cost the newest writes, oldest kept first.
 *   memory  this process has it and is writing it behind. Survives nothing but close().
 */
export type Durability = 'flush' | 'commit' | 'memory';

export type Row = readonly [key: Uint8Array, value: Uint8Array];

export interface RangeOptions {
  /** Rows to read at most. */
  limit?: number;
  /** Descending instead of ascending key order; the bounds keep their meaning. */
  reverse?: boolean;
  /** Leaves every value empty, so that none is read: for rows that may be large and of which only the keys are wanted. */
  keysOnly?: boolean;
}

export interface StoreStats {
  /** Rows stored. */
  entries: number;
  /** Bytes that rows and their index take now; what a limit on size is compared with. */
  usedBytes: number;
  /** Bytes of the data file that are used or free for reuse; it does not shrink. 0 when there is no file. */
  fileBytes: number;
  /** Bytes of address space set aside for the data file. 0 when there is no file. */
  mapBytes: number;
}

export interface Store {
  /**
   * The value of a key, undefined when it has none. Synchronous; sees every write whose promise has resolved, and
   * may see one that is about to. The bytes stay as they are whatever is written later; the caller does not change
   * them. Throws StoreClosedError, or StoreUnreadableError when the data file turns out to be damaged.
   */
  get(key: Uint8Array): Uint8Array | undefined;

  /**
   * Rows in ascending byte order, `from` inclusive, `to` exclusive. Read lazily in pages: a page is one consistent
   * moment, and rows written or removed while the consumer pauses between pages are seen or not, but no row that
   * was there all along is missed or repeated. An empty `from` is the very beginning. No read transaction stays open
   * between pages, because an old reader keeps LMDB from reusing space and the file would grow.
   * Throws RangeError for a bound longer than KEY_BYTES_MAX, else as get() does.
   */
  range(from: Uint8Array, to: Uint8Array, options?: RangeOptions): Iterable<Row>;

  /**
   * All or nothing. Writes take effect in call order, but one of 64 KiB and more may be overtaken by those that are called before
   * it has resolved, and overtake those that were called before it and have not: after a crash the one may be there without the other. Of a row the last call wins all the same. A rejected one does not
   * hold up those after it. Within one write a later operation on a key wins over an earlier one. The caller leaves the bytes alone until the promise settles. Writes that are under way together may reach the
   * disk together. An empty write resolves when those before it have settled, but for large ones.
   * Rejects with TypeError or RangeError (a key of no or too many bytes, or one the store keeps for itself), StoreFullError
   * (retryable), StoreFailedError or StoreClosedError; then get() and range() see nothing of it.
   */
  write(ops: readonly WriteOp[]): Promise<void>;

  /** For metrics. Costs microseconds, not a scan. Throws StoreClosedError. */
  stats(): StoreStats;

  /** Waits for writes under way, then lets the folder go. Safe to call twice; both calls resolve when it is done. */
  close(): Promise<void>;
}

/** Longest key in bytes: what fits twice on a 4 KiB page of LMDB, which keeps its tree at least binary. */
export const KEY_BYTES_MAX = 1978;

/** Keys that start with these bytes are the store's own: its format, its place in the redo files. */
export const RESERVED_PREFIX: Uint8Array = Buffer.from('\0signalbox.', 'latin1');

export function isReserved(key: Uint8Array): boolean {
  if (key.length < RESERVED_PREFIX.length || key[0] !== RESERVED_PREFIX[0]) return false;
  return RESERVED_PREFIX.every((byte, index) => key[index] === byte);
}

/** Whether a row can have this key. */
export function isStorable(key: Uint8Array): boolean {
  return key.length > 0 && key.length <= KEY_BYTES_MAX && !isReserved(key);
}

/** Every form checks a write as a whole before it touches anything, so that a bad key in the middle cannot split it. */
export function checkOps(ops: readonly WriteOp[]): void {
  for (const op of ops) {
    const { key } = op;
    if (!(key instanceof Uint8Array) || (op.kind === 'put' && !(op.value instanceof Uint8Array))) {
      throw new TypeError('Keys and values are Uint8Arrays.');
    }
    if (isStorable(key)) continue;
    throw new RangeError(
      isReserved(key)
        ? `The key ${Buffer.from(key).toString('hex')} is kept for the store itself. Choose another prefix.`
        : `A key has 1 to ${KEY_BYTES_MAX} bytes; this one has ${key.length}.`,
    );
  }
}

/**
 * The bound on size that holds for a write. One that removes rows is how room is made, and must not be refused for
 * what it puts in their place, so it may go an eighth above the bound of those that only add.
 */
export function boundFor(ops: readonly WriteOp[], bytesMax: number): number {
  return ops.some((op) => op.kind === 'remove') ? bytesMax * 1.125 : bytesMax;
}

/** Bounds may be empty, which no key is, but not longer than any key. */
export function checkBounds(from: Uint8Array, to: Uint8Array): void {
  const longest = Math.max(from.length, to.length);
  if (longest > KEY_BYTES_MAX) {
    throw new RangeError(`A range bound has at most ${KEY_BYTES_MAX} bytes; this one has ${longest}.`);
  }
}
