/**
 * `client.workflow`: the client API over a WorkflowService.
 *
 * Owns: checking and encoding what callers pass, making handles, turning answers and failures into the values and errors
 * that callers know. Does not own: anything about runs; the service does that.
 *
 * Everything up to the service call is synchronous, so that calls made without awaiting keep their order (D3).
 * The file is long because it is the catalogue of calls, each with its shapes and errors.
 */
import type {
  QueryDefinition,
  SignalDefinition,
  UpdateDefinition,
  Workflow,
  WorkflowResultType,
} from '../../actors/definitions.js';
import type { SignalInput } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';
import { followingRunId, type RunOutcome, type UpdateOutcome } from '../../codec/run-record.js';
import { systemClock } from '../clock.js';
import type {
  OnGivenUp,
  StartAnswer,
  StartRequest,
  Target,
  UpdateTicket,
  WorkflowService,
} from '../service.js';
import {
  descriptionOf,
  rethrow,
  rethrowUpdate,
  rethrowWithStart,
  updateValueOf,
  valueOf,
} from './answers.js';
import { CallContext } from './call-context.js';
import { ServiceError } from './errors.js';
import {
  checkClientOptions,
  Requests,
  stageOf,
  type UpdateCallOptions,
  type WorkflowClientOptions,
  whenFullOf,
} from './requests.js';
import type {
  GetWorkflowHandleOptions,
  GetWorkflowUpdateHandleOptions,
  SignalOptions,
  WorkflowHandle,
  WorkflowHandleWithSignaledRunId,
  WorkflowHandleWithStartDetails,
  WorkflowResultOptions,
  WorkflowSignalWithStartOptions,
  WorkflowStartOptions,
  WorkflowUpdateHandle,
  WorkflowUpdateOptions,
  WorkflowUpdateStage,
} from './types.js';
import { decodedWatch } from './watch.js';
import { takeOperation, type WithStartWorkflowOperation } from './with-start.js';

export type { WorkflowClientOptions } from './requests.js';

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

interface UpdateAddress {
  workflowId: string;
  updateId: string;
}

interface WithStartUpdateOptions<W extends Workflow> extends WorkflowUpdateOptions {
  startWorkflowOperation: WithStartWorkflowOperation<W>;
}

export class WorkflowClient {
  /** As it was given, and as whenFull wants it. */
  readonly #given: WorkflowService;
  readonly #service: WorkflowService;
  readonly #context: CallContext;
  readonly #requests: Requests;
  readonly options: WorkflowClientOptions;

  constructor(
    service: WorkflowService,
    options: WorkflowClientOptions,
    context: CallContext = new CallContext(systemClock),
  ) {
    this.#given = service;
    this.#service = whenFullOf(options.whenFull) === 'wait' ? service.patient() : service;
    this.#context = context;
    this.#requests = new Requests(options);
    this.options = options;
  }

