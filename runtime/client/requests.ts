/**
 * What callers pass, checked and encoded: the requests of client calls.
 *
 * Owns: refusing what makes no sense, and options that there are not, with a TypeError that names it, encoding values, policies in all their spellings.
 * Does not own: sending requests (workflow-client.ts), what becomes of them (the service).
 */
import { randomUUID } from 'node:crypto';
import { compileRetryPolicy } from '../../actors/activities.js';
import {
  extractWorkflowType,
  type QueryDefinition,
  type SignalDefinition,
  type UpdateDefinition,
  type Workflow,
} from '../../actors/definitions.js';
import { optionalMs, timeoutMs } from '../../actors/duration.js';
import { checkOptions, type OptionNames, requireArgs } from '../../actors/options.js';
import { COMMON_START_OPTIONS } from '../../actors/start-options.js';
import type { Payload, SignalInput } from '../../codec/journal-entry.js';
import { utf8Length } from '../../codec/keys.js';
import { encodePayload } from '../../codec/payload.js';
import type {
  ConflictPolicy,
  QueryReject,
  ReusePolicy,
  StartRequest,
  UpdateRequest,
  WhenFull,
} from '../service.js';
import type {
  GetWorkflowHandleOptions,
  GetWorkflowUpdateHandleOptions,
  QueryRejectCondition,
  SignalOptions,
  WorkflowOptions,
  WorkflowUpdateStage,
} from './types.js';

export interface WorkflowClientOptions {
  namespace: string;
  taskQueue: string;
  identity?: string | undefined;
  /** Refuses queries to executions in some states; holds for every query of this client. Default NONE. */
  queryRejectCondition?: QueryRejectCondition | undefined;
  /**
   * What becomes of a call while too many messages wait for a workflow thread or for the disk (limits.queuedMessagesMax,
   * queuedBytesMax, queuedPercentMax): 'error' (default) refuses it at once with a ServiceError (cause: RESOURCE_EXHAUSTED, retryable); with 'wait' it
   * waits for room, in the order of the calls to its execution, until its deadline or abort signal. limits.waitingMessagesMax and
   * waitingBytesMax bound how many wait; beyond them calls are refused here too.
   */
  whenFull?: WhenFull | undefined;
  payloadBytesMax: number;
  identifierBytesMax: number;
}

type MessageKind = 'signal' | 'query' | 'update';
type Definition = SignalDefinition<any> | QueryDefinition<any, any> | UpdateDefinition<any, any> | string;

export interface UpdateCallOptions {
  args?: readonly unknown[];
  updateId?: string;
}

const START_OPTIONS: OptionNames<keyof WorkflowOptions | 'args'> = {
  args: true,
  workflowId: true,
  workflowIdConflictPolicy: true,
  followRuns: true,
  startDelay: true,
  ...COMMON_START_OPTIONS,
  versioningOverride: false,
  requestEagerStart: false,
};
const SIGNAL_WITH_START_OPTIONS: OptionNames<keyof WorkflowOptions | 'args' | 'signal' | 'signalArgs'> = {
  signal: true,
  signalArgs: true,
  ...START_OPTIONS,
  signalTypeInfo: false,
};
const SIGNAL_OPTIONS: OptionNames<keyof SignalOptions | 'args'> = {
  args: true,
  requestId: true,
  typeInfo: false,
};
const UPDATE_OPTIONS: OptionNames<keyof UpdateCallOptions | 'waitForStage'> = {
  args: true,
  updateId: true,
  waitForStage: true,
  typeInfo: false,
};
const UPDATE_WITH_START_OPTIONS: OptionNames<
  keyof UpdateCallOptions | 'waitForStage' | 'startWorkflowOperation'
> = {
  startWorkflowOperation: true,
  ...UPDATE_OPTIONS,
};
const HANDLE_OPTIONS: OptionNames<keyof GetWorkflowHandleOptions> = {
  followRuns: true,
  firstExecutionRunId: true,
  typeInfo: false,
};
const UPDATE_HANDLE_OPTIONS: OptionNames<keyof GetWorkflowUpdateHandleOptions> = {
  workflowRunId: true,
  typeInfo: false,
};
const CLIENT_OPTIONS: OptionNames<keyof WorkflowClientOptions> = {
  namespace: true,
  taskQueue: true,
  identity: true,
  queryRejectCondition: true,
  whenFull: true,
  payloadBytesMax: true,
  identifierBytesMax: true,
};

const CONFLICT_POLICIES = ['FAIL', 'USE_EXISTING', 'TERMINATE_EXISTING'] as const;
const REUSE_POLICIES = [
  'ALLOW_DUPLICATE',
  'ALLOW_DUPLICATE_FAILED_ONLY',
  'REJECT_DUPLICATE',
  'TERMINATE_IF_RUNNING',
] as const;
const REJECT_CONDITIONS = ['NONE', 'NOT_OPEN', 'NOT_COMPLETED_CLEANLY'] as const;
const WHEN_FULL = ['error', 'wait'] as const;
const STAGES = ['ADMITTED', 'ACCEPTED', 'COMPLETED'] as const;

