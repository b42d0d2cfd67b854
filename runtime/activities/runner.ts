/**
 * Runs activity attempts: the embedder's functions on the host, or those of activitiesPath in a pool of their own.
 *
 *   scheduled --(a place is free)--> attempt --completed / failed for good / timed out / cancelled--> told to the workflow
 *                  |                  ^ |
 *                  |                  | +--failed, may be tried again--> journalled, and due again after its delay
 *                  +--(attempts are counted: that it begins is journalled)
 *
 * Owns: the bounded number of attempts, who waits for a place and for how long, what an attempt's end means.
 * Does not own: an attempt while it runs (attempt.ts), the record of an activity (run.ts), delivering its end (the host
 * does, until a turn took it durably).
 *
 * An attempt is begun only when the turn that scheduled it is durable (D4), at least once (D2): a crash begins it again.
 * Where the journal says that it had begun (attempts are limited, or it has reported a heartbeat) it does not begin again:
 * the crash, or close(), has ended it as a time limit would have.
 */

import { failureAttributes, isBenign } from '../../actors/failure-attributes.js';
import { ApplicationFailure, CancelledFailure, toFailure } from '../../actors/failures.js';
import { activityTable } from '../../actors/lifecycles/activity.js';
import { next } from '../../actors/lifecycles/table.js';
import type { Failure, TimeoutKind } from '../../codec/failure.js';
import type { ActivityOutcome, JournalEntry, Payload, RetryState } from '../../codec/journal-entry.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import type { ActivityRecord } from '../../codec/run-record.js';
import { BoxedMap } from '../boxed-map.js';
import type { Clock } from '../clock.js';
import type { Live } from '../live.js';
import { type ActivityExecutor, Attempt, type AttemptHost, type Ended, timeoutFailure } from './attempt.js';
import { type ActivityLog, Context } from './context.js';
import { afterFailure, type RetryDecision } from './retry.js';

type RetryEntry = Extract<JournalEntry, { kind: 'activityRetry' }>;
type StartedEntry = Extract<JournalEntry, { kind: 'activityStarted' }>;

export interface ActivityHost {
  /** Tells the workflow how the activity ended, until it is durable. */
  resolved(live: Live, seq: number, attempt: number, startedAt: number, outcome: ActivityOutcome): void;
  /** Journals that an attempt failed; `done` is called when that is durable. */
  retrying(live: Live, entry: RetryEntry, done: () => void): void;
  /** Journals that an attempt begins; `done` is called when that is durable, or the run has closed. */
  starting(live: Live, entry: StartedEntry, done: () => void): void;
  /** Journals what an attempt has reported; `done` is called when that is durable, of no use any more, or has failed. */
  beating(live: Live, entry: StartedEntry, done: (failed: boolean) => void): void;
  dueAt(live: Live, seq: number, at: number): void;
  log(
    live: Live,
    level: Parameters<ActivityLog>[0],
    message: string,
    attributes: Record<string, unknown> | undefined,
  ): void;
}

/** Functions of the embedder, on the host thread. */
export function hostExecutor(functions: Record<string, unknown>, payloadBytesMax: number): ActivityExecutor {
  const types = Object.keys(functions).filter((type) => typeof functions[type] === 'function');
  return {
    types,
    run(type, args, context) {
      const fn = functions[type] as (...args: unknown[]) => unknown;
      const encode = (result: unknown) =>
        encodePayload(result, `result of activity ${type}`, payloadBytesMax);
      try {
        const values = decodePayload(args) as unknown[];
        return Context.run(context, () => Promise.resolve(fn.apply(functions, values))).then(encode);
      } catch (error) {
        return Promise.reject(error);
      }
    },
    close: async () => undefined,
  };
}

/** What the workflow has cancelled, or left behind when it ended, is not tried again. */
const NOBODY_WAITS = { retry: false, state: 'CANCEL_REQUESTED' } as const;
const OUT_OF_TIME = { retry: false, state: 'TIMEOUT' } as const;

/** In place of the time at which an attempt began. */
const NEVER_STARTED = 0;

