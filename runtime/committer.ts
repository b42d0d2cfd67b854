/**
 * Group commit: makes journal values durable, in order, as many at once as have gathered.
 *
 *   idle --append--> writing --durable--> idle, or writing again with what gathered meanwhile
 *                       |
 *                       +--failed--> all that was being written and all that gathered fails; idle
 *
 * Owns: the numbering of journal values, one write at a time, the order in which waiters hear of it.
 * Does not own: what the values mean; what a failure costs (thread.ts forgets what it computed from).
 *
 * D1, D4: `durable` of an append is called after the store has it, never before. After a failure everything that might
 * build on the lost value fails too, and the next write takes the same number: a value that reached the disk although
 * the store reported otherwise is overwritten before anything else can follow it.
 */
import { journalRows, partRemovals } from './journal.js';
import { StoreFullError } from './store/errors.js';
import type { Store, WriteOp } from './store/store.js';

interface Append {
  frames: Uint8Array;
  durable(seq: number): void;
  failed(error: Error): void;
}

export class Committer {
  readonly #store: Store;
  #seq: number;
  readonly #valueBytesMax: number;
  #gathered: Append[] = [];
  #writing = false;
  /** Rows that the store may have of a value of the next number, from writes that failed. */
  #leftRows = 0;
  /** How many have been appended, and of how many it is known what became of them. */
  #appended = 0;
  #settled = 0;
  #waiting: { until: number; resolve: () => void }[] = [];

  /**
   * @param lastSeq number of the newest journal value in the store, 0 for none
   * @param valueBytesMax size at which a journal value takes no more in; the rest goes into the next
   */
  constructor(store: Store, lastSeq: number, valueBytesMax = Number.POSITIVE_INFINITY) {
    this.#store = store;
    this.#seq = lastSeq;
    this.#valueBytesMax = valueBytesMax;
  }

  /** Number of the newest durable journal value. */
  get durableSeq(): number {
    return this.#seq;
  }

  append(frames: Uint8Array, durable: (seq: number) => void, failed: (error: Error) => void): void {
    this.#gathered.push({ frames, durable, failed });
    this.#appended++;
    if (!this.#writing) void this.#write();
  }

  /** Resolves when all that was appended before this call is durable or has failed, whatever is appended meanwhile. */
  settled(): Promise<void> {
    const until = this.#appended;
    if (this.#settled === until) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ until, resolve }));
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#gathered.length > 0) {
      const group = this.#take(this.#valueBytesMax);
      const seq = this.#seq + 1;
      const error = await this.#put(seq, group);
      if (error === undefined) {
        this.#seq = seq;
        for (const append of group) append.durable(seq);
      } else {
        group.push(...this.#take(Number.POSITIVE_INFINITY));
        for (const append of group) append.failed(error);
      }
      this.#settled += group.length;
      this.#tell();
    }
    this.#writing = false;
  }

  async #put(seq: number, group: readonly Append[]): Promise<Error | undefined> {
    let rows: WriteOp[] = [];
    try {
      rows = journalRows(seq, concat(group));
      await this.#store.write([...rows, ...partRemovals(seq, rows.length, this.#leftRows)]);
      this.#leftRows = 0;
      return undefined;
    } catch (error) {
      // Of a write that was refused nothing is left, and with removals the next would pass for one that makes room.
      if (!(error instanceof StoreFullError)) this.#leftRows = Math.max(this.#leftRows, rows.length);
      return error as Error;
    }
  }

  #take(bytesMax: number): Append[] {
    let count = 0;
    for (let bytes = 0; count < this.#gathered.length && (count === 0 || bytes < bytesMax); count++)
      bytes += this.#gathered[count]!.frames.length;
    return this.#gathered.splice(0, count);
  }

  #tell(): void {
    if (this.#waiting.length === 0) return;
    const done = this.#waiting.filter(({ until }) => until <= this.#settled);
    this.#waiting = this.#waiting.filter(({ until }) => until > this.#settled);
    for (const { resolve } of done) resolve();
  }
}

function concat(group: readonly Append[]): Uint8Array {
  if (group.length === 1) return group[0]!.frames;
  const value = new Uint8Array(group.reduce((length, { frames }) => length + frames.length, 0));
  let at = 0;
  for (const { frames } of group) {
    value.set(frames, at);
    at += frames.length;
  }
  return value;
}
