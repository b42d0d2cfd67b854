/**
 * Runs activity attempts: the embedder's functions on the host, or those of activitiesPath in a pool of their own.
 *
 *   scheduled --(a place is free)--> attempt --completed / failed for good / timed out / cancelled--> told to the workflow
 *                                       |
 *                                       +--failed, may be tried again--> journalled, and due again after its delay
 *
 * Owns: the bounded number of attempts, timeouts, heartbeats, cancellation, what an attempt's end means.
 * Does not own: the record of an activity (run.ts), delivering its end (the host does, until a turn took it durably).
 *
 * An attempt is begun only when the turn that scheduled it is durable (D4), at least once (D2): a crash begins it again.
 */

import {
  ApplicationFailure,
  CancelledFailure,
  ensureTemporalFailure,
  TimeoutFailure,
  toFailure,
} from '../../actors/failures.js';
import { type ActivityState, activityTable } from '../../actors/lifecycles/activity.js';
import { next } from '../../actors/lifecycles/table.js';
import type { Failure, TimeoutKind } from '../../codec/failure.js';
import type { ActivityOutcome, JournalEntry, Payload } from '../../codec/journal-entry.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import type { ActivityRecord } from '../../codec/run-record.js';
import type { Clock } from '../clock.js';
import type { Live } from '../live.js';
import { type ActivityInfo, type ActivityLog, Context } from './context.js';
import { afterFailure } from './retry.js';

export interface ActivityHost {
  /** Tells the workflow how the activity ended, until it is durable. */
  resolved(live: Live, seq: number, attempt: number, startedAt: number, outcome: ActivityOutcome): void;
  /** Journals that an attempt failed; `done` is called when that is durable. */
  retrying(live: Live, entry: Extract<JournalEntry, { kind: 'activityRetry' }>, done: () => void): void;
  dueAt(live: Live, seq: number, at: number): void;
  log(
    live: Live,
    level: Parameters<ActivityLog>[0],
    message: string,
    attributes: Record<string, unknown> | undefined,
  ): void;
}

/** Where an activity's function is found and run. */
export interface ActivityExecutor {
  readonly types: readonly string[];
  run(type: string, args: Payload, context: Context): Promise<Payload>;
  close(): Promise<void>;
}

/** Functions of the embedder, on the host thread. */
export function hostExecutor(functions: Record<string, unknown>, payloadBytesMax: number): ActivityExecutor {
  const types = Object.keys(functions).filter((type) => typeof functions[type] === 'function');
  return {
    types,
    async run(type, args, context) {
      const fn = functions[type] as (...args: unknown[]) => unknown;
      const result = await Context.run(context, async () =>
        fn.apply(functions, decodePayload(args) as unknown[]),
      );
      return encodePayload(result, `result of activity ${type}`, payloadBytesMax);
    },
    close: async () => undefined,
  };
}

/** In place of the time at which an attempt began. */
const NEVER_STARTED = 0;

/** An activity that waits for a free place. */
interface Waiting {
  live: Live;
  seq: number;
  stop: () => void;
}

interface Attempt {
  live: Live;
  seq: number;
  state: ActivityState;
  abort: AbortController;
  stops: (() => void)[];
  heartbeat: Payload | undefined;
  cancelRequested: boolean;
}

