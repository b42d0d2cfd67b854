/**
 * Message definitions: typed names. A definition is plain data with no tie to a workflow; workflow and client share it.
 *
 * Owns: defineSignal, defineQuery, defineUpdate, the types of workflows and handlers, reserved names
 * (semantics.md section 8), how a workflow's type name is read off a function, and the policies that whoever starts a
 * workflow may give: a client or another workflow.
 */

export type Workflow = (...args: any[]) => Promise<any>;
export type WorkflowReturnType = Promise<any>;
export type WorkflowResultType<W extends Workflow> = Awaited<ReturnType<W>>;

/** Arguments are required exactly when the workflow takes any. */
export type WithWorkflowArgs<W extends Workflow, T> = T &
  (Parameters<W> extends [any, ...any]
    ? { args: Parameters<W> | Readonly<Parameters<W>> }
    : { args?: Parameters<W> | Readonly<Parameters<W>> });

/** What to do when an open execution has the same id. Default FAIL. Calls also take the names with Temporal's prefix. */
export const WorkflowIdConflictPolicy = {
  FAIL: 'FAIL',
  USE_EXISTING: 'USE_EXISTING',
  TERMINATE_EXISTING: 'TERMINATE_EXISTING',
  WORKFLOW_ID_CONFLICT_POLICY_FAIL: 'FAIL',
  WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING: 'USE_EXISTING',
  WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING: 'TERMINATE_EXISTING',
} as const;
export type WorkflowIdConflictPolicy =
  (typeof WorkflowIdConflictPolicy)[keyof typeof WorkflowIdConflictPolicy];

/**
 * What to do when a closed execution has the same id. Default ALLOW_DUPLICATE. TERMINATE_IF_RUNNING is the old way to say
 * conflict policy TERMINATE_EXISTING and goes with no conflict policy.
 */
export const WorkflowIdReusePolicy = {
  ALLOW_DUPLICATE: 'ALLOW_DUPLICATE',
  ALLOW_DUPLICATE_FAILED_ONLY: 'ALLOW_DUPLICATE_FAILED_ONLY',
  REJECT_DUPLICATE: 'REJECT_DUPLICATE',
  TERMINATE_IF_RUNNING: 'TERMINATE_IF_RUNNING',
  WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE: 'ALLOW_DUPLICATE',
  WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY: 'ALLOW_DUPLICATE_FAILED_ONLY',
  WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE: 'REJECT_DUPLICATE',
  WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING: 'TERMINATE_IF_RUNNING',
} as const;
export type WorkflowIdReusePolicy = (typeof WorkflowIdReusePolicy)[keyof typeof WorkflowIdReusePolicy];

export interface SignalDefinition<Args extends any[] = [], Name extends string = string> {
  readonly type: 'signal';
  readonly name: Name;
  /** Carries the argument types; never present at run time. */
  readonly __args?: Args;
}

export interface QueryDefinition<Ret, Args extends any[] = [], Name extends string = string> {
  readonly type: 'query';
  readonly name: Name;
  readonly __args?: Args;
  readonly __ret?: Ret;
}

export interface UpdateDefinition<Ret, Args extends any[] = [], Name extends string = string> {
  readonly type: 'update';
  readonly name: Name;
  readonly __args?: Args;
  readonly __ret?: Ret;
}

/** Names a signal: use the result in setHandler and in handle.signal. @throws TypeError without a name */
export function defineSignal<Args extends any[] = [], Name extends string = string>(
  name: Name,
): SignalDefinition<Args, Name> {
  requireName(name, 'defineSignal');
  return { type: 'signal', name };
}

/** Names a query: use the result in setHandler and in handle.query. @throws TypeError without a name */
export function defineQuery<Ret, Args extends any[] = [], Name extends string = string>(
  name: Name,
): QueryDefinition<Ret, Args, Name> {
  requireName(name, 'defineQuery');
  return { type: 'query', name };
}

/** Names an update: use the result in setHandler, handle.executeUpdate and handle.startUpdate. @throws TypeError without a name */
export function defineUpdate<Ret, Args extends any[] = [], Name extends string = string>(
  name: Name,
): UpdateDefinition<Ret, Args, Name> {
  requireName(name, 'defineUpdate');
  return { type: 'update', name };
}

function requireName(name: unknown, what: string): void {
  if (typeof name === 'string' && name !== '') return;
  const got = name === '' ? 'an empty one' : name === null ? 'null' : typeof name;
  throw new TypeError(`${what} expects a name, got ${got}`);
}

export type WorkflowSignalType = (...args: any[]) => Promise<void> | void;
export type WorkflowQueryType = (...args: any[]) => any;
export type WorkflowUpdateType = (...args: any[]) => Promise<any> | any;
export type WorkflowUpdateValidatorType = (...args: any[]) => void;

/** What happens when a workflow ends while a handler still runs: a warning in the log, or nothing. */
export const HandlerUnfinishedPolicy = { WARN_AND_ABANDON: 'WARN_AND_ABANDON', ABANDON: 'ABANDON' } as const;
export type HandlerUnfinishedPolicy = 'WARN_AND_ABANDON' | 'ABANDON';

export const STACK_TRACE_QUERY = '__stack_trace';
export const ENHANCED_STACK_TRACE_QUERY = '__enhanced_stack_trace';
export const METADATA_QUERY = '__temporal_workflow_metadata';
const RESERVED_PREFIX = '__temporal_';

export function isReservedName(name: string): boolean {
  return (
    name.startsWith(RESERVED_PREFIX) || name === STACK_TRACE_QUERY || name === ENHANCED_STACK_TRACE_QUERY
  );
}

/** @throws TypeError for a name that is kept for the runtime's own use. */
export function throwIfReservedName(kind: string, name: string): void {
  if (name.startsWith(RESERVED_PREFIX)) {
    throw new TypeError(`Cannot use ${kind} name: '${name}', with reserved prefix: '${RESERVED_PREFIX}'`);
  }
  if (isReservedName(name))
    throw new TypeError(`Cannot use ${kind} name: '${name}', which is a reserved name`);
}

/** The type name of a workflow given as function or as name. @throws TypeError for an anonymous function. */
export function extractWorkflowType<W extends Workflow>(workflow: string | W): string {
  if (typeof workflow === 'string') return workflow;
  if (typeof workflow === 'function') {
    if (workflow.name) return workflow.name;
    throw new TypeError('Invalid workflow type: the workflow function is anonymous');
  }
  throw new TypeError(
    `Invalid workflow type: expected either a string or a function, got '${typeof workflow}'`,
  );
}
