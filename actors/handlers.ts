/**
 * Message handlers of one activation: who answers which signal, update and query, what waits for a handler, and
 * which handlers still run.
 *
 * Owns: setHandler and the default handlers, the buffers, acceptance and completion of updates, queries
 * (semantics.md sections 2, 3, 5, 6, 7).
 * Does not own: the order of jobs in a turn (activation.ts), read-only enforcement itself (sandbox/read-only.ts).
 *
 * D6: validators and query handlers run through `activation.readOnly`.
 */
import type { Failure } from '../codec/failure.js';
import type { Payload, SignalInput, UpdateInput } from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { BUILT_IN_QUERIES, type WorkflowMetadata } from './built-in-queries.js';
import { ContinueAsNew, refuseInUpdate } from './continue-as-new.js';
import { type UpdateInfo, withFrame } from './current.js';
import {
  HandlerUnfinishedPolicy,
  isReservedName,
  METADATA_QUERY,
  type QueryDefinition,
  type SignalDefinition,
  throwIfReservedName,
  type UpdateDefinition,
} from './definitions.js';
import {
  ApplicationFailure,
  DeterminismViolationError,
  ensureTemporalFailure,
  TemporalFailure,
  toFailure,
} from './failures.js';
import { checkOptions, kindOf, type OptionNames, oneOf } from './options.js';
import { decodePayload, encodePayload } from './payloads.js';

export type MessageDefinition =
  | SignalDefinition<any>
  | QueryDefinition<any, any>
  | UpdateDefinition<any, any>;
type AnyFunction = (...args: any[]) => any;

export interface HandlerOptions {
  description?: string | undefined;
  validator?: AnyFunction | undefined;
  unfinishedPolicy?: HandlerUnfinishedPolicy | undefined;
}

const QUERY_OPTIONS: OptionNames<'description'> = { description: true };
const SIGNAL_OPTIONS: OptionNames<'description' | 'unfinishedPolicy'> = {
  description: true,
  unfinishedPolicy: true,
};
const UPDATE_OPTIONS: OptionNames<keyof HandlerOptions> = {
  description: true,
  unfinishedPolicy: true,
  validator: true,
};

interface Handler extends HandlerOptions {
  fn: AnyFunction;
}

interface BufferedUpdate {
  input: UpdateInput;
  validate: boolean;
}

/** A handler that waits for something. */
interface Running {
  name: string;
  id?: string;
  policy: HandlerUnfinishedPolicy;
}

export interface RejectedUpdate {
  id: string;
  failure: Failure;
}

export type QueryAnswer = { ok: true; result: Payload } | { ok: false; failure: Failure };

export class Handlers {
  readonly #activation: Activation;
  readonly #signals = new Map<string, Handler>();
  readonly #queries = new Map<string, Handler>();
  readonly #updates = new Map<string, Handler>();
  #defaultSignal: AnyFunction | undefined;
  #defaultQuery: AnyFunction | undefined;
  #defaultUpdate: AnyFunction | undefined;
  #bufferedSignals: SignalInput[] = [];
  // An idle execution has none of these, and an empty Set alone takes 150 bytes.
  #bufferedUpdates: BufferedUpdate[] | undefined;
  #running: Set<Running> | undefined;
  /** Handlers of this turn that were done when they returned, until its promise jobs have run; most are of this kind. */
  #doneAtOnce = 0;
  #rejected: RejectedUpdate[] | undefined;

  constructor(activation: Activation) {
    this.#activation = activation;
  }

  // ----- registration ------------------------------------------------------------------------------------------

