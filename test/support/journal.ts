/**
 * Journals made by hand, for tests of what a restart makes of them.
 *
 * Owns: short ways to write entries, and to put them into a store as the committer would. Does not own: the shapes
 * (codec/journal-entry.ts).
 */
import { eventCount } from '../../codec/history-event.js';
import {
  type Command,
  frame,
  type Input,
  isNotable,
  type JournalEntry,
  type ScheduleActivityCommand,
  type StartInfo,
} from '../../codec/journal-entry.js';
import { keys } from '../../codec/keys.js';
import { encodePayload } from '../../codec/payload.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';

export type Entry = readonly [runNo: number, entry: JournalEntry];

export function info(runNo: number, workflowId: string, more: Partial<StartInfo> = {}): StartInfo {
  const runId = `run-${runNo}`;
  return {
    runNo,
    namespace: 'default',
    workflowId,
    runId,
    firstRunId: runId,
    firstRunNo: runNo,
    originalRunId: runId,
    workflowType: 'type',
    taskQueue: 'default',
    args: encodePayload([]),
    startTime: 1_000,
    attempt: 1,
    taskTimeoutMs: 10_000,
    ...more,
  };
}

export const started = (runNo: number, workflowId: string, more?: Partial<StartInfo>): Entry => [
  runNo,
  { kind: 'started', time: 1_000, info: info(runNo, workflowId, more) },
];

export const turn = (runNo: number, inputs: Input[] = [], commands: Command[] = [], taken = 0): Entry => [
  runNo,
  { kind: 'turn', time: 2_000, taken, inputs, commands },
];

export const signal = (requestId?: string, text = ''): Input => ({
  kind: 'signal',
  name: 'note',
  args: encodePayload([text]),
  requestId,
});
export const update = (id: string): Input => ({ kind: 'update', id, name: 'put', args: encodePayload([]) });

export const activity = (seq: number): ScheduleActivityCommand => ({
  kind: 'scheduleActivity',
  seq,
  activityId: String(seq),
  activityType: 'work',
  args: encodePayload([seq]),
  taskQueue: 'default',
  startToCloseMs: 1_000,
  cancellationType: 'TRY_CANCEL',
});

/** A journal value: the frames of these entries. */
export function journalValue(entries: readonly Entry[]): Uint8Array {
  const notableYet = new Set<number>();
  return Buffer.concat(
    entries.map(([runNo, entry]) => {
      // As the thread does it: the first turn counts as notable. That a later one does too changes nothing.
      const first = entry.kind === 'turn' && !notableYet.has(runNo);
      if (entry.kind === 'turn') notableYet.add(runNo);
      return frame(runNo, entry, eventCount(entry), first || isNotable(entry));
    }),
  );
}

/** Writes journal values numbered from 1. */
export function writeJournal(store: Store, values: readonly (readonly Entry[])[]): Promise<void> {
  return store.write(
    values.map(
      (entries, i): WriteOp => ({ kind: 'put', key: keys.journal(i + 1), value: journalValue(entries) }),
    ),
  );
}
