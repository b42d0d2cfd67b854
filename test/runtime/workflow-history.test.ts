import { expect } from 'chai';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  shortType,
  TASK,
  TestRuntime,
} from '../support/runtime.js';

// history-events.md 2-5
describe('workflow history', () => {
  let runtime: TestRuntime;
  const clock = new ManualClock();
  const activities = {
    work: async (what: string) => {
      if (what === 'slow') return new Promise(() => undefined);
      return `${what} done`;
    },
  };
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'history', activities, clock });
  });
  after(() => runtime.close());

  const BEGIN = ['WorkflowExecutionStarted', ...TASK];
  const SIGNAL = ['WorkflowExecutionSignaled', ...TASK];

  const signal = (handle: Handle, ...whats: string[]) =>
    Promise.all(whats.map((what) => handle.signal('act', what)));
  const update = (handle: Handle, ...whats: string[]) =>
    Promise.allSettled(whats.map((what) => handle.executeUpdate('act', { args: [what] })));
  const tick = (ms: number, count: (types: string[]) => boolean) => async (handle: Handle) => {
    clock.advance(ms);
    await eventually(async () => count(await eventTypes(handle)));
  };
  const has = (type: string) => (types: string[]) => types.includes(type);

  const done: { handle: Handle; history: Awaited<ReturnType<Handle['fetchHistory']>> }[] = [];
  const golden: [what: string, act: (handle: Handle) => Promise<unknown>, events: string[]][] = [
    ['nothing but the start', async () => undefined, BEGIN],
    [
      'signals one by one',
      async (handle) => {
        for (const what of ['a', 'b', 'c']) await signal(handle, what);
      },
      [...BEGIN, ...SIGNAL, ...SIGNAL, ...SIGNAL],
    ],
    [
      'signals together',
      (handle) => signal(handle, 'a', 'b', 'c'),
      [
        ...BEGIN,
        'WorkflowExecutionSignaled',
        'WorkflowExecutionSignaled',
        'WorkflowExecutionSignaled',
        ...TASK,
      ],
    ],
    [
      'updates one by one',
      async (handle) => {
        for (const what of ['a', 'b']) await update(handle, what);
      },
      [
        ...BEGIN,
        ...[...TASK, 'WorkflowExecutionUpdateAccepted', 'WorkflowExecutionUpdateCompleted'],
        ...[...TASK, 'WorkflowExecutionUpdateAccepted', 'WorkflowExecutionUpdateCompleted'],
      ],
    ],
    [
      'updates together',
      (handle) => update(handle, 'a', 'b'),
      [
        ...BEGIN,
        ...TASK,
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
        'WorkflowExecutionUpdateCompleted',
      ],
    ],
    ['a rejected update', (handle) => update(handle, 'reject'), BEGIN],
    [
      'a rejected update between two signals',
      async (handle) => {
        await signal(handle, 'a');
        await update(handle, 'reject');
        await signal(handle, 'b');
      },
      [...BEGIN, ...SIGNAL, ...SIGNAL],
    ],
    [
      'a rejected update together with a signal',
      (handle) => Promise.all([update(handle, 'reject'), signal(handle, 'a')]),
      [...BEGIN, ...SIGNAL],
    ],
    [
      'an update together with a signal',
      (handle) => Promise.all([update(handle, 'u'), signal(handle, 's')]),
      [
        ...BEGIN,
        'WorkflowExecutionSignaled',
        ...TASK,
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
      ],
    ],
    [
      'an update with a timer',
      async (handle) => {
        await handle.startUpdate('act', { args: ['sleep'], waitForStage: 'ACCEPTED' });
        await tick(1000, has('TimerFired'))(handle);
      },
      [
        ...BEGIN,
        ...[...TASK, 'WorkflowExecutionUpdateAccepted', 'TimerStarted'],
        ...['TimerFired', ...TASK, 'WorkflowExecutionUpdateCompleted'],
      ],
    ],
    [
      'an update with an activity',
      (handle) => update(handle, 'work'),
      [
        ...BEGIN,
        ...[...TASK, 'WorkflowExecutionUpdateAccepted', 'ActivityTaskScheduled'],
        ...['ActivityTaskStarted', 'ActivityTaskCompleted', ...TASK, 'WorkflowExecutionUpdateCompleted'],
      ],
    ],
    [
      'an update that fails',
      (handle) => update(handle, 'fail'),
      [...BEGIN, ...TASK, 'WorkflowExecutionUpdateAccepted', 'WorkflowExecutionUpdateCompleted'],
    ],
    [
      'a condition that times out',
      async (handle) => {
        await signal(handle, 'wait shortly');
        await tick(1000, has('TimerFired'))(handle);
      },
      [...BEGIN, ...SIGNAL, 'TimerStarted', 'TimerFired', ...TASK],
    ],
    [
      'the end',
      async (handle) => {
        await signal(handle, 'finish');
        await handle.result();
      },
      [...BEGIN, ...SIGNAL, 'WorkflowExecutionCompleted'],
    ],
    ['a failure', (handle) => signal(handle, 'fail'), [...BEGIN, ...SIGNAL, 'WorkflowExecutionFailed']],
    [
      'a cancellation',
      (handle) => handle.cancel(),
      [...BEGIN, 'WorkflowExecutionCancelRequested', ...TASK, 'WorkflowExecutionCanceled'],
    ],
    ['a termination', (handle) => handle.terminate('why'), [...BEGIN, 'WorkflowExecutionTerminated']],
    [
      'queries',
      async (handle) => {
        for (let i = 0; i < 3; i++) await handle.query('count');
      },
      BEGIN,
    ],
  ];

  for (const [what, act, events] of golden) {
    it(`${what}: gives exactly these events, numbered without a gap`, async () => {
      const handle = await runtime.start('does');
      await act(handle);
      const history = await handle.fetchHistory();
      expect(history.events.map(shortType)).to.deep.equal(events);
      expect(history.events.map(({ eventId }) => eventId)).to.deep.equal(events.map((_, i) => String(i + 1)));
      done.push({ handle, history });
    });
  }

  it('all of these: the same after a crash, after a replay, and after a reopen', async () => {
    expect(done).to.have.length(golden.length);
    const compare = async (): Promise<void> => {
      for (const { handle, history } of done)
        expect(await runtime.again(handle).fetchHistory()).to.deep.equal(history);
    };
    await runtime.crash();
    await compare();
    for (const { handle } of done)
      await runtime
        .again(handle)
        .query('count')
        .catch(() => 'terminated ones do not answer');
    await compare();
    await runtime.reopen();
    await compare();
  });

  it('a timer that beats an activity: the activity is asked to stop', async () => {
    const handle = await runtime.start('races');
    clock.advance(1000);
    expect(await handle.result()).to.equal('timer');
    expect(await eventTypes(handle)).to.deep.equal([
      ...BEGIN,
      'ActivityTaskScheduled',
      'TimerStarted',
      'TimerFired',
      ...TASK,
      'ActivityTaskCancelRequested',
      'WorkflowExecutionCompleted',
    ]);
  });

  it('events: point to each other by id', async () => {
    const handle = await runtime.start('does');
    await handle.executeUpdate('act', { args: ['work'], updateId: 'u1' });
    const { events } = (await handle.fetchHistory()) as { events: any[] };
    const at = (type: string) => events.find((event) => shortType(event) === type);
    const accepted = at('WorkflowExecutionUpdateAccepted');
    const scheduled = at('ActivityTaskScheduled');
    expect(accepted.workflowExecutionUpdateAcceptedEventAttributes).to.deep.include({
      protocolInstanceId: 'u1',
      acceptedRequestMessageId: 'u1/request',
      // The event before the task that took it was started.
      acceptedRequestSequencingEventId: '5',
    });
    expect(
      at('WorkflowExecutionUpdateCompleted').workflowExecutionUpdateCompletedEventAttributes.acceptedEventId,
    ).to.equal(accepted.eventId);
    expect(at('ActivityTaskCompleted').activityTaskCompletedEventAttributes).to.include({
      scheduledEventId: scheduled.eventId,
      startedEventId: at('ActivityTaskStarted').eventId,
    });
  });

  it('times of events: those of the turns', async () => {
    const handle = await runtime.start('does');
    const began = clock.now();
    clock.advance(5000);
    await signal(handle, 'a');
    const { events } = await handle.fetchHistory();
    const times = events.map(({ eventTime }) => Date.parse(eventTime) - began);
    expect(times).to.deep.equal([0, 0, 0, 0, 5000, 5000, 5000, 5000]);
  });

  it('history of an id that was never used: WorkflowNotFoundError', async () => {
    expect((await rejection(runtime.client.getHandle('never-started').fetchHistory())).name).to.equal(
      'WorkflowNotFoundError',
    );
  });
});
