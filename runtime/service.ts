/**
 * What a client may ask of the runtime. The embedded client calls it directly; another front end would too.
 *
 * Owns: the shapes of requests and answers, with values already encoded. Errors are those of client/errors.ts.
 */

import type { Failure } from '../codec/failure.js';
import type { HistoryEvent } from '../codec/history-event.js';
import type { Headers, Payload, RetryPolicy, Sender, SignalInput } from '../codec/journal-entry.js';
import type { RunOutcome, UpdateOutcome } from '../codec/run-record.js';
import type { WatchRequest } from './watch.js';

/** The latest run of a workflow id, or one run of it. */
export interface Target {
  namespace: string;
  workflowId: string;
  runId?: string | undefined;
  /** Only a run of this chain. */
  firstExecutionRunId?: string | undefined;
}

export type ReusePolicy =
  | 'ALLOW_DUPLICATE'
  | 'ALLOW_DUPLICATE_FAILED_ONLY'
  | 'REJECT_DUPLICATE'
  | 'TERMINATE_IF_RUNNING';
export type ConflictPolicy = 'FAIL' | 'USE_EXISTING' | 'TERMINATE_EXISTING';

export interface StartRequest {
  namespace: string;
  workflowId: string;
  workflowType: string;
  taskQueue: string;
  args: Payload;
  reusePolicy: ReusePolicy;
  conflictPolicy: ConflictPolicy;
  executionTimeoutMs?: number | undefined;
  runTimeoutMs?: number | undefined;
  taskTimeoutMs?: number | undefined;
  retry?: RetryPolicy | undefined;
  memo?: Payload | undefined;
  searchAttributes?: Payload | undefined;
  headers?: Headers | undefined;
  identity?: string | undefined;
  /** Signal-with-start: delivered in the first turn of a new run, or to the open one. */
  signal?: SignalInput | undefined;
  /** The same for an update: both or neither. An update that the latest run knows is attached to, whatever the policies. */
  update?: UpdateRequest | undefined;
  /** The first turn waits this long, or for the first message if one comes before. */
  startDelayMs?: number | undefined;
}

export interface StartAnswer {
  runId: string;
  /** The chain's first run; another than runId only where an open run was used that continues one. */
  firstRunId: string;
  /** False when an open run was used. */
  started: boolean;
  /** Of the request's update. */
  update?: UpdateTicket | undefined;
}

export type StatusName =
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'CANCELLED'
  | 'TERMINATED'
  | 'CONTINUED_AS_NEW'
  | 'TIMED_OUT';

export interface PendingActivityInfo {
  activityId: string;
  activityType: string;
  attempt: number;
  scheduledTime: Date;
  nextAttemptTime: Date;
  lastFailure?: Failure | undefined;
  /** What the activity reported last, as far as it is on disk. */
  heartbeatDetails?: unknown;
}

/** The turn that fails and is tried again. */
export interface PendingTurnInfo {
  cause: string;
  message: string;
  /** Failed attempts so far. */
  attempt: number;
  since: Date;
  nextAttemptTime: Date;
}

export interface Description {
  type: string;
  workflowId: string;
  runId: string;
  firstExecutionRunId: string;
  taskQueue: string;
  status: { code: number; name: StatusName };
  historyLength: number;
  historySize: number;
  startTime: Date;
  executionTime: Date;
  closeTime: Date | undefined;
  memo: Payload | undefined;
  searchAttributes: Payload | undefined;
  parentExecution: { workflowId: string; runId: string } | undefined;
  pendingActivities: PendingActivityInfo[];
  pendingTurn: PendingTurnInfo | undefined;
}

export interface UpdateRequest {
  id: string;
  generated: boolean;
  name: string;
  args: Payload;
  identity?: string | undefined;
  headers?: Headers | undefined;
  /** The workflow that sent it, if one did. */
  sender?: Sender | undefined;
}

/**
 * Takes what is to be done when the caller waits no longer, so that nothing of the wait is left. It answers UNSENT when
 * the call had not been made by then and never will be.
 */
export type OnGivenUp = (forget: () => unknown) => void;
export const UNSENT: unique symbol = Symbol('unsent');

/** What becomes of a call when there is no room for its message: it is refused with RESOURCE_EXHAUSTED, or waits for room. */
export type WhenFull = 'error' | 'wait';

export interface UpdateTicket {
  runId: string;
  /** Why it is not accepted yet, when the workflow is in trouble. */
  readonly waitsFor: string | undefined;
  /** Resolves at the stage, or earlier when the update is rejected or done. */
  reached(stage: 'accepted' | 'completed', onGivenUp?: OnGivenUp): Promise<UpdateOutcome | undefined>;
}

/** Where a call can wait before it is made, `onGivenUp` is told how to give that up. */
export interface WorkflowService {
  /** The same, but its calls wait while there is no room for them. */
  patient(): WorkflowService;
  start(request: StartRequest, onGivenUp?: OnGivenUp): Promise<StartAnswer>;
  /** Resolves when the signal is durable; `duplicate`: its request id was seen before and it had no effect. */
  signal(target: Target, input: SignalInput, onGivenUp?: OnGivenUp): Promise<{ duplicate: boolean }>;
  query(
    target: Target,
    name: string,
    args: Payload,
    reject: QueryReject,
    onGivenUp?: OnGivenUp,
  ): Promise<Payload>;
  /**
   * The query's answer now, and again when a turn has changed it, until the run has closed. A target without runId goes on
   * with the next run of the chain. Nothing is done before next(), which throws what the query would; once more: at most
   * limits.watchesMax, and UNAVAILABLE when the runtime closes.
   */
  watch(request: WatchRequest): AsyncIterableIterator<Payload>;
  /** At once, unless it has to wait before it is made. */
  update(target: Target, request: UpdateRequest, onGivenUp?: OnGivenUp): UpdateTicket | Promise<UpdateTicket>;
  /** An update sent before. */
  findUpdate(target: Target, updateId: string, onGivenUp?: OnGivenUp): Promise<UpdateTicket>;
  cancel(target: Target, reason: string | undefined, onGivenUp?: OnGivenUp): Promise<void>;
  terminate(
    target: Target,
    reason: string | undefined,
    details: Payload | undefined,
    onGivenUp?: OnGivenUp,
  ): Promise<void>;
  result(target: Target, onGivenUp?: OnGivenUp): Promise<{ runId: string; outcome: RunOutcome }>;
  describe(target: Target, onGivenUp?: OnGivenUp): Promise<Description>;
  history(target: Target, onGivenUp?: OnGivenUp): Promise<HistoryEvent[]>;
}

export type QueryReject = 'NONE' | 'NOT_OPEN' | 'NOT_COMPLETED_CLEANLY';
