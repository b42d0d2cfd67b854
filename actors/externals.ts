/**
 * Other workflows as workflow code sees them: handles that signal, cancel and update them, and signal-with-start.
 *
 *   command --externalResolved--> the promise settles
 *      |
 *      +--the scope is cancelled--+-- in the turn of the command: it is taken back, nothing was sent
 *                                 +-- later, a signal: cancelSignalExternal, and the answer is waited for
 *                                 +-- later, anything else: nobody waits any longer; what was sent takes its course
 *
 * Owns: getExternalWorkflowHandle, signalWithStart, the messages of one activation that have no answer yet, and what
 * cancelling the scope around them does (semantics.md 2.11, 9.6).
 * Does not own: delivery, which takes effect once also across a crash (the host, D2); updates (external-updates.ts).
 *
 * A handle does not know whether its workflow exists: each message says so in its answer.
 */
import type { Command, ExternalResolvedInput, ExternalTarget } from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { currentActivation, mutableActivation } from './current.js';
import {
  extractWorkflowType,
  type SignalDefinition,
  type WithWorkflowArgs,
  type Workflow,
  WorkflowIdConflictPolicy,
} from './definitions.js';
import { type UpdateCalls, updateCalls } from './external-updates.js';
import { CancelledFailure, fromFailure, WorkflowExecutionAlreadyStartedError } from './failures.js';
import { checkOptions, type OptionNames, oneOf } from './options.js';
import { decodePayload } from './payloads.js';
import { CancellationScope } from './scopes.js';
import {
  COMMON_START_OPTIONS,
  type CommonStartOptions,
  encodeArgs,
  requireId,
  startFields,
} from './start-options.js';

/** Another workflow, which may belong to anybody and need not exist. */
export interface ExternalWorkflowHandle extends UpdateCalls {
  readonly workflowId: string;
  /** Absent: the latest run. */
  readonly runId?: string | undefined;
  /**
   * Resolves when the signal is durable in the other workflow's history.
   * @throws ApplicationFailure when there is no such open execution; CancelledFailure when the scope was cancelled before
   *   the signal was sent
   */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
  /**
   * Asks the other workflow to cancel. Resolves when the request is durable in its history.
   * @throws ApplicationFailure when there is no such open execution; the scope's CancelledFailure when that is cancelled
   */
  cancel(): Promise<void>;
}

/**
 * A handle of the execution with this workflow id: of its latest run, or of the one named. Makes no call.
 * @throws TypeError for an id that is empty or longer than 1,000 bytes
 */
export function getExternalWorkflowHandle(workflowId: string, runId?: string): ExternalWorkflowHandle {
  currentActivation('getExternalWorkflowHandle(...)');
  const target = {
    workflowId: requireId(workflowId, 'workflowId'),
    runId: runId === undefined ? undefined : requireId(runId, 'runId'),
  };
  return {
    ...target,
    signal: (def, ...args) => signalExternal(target, def, args),
    cancel: () => mutableActivation('ExternalWorkflowHandle.cancel()').externals.cancel(target),
    ...updateCalls(target),
  };
}

/** Signals a workflow by its handle's target. */
export function signalExternal(
  target: ExternalTarget,
  def: SignalDefinition<any> | string,
  args: readonly unknown[],
): Promise<void> {
  const { externals } = mutableActivation('signal(...)');
  return externals.signal(target, messageName(def, 'signal'), args);
}

/** The name of a message given as definition or as name. @throws TypeError for a definition of another type */
export function messageName(
  def: { readonly type: string; readonly name: string } | string,
  type: 'signal' | 'update',
): string {
  const what = type === 'update' ? 'an update' : 'a signal';
  if (typeof def !== 'string' && def?.type !== type)
    throw new TypeError(
      `Expected the definition or the name of ${what}, got a definition of type ${String(def?.type)}`,
    );
  return requireId(typeof def === 'string' ? def : def.name, `The name of ${what}`);
}

