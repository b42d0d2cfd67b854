/**
 * The first event of a run.
 *
 * Owns: what it tells of how the run began, the run before it and the family it belongs to.
 * Does not own: the run after it (run-end.ts).
 */
import type { StartInfo } from '../journal-entry.js';
import {
  duration,
  toTemporalFailure,
  toTemporalMemo,
  toTemporalPayloads,
  toTemporalSearchAttributes,
} from '../temporal-payload.js';
import type { EntryOf, History } from './history.js';
import { type Attributes, headerJson, queueJson, resultJson, retryPolicyJson } from './shapes.js';

export function started(history: History, { time, info }: EntryOf<'started'>): void {
  history.begin(info);
  history.add('WORKFLOW_EXECUTION_STARTED', time, startedAttributes(info));
}

function startedAttributes(info: StartInfo): Attributes {
  return {
    workflowId: info.workflowId,
    workflowType: { name: info.workflowType },
    taskQueue: queueJson(info.taskQueue),
    input: toTemporalPayloads(info.args),
    workflowExecutionTimeout: duration(info.executionTimeoutMs),
    workflowRunTimeout: duration(info.runTimeoutMs),
    workflowTaskTimeout: duration(info.taskTimeoutMs),
    originalExecutionRunId: info.originalRunId,
    firstExecutionRunId: info.firstRunId,
    ...chainAttributes(info),
    ...familyAttributes(info),
    identity: info.identity,
    retryPolicy: retryPolicyJson(info.retry),
    attempt: info.attempt,
    cronSchedule: info.cronSchedule,
    firstWorkflowTaskBackoff: duration(info.startDelayMs),
    memo: info.memo && toTemporalMemo(info.memo),
    searchAttributes: info.searchAttributes && toTemporalSearchAttributes(info.searchAttributes),
    header: headerJson(info.headers),
  };
}

/** What the run took over from the one before it. */
function chainAttributes(info: StartInfo): Attributes {
  return {
    continuedExecutionRunId: info.continuedFromRunId,
    initiator:
      info.continuedFromRunId === undefined ? undefined : `CONTINUE_AS_NEW_INITIATOR_${initiator(info)}`,
    continuedFailure: info.lastFailure && toTemporalFailure(info.lastFailure),
    lastCompletionResult: resultJson(info.lastResult),
  };
}

/** Only a retry counts attempts up, and only cron has a schedule. */
function initiator(info: StartInfo): 'RETRY' | 'CRON_SCHEDULE' | 'WORKFLOW' {
  if (info.attempt > 1) return 'RETRY';
  return info.cronSchedule === undefined ? 'WORKFLOW' : 'CRON_SCHEDULE';
}

function familyAttributes({ parent, root }: StartInfo): Attributes {
  return {
    parentWorkflowNamespace: parent?.namespace,
    parentWorkflowExecution: parent && { workflowId: parent.workflowId, runId: parent.runId },
    rootWorkflowExecution: root && { workflowId: root.workflowId, runId: root.runId },
  };
}