export class Requests {
  readonly #options: WorkflowClientOptions;

  constructor(options: WorkflowClientOptions) {
    this.#options = options;
  }

  /** @throws TypeError for options or arguments that make no sense */
  start(
    workflow: string | Workflow,
    options: WorkflowOptions & { args?: readonly unknown[] },
    defaultConflictPolicy: ConflictPolicy = 'FAIL',
    names: OptionNames<never> = START_OPTIONS,
  ): StartRequest {
    const workflowType = extractWorkflowType(workflow);
    if (options === undefined || options === null) throw new TypeError('Missing WorkflowOptions');
    checkOptions(options, names, 'WorkflowOptions');
    const { workflowId, args = [], memo, searchAttributes } = options;
    if (!workflowId) throw new TypeError('Missing WorkflowOptions.workflowId');
    this.identifier(workflowId, 'workflowId');
    if (workflowType === '') throw new TypeError('Invalid workflow type: the name is empty');
    this.identifier(workflowType, 'workflow type');
    requireArgs(args, 'WorkflowOptions.args');
    return {
      namespace: this.#options.namespace,
      workflowId,
      workflowType,
      taskQueue: options.taskQueue ?? this.#options.taskQueue,
      args: this.encode(args, `arguments of workflow ${workflowType}`),
      ...policies(options, defaultConflictPolicy),
      executionTimeoutMs: timeoutMs(options.workflowExecutionTimeout, 'workflowExecutionTimeout'),
      runTimeoutMs: timeoutMs(options.workflowRunTimeout, 'workflowRunTimeout'),
      taskTimeoutMs: timeoutMs(options.workflowTaskTimeout, 'workflowTaskTimeout'),
      startDelayMs: delay(options.startDelay),
      retry: compileRetryPolicy(options.retry),
      memo: memo && this.encode(memo, 'memo'),
      searchAttributes: searchAttributes && this.encode(searchAttributes, 'searchAttributes'),
      identity: this.#options.identity,
    };
  }

  /** @throws TypeError for options or arguments that make no sense */
  signalWithStart(
    workflow: string | Workflow,
    options: WorkflowOptions & {
      args?: readonly unknown[];
      signal: Definition;
      signalArgs?: readonly unknown[];
    },
  ): StartRequest {
    const start = this.start(workflow, options, 'USE_EXISTING', SIGNAL_WITH_START_OPTIONS);
    const signalArgs = options.signalArgs ?? [];
    requireArgs(signalArgs, 'WorkflowOptions.signalArgs');
    return { ...start, signal: this.signal(options.signal, signalArgs) };
  }

  signalWithOptions(def: Definition, options: SignalOptions & { args?: readonly unknown[] }): SignalInput {
    checkOptions(options, SIGNAL_OPTIONS, 'SignalOptions');
    const { args = [], requestId } = options;
    requireArgs(args, 'SignalOptions.args');
    return this.signal(def, args, requestId);
  }

  signal(def: Definition, args: readonly unknown[], requestId?: string): SignalInput {
    const name = this.name(def, 'signal');
    if (requestId !== undefined) this.identifier(requestId, 'requestId');
    const encoded = this.encode(args, `arguments of signal ${name}`);
    const { identity } = this.#options;
    return { kind: 'signal', name, args: encoded, identity, ...(requestId !== undefined && { requestId }) };
  }