  /**
   * A client on the same runtime that differs in some options, such as queryRejectCondition.
   * @throws TypeError for an option that there is not
   */
  withOptions(options: Partial<WorkflowClientOptions>): WorkflowClient {
    checkClientOptions(options);
    return new WorkflowClient(this.#given, { ...this.options, ...options }, this.#context);
  }

  /**
   * Calls made inside `fn` are given up at the deadline (epoch ms or Date); of two deadlines the nearer holds. What was
   * sent by then may still take effect; the error says whether it was.
   * @throws from those calls: WorkflowUpdateRPCTimeoutOrCancelledError for updates; ServiceError (cause: DEADLINE_EXCEEDED) else
   */
  withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R> {
    return this.#context.withDeadline(deadline, fn);
  }

  /** As withDeadline, when the signal is aborted (cause: CANCELLED). Signals of nested calls all hold. */
  withAbortSignal<R>(signal: AbortSignal, fn: () => Promise<R>): Promise<R> {
    return this.#context.withAbortSignal(signal, fn);
  }

  // ----- starts ------------------------------------------------------------------------------------------------

  /**
   * Starts an execution; resolves when it is durable and its first turn has run.
   * @throws WorkflowExecutionAlreadyStartedError when the id is taken; ServiceError (cause: INVALID_ARGUMENT) for a type
   * that is not registered; TypeError for options or arguments that make no sense
   */
  async start<W extends Workflow>(
    workflow: string | W,
    options: WorkflowStartOptions<W>,
  ): Promise<WorkflowHandleWithStartDetails<W>> {
    const request = this.#requests.start(workflow, options);
    const { runId, firstRunId } = await this.#start(request, notStarted);
    const handle = this.#handle<W>({
      workflowId: request.workflowId,
      firstExecutionRunId: firstRunId,
      runIdForResult: runId,
      followRuns: options.followRuns ?? true,
    });
    return Object.assign(handle, { firstExecutionRunId: firstRunId, eagerlyStarted: false });
  }

  /** start, then result. */
  async execute<W extends Workflow>(
    workflow: string | W,
    options: WorkflowStartOptions<W>,
  ): Promise<WorkflowResultType<W>> {
    const request = this.#requests.start(workflow, options);
    const { runId } = await this.#start(request, notStarted);
    const { followRuns = true } = options;
    return this.#result({ workflowId: request.workflowId, runIdForResult: runId, followRuns });
  }

  /** Signals the open execution with this id, or starts one and signals it before its first turn: both or neither. */
  async signalWithStart<W extends Workflow, SignalArgs extends any[] = []>(
    workflow: string | W,
    options: WorkflowStartOptions<W> & WorkflowSignalWithStartOptions<SignalArgs>,
  ): Promise<WorkflowHandleWithSignaledRunId<W>> {
    const request = this.#requests.signalWithStart(workflow, options);
    const { runId } = await this.#start(request, rethrow('Failed to signalWithStart Workflow'));
    const handle = this.#handle<W>({
      workflowId: request.workflowId,
      runIdForResult: runId,
      followRuns: options.followRuns ?? true,
    });
    return Object.assign(handle, { signaledRunId: runId });
  }

  /**
   * Updates the open execution, or starts one and updates it in its first turn: both or neither, in one step. An update
   * that the latest run knows by its id is attached to, whatever the policies (if that run has ended: when it completed).
   * Resolves when the update is accepted, rejected or done. A rejected update leaves the new execution running.
   * @throws WorkflowExecutionAlreadyStartedError when the policies refuse; RpcError with INVALID_ARGUMENT or
   * RESOURCE_EXHAUSTED; Error when the operation was used before. Before the execution is known, `workflowHandle()` of the
   * operation rejects with the same error.
   */
  async startUpdateWithStart<W extends Workflow, Ret, Args extends [any, ...any[]]>(
    def: UpdateDefinition<Ret, Args> | string,
    options: WithStartUpdateOptions<W> & { args: Args; waitForStage: 'ACCEPTED' },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  async startUpdateWithStart<W extends Workflow, Ret, Args extends []>(
    def: UpdateDefinition<Ret, Args> | string,
    options: WithStartUpdateOptions<W> & { args?: Args; waitForStage: 'ACCEPTED' },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  async startUpdateWithStart(
    def: Named<UpdateDefinition<any, any>>,
    options: WithStartUpdateOptions<Workflow> & { args?: any[]; waitForStage: WorkflowUpdateStage },
  ): Promise<WorkflowUpdateHandle<any>> {
    return this.#updateWithStart(def, options, () => stageOf(options.waitForStage));
  }

  /** startUpdateWithStart, then the update's result. */
  async executeUpdateWithStart<W extends Workflow, Ret, Args extends [any, ...any[]]>(
    def: UpdateDefinition<Ret, Args> | string,
    options: WithStartUpdateOptions<W> & { args: Args },
  ): Promise<Ret>;
  async executeUpdateWithStart<W extends Workflow, Ret, Args extends []>(
    def: UpdateDefinition<Ret, Args> | string,
    options: WithStartUpdateOptions<W> & { args?: Args },
  ): Promise<Ret>;
  async executeUpdateWithStart(
    def: Named<UpdateDefinition<any, any>>,
    options: WithStartUpdateOptions<Workflow> & { args?: any[] },
  ): Promise<any> {
    const handle = await this.#updateWithStart(def, options, () => 'completed');
    return handle.result();
  }

  async #updateWithStart(
    def: Named<UpdateDefinition<any, any>>,
    options: WithStartUpdateOptions<Workflow> & { args?: any[] },
    stage: () => 'accepted' | 'completed',
  ): Promise<WorkflowUpdateHandle<any>> {
    const operation = options?.startWorkflowOperation;
    const started = takeOperation(operation);
    const send = async () => {
      const waitFor = stage();
      // What is to happen to an open execution is for the caller to say: no default is right for most.
      if (operation.options?.workflowIdConflictPolicy === undefined)
        throw new TypeError('Missing WorkflowOptions.workflowIdConflictPolicy');
      const update = this.#requests.updateWithStart(def, options);
      const request = { ...this.#requests.start(operation.workflowTypeOrFunc, operation.options), update };
      const { firstRunId, update: ticket } = await this.#start(request, rethrowWithStart);
      return { workflowId: request.workflowId, updateId: update.id, waitFor, firstRunId, ticket: ticket! };
    };
    const sent = await send().catch((error) => {
      started.reject(error);
      throw error;
    });
    const { workflowId, updateId, firstRunId, ticket } = sent;
    const { followRuns = true } = operation.options;
    const handle = this.#handle({ workflowId, firstExecutionRunId: firstRunId, followRuns });
    started.resolve(Object.assign(handle, { firstExecutionRunId: firstRunId }));
    const address = { workflowId, updateId };
    await this.#reach(address, sent.waitFor, () => ticket, rethrowWithStart);
    return this.#updateHandle(address, () => ticket, ticket.runId);
  }

  #start(request: StartRequest, fail: (error: unknown) => never): Promise<StartAnswer> {
    const late = () => {
      const { workflowId, signal, update } = request;
      const message = signal
        ? ` and signal '${signal.name}' delivered`
        : update
          ? ` and its update taken`
          : '';
      return `workflow ${workflowId} may still be started${message}`;
    };
    return this.#tried((onGivenUp) => this.#service.start(request, onGivenUp), late, fail);
  }

  /** A handle to the latest run of the id, or to one run. No call is made. @throws TypeError for options that make no sense */
  getHandle<W extends Workflow>(
    workflowId: string,
    runId?: string,
    options: GetWorkflowHandleOptions = {},
  ): WorkflowHandle<W> {
    this.#requests.handle(workflowId, runId, options);
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
  async result<W extends Workflow>(
    workflowId: string,
    runId?: string,
    options: WorkflowResultOptions = {},
  ): Promise<WorkflowResultType<W>> {
    this.#requests.handle(workflowId, runId, options);
    return this.#result({ workflowId, runIdForResult: runId, followRuns: options.followRuns ?? true });
  }

  // ----- handles -----------------------------------------------------------------------------------------------

  #handle<W extends Workflow>(parts: HandleParts): WorkflowHandle<W> {
    const { workflowId, runId } = parts;
    const latest: Target = { namespace: this.options.namespace, workflowId, runId };
    // Guarded, so that it never reaches a later execution that has nothing to do with this one.
    const guarded: Target = { ...latest, firstExecutionRunId: parts.firstExecutionRunId };
    const handle = {
      workflowId,
      runId,
      signal: async (def: Named<SignalDefinition<any>>, ...args: unknown[]): Promise<void> => {
        await this.#signal(latest, this.#requests.signal(def, args));
      },
      signalWithOptions: async (
        def: Named<SignalDefinition<any>>,
        options: SignalOptions & { args?: readonly unknown[] },
      ) => this.#signal(latest, this.#requests.signalWithOptions(def, options)),
      query: (def: Named<QueryDefinition<any, any>>, ...args: unknown[]) => this.#query(latest, def, args),
      watch: (def: Named<QueryDefinition<any, any>>, ...args: unknown[]) => this.#watch(latest, def, args),
      executeUpdate: (def: Named<UpdateDefinition<any, any>>, options: UpdateCallOptions = {}) =>
        this.#executeUpdate(guarded, def, options),
      startUpdate: async (
        def: Named<UpdateDefinition<any, any>>,
        options: UpdateCallOptions & { waitForStage?: WorkflowUpdateStage } = {},
      ) => {
        const request = this.#requests.update(def, options);
        const stage = stageOf(options.waitForStage);
        const address = { workflowId, updateId: request.id };
        const { ticket } = await this.#reach(address, stage, (onGivenUp) =>
          this.#service.update(guarded, request, onGivenUp),
        );
        return this.#updateHandle(address, () => ticket, ticket.runId);
      },
      getUpdateHandle: (updateId: string, options: GetWorkflowUpdateHandleOptions = {}) => {
        this.#requests.updateHandle(updateId, options);
        const pinned = options.workflowRunId ?? runId;
        const find = (onGivenUp?: OnGivenUp) =>
          this.#service.findUpdate({ ...guarded, runId: pinned }, updateId, onGivenUp);
        return this.#updateHandle({ workflowId, updateId }, find, pinned);
      },
      result: () => this.#result(parts),
      describe: async () =>
        descriptionOf(
          await this.#read(workflowId, (onGivenUp) => this.#service.describe(latest, onGivenUp)).catch(
            rethrow('Failed to describe workflow'),
          ),
        ),
      fetchHistory: async () => ({
        events: await this.#read(workflowId, (onGivenUp) => this.#service.history(latest, onGivenUp)).catch(
          rethrow('Failed to get Workflow execution history'),
        ),
      }),
      cancel: async () => {
        const late = () => `workflow ${workflowId} may still be asked to cancel`;
        await this.#context
          .call((onGivenUp) => this.#service.cancel(guarded, undefined, onGivenUp), late)
          .catch(rethrow('Failed to cancel workflow'));
      },
      terminate: async (reason?: string) => {
        const late = () => `workflow ${workflowId} may still be terminated`;
        await this.#context
          .call((onGivenUp) => this.#service.terminate(guarded, reason, undefined, onGivenUp), late)
          .catch(rethrow('Failed to terminate workflow'));
      },
    };
    return handle as unknown as WorkflowHandle<W>;
  }

  async #signal(target: Target, input: SignalInput): Promise<{ duplicate: boolean }> {
    try {
      return await this.#context.call(
        (onGivenUp) => this.#service.signal(target, input, onGivenUp),
        () => `signal '${input.name}' may still be delivered to workflow ${target.workflowId}`,
      );
    } catch (error) {
      return rethrow('Failed to signal Workflow')(error);
    }
  }

  async #query(
    target: Target,
    def: Named<QueryDefinition<any, any>>,
    values: readonly unknown[],
  ): Promise<unknown> {
    const { name, args, reject } = this.#requests.query(def, values);
    try {
      return decodePayload(
        await this.#read(target.workflowId, (onGivenUp) =>
          this.#service.query(target, name, args, reject, onGivenUp),
        ),
      );
    } catch (error) {
      return rethrow('Failed to query Workflow')(error);
    }
  }

  /** The limits of calls that hold here hold for the whole watch. */
  #watch(target: Target, def: Named<QueryDefinition<any, any>>, values: readonly unknown[]) {
    const { signal, call } = this.#context.captured();
    const answers = this.#service.watch({ target, signal, ...this.#requests.query(def, values) });
    const next = () =>
      call(
        () => answers.next(),
        () => `workflow ${target.workflowId} goes on`,
      ).catch(rethrow('Failed to watch Workflow'));
    return decodedWatch(answers, next);
  }

  /** A call that changes nothing. */
  #read<T>(workflowId: string, send: (onGivenUp?: OnGivenUp) => Promise<T>): Promise<T> {
    return this.#context.call(send, () => `nothing was changed, workflow ${workflowId} goes on`);
  }

  async #result<T>(parts: HandleParts): Promise<T> {
    const { workflowId, runIdForResult, followRuns } = parts;
    for (let runId = runIdForResult; ; ) {
      const outcome = await this.#outcome({ namespace: this.options.namespace, workflowId, runId });
      const next = followRuns ? followingRunId(outcome) : undefined;
      if (next === undefined) return valueOf(outcome) as T;
      runId = next;
    }
  }

  async #outcome(target: Target): Promise<RunOutcome> {
    try {
      const send = (onGivenUp?: OnGivenUp) => this.#service.result(target, onGivenUp);
      return (await this.#read(target.workflowId, send)).outcome;
    } catch (error) {
      return noResult(error);
    }
  }

  // ----- updates -----------------------------------------------------------------------------------------------

  /** startUpdate and result in one, without a handle. */
  async #executeUpdate(
    target: Target,
    def: Named<UpdateDefinition<any, any>>,
    options: UpdateCallOptions,
  ): Promise<unknown> {
    const request = this.#requests.update(def, options);
    const address = { workflowId: target.workflowId, updateId: request.id };
    let ticket: UpdateTicket | undefined;
    const send = (onGivenUp?: OnGivenUp) => {
      const sent = this.#service.update(target, request, onGivenUp);
      const completed = (found: UpdateTicket) => {
        ticket = found;
        return found.reached('completed', onGivenUp);
      };
      return sent instanceof Promise ? sent.then(completed) : completed(sent);
    };
    return valueOfUpdate(address, await this.#tried(send, () => lateUpdate(address, ticket), updateFailed));
  }

  /** Sends or finds an update, and waits until it has come so far or is done. */
  async #reach(
    address: UpdateAddress,
    stage: 'accepted' | 'completed',
    find: (onGivenUp?: OnGivenUp) => UpdateTicket | Promise<UpdateTicket>,
    fail: (error: unknown) => never = updateFailed,
  ) {
    let ticket: UpdateTicket | undefined;
    const send = async (onGivenUp?: OnGivenUp) => {
      ticket = await find(onGivenUp);
      return { ticket, outcome: await ticket.reached(stage, onGivenUp) };
    };
    return this.#tried(send, () => lateUpdate(address, ticket), fail);
  }

  async #tried<T>(
    send: (onGivenUp?: OnGivenUp) => Promise<T>,
    late: () => string,
    fail: (error: unknown) => never,
  ): Promise<T> {
    try {
      return await this.#context.call(send, late);
    } catch (error) {
      return fail(error);
    }
  }

  #updateHandle(
    address: UpdateAddress,
    find: () => UpdateTicket | Promise<UpdateTicket>,
    workflowRunId?: string,
  ): WorkflowUpdateHandle<any> {
    return { ...address, workflowRunId, result: () => this.#updateResult(address, find) };
  }

  async #updateResult(
    address: UpdateAddress,
    find: () => UpdateTicket | Promise<UpdateTicket>,
  ): Promise<unknown> {
    const { outcome } = await this.#reach(address, 'completed', find);
    return valueOfUpdate(address, outcome);
  }
}

const notStarted = rethrow('Failed to start Workflow');
const noResult = rethrow('Failed to get Workflow execution result');
const updateFailed = rethrowUpdate();

function lateUpdate({ workflowId, updateId }: UpdateAddress, ticket: UpdateTicket | undefined): string {
  const trouble = ticket?.waitsFor === undefined ? '' : `; it was not accepted so far, ${ticket.waitsFor}`;
  return `update ${updateId} of workflow ${workflowId} goes on (getUpdateHandle finds it by its id)${trouble}`;
}

function valueOfUpdate({ workflowId, updateId }: UpdateAddress, outcome: UpdateOutcome | undefined): unknown {
  if (outcome === undefined)
    throw new ServiceError(`Update ${updateId} of workflow ${workflowId} has no outcome`);
  return updateValueOf(outcome);
}
