/**
 * Child workflows as their parent's code sees them: promises of a start and of a result.
 *
 *   startChild command --childStarted--> started --childClosed--> result
 *        |     |                            |
 *        |     +--childStartFailed--> rejected: the id is taken
 *        +--cancelled in the turn of the command--> the command is taken back, nothing was sent
 *
 * Owns: startChild, executeChild, the handle of a child, the children of one activation that have not settled, and what
 * cancelling the scope around them does (semantics.md 9.5 to 9.7, history-events.md sections 4 and 8).
 * Does not own: the child, which is an execution of its own; what becomes of it when its parent closes (the host);
 * signals and updates to it (externals.ts).
 *
 * D5: the default workflow id is drawn before the child takes its number, as Temporal's SDK does it, so that the same
 * run gives the same ids on both.
 */
import type {
  ChildClosedInput,
  ChildOutcome,
  ChildStartedInput,
  ChildStartFailedInput,
  RetryState,
} from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { mutableActivation } from './current.js';
import {
  extractWorkflowType,
  type SignalDefinition,
  type WithWorkflowArgs,
  type Workflow,
  type WorkflowResultType,
} from './definitions.js';
import { type UpdateCalls, updateCalls } from './external-updates.js';
import { signalExternal } from './externals.js';
import {
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  fromFailure,
  WorkflowExecutionAlreadyStartedError,
} from './failures.js';
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

/** What becomes of a child that is open when its parent closes. The names with a prefix are Temporal's older ones. */
export const ParentClosePolicy = {
  /** It is ended, and its code is not asked. The default. */
  TERMINATE: 'TERMINATE',
  /** It goes on by itself. */
  ABANDON: 'ABANDON',
  /** It is asked to cancel. */
  REQUEST_CANCEL: 'REQUEST_CANCEL',
  PARENT_CLOSE_POLICY_TERMINATE: 'TERMINATE',
  PARENT_CLOSE_POLICY_ABANDON: 'ABANDON',
  PARENT_CLOSE_POLICY_REQUEST_CANCEL: 'REQUEST_CANCEL',
} as const;
export type ParentClosePolicy = (typeof ParentClosePolicy)[keyof typeof ParentClosePolicy];

/** What cancelling the scope of a child does to the child, and what its parent then waits for. */
export const ChildWorkflowCancellationType = {
  /** Nothing; the parent stops waiting at once. */
  ABANDON: 'ABANDON',
  /** The child is asked to cancel; the parent stops waiting at once. */
  TRY_CANCEL: 'TRY_CANCEL',
  /** The child is asked to cancel; the parent waits for its end, whichever that is. The default. */
  WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED',
  /** As WAIT_CANCELLATION_COMPLETED, which is also how Temporal's own worker treats it (semantics.md 9.7). */
  WAIT_CANCELLATION_REQUESTED: 'WAIT_CANCELLATION_REQUESTED',
} as const;
export type ChildWorkflowCancellationType = keyof typeof ChildWorkflowCancellationType;

export interface ChildWorkflowOptions extends CommonStartOptions {
  /** Unique among the open executions of the namespace; 1 to 1,000 bytes. Default: a UUID from the workflow's random sequence. */
  workflowId?: string;
  /** Default TERMINATE. */
  parentClosePolicy?: ParentClosePolicy;
  /** Default WAIT_CANCELLATION_COMPLETED. */
  cancellationType?: ChildWorkflowCancellationType;
}

const CHILD_OPTIONS: OptionNames<keyof StartChildOptions> = {
  args: true,
  workflowId: true,
  parentClosePolicy: true,
  cancellationType: true,
  ...COMMON_START_OPTIONS,
  versioningIntent: false,
  eventGroups: false,
};

/** A child that has started. There is no cancel: cancel the scope that it was started in. */
export interface ChildWorkflowHandle<W extends Workflow = Workflow> extends UpdateCalls {
  readonly workflowId: string;
  /** The run that startChild started; a child that continues as new goes on in others. */
  readonly firstExecutionRunId: string;
  /** What the child returned, also if it continued as new. @throws ChildWorkflowFailure with the reason in `cause` */
  result(): Promise<WorkflowResultType<W>>;
  /**
   * Resolves when the signal is durable in the child's history. The latest run of the child gets it.
   * @throws ApplicationFailure when the child has closed; CancelledFailure when the scope was cancelled before it was sent
   */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
}

type ChildOptions<W extends Workflow> = WithWorkflowArgs<W, ChildWorkflowOptions>;
/** A workflow without arguments may be started without options. */
type WithoutArgs = () => Promise<any>;

