/**
 * Writing behind: a write is acknowledged once it is in memory (and before that in a redo file, for durability 'flush' on the
 * disk, for 'commit' with the operating system), and reaches the data file later, many writes at a time.
 *
 * Owns: the two layers of rows that the data file does not have yet, their bounds, and when they are written.
 * Does not own: the data file (lmdb.ts), the bytes of the redo files (redo.ts).
 *
 *      write() -> [redo file] -> front layer ... becomes the back layer -> one transaction -> gone from memory
 *           |                        |                |                        |
 *           +- 64 KiB and more ('flush') ----------------------> a transaction |
 *                                    |                |              |         |
 *      get, range  <-----------------+----------------+--------------+---------+     front over back over data file
 *
 * D1: a row is in the front layer, where reads see it, only when the redo file has it as promised. A layer becomes the back one
 * between two appends, never during one: what is on its way to a generation's file must be in that generation's layer.
 *
 * The data file is always written with the full 'flush' discipline, one transaction per layer, so it is whole at every
 * instant, whatever is lost. That is why all of this is made here and not with LMDB's own noSync: with
 * noSync a loss of power can leave a data file that no one can read, and LMDB has no checksums to tell.
 * A transaction of LMDB is two flushes and 0.25 to 0.3 ms; a flushed append to a redo file takes half of that. So with
 * 'flush' a layer waits until it is worth a transaction: the disk has it already. What is removed before, as most of the
 * journal is, never gets to the data file.
 * Measured as in lmdb.ts: 20 us for 'commit' (a copy, a checksum, a write to the page cache), 6 us for 'memory', against
 * 52 us for noSync, whose transaction makes a trip to another thread.
 *
 * D8: at most PENDING_BYTES_MAX and PENDING_ROWS_MAX wait; a write beyond that resolves only when there is room, and
 * when the disk is full new writes are refused at once, except those that remove rows, which is how room is made.
 * With redo files, what waits takes room on the disk twice until it is in the data file: once in each.
 */
import { StoreClosedError, StoreFailedError, StoreFullError } from './errors.js';
import { Layer, laidOver, opsOf, slicesOf, valueBytes } from './layer.js';
import { layeredPage } from './layered-page.js';
import { isNoSpace } from './no-space.js';
import { type Page, type PageRequest, pagedRange } from './pages.js';
import { type Frame, type LeftGeneration, packFrame, type RedoFiles } from './redo.js';
import {
  checkBounds,
  checkOps,
  type RangeOptions,
  type Row,
  type Store,
  type StoreStats,
  type WriteOp,
} from './store.js';

/** The store under it: writes are durable when they resolve. */
export interface Backing extends Store {
  readPage(request: PageRequest): Page;
  /** write() without the check, so that the generation can be noted under a reserved key. */
  commit(ops: readonly WriteOp[]): Promise<void>;
}

/** What may be lost, or must be done again at a restart, at most. One transaction of this size takes tens of ms. */
const PENDING_BYTES_MAX = 32 * 1024 * 1024;
const PENDING_ROWS_MAX = 32 * 1024;
/** With so much in it, or in its redo file, a layer is worth a transaction when redo files are flushed. More rows would keep the event loop for long. */
const LAYER_BYTES_LEAST = 1024 * 1024;
const LAYER_ROWS_LEAST = 512;
/**
 * From here on a write goes to the data file at once when redo files are flushed: to write so much twice costs more than the second
 * flush of a transaction, and whoever writes it should feel how long the disk takes.
 */
const DIRECT_BYTES_LEAST = 64 * 1024;
/**
 * After so much that went to the data file at once a layer is written there too, however small it is: its removals make the room that the
 * next large writes take, and without it the file grows instead, which costs every large write (signals of 50 KiB: a fifth).
 */
const DIRECT_BYTES_BEFORE_LAYER = 16 * 1024 * 1024;
/** After so long a full disk is tried again: sooner when something was removed, later the longer it stays full, because each time what waits is read. */
const RETRY_MS_LEAST = 100;
const RETRY_MS_MOST = 2_000;
/** What the data file takes for a layer beside its rows. */
const LAYER_ROOM_BYTES = 1024 * 1024;

