/**
 * How long a batch took, and its slow runs in it.
 *
 * Owns: what is told of a batch's time. Does not own: when the clock is read (shard.ts: twice a batch, twice a turn, and twice a
 * query if that is asked for), what the times are good for (turn-times.ts). They are no part of what workflows see.
 */
import type { RunTime } from '../codec/envelope.js';
import { elapsedMs } from './clock.js';

/** A turn or query that took less is not worth telling by itself, ms. */
const LEAST_MS = 1;

export class Stopwatch {
  readonly #begin = elapsedMs();
  #times: Map<number, RunTime> | undefined;

  /** So many messages of a run took so long, ms. */
  note(runNo: number, messages: number, ms: number): void {
    if (ms < LEAST_MS) return;
    this.#times ??= new Map();
    const time = this.#times.get(runNo);
    if (time === undefined) this.#times.set(runNo, { runNo, ms, messages });
    else {
      time.ms += ms;
      time.messages += messages;
    }
  }

  stop(): { ms: number; times: RunTime[] } {
    return { ms: elapsedMs() - this.#begin, times: [...(this.#times?.values() ?? [])] };
  }
}
