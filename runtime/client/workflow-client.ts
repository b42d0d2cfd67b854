/**
 * `client.workflow`: the client API over a WorkflowService.
 *
 * Owns: checking and encoding what callers pass, making handles, turning answers and failures into the values and errors
 * that callers know. Does not own: anything about runs; the service does that.
 *
 * Everything up to the service call is synchronous, so that calls made without awaiting keep their order (D3).
 */
import { randomUUID } from 'node:crypto';
import { compileRetryPolicy } from '../../actors/activities.js';
import {
  extractWorkflowType,
  type QueryDefinition,
  type SignalDefinition,
  type UpdateDefinition,
  type Workflow,
  type WorkflowResultType,
} from '../../actors/definitions.js';
import { optionalMs } from '../../actors/duration.js';
import {
  CancelledFailure,
  fromFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowExecutionAlreadyStartedError,
} from '../../actors/failures.js';
import type { Payload } from '../../codec/journal-entry.js';
import { utf8Length } from '../../codec/keys.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import type { RunOutcome, UpdateOutcome } from '../../codec/run-record.js';
import type {
  ConflictPolicy,
  Description,
  StartRequest,
  Target,
  UpdateTicket,
  WorkflowService,
} from '../service.js';
import {
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  WorkflowContinuedAsNewError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from './errors.js';
import {
  type GetWorkflowHandleOptions,
  QueryRejectCondition,
  type WorkflowExecutionDescription,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowHandleWithSignaledRunId,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  type WorkflowOptions,
  type WorkflowSignalWithStartOptions,
  type WorkflowStartOptions,
  type WorkflowUpdateHandle,
  WorkflowUpdateStage,
} from './types.js';

export interface WorkflowClientOptions {
  namespace: string;
  taskQueue: string;
  identity?: string | undefined;
  queryRejectCondition?: QueryRejectCondition | undefined;
  payloadBytesMax: number;
  identifierBytesMax: number;
}

type Named<D> = D | string;

interface HandleParts {
  workflowId: string;
  /** Calls address only this run. */
  runId?: string | undefined;
  firstExecutionRunId?: string | undefined;
  /** Where result() begins. */
  runIdForResult?: string | undefined;
  followRuns: boolean;
}

export class WorkflowClient {
  readonly #service: WorkflowService;
  readonly options: WorkflowClientOptions;

  constructor(service: WorkflowService, options: WorkflowClientOptions) {
    this.#service = service;
    this.options = options;
  }

  /** A client on the same runtime that differs in some options, such as queryRejectCondition. */
  withOptions(options: Partial<WorkflowClientOptions>): WorkflowClient {
    return new WorkflowClient(this.#service, { ...this.options, ...options });
  }

  /**
   * Starts an execution; resolves when it is durable and its first turn has run.
   * @throws WorkflowExecutionAlreadyStartedError when the id is taken; ServiceError (cause: INVALID_ARGUMENT) for a type
   * that is not registered; TypeError for options or arguments that make no sense
   */
  async start<W extends Workflow>(
    workflow: string | W,
    options: WorkflowStartOptions<W>,
  ): Promise<WorkflowHandleWithFirstExecutionRunId<W>> {
    const request = this.#startRequest(workflow, options);
    const { runId } = await this.#service.start(request).catch(rethrow('Failed to start Workflow'));
    const handle = this.#handle<W>({
      workflowId: request.workflowId,
      firstExecutionRunId: runId,
      runIdForResult: runId,
      followRuns: options.followRuns ?? true,
    });
    return Object.assign(handle, { firstExecutionRunId: runId });
  }

  /** start, then result. */
  async execute<W extends Workflow>(
    workflow: string | W,
    options: WorkflowStartOptions<W>,
  ): Promise<WorkflowResultType<W>> {
    const handle = await this.start(workflow, options);
    return handle.result();
  }

  /** Signals the open execution with this id, or starts one and signals it before its first turn: both or neither. */
  async signalWithStart<W extends Workflow, SignalArgs extends any[] = []>(
    workflow: string | W,
    options: WorkflowStartOptions<W> & WorkflowSignalWithStartOptions<SignalArgs>,
  ): Promise<WorkflowHandleWithSignaledRunId<W>> {
    const { signal, signalArgs } = options as {
      signal: Named<SignalDefinition<any>>;
      signalArgs?: unknown[];
    };
    const name = this.#name(signal, 'signal');
    const request = {
      ...this.#startRequest(workflow, {
        workflowIdConflictPolicy: 'USE_EXISTING',
        ...options,
      } as WorkflowStartOptions<W>),
      signal: {
        kind: 'signal',
        name,
        args: this.#encode(signalArgs ?? [], `arguments of signal ${name}`),
        identity: this.options.identity,
      } as const,
    };
    const { runId } = await this.#service.start(request).catch(rethrow('Failed to signalWithStart Workflow'));
    const handle = this.#handle<W>({
      workflowId: request.workflowId,
      runIdForResult: runId,
      followRuns: options.followRuns ?? true,
    });
    return Object.assign(handle, { signaledRunId: runId });
  }

  /** A handle to the latest run of the id, or to one run. No call is made. */
  getHandle<W extends Workflow>(
    workflowId: string,
    runId?: string,
    options: GetWorkflowHandleOptions = {},
  ): WorkflowHandle<W> {
    this.#identifier(workflowId, 'workflowId');
    const { firstExecutionRunId, followRuns = true } = options;
    return this.#handle<W>({
      workflowId,
      runId,
      firstExecutionRunId,
      runIdForResult: runId ?? firstExecutionRunId,
      followRuns,
    });
  }

  /** Waits for the end of a run (default: the latest). */
  result<W extends Workflow>(
    workflowId: string,
    runId?: string,
    options: { followRuns?: boolean } = {},
  ): Promise<WorkflowResultType<W>> {
    return this.#result({ workflowId, runIdForResult: runId, followRuns: options.followRuns ?? true });
  }

  // ----- what callers pass -------------------------------------------------------------------------------------

  #startRequest(
    workflow: string | Workflow,
    options: WorkflowOptions & { args?: readonly unknown[] },
  ): StartRequest {
    const workflowType = extractWorkflowType(workflow);
    if (options === undefined || options === null) throw new TypeError('Missing WorkflowOptions');
    if (!options.workflowId) throw new TypeError('Missing WorkflowOptions.workflowId');
    this.#identifier(options.workflowId, 'workflowId');
    if (workflowType === '') throw new TypeError('Invalid workflow type: the name is empty');
    this.#identifier(workflowType, 'workflow type');
    const conflictPolicy = oneOf(
      options.workflowIdConflictPolicy ?? 'FAIL',
      WorkflowIdConflictPolicy,
      'workflowIdConflictPolicy',
    );
    const reusePolicy = oneOf(
      options.workflowIdReusePolicy ?? 'ALLOW_DUPLICATE',
      WorkflowIdReusePolicy,
      'workflowIdReusePolicy',
    );
    if (options.args !== undefined && !Array.isArray(options.args))
      throw new TypeError('WorkflowOptions.args must be an array');
    return {
      namespace: this.options.namespace,
      workflowId: options.workflowId,
      workflowType,
      taskQueue: options.taskQueue ?? this.options.taskQueue,
      args: this.#encode(options.args ?? [], `arguments of workflow ${workflowType}`),
      reusePolicy,
      conflictPolicy: conflictPolicy as ConflictPolicy,
      executionTimeoutMs: optionalMs(options.workflowExecutionTimeout),
      runTimeoutMs: optionalMs(options.workflowRunTimeout),
      taskTimeoutMs: optionalMs(options.workflowTaskTimeout),
      retry: compileRetryPolicy(options.retry),
      memo: options.memo && this.#encode(options.memo, 'memo'),
      searchAttributes:
        options.searchAttributes && this.#encode(options.searchAttributes, 'searchAttributes'),
      identity: this.options.identity,
    };
  }

  #encode(value: unknown, what: string): Payload {
    return encodePayload(value, what, this.options.payloadBytesMax);
  }

  #name(definition: Named<{ type: string; name: string }>, type: 'signal' | 'query' | 'update'): string {
    if (typeof definition === 'object' && definition !== null && definition.type !== type) {
      throw new TypeError(
        `Expected ${withArticle(type)} definition or name, got ${withArticle(definition.type)} definition`,
      );
    }
    const name = typeof definition === 'string' ? definition : definition?.name;
    if (typeof name !== 'string' || name.length === 0)
      throw new TypeError(`Expected ${withArticle(type)} definition or name, got ${String(definition)}`);
    this.#identifier(name, `${type} name`);
    return name;
  }

  #identifier(value: string, what: string): void {
    if (typeof value !== 'string') throw new TypeError(`${what} must be a string, got ${typeof value}`);
    const { identifierBytesMax } = this.options;
    if (value.length * 3 <= identifierBytesMax) return;
    const bytes = utf8Length(value);
    if (bytes > identifierBytesMax)
      throw new TypeError(
        `${what} is too long: ${bytes} bytes, the limit is ${identifierBytesMax} (limits.identifierBytesMax)`,
      );
  }

  // ----- handles -----------------------------------------------------------------------------------------------

  #handle<W extends Workflow>(parts: HandleParts): WorkflowHandle<W> {
    const { workflowId, runId } = parts;
    const latest: Target = { namespace: this.options.namespace, workflowId, runId };
    // Guarded, so that it never reaches a later execution that has nothing to do with this one.
    const guarded: Target = { ...latest, firstExecutionRunId: parts.firstExecutionRunId };
    const { identity } = this.options;
    const handle = {
      workflowId,
      runId,
      signal: async (def: Named<SignalDefinition<any>>, ...args: unknown[]): Promise<void> => {
        const name = this.#name(def, 'signal');
        const encoded = this.#encode(args, `arguments of signal ${name}`);
        try {
          await this.#service.signal(latest, { kind: 'signal', name, args: encoded, identity });
        } catch (error) {
          rethrow('Failed to signal Workflow')(error);
        }
      },
      signalWithOptions: async (
        def: Named<SignalDefinition<any>>,
        options: { args?: readonly unknown[]; requestId?: string },
      ) => {
        const name = this.#name(def, 'signal');
        const { requestId } = options;
        if (requestId !== undefined) this.#identifier(requestId, 'requestId');
        const args = this.#encode(options.args ?? [], `arguments of signal ${name}`);
        return this.#service
          .signal(latest, { kind: 'signal', name, args, identity, requestId })
          .catch(rethrow('Failed to signal Workflow'));
      },
      query: async (def: Named<QueryDefinition<any, any>>, ...args: unknown[]): Promise<unknown> => {
        const name = this.#name(def, 'query');
        const encoded = this.#encode(args, `arguments of query ${name}`);
        const reject = oneOf(
          this.options.queryRejectCondition ?? 'NONE',
          QueryRejectCondition,
          'queryRejectCondition',
        );
        try {
          return decodePayload(await this.#service.query(latest, name, encoded, reject));
        } catch (error) {
          return rethrow('Failed to query Workflow')(error);
        }
      },
      executeUpdate: async (
        def: Named<UpdateDefinition<any, any>>,
        options: UpdateCallOptions = {},
      ): Promise<unknown> => {
        const { id, ticket } = this.#update(guarded, def, options);
        return this.#updateResult(workflowId, id, ticket);
      },
      startUpdate: async (
        def: Named<UpdateDefinition<any, any>>,
        options: UpdateCallOptions & { waitForStage?: string },
      ) => {
        const stage = oneOf(options.waitForStage ?? 'ACCEPTED', WorkflowUpdateStage, 'waitForStage');
        const { id, ticket } = this.#update(guarded, def, options);
        await ticket
          .reached(stage === 'COMPLETED' ? 'completed' : 'accepted')
          .catch(rethrow('Workflow Update failed'));
        return this.#updateHandle(workflowId, id, async () => ticket, ticket.runId);
      },
      getUpdateHandle: (updateId: string) => {
        this.#identifier(updateId, 'updateId');
        return this.#updateHandle(
          workflowId,
          updateId,
          () => this.#service.findUpdate(guarded, updateId),
          runId,
        );
      },
      result: () => this.#result(parts),
      describe: async () =>
        this.#description(await this.#service.describe(latest).catch(rethrow('Failed to describe workflow'))),
      fetchHistory: async () => ({
        events: await this.#service
          .history(latest)
          .catch(rethrow('Failed to get Workflow execution history')),
      }),
      cancel: () => this.#service.cancel(guarded, undefined).catch(rethrow('Failed to cancel workflow')),
      terminate: (reason?: string) =>
        this.#service.terminate(guarded, reason, undefined).catch(rethrow('Failed to terminate workflow')),
    };
    return handle as unknown as WorkflowHandle<W>;
  }

  #update(
    target: Target,
    def: Named<UpdateDefinition<any, any>>,
    options: UpdateCallOptions,
  ): { id: string; ticket: UpdateTicket } {
    const name = this.#name(def, 'update');
    if (options.updateId !== undefined) this.#identifier(options.updateId, 'updateId');
    const id = options.updateId ?? randomUUID();
    const generated = options.updateId === undefined;
    const args = this.#encode(options.args ?? [], `arguments of update ${name}`);
    try {
      return {
        id,
        ticket: this.#service.update(target, { id, generated, name, args, identity: this.options.identity }),
      };
    } catch (error) {
      return rethrow('Workflow Update failed')(error);
    }
  }

  #updateHandle(
    workflowId: string,
    updateId: string,
    find: () => Promise<UpdateTicket>,
    runId?: string,
  ): WorkflowUpdateHandle<any> {
    const result = async (): Promise<unknown> =>
      this.#updateResult(workflowId, updateId, await find().catch(rethrow('Workflow Update failed')));
    return { updateId, workflowId, workflowRunId: runId, result };
  }

  async #updateResult(workflowId: string, updateId: string, ticket: UpdateTicket): Promise<unknown> {
    let outcome: UpdateOutcome | undefined;
    try {
      outcome = await ticket.reached('completed');
    } catch (error) {
      return rethrow('Workflow Update failed')(error);
    }
    if (outcome === undefined)
      throw new ServiceError(`Update ${updateId} of workflow ${workflowId} has no outcome`);
    if ('failure' in outcome)
      throw new WorkflowUpdateFailedError('Workflow Update failed', fromFailure(outcome.failure));
    return decodePayload(outcome.result);
  }

  async #result<T>(parts: HandleParts): Promise<T> {
    const { workflowId, runIdForResult, followRuns } = parts;
    for (let runId = runIdForResult; ; ) {
      const target: Target = { namespace: this.options.namespace, workflowId, runId };
      const { outcome } = await this.#service
        .result(target)
        .catch(rethrow('Failed to get Workflow execution result'));
      if (outcome.status !== 'continuedAsNew') return valueOf(outcome) as T;
      if (!followRuns)
        throw new WorkflowContinuedAsNewError('Workflow execution continued as new', outcome.newRunId);
      runId = outcome.newRunId;
    }
  }

  #description(raw: Description): WorkflowExecutionDescription {
    const record = (payload: Payload | undefined) =>
      payload === undefined ? {} : (decodePayload(payload) as Record<string, unknown>);
    return { ...raw, memo: record(raw.memo), searchAttributes: record(raw.searchAttributes) };
  }
}

