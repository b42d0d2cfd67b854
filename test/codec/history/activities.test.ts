/** Event history: activities. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import type { ActivityOutcome, Command } from '../../../codec/journal-entry.js';
import {
  activity,
  at,
  cancelTimer,
  completed,
  done,
  journal,
  json,
  last,
  names,
  namesAfterFirst,
  payloads,
  resolved,
  signal,
  started,
  stored,
  TASK,
  timer,
  turn,
} from '../../support/history-words.js';

describe('history: activities', () => {
  const closedActivity = (outcome: ActivityOutcome, attempt?: number, startedAt?: number) =>
    journal(started(), turn([], [activity(1)]), turn([resolved(1, outcome, attempt, startedAt)], []));

  it('activity: scheduled -> id, type, queue, timeouts and retry policy', () => {
    const command = {
      ...activity(1),
      activityId: 'mine',
      scheduleToCloseMs: 1,
      scheduleToStartMs: 2,
      heartbeatMs: 3,
      retry: { maximumAttempts: 2 },
      headers: { h: stored(1) },
    } as Command;
    expect(last('ACTIVITY_TASK_SCHEDULED', journal(started(), turn([], [command])))).to.deep.equal({
      activityId: 'mine',
      activityType: { name: 'charge' },
      taskQueue: { name: 'shop', kind: 'TASK_QUEUE_KIND_NORMAL' },
      header: { fields: { h: json(1) } },
      input: payloads(1),
      scheduleToCloseTimeout: '0.001s',
      scheduleToStartTimeout: '0.002s',
      startToCloseTimeout: '60s',
      heartbeatTimeout: '0.003s',
      retryPolicy: { maximumAttempts: 2 },
      workflowTaskCompletedEventId: '4',
    });
  });

  it('activity: completes at its third attempt -> Started with that attempt and its time, then Completed', () => {
    const events = expandHistory(closedActivity(completed, 3));
    expect(events.slice(5, 7)).to.deep.equal([
      {
        eventId: '6',
        eventTime: at(0.5),
        eventType: 'EVENT_TYPE_ACTIVITY_TASK_STARTED',
        activityTaskStartedEventAttributes: { scheduledEventId: '5', identity: 'signalbox', attempt: 3 },
      },
      {
        eventId: '7',
        eventTime: at(2),
        eventType: 'EVENT_TYPE_ACTIVITY_TASK_COMPLETED',
        activityTaskCompletedEventAttributes: {
          result: payloads('done'),
          scheduledEventId: '5',
          startedEventId: '6',
        },
      },
    ]);
  });

  it('activity: fails -> Started, Failed with the inner failure and the retry state', () => {
    const failure = { message: 'no', info: { kind: 'application' as const, type: 'T', nonRetryable: true } };
    const entries = closedActivity({ status: 'failed', failure, retryState: 'NON_RETRYABLE_FAILURE' });
    expect(names(entries).slice(5)).to.deep.equal(['ActivityTaskStarted', 'ActivityTaskFailed', ...TASK]);
    expect(last('ACTIVITY_TASK_FAILED', entries)).to.deep.equal({
      failure: {
        message: 'no',
        source: 'TypeScriptSDK',
        applicationFailureInfo: { type: 'T', nonRetryable: true },
      },
      scheduledEventId: '5',
      startedEventId: '6',
      retryState: 'RETRY_STATE_NON_RETRYABLE_FAILURE',
    });
  });

  const timeouts = [
    ['START_TO_CLOSE', 1, ['ActivityTaskStarted', 'ActivityTaskTimedOut']],
    ['SCHEDULE_TO_START', 2, ['ActivityTaskTimedOut']],
    ['SCHEDULE_TO_CLOSE', 1, ['ActivityTaskStarted', 'ActivityTaskTimedOut']],
    ['SCHEDULE_TO_CLOSE', 0, ['ActivityTaskTimedOut']],
  ] as const;
  for (const [timeoutType, attempt, expected] of timeouts) {
    it(`activity: ${timeoutType} timeout at attempt ${attempt} -> ${expected.join(', ')}`, () => {
      const failure = { message: 'late', info: { kind: 'timeout' as const, timeoutType } };
      const entries = closedActivity({ status: 'timedOut', failure, retryState: 'TIMEOUT' }, attempt);
      expect(names(entries).slice(5)).to.deep.equal([...expected, ...TASK]);
      expect(last('ACTIVITY_TASK_TIMED_OUT', entries).startedEventId).to.equal(
        expected.length === 2 ? '6' : undefined,
      );
    });
  }

  const cancelFailure = { message: 'stop', info: { kind: 'cancelled' as const, details: stored(['why']) } };
  const cancelled: ActivityOutcome = { status: 'cancelled', failure: cancelFailure };
  const cancel: Command = { kind: 'cancelActivity', seq: 1 };

  it('activity cancel: TRY_CANCEL -> CancelRequested, then the continuation in the same task; Canceled later', () => {
    const rest = [turn([signal('x')], [cancel, activity(2)]), turn([resolved(1, cancelled)], [])];
    expect(namesAfterFirst([activity(1)], ...rest)).to.deep.equal([
      'ActivityTaskScheduled',
      ...['ExecutionSignaled', ...TASK, 'ActivityTaskCancelRequested', 'ActivityTaskScheduled'],
      ...['ActivityTaskStarted', 'ActivityTaskCanceled', ...TASK],
    ]);
  });

  it('activity cancel: WAIT_CANCELLATION_COMPLETED -> CancelRequested, Canceled, then the continuation', () => {
    const entries = journal(
      started(),
      turn([], [activity(1)]),
      turn([signal('x')], [cancel]),
      turn([resolved(1, cancelled)], [activity(2)]),
    );
    expect(names(entries).slice(4)).to.deep.equal([
      'ActivityTaskScheduled',
      ...['ExecutionSignaled', ...TASK, 'ActivityTaskCancelRequested'],
      ...['ActivityTaskStarted', 'ActivityTaskCanceled', ...TASK, 'ActivityTaskScheduled'],
    ]);
    expect(last('ACTIVITY_TASK_CANCEL_REQUESTED', entries)).to.deep.equal({
      scheduledEventId: '5',
      workflowTaskCompletedEventId: '9',
    });
    expect(last('ACTIVITY_TASK_CANCELED', entries)).to.deep.equal({
      details: payloads('why'),
      latestCancelRequestedEventId: '10',
      scheduledEventId: '5',
      startedEventId: '11',
    });
  });

  for (const [attempt, startedAt] of [
    [0, 0],
    [1, 0],
  ] as const) {
    it(`activity cancel: no attempt began (attempt ${attempt}, startedAt ${startedAt}) -> Canceled without Started`, () => {
      const entries = journal(
        started(),
        turn([], [activity(1)]),
        turn([signal('x')], [cancel]),
        turn([resolved(1, cancelled, attempt, startedAt)], []),
      );
      expect(names(entries).slice(10)).to.deep.equal(['ActivityTaskCanceled', ...TASK]);
      expect(last('ACTIVITY_TASK_CANCELED', entries)).to.not.have.property('startedEventId');
    });
  }

  it('race: activity wins over timer -> TimerCanceled, Completed', () => {
    expect(
      namesAfterFirst([activity(1), timer(1)], turn([resolved(1, completed)], [cancelTimer(1), done()])),
    ).to.deep.equal([
      ...['ActivityTaskScheduled', 'TimerStarted'],
      ...['ActivityTaskStarted', 'ActivityTaskCompleted', ...TASK, 'TimerCanceled', 'ExecutionCompleted'],
    ]);
  });
});
