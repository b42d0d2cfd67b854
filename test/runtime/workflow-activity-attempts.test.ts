import { expect } from 'chai';
import { heartbeat } from '../../runtime/activities/index.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { Attempts } from '../support/attempts.js';
import {
  eventTypes,
  eventually,
  fixture,
  type Handle,
  ManualClock,
  TASK,
  TestRuntime,
  type TestRuntimeOptions,
} from '../support/runtime.js';

/** After that time the host sends again what a full disk refused. */
const AGAIN_MS = 250;

// D1, D2, D4
describe('workflow activity attempts', () => {
  const clock = new ManualClock();
  const minute = { startToCloseTimeout: '1 minute' };
  const once = { ...minute, retry: { maximumAttempts: 1 } };
  const thrice = { ...minute, retry: { maximumAttempts: 3 } };
  const beating = { ...minute, heartbeatTimeout: '10 seconds' };
  const timedOut = (timeoutType: string, retryState: string) => ({
    name: 'ActivityFailure',
    message: 'Activity task timed out',
    retryState,
    cause: { name: 'TimeoutFailure', timeoutType },
  });

  let attempts: Attempts;
  let plan: FaultPlan;
  let runtime: TestRuntime;
  const activities = () => {
    const own = new Attempts();
    attempts = own;
    return { hold: () => own.wait('hold') };
  };
  const open = async (options: Partial<TestRuntimeOptions> = {}) => {
    plan = new FaultPlan();
    const faults = plan;
    runtime = await TestRuntime.open({
      workflows: 'activities',
      activities: activities(),
      clock,
      wrap: (store) => faultyStore(store, faults),
      ...options,
    });
  };
  beforeEach(() => open());
  afterEach(() => {
    plan.delay = undefined;
    plan.release();
    return runtime.close();
  });

  const call = (options: object, type = 'hold') => runtime.start('calls', [type, [], options]);
  const outcomeOf = async (handle: Handle) =>
    (await runtime.again(handle).result()) as { value?: unknown; error?: any };
  const pendingOf = async (handle: Handle) => (await runtime.again(handle).describe()).pendingActivities[0];
  const causeOf = async (handle: Handle) => (await outcomeOf(handle)).error.cause;

  /** What the process that came up then begins shows in `attempts`. */
  const ends: Record<string, () => Promise<void>> = {
    crash: () => runtime.crash({ activities: activities() }),
    close: () => runtime.reopen({ activities: activities() }),
  };

  /** Whoever does what it should not has time to show it. */
  const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

  /** The write of the note that the next activity begins, which is the second after its workflow has started, waits. */
  function holdNote(): { reached: () => Promise<unknown> } {
    const number = plan.writes + 2;
    plan.delay = async (at) => void (at === number && plan.hold());
    return { reached: () => eventually(() => plan.writes === number).then(pause) };
  }

  /** That write is refused, and the note is sent again later. */
  function refuseNote(): { refused: () => Promise<unknown> } {
    const number = plan.writes + 2;
    plan.at(number, { kind: 'full' });
    return { refused: () => eventually(() => plan.writes >= number && clock.pending.includes(AGAIN_MS)) };
  }

  for (const [how, end] of Object.entries(ends)) {
    describe(`the process ends (${how})`, () => {
      it('one attempt allowed: does not run again, the workflow hears that it timed out', async () => {
        const handle = await call(once);
        await attempts.next('hold');
        for (let life = 2; life <= 4; life++) {
          await end();
          expect((await outcomeOf(handle)).error).to.containSubset(
            timedOut('START_TO_CLOSE', 'MAXIMUM_ATTEMPTS_REACHED'),
          );
          expect(attempts.begun).to.deep.equal([]);
        }
      });

      it('three attempts allowed: each interruption counts as one, and the next begins at once', async () => {
        const handle = await call(thrice);
        await attempts.next('hold');
        for (const attempt of [2, 3]) {
          await end();
          await attempts.next('hold');
          expect(attempts.begun).to.deep.equal([`hold ${attempt}`]);
          expect(await pendingOf(handle)).to.containSubset({
            attempt,
            lastFailure: { message: 'activity StartToClose timeout' },
          });
        }
        await end();
        expect((await outcomeOf(handle)).error.retryState).to.equal('MAXIMUM_ATTEMPTS_REACHED');
        expect(attempts.begun).to.deep.equal([]);
      });

      it('three attempts allowed, an interrupted one and one that completes: its result', async () => {
        const handle = await call(thrice);
        await attempts.next('hold');
        await end();
        (await attempts.next('hold')).resolve('done');
        expect(await outcomeOf(handle)).to.deep.equal({ value: 'done' });
      });

      it('any number of attempts, no heartbeat: the same attempt begins again', async () => {
        const handle = await call(minute);
        await attempts.next('hold');
        for (let life = 2; life <= 4; life++) {
          await end();
          await attempts.next('hold');
          expect(attempts.begun).to.deep.equal(['hold 1']);
        }
        expect(await pendingOf(handle)).to.include({ attempt: 1, lastFailure: undefined });
      });

      it('between two attempts: the next one begins, and is not counted twice', async () => {
        const handle = await call(thrice);
        (await attempts.next('hold')).reject(new Error('no'));
        await eventually(async () => (await pendingOf(handle))?.attempt === 2);
        await end();
        clock.advance(1000);
        await attempts.next('hold');
        expect(attempts.begun).to.deep.equal(['hold 2']);
      });

      it('time for the activity is over when the store is opened: timed out by schedule to close', async () => {
        const handle = await call({ scheduleToCloseTimeout: '1 minute', retry: { maximumAttempts: 3 } });
        await attempts.next('hold');
        clock.advance(30_000);
        await end();
        await attempts.next('hold');
        // As time passes while nobody has the store open.
        clock.set(clock.now() + 30_000);
        await end();
        expect((await outcomeOf(handle)).error).to.containSubset(timedOut('SCHEDULE_TO_CLOSE', 'TIMEOUT'));
        expect(attempts.begun).to.deep.equal([]);
      });

      it('any number of attempts, time for the activity is over when the store is opened: does not begin again', async () => {
        const handle = await call({ scheduleToCloseTimeout: '1 minute' });
        await attempts.next('hold');
        clock.set(clock.now() + 60_000);
        await end();
        expect((await outcomeOf(handle)).error).to.containSubset(timedOut('SCHEDULE_TO_CLOSE', 'TIMEOUT'));
        expect(attempts.begun).to.deep.equal([]);
      });

      it('heartbeat details: the next attempt has them, and so has describe()', async () => {
        const handle = await call(minute);
        const { context } = await attempts.next('hold');
        context.heartbeat({ step: 1 });
        const shown = () => eventually(async () => (await pendingOf(handle))?.heartbeatDetails);
        expect(await shown()).to.deep.equal({ step: 1 });
        await end();
        const next = await attempts.next('hold');
        expect(attempts.begun).to.deep.equal(['hold 2']);
        expect(next.context.info.heartbeatDetails).to.deep.equal({ step: 1 });
        expect(await shown()).to.deep.equal({ step: 1 });
        // It reports nothing itself, and is not interrupted by that.
        await end();
        expect((await attempts.next('hold')).context.info).to.containSubset({
          attempt: 2,
          heartbeatDetails: { step: 1 },
        });
      });

      it('heartbeat timeout and one attempt allowed: it is what timed out, with the details', async () => {
        const handle = await call({ ...beating, ...once });
        const { context } = await attempts.next('hold');
        context.heartbeat({ step: 1 });
        await eventually(async () => (await pendingOf(handle))?.heartbeatDetails);
        await end();
        expect(await causeOf(handle)).to.containSubset({
          timeoutType: 'HEARTBEAT',
          message: 'activity Heartbeat timeout',
          lastHeartbeatDetails: { step: 1 },
        });
      });

      it('history: of an interrupted activity as of one that timed out; replays', async () => {
        const handle = await call(thrice);
        await attempts.next('hold');
        for (const _ of [2, 3]) {
          await end();
          (await attempts.next('hold')).context.heartbeat('here');
        }
        await end();
        await outcomeOf(handle);
        await end();
        expect(await eventTypes(runtime.again(handle))).to.deep.equal([
          'WorkflowExecutionStarted',
          ...TASK,
          'ActivityTaskScheduled',
          'ActivityTaskStarted',
          'ActivityTaskTimedOut',
          ...TASK,
          'WorkflowExecutionCompleted',
        ]);
        const { events } = await runtime.again(handle).fetchHistory();
        const started = events.find(({ eventType }) => eventType === 'EVENT_TYPE_ACTIVITY_TASK_STARTED');
        expect(started).to.containSubset({ activityTaskStartedEventAttributes: { attempt: 3 } });
        expect(Date.parse(started!.eventTime as string)).to.equal(clock.now());
      });

      it('in the middle of an execution that goes on: replayed with what was noted', async () => {
        const options = { ...thrice, cancellationType: 'WAIT_CANCELLATION_COMPLETED' };
        const handle = await runtime.start('cancels', ['hold', options]);
        (await attempts.next('hold')).context.heartbeat(1);
        await end();
        const { resolve } = await attempts.next('hold');
        expect(await runtime.again(handle).query('seen')).to.deep.equal([]);
        resolve('done');
        await runtime.again(handle).signal('finish');
        expect(await runtime.again(handle).result()).to.deep.equal([{ value: 'done' }]);
      });

      it('cancelled, and then the process ended: cancelled, without another attempt', async () => {
        const options = { ...thrice, cancellationType: 'WAIT_CANCELLATION_COMPLETED' };
        const handle = await runtime.start('cancels', ['hold', options]);
        await attempts.next('hold');
        await handle.signal('go');
        await end();
        await runtime.again(handle).signal('finish');
        const [, { error }] = (await runtime.again(handle).result()) as [string, { error: any }];
        expect(error.message).to.equal('Activity cancelled');
        expect(attempts.begun).to.deep.equal([]);
      });
    });

    describe(`the process ends (${how}), activities in threads`, () => {
      beforeEach(async () => {
        await runtime.close();
        await open({ activitiesPath: fixture('threaded-activities') });
      });
      const begun = () => runtime.logs.filter(({ message }) => message === 'begun');
      const isBegun = (attempt: number) => eventually(() => begun().length === attempt);

      it('one attempt allowed: does not run again', async () => {
        const handle = await call(once, 'threadedHold');
        await isBegun(1);
        await end();
        expect((await outcomeOf(handle)).error.retryState).to.equal('MAXIMUM_ATTEMPTS_REACHED');
        expect(begun()).to.have.length(1);
      });

      it('heartbeat details: the next attempt has them', async () => {
        const handle = await call(minute, 'threadedHold');
        await isBegun(1);
        await eventually(async () => (await pendingOf(handle))?.heartbeatDetails);
        await end();
        await isBegun(2);
        expect(begun()[1]!.attributes).to.deep.include({ attempt: 2, before: 'attempt 1' });
      });
    });
  }

  describe('in threads', () => {
    beforeEach(async () => {
      await runtime.close();
      await open({ activitiesPath: fixture('threaded-activities') });
    });

    it('its thread dies: the attempt has failed, and the next one has what it reported', async () => {
      const handle = await call({ ...minute, retry: { maximumAttempts: 2 } }, 'threadedDeath');
      await eventually(async () => (await pendingOf(handle))?.attempt === 2);
      clock.advance(1000);
      expect(await outcomeOf(handle)).to.deep.equal({ value: { attempt: 1 } });
    });

    it('its thread dies, one attempt allowed: the workflow hears it', async () => {
      const handle = await call(once, 'threadedDeath');
      expect((await outcomeOf(handle)).error).to.include({
        message: 'Activity task failed',
        retryState: 'MAXIMUM_ATTEMPTS_REACHED',
      });
    });
  });

  it('its end is known and not on disk at a crash: it was interrupted', async () => {
    const handle = await call({ ...minute, retry: { maximumAttempts: 2 } });
    const { resolve } = await attempts.next('hold');
    plan.hold();
    resolve('lost');
    const writes = plan.writes;
    await eventually(() => plan.writes > writes);
    const crashed = ends.crash!();
    plan.release();
    await crashed;
    (await attempts.next('hold')).resolve('second');
    expect(attempts.begun).to.deep.equal(['hold 2']);
    expect(await outcomeOf(handle)).to.deep.equal({ value: 'second' });
  });

  describe('where attempts are limited', () => {
    it('function: runs when it is on disk that the attempt begins, not before', async () => {
      const note = holdNote();
      await call(once);
      await note.reached();
      expect(attempts.begun).to.deep.equal([]);
      plan.release();
      await attempts.next('hold');
    });

    it('a full disk refuses the note: the function waits until the disk takes it', async () => {
      const note = refuseNote();
      const handle = await call(once);
      await note.refused();
      expect(attempts.begun).to.deep.equal([]);
      clock.advance(AGAIN_MS);
      (await attempts.next('hold')).resolve('done');
      expect(attempts.begun).to.deep.equal(['hold 1']);
      expect(await outcomeOf(handle)).to.deep.equal({ value: 'done' });
    });

    it('a crash before the note is on disk: the attempt had not begun, and is the first', async () => {
      const note = holdNote();
      await call(once);
      await note.reached();
      const crashed = ends.crash!();
      plan.release();
      await crashed;
      await attempts.next('hold');
      expect(attempts.begun).to.deep.equal(['hold 1']);
    });

    it('close() while it is being noted: does not begin any more', async () => {
      const note = holdNote();
      const handle = await call(once);
      await note.reached();
      const before = attempts;
      const closed = ends.close!();
      plan.release();
      await closed;
      expect((await outcomeOf(handle)).error.retryState).to.equal('MAXIMUM_ATTEMPTS_REACHED');
      expect([...before.begun, ...attempts.begun]).to.deep.equal([]);
    });

    for (const cancellationType of ['WAIT_CANCELLATION_COMPLETED', 'TRY_CANCEL']) {
      it(`cancelled while it is being noted (${cancellationType}): never begun, its place is free`, async () => {
        const note = refuseNote();
        const handle = await runtime.start('cancels', ['hold', { ...once, cancellationType }]);
        await note.refused();
        await handle.signal('go');
        clock.advance(AGAIN_MS);
        await handle.signal('finish');
        const [, { error }] = (await handle.result()) as [string, { error: any }];
        expect(error.message).to.equal('Activity cancelled');
        expect(attempts.begun).to.deep.equal([]);
        expect(runtime.runtime.metrics()).to.include({ activitiesRunning: 0, activitiesWaiting: 0 });
        expect(await eventTypes(handle)).not.to.include('ActivityTaskStarted');
      });
    }

    it('terminated while it is being noted: never begun', async () => {
      const note = refuseNote();
      const handle = await call(once);
      await note.refused();
      await handle.terminate();
      clock.advance(AGAIN_MS);
      expect(runtime.runtime.metrics()).to.include({ activitiesRunning: 0, activitiesWaiting: 0 });
      expect(attempts.begun).to.deep.equal([]);
    });

    it('terminated in the write that the note is in: never begun', async () => {
      const note = refuseNote();
      const handle = await call(once);
      await note.refused();
      const { journalSeq } = runtime.runtime.metrics();
      clock.advance(AGAIN_MS);
      await handle.terminate();
      expect(runtime.runtime.metrics()).to.include({ journalSeq: journalSeq + 1, activitiesRunning: 0 });
      expect(attempts.begun).to.deep.equal([]);
    });

    it('terminated while it is being noted: whoever waits for its place begins', async () => {
      await runtime.close();
      await open({ limits: { activitiesMax: 1 } });
      const note = refuseNote();
      const handle = await call(once);
      await note.refused();
      const second = await call(minute);
      expect(runtime.runtime.metrics()).to.include({ activitiesRunning: 1, activitiesWaiting: 1 });
      await handle.terminate();
      (await attempts.next('hold')).resolve('second');
      expect(await outcomeOf(second)).to.deep.equal({ value: 'second' });
      expect(attempts.begun).to.deep.equal(['hold 1']);
    });

    it('time limits: count from when it begins', async () => {
      const note = holdNote();
      const handle = await call({ startToCloseTimeout: 5000, retry: { maximumAttempts: 1 } });
      await note.reached();
      clock.advance(5000);
      plan.release();
      await attempts.next('hold');
      clock.advance(4999);
      expect(await pendingOf(handle)).to.include({ attempt: 1 });
      clock.advance(1);
      expect(await causeOf(handle)).to.include({ timeoutType: 'START_TO_CLOSE' });
    });

    it('time for the activity ends while it is being noted: never begun', async () => {
      const note = holdNote();
      const handle = await call({ scheduleToCloseTimeout: 5000, retry: { maximumAttempts: 1 } });
      await note.reached();
      clock.advance(5000);
      plan.release();
      expect(await causeOf(handle)).to.include({ timeoutType: 'SCHEDULE_TO_CLOSE' });
      expect(attempts.begun).to.deep.equal([]);
    });
  });

  describe('heartbeat details', () => {
    const beat = async (...details: unknown[]) => {
      const handle = await call(beating);
      const { context } = await attempts.next('hold');
      for (const value of details) context.heartbeat(value);
      const noted = () => pendingOf(handle).then((pending) => pending?.heartbeatDetails);
      await eventually(async () => (await noted()) === details[0]);
      return { context, noted };
    };
    const afterwards = async () => (await attempts.next('hold')).context.info.heartbeatDetails;

    it('several within a moment: the first is on disk at once, the newest when the interval is over', async () => {
      const { noted } = await beat(1, 2, 3);
      clock.advance(7999);
      expect(await noted()).to.equal(1);
      clock.advance(1);
      await eventually(async () => (await noted()) === 3);
      await ends.crash!();
      expect(await afterwards()).to.equal(3);
    });

    it('a crash within the interval: the next attempt has those that were on disk', async () => {
      await beat(1, 2, 3);
      await ends.crash!();
      expect(await afterwards()).to.equal(1);
    });

    it('close() within the interval: the next attempt has the newest', async () => {
      await beat(1, 2, 3);
      await ends.close!();
      expect(await afterwards()).to.equal(3);
    });

    it('reported when it is told that the runtime closes: the next attempt has them', async () => {
      const { context } = await beat(1);
      context.cancellationSignal.addEventListener('abort', () => context.heartbeat('saved'));
      await ends.close!();
      expect(await afterwards()).to.equal('saved');
    });

    it('in a thread, and close(): the next attempt has the newest that came', async () => {
      await runtime.close();
      await open({ activitiesPath: fixture('threaded-activities') });
      const handle = await call(beating, 'threadedBeats');
      await eventually(async () => (await pendingOf(handle))?.heartbeatDetails === 1);
      await ends.close!();
      expect(await outcomeOf(handle)).to.deep.equal({ value: 3 });
    });

    it('a full disk refuses them: noted with what came since when the interval is over', async () => {
      const handle = await call(beating);
      const { context } = await attempts.next('hold');
      plan.next({ kind: 'full' });
      const writes = plan.writes;
      context.heartbeat(1);
      await eventually(() => plan.writes > writes);
      expect(await pendingOf(handle)).to.include({ heartbeatDetails: undefined });
      clock.advance(8000);
      await eventually(async () => (await pendingOf(handle))?.heartbeatDetails === 1);
    });

    it('attempt that reported and then fails: counted once', async () => {
      const handle = await call({ ...beating, retry: { maximumAttempts: 2 } });
      const { context, reject } = await attempts.next('hold');
      context.heartbeat(1);
      context.heartbeat(2);
      reject(new Error('no'));
      await eventually(async () => (await pendingOf(handle))?.attempt === 2);
      await ends.crash!();
      clock.advance(8000);
      expect(await afterwards()).to.equal(2);
      expect(attempts.begun).to.deep.equal(['hold 2']);
    });

    it('of an activity that nobody waits for any more: add nothing to the journal', async () => {
      const handle = await runtime.start('cancels', ['hold', beating]);
      const { context } = await attempts.next('hold');
      await handle.signal('go');
      const { journalSeq } = runtime.runtime.metrics();
      context.heartbeat(1);
      await pause();
      expect(runtime.runtime.metrics().journalSeq).to.equal(journalSeq);
    });

    it('that cannot be stored: refused, as everywhere', async () => {
      await runtime.reopen({ activities: { hold: async () => heartbeat(() => 1) } });
      const handle = await call(once);
      expect((await causeOf(handle)).message).to.match(/^Cannot store heartbeat details/);
    });
  });

  it('neither limit nor heartbeat: the journal has nothing of an attempt', async () => {
    const handle = await call(minute);
    const { resolve } = await attempts.next('hold');
    const { journalSeq } = runtime.runtime.metrics();
    resolve('done');
    await outcomeOf(handle);
    // The start with its first turn, and the turn that the result makes.
    expect([journalSeq, runtime.runtime.metrics().journalSeq]).to.deep.equal([1, 2]);
  });
});
