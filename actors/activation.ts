/**
 * The activation: one workflow execution in memory.
 *
 * Owns: the state of a run between turns, the order of jobs within a turn, how the run ends.
 * Does not own: when a turn happens (runtime/shard.ts), draining microtasks (the thread does, between the steps),
 * storing, timers' clocks, activities' work. It does no I/O: what it wants done it returns as commands.
 *
 * One turn (semantics.md 1.2), driven by the thread:
 *
 *   begin(inputs) -> [drain microtasks] -> { step() -> [drain] } while step() says so -> finish()
 *
 * D3: one turn at a time, inputs in mailbox order. D5: all that it reads from outside (time, randomness, inputs)
 * comes through here, so the same inputs at the same times give the same commands.
 */
import type { Failure } from '../codec/failure.js';
import type { Command, Input, StartInfo, UpdateInput } from '../codec/journal-entry.js';
import { Activities } from './activities.js';
import { Children } from './children.js';
import { ContinueAsNew } from './continue-as-new.js';
import { asyncContext, setCurrent } from './current.js';
import { Externals } from './externals.js';
import { failureAttributes, isBenign } from './failure-attributes.js';
import {
  CancelledFailure,
  IllegalStateError,
  isCancellation,
  TemporalFailure,
  toFailure,
} from './failures.js';
import { Handlers, type RejectedUpdate } from './handlers.js';
import { decodePayload, encodePayload } from './payloads.js';
import { Random, seedOf } from './random.js';
import type { ReadOnlyRuntime } from './sandbox/read-only.js';
import { realNow } from './sandbox/real-clock.js';
import { CancellationScope } from './scopes.js';
import { Timers } from './timers.js';
import { TurnState } from './turn-state.js';

export type LogLevel = 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
export interface LogLine {
  level: LogLevel;
  message: string;
  attributes: Record<string, unknown> | undefined;
}

export interface Turn {
  /** Epoch ms. */
  now: number;
  inputs: readonly Input[];
  /** Id of the WorkflowTaskStarted event of this turn. */
  historyLength: number;
  /** Bytes of history before this turn. */
  historySize: number;
  replaying: boolean;
}

export type TurnOutcome =
  | {
      kind: 'done';
      /** The inputs that count: all but the updates that were rejected. */
      inputs: Input[];
      commands: Command[];
      /** False when nothing happened that replay would have to repeat. */
      worked: boolean;
      rejected: readonly RejectedUpdate[];
      closed: boolean;
    }
  | { kind: 'failed'; failure: Failure };

/** What the user's modules export. Nothing of it is made before it is asked for: an execution needs one function. */
export interface WorkflowExports {
  names(): string[];
  get(name: string): unknown;
}

/** Evaluates the user's modules anew and returns their exports. */
export type LoadWorkflows = () => WorkflowExports;

interface Condition {
  fn: () => boolean;
  resolve: () => void;
}

type SeqKind = 'timer' | 'activity' | 'condition' | 'child' | 'external';

export class Activation {
  info: StartInfo;
  readonly handlers = new Handlers(this);
  readonly conditions = new Map<number, Condition>();
  readonly rootScope = CancellationScope.root();
  currentDetails = '';
  logs: LogLine[] = [];
  now: number;
  historyLength = 0;
  historySize = 0;
  replaying = false;
  /** A query handler runs. It may log, although code that is not to be repeated must take it for a replay (semantics.md 5.3). */
  querying = false;
  memo: Record<string, unknown> | undefined;
  searchAttributes: Record<string, unknown> | undefined;

  // Most idle executions use few of these; an empty Map alone takes 200 bytes.
  #timers: Timers | undefined;
  #activities: Activities | undefined;
  #children: Children | undefined;
  #externals: Externals | undefined;
  #patches: Set<string> | undefined;
  readonly #load: LoadWorkflows;
  readonly #readOnly: ReadOnlyRuntime;
  #random: Random | undefined;
  /** Separate, so that a query's draws leave the workflow's own sequence alone. */
  #readOnlyRandom: Random | undefined;
  #readingOnly: { what: string } | undefined;
  readonly #seqs: Record<SeqKind, number> = { timer: 0, activity: 0, condition: 0, child: 0, external: 0 };
  #main: ((...args: unknown[]) => unknown) | undefined;
  #phase: 'new' | 'running' | 'closed' = 'new';
  #cancelRequested = false;
  /** Undefined between turns. */
  #doing: TurnState | undefined;
  #spoiled = false;

