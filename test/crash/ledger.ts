/**
 * The ledger: what the children asked for and were promised, against what the runtime shows afterwards.
 *
 *   ask --> asked: may be there, at most once
 *            |
 *            +-- answer --> acknowledged: is there, exactly once, from now on and in every later process
 *            +-- refusal -> for the errors that are to be expected: had no effect
 *
 * Owns: D1 (lost), D2 (duplicated, attempts too where they are limited), order, and that every answer stays the answer
 * it was (D5).
 * Does not own: what is asked (child.ts, plan.ts).
 */
import { type Line, lifeOf, type Op, type Outcome, type Report, type WorkflowType } from './operations.js';

export type Violation = 'lost' | 'duplicated' | 'wrong';

/** A signal, a reminder or an update of an account. */
interface Message {
  op: Op & { n: number };
  state: 'asked' | 'acknowledged' | 'refused';
  /** Of an update: JSON of its result, once it was answered. */
  result?: string;
}

export interface Execution {
  id: string;
  type: WorkflowType;
  n: number;
  started: 'asked' | 'acknowledged';
  /** In the order in which they were asked for. */
  messages: Map<number, Message>;
  /** The op that is to end it, and whether it was acknowledged. */
  ending?: { op: Op; acknowledged: boolean };
  outcome?: string;
  /** What a query answered: after so many steps the chain's last value was this. */
  positions: { steps: number; last: number }[];
  /** A turn of it may be failing. Until it is settled, what was acknowledged may wait for that turn and not show. */
  isStumbling: boolean;
  /** Nothing goes on in it, so its history and state stay as they are: JSON of them, by the op that asked. */
  quiet?: Map<string, string>;
}

export class Ledger {
  readonly executions = new Map<string, Execution>();
  readonly violations: Record<Violation, string[]> = { lost: [], duplicated: [], wrong: [] };
  /** Calls that were acknowledged. */
  acknowledged = 0;
  readonly #open = new Map<string, Op>();
  #closing = false;
  readonly #said = new Set<string>();
  /** Attempts of the activity that jobs are charged by, by the job's number. */
  readonly #charges = new Map<number, number[]>();

  /** Calls of the child at hand that were not answered. */
  get unanswered(): Op[] {
    return [...this.#open.values()];
  }

  /** A new child: nobody answers what the last one asked. */
  newLife(): void {
    this.#open.clear();
    this.#closing = false;
  }

  hear(line: Line): void {
    if (line.say === 'trouble') this.violation('wrong', `the runtime reported: ${line.text}`);
    if (line.say === 'closing') this.#closing = true;
    if (line.say === 'charged') this.#charged(line.n, line.attempt);
    if (line.say === 'ask') {
      this.#open.set(line.op.id, line.op);
      this.#asked(line.op);
    }
    if (line.say !== 'answer' && line.say !== 'refusal') return;
    const op = this.#open.get(line.id)!;
    this.#open.delete(line.id);
    if (line.say === 'refusal') return this.#refused(op, line.error, line.message);
    this.acknowledged += 1;
    this.#answered(op, line.value);
  }

  /** An attempt that a kill interrupted is one, and does not begin again. */
  #charged(n: number, attempt: number): void {
    const attempts = this.#charges.get(n) ?? [];
    this.#charges.set(n, attempts);
    if (attempts.includes(attempt)) this.violation('duplicated', `charge ${n}, attempt ${attempt}`);
    if (attempt > 2 - (n % 2)) this.violation('wrong', `charge ${n} was tried again: attempt ${attempt}`);
    attempts.push(attempt);
  }