/** Arguments of the signal are required exactly when it takes any. */
type SignalArgsOption<Args extends any[]> = Args extends [any, ...any]
  ? { signalArgs: Args | Readonly<Args> }
  : { signalArgs?: Args | Readonly<Args> };

export type SignalWithStartOptions<Args extends any[] = any[]> = CommonStartOptions & {
  /** 1 to 1,000 bytes. */
  workflowId: string;
  signal: SignalDefinition<Args> | string;
  /** What to do when an open execution has the id. Default USE_EXISTING: it is signalled. */
  workflowIdConflictPolicy?: WorkflowIdConflictPolicy;
} & SignalArgsOption<Args>;

const SIGNAL_WITH_START_OPTIONS: OptionNames<keyof SignalWithStartOptions | 'args'> = {
  args: true,
  workflowId: true,
  signal: true,
  signalArgs: true,
  workflowIdConflictPolicy: true,
  ...COMMON_START_OPTIONS,
};

export interface ExternalWorkflowHandleWithSignaledRunId extends ExternalWorkflowHandle {
  /** The run that got the signal. The handle itself addresses the latest run. */
  readonly signaledRunId: string;
}

/**
 * Beyond Temporal, where only clients can: signals the open execution of the id or, if there is none, starts one and
 * signals it, as one step. The workflow is nobody's child. Resolves when start and signal are durable.
 * @throws WorkflowExecutionAlreadyStartedError when a policy refuses; CancelledFailure when the scope is cancelled before
 *   the answer, though what was sent takes effect
 */
export function signalWithStart<W extends Workflow, Args extends any[] = any[]>(
  workflow: string | W,
  options: WithWorkflowArgs<W, SignalWithStartOptions<Args>>,
): Promise<ExternalWorkflowHandleWithSignaledRunId> {
  const { externals } = mutableActivation('signalWithStart(...)');
  checkOptions(options, SIGNAL_WITH_START_OPTIONS, 'SignalWithStartOptions');
  return externals
    .signalWithStart(extractWorkflowType(workflow), options)
    .then((signaledRunId) => ({ ...getExternalWorkflowHandle(options.workflowId), signaledRunId }));
}

/** Temporal's SDK marks this case in the history, because once the scope had no effect; its worker expects the mark. */
const CANCEL_IN_SCOPE = '__temporal_internal_connect_external_handle_cancel_to_scope';

type Settle = (input: ExternalResolvedInput) => void;

interface PendingExternal {
  readonly settle: Settle;
  readonly reject: (error: Error) => void;
  readonly stop: (() => void) | undefined;
}

type ExternalCommand = Extract<
  Command,
  { kind: 'signalExternal' | 'cancelExternal' | 'updateExternal' | 'signalWithStart' }
>;

/** The messages of one activation to other workflows that have no answer yet. */
export class Externals {
  readonly #activation: Activation;
  readonly #pending = new Map<number, PendingExternal>();

  constructor(activation: Activation) {
    this.#activation = activation;
  }

  signal(target: ExternalTarget, name: string, args: readonly unknown[]): Promise<void> {
    return this.ask(
      (seq) => ({
        kind: 'signalExternal',
        seq,
        target,
        name,
        args: encodeArgs(args, `arguments of signal ${name}`),
      }),
      throwFailure,
      (seq) => this.#cancelSignal(seq),
    );
  }

  cancel(target: ExternalTarget): Promise<void> {
    const scope = CancellationScope.current();
    if (scope.consideredCancelled) {
      this.#activation.markPatch(CANCEL_IN_SCOPE);
      return new Promise((_, reject) => void scope.onCancel(reject));
    }
    return this.ask(
      (seq) => ({ kind: 'cancelExternal', seq, target }),
      throwFailure,
      (seq, error) => {
        this.#activation.markPatch(CANCEL_IN_SCOPE);
        this.#take(seq)?.reject(error);
      },
    );
  }

