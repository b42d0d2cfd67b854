/**
 * The last event of a run: what its code decided, or what was done to it.
 *
 * Owns: the attributes of each end, among them the run that follows.
 * Does not own: that an end is the last of all; the journal says so.
 */
import type { ContinueAsNewCommand } from '../journal-entry.js';
import {
  duration,
  retryStateJson,
  toTemporalFailure,
  toTemporalMemo,
  toTemporalPayloads,
  toTemporalSearchAttributes,
} from '../temporal-payload.js';
import { type CommandOf, cameFrom, type EntryOf, type History, type Task } from './history.js';
import { type Attributes, headerJson, listJson, queueJson, resultJson } from './shapes.js';

export function completeWorkflow(
  history: History,
  { result }: CommandOf<'completeWorkflow'>,
  task: Task,
): void {
  history.add('WORKFLOW_EXECUTION_COMPLETED', task.time, {
    result: resultJson(result),
    ...cameFrom(task),
    newExecutionRunId: history.options.nextRunId,
  });
}

export function failWorkflow(history: History, { failure }: CommandOf<'failWorkflow'>, task: Task): void {
  history.add('WORKFLOW_EXECUTION_FAILED', task.time, {
    failure: toTemporalFailure(failure, history),
    retryState: runRetryState(history),
    ...cameFrom(task),
    newExecutionRunId: history.options.nextRunId,
  });
}

/** Why a failed run was not tried again, as far as the journal knows. */
function runRetryState({ info, options }: History): string | undefined {
  const { retry, attempt } = info;
  if (retry === undefined) return retryStateJson('RETRY_POLICY_NOT_SET');
  if (options.nextRunId !== undefined) return retryStateJson('IN_PROGRESS');
  return retry.maximumAttempts && attempt >= retry.maximumAttempts
    ? retryStateJson('MAXIMUM_ATTEMPTS_REACHED')
    : undefined;
}

export function cancelWorkflow(history: History, _: CommandOf<'cancelWorkflow'>, task: Task): void {
  history.add('WORKFLOW_EXECUTION_CANCELED', task.time, cameFrom(task));
}

export function continueAsNew(history: History, command: ContinueAsNewCommand, task: Task): void {
  const newExecutionRunId = history.options.nextRunId;
  const attributes = { newExecutionRunId, ...continueAttributes(command), ...cameFrom(task) };
  history.add('WORKFLOW_EXECUTION_CONTINUED_AS_NEW', task.time, attributes);
}

function continueAttributes(command: ContinueAsNewCommand): Attributes {
  return {
    workflowType: { name: command.workflowType },
    taskQueue: queueJson(command.taskQueue),
    input: toTemporalPayloads(command.args),
    workflowRunTimeout: duration(command.runTimeoutMs),
    workflowTaskTimeout: duration(command.taskTimeoutMs),
    backoffStartInterval: duration(command.backoffMs),
    initiator: 'CONTINUE_AS_NEW_INITIATOR_WORKFLOW',
    header: headerJson(command.headers),
    memo: command.memo && toTemporalMemo(command.memo),
    searchAttributes: command.searchAttributes && toTemporalSearchAttributes(command.searchAttributes),
  };
}

export function terminated(
  history: History,
  { time, reason, identity, details }: EntryOf<'terminated'>,
): void {
  history.add('WORKFLOW_EXECUTION_TERMINATED', time, { reason, details: listJson(details), identity });
}

export function timedOut(history: History, { time, retryState }: EntryOf<'timedOut'>): void {
  history.add('WORKFLOW_EXECUTION_TIMED_OUT', time, {
    retryState: retryStateJson(retryState),
    newExecutionRunId: history.options.nextRunId,
  });
}