  /** Each is counted once, however often it is seen. */
  violation(kind: Violation, text: string): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.violations[kind].push(text);
  }

  // ----- asked -------------------------------------------------------------------------------------------------

  #asked(op: Op): void {
    if (op.do === 'start') return this.#startAsked(op);
    const execution = this.#execution(op);
    switch (op.do) {
      case 'signal':
      case 'signalOnce':
      case 'remind':
      case 'update':
        delete execution.quiet;
        if (op.do === 'signal' && op.stumble !== undefined) execution.isStumbling = true;
        if (op.n > 0 && !execution.messages.has(op.n)) execution.messages.set(op.n, { op, state: 'asked' });
        return;
      case 'finish':
      case 'cancel':
      case 'terminate':
        delete execution.quiet;
        execution.ending ??= { op, acknowledged: false };
        return;
      default:
        return;
    }
  }

  #startAsked({ to, type, n }: Op & { do: 'start' }): void {
    if (this.executions.has(to)) return;
    this.executions.set(to, {
      id: to,
      type,
      n,
      started: 'asked',
      messages: new Map(),
      positions: [],
      isStumbling: false,
    });
  }

  #execution({ to }: Op): Execution {
    const execution = this.executions.get(to);
    if (execution === undefined) throw new Error(`The child asked for ${to}, which it never started`);
    return execution;
  }

  // ----- answered ----------------------------------------------------------------------------------------------

  #answered(op: Op, value: unknown): void {
    const execution = this.#execution(op);
    switch (op.do) {
      case 'start':
        if (execution.started === 'acknowledged' && value === 'started')
          this.violation('duplicated', `${op.to} was started twice`);
        execution.started = 'acknowledged';
        return;
      case 'signalOnce':
        return this.#signalledOnce(execution, op.n, value as number);
      case 'signal':
      case 'remind':
        return this.#acknowledge(execution, op.n);
      case 'update':
        this.#acknowledge(execution, op.n);
        if (op.stage === 'COMPLETED') this.#result(execution, op.n, value);
        return;
      case 'recall':
        return this.#result(execution, op.n, value);
      case 'position':
        execution.positions.push(value as Execution['positions'][number]);
        return;
      case 'report':
        this.#report(execution, value as Report);
        return this.#unchanged(execution, op, value);
      case 'history':
        return this.#unchanged(execution, op, value);
      case 'settle':
        execution.quiet ??= new Map();
        execution.isStumbling = false;
        return;
      case 'finish':
      case 'cancel':
      case 'terminate':
        if (execution.ending !== undefined) execution.ending.acknowledged = true;
        return;
      case 'result':
        return this.#ended(execution, value as Outcome);
    }
  }

  #acknowledge(execution: Execution, n: number): void {
    const message = execution.messages.get(n);
    if (message !== undefined) message.state = 'acknowledged';
    else this.violation('wrong', `${execution.id} accepted ${n}, which its validator refuses`);
  }

  #signalledOnce(execution: Execution, n: number, effective: number): void {
    const before = execution.messages.get(n)?.state;
    const most = before === 'acknowledged' ? 0 : 1;
    if (effective > most)
      this.violation(
        'duplicated',
        `signal ${n} of ${execution.id}: ${effective} sendings with its request id took effect, ${most} could`,
      );
    this.#acknowledge(execution, n);
  }

  #result(execution: Execution, n: number, value: unknown): void {
    const message = execution.messages.get(n)!;
    const result = JSON.stringify(value);
    message.state = 'acknowledged';
    message.result ??= result;
    if (message.result !== result)
      this.violation(
        'wrong',
        `update ${n} of ${execution.id} answered ${message.result}, and then ${result}`,
      );
  }

  #ended(execution: Execution, outcome: Outcome): void {
    const text = JSON.stringify(outcome);
    execution.outcome ??= text;
    execution.quiet ??= new Map();
    if (execution.outcome !== text)
      this.violation('wrong', `${execution.id} ended with ${execution.outcome}, and then with ${text}`);
    if (!isPossible(execution, outcome) || !this.#isChargedFor(execution, outcome))
      this.violation('wrong', `${execution.id} ended with ${text}`);
    if (execution.type === 'account' && 'value' in outcome)
      execution.positions.push(outcome.value as Execution['positions'][number]);
  }

  /** By an attempt that was seen to begin, or by none that came to its end. */
  #isChargedFor({ type, n }: Execution, outcome: Outcome): boolean {
    if (type !== 'job' || !('value' in outcome)) return true;
    const { charged } = outcome.value as { charged: unknown };
    return charged === 'TimeoutFailure' || (this.#charges.get(n) ?? []).includes(charged as number);
  }

  #unchanged(execution: Execution, op: Op, value: unknown): void {
    if (execution.quiet === undefined) return;
    const text = JSON.stringify(value);
    const before = execution.quiet.get(op.do);
    if (before === undefined) execution.quiet.set(op.do, text);
    else if (before !== text)
      this.violation(
        'wrong',
        `the ${op.do} of ${execution.id} changed although nothing went on: ${before} became ${text}`,
      );
  }

  // ----- refused -----------------------------------------------------------------------------------------------

  #refused(op: Op, error: string, text: string): void {
    const message = 'n' in op ? this.executions.get(op.to)?.messages.get(op.n) : undefined;
    if (isExpected(op, error, text, message)) return;
    // It may have taken effect all the same: an update may have been accepted whose end nobody waits for any more.
    if (this.#closing && text.includes(CLOSED)) return;
    if (message?.state === 'asked') message.state = 'refused';
    // Its turn kept failing. From here on it must never show.
    if (op.do === 'update' && text.includes(NOT_TAKEN)) return;
    const lost = op.do === 'recall' && message?.state === 'acknowledged';
    this.violation(lost ? 'lost' : 'wrong', `${JSON.stringify(op)} was refused: ${error}: ${text}`);
  }

  // ----- the state of an account -------------------------------------------------------------------------------

  #report(execution: Execution, report: Report): void {
    const { id, messages } = execution;
    const lists = {
      signal: report.signals,
      signalOnce: report.once,
      remind: report.asked,
      update: report.begun,
    };
    for (const [kind, list] of Object.entries(lists)) {
      const there = this.#atMostOnce(`${kind} of ${id}`, list);
      for (const n of list) {
        const message = messages.get(n);
        if (message?.op.do !== kind) this.violation('wrong', `${id} shows ${kind} ${n}, which was not sent`);
        if (message?.state === 'refused')
          this.violation('wrong', `${id} shows ${kind} ${n}, which was refused`);
      }
      for (const { op, state } of messages.values()) {
        if (op.do === kind && state === 'acknowledged' && !there.has(op.n))
          this.violation('lost', `${kind} ${op.n} of ${id}`);
      }
    }
    this.#followUps(execution, report);
    this.#order(execution, report.signals);
    this.#chain(execution, report.chain);
  }

  #atMostOnce(what: string, list: readonly number[]): Set<number> {
    const there = new Set<number>();
    for (const n of list) {
      if (there.has(n)) this.violation('duplicated', `${what}: ${n}`);
      there.add(n);
    }
    return there;
  }

  /** Timers that fired and updates that ended: not before they began, and all of them where nothing goes on any more. */
  #followUps({ id, messages, quiet }: Execution, { asked, fired, begun, finished }: Report): void {
    for (const [what, from, to] of [
      ['timer', asked, fired],
      ['update', begun, finished],
    ] as const) {
      const ended = this.#atMostOnce(`end of ${what} of ${id}`, to);
      for (const n of to)
        if (!from.includes(n)) this.violation('wrong', `${what} ${n} of ${id} ended and never began`);
      for (const n of from) {
        const promised = messages.get(n)?.result !== undefined || quiet !== undefined;
        if (promised && !ended.has(n)) this.violation('lost', `end of ${what} ${n} of ${id}`);
      }
    }
  }

  /**
   * Signals of a process take effect in the order of the calls, awaited or not, and their numbers rise; so when one is
   * there, all that the same process sent before are.
   */
  #order({ id, messages }: Execution, signals: readonly number[]): void {
    for (const [i, n] of signals.entries()) {
      if (i > 0 && n < signals[i - 1]!)
        this.violation('wrong', `${id} got signal ${n} after ${signals[i - 1]}`);
    }
    const newest = new Map<number, number>();
    for (const n of signals) newest.set(lifeOf(n), n);
    const there = new Set(signals);
    for (const { op, state } of messages.values()) {
      if (op.do !== 'signal' || state === 'refused' || there.has(op.n)) continue;
      if (op.n < (newest.get(lifeOf(op.n)) ?? 0))
        this.violation('wrong', `${id} did not get signal ${op.n}, sent before others that it got`);
    }
  }

  /** What queries answered earlier is the beginning of what is there now (D4, D5). */
  #chain(execution: Execution, chain: readonly number[]): void {
    for (const { steps, last } of execution.positions) {
      const now = steps === 0 ? 0 : chain[steps - 1];
      if (now !== last)
        this.violation(
          'wrong',
          `${execution.id} answered ${last} after ${steps} steps, and now shows ${now}`,
        );
    }
    // Each value contains those before it, so the newest stands for all.
    execution.positions = [{ steps: chain.length, last: chain.at(-1) ?? 0 }];
  }
}

