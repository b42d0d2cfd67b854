/**
 * Types of the client API, in the shapes of Temporal's TypeScript client.
 */
import type { RetryPolicy } from '../../actors/activities.js';
import type {
  QueryDefinition,
  SignalDefinition,
  UpdateDefinition,
  WithWorkflowArgs,
  Workflow,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowResultType,
} from '../../actors/definitions.js';
import type { Duration } from '../../actors/duration.js';
import type { HistoryEvent } from '../../codec/history-event.js';
import type { PendingActivityInfo, PendingTurnInfo, StatusName } from '../service.js';

export {
  type WithWorkflowArgs,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
} from '../../actors/definitions.js';

/** How far an update must have come before a call returns. No call returns before ACCEPTED. */
export const WorkflowUpdateStage = {
  ADMITTED: 'ADMITTED',
  ACCEPTED: 'ACCEPTED',
  COMPLETED: 'COMPLETED',
} as const;
export type WorkflowUpdateStage = 'ADMITTED' | 'ACCEPTED' | 'COMPLETED';

/** When to refuse a query because of the execution's status. */
export const QueryRejectCondition = {
  NONE: 'NONE',
  NOT_OPEN: 'NOT_OPEN',
  NOT_COMPLETED_CLEANLY: 'NOT_COMPLETED_CLEANLY',
  QUERY_REJECT_CONDITION_NONE: 'NONE',
  QUERY_REJECT_CONDITION_NOT_OPEN: 'NOT_OPEN',
  QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY: 'NOT_COMPLETED_CLEANLY',
} as const;
export type QueryRejectCondition = (typeof QueryRejectCondition)[keyof typeof QueryRejectCondition];

/** Of numbers as ms, or text such as '10 seconds'. */
export interface WorkflowDurationOptions {
  /** Of the execution with all its runs. */
  workflowExecutionTimeout?: Duration;
  workflowRunTimeout?: Duration;
  /** Kept for Temporal; the runtime's limit on a turn is limits.turnMsMax. */
  workflowTaskTimeout?: Duration;
}

export interface WorkflowOptions extends WorkflowDurationOptions {
  /** Unique among the open executions of the namespace. At most 1,000 bytes. */
  workflowId: string;
  /** Kept for Temporal; the runtime serves every task queue. */
  taskQueue?: string;
  workflowIdReusePolicy?: WorkflowIdReusePolicy;
  workflowIdConflictPolicy?: WorkflowIdConflictPolicy;
  /** result() goes on to the run that a run continued as. Default true. */
  followRuns?: boolean;
  /** The first turn waits this long, or until a message other than the start's own signal comes. Not negative. */
  startDelay?: Duration;
  memo?: Record<string, unknown>;
  searchAttributes?: Record<string, unknown>;
  retry?: RetryPolicy;
}

export type WorkflowStartOptions<W extends Workflow = Workflow> = WithWorkflowArgs<W, WorkflowOptions>;

type SignalArgsOption<SignalArgs extends any[]> = SignalArgs extends [any, ...any]
  ? { signalArgs: SignalArgs | Readonly<SignalArgs> }
  : { signalArgs?: SignalArgs | Readonly<SignalArgs> };

export type WorkflowSignalWithStartOptions<SignalArgs extends any[] = any[]> = WorkflowOptions & {
  signal: SignalDefinition<SignalArgs> | string;
} & SignalArgsOption<SignalArgs>;
export type WorkflowSignalWithStartOptionsWithArgs<SignalArgs extends [any, ...any[]]> =
  WorkflowSignalWithStartOptions<SignalArgs>;
export type WorkflowSignalWithStartOptionsWithoutArgs<SignalArgs extends []> =
  WorkflowSignalWithStartOptions<SignalArgs>;

export interface WorkflowUpdateOptions {
  /** An update with an id that was sent before is not run again: the call gets the first one's outcome. Default: random. */
  updateId?: string;
}

export interface SignalOptions {
  /** The signal takes effect once per request id, also across restarts. */
  requestId?: string;
}

export interface WorkflowUpdateHandle<Ret> {
  readonly updateId: string;
  readonly workflowId: string;
  readonly workflowRunId: string | undefined;
  /** @throws WorkflowUpdateFailedError when the update was rejected or failed; WorkflowNotFoundError when it is not known */
  result(): Promise<Ret>;
}

export interface WorkflowExecutionDescription {
  type: string;
  workflowId: string;
  runId: string;
  taskQueue: string;
  status: { code: number; name: StatusName };
  historyLength: number;
  /** Bytes. */
  historySize: number;
  startTime: Date;
  executionTime: Date;
  closeTime?: Date | undefined;
  memo: Record<string, unknown>;
  searchAttributes: Record<string, unknown>;
  parentExecution?: { workflowId: string; runId: string } | undefined;
  pendingActivities: PendingActivityInfo[];
  /** Present while a turn fails and is tried again: the workflow code throws, blocks, or does not replay. */
  pendingTurn?: PendingTurnInfo | undefined;
}

