/**
 * The agenda: everything that is due at a time. Timers of workflows, timeouts of runs, retries of activities.
 *
 *   soon:  heap in memory -> one real timer for the earliest
 *   later: the store's due keys, looked through every few minutes for what has become soon, and when the heap has run low
 *
 *   now ------ in the heap ------ #rest ------ only in the store ------>
 *
 * Owns: waking at the right time, never early, with nothing lost over a restart. What it wakes is told by the callback,
 * which must check that the matter still stands: a due key may outlive its timer.
 * Does not own: what is done then (host.ts).
 *
 * D8: a million executions may all be due within minutes. The heap keeps the earliest of them, and `#rest` says from where on
 * the others stand in the store only, until it is their turn. Looking goes on from there: what is due and stays (a run whose
 * turn keeps failing) must not stand before all others for ever.
 */
import { type DueKind, keys, readDueKind, readNumber, startOf } from '../codec/keys.js';
import type { Clock } from './clock.js';
import { MinHeap } from './heap.js';
import type { Store } from './store/store.js';

export interface Due {
  at: number;
  runNo: number;
  kind: DueKind;
  seq: number;
}

/** How far ahead entries are kept in memory, ms. */
const HORIZON_MS = 10 * 60_000;
/** Entries in memory below which nobody looks whether they still stand. */
const UNSWEPT_MAX = 10_000;
/** Entries that one look at the store reads. Twice as many are in memory at most, about 100 bytes each. */
const ENTRIES_MAX = 50_000;
/** Shortest time between two looks at the store, ms: what was woken stands there until its turn is compacted. */
const SCAN_MS_MIN = 1_000;

export class Agenda {
  readonly #clock: Clock;
  readonly #store: Store;
  /** Returns false when the matter is settled and its key, if any, may go. */
  readonly #wake: (due: Due) => boolean;
  readonly #isSettled: (due: Due) => boolean;
  readonly #beforeScan: () => Promise<void>;
  readonly #heap = new MinHeap<Due>(isBefore);
  readonly #onError: (error: Error) => void;
  /** At this size settled matters are swept out. */
  #sweepAt = UNSWEPT_MAX;
  /** What is due before this is in the heap. Undefined when all that is due soon has its place there. */
  #rest: { at: number; key: Uint8Array } | undefined;
  readonly #entriesMax: number;
  #stop: () => void = () => undefined;
  #stopScan: () => void = () => undefined;
  #closed = false;

  constructor(parts: {
    clock: Clock;
    store: Store;
    wake: (due: Due) => boolean;
    /** True when it is known, without a look at the store, that the matter does not stand any more. */
    isSettled: (due: Due) => boolean;
    /** Brings the store's due keys up to date. */
    beforeScan: () => Promise<void>;
    onError: (error: Error) => void;
    /** For tests: entries in memory. */
    entriesMax?: number;
  }) {
    this.#entriesMax = parts.entriesMax ?? ENTRIES_MAX;
    this.#clock = parts.clock;
    this.#store = parts.store;
    this.#wake = parts.wake;
    this.#isSettled = parts.isSettled;
    this.#beforeScan = parts.beforeScan;
    this.#onError = parts.onError;
  }

  get size(): number {
    return this.#heap.size;
  }

  /** Reads what is due soon from the store, and does so again for as long as the runtime is open. */
  start(): void {
    this.#scan();
    this.#scheduleScan();
  }

  add(due: Due): void {
    if (due.at > this.#clock.now() + HORIZON_MS || this.#isLeft(due)) return;
    if (this.#heap.size >= this.#sweepAt) this.#sweep();
    if (this.#heap.size >= 2 * this.#entriesMax) this.#shorten();
    if (this.#isLeft(due)) return;
    const earliest = this.#heap.peek();
    this.#heap.push(due);
    if (earliest === undefined || due.at < earliest.at) this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    this.#stopScan();
  }

  /** A timer that was cancelled stays until its time has come; too many of these are not waited for (D8). */
  #sweep(): void {
    this.#heap.retain((due) => !this.#isSettled(due));
    this.#sweepAt = Math.max(UNSWEPT_MAX, 2 * this.#heap.size);
  }

  /** The store has it, or has it when it is looked through next. */
  #isLeft({ at }: Due): boolean {
    return this.#rest !== undefined && at > this.#rest.at;
  }

  /** Lets go of the later half. */
  #shorten(): void {
    const next = this.#heap.truncate(this.#entriesMax);
    if (next !== undefined) this.#rest = { at: next.at, key: keys.due(next.at, 0, 'timer', 0) };
  }

  /** What is in the heap already comes a second time, and then finds that nothing is left to do. */
  #scan(): void {
    const from = this.#rest?.key ?? startOf('t');
    const soon = keys.due(this.#clock.now() + HORIZON_MS, 0, 'timer', 0);
    this.#rest = undefined;
    let read = 0;
    for (const [key] of this.#store.range(from, soon)) {
      const at = readNumber(key, 0);
      if (read++ === this.#entriesMax) {
        this.#rest = { at, key };
        break;
      }
      this.#heap.push({ at, runNo: readNumber(key, 1), kind: readDueKind(key), seq: readNumber(key, 3) });
    }
    this.#arm();
  }

  #scheduleScan(): void {
    this.#stopScan();
    this.#stopScan = this.#clock.after(
      this.#isLow ? SCAN_MS_MIN : HORIZON_MS / 2,
      () => void this.#scanAgain(),
    );
  }

  /** The heap is about to run out of what is due, while the store has more that is due soon. */
  get #isLow(): boolean {
    return this.#rest !== undefined && this.#heap.size < this.#entriesMax / 4;
  }

  /** Whatever goes wrong, there is a next time: what was not found now is late then, and not lost. */
  async #scanAgain(): Promise<void> {
    await this.#beforeScan().catch(this.#onError);
    if (this.#closed) return;
    try {
      this.#scan();
    } catch (error) {
      this.#onError(error as Error);
    }
    this.#scheduleScan();
  }

  #arm(): void {
    this.#stop();
    const earliest = this.#heap.peek();
    if (earliest === undefined || this.#closed) return;
    this.#stop = this.#clock.after(earliest.at - this.#clock.now(), () => this.#ring());
  }

  #ring(): void {
    const now = this.#clock.now();
    const wasLow = this.#isLow;
    const settled: Due[] = [];
    for (let due = this.#heap.peek(); due !== undefined && due.at <= now; due = this.#heap.peek()) {
      this.#heap.pop();
      if (!this.#stands(due)) settled.push(due);
    }
    this.#arm();
    if (this.#isLow && !wasLow) this.#scheduleScan();
    if (settled.length > 0) this.#forget(settled);
  }

  /** What cannot be looked up now stays in the store, and is found again by a later scan. */
  #stands(due: Due): boolean {
    try {
      return this.#wake(due);
    } catch (error) {
      this.#onError(error as Error);
      return true;
    }
  }

  /** Keys of matters that are settled would be looked at again after every restart. */
  #forget(settled: readonly Due[]): void {
    const ops = settled.map(({ at, runNo, kind, seq }) => ({
      kind: 'remove' as const,
      key: keys.due(at, runNo, kind, seq),
    }));
    this.#store.write(ops).catch(this.#onError);
  }
}

/** What is due at the same time comes in the order of its runs and, in a run, in that in which the run asked for it. */
function isBefore(a: Due, b: Due): boolean {
  if (a.at !== b.at) return a.at < b.at;
  return a.runNo === b.runNo ? a.seq < b.seq : a.runNo < b.runNo;
}
