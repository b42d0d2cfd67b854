/** Event history: workflow tasks, and what stands around them. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import type { TurnFailureCause } from '../../../codec/journal-entry.js';
import {
  activity,
  attributesOf,
  journal,
  last,
  names,
  namesAfterFirst,
  payloads,
  received,
  START,
  signal,
  started,
  stored,
  TASK,
  timer,
  turn,
  turnFailed,
  typeOf,
} from '../../support/history-words.js';

describe('history: workflow tasks', () => {
  it('signal-with-start: signal in the first turn -> Signaled before the first task', () => {
    expect(names(journal(started(), turn([signal('a')], [])))).to.deep.equal([
      'ExecutionStarted',
      'ExecutionSignaled',
      ...TASK,
    ]);
  });

  it('turns: one by one -> one task each, its inputs before it', () => {
    expect(namesAfterFirst([], turn([signal('a')], []), turn([signal('b'), signal('c')], []))).to.deep.equal([
      ...['ExecutionSignaled', ...TASK],
      ...['ExecutionSignaled', 'ExecutionSignaled', ...TASK],
    ]);
  });

  it('received: signals while the run is suspended -> their events there, none when a turn takes them', () => {
    expect(
      namesAfterFirst(
        [],
        received(signal('a')),
        turnFailed('WORKFLOW_WORKER_UNHANDLED_FAILURE'),
        received(signal('b')),
        turn([signal('c')], [timer(1)], 2),
      ),
    ).to.deep.equal([
      'ExecutionSignaled',
      ...['TaskScheduled', 'TaskStarted', 'TaskFailed'],
      'ExecutionSignaled',
      ...['ExecutionSignaled', ...TASK, 'TimerStarted'],
    ]);
  });

  const causes: [TurnFailureCause, string][] = [
    ['WORKFLOW_WORKER_UNHANDLED_FAILURE', 'WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE'],
    ['NON_DETERMINISTIC_ERROR', 'WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR'],
    ['TURN_TIMEOUT', 'WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE'],
    ['THREAD_DIED', 'WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE'],
  ];
  for (const [cause, expected] of causes) {
    it(`turnFailed: ${cause} -> TaskFailed with the failure`, () => {
      expect(last('WORKFLOW_TASK_FAILED', journal(started(), turnFailed(cause)))).to.deep.equal({
        scheduledEventId: '2',
        startedEventId: '3',
        cause: expected,
        failure: { message: 'boom', source: 'TypeScriptSDK' },
        identity: 'signalbox',
      });
    });
  }

  it('activityRetry: an attempt failed, the next is due -> no event', () => {
    const retry = {
      kind: 'activityRetry' as const,
      seq: 1,
      attempt: 1,
      nextAt: START,
      failure: { message: 'x' },
    };
    expect(namesAfterFirst([activity(1)], retry)).to.deep.equal(['ActivityTaskScheduled']);
  });

  it('activityStarted: an attempt begins, or has reported a heartbeat -> no event', () => {
    const begins = { kind: 'activityStarted' as const, seq: 1, attempt: 1 };
    const beats = { ...begins, heartbeat: stored('half') };
    expect(namesAfterFirst([activity(1)], begins, beats)).to.deep.equal(['ActivityTaskScheduled']);
  });

  it('terminated: before any turn -> Terminated with reason, identity and details', () => {
    const entry = { kind: 'terminated' as const, reason: 'spam', identity: 'ops', details: stored(['d']) };
    expect(names(journal(started(), entry))).to.deep.equal(['ExecutionStarted', 'ExecutionTerminated']);
    expect(last('WORKFLOW_EXECUTION_TERMINATED', journal(started(), entry))).to.deep.equal({
      reason: 'spam',
      identity: 'ops',
      details: payloads('d'),
    });
  });

  it('timedOut: with a retry after it -> TimedOut names the next run', () => {
    const entries = journal(started(), turn([], []), { kind: 'timedOut', retryState: 'IN_PROGRESS' });
    expect(last('WORKFLOW_EXECUTION_TIMED_OUT', entries, { nextRunId: 'run-2' })).to.deep.equal({
      retryState: 'RETRY_STATE_IN_PROGRESS',
      newExecutionRunId: 'run-2',
    });
  });

  it('task: flags -> on the first completed one only, also when an earlier one failed', () => {
    const events = expandHistory(journal(started(), turnFailed('THREAD_DIED'), turn([], []), turn([], [])));
    const tasks = events.filter((event) => typeOf(event) === 'WORKFLOW_TASK_COMPLETED').map(attributesOf);
    expect(tasks.map((attributes) => 'sdkMetadata' in attributes)).to.deep.equal([true, false]);
  });
});