/** An activity that waits for a free place. */
interface Waiting {
  live: Live;
  seq: number;
  stop: () => void;
}

export class ActivityRunner implements AttemptHost {
  readonly #executors: readonly ActivityExecutor[];
  readonly #host: ActivityHost;
  readonly clock: Clock;
  readonly #activitiesMax: number;
  readonly #waiting: Waiting[] = [];
  /** What is under way: the attempt, or undefined for what waits for a place. */
  readonly #known = new BoxedMap<string, Attempt | undefined>();
  #running = 0;
  /** Cancelled without an attempt; the workflow is being told. */
  readonly #givenUp = new WeakSet<ActivityRecord>();
  #closed = false;

  constructor(parts: {
    executors: readonly ActivityExecutor[];
    host: ActivityHost;
    clock: Clock;
    activitiesMax: number;
  }) {
    this.#executors = parts.executors;
    this.#host = parts.host;
    this.clock = parts.clock;
    this.#activitiesMax = parts.activitiesMax;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** An activity may begin its next attempt. Told twice, it still begins once. */
  ready(live: Live, seq: number): void {
    const key = keyOf(live, seq);
    const record = live.run.activities.get(seq);
    if (record === undefined || this.#known.has(key) || this.#closed) return;
    // The request came, and then the process went; nobody runs it any more.
    if (record.cancelRequested) return this.#giveUp(live, seq, record);
    if (record.begunAt !== undefined) return this.#interrupted(live, seq, record, record.begunAt);
    if (record.nextAt > this.clock.now()) return this.#host.dueAt(live, seq, record.nextAt);
    if (this.#waiting.length === 0 && this.#running < this.#activitiesMax)
      return this.#run(key, live, seq, record);
    this.#known.set(key, undefined);
    const waiting: Waiting = { live, seq, stop: () => undefined };
    this.#waiting.push(waiting);
    this.#begin();
    if (this.#waiting.at(-1) === waiting) waiting.stop = this.#limitWait(waiting, record);
  }

  /** All places are taken: what waits for one has its time limits too. */
  #limitWait(waiting: Waiting, { command, scheduledAt }: ActivityRecord): () => void {
    const { scheduleToStartMs, scheduleToCloseMs } = command;
    const stops: (() => void)[] = [];
    const arm = (type: TimeoutKind, ms: number): void => {
      stops.push(this.clock.after(ms, () => this.#waitedTooLong(waiting, type)));
    };
    if (scheduleToStartMs !== undefined) arm('SCHEDULE_TO_START', scheduleToStartMs);
    if (scheduleToCloseMs !== undefined)
      arm('SCHEDULE_TO_CLOSE', scheduledAt + scheduleToCloseMs - this.clock.now());
    return () => {
      for (const stop of stops) stop();
    };
  }

  #waitedTooLong(waiting: Waiting, type: TimeoutKind): void {
    const { live, seq } = waiting;
    waiting.stop();
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    this.#known.delete(keyOf(live, seq));
    const record = live.run.activities.get(seq);
    if (record === undefined || record.cancelRequested) return;
    const failure = toFailure(timeoutFailure(type, record.heartbeat));
    const retryState = type === 'SCHEDULE_TO_CLOSE' ? 'TIMEOUT' : 'NON_RETRYABLE_FAILURE';
    const { activityId, activityType } = record.command;
    this.#host.log(live, 'WARN', 'Activity failed', {
      activityId,
      activityType,
      ...failedAttempt(record, failure, { retry: false, state: retryState }),
    });
    this.#host.resolved(live, seq, record.attempt, NEVER_STARTED, {
      status: 'timedOut',
      failure,
      retryState,
    });
  }

  /** The workflow asked to cancel the activity, or ended. */
  cancel(live: Live, seq: number, record: ActivityRecord): void {
    const attempt = this.#known.get(keyOf(live, seq));
    if (attempt?.begun) return attempt.cancel();
    if (live.run.activities.get(seq) === record) this.#giveUp(live, seq, record);
    if (attempt !== undefined) this.#withdraw(attempt);
  }

