import { expect } from 'chai';
import { eventTypes, eventually, ManualClock, TASK, TestRuntime } from '../support/runtime.js';

const DAY_MS = 24 * 60 * 60 * 1000;

// semantics.md 1.4, 1.5, 9.5, 9.6, 13.3
describe('workflow timers', () => {
  let runtime: TestRuntime;
  let clock: ManualClock;
  before(async () => {
    clock = new ManualClock();
    runtime = await TestRuntime.open({ workflows: 'timers', clock });
  });
  after(() => runtime.close());

  describe('sleep', () => {
    const durations: [given: number | string, ms: number][] = [
      [1500, 1500],
      ['90 seconds', 90_000],
      ['30 days', 30 * DAY_MS],
      // A timer has at least one millisecond.
      [0, 1],
      [-5, 1],
    ];
    for (const [given, ms] of durations) {
      it(`sleep(${JSON.stringify(given)}): ends after ${ms} ms, not before`, async () => {
        const handle = await runtime.start('sleeps', [given]);
        clock.advance(ms - 1);
        await handle.signal('set', 'anything');
        expect((await handle.describe()).status.name).to.equal('RUNNING');
        clock.advance(1);
        expect(await handle.result()).to.equal(ms);
      });
    }

    it('sleep for something that is no duration: TypeError that shows it', async () => {
      const bad = await runtime.start('sleepsBadly', ['soon']);
      expect(await bad.result()).to.equal(
        'TypeError: Invalid duration string: "soon". Use a number of ms or text like \'10 seconds\'',
      );
      expect(await (await runtime.start('sleepsBadly', [NaN])).result()).to.equal(
        'TypeError: Invalid duration: NaN',
      );
    });

    it('many timers: fire in the order of their times', async () => {
      const durations = [500, 100, 300, 200, 400];
      const handle = await runtime.start('sleepsManyTimes', [durations]);
      for (let i = 0; i < durations.length; i++) {
        clock.advance(100);
        await eventually(
          async () => (await eventTypes(handle)).filter((type) => type === 'TimerFired').length === i + 1,
        );
      }
      expect(await handle.result()).to.deep.equal([100, 200, 300, 400, 500]);
    });

    it('a timer fires: a task of its own in the history', async () => {
      const handle = await runtime.start('sleeps', [10]);
      clock.advance(10);
      await handle.result();
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'TimerStarted',
        'TimerFired',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
    });
  });

  describe('condition', () => {
    it('condition without a timeout: resolves to undefined when it comes true', async () => {
      const handle = await runtime.start('waits');
      await handle.signal('set', 'other');
      await handle.signal('set', 'go');
      expect(await handle.result()).to.deep.equal({ answer: undefined });
    });

    it('condition comes true before its timeout: true, and the timer is cancelled', async () => {
      const handle = await runtime.start('waits', ['1 hour']);
      await handle.signal('set', 'go');
      expect(await handle.result()).to.deep.equal({ answer: true });
      expect((await eventTypes(handle)).slice(-3)).to.deep.equal([
        'WorkflowTaskCompleted',
        'TimerCanceled',
        'WorkflowExecutionCompleted',
      ]);
    });

    it('timeout before the condition comes true: false', async () => {
      const handle = await runtime.start('waits', ['1 hour']);
      clock.advance(60 * 60 * 1000);
      expect(await handle.result()).to.deep.equal({ answer: false });
      const types = await eventTypes(handle);
      expect(types).to.include('TimerFired');
      expect(types).not.to.include('TimerCanceled');
    });

    it('timeout 0: a timer of 1 ms', async () => {
      const handle = await runtime.start('waits', [0]);
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      clock.advance(1);
      expect(await handle.result()).to.deep.equal({ answer: false });
    });

    it('timeout 0, condition true by then: true', async () => {
      const handle = await runtime.start('waits', [0]);
      await handle.signal('set', 'go');
      expect(await handle.result()).to.deep.equal({ answer: true });
    });

    it('conditions that depend on each other: all that follows from a signal follows in its turn', async () => {
      const handle = await runtime.start('waitsInTurn');
      await handle.signal('set', 'go');
      expect(await handle.result()).to.deep.equal(['already true', 'first', 'second', 'third']);
    });

    it('predicate that throws a failure: the turn fails, as it is no code of main', async () => {
      const handle = await runtime.start('predicateThrows');
      await handle.signal('set', 'go');
      expect((await handle.describe()).pendingTurn).to.include({ message: 'the predicate failed' });
    });
  });

  describe('cancelling', () => {
    it('timer cancelled in the turn that made it: rejects, leaves no event', async () => {
      const handle = await runtime.start('cancelsAtOnce');
      await handle.signal('set', 'finish');
      expect(await handle.result()).to.equal('CancelledFailure: Cancellation scope cancelled');
      expect((await eventTypes(handle)).filter((type) => type.startsWith('Timer'))).to.deep.equal([]);
    });

    it('timer cancelled later: never fires', async () => {
      const handle = await runtime.start('waits', ['1 hour']);
      await handle.signal('set', 'go');
      await handle.result();
      clock.advance(DAY_MS);
      await handle.query('seen');
      expect(await eventTypes(handle)).not.to.include('TimerFired');
    });
  });

  describe('setTimeout', () => {
    it('callbacks: called in time with their arguments, also nested; those that are cleared are not', async () => {
      const handle = await runtime.start('usesTimeouts');
      await handle.signal('set', 'clear');
      for (const [ms, count] of [
        [10_000, 1],
        [5_000, 2],
        [1_000, 3],
      ] as const) {
        clock.advance(ms);
        await eventually(async () => ((await handle.query('seen')) as unknown[]).length === count);
      }
      await handle.signal('set', 'finish');
      expect(await handle.result()).to.deep.equal([['fired', 'a', 2], 'nested outer', 'nested inner']);
      expect((await eventTypes(handle)).filter((type) => type === 'TimerCanceled')).to.have.length(1);
    });
  });

  describe('over a reopen', () => {
    for (const way of ['reopen', 'crash'] as const) {
      it(`timer, then ${way}: keeps its due time`, async () => {
        const handle = await runtime.start('sleeps', [1000]);
        clock.advance(400);
        await runtime[way]();
        const again = runtime.again(handle);
        clock.advance(599);
        await again.signal('set', 'anything');
        expect((await again.describe()).status.name).to.equal('RUNNING');
        clock.advance(1);
        expect(await again.result()).to.equal(1000);
      });

      it(`timer that fell due while the runtime was closed (${way}): fires when it opens`, async () => {
        const handle = await runtime.start('sleeps', ['2 hours']);
        await runtime.close();
        clock.advance(3 * 60 * 60 * 1000);
        await runtime[way]();
        expect(await runtime.again(handle).result()).to.equal(3 * 60 * 60 * 1000);
      });

      it(`timer that was cancelled, then ${way}: does not come back`, async () => {
        const handle = await runtime.start('usesTimeouts');
        await handle.signal('set', 'clear');
        await runtime[way]();
        clock.advance(20_000);
        await eventually(async () => ((await runtime.again(handle).query('seen')) as unknown[]).length === 2);
        expect(await runtime.again(handle).query('seen')).to.deep.equal([['fired', 'a', 2], 'nested outer']);
      });

      it(`timer that has fired, then ${way}: does not fire again`, async () => {
        const handle = await runtime.start('sleepsManyTimes', [[10, 5000]]);
        clock.advance(10);
        await eventually(async () => (await eventTypes(handle)).includes('TimerFired'));
        await runtime[way]();
        const again = runtime.again(handle);
        clock.advance(4990);
        expect(await again.result()).to.deep.equal([10, 5000]);
        expect((await eventTypes(again)).filter((type) => type === 'TimerFired')).to.have.length(2);
      });
    }

    it('timer far beyond what is kept in memory: fires at its time', async () => {
      const handle = await runtime.start('sleeps', ['365 days']);
      await runtime.reopen();
      clock.advance(364 * DAY_MS);
      expect((await runtime.again(handle).describe()).status.name).to.equal('RUNNING');
      clock.advance(DAY_MS);
      // The store is looked through every few minutes for what has become due.
      await eventually(async () => {
        clock.advance(60_000);
        return (await runtime.again(handle).describe()).status.name === 'COMPLETED';
      });
      expect(await runtime.again(handle).result()).to.be.at.least(365 * DAY_MS);
    });
  });
});