  constructor(info: StartInfo, load: LoadWorkflows, readOnly: ReadOnlyRuntime) {
    this.info = info;
    this.now = info.startTime;
    this.#load = load;
    this.#readOnly = readOnly;
  }

  get timers(): Timers {
    this.#timers ??= new Timers(this);
    return this.#timers;
  }

  get activities(): Activities {
    this.#activities ??= new Activities(this);
    return this.#activities;
  }

  get children(): Children {
    this.#children ??= new Children(this);
    return this.#children;
  }

  get externals(): Externals {
    this.#externals ??= new Externals(this);
    return this.#externals;
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  // ----- the turn ----------------------------------------------------------------------------------------------

  /** Runs all jobs of the turn synchronously: no promise job runs between two of them. */
  begin(turn: Turn): void {
    setCurrent(this);
    this.#doing = new TurnState(this.now);
    this.now = Math.max(this.now, turn.now);
    this.historyLength = turn.historyLength;
    this.historySize = turn.historySize;
    this.replaying = turn.replaying;
    try {
      if (this.#phase === 'new') this.#initialize();
      for (const input of inJobOrder(turn.inputs)) this.#job(input, !turn.replaying);
      if (this.#phase === 'new') this.#startMain();
    } catch (error) {
      this.#capture(error);
    }
  }

  /** After the microtasks are drained: goes on where a condition came true. True: drain and call again. */
  step(): boolean {
    this.handlers.drained();
    const turn = this.#turn;
    if (turn.error !== undefined) return false;
    try {
      const later = turn.afterDrain;
      if (later.length > 0) {
        turn.afterDrain = [];
        for (const fn of later) fn();
        this.#passConditions();
        return true;
      }
      return turn.worked && this.#passConditions();
    } catch (error) {
      this.#capture(error);
      return false;
    }
  }

  /** @param unhandled a rejection that nobody handled in this turn: it fails the turn as a throw would. */
  finish(unhandled?: { reason: unknown }): TurnOutcome {
    const rejected = this.handlers.takeRejected();
    if (unhandled !== undefined) this.#capture(unhandled.reason);
    const turn = this.#turn;
    const { error, worked } = turn;
    this.#doing = undefined;
    setCurrent(undefined);
    if (error !== undefined) return { kind: 'failed', failure: toFailure(error.value) };
    if (!worked) this.now = turn.before;
    if (this.closed) this.handlers.warnUnfinished();
    return {
      kind: 'done',
      inputs: turn.accepted,
      commands: this.closed ? turn.endingWith((end) => this.#withSignals(end)) : turn.commands,
      worked,
      rejected,
      closed: this.closed,
    };
  }

  /** What the code of queries and leftover promise jobs does outside of any turn is of no account: the next begin() forgets it. */
  get #turn(): TurnState {
    this.#doing ??= new TurnState(this.now);
    return this.#doing;
  }

  #initialize(): void {
    const { info } = this;
    this.memo = decodeRecord(info.memo);
    this.searchAttributes = decodeRecord(info.searchAttributes);
    const exports = this.#load();
    const main = exports.get(info.workflowType) ?? exports.get('default');
    if (typeof main !== 'function') {
      const why =
        main === undefined
          ? 'no such function is exported by the workflow bundle'
          : `expected a function, but got: '${typeof main}'`;
      throw new TypeError(`Failed to initialize workflow of type '${info.workflowType}': ${why}`);
    }
    this.#main = main as (...args: unknown[]) => unknown;
  }

  #job(input: Input, live: boolean): void {
    if (input.kind === 'update') {
      const { accepted } = this.#turn;
      const before = accepted.length;
      this.handlers.update(input, live);
      // A rejected or waiting update must leave no trace, not even a look at the conditions: replay does not see it.
      if (accepted.length === before) return;
    } else {
      this.accept(input);
      this.#apply(input);
    }
    this.#passConditions();
  }

  #apply(input: Exclude<Input, UpdateInput>): void {
    switch (input.kind) {
      case 'signal':
        return this.handlers.signal(input);
      case 'timerFired':
        return this.timers.fire(input.seq);
      case 'activityResolved':
        return this.activities.resolve(input);
      case 'cancel':
        this.#cancelRequested = true;
        return this.rootScope.reject(new CancelledFailure('Workflow cancelled'));
      case 'childStarted':
        return this.children.started(input);
      case 'childStartFailed':
        return this.children.startFailed(input);
      case 'childClosed':
        return this.children.closed(input);
      case 'externalResolved':
        return this.externals.resolve(input);
    }
  }