export interface WriteBehindOptions {
  path: string;
  /** Where writes survive loss of power ('flush') or kill -9 ('commit'), or undefined ('memory'). */
  redo: RedoFiles | undefined;
  /** What the redo files have already and the data file does not, oldest first: two generations at most. */
  left?: readonly Pick<LeftGeneration, 'ops' | 'wholeBytes'>[];
  /** The operation that notes in the data file that it has a generation of the redo files. */
  noteGeneration: (generation: number) => WriteOp;
  /** Called when everything is in the data file, before that is closed. */
  removeRedo: () => void;
}

interface Waiting {
  frame: Frame;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** 'full' still takes writes that remove rows; 'failed' takes none; both still answer reads. */
type State =
  | { kind: 'open' }
  | { kind: 'full'; error: StoreFullError }
  | { kind: 'failed'; error: StoreFailedError };

export function writeBehind(backing: Backing, options: WriteBehindOptions): Store {
  return new WriteBehindStore(backing, options);
}

class WriteBehindStore implements Store {
  readonly #backing: Backing;
  readonly #options: WriteBehindOptions;
  #front = new Layer();
  #back: Layer | undefined;
  /** For room. */
  #waiting: Waiting[] = [];
  /** For the redo file, and of these what is being flushed. */
  #appending: Waiting[] = [];
  #flushingNow: Waiting[] = [];
  #appendingRows = 0;
  #appendingBytes = 0;
  #flushing: Promise<void> | undefined;
  /** To be done before the next append. */
  #beforeAppend: (() => void) | undefined;
  #draining: Promise<void> | undefined;
  /** What went to the data file at once since the front layer began. */
  #directBytes = 0;
  #closing: Promise<void> | undefined;
  #pausing: { timer: NodeJS.Timeout; resume: () => void } | undefined;
  #pauseMs = RETRY_MS_LEAST;
  /** The data file did not take the back layer as a whole. */
  #stumbled = false;
  /** There was no room for a write: what is in the layers, removals among it, goes to the data file, and the next generation into the other redo file. */
  #wantsRoom = false;
  #state: State = { kind: 'open' };

