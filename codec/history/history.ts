/**
 * The events so far, and what later ones must be able to name.
 *
 * Owns: the list of events and their numbers (H2), the open timers, activities, children, messages and updates by what
 * entries call them (H4), the inputs that wait for a turn.
 * Does not own: which events an entry gives (entries.ts and the file of each subject, which all write here).
 */
import type {
  Command,
  Input,
  JournalEntry,
  ScheduleActivityCommand,
  StartChildCommand,
  StartInfo,
} from '../journal-entry.js';
import { type FailureOrigins, type JsonObject, present } from '../temporal-payload.js';
import { attributesKey, type EventType, type HistoryEvent } from './event.js';
import type { Attributes } from './shapes.js';

export interface HistoryOptions {
  /** The run that followed this one (continue-as-new, retry, cron), which its closing event names. */
  nextRunId?: string | undefined;
}

export type EntryOf<Kind extends JournalEntry['kind']> = Extract<JournalEntry, { kind: Kind }>;
export type InputOf<Kind extends Input['kind']> = Extract<Input, { kind: Kind }>;
export type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** A workflow task: the three events of a turn, and what the turn was given. */
export interface Task {
  time: number;
  scheduledId: string;
  startedId: string;
  completedId: string;
  inputs: readonly Input[];
}

export interface Activity {
  command: ScheduleActivityCommand;
  scheduledId: string;
  startedId?: string;
  cancelRequestedId?: string;
}

export interface Child {
  command: StartChildCommand;
  initiatedId: string;
  startedId?: string;
  runId?: string;
}

/** A message to another workflow that waits for its answer. */
export interface External<Kind extends ExternalKind = ExternalKind> {
  command: CommandOf<Kind>;
  initiatedId: string;
}
export type ExternalKind = 'signalExternal' | 'cancelExternal' | 'updateExternal' | 'signalWithStart';

export class History implements FailureOrigins {
  readonly events: HistoryEvent[] = [];
  readonly options: HistoryOptions;
  readonly timers = new Map<number, string>();
  readonly activities = new Map<number, Activity>();
  readonly children = new Map<number, Child>();
  readonly externals = new Map<number, External>();
  readonly updates = new Map<string, string>();
  readonly patches = new Set<string>();
  /** The last activity of an id and the last child of one: ids may come again once their bearer is done. */
  readonly activityById = new Map<string, Activity>();
  readonly childById = new Map<string, Child>();
  /** SDK flags stand in the first completed task only; they hold from there on. */
  flagsWritten = false;
  #info: StartInfo | undefined;
  /** Inputs of all 'received' entries, and how many of them turns have taken. */
  readonly #received: Input[] = [];
  #taken = 0;

  constructor(options: HistoryOptions) {
    this.options = options;
  }

  get hasBegun(): boolean {
    return this.#info !== undefined;
  }

  /** Of the 'started' entry, which addEntry lets nothing go before. */
  get info(): StartInfo {
    return this.#info!;
  }

  begin(info: StartInfo): void {
    if (this.#info !== undefined)
      throw new Error(`A second 'started' entry in the journal of run ${this.#info.runId}`);
    this.#info = info;
  }

  /** @returns the event's id */
  add(type: EventType, time: number, attributes: Attributes, metadata?: JsonObject): string {
    const eventId = String(this.events.length + 1);
    const event = {
      eventId,
      eventTime: new Date(time).toISOString(),
      eventType: `EVENT_TYPE_${type}`,
      [attributesKey(type)]: present(attributes),
      ...(metadata && { userMetadata: metadata }),
    };
    this.events.push(event as unknown as HistoryEvent);
    return eventId;
  }

  addWaiting(inputs: readonly Input[]): void {
    for (const input of inputs) this.#received.push(input);
  }

  /** The oldest waiting inputs, which have had their events. */
  take(count: number): Input[] {
    const waiting = this.#received.length - this.#taken;
    if (count > waiting) {
      throw new Error(`A turn of run ${this.info.runId} takes ${count} of ${waiting} waiting inputs`);
    }
    this.#taken += count;
    return this.#received.slice(this.#taken - count, this.#taken);
  }

  known<Found>(map: ReadonlyMap<number | string, Found>, key: number | string, what: string): Found {
    const found = map.get(key);
    if (found === undefined)
      throw new Error(`The journal of run ${this.info.runId} names ${what} ${key}, which nothing began`);
    return found;
  }

  activity(activityId: string): JsonObject | undefined {
    const activity = this.activityById.get(activityId);
    return (
      activity && present({ scheduledEventId: activity.scheduledId, startedEventId: activity.startedId })
    );
  }

  child(workflowId: string): JsonObject | undefined {
    const child = this.childById.get(workflowId);
    return child && present({ initiatedEventId: child.initiatedId, startedEventId: child.startedId });
  }
}

export function cameFrom(task: Task): { workflowTaskCompletedEventId: string } {
  return { workflowTaskCompletedEventId: task.completedId };
}
