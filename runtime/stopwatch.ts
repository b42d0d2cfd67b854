/**
 * How long a batch took, and its runs in it.
 *
 * Owns: reading the clock as seldom as will do: twice a batch, and once more for each turn or query if they are to be told apart.
 * Does not own: what the times are good for (turn-times.ts). They are no part of what workflows see.
 */
import type { RunTime } from '../codec/envelope.js';
import { elapsedMs } from './clock.js';

/** Runs that took less are not worth telling, ms. */
const LEAST_MS = 0.1;

export class Stopwatch {
  readonly #begin = elapsedMs();
  readonly #times: Map<number, RunTime> | undefined;
  #last = this.#begin;

  /** @param apart runs are to be told apart */
  constructor(apart: boolean) {
    this.#times = apart ? new Map() : undefined;
  }

  /** What went by since the lap before was for messages of this run. */
  lap(runNo: number, messages: number): void {
    if (this.#times === undefined) return;
    const now = elapsedMs();
    const ms = now - this.#last;
    this.#last = now;
    const time = this.#times.get(runNo);
    if (time === undefined) this.#times.set(runNo, { runNo, ms, messages });
    else {
      time.ms += ms;
      time.messages += messages;
    }
  }

  /** What went by since the lap before was for nobody's messages. */
  skip(): void {
    if (this.#times !== undefined) this.#last = elapsedMs();
  }

  stop(): { ms: number; times: RunTime[] } {
    const times = [...(this.#times?.values() ?? [])].filter(({ ms }) => ms >= LEAST_MS);
    return { ms: elapsedMs() - this.#begin, times };
  }
}
