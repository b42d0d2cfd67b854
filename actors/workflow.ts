/**
 * The authoring API, `signalbox/workflow`: names, shapes and semantics of Temporal's TypeScript SDK.
 *
 * Owns: the public face only; each call finds the running activation (current.ts) and hands over.
 * Importable in plain Node as well, so that definitions can be shared with clients; calls that need a workflow throw
 * IllegalStateError there.
 */
import type { StartInfo } from '../codec/journal-entry.js';
import {
  asyncContext,
  currentActivation,
  maybeCurrent,
  mutableActivation,
  type UpdateInfo,
} from './current.js';
import type {
  HandlerUnfinishedPolicy,
  QueryDefinition,
  SignalDefinition,
  UpdateDefinition,
  WorkflowQueryType,
  WorkflowSignalType,
  WorkflowUpdateType,
  WorkflowUpdateValidatorType,
} from './definitions.js';
import { fromFailure } from './failures.js';
import type { MessageDefinition } from './handlers.js';
import { decodePayload } from './payloads.js';
import { uuidFrom } from './random.js';

export {
  ActivityCancellationType,
  type ActivityFunction,
  type ActivityInterfaceFor,
  type ActivityOptions,
  proxyActivities,
  type RetryPolicy,
  scheduleActivity,
  type UntypedActivities,
} from './activities.js';
export {
  type EnhancedStackTrace,
  enhancedStackTraceQuery,
  type HandlerMetadata,
  type StackTrace,
  type StackTraceFileLocation,
  type StackTraceFileSlice,
  type StackTraceSDKInfo,
  stackTraceQuery,
  type WorkflowMetadata,
  workflowMetadataQuery,
} from './built-in-queries.js';
export {
  ChildWorkflowCancellationType,
  type ChildWorkflowHandle,
  type ChildWorkflowOptions,
  executeChild,
  ParentClosePolicy,
  startChild,
} from './children.js';
export {
  ContinueAsNew,
  type ContinueAsNewOptions,
  continueAsNew,
  makeContinueAsNewFunc,
} from './continue-as-new.js';
export type { UpdateInfo } from './current.js';
export {
  defineQuery,
  defineSignal,
  defineUpdate,
  extractWorkflowType,
  HandlerUnfinishedPolicy,
  type QueryDefinition,
  type SignalDefinition,
  type UpdateDefinition,
  type WithWorkflowArgs,
  type Workflow,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  type WorkflowQueryType,
  type WorkflowResultType,
  type WorkflowReturnType,
  type WorkflowSignalType,
  type WorkflowUpdateType,
  type WorkflowUpdateValidatorType,
} from './definitions.js';
export type { Duration } from './duration.js';
export type { ExternalUpdateHandle, ExternalUpdateOptions } from './external-updates.js';
export {
  type ExternalWorkflowHandle,
  type ExternalWorkflowHandleWithSignaledRunId,
  getExternalWorkflowHandle,
  type SignalWithStartOptions,
  signalWithStart,
} from './externals.js';
export {
  ActivityFailure,
  ApplicationFailure,
  ApplicationFailureCategory,
  type ApplicationFailureOptions,
  CancelledFailure,
  ChildWorkflowFailure,
  DeterminismViolationError,
  IllegalStateError,
  isCancellation,
  rootCause,
  ServerFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
  ValueError,
  WorkflowExecutionAlreadyStartedError,
} from './failures.js';
export { CancellationScope, type CancellationScopeOptions } from './scopes.js';
export { condition, sleep, type TimerOptions } from './timers.js';
export { Trigger } from './trigger.js';

export interface QueryHandlerOptions {
  /** Shown by the metadata query. */
  description?: string;
}

export interface SignalHandlerOptions {
  description?: string;
  /** Default WARN_AND_ABANDON. */
  unfinishedPolicy?: HandlerUnfinishedPolicy;
}

