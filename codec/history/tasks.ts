/**
 * Workflow tasks: the three events of a turn.
 *
 * Owns: their order and attributes, and what replay is told to assume.
 * Does not own: the events of a turn's inputs and commands (entries.ts).
 *
 * H3: Started and what ends the task are added together, so nothing can stand between them.
 */
import type { Input } from '../journal-entry.js';
import { duration, type JsonObject, toTemporalFailure } from '../temporal-payload.js';
import type { EntryOf, History, Task } from './history.js';
import { IDENTITY, queueJson } from './shapes.js';

/** What replay has to assume: the SDK version whose semantics the runtime keeps (history-events.md section 3). */
const SDK_METADATA: JsonObject = {
  langUsedFlags: [1, 2, 3, 4, 5, 6],
  coreUsedFlags: [1, 2, 3],
  sdkName: 'temporal-typescript',
  sdkVersion: '1.24.0',
};

export function completeTask(history: History, time: number, inputs: readonly Input[]): Task {
  const { scheduledId, startedId } = beginTask(history, time);
  const completedId = history.add('WORKFLOW_TASK_COMPLETED', time, {
    scheduledEventId: scheduledId,
    startedEventId: startedId,
    identity: IDENTITY,
    sdkMetadata: history.flagsWritten ? undefined : SDK_METADATA,
  });
  history.flagsWritten = true;
  return { time, scheduledId, startedId, completedId, inputs };
}

export function turnFailed(history: History, { time, cause, failure }: EntryOf<'turnFailed'>): void {
  const { scheduledId, startedId } = beginTask(history, time);
  const known = cause === 'NON_DETERMINISTIC_ERROR' ? cause : 'WORKFLOW_WORKER_UNHANDLED_FAILURE';
  history.add('WORKFLOW_TASK_FAILED', time, {
    scheduledEventId: scheduledId,
    startedEventId: startedId,
    cause: `WORKFLOW_TASK_FAILED_CAUSE_${known}`,
    failure: toTemporalFailure(failure, history),
    identity: IDENTITY,
  });
}

/** TaskScheduled and TaskStarted. */
function beginTask(history: History, time: number): { scheduledId: string; startedId: string } {
  const { taskQueue, taskTimeoutMs } = history.info;
  const scheduledId = history.add('WORKFLOW_TASK_SCHEDULED', time, {
    taskQueue: queueJson(taskQueue),
    startToCloseTimeout: duration(taskTimeoutMs),
    attempt: 1,
  });
  const startedId = history.add('WORKFLOW_TASK_STARTED', time, {
    scheduledEventId: scheduledId,
    identity: IDENTITY,
  });
  return { scheduledId, startedId };
}