  /** Gives the id of the run that was signalled. */
  signalWithStart(
    workflowType: string,
    options: SignalWithStartOptions & { args?: readonly unknown[] },
  ): Promise<string> {
    const { workflowIdConflictPolicy } = options;
    const signalName = messageName(options.signal, 'signal');
    return this.ask(
      (seq) => ({
        kind: 'signalWithStart',
        seq,
        workflowId: requireId(options.workflowId, 'SignalWithStartOptions.workflowId'),
        workflowType,
        args: encodeArgs(options.args, `arguments of workflow ${workflowType}`),
        signalName,
        signalArgs: encodeArgs(options.signalArgs, `arguments of signal ${signalName}`),
        workflowIdConflictPolicy:
          workflowIdConflictPolicy &&
          oneOf(WorkflowIdConflictPolicy, workflowIdConflictPolicy, 'workflowIdConflictPolicy'),
        ...startFields(this.#activation, options),
      }),
      (input) => {
        if (isIdTaken(input)) throw idTaken(input, options.workflowId, workflowType);
        return resultOf(input) as string;
      },
    );
  }

  /**
   * Gives a command and waits for its answer, of which `read` makes the value or throws. In a cancelled scope there is no
   * command; `whenCancelled` says what happens when the scope is cancelled before the answer.
   */
  ask<T>(
    command: (seq: number) => ExternalCommand,
    read: (input: ExternalResolvedInput) => T,
    whenCancelled: (seq: number, error: CancelledFailure) => void = (seq, error) => this.#giveUp(seq, error),
  ): Promise<T> {
    const scope = CancellationScope.current();
    const seq = this.#activation.nextSeq('external');
    return new Promise<T>((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.onCancel(reject);
        return;
      }
      this.#activation.command(command(seq));
      const stop = scope.cancellable ? scope.onCancel((error) => whenCancelled(seq, error)) : undefined;
      const settle: Settle = (input) => {
        try {
          resolve(read(input));
        } catch (error) {
          reject(error);
        }
      };
      this.#pending.set(seq, { settle, reject, stop });
    });
  }

  /** An answer that nobody waits for any longer is ignored. */
  resolve(input: ExternalResolvedInput): void {
    this.#take(input.seq)?.settle(input);
  }

  #giveUp(seq: number, error: CancelledFailure): void {
    this.#retract(seq);
    this.#take(seq)?.reject(error);
  }

  #cancelSignal(seq: number): void {
    if (!this.#retract(seq)) {
      // It may have arrived already; the answer tells.
      this.#activation.command({ kind: 'cancelSignalExternal', seq });
      return;
    }
    // Settled in a further step of the same turn, as on Temporal.
    this.#activation.afterDrain(() =>
      this.#take(seq)?.reject(new CancelledFailure('Signal was cancelled before being sent')),
    );
  }

  #retract(seq: number): boolean {
    return this.#activation.retract((command) => isExternal(command) && command.seq === seq);
  }

  #take(seq: number): PendingExternal | undefined {
    const external = this.#pending.get(seq);
    this.#pending.delete(seq);
    external?.stop?.();
    return external;
  }
}

function isExternal(command: Command): command is ExternalCommand {
  return (
    command.kind === 'signalExternal' ||
    command.kind === 'cancelExternal' ||
    command.kind === 'updateExternal' ||
    command.kind === 'signalWithStart'
  );
}

/** There is no stored form of this class, so the answer names it by its type. */
function isIdTaken({ failure }: ExternalResolvedInput): boolean {
  return failure?.info?.kind === 'application' && failure.info.type === 'WorkflowExecutionAlreadyStarted';
}

function idTaken({ failure }: ExternalResolvedInput, workflowId: string, workflowType: string): Error {
  return new WorkflowExecutionAlreadyStartedError(failure!.message, workflowId, workflowType);
}

function throwFailure({ failure }: ExternalResolvedInput): void {
  if (failure !== undefined) throw fromFailure(failure);
}

/** @throws the failure, if that is the answer */
export function resultOf(input: ExternalResolvedInput): unknown {
  throwFailure(input);
  return input.result === undefined ? undefined : decodePayload(input.result);
}