  /** That it begins is being journalled, and now it need not. */
  #withdraw(attempt: Attempt): void {
    attempt.abandon();
    this.#known.delete(keyOf(attempt.live, attempt.seq));
    this.#running--;
    this.#begin();
  }

  /** No attempt runs, so nobody has to be asked. */
  #giveUp(live: Live, seq: number, record: ActivityRecord): void {
    if (this.#givenUp.has(record)) return;
    this.#givenUp.add(record);
    const failure = toFailure(new CancelledFailure('Activity cancelled'));
    this.#host.resolved(live, seq, record.attempt, NEVER_STARTED, { status: 'cancelled', failure });
  }

  /** Ends what runs. When the store is opened next, it begins again or counts as interrupted (see above). */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.stop();
    for (const attempt of this.#known.values()) attempt?.abandon();
    this.#known.clear();
    this.#running = 0;
    await Promise.all(this.#executors.map((executor) => executor.close()));
  }

  #begin(): void {
    while (this.#waiting.length > 0 && this.#running < this.#activitiesMax) {
      const { live, seq, stop } = this.#waiting.shift()!;
      stop();
      const record = live.run.activities.get(seq);
      const key = keyOf(live, seq);
      if (record === undefined || record.cancelRequested) this.#known.delete(key);
      else this.#run(key, live, seq, record);
    }
  }

  #run(key: string, live: Live, seq: number, record: ActivityRecord): void {
    const attempt = new Attempt(this, live, seq, record);
    this.#known.set(key, attempt);
    this.#running++;
    const { activityType, retry } = record.command;
    const executor =
      this.#executors.find(({ types }) => types.includes(activityType)) ?? this.#unknown(activityType);
    if (!retry?.maximumAttempts) return attempt.begin(executor);
    const entry = { kind: 'activityStarted', time: this.clock.now(), seq, attempt: record.attempt } as const;
    // Known no longer: it was cancelled meanwhile, or its run or the runtime closed.
    this.#host.starting(live, entry, () => this.#known.get(key) === attempt && attempt.begin(executor));
  }

  /** Nobody runs an attempt that had begun: the process ended, or the runtime was closed. */
  #interrupted(live: Live, seq: number, record: ActivityRecord, begunAt: number): void {
    const { command, attempt, scheduledAt, heartbeat } = record;
    const now = this.clock.now();
    const { scheduleToCloseMs = Number.POSITIVE_INFINITY, heartbeatMs } = command;
    const attemptTimeout = heartbeatMs === undefined ? 'START_TO_CLOSE' : 'HEARTBEAT';
    const type = now - scheduledAt >= scheduleToCloseMs ? 'SCHEDULE_TO_CLOSE' : attemptTimeout;
    const failure = toFailure(timeoutFailure(type, heartbeat));
    // It has waited long enough.
    const decision = isOutOfTime(failure)
      ? OUT_OF_TIME
      : afterFailure(command, attempt, failure, now - scheduledAt, 0);
    this.log({ live, record }, 'WARN', 'Activity failed', failedAttempt(record, failure, decision));
    if (decision.retry) return this.#retry(live, seq, record, { failure, heartbeat, nextAt: now });
    this.#host.resolved(live, seq, attempt, begunAt, lastWord(failure, decision.state));
  }

  ended(attempt: Attempt, ended: Ended): void {
    const { live, seq } = attempt;
    this.#known.delete(keyOf(live, seq));
    this.#running--;
    if (live.run.activities.has(seq)) this.#ended(attempt, ended);
    else if ('failure' in ended) this.#logFailure(attempt, ended.failure, NOBODY_WAITS);
    this.#begin();
  }

  beating({ live, seq, record }: Attempt, heartbeat: Payload, done: (failed: boolean) => void): void {
    const { attempt } = record;
    const entry = { kind: 'activityStarted', time: this.clock.now(), seq, attempt, heartbeat } as const;
    this.#host.beating(live, entry, done);
  }

  log(
    { live, record }: Pick<Attempt, 'live' | 'record'>,
    ...[level, message, attributes]: Parameters<ActivityLog>
  ): void {
    const { activityId, activityType } = record.command;
    this.#host.log(live, level, message, { activityId, activityType, ...attributes });
  }

  /** As Temporal's worker does: a cancellation is no failure, and one that is called benign is only for the curious. */
  #logFailure(attempt: Attempt, failure: Failure, decision: RetryDecision): void {
    const { record, cancelRequested } = attempt;
    if (cancelRequested && isCancellation(failure))
      return this.log(attempt, 'DEBUG', 'Activity completed as cancelled', { attempt: record.attempt });
    const level = isBenign(failure) ? 'DEBUG' : 'WARN';
    this.log(attempt, level, 'Activity failed', failedAttempt(record, failure, decision));
  }

  #decide({ cancelRequested, record }: Attempt, failure: Failure): RetryDecision {
    if (isOutOfTime(failure)) return OUT_OF_TIME;
    if (cancelRequested) return NOBODY_WAITS;
    const { command, attempt, scheduledAt } = record;
    return afterFailure(command, attempt, failure, this.clock.now() - scheduledAt);
  }

  /** Runs an activity that nobody has. */
  #unknown(type: string): ActivityExecutor {
    const known = this.#executors.flatMap(({ types }) => types);
    const text = `Activity function ${type} is not registered on this Worker, available activities: ${JSON.stringify(known)}`;
    const failure = ApplicationFailure.create({ message: text, type: 'NotFoundError', nonRetryable: false });
    // No code of the user's has thrown it.
    failure.stack = '';
    return { types: [], run: () => Promise.reject(failure), close: async () => undefined };
  }

  #ended(attempt: Attempt, ended: Ended): void {
    const { live, seq, record, startedAt } = attempt;
    const tell = (outcome: ActivityOutcome) => {
      const event = outcome.status;
      attempt.state = next(activityTable, attempt.state, event);
      this.#host.resolved(live, seq, record.attempt, startedAt, outcome);
    };
    if ('result' in ended) return tell({ status: 'completed', result: ended.result });
    const { failure } = ended;
    const decision = this.#decide(attempt, failure);
    this.#logFailure(attempt, failure, decision);
    if (attempt.cancelRequested && failure.info?.kind === 'cancelled')
      return tell({ status: 'cancelled', failure });
    if (!decision.retry) return tell(lastWord(failure, decision.state));
    attempt.state = next(activityTable, attempt.state, 'activityRetry');
    const nextAt = this.clock.now() + decision.delayMs;
    this.#retry(live, seq, record, { failure, heartbeat: attempt.heartbeat, nextAt });
  }

  #retry(
    live: Live,
    seq: number,
    record: ActivityRecord,
    next: Pick<RetryEntry, 'failure' | 'heartbeat' | 'nextAt'>,
  ): void {
    const [time, attempt] = [this.clock.now(), record.attempt + 1];
    const entry = { kind: 'activityRetry', time, seq, attempt, ...next } as const;
    this.#host.retrying(live, entry, () => this.ready(live, seq));
  }
}

/** What the workflow hears of a failure after which there is no other attempt. */
function lastWord(failure: Failure, retryState: RetryState): ActivityOutcome {
  return { status: failure.info?.kind === 'timeout' ? 'timedOut' : 'failed', failure, retryState };
}

function isOutOfTime({ info }: Failure): boolean {
  return info?.kind === 'timeout' && info.timeoutType === 'SCHEDULE_TO_CLOSE';
}

/** Also what a function throws that stopped because of its AbortSignal. */
function isCancellation({ info }: Failure): boolean {
  if (info?.kind === 'application') return info.type === 'AbortError' || info.type === 'DOMException';
  return info?.kind === 'cancelled';
}

/** What a log line says of it: what went wrong, and when it is tried again. */
function failedAttempt({ attempt }: ActivityRecord, failure: Failure, decision: RetryDecision) {
  const again = decision.retry
    ? { willRetry: true, nextAttemptInMs: decision.delayMs }
    : { willRetry: false, retryState: decision.state };
  return { attempt, ...failureAttributes(failure), ...again };
}

function keyOf(live: Live, seq: number): string {
  return `${live.run.runNo}:${seq}`;
}