  constructor(backing: Backing, options: WriteBehindOptions) {
    this.#backing = backing;
    this.#options = options;
    for (const { ops, wholeBytes } of options.left ?? []) {
      if (this.#front.size > 0) this.#back = this.#front;
      this.#front = new Layer();
      this.#front.take(ops, wholeBytes);
    }
    this.#drainIfDue();
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    for (const layer of [this.#front, this.#back]) {
      if (layer?.has(key)) return layer.get(key);
    }
    return this.#backing.get(key);
  }

  range(from: Uint8Array, to: Uint8Array, options?: RangeOptions): Iterable<Row> {
    this.#checkOpen();
    checkBounds(from, to);
    return pagedRange((request) => this.#readPage(request), from, to, options);
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      checkOps(ops);
      this.#checkTakes(ops);
      if (this.#isDirect(ops)) {
        resolve(this.#writeDirectly(ops));
        return;
      }
      const waiting = { frame: packFrame(ops), resolve, reject };
      if (this.#waiting.length > 0 || !this.#hasRoom(waiting.frame)) {
        this.#waiting.push(waiting);
        // An open store does not keep the process, but one that somebody waits for does.
        this.#pausing?.timer.ref();
        this.#drainIfDue();
      } else this.#accept(waiting);
    });
  }

  /** As the data file has it; rows that are still to be written are counted in bytes only. */
  stats(): StoreStats {
    this.#checkOpen();
    const stats = this.#backing.stats();
    return { ...stats, usedBytes: stats.usedBytes + this.#pendingBytes() };
  }

  /** Rejects with StoreFullError or StoreFailedError when acknowledged writes could not be written and are lost. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#pausing?.resume();
    // What waited for room is appended when a layer has gone, and is a layer then.
    do {
      await this.#flushing;
      this.#drainIfDue();
      await this.#draining;
    } while (this.#flushing !== undefined || this.#draining !== undefined);
    const kept = this.#pendingRows() === 0;
    this.#refuseWaiting(new StoreClosedError(this.#options.path));
    try {
      this.#options.redo?.close();
      // What could not be written is in the redo files, and the next open() finds it there.
      if (kept) this.#options.removeRedo();
    } finally {
      await this.#backing.close();
    }
    if (!kept && this.#options.redo === undefined && this.#state.kind !== 'open') throw this.#state.error;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new StoreClosedError(this.#options.path);
  }

  #checkTakes(ops: readonly WriteOp[]): void {
    const state = this.#state;
    if (state.kind === 'failed') throw state.error;
    if (state.kind === 'full' && !ops.some((op) => op.kind === 'remove')) throw state.error;
  }

  async #writeDirectly(ops: readonly WriteOp[]): Promise<void> {
    this.#directBytes += valueBytes(ops);
    try {
      await this.#backing.commit(ops);
      this.#retrySoon();
    } catch (error) {
      this.#note(error);
      throw error;
    } finally {
      this.#drainIfDue();
    }
  }

  /** What follows from an error for the writes that come. */
  #note(error: unknown): void {
    if (error instanceof StoreFullError) this.#wantsRoom = true;
    if (error instanceof StoreFailedError) this.#fail(error);
  }

  /** Of a disk that did not write it is not known any more what it has. */
  #fail(error: StoreFailedError): void {
    this.#state = { kind: 'failed', error };
    this.#refuseWaiting(error);
  }

  /** Not where a layer or the redo file has a row of it, or will have: writes of the same row take effect in call order. */
  #isDirect(ops: readonly WriteOp[]): boolean {
    if (!this.#options.redo?.flushes) return false;
    if (valueBytes(ops) < DIRECT_BYTES_LEAST) return false;
    const ahead = [...this.#waiting, ...this.#appending, ...this.#flushingNow].flatMap(
      ({ frame }) => frame.ops,
    );
    // Keys of one kind begin with one letter (codec/keys.ts). What is ahead is mostly of the journal, which what is large seldom touches.
    const kinds = new Set(ops.map(({ key }) => key[0]!));
    const alike = new Set(ahead.flatMap(({ key }) => (kinds.has(key[0]!) ? latin1(key) : [])));
    return !(alike.size > 0 && ops.some(({ key }) => alike.has(latin1(key)))) && !this.#isInLayers(ops);
  }

  /** A layer has one of these rows. */
  #isInLayers(ops: readonly WriteOp[]): boolean {
    const kinds = new Set(ops.map(({ key }) => key[0]!));
    const layers = [this.#front, this.#back].filter(
      (layer) => layer !== undefined && [...kinds].some((kind) => layer.hasKind(kind)),
    );
    return layers.length > 0 && ops.some(({ key }) => layers.some((layer) => layer!.has(key)));
  }

  #pendingBytes(): number {
    return this.#front.bytes + (this.#back?.bytes ?? 0) + this.#appendingBytes;
  }

