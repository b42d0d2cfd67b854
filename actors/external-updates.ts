/**
 * Updates from workflow to workflow, beyond Temporal: what handles of children and of other workflows offer.
 *
 *   executeUpdate   updateExternal 'completed' -----------------------------------> result or failure
 *   startUpdate     updateExternal 'accepted' ----+--> result or failure: kept for result()
 *                                                 +--> under way; result(): updateExternal 'completed', same id
 *
 * Owns: executeUpdate, startUpdate, the handle of an update, its default id.
 * Does not own: the command and its answer (externals.ts), that an update id is handled once (the target, D2).
 *
 * An update that was rejected or failed throws the failure itself, as the target threw it: a TemporalFailure, so that it
 * fails the sender's workflow unless that handles it.
 */
import type { ExternalResolvedInput, ExternalTarget } from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { mutableActivation } from './current.js';
import type { UpdateDefinition } from './definitions.js';
import { messageName, resultOf } from './externals.js';
import { fromFailure } from './failures.js';
import { checkOptions, type OptionNames, oneOf } from './options.js';
import { decodePayload } from './payloads.js';
import { encodeArgs, requireId } from './start-options.js';

export interface ExternalUpdateOptions {
  /**
   * The target handles an id once: a second update with it gets the first one's outcome. 1 to 1,000 bytes.
   * Default: one that no other update has, and the same again on replay.
   */
  updateId?: string;
}

const UPDATE_OPTIONS: OptionNames<keyof ExternalUpdateOptions | 'args' | 'waitForStage'> = {
  args: true,
  updateId: true,
  waitForStage: true,
  typeInfo: false,
};

/** An update that was sent to another workflow. */
export interface ExternalUpdateHandle<Ret = unknown> {
  readonly updateId: string;
  readonly workflowId: string;
  /** Waits for the outcome. May be called again. @throws the failure of an update that was rejected or failed */
  result(): Promise<Ret>;
}

type StageOption = { waitForStage: 'ACCEPTED' | 'COMPLETED' };

export interface UpdateCalls {
  /**
   * Resolves with the result of the target's handler, once that is durable.
   * @throws the failure of an update that was rejected or failed; ApplicationFailure when there is no such open execution;
   *   CancelledFailure when the scope is cancelled, though the update goes on if it was sent
   */
  executeUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: ExternalUpdateOptions & { args: Args },
  ): Promise<Ret>;
  executeUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options?: ExternalUpdateOptions & { args?: Args },
  ): Promise<Ret>;
  /**
   * Resolves when the update is accepted (or completed, if that is waited for), rejected or failed: which, result() tells.
   * @throws ApplicationFailure and CancelledFailure as executeUpdate
   */
  startUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: ExternalUpdateOptions & { args: Args } & StageOption,
  ): Promise<ExternalUpdateHandle<Ret>>;
  startUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: ExternalUpdateOptions & { args?: Args } & StageOption,
  ): Promise<ExternalUpdateHandle<Ret>>;
}

type AnyUpdate = UpdateDefinition<any, any> | string;
type AnyOptions = ExternalUpdateOptions & { args?: readonly unknown[] };

/** The update methods of a handle. */
export function updateCalls(target: ExternalTarget): UpdateCalls {
  return {
    executeUpdate(def: AnyUpdate, options: AnyOptions = {}): Promise<any> {
      checkOptions(options, UPDATE_OPTIONS, 'ExternalUpdateOptions');
      const update = new OutgoingUpdate(mutableActivation('executeUpdate(...)'), target, def, options);
      return update.send('completed').then(resultOf);
    },
    startUpdate(def: AnyUpdate, options: AnyOptions & StageOption): Promise<ExternalUpdateHandle<any>> {
      checkOptions(options, UPDATE_OPTIONS, 'ExternalUpdateOptions');
      const stage = oneOf(STAGES, options.waitForStage, 'waitForStage');
      const update = new OutgoingUpdate(mutableActivation('startUpdate(...)'), target, def, options);
      const sent = update.send(stage === 'COMPLETED' ? 'completed' : 'accepted');
      return sent.then((answer) => update.handle(answer));
    },
  };
}

type Stage = 'accepted' | 'completed';
const STAGES = { ACCEPTED: 'ACCEPTED', COMPLETED: 'COMPLETED' } as const;

/** An update to send, as often as it takes until its outcome is known. */
class OutgoingUpdate {
  readonly #activation: Activation;
  readonly #target: ExternalTarget;
  readonly #name: string;
  readonly #args: Uint8Array;
  /** Known from the first command on. */
  #id: string | undefined;

  constructor(activation: Activation, target: ExternalTarget, def: AnyUpdate, options: AnyOptions) {
    this.#activation = activation;
    this.#target = target;
    this.#name = messageName(def, 'update');
    this.#args = encodeArgs(options.args, `arguments of update ${this.#name}`);
    if (options.updateId !== undefined) this.#id = requireId(options.updateId, 'updateId');
  }

  send(stage: Stage): Promise<ExternalResolvedInput> {
    return this.#activation.externals.ask(
      (seq) => {
        // Run ids are unique, and so are the numbers within a run.
        this.#id ??= `${this.#activation.info.runId}/${seq}`;
        return {
          kind: 'updateExternal',
          seq,
          target: this.#target,
          updateId: this.#id,
          name: this.#name,
          args: this.#args,
          stage,
        };
      },
      (input) => input,
    );
  }

  handle(answer: ExternalResolvedInput): ExternalUpdateHandle<any> {
    if (isUndelivered(answer)) throw fromFailure(answer.failure!);
    let outcome = outcomeOf(answer);
    const completed = (last: ExternalResolvedInput): Outcome => {
      outcome = outcomeOf(last) ?? { value: undefined };
      return outcome;
    };
    return {
      updateId: this.#id!,
      workflowId: this.#target.workflowId,
      result: () => {
        mutableActivation('result()');
        const known =
          outcome === undefined ? this.send('completed').then(completed) : Promise.resolve(outcome);
        return known.then(valueOf);
      },
    };
  }
}

type Outcome = { value: unknown } | { error: Error };

/** Decoded at once, so that a handle does not keep the whole batch that its answer came in. Undefined: it is under way. */
function outcomeOf({ result, failure }: ExternalResolvedInput): Outcome | undefined {
  if (failure !== undefined) return { error: fromFailure(failure) };
  return result === undefined ? undefined : { value: decodePayload(result) };
}

function valueOf(outcome: Outcome): unknown {
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

/** The runtime itself says so: there is no update whose outcome a handle could tell. */
function isUndelivered({ failure }: ExternalResolvedInput): boolean {
  return (
    failure?.source === 'Server' &&
    failure.info?.kind === 'application' &&
    (failure.info.type === 'ExternalWorkflowExecutionNotFound' || failure.info.type === 'ServiceError')
  );
}
