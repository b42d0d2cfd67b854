/**
 * Types of the client API, in the shapes of Temporal's TypeScript client.
 */
import type { RetryPolicy } from '../../actors/activities.js';
import type {
  QueryDefinition,
  SignalDefinition,
  UpdateDefinition,
  Workflow,
  WorkflowResultType,
} from '../../actors/definitions.js';
import type { Duration } from '../../actors/duration.js';
import type { HistoryEvent } from '../../codec/history-event.js';
import type { PendingActivityInfo, PendingTurnInfo, StatusName } from '../service.js';

/** How far an update must have come before a call returns. */
export const WorkflowUpdateStage = {
  ADMITTED: 'ADMITTED',
  ACCEPTED: 'ACCEPTED',
  COMPLETED: 'COMPLETED',
} as const;
export type WorkflowUpdateStage = 'ADMITTED' | 'ACCEPTED' | 'COMPLETED';

/** What to do when an open execution has the same id. Default FAIL. */
export const WorkflowIdConflictPolicy = {
  FAIL: 'FAIL',
  USE_EXISTING: 'USE_EXISTING',
  TERMINATE_EXISTING: 'TERMINATE_EXISTING',
} as const;
export type WorkflowIdConflictPolicy = 'FAIL' | 'USE_EXISTING' | 'TERMINATE_EXISTING';

/** What to do when a closed execution has the same id. Default ALLOW_DUPLICATE. */
export const WorkflowIdReusePolicy = {
  ALLOW_DUPLICATE: 'ALLOW_DUPLICATE',
  ALLOW_DUPLICATE_FAILED_ONLY: 'ALLOW_DUPLICATE_FAILED_ONLY',
  REJECT_DUPLICATE: 'REJECT_DUPLICATE',
  TERMINATE_IF_RUNNING: 'TERMINATE_IF_RUNNING',
} as const;
export type WorkflowIdReusePolicy = keyof typeof WorkflowIdReusePolicy;

/** When to refuse a query because of the execution's status. */
export const QueryRejectCondition = {
  NONE: 'NONE',
  NOT_OPEN: 'NOT_OPEN',
  NOT_COMPLETED_CLEANLY: 'NOT_COMPLETED_CLEANLY',
} as const;
export type QueryRejectCondition = keyof typeof QueryRejectCondition;

/** Arguments are required exactly when the workflow takes any. */
export type WithWorkflowArgs<W extends Workflow, T> = T &
  (Parameters<W> extends [any, ...any]
    ? { args: Parameters<W> | Readonly<Parameters<W>> }
    : { args?: Parameters<W> | Readonly<Parameters<W>> });

export interface WorkflowOptions {
  /** Unique among the open executions of the namespace. At most 1,000 bytes. */
  workflowId: string;
  /** Kept for Temporal; the runtime serves every task queue. */
  taskQueue?: string;
  workflowIdReusePolicy?: WorkflowIdReusePolicy;
  workflowIdConflictPolicy?: WorkflowIdConflictPolicy;
  /** result() goes on to the run that a run continued as. Default true. */
  followRuns?: boolean;
  workflowExecutionTimeout?: Duration;
  workflowRunTimeout?: Duration;
  workflowTaskTimeout?: Duration;
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

export interface WorkflowUpdateOptions {
  /** An update with an id that was sent before is not run again: the call gets the first one's outcome. Default: random. */
  updateId?: string;
}

export interface SignalOptions {
  args?: readonly unknown[];
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

export interface WorkflowHandle<W extends Workflow = Workflow> {
  readonly workflowId: string;
  readonly runId?: string | undefined;
  /** Resolves when the signal, and the turn that it caused, are durable. */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
  /** As signal, with a request id. `duplicate` tells that a signal with this id came before and this one did nothing. */
  signalWithOptions<Args extends any[] = any[]>(
    def: SignalDefinition<Args> | string,
    options: SignalOptions,
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
  /** Resolves when the update is accepted, rejected or done. */
  startUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args: Args; waitForStage: WorkflowUpdateStage },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  startUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args?: Args; waitForStage: WorkflowUpdateStage },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  /** No call is made until result(). */
  getUpdateHandle<Ret>(updateId: string): WorkflowUpdateHandle<Ret>;
  /** @throws WorkflowFailedError when the workflow failed, was cancelled, terminated or timed out */
  result(): Promise<WorkflowResultType<W>>;
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

export interface WorkflowHandleWithSignaledRunId<W extends Workflow = Workflow> extends WorkflowHandle<W> {
  readonly signaledRunId: string;
}

export interface GetWorkflowHandleOptions {
  firstExecutionRunId?: string;
  followRuns?: boolean;
}
