/** Event history: entries in their order, a whole run in full, and journals that cannot be. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import type { Input, JournalEntry } from '../../../codec/journal-entry.js';
import type { JsonObject } from '../../../codec/temporal-payload.js';
import {
  accept,
  at,
  cancelTimer,
  complete,
  done,
  fired,
  journal,
  payloads,
  signal,
  started,
  stored,
  timer,
  turn,
} from '../../support/history-words.js';

describe('history: shape', () => {
  it('history: a run with a signal, to the end -> every event in full', () => {
    const entries = journal(
      started({ args: stored(['Ann', 2]), identity: 'client-1' }),
      turn([], [timer(1, 90_500)]),
      turn([{ ...signal('pay', 7), identity: 'client-1' } as Input], [cancelTimer(1), done({ paid: true })]),
    );
    const task = (second: number, first: number, metadata?: JsonObject) => [
      {
        eventId: String(first),
        eventTime: at(second),
        eventType: 'EVENT_TYPE_WORKFLOW_TASK_SCHEDULED',
        workflowTaskScheduledEventAttributes: {
          taskQueue: { name: 'shop', kind: 'TASK_QUEUE_KIND_NORMAL' },
          startToCloseTimeout: '10s',
          attempt: 1,
        },
      },
      {
        eventId: String(first + 1),
        eventTime: at(second),
        eventType: 'EVENT_TYPE_WORKFLOW_TASK_STARTED',
        workflowTaskStartedEventAttributes: { scheduledEventId: String(first), identity: 'signalbox' },
      },
      {
        eventId: String(first + 2),
        eventTime: at(second),
        eventType: 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED',
        workflowTaskCompletedEventAttributes: {
          scheduledEventId: String(first),
          startedEventId: String(first + 1),
          identity: 'signalbox',
          ...(metadata && { sdkMetadata: metadata }),
        },
      },
    ];
    const flags = { langUsedFlags: [1, 2, 3, 4, 5, 6], coreUsedFlags: [1, 2, 3] };
    expect(expandHistory(entries)).to.deep.equal([
      {
        eventId: '1',
        eventTime: at(0),
        eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED',
        workflowExecutionStartedEventAttributes: {
          workflowId: 'order-1',
          workflowType: { name: 'order' },
          taskQueue: { name: 'shop', kind: 'TASK_QUEUE_KIND_NORMAL' },
          input: payloads('Ann', 2),
          workflowTaskTimeout: '10s',
          originalExecutionRunId: 'run-1',
          firstExecutionRunId: 'run-1',
          identity: 'client-1',
          attempt: 1,
        },
      },
      ...task(1, 2, { ...flags, sdkName: 'temporal-typescript', sdkVersion: '1.24.0' }),
      {
        eventId: '5',
        eventTime: at(1),
        eventType: 'EVENT_TYPE_TIMER_STARTED',
        timerStartedEventAttributes: {
          timerId: '1',
          startToFireTimeout: '90.500s',
          workflowTaskCompletedEventId: '4',
        },
      },
      {
        eventId: '6',
        eventTime: at(2),
        eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED',
        workflowExecutionSignaledEventAttributes: {
          signalName: 'pay',
          input: payloads(7),
          identity: 'client-1',
        },
      },
      ...task(2, 7),
      {
        eventId: '10',
        eventTime: at(2),
        eventType: 'EVENT_TYPE_TIMER_CANCELED',
        timerCanceledEventAttributes: {
          timerId: '1',
          startedEventId: '5',
          workflowTaskCompletedEventId: '9',
          identity: 'signalbox',
        },
      },
      {
        eventId: '11',
        eventTime: at(2),
        eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED',
        workflowExecutionCompletedEventAttributes: {
          result: payloads({ paid: true }),
          workflowTaskCompletedEventId: '9',
        },
      },
    ]);
  });
});

describe('history: broken journals', () => {
  const broken: [string, JournalEntry[], string][] = [
    ['no start', journal(turn([], [])), "A journal begins with a 'started' entry, not with 'turn'"],
    ['two starts', journal(started(), started()), "A second 'started' entry in the journal of run run-1"],
    [
      'too much taken',
      journal(started(), turn([], [], 1)),
      'A turn of run run-1 takes 1 of 0 waiting inputs',
    ],
    ['a timer from nowhere', journal(started(), turn([fired(4)], [])), 'names timer 4, which nothing began'],
    [
      'an update not given',
      journal(started(), turn([], [accept('u')])),
      "accepts update 'u', which it was not given",
    ],
    [
      'an update not accepted',
      journal(started(), turn([], [complete('u', 1)])),
      'names update u, which nothing began',
    ],
  ];
  for (const [what, entries, message] of broken) {
    it(`journal: ${what} -> throws`, () => {
      expect(() => expandHistory(entries)).to.throw(message);
    });
  }
});