export interface UpdateHandlerOptions<Args extends any[] = any[]> {
  /**
   * Synchronous; throws to reject the update before it is written to the history. It may read workflow state but not
   * change it (D6), and is not called on replay.
   */
  validator?: (...args: Args) => void;
  description?: string;
  /** Default WARN_AND_ABANDON. */
  unfinishedPolicy?: HandlerUnfinishedPolicy;
}

/**
 * Sets, replaces or (with undefined) removes the handler of a message. Messages that waited for it are delivered at
 * once, before this call returns (semantics.md 2.4, 3.3).
 * A query handler is synchronous and must not change workflow state. Signal and update handlers may be async.
 * @throws TypeError for a reserved name, a handler that is not a function, and what is no definition; TypeError or
 * ValueError for options that make no sense
 */
export function setHandler<Ret, Args extends any[]>(
  def: QueryDefinition<Ret, Args>,
  handler: NoInfer<(...args: Args) => Ret> | undefined,
  options?: QueryHandlerOptions,
): void;
export function setHandler<Args extends any[]>(
  def: SignalDefinition<Args>,
  handler: NoInfer<(...args: Args) => void | Promise<void>> | undefined,
  options?: SignalHandlerOptions,
): void;
export function setHandler<Ret, Args extends any[]>(
  def: UpdateDefinition<Ret, Args>,
  handler: NoInfer<(...args: Args) => Ret | Promise<Ret>> | undefined,
  options?: NoInfer<UpdateHandlerOptions<Args>>,
): void;
export function setHandler(
  def: MessageDefinition,
  handler: WorkflowQueryType | WorkflowSignalType | WorkflowUpdateType | undefined,
  options?: {
    description?: string;
    unfinishedPolicy?: HandlerUnfinishedPolicy;
    validator?: WorkflowUpdateValidatorType;
  },
): void {
  mutableActivation('setHandler(...)').handlers.set(def, handler, options);
}

/** Gets every signal that has no handler of its own. Setting it delivers all signals that waited, oldest first. */
export function setDefaultSignalHandler(
  handler: ((signalName: string, ...args: unknown[]) => void | Promise<void>) | undefined | null,
): void {
  mutableActivation('setDefaultSignalHandler(...)').handlers.setDefault('signal', handler);
}

/** Gets every update that has no handler of its own. It has no validator. */
export function setDefaultUpdateHandler(
  handler: ((updateName: string, ...args: unknown[]) => unknown | Promise<unknown>) | undefined | null,
): void {
  mutableActivation('setDefaultUpdateHandler(...)').handlers.setDefault('update', handler);
}

/** Gets every query that has no handler of its own. */
export function setDefaultQueryHandler(
  handler: ((queryName: string, ...args: unknown[]) => unknown) | undefined,
): void {
  mutableActivation('setDefaultQueryHandler(...)').handlers.setDefault('query', handler);
}

/** True when no signal or update handler runs. Made for `await condition(allHandlersFinished)`. */
export function allHandlersFinished(): boolean {
  return currentActivation('allHandlersFinished()').handlers.allFinished;
}

/** Id and name of the update on whose behalf the code runs; undefined in the main function, signals and queries. */
export function currentUpdateInfo(): UpdateInfo | undefined {
  currentActivation('currentUpdateInfo()');
  return asyncContext.frame?.update;
}

export function inWorkflowContext(): boolean {
  return maybeCurrent() !== undefined;
}

/** A version 4 UUID from the workflow's own random sequence: the same again on replay. */
export function uuid4(): string {
  return uuidFrom(() => Math.random());
}

export interface UnsafeWorkflowInfo {
  /** The real clock; not the same on replay. */
  readonly now: () => number;
  /** Also in a query handler, where nothing happens for the first time either. */
  readonly isReplaying: boolean;
  /** On replay only. */
  readonly isReplayingHistoryEvents: boolean;
}