export class ActivityRunner {
  readonly #executors: readonly ActivityExecutor[];
  readonly #host: ActivityHost;
  readonly #clock: Clock;
  readonly #activitiesMax: number;
  readonly #waiting: Waiting[] = [];
  readonly #known = new Set<string>();
  readonly #attempts = new Map<string, Attempt>();
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
    this.#clock = parts.clock;
    this.#activitiesMax = parts.activitiesMax;
  }

  get running(): number {
    return this.#attempts.size;
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
    if (record.nextAt > this.#clock.now()) return this.#host.dueAt(live, seq, record.nextAt);
    this.#known.add(key);
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
      stops.push(this.#clock.after(ms, () => this.#waitedTooLong(waiting, type)));
    };
    if (scheduleToStartMs !== undefined) arm('SCHEDULE_TO_START', scheduleToStartMs);
    if (scheduleToCloseMs !== undefined)
      arm('SCHEDULE_TO_CLOSE', scheduledAt + scheduleToCloseMs - this.#clock.now());
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
    this.#host.resolved(live, seq, record.attempt, NEVER_STARTED, {
      status: 'timedOut',
      failure,
      retryState,
    });
  }

  /** The workflow asked to cancel the activity, or ended. */
  cancel(live: Live, seq: number, record: ActivityRecord): void {
    const attempt = this.#attempts.get(keyOf(live, seq));
    if (attempt !== undefined) {
      attempt.cancelRequested = true;
      if (attempt.state === 'started') attempt.state = next(activityTable, attempt.state, 'cancelActivity');
      attempt.abort.abort('CANCELLED');
      return;
    }
    if (live.run.activities.get(seq) === record) this.#giveUp(live, seq, record);
  }

  /** No attempt runs, so nobody has to be asked. */
  #giveUp(live: Live, seq: number, record: ActivityRecord): void {
    if (this.#givenUp.has(record)) return;
    this.#givenUp.add(record);
    const failure = toFailure(new CancelledFailure('Activity cancelled'));
    this.#host.resolved(live, seq, record.attempt, NEVER_STARTED, { status: 'cancelled', failure });
  }

  /** Ends what runs; it begins again when the store is opened next. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.stop();
    for (const attempt of this.#attempts.values()) {
      for (const stop of attempt.stops) stop();
      attempt.abort.abort('WORKER_SHUTDOWN');
    }
    this.#attempts.clear();
    await Promise.all(this.#executors.map((executor) => executor.close()));
  }

  #begin(): void {
    while (this.#waiting.length > 0 && this.#attempts.size < this.#activitiesMax) {
      const { live, seq, stop } = this.#waiting.shift()!;
      stop();
      const record = live.run.activities.get(seq);
      if (record === undefined || record.cancelRequested) this.#known.delete(keyOf(live, seq));
      else void this.#run(live, seq, record);
    }
  }

  async #run(live: Live, seq: number, record: ActivityRecord): Promise<void> {
    const key = keyOf(live, seq);
    const startedAt = this.#clock.now();
    const attempt: Attempt = {
      live,
      seq,
      state: next(activityTable, 'scheduled', 'attemptStarted'),
      abort: new AbortController(),
      stops: [],
      heartbeat: record.heartbeat,
      cancelRequested: false,
    };
    this.#attempts.set(key, attempt);
    const outcome = await this.#attempt(attempt, record, startedAt);
    for (const stop of attempt.stops) stop();
    if (this.#closed || this.#attempts.get(key) !== attempt) return;
    this.#attempts.delete(key);
    this.#known.delete(key);
    if (live.run.activities.has(seq)) this.#ended(attempt, record, startedAt, outcome);
    this.#begin();
  }

  /** Never rejects. A time limit decides at once; what the function does afterwards is ignored. */
  async #attempt(
    attempt: Attempt,
    record: ActivityRecord,
    startedAt: number,
  ): Promise<{ result: Payload } | { failure: Failure }> {
    const { command } = record;
    const executor = this.#executors.find(({ types }) => types.includes(command.activityType));
    if (executor === undefined) return { failure: toFailure(this.#unknown(command.activityType)) };
    const timedOut = this.#limits(attempt, record, startedAt);
    const context = new Context(
      infoOf(attempt.live, record, startedAt),
      attempt.abort.signal,
      timedOut.beat,
      (level, message, attributes) =>
        this.#host.log(attempt.live, level, message, {
          activityId: command.activityId,
          activityType: command.activityType,
          ...attributes,
        }),
    );
    try {
      return {
        result: await Promise.race([
          executor.run(command.activityType, command.args, context),
          timedOut.promise,
        ]),
      };
    } catch (error) {
      return { failure: toFailure(ensureTemporalFailure(error)) };
    }
  }

  #unknown(type: string): ApplicationFailure {
    const known = this.#executors.flatMap(({ types }) => types);
    const text = `Activity function ${type} is not registered on this Worker, available activities: ${JSON.stringify(known)}`;
    return ApplicationFailure.create({ message: text, type: 'NotFoundError', nonRetryable: false });
  }

  #limits(attempt: Attempt, { command, scheduledAt }: ActivityRecord, startedAt: number) {
    let expire!: (error: Error) => void;
    const promise = new Promise<never>((_, reject) => {
      expire = reject;
    });
    // The function may be done first; then nobody listens any more.
    promise.catch(() => undefined);
    const arm = (type: TimeoutKind, ms: number): (() => void) =>
      this.#clock.after(ms, () => {
        attempt.abort.abort('TIMED_OUT');
        expire(timeoutFailure(type, attempt.heartbeat));
      });
    if (command.startToCloseMs !== undefined)
      attempt.stops.push(arm('START_TO_CLOSE', command.startToCloseMs));
    if (command.scheduleToCloseMs !== undefined) {
      attempt.stops.push(
        arm('SCHEDULE_TO_CLOSE', Math.max(0, scheduledAt + command.scheduleToCloseMs - startedAt)),
      );
    }
    let stopBeat = (): void => undefined;
    const watch = (): void => {
      stopBeat();
      if (command.heartbeatMs !== undefined) stopBeat = arm('HEARTBEAT', command.heartbeatMs);
    };
    watch();
    attempt.stops.push(() => stopBeat());
    const beat = (details: unknown): void => {
      // A function that its time limit has left behind may still go on.
      if (this.#attempts.get(keyOf(attempt.live, attempt.seq)) !== attempt) return;
      attempt.heartbeat = encodePayload([details], 'heartbeat details');
      watch();
    };
    return { promise, beat };
  }

  #ended(
    attempt: Attempt,
    record: ActivityRecord,
    startedAt: number,
    ended: { result: Payload } | { failure: Failure },
  ): void {
    const { live, seq } = attempt;
    const tell = (outcome: ActivityOutcome) => {
      const event = outcome.status;
      attempt.state = next(activityTable, attempt.state, event);
      this.#host.resolved(live, seq, record.attempt, startedAt, outcome);
    };
    if ('result' in ended) return tell({ status: 'completed', result: ended.result });
    const { failure } = ended;
    if (attempt.cancelRequested && failure.info?.kind === 'cancelled')
      return tell({ status: 'cancelled', failure });
    const decision = attempt.cancelRequested
      ? ({ retry: false, state: 'CANCEL_REQUESTED' } as const)
      : afterFailure(record.command, record.attempt, failure, this.#clock.now() - record.scheduledAt);
    if (!decision.retry) {
      const status = failure.info?.kind === 'timeout' ? 'timedOut' : 'failed';
      const retryState =
        failure.info?.kind === 'timeout' && failure.info.timeoutType === 'SCHEDULE_TO_CLOSE'
          ? 'TIMEOUT'
          : decision.state;
      return tell({ status, failure, retryState });
    }
    attempt.state = next(activityTable, attempt.state, 'activityRetry');
    const now = this.#clock.now();
    const nextAt = now + decision.delayMs;
    const entry = {
      kind: 'activityRetry',
      time: now,
      seq,
      attempt: record.attempt + 1,
      nextAt,
      failure,
      heartbeat: attempt.heartbeat,
    } as const;
    this.#host.retrying(live, entry, () => this.ready(live, seq));
  }
}

