/**
 * Events of activities.
 *
 *   Scheduled -> CancelRequested? -> Started? -> Completed | Failed | TimedOut | Canceled
 *
 * Owns: the attributes of each, and that Started is written together with what follows it: until then an activity may
 * be tried again, and only the last attempt is told.
 * Does not own: whether there was an attempt (`hadStarted` in event-count.ts, for H1).
 */
import type { ActivityOutcome, ActivityResolvedInput, ScheduleActivityCommand } from '../journal-entry.js';
import { duration, retryStateJson, toTemporalFailure, toTemporalPayloads } from '../temporal-payload.js';
import { hadStarted } from './event-count.js';
import { type Activity, type CommandOf, cameFrom, type History, type Task } from './history.js';
import {
  type Attributes,
  cancelDetails,
  headerJson,
  IDENTITY,
  queueJson,
  resultJson,
  retryPolicyJson,
} from './shapes.js';

export function scheduleActivity(history: History, command: ScheduleActivityCommand, task: Task): void {
  const attributes = { ...activityAttributes(command), ...cameFrom(task) };
  const activity = { command, scheduledId: history.add('ACTIVITY_TASK_SCHEDULED', task.time, attributes) };
  history.activities.set(command.seq, activity);
  history.activityById.set(command.activityId, activity);
}

function activityAttributes(command: ScheduleActivityCommand): Attributes {
  return {
    activityId: command.activityId,
    activityType: { name: command.activityType },
    taskQueue: queueJson(command.taskQueue),
    header: headerJson(command.headers),
    input: toTemporalPayloads(command.args),
    scheduleToCloseTimeout: duration(command.scheduleToCloseMs),
    scheduleToStartTimeout: duration(command.scheduleToStartMs),
    startToCloseTimeout: duration(command.startToCloseMs),
    heartbeatTimeout: duration(command.heartbeatMs),
    retryPolicy: retryPolicyJson(command.retry),
  };
}

export function cancelActivity(history: History, { seq }: CommandOf<'cancelActivity'>, task: Task): void {
  const activity = history.known(history.activities, seq, 'activity');
  activity.cancelRequestedId = history.add('ACTIVITY_TASK_CANCEL_REQUESTED', task.time, {
    scheduledEventId: activity.scheduledId,
    ...cameFrom(task),
  });
}

export function activityResolved(history: History, input: ActivityResolvedInput, time: number): void {
  const activity = history.known(history.activities, input.seq, 'activity');
  if (hadStarted(input)) addActivityStarted(history, activity, input, time);
  addActivityClosed(history, activity, input.outcome, time);
}

/** The started event is written with the closing one, but has the time of the last attempt. */
function addActivityStarted(
  history: History,
  activity: Activity,
  input: ActivityResolvedInput,
  time: number,
): void {
  activity.startedId = history.add('ACTIVITY_TASK_STARTED', input.startedAt > 0 ? input.startedAt : time, {
    scheduledEventId: activity.scheduledId,
    identity: IDENTITY,
    attempt: Math.max(1, input.attempt),
  });
}

function addActivityClosed(
  history: History,
  activity: Activity,
  outcome: ActivityOutcome,
  time: number,
): void {
  const began = { scheduledEventId: activity.scheduledId, startedEventId: activity.startedId };
  switch (outcome.status) {
    case 'completed':
      history.add('ACTIVITY_TASK_COMPLETED', time, { result: resultJson(outcome.result), ...began });
      return;
    case 'failed':
    case 'timedOut':
      history.add(outcome.status === 'failed' ? 'ACTIVITY_TASK_FAILED' : 'ACTIVITY_TASK_TIMED_OUT', time, {
        failure: toTemporalFailure(outcome.failure, history),
        ...began,
        retryState: retryStateJson(outcome.retryState),
      });
      return;
    case 'cancelled':
      history.add('ACTIVITY_TASK_CANCELED', time, {
        details: cancelDetails(outcome),
        latestCancelRequestedEventId: activity.cancelRequestedId,
        ...began,
      });
  }
}