/** A snapshot of what is known about the execution that runs. Times are Dates, durations ms. */
export interface WorkflowInfo {
  readonly workflowId: string;
  readonly runId: string;
  readonly workflowType: string;
  readonly namespace: string;
  readonly taskQueue: string;
  readonly firstExecutionRunId: string;
  readonly continuedFromExecutionRunId?: string | undefined;
  readonly attempt: number;
  readonly startTime: Date;
  readonly runStartTime: Date;
  readonly executionTimeoutMs?: number | undefined;
  readonly executionExpirationTime?: Date | undefined;
  readonly runTimeoutMs?: number | undefined;
  readonly runExpirationTime?: Date | undefined;
  readonly taskTimeoutMs: number;
  readonly historyLength: number;
  readonly historySize: number;
  readonly continueAsNewSuggested: boolean;
  readonly memo: Record<string, unknown>;
  readonly searchAttributes: Record<string, unknown>;
  readonly parent?: { workflowId: string; runId: string; namespace: string } | undefined;
  readonly root?: { workflowId: string; runId: string } | undefined;
  readonly lastResult?: unknown;
  readonly lastFailure?: Error | undefined;
  readonly unsafe: UnsafeWorkflowInfo;
}

/** Temporal suggests a new run at this many events or bytes; code that will move there had better heed it. */
const SUGGEST_AT_EVENTS = 4_096;
const SUGGEST_AT_BYTES = 4 * 1024 * 1024;

/** A new object each time: call it when you need it. */
export function workflowInfo(): WorkflowInfo {
  const activation = currentActivation('workflowInfo()');
  const { info, historyLength, historySize } = activation;
  return {
    ...fixedInfo(info),
    historyLength,
    historySize,
    continueAsNewSuggested: historyLength >= SUGGEST_AT_EVENTS || historySize >= SUGGEST_AT_BYTES,
    memo: activation.memo ?? {},
    searchAttributes: activation.searchAttributes ?? {},
    unsafe: {
      now: () => activation.wallClock(),
      isReplaying: activation.replaying || activation.querying,
      isReplayingHistoryEvents: activation.replaying,
    },
  };
}

function fixedInfo(info: StartInfo) {
  const { startTime, executionTimeoutMs, runTimeoutMs, parent } = info;
  const after = (ms: number | undefined) => (ms === undefined ? undefined : new Date(startTime + ms));
  return {
    workflowId: info.workflowId,
    runId: info.runId,
    workflowType: info.workflowType,
    namespace: info.namespace,
    taskQueue: info.taskQueue,
    firstExecutionRunId: info.firstRunId,
    continuedFromExecutionRunId: info.continuedFromRunId,
    attempt: info.attempt,
    startTime: new Date(startTime),
    runStartTime: new Date(startTime),
    executionTimeoutMs,
    executionExpirationTime: after(executionTimeoutMs),
    runTimeoutMs,
    runExpirationTime: after(runTimeoutMs),
    taskTimeoutMs: info.taskTimeoutMs,
    parent: parent && { workflowId: parent.workflowId, runId: parent.runId, namespace: parent.namespace },
    root: info.root,
    lastResult: info.lastResult === undefined ? undefined : decodePayload(info.lastResult),
    lastFailure: info.lastFailure === undefined ? undefined : fromFailure(info.lastFailure),
  };
}

/** Free text about where the workflow stands, shown by the metadata query. Adds nothing to the history. */
export function setCurrentDetails(details: string): void {
  mutableActivation('setCurrentDetails(...)').currentDetails = details;
}

export function getCurrentDetails(): string {
  return currentActivation('getCurrentDetails()').currentDetails;
}

type LogFunction = (message: string, attributes?: Record<string, unknown>) => void;

function logger(level: 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR'): LogFunction {
  return (message, attributes) => currentActivation('log').log(level, message, attributes);
}

/** Goes to the runtime's logger with workflow id, run id and type; silent on replay. */
export const log = {
  trace: logger('TRACE'),
  debug: logger('DEBUG'),
  info: logger('INFO'),
  warn: logger('WARN'),
  error: logger('ERROR'),
};