/** What handles of clients and of workflows have in common. */
export interface BaseWorkflowHandle<W extends Workflow = Workflow> {
  readonly workflowId: string;
  /** Resolves when the signal, and the turn that it caused, are durable. */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
  /** @throws WorkflowFailedError when the workflow failed, was cancelled, terminated or timed out */
  result(): Promise<WorkflowResultType<W>>;
}

/** Calls throw WorkflowNotFoundError when there is no such execution; signals, updates, cancel and terminate also when it has ended. */
export interface WorkflowHandle<W extends Workflow = Workflow> extends BaseWorkflowHandle<W> {
  /** Calls address this run only; without it, the latest. */
  readonly runId?: string | undefined;
  /** As signal, with a request id. `duplicate` tells that a signal with this id came before and this one did nothing. */
  signalWithOptions<Args extends [any, ...any[]]>(
    def: SignalDefinition<Args> | string,
    options: SignalOptions & { args: Args | Readonly<Args> },
  ): Promise<{ duplicate: boolean }>;
  signalWithOptions<Args extends []>(
    def: SignalDefinition<Args> | string,
    options: SignalOptions & { args?: Args | Readonly<Args> },
  ): Promise<{ duplicate: boolean }>;
  /** Answered from memory; adds nothing to the history. */
  query<Ret, Args extends any[] = []>(def: QueryDefinition<Ret, Args> | string, ...args: Args): Promise<Ret>;
  /**
   * The query's answer now, and the latest one whenever a turn has changed it; ends when the execution has closed, after
   * the last answer. A handle without runId goes on with the next run when a run continues as new. For a terminated
   * execution, which answers no queries, the last is the last that was known.
   *
   * A slow reader gets fewer answers, never an old one. Nothing is done before the first next(), and leaving the loop (or
   * return()) frees everything; a watch that is neither read nor ended counts against limits.watchesMax until its runtime closes.
   * @throws from next(): what query() would; ServiceError with RESOURCE_EXHAUSTED for too many watches, with UNAVAILABLE when
   * the runtime is closed. Afterwards the watch is over.
   */
  watch<Ret, Args extends any[] = []>(
    def: QueryDefinition<Ret, Args> | string,
    ...args: Args
  ): AsyncIterableIterator<Ret>;
  /** Resolves with the handler's result. */
  executeUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args: Args },
  ): Promise<Ret>;
  executeUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options?: WorkflowUpdateOptions & { args?: Args },
  ): Promise<Ret>;
  /** Resolves when the update is accepted (or, at the stage COMPLETED, done) or rejected; result() of its handle says which. */
  startUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args: Args; waitForStage: Exclude<WorkflowUpdateStage, 'ADMITTED'> },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  startUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args?: Args; waitForStage: Exclude<WorkflowUpdateStage, 'ADMITTED'> },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  /** No call is made until result(). */
  getUpdateHandle<Ret>(updateId: string, options?: GetWorkflowUpdateHandleOptions): WorkflowUpdateHandle<Ret>;
  describe(): Promise<WorkflowExecutionDescription>;
  /** Temporal's event history. */
  fetchHistory(): Promise<{ events: HistoryEvent[] }>;
  /** Requests cancellation; the workflow decides what comes of it. */
  cancel(): Promise<void>;
  /** Ends the workflow; its code is not asked. */
  terminate(reason?: string): Promise<void>;
}

export interface WorkflowHandleWithFirstExecutionRunId<W extends Workflow = Workflow>
  extends WorkflowHandle<W> {
  readonly firstExecutionRunId: string;
}

export interface WorkflowHandleWithStartDetails<W extends Workflow = Workflow>
  extends WorkflowHandleWithFirstExecutionRunId<W> {
  /** Kept for Temporal: always false. */
  readonly eagerlyStarted: boolean;
}

export interface WorkflowHandleWithSignaledRunId<W extends Workflow = Workflow> extends WorkflowHandle<W> {
  readonly signaledRunId: string;
}

export interface WorkflowResultOptions {
  /** Goes on to the run that a run continued as. Default true. */
  followRuns?: boolean;
}

export interface GetWorkflowHandleOptions extends WorkflowResultOptions {
  /** cancel, terminate and updates reach only runs of this chain; result() begins at this run. */
  firstExecutionRunId?: string;
}

export interface GetWorkflowUpdateHandleOptions {
  /** The run that has the update. Default: that of the workflow handle, else the latest. */
  workflowRunId?: string;
}
