/** What describe() tells about a run. Status codes are those of Temporal's API. */
import { detailsOf } from './activities/heartbeats.js';
import type { Live } from './live.js';
import type { Run } from './run.js';
import type { Description, PendingTurnInfo, StatusName } from './service.js';

export const STATUS_CODES: Record<StatusName, number> = {
  RUNNING: 1,
  COMPLETED: 2,
  FAILED: 3,
  CANCELLED: 4,
  TERMINATED: 5,
  CONTINUED_AS_NEW: 6,
  TIMED_OUT: 7,
};

export function statusOf(run: Run): StatusName {
  if (run.outcome === undefined) return 'RUNNING';
  const names = {
    completed: 'COMPLETED',
    failed: 'FAILED',
    cancelled: 'CANCELLED',
    terminated: 'TERMINATED',
    timedOut: 'TIMED_OUT',
    continuedAsNew: 'CONTINUED_AS_NEW',
  } as const;
  return names[run.outcome.status];
}

export function describeRun(live: Live): Description {
  const { run } = live;
  const { info } = run;
  const name = statusOf(run);
  return {
    type: info.workflowType,
    workflowId: info.workflowId,
    runId: info.runId,
    firstExecutionRunId: info.firstRunId,
    taskQueue: info.taskQueue,
    status: { code: STATUS_CODES[name], name },
    historyLength: run.events,
    historySize: run.bytes,
    startTime: new Date(info.startTime),
    executionTime: new Date(info.startTime),
    closeTime: run.closeTime === undefined ? undefined : new Date(run.closeTime),
    memo: info.memo,
    searchAttributes: info.searchAttributes,
    parentExecution: info.parent && { workflowId: info.parent.workflowId, runId: info.parent.runId },
    pendingActivities: [...run.activities.values()].map((activity) => ({
      activityId: activity.command.activityId,
      activityType: activity.command.activityType,
      attempt: activity.attempt,
      scheduledTime: new Date(activity.scheduledAt),
      nextAttemptTime: new Date(activity.nextAt),
      lastFailure: activity.lastFailure,
      heartbeatDetails: detailsOf(activity.heartbeat),
    })),
    pendingTurn: pendingTurn(live),
  };
}

function pendingTurn({ run, retry }: Live): PendingTurnInfo | undefined {
  if (run.suspension === undefined) return undefined;
  const { cause, since, failure } = run.suspension;
  // Without a retry: it is about to be tried, or has just succeeded, which does not show before it is durable (D4).
  return {
    cause,
    message: retry?.message ?? failure.message,
    attempt: retry?.attempt ?? 1,
    since: new Date(since),
    nextAttemptTime: new Date(retry?.nextAt ?? run.lastTime),
  };
}