  #startMain(): void {
    this.#phase = 'running';
    this.#turn.worked = true;
    const args = decodePayload(this.info.args) as unknown[];
    // A view on the bytes of a whole batch, which would stay with it; a replay brings them again.
    this.info = { ...this.info, args: NO_BYTES };
    this.log('DEBUG', 'Workflow started');
    // Called as a function: the activation is no business of the user's.
    const main = this.#main!;
    const run = async (): Promise<unknown> => await main(...args);
    run()
      .then((value) => this.#complete(value))
      .catch((error) => this.fail(error));
    this.#passConditions();
  }

  /** Calls the blocked conditions in the order in which they were made, until a whole pass frees none. */
  #passConditions(): boolean {
    const { error } = this.#turn;
    if (error !== undefined) throw error.value;
    let freedAny = false;
    for (let freed = true; freed && this.conditions.size > 0; ) {
      freed = false;
      for (const [seq, condition] of this.conditions) {
        if (!condition.fn()) continue;
        this.conditions.delete(seq);
        condition.resolve();
        freed = true;
        freedAny = true;
      }
    }
    return freedAny;
  }

  // ----- how a run ends ----------------------------------------------------------------------------------------

  #complete(value: unknown): void {
    const result = encodePayload(value, `result of workflow ${this.info.workflowType}`);
    this.log('DEBUG', 'Workflow completed');
    this.#close({ kind: 'completeWorkflow', result });
  }

  /** An error left the main function or a handler (semantics.md 1.6). */
  fail(error: unknown): void {
    if (this.#cancelRequested && isCancellation(error)) {
      this.log('DEBUG', 'Workflow completed as cancelled');
      this.#close({ kind: 'cancelWorkflow' });
    } else if (error instanceof ContinueAsNew) {
      this.log('DEBUG', 'Workflow continued as new');
      this.#close(error.command);
    } else if (error instanceof TemporalFailure) {
      this.handlers.forgetRunning();
      const failure = toFailure(error);
      this.log(isBenign(failure) ? 'DEBUG' : 'WARN', 'Workflow failed', failureAttributes(failure));
      this.#close({ kind: 'failWorkflow', failure });
    } else {
      this.#capture(error);
    }
  }

  /** The next run gets the signals that no handler has taken by the end of the turn. */
  #withSignals(end: Command): Command {
    const signals = this.handlers.waitingSignals;
    return end.kind === 'continueAsNew' && signals.length > 0 ? { ...end, signals } : end;
  }

  #capture(error: unknown): void {
    this.#turn.capture(error);
  }

  #close(command: Command): void {
    this.#phase = 'closed';
    this.command(command);
  }

  // ----- for the authoring API ---------------------------------------------------------------------------------

  nextSeq(kind: SeqKind): number {
    this.#seqs[kind] += 1;
    return this.#seqs[kind];
  }

  lastSeq(kind: SeqKind): number {
    return this.#seqs[kind];
  }

  /** The real time, for code that knows that it is not deterministic. */
  wallClock(): number {
    return realNow();
  }

  command(command: Command): void {
    this.#turn.command(command);
  }

  /** Notes in the history, once per run, that the code took a path that has a name. */
  markPatch(id: string): void {
    this.#patches ??= new Set();
    if (this.#patches.has(id)) return;
    this.#patches.add(id);
    this.command({ kind: 'patch', id, deprecated: false });
  }

  /** Takes back a command of this very turn, as if it had never been given. False when there is none. */
  retract(match: (command: Command) => boolean): boolean {
    return this.#turn.retract(match);
  }

  /** From here on the input is part of the turn, and of the history. */
  accept(input: Input): void {
    this.#turn.accept(input);
  }

  /** Runs fn in this turn once the microtasks under way have run. */
  afterDrain(fn: () => void): void {
    this.#turn.afterDrain.push(fn);
  }

  get random(): Random {
    if (this.#readingOnly !== undefined) {
      this.#readOnlyRandom ??= new Random(seedOf(`${this.info.runId} read-only`));
      return this.#readOnlyRandom;
    }
    this.#random ??= new Random(seedOf(this.info.originalRunId));
    return this.#random;
  }

  log(level: LogLevel, message: string, attributes?: Record<string, unknown>): void {
    if (this.replaying) return;
    const update = asyncContext.frame?.update;
    const about =
      update === undefined ? attributes : { updateId: update.id, updateName: update.name, ...attributes };
    this.logs.push({ level, message, attributes: about });
  }

  takeLogs(): LogLine[] {
    const logs = this.logs;
    this.logs = [];
    return logs;
  }

  // ----- queries and validators (D6) ---------------------------------------------------------------------------

  /** Answers from memory, between turns. Adds nothing to the history and frees no condition. */
  query(name: string, args: Uint8Array): ReturnType<Handlers['query']> {
    setCurrent(this);
    const replaying = this.replaying;
    this.replaying = false;
    this.querying = true;
    try {
      return this.handlers.query(name, args);
    } finally {
      this.replaying = replaying;
      this.querying = false;
      setCurrent(undefined);
    }
  }

  /**
   * Calls fn with the decoded arguments; twice if that is needed to tell new objects from the workflow's own.
   * @throws what fn threw, or an error that names `what` and the place when it tried to change workflow state.
   */
  runReadOnly(
    what: string,
    args: Uint8Array,
    fn: (values: unknown[]) => unknown,
    capture: (value: unknown) => void = () => undefined,
  ): void {
    const logs = this.logs.length;
    // Decoded outside of the run: what the codec builds is not to be watched.
    let values = decodePayload(args) as unknown[];
    let runs = 0;
    this.#readingOnly = { what };
    try {
      const outcome = this.#readOnly.runReadOnly(() => fn(values), {
        capture,
        beforeEachRun: () => {
          if (runs++ > 0) values = decodePayload(args) as unknown[];
          this.#readOnlyRandom = undefined;
          if (this.logs.length > logs) this.logs.length = logs;
        },
      });
      if (outcome.kind === 'threw') throw outcome.error;
      if (outcome.kind === 'violation') {
        const error = new IllegalStateError(
          `${what} tried to change workflow state: ${outcome.what} at ${outcome.location}. ` +
            'Queries and update validators may only read; change state in a signal or update handler.',
        );
        // Within a turn, what follows would build on the change, and replay would not have it.
        if (!outcome.undone) {
          this.#spoiled = true;
          this.#capture(error);
        }
        throw error;
      }
    } finally {
      this.#readingOnly = undefined;
    }
  }

  /** A query or validator changed something that cannot be put back (it advanced an old iterator): this activation must go. */
  get spoiled(): boolean {
    return this.#spoiled;
  }

  /** A token of the query or validation under way; undefined outside of any. */
  get readOnlyRun(): object | undefined {
    return this.#readingOnly;
  }

  refuseReadOnly(call: string): void {
    if (this.#readingOnly !== undefined) {
      throw new IllegalStateError(
        `${this.#readingOnly.what} called ${call}. Queries and update validators may only read workflow state.`,
      );
    }
  }
}

const NO_BYTES = new Uint8Array();

function decodeRecord(record: Uint8Array | undefined): Record<string, unknown> | undefined {
  return record === undefined ? undefined : (decodePayload(record) as Record<string, unknown>);
}

/** Signals first, then updates, then everything else, each in mailbox order (semantics.md 2.7). */
function inJobOrder(inputs: readonly Input[]): readonly Input[] {
  if (inputs.length < 2) return inputs;
  const rank = (input: Input) => (input.kind === 'signal' ? 0 : input.kind === 'update' ? 1 : 2);
  return [...inputs].sort((a, b) => rank(a) - rank(b));
}