  query(def: Definition, args: readonly unknown[]): { name: string; args: Payload; reject: QueryReject } {
    const name = this.name(def, 'query');
    const reject = queryReject(this.#options.queryRejectCondition ?? 'NONE');
    return { name, args: this.encode(args, `arguments of query ${name}`), reject };
  }

  updateWithStart(def: Definition, options: UpdateCallOptions): UpdateRequest {
    return this.update(def, options, UPDATE_WITH_START_OPTIONS);
  }

  update(
    def: Definition,
    options: UpdateCallOptions,
    names: OptionNames<never> = UPDATE_OPTIONS,
  ): UpdateRequest {
    checkOptions(options, names, 'WorkflowUpdateOptions');
    const { updateId, args = [] } = options;
    requireArgs(args, 'WorkflowUpdateOptions.args');
    const name = this.name(def, 'update');
    if (updateId !== undefined) this.identifier(updateId, 'updateId');
    return {
      id: updateId ?? randomUUID(),
      generated: updateId === undefined,
      name,
      args: this.encode(args, `arguments of update ${name}`),
      identity: this.#options.identity,
    };
  }

  /** @throws TypeError for ids or options that make no sense */
  handle(workflowId: string, runId: string | undefined, options: GetWorkflowHandleOptions): void {
    this.identifier(workflowId, 'workflowId');
    if (runId !== undefined && runId !== null) this.identifier(runId, 'runId');
    checkOptions(options, HANDLE_OPTIONS, 'GetWorkflowHandleOptions');
  }

  /** @throws TypeError for an id or options that make no sense */
  updateHandle(updateId: string, options: GetWorkflowUpdateHandleOptions): void {
    this.identifier(updateId, 'updateId');
    checkOptions(options, UPDATE_HANDLE_OPTIONS, 'GetWorkflowUpdateHandleOptions');
  }

  encode(value: unknown, what: string): Payload {
    return encodePayload(value, what, this.#options.payloadBytesMax);
  }

  /** The name of a message given as definition or as name. */
  name(definition: Definition, kind: MessageKind): string {
    if (typeof definition === 'object' && definition !== null && definition.type !== kind) {
      throw new TypeError(
        `Expected ${withArticle(kind)} definition or name, got ${withArticle(definition.type)} definition`,
      );
    }
    const name = typeof definition === 'string' ? definition : definition?.name;
    if (typeof name !== 'string' || name.length === 0)
      throw new TypeError(`Expected ${withArticle(kind)} definition or name, got ${String(definition)}`);
    this.identifier(name, `${kind} name`);
    return name;
  }

  /** @throws TypeError for what is no string, or a longer one than keys have room for */
  identifier(value: string, what: string): void {
    if (typeof value !== 'string') throw new TypeError(`${what} must be a string, got ${typeof value}`);
    const { identifierBytesMax } = this.#options;
    if (value.length * 3 <= identifierBytesMax) return;
    const bytes = utf8Length(value);
    if (bytes > identifierBytesMax)
      throw new TypeError(
        `${what} is too long: ${bytes} bytes, the limit is ${identifierBytesMax} (limits.identifierBytesMax)`,
      );
  }
}

/** @throws TypeError for an option that there is not */
export function checkClientOptions(options: Partial<WorkflowClientOptions>): void {
  checkOptions(options, CLIENT_OPTIONS, 'WorkflowClientOptions');
}

/** @throws TypeError for what is neither */
export function whenFullOf(whenFull: WhenFull | undefined): WhenFull {
  return oneOf(whenFull ?? 'error', WHEN_FULL, '', 'whenFull');
}

/** The stage that an update call waits for. Nothing is told before acceptance, so a lower stage is raised to that. */
export function stageOf(waitForStage: WorkflowUpdateStage | undefined): 'accepted' | 'completed' {
  const stage = oneOf(
    waitForStage ?? 'ACCEPTED',
    STAGES,
    'UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_',
    'waitForStage',
  );
  return stage === 'COMPLETED' ? 'completed' : 'accepted';
}

function policies(
  { workflowIdConflictPolicy, workflowIdReusePolicy }: WorkflowOptions,
  byDefault: ConflictPolicy,
): { conflictPolicy: ConflictPolicy; reusePolicy: ReusePolicy } {
  const conflictPolicy = oneOf(
    workflowIdConflictPolicy ?? byDefault,
    CONFLICT_POLICIES,
    'WORKFLOW_ID_CONFLICT_POLICY_',
    'workflowIdConflictPolicy',
  );
  const reusePolicy = oneOf(
    workflowIdReusePolicy ?? 'ALLOW_DUPLICATE',
    REUSE_POLICIES,
    'WORKFLOW_ID_REUSE_POLICY_',
    'workflowIdReusePolicy',
  );
  if (reusePolicy === 'TERMINATE_IF_RUNNING' && (workflowIdConflictPolicy ?? undefined) !== undefined) {
    throw new TypeError(
      'workflowIdReusePolicy TERMINATE_IF_RUNNING cannot be used together with a workflowIdConflictPolicy: ' +
        'use workflowIdConflictPolicy TERMINATE_EXISTING alone',
    );
  }
  return { conflictPolicy, reusePolicy };
}

function queryReject(value: QueryRejectCondition): QueryReject {
  return oneOf(value, REJECT_CONDITIONS, 'QUERY_REJECT_CONDITION_', 'queryRejectCondition');
}

function delay(startDelay: WorkflowOptions['startDelay']): number | undefined {
  const ms = optionalMs(startDelay);
  if (ms !== undefined && ms < 0) throw new TypeError(`startDelay must not be negative, got ${startDelay}`);
  return ms;
}

function withArticle(word: string): string {
  return `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}

/** One of a few names, also in the older spelling with the enumeration's name before it. */
function oneOf<T extends string>(value: string, allowed: readonly T[], prefix: string, what: string): T {
  const plain = typeof value === 'string' && value.startsWith(prefix) ? value.slice(prefix.length) : value;
  const found = allowed.find((name) => name === plain);
  if (found !== undefined) return found;
  throw new TypeError(`${what} must be one of ${allowed.join(', ')}, got '${String(value)}'`);
}