/**
 * Starts a child workflow, and resolves once it has started.
 * @throws WorkflowExecutionAlreadyStartedError when the id is taken; ChildWorkflowFailure when the scope is cancelled first;
 *   TypeError or ValueError for options that make no sense
 */
export function startChild<W extends Workflow>(
  workflow: string,
  options: ChildOptions<W>,
): Promise<ChildWorkflowHandle<W>>;
export function startChild<W extends Workflow>(
  workflow: W,
  options: ChildOptions<W>,
): Promise<ChildWorkflowHandle<W>>;
export function startChild<W extends WithoutArgs>(workflow: string): Promise<ChildWorkflowHandle<W>>;
export function startChild<W extends WithoutArgs>(workflow: W): Promise<ChildWorkflowHandle<W>>;
export function startChild<W extends Workflow>(
  workflow: string | W,
  options?: ChildOptions<W>,
): Promise<ChildWorkflowHandle<W>> {
  return handleOf(start(mutableActivation('startChild(...)'), workflow, options));
}

async function handleOf<W extends Workflow>(start: Promise<ChildStart>): Promise<ChildWorkflowHandle<W>> {
  const { workflowId, started, completed } = await start;
  const firstExecutionRunId = await started;
  const target = { workflowId, childOnly: true };
  return {
    workflowId,
    firstExecutionRunId,
    result: async () => (await completed) as WorkflowResultType<W>,
    signal: (def, ...args) => asynchronous(signalExternal(target, def, args)),
    ...updateCalls(target),
  };
}

/** What follows runs as many promise jobs later as on Temporal, where an async function returns this promise. */
async function asynchronous<T>(promise: Promise<T>): Promise<T> {
  return promise;
}

/**
 * Starts a child workflow and waits for its result.
 * @throws as startChild; ChildWorkflowFailure when the child did not succeed, with the reason in `cause`
 */
export function executeChild<W extends Workflow>(
  workflow: string,
  options: ChildOptions<W>,
): Promise<WorkflowResultType<W>>;
export function executeChild<W extends Workflow>(
  workflow: W,
  options: ChildOptions<W>,
): Promise<WorkflowResultType<W>>;
export function executeChild<W extends WithoutArgs>(workflow: string): Promise<WorkflowResultType<W>>;
export function executeChild<W extends WithoutArgs>(workflow: W): Promise<WorkflowResultType<W>>;
export function executeChild<W extends Workflow>(
  workflow: string | W,
  options?: ChildOptions<W>,
): Promise<WorkflowResultType<W>> {
  const result = start(mutableActivation('executeChild(...)'), workflow, options).then(
    ({ completed }) => completed as Promise<WorkflowResultType<W>>,
  );
  return asynchronous(result);
}

/** A promise of it, and not the thing itself: what follows a start runs as many promise jobs later as on Temporal. */
async function start(
  activation: Activation,
  workflow: string | Workflow,
  given: StartChildOptions | undefined | null,
): Promise<ChildStart> {
  const options = given ?? {};
  checkOptions(options, CHILD_OPTIONS, 'ChildWorkflowOptions');
  const workflowId = requireId(
    options.workflowId ?? activation.random.uuid4(),
    'ChildWorkflowOptions.workflowId',
  );
  return activation.children.start(extractWorkflowType(workflow), workflowId, options);
}

type StartChildOptions = ChildWorkflowOptions & { args?: readonly unknown[] };

interface ChildStart {
  workflowId: string;
  /** Of the run id. */
  started: Promise<string>;
  completed: Promise<unknown>;
}

/** Whom to tell of what comes next. */
type ChildState =
  | { kind: 'initiated'; started: (runId: string) => void; reject: (error: Error) => void }
  | { kind: 'started'; runId: string };

interface PendingChild {
  readonly workflowId: string;
  readonly workflowType: string;
  state: ChildState;
  readonly completed: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly stop: (() => void) | undefined;
}

/** The children of one activation that have not settled. */
export class Children {
  readonly #activation: Activation;
  readonly #pending = new Map<number, PendingChild>();

  constructor(activation: Activation) {
    this.#activation = activation;
  }