  set(
    definition: MessageDefinition,
    fn: AnyFunction | undefined | null,
    options?: HandlerOptions | null,
  ): void {
    requireDefinition(definition);
    throwIfReservedName(definition.type, definition.name);
    if (fn !== undefined && fn !== null && typeof fn !== 'function') {
      throw new TypeError(`Expected handler to be either a function or 'undefined'. Got: '${typeof fn}'`);
    }
    const handlers = { signal: this.#signals, query: this.#queries, update: this.#updates }[definition.type];
    if (handlers === undefined)
      throw new TypeError(`Invalid definition type: ${String((definition as any).type)}`);
    if (options !== undefined && options !== null) checkHandlerOptions(definition.type, options);
    if (!fn) handlers.delete(definition.name);
    else handlers.set(definition.name, { fn, ...options });
    if (definition.type === 'signal') this.#flushSignals();
    if (definition.type === 'update') this.#flushUpdates();
  }

  setDefault(kind: 'signal' | 'query' | 'update', fn: AnyFunction | undefined | null): void {
    const optional = kind === 'query' ? fn === undefined : fn === undefined || fn === null;
    if (!optional && typeof fn !== 'function') {
      throw new TypeError(`Expected handler to be either a function or 'undefined'. Got: '${typeof fn}'`);
    }
    if (kind === 'query') this.#defaultQuery = fn ?? undefined;
    if (kind === 'signal') {
      this.#defaultSignal = fn ?? undefined;
      this.#flushSignals();
    }
    if (kind === 'update') {
      this.#defaultUpdate = fn ?? undefined;
      this.#flushUpdates();
    }
  }

  get allFinished(): boolean {
    return (this.#running?.size ?? 0) === 0 && this.#doneAtOnce === 0;
  }

  // ----- signals -----------------------------------------------------------------------------------------------

  /** A signal without a handler waits, for ever if need be: it is never an error. */
  signal(input: SignalInput): void {
    if (this.#signals.has(input.name) || this.#defaultSignal !== undefined) this.#deliverSignal(input);
    // A buffered signal outlives the bytes of the batch that it came in.
    else this.#bufferedSignals.push({ ...input, args: input.args.slice() });
  }

  /** Those that wait for a handler, oldest first. */
  get waitingSignals(): readonly SignalInput[] {
    return this.#bufferedSignals;
  }

  #deliverSignal(input: SignalInput): void {
    const { name } = input;
    const handler = this.#signals.get(name);
    const fallback = this.#defaultSignal;
    if (handler === undefined && isReservedName(name)) throwIfReservedName('signal', name);
    const args = decodePayload(input.args) as unknown[];
    const returned = this.#call(() =>
      handler !== undefined ? handler.fn(...args) : fallback?.(name, ...args),
    );
    if (returned.kind === 'value') return;
    const running: Running = { name, policy: handler?.unfinishedPolicy ?? 'WARN_AND_ABANDON' };
    const done = this.#runs(running);
    returned.promise.catch((error) => this.#activation.fail(error)).finally(done);
  }

  /**
   * Calls a handler. One that is done when it returns needs no promise; it counts as running until the turn's promise
   * jobs have run, as it would if it had one.
   */
  #call(
    fn: () => unknown,
  ): { kind: 'value'; value: unknown } | { kind: 'promise'; promise: Promise<unknown> } {
    this.#doneAtOnce++;
    try {
      const value = fn();
      if (!mayBeThenable(value)) return { kind: 'value', value };
      this.#doneAtOnce--;
      return { kind: 'promise', promise: (async () => await value)() };
    } catch (error) {
      this.#doneAtOnce--;
      return { kind: 'promise', promise: Promise.reject(error) };
    }
  }

  /** Returns what to call when the handler is done. */
  #runs(handler: Running): () => void {
    this.#running ??= new Set();
    this.#running.add(handler);
    return () => void this.#running?.delete(handler);
  }

  /** The promise jobs of the turn have run. */
  drained(): void {
    this.#doneAtOnce = 0;
  }

