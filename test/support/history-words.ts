/**
 * Journals in a few words, and a look at the events they stand for.
 *
 * Owns: short names for entries, inputs and commands with what tests do not care about filled in.
 * Used by: test/codec/history.
 */
import { expect } from 'chai';
import {
  attributesKey,
  type EventType,
  expandHistory,
  type HistoryEvent,
} from '../../codec/history-event.js';
import type {
  ActivityOutcome,
  Command,
  Input,
  JournalEntry,
  Payload,
  StartInfo,
  TurnFailureCause,
} from '../../codec/journal-entry.js';
import { encodePayload } from '../../codec/payload.js';
import { type JsonObject, temporalPayloadOf } from '../../codec/temporal-payload.js';

export const START = Date.parse('2026-01-02T03:04:05.000Z');
export const at = (seconds: number) => new Date(START + seconds * 1000).toISOString();
export const stored = (value: unknown): Payload => encodePayload(value);
export const json = (value: unknown) => temporalPayloadOf(value);
export const payloads = (...values: unknown[]) => ({ payloads: values.map(json) });

export const INFO: StartInfo = {
  runNo: 1,
  namespace: 'default',
  workflowId: 'order-1',
  runId: 'run-1',
  firstRunId: 'run-1',
  firstRunNo: 1,
  originalRunId: 'run-1',
  workflowType: 'order',
  taskQueue: 'shop',
  args: stored([]),
  startTime: START,
  attempt: 1,
  taskTimeoutMs: 10_000,
};

/** Entries a second apart, from second 0. */
export const journal = (...entries: DistributiveOmit<JournalEntry, 'time'>[]): JournalEntry[] =>
  entries.map((entry, second) => ({ ...entry, time: START + second * 1000 }) as JournalEntry);
export type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export const started = (more: Partial<StartInfo> = {}) => ({
  kind: 'started' as const,
  info: { ...INFO, ...more },
});
export const turn = (inputs: Input[], commands: Command[], taken = 0) => ({
  kind: 'turn' as const,
  taken,
  inputs,
  commands,
});
export const received = (...inputs: Input[]) => ({ kind: 'received' as const, inputs });
export const turnFailed = (cause: TurnFailureCause) => ({
  kind: 'turnFailed' as const,
  cause,
  failure: { message: 'boom' },
});

export const signal = (name: string, ...args: unknown[]): Input => ({
  kind: 'signal',
  name,
  args: stored(args),
});
export const update = (id: string, name: string, ...args: unknown[]): Input => ({
  kind: 'update',
  id,
  name,
  args: stored(args),
});
export const resolved = (
  seq: number,
  outcome: ActivityOutcome,
  attempt = 1,
  startedAt = START + 500,
): Input => ({
  kind: 'activityResolved',
  seq,
  attempt,
  startedAt,
  outcome,
});
export const completed = { status: 'completed' as const, result: stored('done') };
export const activity = (seq: number, activityType = 'charge'): Command => ({
  kind: 'scheduleActivity',
  seq,
  activityId: String(seq),
  activityType,
  args: stored([seq]),
  taskQueue: 'shop',
  startToCloseMs: 60_000,
  cancellationType: 'TRY_CANCEL',
});
export const child = (seq: number, workflowId = `child-${seq}`): Command => ({
  kind: 'startChild',
  seq,
  workflowId,
  workflowType: 'parcel',
  args: stored([]),
  taskQueue: 'shop',
  parentClosePolicy: 'TERMINATE',
});
export const timer = (seq: number, ms = 1000): Command => ({ kind: 'startTimer', seq, ms });
export const cancelTimer = (seq: number): Command => ({ kind: 'cancelTimer', seq });
export const fired = (seq: number): Input => ({ kind: 'timerFired', seq });
export const accept = (id: string): Command => ({ kind: 'acceptUpdate', id });
export const complete = (id: string, value: unknown): Command => ({
  kind: 'completeUpdate',
  id,
  result: stored(value),
});
export const done = (value?: unknown): Command => ({ kind: 'completeWorkflow', result: stored(value) });

// ---------------------------------------------------------------------------------------------------------------
// Looking at events

export const typeOf = (event: HistoryEvent) => event.eventType.slice('EVENT_TYPE_'.length) as EventType;
export const attributesOf = (event: HistoryEvent) =>
  (event as unknown as Record<string, JsonObject>)[attributesKey(typeOf(event))]!;

/** WORKFLOW_EXECUTION_SIGNALED -> ExecutionSignaled: short names, as history-events.md reads. */
export const short = (type: EventType) =>
  type
    .toLowerCase()
    .replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase())
    .replace(/^Workflow(Execution|Task)/, '$1');

export const TASK = ['TaskScheduled', 'TaskStarted', 'TaskCompleted'];
export const names = (entries: JournalEntry[]) => expandHistory(entries).map((event) => short(typeOf(event)));

/** Names of the events behind the first turn, where that turn gave the commands. */
export function namesAfterFirst(
  commands: Command[],
  ...rest: DistributiveOmit<JournalEntry, 'time'>[]
): string[] {
  const all = names(journal(started(), turn([], commands), ...rest));
  expect(all.slice(0, 4)).to.deep.equal(['ExecutionStarted', ...TASK]);
  return all.slice(4);
}

/** Attributes of the last event of the type. */
export function last(type: EventType, entries: JournalEntry[], options = {}): JsonObject {
  const found = expandHistory(entries, options).findLast((event) => typeOf(event) === type);
  expect(found, type).to.not.equal(undefined);
  return attributesOf(found!);
}
