/**
 * Transition tables: an XState chart flattened into plain frozen data.
 *
 * Owns: how a chart becomes a table (once, when its file is loaded), and the one way to follow an arrow.
 * Does not own: the charts themselves; they are the other files of this folder. No guards, no context: what an arrow
 * depends on beside state and event is decided by the caller, before the event is chosen.
 *
 * The chart is the documentation and the model that tests walk; the table is what runs, at the price of two property
 * reads. An arrow that is not in the chart is a broken invariant, never an expected failure: it throws.
 */
import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type EventFromLogic,
  getInitialSnapshot,
  type StateValueFrom,
  transition,
} from 'xstate';

export interface Table<State extends string, Event extends string> {
  /** The chart's id, for messages. */
  readonly machine: string;
  readonly initial: State;
  /** Every state, in the chart's order. */
  readonly states: readonly State[];
  readonly events: readonly Event[];
  /** States that no arrow leaves. */
  readonly finals: readonly State[];
  /** arrows[state][event] is where the arrow leads; absent where there is none. */
  readonly arrows: Readonly<Record<State, Readonly<Partial<Record<Event, State>>>>>;
}

/** The states of a flat chart as a union of string literals. */
export type StateOf<Machine extends AnyStateMachine> = StateValueFrom<Machine> & string;
export type EventOf<Machine extends AnyStateMachine> = EventFromLogic<Machine>['type'];

/** The arrow does not exist in the chart. */
export class IllegalTransitionError extends Error {
  override readonly name = 'IllegalTransitionError';
  constructor(
    readonly machine: string,
    readonly state: string,
    readonly event: string,
  ) {
    super(`Illegal transition of ${machine}: event '${event}' in state '${state}'`);
  }
}

/** @throws IllegalTransitionError when the chart has no such arrow. */
export function next<State extends string, Event extends string>(
  table: Table<State, Event>,
  state: NoInfer<State>,
  event: NoInfer<Event>,
): State {
  const target = table.arrows[state]?.[event];
  if (target === undefined) throw new IllegalTransitionError(table.machine, state, event);
  return target;
}

/** True when the chart has an arrow for the event in this state. */
export function can<State extends string, Event extends string>(
  table: Table<State, Event>,
  state: NoInfer<State>,
  event: NoInfer<Event>,
): boolean {
  return table.arrows[state]?.[event] !== undefined;
}

/** True when no arrow leaves the state. */
export function isFinal<State extends string, Event extends string>(
  table: Table<State, Event>,
  state: NoInfer<State>,
): boolean {
  return table.finals.includes(state);
}

/** @throws Error for a chart that is not flat, or that has a state which nothing reaches. */
export function deriveTable<Machine extends AnyStateMachine>(
  machine: Machine,
): Table<StateOf<Machine>, EventOf<Machine>> {
  return flatten(machine) as unknown as Table<StateOf<Machine>, EventOf<Machine>>;
}

function flatten(machine: AnyStateMachine): Table<string, string> {
  const reached = reachable(machine);
  const states = Object.keys(machine.root.states);
  const stray = states.find((state) => !reached.has(state));
  if (stray !== undefined) throw new Error(`Nothing reaches state '${stray}' of ${machine.id}`);
  return Object.freeze({
    machine: machine.id,
    initial: stateOf(getInitialSnapshot(machine)),
    states: Object.freeze(states),
    events: Object.freeze([...machine.events]),
    finals: Object.freeze(states.filter((state) => reached.get(state)?.status === 'done')),
    arrows: frozenRow(states, (state) => arrowsFrom(machine, reached.get(state)!)),
  });
}

/** One snapshot of every state that the chart can be in. */
function reachable(machine: AnyStateMachine): Map<string, AnyMachineSnapshot> {
  const initial: AnyMachineSnapshot = getInitialSnapshot(machine);
  const found = new Map([[stateOf(initial), initial]]);
  // A map hands out entries that are added while it is walked, so this goes on until nothing new is found.
  for (const snapshot of found.values()) {
    for (const type of machine.events) {
      const reached = follow(machine, snapshot, type);
      if (reached !== undefined && !found.has(stateOf(reached))) found.set(stateOf(reached), reached);
    }
  }
  return found;
}

function arrowsFrom(
  machine: AnyStateMachine,
  snapshot: AnyMachineSnapshot,
): Readonly<Record<string, string>> {
  const legal = machine.events.filter((type) => snapshot.can({ type }));
  return frozenRow(legal, (type) => stateOf(follow(machine, snapshot, type)!));
}

/** Undefined when the chart ignores the event; an arrow from a state to itself is an arrow. */
function follow(
  machine: AnyStateMachine,
  snapshot: AnyMachineSnapshot,
  type: string,
): AnyMachineSnapshot | undefined {
  if (!snapshot.can({ type })) return undefined;
  const [reached] = transition(machine, snapshot, { type });
  return reached;
}

function stateOf(snapshot: AnyMachineSnapshot): string {
  if (typeof snapshot.value === 'string') return snapshot.value;
  throw new Error(
    `The chart ${snapshot.machine.id} is not flat: it can be in ${JSON.stringify(snapshot.value)}`,
  );
}

/** Without a prototype, so that a state or event named like a method of Object finds nothing. */
function frozenRow<Value>(
  keys: readonly string[],
  value: (key: string) => Value,
): Readonly<Record<string, Value>> {
  const row: Record<string, Value> = Object.create(null);
  for (const key of keys) row[key] = value(key);
  return Object.freeze(row);
}
