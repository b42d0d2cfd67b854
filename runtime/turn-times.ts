/**
 * How long messages of a run take in their thread, learnt from what those before them took.
 *
 * Owns: what is expected of runs and, for runs of which nothing is known yet, of their workflow type; when the thread is asked
 * to take the time. It is not asked while everything is fast, so that a batch of fast messages costs two readings of a clock.
 * Does not own: taking the time (shard.ts), what follows from it (queue.ts, thread.ts).
 *
 * What takes longer than expected counts at once, and is believed to have become faster by half at each batch: a run that is
 * slow now and then is taken for slow. Nothing here is durable or part of what workflows see.
 *
 * That a batch took long is seen on the runtime's clock. Which messages share a turn depends on these times, and under a clock
 * that stands still it depends on nothing but the messages: tests that compare two executions rely on it.
 */
import type { BatchResult } from '../codec/envelope.js';
import type { Item, Live } from './live.js';

/** Expectations below this are none, ms. */
const LEAST_MS = 0.1;
/** After a batch that took long, the time is taken for so many. */
const TIMED_BATCHES = 64;

export class TurnTimes {
  readonly #batchMsMax: number;
  readonly #ofType = new Map<string, number>();
  #timed = 0;

  constructor(batchMsMax: number) {
    this.#batchMsMax = batchMsMax;
  }

  /** What one message of the run is expected to take, ms. */
  of({ messageMs, run }: Live): number {
    if (messageMs !== undefined) return messageMs;
    return this.#ofType.size === 0 ? 0 : (this.#ofType.get(run.info.workflowType) ?? 0);
  }

  /** Whether the next batch is to say which runs took how long. */
  get wanted(): boolean {
    return this.#timed > 0;
  }

  /** @param elapsedMs from sending the batch to its result, on the runtime's clock */
  learn(items: readonly Item[], { times }: BatchResult, elapsedMs: number): void {
    if (this.#timed > 0) {
      this.#timed--;
      const taken = new Map(times.map(({ runNo, ms, messages }) => [runNo, ms / Math.max(1, messages)]));
      for (const live of new Set(items.map((item) => item.live)))
        this.#note(live, taken.get(live.run.runNo) ?? 0);
    }
    if (elapsedMs >= this.#batchMsMax) this.#timed = TIMED_BATCHES;
  }

  #note(live: Live, ms: number): void {
    const { workflowType } = live.run.info;
    live.messageMs = expected(live.messageMs ?? 0, ms);
    // As long as something is expected to be slow, the thread is asked whether it still is.
    if (live.messageMs > 0) this.#timed = TIMED_BATCHES;
    const ofType = expected(this.#ofType.get(workflowType) ?? 0, ms);
    if (ofType > 0) this.#ofType.set(workflowType, ofType);
    else this.#ofType.delete(workflowType);
  }
}

function expected(before: number, ms: number): number {
  const now = ms > before ? ms : (before + ms) / 2;
  return now < LEAST_MS ? 0 : now;
}
