/** Event history: the first event of a run. */
import { expect } from 'chai';
import type { StartInfo } from '../../../codec/journal-entry.js';
import { journal, json, last, payloads, started, stored } from '../../support/history-words.js';

describe('history: start of a run', () => {
  it('started: everything a run can begin with -> its attribute', () => {
    const info: Partial<StartInfo> = {
      firstRunId: 'run-0',
      originalRunId: 'run-o',
      continuedFromRunId: 'run-p',
      executionTimeoutMs: 3_600_000,
      runTimeoutMs: 60_000,
      taskTimeoutMs: 5_000,
      startDelayMs: 250,
      retry: {
        initialInterval: 1000,
        backoffCoefficient: 1.5,
        maximumInterval: 9000,
        maximumAttempts: 4,
        nonRetryableErrorTypes: ['Bad'],
      },
      memo: stored({ note: 'x' }),
      searchAttributes: stored({ Customer: 'Ann' }),
      headers: { trace: stored('t') },
      parent: { namespace: 'default', workflowId: 'p', runId: 'pr', runNo: 7, seq: 3 },
      root: { workflowId: 'r', runId: 'rr' },
      lastResult: stored(5),
      lastFailure: { message: 'before' },
    };
    expect(last('WORKFLOW_EXECUTION_STARTED', journal(started(info)))).to.deep.include({
      firstExecutionRunId: 'run-0',
      originalExecutionRunId: 'run-o',
      continuedExecutionRunId: 'run-p',
      initiator: 'CONTINUE_AS_NEW_INITIATOR_WORKFLOW',
      workflowExecutionTimeout: '3600s',
      workflowRunTimeout: '60s',
      workflowTaskTimeout: '5s',
      firstWorkflowTaskBackoff: '0.250s',
      retryPolicy: {
        initialInterval: '1s',
        backoffCoefficient: 1.5,
        maximumInterval: '9s',
        maximumAttempts: 4,
        nonRetryableErrorTypes: ['Bad'],
      },
      memo: { fields: { note: json('x') } },
      header: { fields: { trace: json('t') } },
      parentWorkflowNamespace: 'default',
      parentWorkflowExecution: { workflowId: 'p', runId: 'pr' },
      rootWorkflowExecution: { workflowId: 'r', runId: 'rr' },
      lastCompletionResult: payloads(5),
      continuedFailure: { message: 'before', source: 'TypeScriptSDK' },
    });
  });

  const initiators: [string, Partial<StartInfo>, string | undefined][] = [
    ['first run of a chain', {}, undefined],
    ['continued as new', { continuedFromRunId: 'x' }, 'CONTINUE_AS_NEW_INITIATOR_WORKFLOW'],
    ['retried', { continuedFromRunId: 'x', attempt: 2 }, 'CONTINUE_AS_NEW_INITIATOR_RETRY'],
    [
      'next by cron',
      { continuedFromRunId: 'x', cronSchedule: '@daily' },
      'CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE',
    ],
  ];
  for (const [what, info, initiator] of initiators) {
    it(`started: ${what} -> initiator ${initiator}`, () => {
      expect(last('WORKFLOW_EXECUTION_STARTED', journal(started(info))).initiator).to.equal(initiator);
    });
  }
});
