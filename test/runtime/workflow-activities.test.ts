import { threadId } from 'node:worker_threads';
import { expect } from 'chai';
import {
  ApplicationFailure,
  activityInfo,
  Context,
  cancelled,
  heartbeat,
  log,
} from '../../runtime/activities/index.js';
import { ActivityFailure, WorkflowFailedError } from '../../runtime/client/index.js';
import { Attempts } from '../support/attempts.js';
import {
  eventTypes,
  eventually,
  fixture,
  type Handle,
  ManualClock,
  rejection,
  TASK,
  TestRuntime,
} from '../support/runtime.js';

class OutOfStock extends Error {}

// semantics.md 9.6-9.8, 11
describe('workflow activities', () => {
  const clock = new ManualClock();
  const attempts = new Attempts();
  let flaky = 0;
  const activities = {
    echo: async (...args: unknown[]) => args,
    syncEcho: (...args: unknown[]) => args,
    none: async () => undefined,
    info: async () => {
      const { heartbeatDetails, ...info } = activityInfo();
      return { ...info, heartbeatDetails };
    },
    hold: () => attempts.wait('hold'),
    untilCancelled: async () => {
      attempts.begun.push('untilCancelled');
      return cancelled();
    },
    ignoresCancel: () => attempts.wait('ignoresCancel'),
    throwCustom: async () => {
      throw new OutOfStock('none left', { cause: new Error('sold') });
    },
    throwFailure: async () => {
      throw ApplicationFailure.create({
        message: 'no',
        type: 'No',
        nonRetryable: true,
        details: [1, { a: 2 }],
      });
    },
    throwText: async () => {
      throw 'only text';
    },
    failsTwice: async () => {
      flaky += 1;
      if (flaky <= 2) throw new Error(`failure ${flaky}`);
      return `attempt ${Context.current().info.attempt}`;
    },
    failsAlways: async () => {
      throw new Error(`attempt ${Context.current().info.attempt}`);
    },
    asksForDelay: async () => {
      if (Context.current().info.attempt > 1) return 'done';
      throw ApplicationFailure.create({ message: 'later', nextRetryDelay: '1 hour' });
    },
    beats: async () => {
      const { attempt, heartbeatDetails } = Context.current().info;
      if (attempt === 3) return heartbeatDetails;
      heartbeat({ step: attempt, before: heartbeatDetails });
      throw new Error('not yet');
    },
    unstorable: async () => ({ fn: () => 1 }),
    logs: async () => {
      log.info('from the activity', { extra: 1 });
    },
  };
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'activities', activities, clock });
  });
  after(() => runtime.close());

  const minute = { startToCloseTimeout: '1 minute' };
  const once = { ...minute, retry: { maximumAttempts: 1 } };
  const call = (type: string, args: unknown[] = [], options: object = once) =>
    runtime.start('calls', [type, args, options]);
  const outcomeOf = async (handle: Handle) => (await handle.result()) as { value?: unknown; error?: any };

  /** Waits until an activity waits for its attempt of that number, and gives its delay. */
  async function delayBefore(handle: Handle, attempt: number): Promise<number> {
    const pending = await eventually(async () => {
      const [activity] = (await handle.describe()).pendingActivities;
      return activity?.attempt === attempt && activity;
    });
    return pending.nextAttemptTime.getTime() - clock.now();
  }

  describe('results', () => {
    it('arguments and result: come and go as they are', async () => {
      const args = [
        1,
        'a',
        null,
        undefined,
        { d: new Date(1), m: new Map([['k', new Set([1n])]]) },
        Uint8Array.of(1),
        [NaN, -0],
      ];
      expect((await outcomeOf(await call('echo', args))).value).to.deep.equal(args);
    });

    it('values of an activity: are made of the classes of the workflow', async () => {
      const classes = (await (await runtime.start('checksClasses')).result()) as Record<string, boolean>;
      expect(Object.entries(classes).filter(([, isOwn]) => !isOwn)).to.deep.equal([]);
    });

    it('proxies: each function schedules the activity of its name, also a synchronous one', async () => {
      expect(await (await runtime.start('callsByProxy')).result()).to.deep.equal([[1], [2, 'b'], [3]]);
    });

    it('activity without a result: undefined', async () => {
      expect(await outcomeOf(await call('none'))).to.deep.equal({ value: undefined });
    });

    it('many at once: all done, each with its own result', async () => {
      const handle = await runtime.start('callsMany', [300]);
      expect(await handle.result()).to.deep.equal(Array.from({ length: 300 }, (_, i) => i));
    });

    it('Context.current().info: tells the activity who it is', async () => {
      const scheduled = clock.now();
      const handle = await call('info', [], {
        ...once,
        heartbeatTimeout: 5000,
        scheduleToCloseTimeout: 100_000,
      });
      const { runId } = await handle.describe();
      expect((await outcomeOf(handle)).value).to.deep.equal({
        activityId: '1',
        activityType: 'info',
        attempt: 1,
        taskQueue: 'default',
        activityNamespace: 'default',
        workflowNamespace: 'default',
        workflowType: 'calls',
        workflowExecution: { workflowId: handle.workflowId, runId },
        scheduledTimestampMs: scheduled,
        currentAttemptScheduledTimestampMs: scheduled,
        startToCloseTimeoutMs: 60_000,
        scheduleToCloseTimeoutMs: 100_000,
        heartbeatTimeoutMs: 5000,
        heartbeatDetails: undefined,
        isLocal: false,
      });
    });

    it('Context.current() outside an activity: an error that says so', () => {
      expect(() => Context.current()).to.throw('Activity context not initialized');
    });

    it('log of an activity: goes to the logger with its ids', async () => {
      const handle = await call('logs');
      await handle.result();
      const line = runtime.logs.find(({ message }) => message === 'from the activity');
      expect(line?.attributes).to.include({
        workflowId: handle.workflowId,
        activityType: 'logs',
        activityId: '1',
        extra: 1,
      });
    });

    it('history: scheduled, then started and completed together', async () => {
      const handle = await call('echo', [1]);
      await handle.result();
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'ActivityTaskScheduled',
        'ActivityTaskStarted',
        'ActivityTaskCompleted',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
    });

    for (const [how, text] of [
      ['no timeout', 'TypeError: Required either scheduleToCloseTimeout or startToCloseTimeout'],
      ['no options', 'TypeError: options must be defined'],
      ['bad retry', 'TypeError: RetryPolicy.maximumAttempts must be an integer'],
      ['function argument', 'PayloadEncodeError: Cannot store activity echo arguments[0].deep[0]:'],
    ] as const) {
      it(`misuse (${how}): throws at once`, async () => {
        expect(await (await runtime.start('misuses', [how])).result()).to.satisfy((message: string) =>
          message.startsWith(text),
        );
      });
    }
  });

  describe('failures', () => {
    const failure = (cause: object, retryState = 'MAXIMUM_ATTEMPTS_REACHED') => ({
      name: 'ActivityFailure',
      message: 'Activity task failed',
      retryState,
      activityId: '1',
      cause,
    });

    it('plain error: ActivityFailure, whose cause is an ApplicationFailure of its class name', async () => {
      expect((await outcomeOf(await call('throwCustom'))).error).to.deep.equal({
        ...failure({
          name: 'ApplicationFailure',
          message: 'none left',
          type: 'OutOfStock',
          nonRetryable: false,
          cause: { name: 'TemporalFailure', message: 'sold' },
        }),
        activityType: 'throwCustom',
      });
    });

    it('ApplicationFailure: its fields come along', async () => {
      expect((await outcomeOf(await call('throwFailure', [], minute))).error).to.deep.equal({
        ...failure(
          {
            name: 'ApplicationFailure',
            message: 'no',
            type: 'No',
            nonRetryable: true,
            details: [1, { a: 2 }],
          },
          'NON_RETRYABLE_FAILURE',
        ),
        activityType: 'throwFailure',
      });
    });

    it('something thrown that is no error: its text', async () => {
      const { cause } = (await outcomeOf(await call('throwText'))).error;
      expect(cause.message).to.match(/^"only text" \[A non-Error value was thrown/);
    });

    it('result that cannot be stored: a failure that says where', async () => {
      const { cause } = (await outcomeOf(await call('unstorable'))).error;
      expect(cause).to.include({ type: 'PayloadEncodeError' });
      expect(cause.message).to.match(/result of activity unstorable\.fn/);
    });

    it('unknown activity: a failure that lists the known ones', async () => {
      const { cause } = (await outcomeOf(await call('unheardOf'))).error;
      expect(cause).to.include({ type: 'NotFoundError', nonRetryable: false });
      expect(cause.message).to.match(
        /^Activity function unheardOf is not registered on this Worker, available activities: \["echo",/,
      );
    });

    it('failure that leaves the workflow: the caller sees the whole chain', async () => {
      const handle = await runtime.start('letsItOut', ['throwCustom', once]);
      const error = (await rejection(handle.result())) as WorkflowFailedError;
      expect(error).to.be.instanceOf(WorkflowFailedError);
      expect(error.cause).to.be.instanceOf(ActivityFailure);
      expect(error.cause?.cause).to.be.instanceOf(ApplicationFailure);
      expect(error.cause?.cause).to.include({ type: 'OutOfStock', message: 'none left' });
    });
  });

  describe('retries', () => {
    it('failed attempts: repeated with growing delays, no event until the end', async () => {
      flaky = 0;
      const handle = await call('failsTwice', [], {
        ...minute,
        retry: { initialInterval: '10 seconds', backoffCoefficient: 3 },
      });
      expect(await delayBefore(handle, 2)).to.equal(10_000);
      expect((await handle.describe()).pendingActivities[0]).to.deep.include({
        activityId: '1',
        activityType: 'failsTwice',
      });
      expect((await handle.describe()).pendingActivities[0]?.lastFailure?.message).to.equal('failure 1');
      clock.advance(10_000);
      expect(await delayBefore(handle, 3)).to.equal(30_000);
      clock.advance(30_000);
      expect(await outcomeOf(handle)).to.deep.equal({ value: 'attempt 3' });
      const { events } = await handle.fetchHistory();
      const started = events.filter(({ eventType }) => eventType === 'EVENT_TYPE_ACTIVITY_TASK_STARTED');
      expect(started.map((event) => (event as any).activityTaskStartedEventAttributes.attempt)).to.deep.equal(
        [3],
      );
    });

    it('no policy given: 1 second at first, doubled each time', async () => {
      flaky = 0;
      const handle = await call('failsTwice', [], minute);
      expect(await delayBefore(handle, 2)).to.equal(1000);
      clock.advance(1000);
      expect(await delayBefore(handle, 3)).to.equal(2000);
      clock.advance(2000);
      expect(await outcomeOf(handle)).to.deep.equal({ value: 'attempt 3' });
    });

    it('maximumInterval: no delay is longer', async () => {
      flaky = 0;
      const handle = await call('failsTwice', [], {
        ...minute,
        retry: { initialInterval: 1000, maximumInterval: 1500, backoffCoefficient: 10 },
      });
      await delayBefore(handle, 2);
      clock.advance(1000);
      expect(await delayBefore(handle, 3)).to.equal(1500);
      clock.advance(1500);
      await handle.result();
    });

    it('maximumAttempts: the last failure is the one', async () => {
      const handle = await call('failsAlways', [], { ...minute, retry: { maximumAttempts: 2 } });
      await delayBefore(handle, 2);
      clock.advance(1000);
      const { retryState, cause } = (await outcomeOf(handle)).error;
      expect(retryState).to.equal('MAXIMUM_ATTEMPTS_REACHED');
      expect(cause.message).to.equal('attempt 2');
    });

    it('nonRetryableErrorTypes: ends the retries', async () => {
      const handle = await call('throwCustom', [], {
        ...minute,
        retry: { nonRetryableErrorTypes: ['OutOfStock'] },
      });
      expect((await outcomeOf(handle)).error).to.include({ retryState: 'NON_RETRYABLE_FAILURE' });
    });

    it('nextRetryDelay of the failure: overrides the policy', async () => {
      const handle = await call('asksForDelay', [], minute);
      expect(await delayBefore(handle, 2)).to.equal(3_600_000);
      clock.advance(3_600_000);
      expect(await outcomeOf(handle)).to.deep.equal({ value: 'done' });
    });

    for (const way of ['reopen', 'crash'] as const) {
      it(`delay before the next attempt, then ${way}: attempts are counted on, the delay ends when it would have`, async () => {
        const handle = await call('failsAlways', [], {
          ...minute,
          retry: { maximumAttempts: 2, initialInterval: '1 hour' },
        });
        await delayBefore(handle, 2);
        clock.advance(1_800_000);
        await runtime[way]();
        const again = runtime.again(handle);
        expect(await delayBefore(again, 2)).to.equal(1_800_000);
        clock.advance(1_800_000);
        const { cause } = ((await again.result()) as { error: any }).error;
        expect(cause.message).to.equal('attempt 2');
      });

      it(`attempt under way, then ${way}: the same attempt begins again`, async () => {
        attempts.begun = [];
        const handle = await call('hold', [], minute);
        await attempts.next('hold');
        await runtime[way]();
        (await attempts.next('hold')).resolve('second time');
        expect(await runtime.again(handle).result()).to.deep.equal({ value: 'second time' });
        expect(attempts.begun).to.deep.equal(['hold 1', 'hold 1']);
      });
    }
  });

  const timedOut = (timeoutType: string) => ({ name: 'TimeoutFailure', timeoutType });

  describe('timeouts', () => {
    it('start to close: the attempt times out, and the next one is begun', async () => {
      attempts.begun = [];
      const handle = await call('hold', [], { startToCloseTimeout: 5000, retry: { maximumAttempts: 2 } });
      const { context } = await attempts.next('hold');
      clock.advance(5000);
      await delayBefore(handle, 2);
      expect(context.cancellationSignal.aborted).to.equal(true);
      clock.advance(1000);
      await attempts.next('hold');
      clock.advance(5000);
      const { message, cause } = (await outcomeOf(handle)).error;
      expect(message).to.equal('Activity task timed out');
      expect(cause).to.include(timedOut('START_TO_CLOSE'));
      expect(attempts.begun).to.deep.equal(['hold 1', 'hold 2']);
    });

    it('late result of an attempt that timed out: ignored', async () => {
      const handle = await call('hold', [], { startToCloseTimeout: 5000 });
      const late = await attempts.next('hold');
      clock.advance(5000);
      await delayBefore(handle, 2);
      late.resolve('too late');
      clock.advance(1000);
      (await attempts.next('hold')).resolve('in time');
      expect(await outcomeOf(handle)).to.deep.equal({ value: 'in time' });
    });

    it('schedule to close: bounds all attempts together', async () => {
      const handle = await call('hold', [], { scheduleToCloseTimeout: 5000 });
      await attempts.next('hold');
      clock.advance(5000);
      const { message, retryState, cause } = (await outcomeOf(handle)).error;
      expect([message, retryState]).to.deep.equal(['Activity task timed out', 'TIMEOUT']);
      expect(cause).to.include(timedOut('SCHEDULE_TO_CLOSE'));
    });

    it('schedule to close: no attempt that could only begin after it', async () => {
      const handle = await call('failsAlways', [], {
        scheduleToCloseTimeout: 1500,
        retry: { initialInterval: 1000 },
      });
      await delayBefore(handle, 2);
      clock.advance(1000);
      const { retryState, cause } = (await outcomeOf(handle)).error;
      expect(retryState).to.equal('TIMEOUT');
      expect(cause.message).to.equal('attempt 2');
    });

    it('heartbeats: keep the attempt alive; silence ends it, with the details of the last one', async () => {
      const handle = await call('hold', [], { ...once, heartbeatTimeout: 1000 });
      const { context } = await attempts.next('hold');
      for (const step of [1, 2, 3]) {
        clock.advance(900);
        context.heartbeat({ step });
      }
      clock.advance(999);
      expect((await handle.describe()).pendingActivities).to.have.length(1);
      clock.advance(1);
      const { message, cause } = (await outcomeOf(handle)).error;
      expect(message).to.equal('Activity task timed out');
      expect(cause).to.deep.include({ ...timedOut('HEARTBEAT'), lastHeartbeatDetails: { step: 3 } });
    });

    it('heartbeat details: the next attempt gets those of the last', async () => {
      const handle = await call('beats', [], minute);
      await delayBefore(handle, 2);
      clock.advance(1000);
      await delayBefore(handle, 3);
      clock.advance(2000);
      expect(await outcomeOf(handle)).to.deep.equal({
        value: { step: 2, before: { step: 1, before: undefined } },
      });
    });

    it('heartbeat details: known to the next attempt also after a crash', async () => {
      const handle = await call('beats', [], minute);
      await delayBefore(handle, 2);
      await runtime.crash();
      clock.advance(1000);
      await delayBefore(runtime.again(handle), 3);
      await runtime.reopen();
      clock.advance(2000);
      const outcome = await runtime.again(handle).result();
      expect(outcome).to.deep.equal({ value: { step: 2, before: { step: 1, before: undefined } } });
    });
  });

  describe('when all places are taken (limits.activitiesMax)', () => {
    let small: TestRuntime;
    before(async () => {
      small = await TestRuntime.open({
        workflows: 'activities',
        activities,
        clock,
        limits: { activitiesMax: 1 },
      });
    });
    after(() => small.close());
    const call = (type: string, options: object) => small.start('calls', [type, [], options]);

    it('activity: waits for a place, then begins', async () => {
      const first = await call('hold', once);
      const held = await attempts.next('hold');
      const second = await call('echo', once);
      expect(small.runtime.metrics()).to.include({ activitiesRunning: 1, activitiesWaiting: 1 });
      held.resolve('first');
      expect(await first.result()).to.deep.equal({ value: 'first' });
      expect(await second.result()).to.deep.equal({ value: [] });
    });

    it('activity that waits: times out by schedule to start and by schedule to close, without being begun', async () => {
      const first = await call('hold', { scheduleToCloseTimeout: '1 day' });
      const held = await attempts.next('hold');
      const [start, close] = [
        await call('echo', { startToCloseTimeout: 1000, scheduleToStartTimeout: 500 }),
        await call('echo', { scheduleToCloseTimeout: 800 }),
      ];
      clock.advance(500);
      expect((await outcomeOf(start)).error).to.deep.include({
        message: 'Activity task timed out',
        retryState: 'NON_RETRYABLE_FAILURE',
        cause: { message: 'activity ScheduleToStart timeout', ...timedOut('SCHEDULE_TO_START') },
      });
      expect(await eventTypes(start)).not.to.include('ActivityTaskStarted');
      clock.advance(300);
      expect((await outcomeOf(close)).error.cause).to.include(timedOut('SCHEDULE_TO_CLOSE'));
      expect(small.runtime.metrics()).to.include({ activitiesRunning: 1, activitiesWaiting: 0 });
      held.resolve('done');
      await first.result();
    });

    it('activity that waits, cancelled: is not begun', async () => {
      const first = await call('hold', once);
      const held = await attempts.next('hold');
      const second = await small.start('cancels', [
        'echo',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await second.signal('go');
      await second.signal('finish');
      const [, { error }] = (await second.result()) as [string, { error: any }];
      expect(error).to.include({ message: 'Activity cancelled' });
      expect(await eventTypes(second)).not.to.include('ActivityTaskStarted');
      held.resolve('done');
      await first.result();
    });
  });

  describe('cancelling', () => {
    const cancelledError = (type: string) => ({
      error: {
        name: 'ActivityFailure',
        message: 'Activity cancelled',
        retryState: 'CANCEL_REQUESTED',
        activityType: type,
        activityId: '1',
        cause: { name: 'CancelledFailure', message: 'Activity cancelled', details: [] },
      },
    });

    it('TRY_CANCEL, the default: the workflow hears at once, the activity is told', async () => {
      const handle = await runtime.start('cancels', ['hold', minute]);
      const { context } = await attempts.next('hold');
      await handle.signal('go');
      expect(await handle.query('seen')).to.deep.equal(['cancel requested', cancelledError('hold')]);
      expect(context.cancellationSignal.aborted).to.equal(true);
      await handle.signal('finish');
      await handle.result();
      const types = await eventTypes(handle);
      // Asked for in the task of the signal; what the activity does afterwards is of no interest.
      expect(types.slice(types.indexOf('WorkflowExecutionSignaled'))).to.deep.equal([
        'WorkflowExecutionSignaled',
        ...TASK,
        'ActivityTaskCancelRequested',
        'WorkflowExecutionSignaled',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
    });

    it('WAIT_CANCELLATION_COMPLETED: the workflow hears when the activity has ended as cancelled', async () => {
      const handle = await runtime.start('cancels', [
        'untilCancelled',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await handle.signal('go');
      await handle.signal('finish');
      const [requested, { error }] = (await handle.result()) as [string, { error: any }];
      expect(requested).to.equal('cancel requested');
      expect(error).to.include({ name: 'ActivityFailure', message: 'Activity cancelled' });
      expect(error.cause).to.include({ name: 'CancelledFailure' });
      const types = await eventTypes(handle);
      expect(types.filter((type) => type.startsWith('Activity'))).to.deep.equal([
        'ActivityTaskScheduled',
        'ActivityTaskCancelRequested',
        'ActivityTaskStarted',
        'ActivityTaskCanceled',
      ]);
    });

    it('WAIT_CANCELLATION_COMPLETED, the activity completes all the same: the workflow gets its result', async () => {
      const handle = await runtime.start('cancels', [
        'ignoresCancel',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await handle.signal('go');
      expect(await handle.query('seen')).to.deep.equal(['cancel requested']);
      (await attempts.next('ignoresCancel')).resolve('done anyway');
      await handle.signal('finish');
      expect(await handle.result()).to.deep.equal(['cancel requested', { value: 'done anyway' }]);
    });

    it('WAIT_CANCELLATION_COMPLETED, the activity fails: no retry after a cancel request', async () => {
      const handle = await runtime.start('cancels', [
        'ignoresCancel',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await handle.signal('go');
      (await attempts.next('ignoresCancel')).reject(new Error('while cancelling'));
      await handle.signal('finish');
      const [, { error }] = (await handle.result()) as [string, { error: any }];
      expect(error).to.include({ message: 'Activity task failed', retryState: 'CANCEL_REQUESTED' });
      expect(error.cause.message).to.equal('while cancelling');
    });

    it('WAIT_CANCELLATION_COMPLETED between two attempts: cancelled without another', async () => {
      const handle = await runtime.start('cancels', [
        'failsAlways',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await delayBefore(handle, 2);
      await handle.signal('go');
      await handle.signal('finish');
      const [, { error }] = (await handle.result()) as [string, { error: any }];
      expect(error).to.include({ message: 'Activity cancelled' });
    });

    it('WAIT_CANCELLATION_COMPLETED, the runtime is closed before the activity heard: cancelled when it opens', async () => {
      const handle = await runtime.start('cancels', [
        'ignoresCancel',
        { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' },
      ]);
      await attempts.next('ignoresCancel');
      await handle.signal('go');
      attempts.begun = [];
      await runtime.reopen();
      const again = runtime.again(handle);
      await again.signal('finish');
      const [, { error }] = (await again.result()) as [string, { error: any }];
      expect(error).to.include({ message: 'Activity cancelled' });
      expect(attempts.begun).to.deep.equal([]);
    });

    it('ABANDON: the workflow hears at once, the activity is not told', async () => {
      const handle = await runtime.start('cancels', ['hold', { ...minute, cancellationType: 'ABANDON' }]);
      const { context, resolve } = await attempts.next('hold');
      await handle.signal('go');
      expect(await handle.query('seen')).to.deep.equal(['cancel requested', cancelledError('hold')]);
      expect(context.cancellationSignal.aborted).to.equal(false);
      resolve('nobody waits for this');
      await handle.signal('finish');
      expect(await eventTypes(handle)).not.to.include('ActivityTaskCancelRequested');
    });

    it('cancelled in the turn that scheduled it: never begun, no event', async () => {
      const handle = await runtime.start('cancelsAtOnce');
      expect(await handle.result()).to.deep.equal(cancelledError('echo'));
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
    });

    it('workflow ends: its activities are told to stop', async () => {
      const handle = await call('hold', [], minute);
      const { context } = await attempts.next('hold');
      await handle.terminate();
      await eventually(() => context.cancellationSignal.aborted);
    });
  });

  describe('in threads (activitiesPath)', () => {
    let threaded: TestRuntime;
    before(async () => {
      threaded = await TestRuntime.open({
        workflows: 'activities',
        activitiesPath: fixture('threaded-activities'),
        activities,
        clock,
      });
    });
    after(() => threaded.close());
    const outcome = async (type: string, args: unknown[] = [], options: object = once) =>
      outcomeOf(await threaded.start('calls', [type, args, options]));

    it('activity: runs in another thread', async () => {
      expect((await outcome('whichThread')).value).not.to.equal(threadId);
    });

    it('activities of both kinds: side by side', async () => {
      expect((await outcome('echo', [1])).value).to.deep.equal([1]);
      expect((await outcome('threadedEcho', [new Map([[1, new Date(2)]])])).value).to.deep.equal([
        new Map([[1, new Date(2)]]),
      ]);
    });

    it('Context: known there too', async () => {
      const handle = await threaded.start('calls', ['threadedInfo', [], once]);
      expect((await outcomeOf(handle)).value).to.deep.equal({
        activityId: '1',
        activityType: 'threadedInfo',
        attempt: 1,
        workflowId: handle.workflowId,
      });
    });

    it('failure: as from any activity', async () => {
      const { error } = await outcome('threadedFailure');
      expect(error.cause).to.deep.equal({
        name: 'ApplicationFailure',
        message: 'failed in a thread',
        type: 'Threaded',
        nonRetryable: true,
        details: [{ n: 1 }],
      });
    });

    it('log: arrives, also with something that cannot be sent to another thread', async () => {
      expect(await outcome('threadedLogs')).to.deep.equal({ value: undefined });
      const line = await eventually(() => threaded.logs.find(({ message }) => message === 'from a thread'));
      expect(line.attributes).to.include({ id: 1, done: '[Function: done]' });
      expect(line.attributes.e).to.include({ message: 'in a thread' });
    });

    it('heartbeat just before a failure: the next attempt gets its details', async () => {
      const handle = await threaded.start('calls', ['threadedSteps', [], minute]);
      for (const [attempt, ms] of [
        [2, 1000],
        [3, 2000],
      ] as const) {
        await delayBefore(handle, attempt);
        clock.advance(ms);
      }
      expect(await outcomeOf(handle)).to.deep.equal({
        value: { attempt: 2, before: { attempt: 1, before: undefined } },
      });
    });

    it('cancel: reaches the thread', async () => {
      const options = { ...minute, cancellationType: 'WAIT_CANCELLATION_COMPLETED' };
      const handle = await threaded.start('cancels', ['threadedUntilCancelled', options]);
      await handle.signal('go');
      await handle.signal('finish');
      const [, { error }] = (await handle.result()) as [string, { error: any }];
      expect(error).to.include({ message: 'Activity cancelled' });
    });
  });
});