  #pendingRows(): number {
    return this.#front.size + (this.#back?.size ?? 0) + this.#appendingRows;
  }

  /** A write larger than the bound itself goes in alone. */
  #hasRoom(frame: Frame): boolean {
    const rows = this.#pendingRows();
    if (rows === 0) return true;
    const coming = this.#appendingBytes + frame.bytes.length;
    const bytes = this.#front.takenBytes + (this.#back?.takenBytes ?? 0) + coming;
    if (rows + frame.ops.length > PENDING_ROWS_MAX || bytes > PENDING_BYTES_MAX) return false;
    // A redo file must leave the data file the room for what waits, or neither could go on. Once there is none, what removes rows is tried.
    if (this.#state.kind === 'full') return true;
    return this.#options.redo?.hasRoom(coming, 2 * this.#pendingBytes() + LAYER_ROOM_BYTES) ?? true;
  }

  #accept(waiting: Waiting): void {
    const { redo } = this.#options;
    if (redo?.flushes) {
      this.#appending.push(waiting);
      this.#appendingRows += waiting.frame.ops.length;
      this.#appendingBytes += waiting.frame.bytes.length;
      this.#flushing ??= this.#flush(redo);
      return;
    }
    try {
      if (waiting.frame.ops.length > 0) redo?.append(waiting.frame);
    } catch (error) {
      void this.#commitInstead(waiting, error);
      return;
    }
    this.#apply(waiting);
    this.#drainIfDue();
  }

  #apply({ frame, resolve }: Waiting): void {
    this.#front.take(frame.ops, frame.bytes.length);
    this.#retrySoon();
    resolve();
  }

  /** Appends what there is, as much at once as has gathered, until there is nothing left. Never rejects. */
  async #flush(redo: RedoFiles): Promise<void> {
    // Writes that are made in one go belong together.
    await Promise.resolve();
    for (;;) {
      this.#beforeAppend?.();
      const group = this.#appending.splice(0);
      if (group.length === 0) break;
      this.#flushingNow = group;
      if (!(await this.#append(redo, group)))
        // What did not fit together may fit in part.
        for (const waiting of group) await this.#append(redo, [waiting], 'last');
      this.#flushingNow = [];
      this.#acceptWaiting();
      this.#drainIfDue();
    }
    this.#flushing = undefined;
  }

  /** Whether it is settled what became of them. */
  async #append(redo: RedoFiles, group: Waiting[], attempt?: 'last'): Promise<boolean> {
    let failure: { cause: unknown } | undefined;
    try {
      if (this.#state.kind === 'failed') throw this.#state.error;
      const frames = group.map(({ frame }) => frame).filter(({ ops }) => ops.length > 0);
      if (frames.length > 0) await redo.flushAll(frames);
    } catch (cause) {
      const error = this.#named(cause);
      if (error instanceof StoreFullError && group.length > 1 && attempt === undefined) return false;
      if (error instanceof StoreFailedError) this.#fail(error);
      failure = { cause };
    }
    for (const waiting of group) {
      this.#appendingRows -= waiting.frame.ops.length;
      this.#appendingBytes -= waiting.frame.bytes.length;
      if (failure === undefined) this.#apply(waiting);
      else await this.#commitInstead(waiting, failure.cause);
    }
    return true;
  }

  /** The redo file did not take a write. If only for want of room: the data file may have some inside. Never rejects. */
  async #commitInstead({ frame, resolve, reject }: Waiting, cause: unknown): Promise<void> {
    try {
      if (!isNoSpace(cause)) throw cause;
      this.#wantsRoom = true;
      if (this.#isInLayers(frame.ops)) throw cause;
      // What was acknowledged before must not be less durable.
      this.#options.redo?.sync();
      await this.#backing.commit(frame.ops);
      this.#retrySoon();
      resolve();
    } catch (reason) {
      const error = this.#named(reason);
      this.#note(error);
      reject(error);
    }
    this.#drainIfDue();
  }

  /** Does something while nothing is on its way to the redo file. */
  #betweenAppends(act: () => void): Promise<void> {
    if (this.#flushing === undefined) {
      act();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#beforeAppend = () => {
        this.#beforeAppend = undefined;
        act();
        resolve();
      };
    });
  }

  #acceptWaiting(): void {
    while (this.#waiting.length > 0 && this.#hasRoom(this.#waiting[0]!.frame))
      this.#accept(this.#waiting.shift()!);
  }

  #drainIfDue(): void {
    if (this.#isDue()) this.#draining ??= this.#drain();
  }

  /** Something is to be written to the data file. Redo files that are flushed can wait, but for room. */
  #isDue(): boolean {
    if (this.#state.kind === 'failed' || this.#front.size + (this.#back?.size ?? 0) === 0) return false;
    const canWait = this.#options.redo?.flushes && this.#closing === undefined && this.#waiting.length === 0;
    if (!canWait || this.#back !== undefined || this.#state.kind === 'full' || this.#wantsRoom) return true;
    if (this.#directBytes >= DIRECT_BYTES_BEFORE_LAYER) return true;
    return this.#front.takenBytes >= LAYER_BYTES_LEAST || this.#front.size >= LAYER_ROWS_LEAST;
  }

  /** Writes layers to the data file until none is due. Never rejects. */
  async #drain(): Promise<void> {
    // The writes of this turn of the event loop go together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#isDue()) {
      try {
        await this.#drainLayer();
        if (this.#state.kind === 'full') this.#state = { kind: 'open' };
        this.#stumbled = false;
        this.#pauseMs = RETRY_MS_LEAST;
        this.#wantsRoom = false;
        this.#acceptWaiting();
      } catch (error) {
        this.#stumble(error);
        if (this.#closing !== undefined) break;
        if (this.#state.kind === 'full') await this.#pause();
      }
    }
    // In the same breath as the last look at what is pending, or a write in between would start nobody.
    this.#draining = undefined;
  }

  async #pause(): Promise<void> {
    const ms = this.#pauseMs;
    this.#pauseMs = Math.min(2 * ms, RETRY_MS_MOST);
    await new Promise<void>((resume) => {
      this.#pausing = { timer: setTimeout(resume, ms).unref(), resume };
    });
    clearTimeout(this.#pausing!.timer);
    this.#pausing = undefined;
  }

  /** What was taken on a full disk removed something, or found room. */
  #retrySoon(): void {
    if (this.#pausing === undefined || this.#pauseMs === RETRY_MS_LEAST) return;
    this.#pauseMs = RETRY_MS_LEAST;
    setTimeout(this.#pausing.resume, RETRY_MS_LEAST).unref();
  }

  async #drainLayer(): Promise<void> {
    const { redo, noteGeneration } = this.#options;
    if (this.#back === undefined) {
      await this.#betweenAppends(() => {
        redo?.advance();
        this.#directBytes = 0;
        this.#back = this.#front;
        this.#front = new Layer();
      });
    }
    // After a full disk what came since goes along: its removals may be what makes it fit. It
    // stays in the front layer too, because to write a row again is harmless and the redo files are kept in step.
    const back = this.#back ?? new Layer();
    const rows = this.#stumbled ? laidOver(back, this.#front) : back;
    const all = opsOf(rows);
    const isAhead = this.#stumbled && redo !== undefined;
    if (isAhead) await this.#writeAhead(redo, all);
    const ops = isAhead ? [] : all;
    if (redo !== undefined) ops.push(noteGeneration(redo.generation - 1));
    await this.#backing.commit(ops);
    this.#back = undefined;
    redo?.clearPrevious();
  }

  /**
   * Where there was no room for all at once: a few rows at a time, removals first, because a page that a transaction frees can be used by
   * later ones only. A restart makes it whole, which must not find less than the data file has.
   */
  async #writeAhead(redo: RedoFiles, ops: readonly WriteOp[]): Promise<void> {
    redo.sync();
    const isRemoval = ({ kind }: WriteOp) => kind === 'remove';
    for (const some of [ops.filter(isRemoval), ops.filter((op) => !isRemoval(op))])
      for (const slice of slicesOf(some)) {
        const missing = slice.filter((op) => !this.#isWritten(op));
        if (missing.length > 0) await this.#commitInParts(missing);
        else await new Promise((resolve) => setImmediate(resolve));
      }
  }

  /** What does not fit together may fit in part. */
  async #commitInParts(ops: readonly WriteOp[]): Promise<void> {
    try {
      await this.#backing.commit(ops);
    } catch (error) {
      if (!(error instanceof StoreFullError) || ops.length === 1) throw error;
      for (const op of ops) await this.#backing.commit([op]);
    }
  }

  /** By an earlier attempt: to write it again would take its room twice. */
  #isWritten(op: WriteOp): boolean {
    const value = this.#backing.get(op.key);
    if (op.kind === 'remove') return value === undefined;
    return value !== undefined && Buffer.compare(value, op.value) === 0;
  }

  /** The data file did not take a layer. The layer stays in memory; whoever waits for room is told. */
  #stumble(cause: unknown): void {
    const error = this.#named(cause);
    this.#stumbled = true;
    if (error instanceof StoreFailedError) return this.#fail(error);
    if (this.#state.kind !== 'failed') this.#state = { kind: 'full', error };
    this.#refuseWaiting(error);
  }

  #refuseWaiting(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #named(cause: unknown): StoreFullError | StoreFailedError {
    if (cause instanceof StoreFullError || cause instanceof StoreFailedError) return cause;
    return isNoSpace(cause)
      ? new StoreFullError(this.#options.path, 'its redo file cannot grow', { cause })
      : new StoreFailedError(this.#options.path, 'writing behind did not work', { cause });
  }

  #readPage(request: PageRequest): Page {
    this.#checkOpen();
    const layers = [this.#back, this.#front].filter((layer) => layer !== undefined);
    return layeredPage(this.#backing.readPage(request), layers, request);
  }
}

function latin1(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
