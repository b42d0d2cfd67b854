/**
 * How long a batch took, and its slow runs in it.
 *
 * Owns: reading the clock: twice a batch, twice a turn, and twice a query if that is asked for.
 * Does not own: what the times are good for (turn-times.ts). They are no part of what workflows see.
 */
import type { RunTime } from '../codec/envelope.js';
import { elapsedMs } from './clock.js';

/** What took less is not worth telling, ms. */
const LEAST_MS = 0.1;

export class Stopwatch {
  readonly #begin = elapsedMs();
  readonly #queries: boolean;
  #times: Map<number, RunTime> | undefined;

  /** @param queries the time of queries is to be taken too */
  constructor(queries: boolean) {
    this.#queries = queries;
  }

  /** Runs a turn for so many messages of a run. */
  turn(runNo: number, messages: number, fn: () => void): void {
    const begin = elapsedMs();
    fn();
    this.#note(runNo, messages, elapsedMs() - begin);
  }

  query(runNo: number, fn: () => void): void {
    if (this.#queries) this.turn(runNo, 1, fn);
    else fn();
  }

  stop(): { ms: number; times: RunTime[] } {
    return { ms: elapsedMs() - this.#begin, times: [...(this.#times?.values() ?? [])] };
  }

  #note(runNo: number, messages: number, ms: number): void {
    if (ms < LEAST_MS) return;
    this.#times ??= new Map();
    const time = this.#times.get(runNo);
    if (time === undefined) this.#times.set(runNo, { runNo, ms, messages });
    else {
      time.ms += ms;
      time.messages += messages;
    }
  }
}
