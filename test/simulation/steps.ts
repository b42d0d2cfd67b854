/**
 * The steps of a simulation, and where they come from: a seed.
 *
 * Owns: what can be done to executions, how often each is done, how a step is printed.
 * Does not own: doing it (simulation.ts), what must come of it (model.ts).
 *
 * A step is plain data and makes sense whatever came before it, so that any part of a run is a run as well and a
 * failing one can be shortened.
 */
import { Random } from '../crash/random.js';
import type { Life } from '../fixtures/workflows/simulation.js';

export type Conflict = 'FAIL' | 'USE_EXISTING' | 'TERMINATE_EXISTING';
export type Reuse =
  | 'ALLOW_DUPLICATE'
  | 'ALLOW_DUPLICATE_FAILED_ONLY'
  | 'REJECT_DUPLICATE'
  | 'TERMINATE_IF_RUNNING';
export type SignalName = 'add' | 'late' | 'open' | 'finish' | 'fail' | 'renew' | 'stumble' | 'relay';
export type UpdateName = 'put' | 'putFailing' | 'putSlowly' | 'putByActivity';
/** What the caller waits for first; 'execute' is one call for all of it. */
export type Waiting = 'accepted' | 'completed' | 'execute';

export type CallStep =
  | { kind: 'start'; id: string; life: Life; conflict: Conflict; reuse: Reuse }
  | { kind: 'signalWithStart'; id: string; life: Life; conflict: Conflict; reuse: Reuse; what: string }
  /** `more`: how long 'stumble' fails turns, ms; the workflow id that 'relay' sends to. */
  | { kind: 'signal'; id: string; name: SignalName; what: string; more?: string | number; requestId?: string }
  | {
      kind: 'update';
      id: string;
      name: UpdateName;
      what: string;
      ms: number;
      updateId: string;
      waiting: Waiting;
    }
  | {
      kind: 'updateWithStart';
      id: string;
      life: Life;
      conflict: Conflict;
      reuse: Reuse;
      name: 'put' | 'putFailing';
      what: string;
      ms: number;
      updateId: string;
      waiting: Waiting;
    }
  | { kind: 'ask'; id: string; updateId: string }
  | { kind: 'query'; id: string }
  | { kind: 'cancel'; id: string }
  | { kind: 'terminate'; id: string };

export type Step =
  | CallStep
  | { kind: 'advance'; ms: number }
  /** What is under way gets some time, not enough to finish. */
  | { kind: 'breathe' }
  /** Waits for all calls that can be answered by now. */
  | { kind: 'settle' }
  /** Settles, then compares everything with the model. */
  | { kind: 'audit' }
  | { kind: 'crash' }
  | { kind: 'reopen' }
  /** The disk is full for so many rounds of the event loop. */
  | { kind: 'full'; rounds: number }
  /** A workflow thread ends, whatever it is doing. */
  | { kind: 'kill'; which: number };

const SLOTS = 6;
/** Steps that one workflow id sees, about. */
const STEPS_PER_ID = 60;

/** Weights of the calls to an execution that is probably open. */
const CALLS = [
  ['signal', 32],
  ['update', 28],
  ['again', 5],
  ['ask', 4],
  ['query', 12],
  ['start', 4],
  ['signalWithStart', 4],
  ['updateWithStart', 4],
  ['cancel', 1.5],
  ['terminate', 1.2],
] as const;
const WITHOUT_CALL = [
  ['advance', 6],
  ['audit', 3],
  ['crash', 0.22],
  ['reopen', 0.1],
  ['full', 1.5],
  ['kill', 0.7],
] as const;
const SIGNALS = [
  ['add', 60],
  ['late', 15],
  ['open', 6],
  ['finish', 8],
  ['fail', 2],
  ['renew', 5],
  ['stumble', 2],
  ['relay', 8],
] as const;
const UPDATES = [
  ['put', 50],
  ['putSlowly', 25],
  ['putByActivity', 12],
  ['putFailing', 13],
] as const;

/** Some of these come more often with one seed than with another, so that what is rare meets what else is rare. */
const VARIED = [
  'renew',
  'stumble',
  'relay',
  'late',
  'putByActivity',
  'crash',
  'cancel',
  'terminate',
  'signalWithStart',
  'updateWithStart',
] as const;
const TIMES_MORE = 4;