  start(workflowType: string, workflowId: string, options: StartChildOptions): ChildStart {
    const seq = this.#activation.nextSeq('child');
    const scope = CancellationScope.current();
    let completed!: (result: unknown) => void;
    let reject!: (error: Error) => void;
    const completion = new Promise<unknown>((onResult, onError) => {
      completed = onResult;
      reject = onError;
    });
    const started = new Promise<string>((onStart, onError) => {
      if (scope.consideredCancelled) {
        scope.onCancel(onError);
        return;
      }
      const cancellationType = oneOf(
        ChildWorkflowCancellationType,
        options.cancellationType ?? 'WAIT_CANCELLATION_COMPLETED',
        'cancellationType',
      );
      this.#command(seq, workflowType, workflowId, options);
      const stop = scope.cancellable ? scope.onCancel(() => this.#cancel(seq, cancellationType)) : undefined;
      const state: ChildState = { kind: 'initiated', started: onStart, reject: onError };
      this.#pending.set(seq, { workflowId, workflowType, state, completed, reject, stop });
    });
    // Whoever waits for the result only hears of a failed start too.
    started.catch(reject);
    // A parent need not wait for the result, and a child that fails then is not its parent's unhandled rejection.
    completion.catch(() => undefined);
    return { workflowId, started, completed: completion };
  }

  #command(seq: number, workflowType: string, workflowId: string, options: StartChildOptions): void {
    this.#activation.command({
      kind: 'startChild',
      seq,
      workflowId,
      workflowType,
      args: encodeArgs(options.args, `arguments of child workflow ${workflowType}`),
      parentClosePolicy: oneOf(
        ParentClosePolicy,
        options.parentClosePolicy ?? 'TERMINATE',
        'parentClosePolicy',
      ),
      ...startFields(this.#activation, options),
    });
  }

  /** Inputs for a child that was given up in the meantime are ignored: they were under way. */
  started({ seq, runId }: ChildStartedInput): void {
    const child = this.#pending.get(seq);
    if (child?.state.kind !== 'initiated') return;
    const { started } = child.state;
    child.state = { kind: 'started', runId };
    started(runId);
  }

  startFailed({ seq, cause }: ChildStartFailedInput): void {
    const child = this.#take(seq);
    if (child?.state.kind !== 'initiated') return;
    const { workflowId, workflowType } = child;
    const { namespace } = this.#activation.info;
    child.state.reject(
      cause === 'WORKFLOW_ALREADY_EXISTS'
        ? new WorkflowExecutionAlreadyStartedError(
            'Workflow execution already started',
            workflowId,
            workflowType,
          )
        : ApplicationFailure.nonRetryable(
            `Child workflow '${workflowId}' was not started: namespace '${namespace}' was not found`,
            'NamespaceNotFound',
          ),
    );
  }

  closed({ seq, outcome }: ChildClosedInput): void {
    const child = this.#take(seq);
    if (child === undefined) return;
    if (outcome.status === 'completed') child.completed(decodePayload(outcome.result));
    else child.reject(this.#failure(child, retryStateOf(outcome), fromFailure(outcome.failure)));
  }

  #cancel(seq: number, type: ChildWorkflowCancellationType): void {
    const child = this.#pending.get(seq);
    if (child === undefined) return;
    const unsent = this.#activation.retract(
      (command) => command.kind === 'startChild' && command.seq === seq,
    );
    if (!unsent && type !== 'ABANDON')
      this.#activation.command({ kind: 'cancelChild', seq, workflowId: child.workflowId });
    if (!unsent && type !== 'ABANDON' && type !== 'TRY_CANCEL') return;
    // Not waiting for the child: it is settled in a further step of the same turn, as an activity is.
    this.#activation.afterDrain(() => this.#giveUp(seq, unsent));
  }

  #giveUp(seq: number, unsent: boolean): void {
    const child = this.#take(seq);
    if (child === undefined) return;
    const message = `Child Workflow execution cancelled${unsent ? ' before it was started' : ''}`;
    const failure = this.#failure(child, 'NON_RETRYABLE_FAILURE', new CancelledFailure(message));
    if (child.state.kind === 'initiated') child.state.reject(failure);
    else child.reject(failure);
  }

  #failure(child: PendingChild, retryState: RetryState, cause: Error): ChildWorkflowFailure {
    const { workflowId, workflowType, state } = child;
    const runId = state.kind === 'started' ? state.runId : undefined;
    const { namespace } = this.#activation.info;
    return new ChildWorkflowFailure(namespace, { workflowId, runId }, workflowType, retryState, cause);
  }

  #take(seq: number): PendingChild | undefined {
    const child = this.#pending.get(seq);
    this.#pending.delete(seq);
    child?.stop?.();
    return child;
  }
}

/** Why a child that did not complete is not tried again. */
function retryStateOf(outcome: Exclude<ChildOutcome, { status: 'completed' }>): RetryState {
  switch (outcome.status) {
    case 'failed':
      return outcome.retryState;
    case 'timedOut':
      return 'TIMEOUT';
    case 'cancelled':
    case 'terminated':
      return 'NON_RETRYABLE_FAILURE';
  }
}
