/**
 * One attempt of an activity: its function runs, until it is done or a time limit decides.
 *
 *   made --begin--> begun --the function resolved or threw--> ended
 *     |               |
 *     |               +--a time limit passed: cancelled, and--> ended; what the function does afterwards is ignored
 *     |               |
 *     +---------------+--abandon: the runtime closes, or it need not begin any more--> nobody is told
 *
 * Owns: the time limits of the attempt, its cancellation, telling its end once.
 * Does not own: which attempts run and what their end means (runner.ts), what the function sees (context.ts), which
 * heartbeats are noted (heartbeats.ts).
 *
 * Whatever few functions ask for is made when they do: there are as many attempts a second as there are workflows.
 */
import { ensureTemporalFailure, TimeoutFailure, toFailure } from '../../actors/failures.js';
import { type ActivityState, activityTable } from '../../actors/lifecycles/activity.js';
import { next } from '../../actors/lifecycles/table.js';
import type { Failure, TimeoutKind } from '../../codec/failure.js';
import type { Payload } from '../../codec/journal-entry.js';
import { encodePayload } from '../../codec/payload.js';
import type { ActivityRecord } from '../../codec/run-record.js';
import type { Clock } from '../clock.js';
import type { Live } from '../live.js';
import { Cancellation } from './cancellation.js';
import { type ActivityInfo, type ActivityLog, Context, type ContextSource } from './context.js';
import { detailsOf, HeartbeatNotes } from './heartbeats.js';

/** Where an activity's function is found and run. */
export interface ActivityExecutor {
  readonly types: readonly string[];
  run(type: string, args: Payload, context: Context): Promise<Payload>;
  close(): Promise<void>;
}

export type Ended = { result: Payload } | { failure: Failure };

export interface AttemptHost {
  readonly clock: Clock;
  /** Called once, unless the attempt was abandoned. */
  ended(attempt: Attempt, ended: Ended): void;
  /** Journals what the function has reported. */
  beating(attempt: Attempt, heartbeat: Payload, done: (failed: boolean) => void): void;
  log(attempt: Attempt, ...line: Parameters<ActivityLog>): void;
}

export class Attempt implements ContextSource {
  readonly live: Live;
  readonly seq: number;
  readonly record: ActivityRecord;
  /** Epoch ms; until it begins, when it was made. */
  startedAt: number;
  state: ActivityState = activityTable.initial;
  /** What the function reported last, or the attempt before did. */
  heartbeat: Payload | undefined;
  cancelRequested = false;
  readonly #host: AttemptHost;
  readonly #cancellation = new Cancellation();
  #over = false;
  #stops: (() => void)[] = [];
  #stopBeat: (() => void) | undefined;
  #notes: HeartbeatNotes | undefined;

  constructor(host: AttemptHost, live: Live, seq: number, record: ActivityRecord) {
    this.#host = host;
    this.live = live;
    this.seq = seq;
    this.record = record;
    this.startedAt = host.clock.now();
    this.heartbeat = record.heartbeat;
  }

  get begun(): boolean {
    return this.state !== activityTable.initial;
  }

  begin(executor: ActivityExecutor): void {
    const { command, scheduledAt } = this.record;
    const { startToCloseMs, scheduleToCloseMs } = command;
    this.state = next(activityTable, this.state, 'attemptStarted');
    this.startedAt = this.#host.clock.now();
    if (startToCloseMs !== undefined) this.#stops.push(this.#arm('START_TO_CLOSE', startToCloseMs));
    if (scheduleToCloseMs !== undefined) {
      const left = Math.max(0, scheduledAt + scheduleToCloseMs - this.startedAt);
      this.#stops.push(this.#arm('SCHEDULE_TO_CLOSE', left));
    }
    this.#awaitBeat();
    // The time of the activity may be over by now; then it is not begun in vain.
    if (scheduleToCloseMs !== undefined && scheduledAt + scheduleToCloseMs <= this.startedAt) return;
    executor.run(command.activityType, command.args, new Context(this)).then(
      (result) => this.#end({ result }),
      (error) => this.fail(error),
    );
  }

  /** The attempt ends with this error. */
  fail(error: unknown): void {
    this.#end({ failure: toFailure(ensureTemporalFailure(error)) });
  }

  /** The workflow asked to cancel the activity, or ended. */
  cancel(): void {
    this.cancelRequested = true;
    if (this.state === 'started') this.state = next(activityTable, this.state, 'cancelActivity');
    this.#cancellation.request('CANCELLED');
  }

  /** What the function reports when it is told, before this returns, is still noted. */
  abandon(): void {
    this.#cancellation.request('WORKER_SHUTDOWN');
    this.#notes?.flush();
    this.#close();
  }

  #end(ended: Ended): void {
    if (this.#over) return;
    this.#close();
    this.#host.ended(this, ended);
  }

  #close(): void {
    this.#over = true;
    for (const stop of this.#stops) stop();
    this.#stopBeat?.();
    this.#notes?.stop();
  }

  #arm(type: TimeoutKind, ms: number): () => void {
    return this.#host.clock.after(ms, () => {
      this.#cancellation.request('TIMED_OUT');
      this.fail(timeoutFailure(type, this.heartbeat));
    });
  }

  #awaitBeat(): void {
    const { heartbeatMs } = this.record.command;
    if (heartbeatMs === undefined) return;
    this.#stopBeat?.();
    this.#stopBeat = this.#arm('HEARTBEAT', heartbeatMs);
  }

  // ----- what the function sees (ContextSource) ----------------------------------------------------------------

  get info(): ActivityInfo {
    const { command, attempt, scheduledAt, nextAt, heartbeat } = this.record;
    const { namespace, workflowId, runId, workflowType } = this.live.run.info;
    return {
      activityId: command.activityId,
      activityType: command.activityType,
      attempt,
      taskQueue: command.taskQueue,
      activityNamespace: namespace,
      workflowNamespace: namespace,
      workflowType,
      workflowExecution: { workflowId, runId },
      scheduledTimestampMs: scheduledAt,
      currentAttemptScheduledTimestampMs: Math.min(nextAt, this.startedAt),
      startToCloseTimeoutMs: command.startToCloseMs,
      scheduleToCloseTimeoutMs: command.scheduleToCloseMs,
      heartbeatTimeoutMs: command.heartbeatMs,
      heartbeatDetails: detailsOf(heartbeat),
      isLocal: false,
    };
  }

  get cancellationSignal(): AbortSignal {
    return this.#cancellation.signal;
  }

  beat(details: unknown): void {
    // A function that its time limit has left behind may still go on.
    if (this.#over) return;
    this.heartbeat = encodePayload([details], 'heartbeat details');
    this.#awaitBeat();
    this.#notes ??= new HeartbeatNotes(this.#host.clock, this.record.command.heartbeatMs, (heartbeat, done) =>
      this.#host.beating(this, heartbeat, done),
    );
    this.#notes.add(this.heartbeat);
  }

  log(...line: Parameters<ActivityLog>): void {
    this.#host.log(this, ...line);
  }
}

const TIMEOUT_TEXT: Record<TimeoutKind, string> = {
  START_TO_CLOSE: 'StartToClose',
  SCHEDULE_TO_START: 'ScheduleToStart',
  SCHEDULE_TO_CLOSE: 'ScheduleToClose',
  HEARTBEAT: 'Heartbeat',
};

export function timeoutFailure(type: TimeoutKind, heartbeat: Payload | undefined): TimeoutFailure {
  return new TimeoutFailure(`activity ${TIMEOUT_TEXT[type]} timeout`, detailsOf(heartbeat), type);
}