type UpdateStep = Extract<CallStep, { kind: 'update' }>;
export type StartStep = Extract<CallStep, { life: Life }>;

interface Slot {
  id: string;
  /** A guess: the steps are made before anything runs. */
  open: boolean;
  updates: UpdateStep[];
}

/** As many steps as asked for, besides those that only wait. */
export function stepsOf(seed: number, count: number): Step[] {
  return new Plan(new Random(seed)).steps(count);
}

class Plan {
  readonly #random: Random;
  readonly #slots: Slot[] = [];
  /** What comes more often. */
  readonly #frequent: ReadonlySet<string>;
  /** How often one call is made at a time, and how often there is a pause where many are made at once. */
  readonly #calm: number;
  readonly #pauses: number;
  readonly #steps: Step[] = [];
  #made = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#frequent = new Set(random.sample(VARIED, 3));
    this.#calm = random.one([0.1, 0.4, 0.4]);
    this.#pauses = random.one([0.03, 0.12, 0.5]);
    for (let i = 0; i < SLOTS; i++) this.#slots.push(this.#newSlot());
  }

  steps(count: number): Step[] {
    let counted = 0;
    while (counted < count) {
      // Sometimes one call at a time, sometimes many at once.
      const calm = this.#random.next() < this.#calm;
      for (let left = 5 + this.#random.below(50); left > 0 && counted < count; left--, counted++) {
        this.#steps.push(this.#step());
        if (calm) this.#steps.push({ kind: 'settle' });
        else if (this.#random.next() < this.#pauses) this.#steps.push({ kind: 'breathe' });
      }
    }
    return this.#steps;
  }

  #step(): Step {
    const others = WITHOUT_CALL.reduce((sum, choice) => sum + this.#weight(choice), 0);
    if (this.#random.next() * 100 < others) {
      const kind = this.#weighted(WITHOUT_CALL);
      if (kind === 'advance') return { kind, ms: 1_000 * (1 + this.#random.below(20)) };
      if (kind === 'kill') return { kind, which: this.#random.below(6) };
      return kind === 'full' ? { kind, rounds: 1 + this.#random.below(40) } : { kind };
    }
    const at = this.#random.below(SLOTS);
    if (this.#random.below(STEPS_PER_ID) === 0) this.#slots[at] = this.#newSlot();
    return this.#call(this.#slots[at]!);
  }

  #call(slot: Slot): CallStep {
    const { id } = slot;
    const wake = !slot.open && this.#random.next() < 0.6;
    const kind = wake
      ? this.#random.one(['start', 'signalWithStart', 'updateWithStart'] as const)
      : this.#weighted(CALLS);
    switch (kind) {
      case 'start':
        slot.open = true;
        return { kind, id, life: this.#life(), ...this.#policies() };
      case 'signalWithStart': {
        slot.open = true;
        const { conflict, reuse } = this.#policies();
        return {
          kind,
          id,
          life: this.#life(),
          reuse,
          conflict: conflict === 'FAIL' ? 'USE_EXISTING' : conflict,
          what: this.#name('s'),
        };
      }
      case 'updateWithStart':
        slot.open = true;
        return this.#updateWithStart(slot);
      case 'signal':
        return this.#signal(slot);
      case 'update':
        return this.#update(slot);
      case 'again':
        return slot.updates.length === 0
          ? this.#update(slot)
          : { ...this.#earlier(slot), waiting: this.#waiting() };
      case 'ask':
        return {
          kind,
          id,
          updateId: slot.updates.length === 0 ? 'never sent' : this.#earlier(slot).updateId,
        };
      case 'query':
        return { kind, id };
      case 'cancel':
      case 'terminate':
        slot.open = false;
        return { kind, id };
    }
  }

  #signal(slot: Slot): CallStep {
    const name = this.#weighted(SIGNALS);
    if (name === 'finish' || name === 'fail') slot.open = false;
    const what = this.#name('s');
    if (name === 'stumble')
      return { kind: 'signal', id: slot.id, name, what, more: 1_000 * this.#random.below(40) };
    if (name === 'relay') {
      const to = this.#random.one(this.#slots.map(({ id }) => id) as [string, ...string[]]);
      return { kind: 'signal', id: slot.id, name, what, more: to };
    }
    const signal = { kind: 'signal' as const, id: slot.id, name, what };
    // Few ids, so that most of them come again.
    return this.#random.next() < 0.2 ? { ...signal, requestId: `request ${this.#random.below(4)}` } : signal;
  }

  #update(slot: Slot): CallStep {
    return this.#newUpdate(slot, this.#weighted(UPDATES));
  }

  #newUpdate(slot: Slot, name: UpdateName): UpdateStep {
    const what = this.#name(this.#random.next() < 0.12 ? 'bad' : 'u');
    const ms = 1_000 * (1 + this.#random.below(40));
    const step: UpdateStep = {
      kind: 'update',
      id: slot.id,
      name,
      what,
      ms,
      updateId: `of ${what}`,
      waiting: this.#waiting(),
    };
    slot.updates.push(step);
    return step;
  }

  #updateWithStart(slot: Slot): CallStep {
    const { conflict, reuse } = this.#policies();
    const policies = {
      conflict,
      reuse: reuse === 'TERMINATE_IF_RUNNING' ? 'ALLOW_DUPLICATE' : reuse,
    } as const;
    const known = slot.updates.filter(({ name }) => name === 'put' || name === 'putFailing');
    const old = this.#random.next() < 0.3 ? known.at(-1) : undefined;
    const { name, what, ms, updateId, waiting } =
      old ?? this.#newUpdate(slot, this.#random.one(['put', 'putFailing']));
    const start = { kind: 'updateWithStart' as const, id: slot.id, life: this.#life(), ...policies };
    return { ...start, name: name as 'put' | 'putFailing', what, ms, updateId, waiting };
  }

  #earlier({ updates }: Slot): UpdateStep {
    return updates[Math.max(0, updates.length - 1 - this.#random.below(6))]!;
  }

  #waiting(): Waiting {
    return this.#random.one(['accepted', 'accepted', 'completed', 'execute']);
  }

  #life(): Life {
    return { tag: this.#name('t'), patient: this.#random.next() < 0.5, shielded: this.#random.next() < 0.5 };
  }

  #policies(): { conflict: Conflict; reuse: Reuse } {
    const conflict = this.#random.one([
      'FAIL',
      'FAIL',
      'USE_EXISTING',
      'USE_EXISTING',
      'TERMINATE_EXISTING',
    ] as const);
    if (conflict === 'TERMINATE_EXISTING') return { conflict, reuse: 'ALLOW_DUPLICATE' };
    const reuse = this.#random.one([
      'ALLOW_DUPLICATE',
      'ALLOW_DUPLICATE',
      'ALLOW_DUPLICATE_FAILED_ONLY',
      'REJECT_DUPLICATE',
    ] as const);
    return {
      conflict,
      reuse: conflict === 'FAIL' && this.#random.below(12) === 0 ? 'TERMINATE_IF_RUNNING' : reuse,
    };
  }

  #newSlot(): Slot {
    return { id: this.#name('w'), open: false, updates: [] };
  }

  #name(prefix: string): string {
    this.#made += 1;
    return `${prefix}${this.#made}`;
  }

  #weighted<T extends string>(choices: readonly (readonly [T, number])[]): T {
    let at = this.#random.next() * choices.reduce((sum, choice) => sum + this.#weight(choice), 0);
    for (const choice of choices) {
      at -= this.#weight(choice);
      if (at < 0) return choice[0];
    }
    return choices[0]![0];
  }

  #weight([what, weight]: readonly [string, number]): number {
    return this.#frequent.has(what) ? TIMES_MORE * weight : weight;
  }
}

/** What the workflow sends on when it gets the signal 'relay'. */
export function relayedOf(what: string): string[] {
  return [1, 2, 3, 4, 5, 6].map((count) => `${what} relayed ${count}`);
}

/** One line. */
export function printed(step: Step): string {
  const { kind, ...rest } = step;
  const words = Object.entries(rest).map(([name, value]) =>
    typeof value === 'object' ? `${name} ${JSON.stringify(value)}` : `${name} ${value}`,
  );
  return [kind, ...words].join(', ');
}