  /** Oldest first; handlers are looked up again before each, so one that removes itself gets one. */
  #flushSignals(): void {
    for (;;) {
      const at = this.#bufferedSignals.findIndex(
        ({ name }) => this.#defaultSignal !== undefined || this.#signals.has(name),
      );
      if (at < 0) return;
      const [input] = this.#bufferedSignals.splice(at, 1);
      this.#deliverSignal(input!);
    }
  }

  // ----- updates -----------------------------------------------------------------------------------------------

  /** True when the update was accepted in this call. */
  update(input: UpdateInput, validate: boolean): void {
    if (this.#updates.has(input.name) || this.#defaultUpdate !== undefined)
      return this.#deliverUpdate(input, validate);
    this.#bufferedUpdates ??= [];
    this.#bufferedUpdates.push({ input, validate });
  }

  #deliverUpdate(input: UpdateInput, validate: boolean): void {
    const { id, name } = input;
    const handler = this.#updates.get(name);
    const fallback = this.#defaultUpdate;
    const info: UpdateInfo = { id, name };
    withFrame({ scope: this.#activation.rootScope, update: info }, () => {
      let args: unknown[];
      try {
        if (handler === undefined && isReservedName(name)) throwIfReservedName('update', name);
        if (validate && handler?.validator) this.#validate(info, handler.validator, input.args);
        // Decoded anew, so that what a validator did to its copy is not seen.
        args = decodePayload(input.args) as unknown[];
      } catch (error) {
        this.#reject(id, ensureTemporalFailure(error));
        return;
      }
      this.#accept(input);
      const returned = this.#call(() =>
        handler !== undefined ? handler.fn(...args) : fallback?.(name, ...args),
      );
      const complete = (value: unknown) => {
        const result = encodePayload(value, `result of update ${name}`);
        this.#activation.command({ kind: 'completeUpdate', id, result });
      };
      if (returned.kind === 'value') {
        // Two jobs later, as with an async handler: what else the turn asks for keeps its place before or after it.
        NOW.then(nothing)
          .then(() => complete(returned.value))
          .catch((error) => this.#activation.fail(error));
        return;
      }
      const running: Running = { name, id, policy: handler?.unfinishedPolicy ?? 'WARN_AND_ABANDON' };
      const done = this.#runs(running);
      returned.promise
        .then(complete)
        .catch((error) => {
          const failure = error instanceof ContinueAsNew ? refuseInUpdate(name) : error;
          if (!(failure instanceof TemporalFailure)) throw failure;
          this.#activation.command({ kind: 'completeUpdate', id, failure: toFailure(failure) });
        })
        .catch((error) => this.#activation.fail(error))
        .finally(done);
    });
  }

  #accept(input: UpdateInput): void {
    this.#activation.accept(input);
    this.#activation.command({ kind: 'acceptUpdate', id: input.id });
  }

  #validate(info: UpdateInfo, validator: AnyFunction, args: Payload): void {
    // Temporal ignores the promise of a validator. Here nothing of it runs after its first await, so it could decide nothing.
    this.#runAtOnce('Update validators', `Validator of update '${info.name}'`, args, (values) =>
      validator(...values),
    );
  }

  #flushUpdates(): void {
    for (;;) {
      const buffered = this.#bufferedUpdates ?? [];
      const at = buffered.findIndex(
        ({ input }) => this.#defaultUpdate !== undefined || this.#updates.has(input.name),
      );
      if (at < 0) return;
      const [{ input, validate }] = buffered.splice(at, 1) as [BufferedUpdate];
      this.#deliverUpdate(input, validate);
    }
  }

  /** Ends a turn: an update that nobody handled by now is rejected. Returns all that this turn rejected. */
  takeRejected(): readonly RejectedUpdate[] {
    for (const { input } of this.#bufferedUpdates ?? []) {
      const message = `No registered handler for update: ${input.name}`;
      this.#reject(input.id, ApplicationFailure.nonRetryable(message));
    }
    this.#bufferedUpdates = undefined;
    const rejected = this.#rejected;
    this.#rejected = undefined;
    return rejected ?? NONE;
  }

  #reject(id: string, error: Error): void {
    this.#rejected ??= [];
    this.#rejected.push({ id, failure: toFailure(error) });
  }

  // ----- queries -----------------------------------------------------------------------------------------------

  query(name: string, args: Payload): QueryAnswer {
    try {
      return { ok: true, result: this.#answer(name, args) };
    } catch (error) {
      return { ok: false, failure: toFailure(error) };
    }
  }

  #answer(name: string, args: Payload): Payload {
    if (name === METADATA_QUERY) return encodePayload(this.#metadata());
    const handler = this.#queries.get(name);
    const fallback = this.#defaultQuery;
    if (handler === undefined && (fallback === undefined || isReservedName(name))) {
      if (fallback !== undefined) throwIfReservedName('query', name);
      const names = [...BUILT_IN_QUERIES.map((query) => query.name), ...this.#queries.keys()].join(' ');
      throw new ReferenceError(
        `Workflow did not register a handler for ${name}. Registered queries: [${names}]`,
      );
    }
    let answer: Payload | undefined;
    this.#runAtOnce(
      'Query handlers',
      `Query handler '${name}'`,
      args,
      (values) => (handler !== undefined ? handler.fn(...values) : fallback?.(name, ...values)),
      (value) => {
        answer = encodePayload(value, `answer of query ${name}`);
      },
    );
    return answer!;
  }

  /** Runs, read-only, what must be done when it returns. `kind` names all of its kind, `what` this one. */
  #runAtOnce(
    kind: string,
    what: string,
    args: Payload,
    fn: (values: unknown[]) => unknown,
    capture: (value: unknown) => void = () => undefined,
  ): void {
    let promised = false;
    try {
      this.#activation.runReadOnly(what, args, fn, (value) => {
        promised = isThenable(value);
        if (!promised) capture(value);
      });
    } catch (error) {
      // That it is async says more than that it awaits.
      if (!promised) throw error;
    }
    if (promised) throw new DeterminismViolationError(`${kind} should not return a Promise`);
  }

  #metadata(): WorkflowMetadata {
    const list = (handlers: Map<string, Handler>) =>
      [...handlers].map(([name, { description }]) =>
        description === undefined ? { name } : { name, description },
      );
    return {
      definition: {
        type: this.#activation.info.workflowType,
        queryDefinitions: [...BUILT_IN_QUERIES, ...list(this.#queries)],
        signalDefinitions: list(this.#signals),
        updateDefinitions: list(this.#updates),
      },
      currentDetails: this.#activation.currentDetails,
    };
  }

  // ----- the end -----------------------------------------------------------------------------------------------

  /** A workflow that fails takes its handlers with it; nobody is warned of them. */
  forgetRunning(): void {
    this.#running = undefined;
    this.#doneAtOnce = 0;
  }

  /** One warning per kind of handler that the end of the workflow cut off. */
  warnUnfinished(): void {
    const unfinished = [...(this.#running ?? [])].filter(({ policy }) => policy === 'WARN_AND_ABANDON');
    const updates = unfinished.filter(({ id }) => id !== undefined);
    const signals = unfinished.filter(({ id }) => id === undefined);
    if (updates.length > 0) {
      const list = JSON.stringify(updates.map(({ name, id }) => ({ name, id })));
      this.#activation.log('WARN', UNFINISHED_UPDATES + list);
    }
    if (signals.length > 0) {
      const counts = new Map<string, number>();
      for (const { name } of signals) counts.set(name, (counts.get(name) ?? 0) + 1);
      const list = JSON.stringify([...counts].map(([name, count]) => ({ name, count })));
      this.#activation.log('WARN', UNFINISHED_SIGNALS + list);
    }
  }
}

function requireDefinition(definition: unknown): void {
  const { name } = (definition ?? {}) as { name?: unknown };
  if (typeof definition === 'object' && typeof name === 'string' && name !== '') return;
  const got = typeof definition === 'string' ? `'${definition}'` : kindOf(definition);
  throw new TypeError(
    `setHandler(...) expects a definition made by defineSignal, defineQuery or defineUpdate, got ${got}`,
  );
}

/** Null counts as not given, as on Temporal. @throws TypeError or ValueError for options that make no sense */
function checkHandlerOptions(type: MessageDefinition['type'], options: HandlerOptions): void {
  if (type === 'query') return checkOptions(options, QUERY_OPTIONS, 'QueryHandlerOptions');
  if (type === 'signal') checkOptions(options, SIGNAL_OPTIONS, 'SignalHandlerOptions');
  else checkOptions(options, UPDATE_OPTIONS, 'UpdateHandlerOptions');
  const { validator, unfinishedPolicy } = options;
  if (validator !== undefined && validator !== null && typeof validator !== 'function')
    throw new TypeError(`UpdateHandlerOptions.validator must be a function, got ${kindOf(validator)}`);
  if (unfinishedPolicy !== undefined && unfinishedPolicy !== null)
    oneOf(HandlerUnfinishedPolicy, unfinishedPolicy, 'unfinishedPolicy');
}

const NONE: readonly never[] = [];
const NOW = Promise.resolve();
const nothing = () => undefined;

/** What `await` would wait for. */
function mayBeThenable(value: unknown): boolean {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}

function isThenable(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

const UNFINISHED_UPDATES =
  '[TMPRL1102] Workflow finished while an update handler was still running. The caller of the update gets an error. ' +
  'Wait for `condition(allHandlersFinished)` before the workflow ends, or set the policy ' +
  '`HandlerUnfinishedPolicy.ABANDON` to silence this warning. These updates were still running: ';
const UNFINISHED_SIGNALS =
  '[TMPRL1102] Workflow finished while a signal handler was still running. What it had begun may be interrupted. ' +
  'Wait for `condition(allHandlersFinished)` before the workflow ends, or set the policy ' +
  '`HandlerUnfinishedPolicy.ABANDON` to silence this warning. These signals were still running: ';
