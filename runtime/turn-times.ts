/**
 * How long messages take in their thread, learnt from what those before them took.
 *
 * Owns: how long a batch should take, and what is expected of a message: of its run where that was slow, of a run of which nothing is known where those of its
 * workflow type were slow at first, and of any message on the average; when the thread is asked to take the time of queries too.
 * Does not own: taking the time (stopwatch.ts), what follows from it (queue.ts, thread.ts).
 *
 *   slow once --> suspected --slow again--> expected --each faster batch--> half of the way down
 *
 * Once is not enough, because the garbage of all is collected in somebody's turn. What is expected falls slowly: a run that is
 * slow now and then is taken for slow. Nothing here is durable or part of what workflows see.
 *
 * A batch should be short, so that who comes next waits little. But between two batches the thread waits for the host: shorter than a
 * multiple of that wait, and a thread that is short of time would stand still for much of it. So a busy host makes batches longer.
 *
 * How long a batch took is seen on the runtime's clock as well as on the thread's, and the shorter time counts. Which messages share
 * a turn depends on these times, and under a clock that stands still it depends on nothing but the messages: tests that compare
 * two executions rely on it.
 */
import type { BatchResult } from '../codec/envelope.js';
import type { Item, Live } from './live.js';

/** Expectations below this are none, ms. */
const LEAST_MS = 0.1;
/** The average is that of about so many batches, each of at least so many messages: a few say little about one. */
const AVERAGED_BATCHES = 16;
const AVERAGED_MESSAGES = 16;
/** A batch should take so many times what the thread waits between two, and at most so many times the limit. */
const WAITS_PER_BATCH = 16;
const LONGER_MOST = 20;
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

/** Of a type. One run cannot confirm what it has brought up itself: it may be the only slow one. */
interface TypeExpectation extends Expectation {
  /** The run that seemed to take the most lately. */
  suspect: number;
}

/** What a run took in a batch. */
interface Observed {
  runNo: number;
  ms: number;
}

export class TurnTimes {
  readonly #batchMsMax: number;
  readonly #ofType = new Map<string, TypeExpectation>();
  /** Of messages that are not slow by themselves, ms. */
  #averageMs = 0;
  /** Of the thread, for the next batch when there was one to send. */
  #waitMs = 0;
  #timed = 0;
  /** Runs that are expected or suspected to be slow, the longest watched first: without any there is nothing to look at. */
  readonly #watched = new Set<Live>();

  constructor(batchMsMax: number) {
    this.#batchMsMax = batchMsMax;
  }

  /** What one message of the run is expected to take, ms. */
  of({ expectation, run }: Live): number {
    const known =
      isConfirmed(expectation) || this.#ofType.size === 0
        ? expectation
        : this.#ofType.get(run.info.workflowType);
    return known === undefined ? this.#averageMs : Math.max(known.ms, this.#averageMs);
  }

  /** How long a batch should take, ms. */
  get batchMs(): number {
    return Math.min(
      Math.max(this.#batchMsMax, WAITS_PER_BATCH * this.#waitMs),
      LONGER_MOST * this.#batchMsMax,
    );
  }

  /** The thread waited so long for a batch, ms, though there was one to send. */
  learnWait(ms: number): void {
    this.#waitMs += (Math.max(0, ms) - this.#waitMs) / AVERAGED_BATCHES;
  }

  /** Whether the next batch is to say how long queries took. */
  get wanted(): boolean {
    return this.#timed > 0;
  }

  /** How many runs are watched. */
  get watched(): number {
    return this.#watched.size;
  }

  /** @param elapsedMs from sending the batch to its result, on the runtime's clock */
  learn(items: readonly Item[], { ms, times }: BatchResult, elapsedMs: number): void {
    const spent = Math.min(ms, elapsedMs);
    const long = spent >= this.#batchMsMax;
    if (this.#timed > 0) this.#timed--;
    if (long) this.#timed = TIMED_BATCHES;
    this.#noteAverage(items.length, spent, times);
    if (long || this.#isConcerned(items)) this.#noteRuns(items, times, long);
  }

  /** Whether anything is known about one of them: otherwise a batch that took no time to speak of teaches nothing. */
  #isConcerned(items: readonly Item[]): boolean {
    if (this.#watched.size === 0 && this.#ofType.size === 0) return false;
    return items.some(
      ({ live }) => live.expectation !== undefined || this.#ofType.has(live.run.info.workflowType),
    );
  }

  #noteAverage(messages: number, ms: number, slow: BatchResult['times']): void {
    let others = messages;
    let othersMs = ms;
    for (const time of slow) {
      others -= time.messages;
      othersMs -= time.ms;
    }
    if (others < AVERAGED_MESSAGES) return;
    this.#averageMs += (Math.max(0, othersMs) / others - this.#averageMs) / AVERAGED_BATCHES;
  }

  #noteRuns(items: readonly Item[], times: BatchResult['times'], long: boolean): void {
    const taken = new Map(times.map(({ runNo, ms, messages }) => [runNo, ms / messages]));
    const quickest = new Map<string, Observed>();
    for (const live of new Set(items.map((item) => item.live))) {
      const { runNo, info } = live.run;
      const observed = taken.get(runNo) ?? 0;
      // Also one that is only suspected: its start says little about the messages that come.
      if (!isConfirmed(live.expectation)) {
        const least = quickest.get(info.workflowType);
        if (least === undefined || observed < least.ms)
          quickest.set(info.workflowType, { runNo, ms: observed });
      }
      if (live.expectation !== undefined || (long && observed > 0)) this.#noteRun(live, observed);
    }
    for (const [type, observed] of quickest) this.#noteType(type, observed, long);
  }

  #noteRun(live: Live, observed: number): void {
    live.expectation = after(live.expectation, observed);
    if (live.expectation.suspectedMs > 0) this.#watch(live);
    else {
      live.expectation = undefined;
      this.#watched.delete(live);
    }
  }

  /** @param observed of the quickest in the batch of those of which nothing was known for sure */
  #noteType(type: string, observed: Observed, long: boolean): void {
    const known = this.#ofType.get(type);
    if (known === undefined && !(long && observed.ms > 0)) return;
    const expectation = typeAfter(known, observed);
    if (expectation.suspectedMs > 0) this.#ofType.set(type, expectation);
    else this.#ofType.delete(type);
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
}

function typeAfter(before: TypeExpectation | undefined, { runNo, ms }: Observed): TypeExpectation {
  const next = after(before, ms);
  if (before === undefined) return { ...next, suspect: runNo };
  if (before.suspect === runNo) return { ...next, ms: Math.min(next.ms, before.ms), suspect: runNo };
  return { ...next, suspect: ms >= before.suspectedMs ? runNo : before.suspect };
}

/** It was slow twice. */
function isConfirmed(expectation: Expectation | undefined): expectation is Expectation {
  return expectation !== undefined && expectation.ms > 0;
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
