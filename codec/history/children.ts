/**
 * Events of child workflows.
 *
 *   Initiated -> StartFailed
 *             -> Started -> Completed | Failed | Canceled | Terminated | TimedOut
 *
 * Owns: the attributes of each, and the request to cancel a child.
 * Does not own: the answer to that request, which has no event: the journal does not tell when it arrived.
 */
import type { ChildOutcome, StartChildCommand } from '../journal-entry.js';
import {
  duration,
  present,
  retryStateJson,
  toTemporalFailure,
  toTemporalMemo,
  toTemporalPayloads,
  toTemporalSearchAttributes,
} from '../temporal-payload.js';
import type { EventType } from './event.js';
import { type Child, type CommandOf, cameFrom, type History, type InputOf, type Task } from './history.js';
import {
  type Attributes,
  cancelDetails,
  headerJson,
  queueJson,
  resultJson,
  retryPolicyJson,
  targetAttributes,
} from './shapes.js';

export function startChild(history: History, command: StartChildCommand, task: Task): void {
  const attributes = {
    namespace: history.info.namespace,
    ...startChildAttributes(command),
    ...cameFrom(task),
  };
  const child = {
    command,
    initiatedId: history.add('START_CHILD_WORKFLOW_EXECUTION_INITIATED', task.time, attributes),
  };
  history.children.set(command.seq, child);
  history.childById.set(command.workflowId, child);
}

function startChildAttributes(command: StartChildCommand): Attributes {
  return {
    workflowId: command.workflowId,
    workflowType: { name: command.workflowType },
    taskQueue: queueJson(command.taskQueue),
    input: toTemporalPayloads(command.args),
    workflowExecutionTimeout: duration(command.executionTimeoutMs),
    workflowRunTimeout: duration(command.runTimeoutMs),
    workflowTaskTimeout: duration(command.taskTimeoutMs),
    parentClosePolicy: `PARENT_CLOSE_POLICY_${command.parentClosePolicy}`,
    workflowIdReusePolicy: reusePolicyJson(command.workflowIdReusePolicy),
    retryPolicy: retryPolicyJson(command.retry),
    memo: command.memo && toTemporalMemo(command.memo),
    searchAttributes: command.searchAttributes && toTemporalSearchAttributes(command.searchAttributes),
    header: headerJson(command.headers),
  };
}

function reusePolicyJson(policy: string | undefined): string | undefined {
  return policy && `WORKFLOW_ID_REUSE_POLICY_${policy.replace(/^WORKFLOW_ID_REUSE_POLICY_/, '')}`;
}

export function cancelChild(
  history: History,
  { seq, workflowId, reason }: CommandOf<'cancelChild'>,
  task: Task,
): void {
  const { runId } = history.known(history.children, seq, 'child');
  history.add('REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', task.time, {
    ...targetAttributes(history.info.namespace, { workflowId, runId }),
    childWorkflowOnly: true,
    reason,
    ...cameFrom(task),
  });
}

export function childStarted(history: History, { seq, runId }: InputOf<'childStarted'>, time: number): void {
  const child = history.known(history.children, seq, 'child');
  child.runId = runId;
  child.startedId = history.add('CHILD_WORKFLOW_EXECUTION_STARTED', time, {
    ...childAttributes(history, child),
    header: headerJson(child.command.headers),
  });
}

export function childStartFailed(
  history: History,
  { seq, cause }: InputOf<'childStartFailed'>,
  time: number,
): void {
  const { command, initiatedId } = history.known(history.children, seq, 'child');
  history.add('START_CHILD_WORKFLOW_EXECUTION_FAILED', time, {
    namespace: history.info.namespace,
    workflowId: command.workflowId,
    workflowType: { name: command.workflowType },
    cause: `START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_${cause}`,
    initiatedEventId: initiatedId,
  });
}

export function childClosed(history: History, { seq, outcome }: InputOf<'childClosed'>, time: number): void {
  const child = history.known(history.children, seq, 'child');
  const attributes = { ...childAttributes(history, child), startedEventId: child.startedId };
  const { type, more } = childClosing(history, outcome);
  history.add(type, time, { ...attributes, ...more });
}

function childAttributes(history: History, { command, initiatedId, runId }: Child): Attributes {
  return {
    namespace: history.info.namespace,
    initiatedEventId: initiatedId,
    workflowExecution: present({ workflowId: command.workflowId, runId }),
    workflowType: { name: command.workflowType },
  };
}

function childClosing(history: History, outcome: ChildOutcome): { type: EventType; more: Attributes } {
  switch (outcome.status) {
    case 'completed':
      return { type: 'CHILD_WORKFLOW_EXECUTION_COMPLETED', more: { result: resultJson(outcome.result) } };
    case 'failed': {
      const failure = toTemporalFailure(outcome.failure, history);
      return {
        type: 'CHILD_WORKFLOW_EXECUTION_FAILED',
        more: { failure, retryState: retryStateJson(outcome.retryState) },
      };
    }
    case 'cancelled':
      return { type: 'CHILD_WORKFLOW_EXECUTION_CANCELED', more: { details: cancelDetails(outcome) } };
    case 'terminated':
      return { type: 'CHILD_WORKFLOW_EXECUTION_TERMINATED', more: {} };
    case 'timedOut':
      return { type: 'CHILD_WORKFLOW_EXECUTION_TIMED_OUT', more: { retryState: retryStateJson('TIMEOUT') } };
  }
}
