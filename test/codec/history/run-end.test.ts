/** Event history: how a run ends. */
import { expect } from 'chai';
import type { Command, StartInfo } from '../../../codec/journal-entry.js';
import { done, journal, json, last, payloads, started, stored, turn } from '../../support/history-words.js';

describe('history: end of a run', () => {
  it('continueAsNew: next run known -> ContinuedAsNew names it and all that it takes along', () => {
    const command: Command = {
      kind: 'continueAsNew',
      workflowType: 'order2',
      taskQueue: 'q2',
      args: stored([1]),
      runTimeoutMs: 1000,
      taskTimeoutMs: 2000,
      backoffMs: 3000,
      memo: stored({ m: 1 }),
      headers: { h: stored(1) },
    };
    const entries = journal(started(), turn([], [command]));
    expect(last('WORKFLOW_EXECUTION_CONTINUED_AS_NEW', entries, { nextRunId: 'run-2' })).to.deep.equal({
      newExecutionRunId: 'run-2',
      workflowType: { name: 'order2' },
      taskQueue: { name: 'q2', kind: 'TASK_QUEUE_KIND_NORMAL' },
      input: payloads(1),
      workflowRunTimeout: '1s',
      workflowTaskTimeout: '2s',
      backoffStartInterval: '3s',
      initiator: 'CONTINUE_AS_NEW_INITIATOR_WORKFLOW',
      header: { fields: { h: json(1) } },
      memo: { fields: { m: json(1) } },
      workflowTaskCompletedEventId: '4',
    });
  });

  const retry = { maximumAttempts: 3 };
  const retryStates: [string, Partial<StartInfo>, string | undefined, string | undefined][] = [
    ['no policy', {}, undefined, 'RETRY_STATE_RETRY_POLICY_NOT_SET'],
    ['a next run', { retry }, 'run-2', 'RETRY_STATE_IN_PROGRESS'],
    ['the last attempt', { retry, attempt: 3 }, undefined, 'RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED'],
    ['attempts left, no next run', { retry, attempt: 2 }, undefined, undefined],
  ];
  for (const [what, info, nextRunId, expected] of retryStates) {
    it(`failWorkflow: ${what} -> retry state ${expected}`, () => {
      const entries = journal(started(info), turn([], [{ kind: 'failWorkflow', failure: { message: 'm' } }]));
      const attributes = last('WORKFLOW_EXECUTION_FAILED', entries, { nextRunId });
      expect([attributes.retryState, attributes.newExecutionRunId]).to.deep.equal([expected, nextRunId]);
    });
  }

  it('completeWorkflow: no result -> a payload of undefined', () => {
    expect(last('WORKFLOW_EXECUTION_COMPLETED', journal(started(), turn([], [done()]))).result).to.deep.equal(
      payloads(undefined),
    );
  });
});
