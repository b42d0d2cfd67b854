import { expect } from 'chai';
import { cancelled } from '../../runtime/activities/index.js';
import {
  CancelledFailure,
  TerminatedFailure,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '../../runtime/client/index.js';
import { eventTypes, type Handle, ManualClock, rejection, TASK, TestRuntime } from '../support/runtime.js';

// semantics.md 9, 11
describe('workflow cancellation', () => {
  const clock = new ManualClock();
  const noted: string[] = [];
  const activities = {
    hold: () => cancelled(),
    note: async (what: string) => void noted.push(what),
  };
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'cancellation', activities, clock });
  });
  after(() => runtime.close());

  async function failureOf(handle: Handle): Promise<WorkflowFailedError> {
    const error = (await rejection(handle.result())) as WorkflowFailedError;
    expect(error).to.be.instanceOf(WorkflowFailedError);
    return error;
  }

  async function expectCancelled(handle: Handle): Promise<void> {
    const error = await failureOf(handle);
    expect(error.message).to.equal('Workflow execution cancelled');
    expect(error.cause).to.be.instanceOf(CancelledFailure);
    expect(error.cause?.message).to.equal('Workflow canceled');
    expect((await handle.describe()).status).to.deep.equal({ code: 4, name: 'CANCELLED' });
  }

  describe('cancel()', () => {
    for (const how of ['sleep', 'condition', 'condition with timeout', 'activity', 'trigger', 'all']) {
      it(`workflow waits (${how}): ends as cancelled`, async () => {
        const handle = await runtime.start('waits', [how]);
        await handle.cancel();
        await expectCancelled(handle);
      });
    }

    it('history: the request, and the timer that it cancelled', async () => {
      const handle = await runtime.start('waits', ['sleep']);
      await handle.cancel();
      await handle.result().catch(() => undefined);
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'TimerStarted',
        'WorkflowExecutionCancelRequested',
        ...TASK,
        'TimerCanceled',
        'WorkflowExecutionCanceled',
      ]);
    });

    it('request with the start: main runs in a cancelled scope, and starts nothing', async () => {
      const workflowId = runtime.newId();
      const started = runtime.client.start('waits', { workflowId, args: ['sleep'] });
      const handle = runtime.client.getHandle(workflowId);
      await Promise.all([started, handle.cancel()]);
      await expectCancelled(handle);
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        'WorkflowExecutionCancelRequested',
        ...TASK,
        'WorkflowExecutionCanceled',
      ]);
    });

    it('workflow that catches it, cleans up and lets it out: cancelled after the cleaning up', async () => {
      const handle = await runtime.start('cleansUp', ['rethrow']);
      await handle.cancel();
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      clock.advance(60_000);
      await expectCancelled(handle);
      expect(noted).to.deep.equal(['cleaned up']);
    });

    it('workflow that catches it and returns: completed; all else in its root scope stays cancelled', async () => {
      const handle = await runtime.start('cleansUp', ['return']);
      await handle.cancel();
      clock.advance(60_000);
      expect(await handle.result()).to.deep.equal({
        isCancellation: true,
        error: 'CancelledFailure: Workflow cancelled',
        later: 'CancelledFailure: Workflow cancelled',
      });
    });

    it('workflow that shields itself: goes on, and completes', async () => {
      const handle = await runtime.start('ignores');
      await handle.cancel();
      await handle.cancel();
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      await handle.signal('set', 'finish');
      expect(await handle.result()).to.equal('asked to cancel, did not');
    });

    it('cancellation that nobody asked for: the workflow fails with it', async () => {
      const handle = await runtime.start('cancelsItself');
      const error = await failureOf(handle);
      expect(error.message).to.equal('Workflow execution failed');
      expect(error.cause).to.be.instanceOf(CancelledFailure);
      expect((await handle.describe()).status.name).to.equal('FAILED');
    });

    it('cancellation that leaves a signal handler after a request: the workflow ends as cancelled', async () => {
      const handle = await runtime.start('handlerLetsItOut');
      await handle.signal('wait');
      await handle.cancel();
      await expectCancelled(handle);
    });

    it('cancel of a closed or unknown execution: WorkflowNotFoundError', async () => {
      const handle = await runtime.start('waits', ['nothing']);
      await handle.result();
      const closed = await rejection(handle.cancel());
      expect(closed).to.be.instanceOf(WorkflowNotFoundError);
      expect(closed.message).to.equal('workflow execution already completed');
      expect(await rejection(runtime.client.getHandle('never-started').cancel())).to.be.instanceOf(
        WorkflowNotFoundError,
      );
    });

    it('cancel request, then a crash: it is not forgotten', async () => {
      const handle = await runtime.start('cleansUp', ['rethrow']);
      await handle.cancel();
      await runtime.crash();
      clock.advance(60_000);
      await expectCancelled(runtime.again(handle));
    });
  });

  describe('scopes', () => {
    it('scope cancelled: what waits in it rejects, nothing else', async () => {
      const handle = await runtime.start('scopes');
      await handle.signal('cancelInner');
      expect(await handle.query('seen')).to.deep.equal(['inner']);
      await handle.signal('cancelOuter');
      expect(await handle.query('seen')).to.deep.equal(['inner', 'outer']);
      await handle.signal('set', 'open');
      expect(await handle.result()).to.deep.equal({
        inner: 'CancelledFailure: Cancellation scope cancelled',
        outer: 'CancelledFailure: Cancellation scope cancelled',
        outside: 'undefined',
        shielded: 'opened',
        'inside the shield': 'undefined',
      });
    });

    it('outer scope cancelled: inner ones with it, shielded ones not', async () => {
      const handle = await runtime.start('scopes');
      await handle.signal('cancelOuter');
      expect(((await handle.query('seen')) as string[]).sort()).to.deep.equal(['inner', 'outer']);
    });

    it('a request: reaches inner scopes through promises, not in the same call', async () => {
      const handle = await runtime.start('travels');
      const cancelled = 'CancelledFailure: Cancellation scope cancelled';
      expect(await handle.result()).to.deep.equal([
        ...[false, false],
        ...[true, false],
        ...[true, cancelled, cancelled],
        ...[true, cancelled],
        ...[false, 'shielded'],
      ]);
    });

    it('scope that is done before its parent is cancelled: counts as cancelled from then on', async () => {
      const handle = await runtime.start('endedBefore');
      expect(await handle.result()).to.deep.equal([
        false,
        true,
        'CancelledFailure: Cancellation scope cancelled',
      ]);
    });

    it('withTimeout, work done in time: its result, and the timer is cancelled', async () => {
      const handle = await runtime.start('limited', [1000, 10]);
      clock.advance(10);
      expect(await handle.result()).to.equal('done in time');
      expect((await eventTypes(handle)).filter((type) => type.startsWith('Timer'))).to.deep.equal([
        'TimerStarted',
        'TimerStarted',
        'TimerFired',
        'TimerCanceled',
      ]);
    });

    it('withTimeout, time is up: the work is cancelled', async () => {
      const handle = await runtime.start('limited', [10, 1000]);
      clock.advance(10);
      expect(await handle.result()).to.equal('CancelledFailure: Cancellation scope cancelled');
      expect((await eventTypes(handle)).slice(-2)).to.deep.equal([
        'TimerCanceled',
        'WorkflowExecutionCompleted',
      ]);
    });

    it('isCancellation: a cancellation, or an activity or child that ended with one', async () => {
      const handle = await runtime.start('classifies');
      expect(await handle.result()).to.deep.equal([true, true, false, true, false, false, false]);
    });
  });

  describe('terminate()', () => {
    for (const [reason, text] of [
      ['out of order', 'out of order'],
      [undefined, 'Workflow execution terminated'],
    ] as const) {
      it(`${reason === undefined ? 'no reason' : 'a reason'}: result() fails with it, the code is not asked`, async () => {
        const handle = await runtime.start('cleansUp', ['rethrow']);
        await handle.terminate(reason);
        const error = await failureOf(handle);
        expect(error.message).to.equal(text);
        expect(error.cause).to.be.instanceOf(TerminatedFailure);
        expect(error.cause?.message).to.equal(text);
        expect((await handle.describe()).status).to.deep.equal({ code: 5, name: 'TERMINATED' });
        expect((await eventTypes(handle)).at(-1)).to.equal('WorkflowExecutionTerminated');
      });
    }

    it('who waits for the result: hears of the termination', async () => {
      const handle = await runtime.start('waits', ['condition']);
      const failed = failureOf(handle);
      await handle.terminate('enough');
      expect((await failed).message).to.equal('enough');
    });

    it('terminated twice: the second finds nothing', async () => {
      const handle = await runtime.start('waits', ['condition']);
      await handle.terminate();
      const error = await rejection(handle.terminate());
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
      expect(error.message).to.equal('workflow execution already completed');
    });

    it('terminated with timers and activities: none of them comes back', async () => {
      const handle = await runtime.start('waits', ['all']);
      await handle.terminate();
      const before = await eventTypes(handle);
      clock.advance(2 * 60 * 60 * 1000);
      await runtime.reopen();
      clock.advance(2 * 60 * 60 * 1000);
      expect(await eventTypes(runtime.again(handle))).to.deep.equal(before);
    });
  });
});
