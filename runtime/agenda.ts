/**
 * The agenda: everything that is due at a time. Timers of workflows, timeouts of runs, retries of activities.
 *
 *   soon:  heap in memory -> one real timer for the earliest
 *   later: the store's due keys, looked through every few minutes for what has become soon
 *
 * Owns: waking at the right time, never early, with nothing lost over a restart. What it wakes is told by the callback,
 * which must check that the matter still stands: a due key may outlive its timer.
 * Does not own: what is done then (host.ts).
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

export class Agenda {
  readonly #clock: Clock;
  readonly #store: Store;
  /** Returns false when the matter is settled and its key, if any, may go. */
  readonly #wake: (due: Due) => boolean;
  readonly #isSettled: (due: Due) => boolean;
  readonly #beforeScan: () => Promise<void>;
  readonly #heap = new MinHeap<Due>((a, b) => a.at < b.at);
  readonly #onError: (error: Error) => void;
  /** At this size settled matters are swept out. */
  #sweepAt = UNSWEPT_MAX;
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
  }) {
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
    if (due.at > this.#clock.now() + HORIZON_MS) return;
    if (this.#heap.size >= this.#sweepAt) this.#sweep();
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

  #scan(): void {
    const until = this.#clock.now() + HORIZON_MS;
    for (const [key] of this.#store.range(startOf('t'), keys.due(until, 0, 'timer', 0))) {
      this.#heap.push({
        at: readNumber(key, 0),
        runNo: readNumber(key, 1),
        kind: readDueKind(key),
        seq: readNumber(key, 3),
      });
    }
    this.#arm();
  }

  #scheduleScan(): void {
    this.#stopScan = this.#clock.after(HORIZON_MS / 2, () => void this.#scanAgain());
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
    const settled: Due[] = [];
    for (let due = this.#heap.peek(); due !== undefined && due.at <= now; due = this.#heap.peek()) {
      this.#heap.pop();
      if (!this.#stands(due)) settled.push(due);
    }
    this.#arm();
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