const TIMEOUT_TEXT: Record<TimeoutKind, string> = {
  START_TO_CLOSE: 'StartToClose',
  SCHEDULE_TO_START: 'ScheduleToStart',
  SCHEDULE_TO_CLOSE: 'ScheduleToClose',
  HEARTBEAT: 'Heartbeat',
};

function timeoutFailure(type: TimeoutKind, heartbeat: Payload | undefined): TimeoutFailure {
  return new TimeoutFailure(`activity ${TIMEOUT_TEXT[type]} timeout`, detailsOf(heartbeat), type);
}

function detailsOf(heartbeat: Payload | undefined): unknown {
  return heartbeat === undefined ? undefined : (decodePayload(heartbeat) as unknown[])[0];
}

function keyOf(live: Live, seq: number): string {
  return `${live.run.runNo}:${seq}`;
}

function infoOf(live: Live, record: ActivityRecord, startedAt: number): ActivityInfo {
  const { command } = record;
  const { namespace, workflowId, runId, workflowType } = live.run.info;
  return {
    activityId: command.activityId,
    activityType: command.activityType,
    attempt: record.attempt,
    taskQueue: command.taskQueue,
    activityNamespace: namespace,
    workflowNamespace: namespace,
    workflowType,
    workflowExecution: { workflowId, runId },
    scheduledTimestampMs: record.scheduledAt,
    currentAttemptScheduledTimestampMs: Math.min(record.nextAt, startedAt),
    startToCloseTimeoutMs: command.startToCloseMs,
    scheduleToCloseTimeoutMs: command.scheduleToCloseMs,
    heartbeatTimeoutMs: command.heartbeatMs,
    heartbeatDetails: detailsOf(record.heartbeat),
    isLocal: false,
  };
}
