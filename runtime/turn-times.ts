/**
 * How long messages of a run take in their thread, learnt from what those before them took.
 *
 * Owns: what is expected of runs and, for runs of which nothing is known yet, of their workflow type; when the thread is asked
 * to take the time of queries too. Does not own: taking the time (stopwatch.ts), what follows from it (queue.ts, thread.ts).
 *
 *   observed once --> suspected --observed again--> expected --each faster batch--> half of the way down
 *
 * Once is not enough, because the garbage of all is collected in somebody's turn. What is expected falls slowly: a run that is
 * slow now and then is taken for slow. Nothing here is durable or part of what workflows see.
 *
 * That a batch took long is seen on the runtime's clock as well as on the thread's (the former also counts what the host did).
 * Which messages share a turn depends on these times, and under a clock that stands still it depends on nothing but the messages:
 * tests that compare two executions rely on it.
 */
import type { BatchResult } from '../codec/envelope.js';
import type { Item, Live } from './live.js';

/** Expectations below this are none, ms. */
const LEAST_MS = 0.1;
/** After a batch that took long, the time of queries is taken for so many. */
const TIMED_BATCHES = 16;
/** Runs that are watched at once. Of one that is left out nothing is known any more; its type may still tell. */
const WATCHED_MAX = 1_024;

export interface Expectation {
  /** What a message is expected to take, ms. */
  ms: number;
  /** The most that one seemed to take lately, ms. */
  suspectedMs: number;
}

export class TurnTimes {
  readonly #batchMsMax: number;
  readonly #ofType = new Map<string, Expectation>();
  #timed = 0;
  /** Runs that are expected or suspected to be slow, the longest watched first: without any there is nothing to look at. */
  readonly #watched = new Set<Live>();

  constructor(batchMsMax: number) {
    this.#batchMsMax = batchMsMax;
  }

  /** What one message of the run is expected to take, ms. */
  of({ expectation, run }: Live): number {
    if (expectation !== undefined) return expectation.ms;
    return this.#ofType.size === 0 ? 0 : (this.#ofType.get(run.info.workflowType)?.ms ?? 0);
  }

  /** Whether the next batch is to say how long queries took. */
  get wanted(): boolean {
    return this.#timed > 0;
  }

  /** @param elapsedMs from sending the batch to its result, on the runtime's clock */
  learn(items: readonly Item[], { ms, times }: BatchResult, elapsedMs: number): void {
    const long = elapsedMs >= this.#batchMsMax && ms >= this.#batchMsMax;
    if (this.#timed > 0) this.#timed--;
    if (long) this.#timed = TIMED_BATCHES;
    if (!long && this.#watched.size === 0) return;
    const taken = new Map(times.map(({ runNo, ms, messages }) => [runNo, ms / Math.max(1, messages)]));
    for (const live of new Set(items.map((item) => item.live))) {
      const observed = taken.get(live.run.runNo) ?? 0;
      if (this.#watched.has(live) || (long && observed > 0)) this.#note(live, observed);
    }
  }

  #note(live: Live, observed: number): void {
    const { workflowType } = live.run.info;
    live.expectation = after(live.expectation, observed);
    if (live.expectation.suspectedMs > 0) this.#watch(live);
    else this.#watched.delete(live);
    const ofType = after(this.#ofType.get(workflowType), observed);
    if (ofType.suspectedMs > 0) this.#ofType.set(workflowType, ofType);
    else this.#ofType.delete(workflowType);
  }

  /** Most runs that were slow once are never heard of again, so there is a bound (D8). */
  #watch(live: Live): void {
    this.#watched.add(live);
    if (this.#watched.size <= WATCHED_MAX) return;
    for (const first of this.#watched) {
      first.expectation = undefined;
      this.#watched.delete(first);
      return;
    }
  }

  /** How many runs are watched. */
  get watched(): number {
    return this.#watched.size;
  }
}

function after(before: Expectation | undefined, observed: number): Expectation {
  const { ms, suspectedMs } = before ?? { ms: 0, suspectedMs: 0 };
  const confirmed = Math.min(observed, suspectedMs);
  return {
    ms: notable(confirmed > ms ? confirmed : (ms + Math.min(ms, observed)) / 2),
    suspectedMs: notable(Math.max(observed, suspectedMs / 2)),
  };
}

function notable(ms: number): number {
  return ms < LEAST_MS ? 0 : ms;
}