interface UpdateCallOptions {
  args?: readonly unknown[];
  updateId?: string;
}

function withArticle(word: string): string {
  return `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}

function oneOf<T extends string>(value: T | string, allowed: Record<T, unknown>, what: string): T {
  if (Object.hasOwn(allowed, value)) return value as T;
  throw new TypeError(`${what} must be one of ${Object.keys(allowed).join(', ')}, got '${value}'`);
}

/** The value of a completed run, or the error that tells how it ended otherwise. */
function valueOf(outcome: Exclude<RunOutcome, { status: 'continuedAsNew' }>): unknown {
  switch (outcome.status) {
    case 'completed':
      return decodePayload(outcome.result);
    case 'failed':
      throw new WorkflowFailedError(
        'Workflow execution failed',
        fromFailure(outcome.failure),
        'NON_RETRYABLE_FAILURE',
      );
    case 'cancelled':
      throw new WorkflowFailedError(
        'Workflow execution cancelled',
        new CancelledFailure('Workflow canceled'),
        'NON_RETRYABLE_FAILURE',
      );
    case 'terminated': {
      const text = outcome.reason || 'Workflow execution terminated';
      throw new WorkflowFailedError(text, new TerminatedFailure(text), 'NON_RETRYABLE_FAILURE');
    }
    case 'timedOut':
      throw new WorkflowFailedError(
        'Workflow execution timed out',
        new TimeoutFailure('Workflow execution timed out', undefined, 'START_TO_CLOSE'),
        outcome.retryState,
      );
  }
}

/** Errors that have a class of their own pass; the others become the cause of a ServiceError. */
function rethrow(fallback: string): (error: unknown) => never {
  return (error) => {
    const known =
      error instanceof WorkflowNotFoundError ||
      error instanceof WorkflowExecutionAlreadyStartedError ||
      error instanceof QueryNotRegisteredError ||
      error instanceof QueryRejectedError;
    if (known || !(error instanceof RpcError)) throw error;
    throw new ServiceError(`${fallback}: ${error.message}`, { cause: error });
  };
}