/** In the message of an error that names the limit on the length of a turn. */
export const BLOCKED = 'limits.turnMsMax';

/** In the message of an update that was refused because the turn that would have taken it kept failing. */
const NOT_TAKEN = 'limits.updateTurnAttemptsMax';

/** In the message of every call that is refused, or given up, because of close(). */
const CLOSED = 'The runtime is closed';

/** Errors that say something true: it had ended when it was to be ended, or never got there. */
function isExpected(op: Op, error: string, text: string, message: Message | undefined): boolean {
  // A query that waited behind a turn which took its thread along, or whose replay was too slow on a busy machine.
  if (error === 'QueryNotRegisteredError') return text.includes(BLOCKED);
  if (op.do === 'update' && op.n < 0) return error === 'WorkflowUpdateFailedError';
  if (error !== 'WorkflowNotFoundError') return false;
  if (op.do === 'recall') return message?.state !== 'acknowledged';
  return op.do === 'finish' || op.do === 'cancel' || op.do === 'terminate';
}

function isPossible({ type, n, ending }: Execution, outcome: Outcome): boolean {
  const value = 'value' in outcome ? (outcome.value as Record<string, unknown>) : undefined;
  switch (type) {
    case 'account':
      return value !== undefined && ending?.op.do === 'finish';
    case 'job':
      return value?.n === n && value.doubled === 2 * n;
    case 'waiter':
      if (ending?.op.do === 'terminate')
        return 'failed' in outcome && outcome.failed === 'TerminatedFailure: enough';
      if (n % 2 === 0) return value?.n === n && value.cancelled === true;
      return 'failed' in outcome && outcome.failed.startsWith('CancelledFailure');
  }
}
