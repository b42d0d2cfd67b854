import { expect } from 'chai';
import {
  ApplicationFailure,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '../../runtime/client/index.js';
import { eventTypes, eventually, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

// semantics.md 1.3, 1.6, 2, 4.7
describe('workflow signals', () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'signals' });
  });
  after(() => runtime.close());

  describe('order', () => {
    it('signals: sent one after another -> handled in that order', async () => {
      const handle = await runtime.start('collects');
      for (const what of ['a', 'b', 'c']) await handle.signal('note', what);
      expect(await handle.query('seen')).to.deep.equal(['a', 'b', 'c']);
    });

    it('signals: a thousand sent without awaiting -> handled in the order of the calls', async () => {
      const handle = await runtime.start('collects');
      const numbers = Array.from({ length: 1000 }, (_, i) => i);
      await Promise.all(numbers.map((n) => handle.signal('note', n)));
      await handle.signal('finish');
      expect(await handle.result()).to.deep.equal(numbers);
    });

    it('signal: several arguments of different kinds -> the handler gets them all', async () => {
      const handle = await runtime.start('collects');
      await handle.signal('note', 1, 'two', { three: [3] }, null, undefined);
      expect(await handle.query('seen')).to.deep.equal([1, 'two', { three: [3] }, null, undefined]);
    });

    it('query after an unawaited signal: sees what the signal did', async () => {
      const handle = await runtime.start('collects');
      const sent = handle.signal('note', 'first');
      expect(await handle.query('seen')).to.deep.equal(['first']);
      await sent;
    });

    it('start, signal and query without awaiting: the handler ran before the query', async () => {
      const workflowId = runtime.newId();
      const started = runtime.client.start('collects', { workflowId, args: [] });
      const handle = runtime.client.getHandle(workflowId);
      const sent = handle.signal('note', 'at once');
      expect(await handle.query('seen')).to.deep.equal(['at once']);
      await Promise.all([started, sent]);
    });
  });

  describe('several messages in one turn', () => {
    it('handlers: two signals -> both begin before either goes on, and before main goes on', async () => {
      const handle = await runtime.start('interleaves');
      await Promise.all([handle.signal('note', 1), handle.signal('other', 2)]);
      expect(await handle.query('seen')).to.deep.equal([
        'note 1 begins',
        'other 2 begins',
        'note 1 goes on',
        'main goes on',
        'other 2 goes on',
      ]);
    });

    it('handlers: an update sent before a signal -> the signal handler begins first', async () => {
      const handle = await runtime.start('interleaves');
      const update = handle.executeUpdate('update', { args: ['u'] });
      const signal = handle.signal('note', 's');
      expect(await update).to.equal('u done');
      await signal;
      const seen = (await handle.query('seen')) as string[];
      expect(seen.slice(0, 2)).to.deep.equal(['note s begins', 'update u begins']);
    });

    it('main: waits for a condition -> goes on after the handlers of the same turn have begun', async () => {
      const handle = await runtime.start('interleaves');
      await Promise.all([handle.signal('note', 1), handle.signal('note', 2), handle.signal('note', 3)]);
      const seen = (await handle.query('seen')) as string[];
      expect(seen.slice(0, 3)).to.deep.equal(['note 1 begins', 'note 2 begins', 'note 3 begins']);
      expect(seen.indexOf('main goes on')).to.be.greaterThan(2);
    });

    it('order within a turn: after a crash -> replay gives the same', async () => {
      const own = await TestRuntime.open({ workflows: 'signals' });
      const handle = await own.start('interleaves');
      const update = handle.executeUpdate('update', { args: [0] });
      await Promise.all([
        handle.signal('note', 1),
        handle.signal('other', 2),
        handle.signal('note', 3),
        update,
      ]);
      const seen = await handle.query('seen');
      await own.crash();
      expect(await own.again(handle).query('seen')).to.deep.equal(seen);
      await own.close();
    });
  });

  describe('buffering', () => {
    it('signals without a handler: kept, and delivered in order when the handler is set', async () => {
      const handle = await runtime.start('handlesLate');
      for (const what of [1, 2, 3]) await handle.signal('note', what);
      expect(await handle.query('seen')).to.deep.equal([]);
      await handle.signal('go');
      await handle.signal('note', 4);
      expect(await handle.query('seen')).to.deep.equal([1, 2, 3, 4]);
    });

    it('signals without a handler: still there after a crash', async () => {
      const own = await TestRuntime.open({ workflows: 'signals' });
      const handle = await own.start('handlesLate');
      await handle.signal('note', 'kept');
      await own.crash();
      await own.again(handle).signal('go');
      expect(await own.again(handle).query('seen')).to.deep.equal(['kept']);
      await own.close();
    });

    it('signal before the first turn: its handler begins inside setHandler, ahead of main', async () => {
      const handle = await runtime.client.signalWithStart('notesAround', {
        workflowId: runtime.newId(),
        args: [],
        signal: 'note',
        signalArgs: ['x'],
      });
      expect(await handle.query('seen')).to.deep.equal([
        'before setHandler',
        'handler begins with x',
        'after setHandler',
        'handler goes on with x',
        'main goes on',
      ]);
    });

    it('handler that removes itself: gets one of the signals that wait, each time it is set', async () => {
      const handle = await runtime.start('takesOne');
      await Promise.all([1, 2, 3].map((n) => handle.signal('note', n)));
      await handle.signal('go');
      expect(await handle.query('seen')).to.deep.equal([1]);
      await handle.signal('go');
      await handle.signal('go');
      expect(await handle.query('seen')).to.deep.equal([1, 2, 3]);
    });
  });

  describe('handlers', () => {
    it('default handler: gets the name and the arguments of signals without a handler, those that waited first', async () => {
      const handle = await runtime.start('takesAny');
      await handle.signal('unheardOf', 1, 'a');
      await handle.signal('note', 'mine');
      await handle.signal('go');
      await handle.signal('another');
      expect(await handle.query('seen')).to.deep.equal([
        ['own handler', 'mine'],
        ['unheardOf', 1, 'a'],
        ['another'],
      ]);
    });

    it('handler: set again -> the new one gets what comes from then on', async () => {
      const handle = await runtime.start('exchanges');
      await handle.signal('note', 1);
      await handle.signal('later', 'second');
      await handle.signal('note', 2);
      expect(await handle.query('seen')).to.deep.equal(['first: 1', 'second: 2']);
    });

    it('handler: removed -> signals wait until there is one again', async () => {
      const handle = await runtime.start('exchanges');
      await handle.signal('later', '');
      await handle.signal('note', 1);
      await handle.signal('note', 2);
      expect(await handle.query('seen')).to.deep.equal([]);
      await handle.signal('later', 'third');
      expect(await handle.query('seen')).to.deep.equal(['third: 1', 'third: 2']);
    });

    it('async handler: waits for a timer and a condition -> goes on when they come, main can wait for it', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'signals', clock });
      const handle = await own.start('waitsInHandler');
      await Promise.all([handle.signal('note', 'a'), handle.signal('finish')]);
      clock.advance(60_000);
      await eventually(async () => ((await handle.query('seen')) as string[]).includes('a slept'));
      await handle.signal('later', 'a');
      expect(await handle.result()).to.deep.equal(['a slept', 'a allowed']);
      await own.close();
    });
  });

  describe('errors', () => {
    it('handler throws a failure: the workflow fails with it', async () => {
      const handle = await runtime.start('throws');
      await handle.signal('failure');
      const error = (await rejection(handle.result())) as WorkflowFailedError;
      expect(error).to.be.instanceOf(WorkflowFailedError);
      expect(error.message).to.equal('Workflow execution failed');
      const cause = error.cause as ApplicationFailure;
      expect(cause).to.be.instanceOf(ApplicationFailure);
      expect(cause).to.include({ message: 'meant to fail', type: 'Meant', nonRetryable: true });
      expect(cause.details).to.deep.equal([{ code: 7 }]);
    });

    for (const bug of ['bug', 'lateBug']) {
      it(`handler has a ${bug}: the signal is taken, the turn fails and is tried again, describe() tells of it`, async () => {
        const clock = new ManualClock();
        const own = await TestRuntime.open({ workflows: 'signals', clock });
        const handle = await own.start('throws');
        await handle.signal('note', 'before');
        await handle.signal(bug);
        const { status, pendingTurn } = await handle.describe();
        expect(status.name).to.equal('RUNNING');
        expect(pendingTurn).to.include({ cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE', attempt: 1 });
        expect(pendingTurn?.message).to.match(/^a bug /);
        expect(pendingTurn?.nextAttemptTime).to.deep.equal(new Date(clock.now() + 200));
        clock.advance(200);
        const again = await eventually(async () => {
          const turn = (await handle.describe()).pendingTurn;
          return turn?.attempt === 2 && turn;
        });
        // The delay doubles.
        expect(again.nextAttemptTime).to.deep.equal(new Date(clock.now() + 400));
        expect(again.since).to.deep.equal(pendingTurn?.since);
        // What the failed turn did to the state is gone.
        expect(await handle.query('seen')).to.deep.equal(['before']);
        await own.close();
      });
    }

    it('handler has a bug: one failed task in the history however often it was tried', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'signals', clock });
      const handle = await own.start('throws');
      await handle.signal('bug');
      clock.advance(200);
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 2);
      expect((await eventTypes(handle)).slice(4)).to.deep.equal([
        'WorkflowExecutionSignaled',
        'WorkflowTaskScheduled',
        'WorkflowTaskStarted',
        'WorkflowTaskFailed',
      ]);
      await own.close();
    });

    it('signals to a workflow whose turn fails: kept, and handled when the code is mended', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'signals', clock });
      const handle = await own.start('throws');
      await handle.signal('bug');
      await handle.signal('note', 'after the bug');
      await own.reopen({ workflows: 'signals-mended' });
      const turn = await eventually(async () => (await own.again(handle).describe()).pendingTurn);
      expect(turn.message).to.equal('a bug in the handler');
      clock.advance(200);
      await eventually(async () => (await own.again(handle).describe()).pendingTurn === undefined);
      expect(await own.again(handle).query('seen')).to.deep.equal(['mended', 'after the bug']);
      await own.again(handle).signal('finish');
      expect(await own.again(handle).result()).to.deep.equal(['mended', 'after the bug']);
      await own.close();
    });

    it('messages behind one that fails the turn, all unawaited: the query is answered, the signals are kept', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'signals', clock });
      const handle = await own.start('throws');
      await handle.signal('note', 1);
      const bug = handle.signal('bug');
      const query = handle.query('seen');
      const note = handle.signal('note', 2);
      // The state before the turn that failed: the last that there is.
      expect(await query).to.deep.equal([1]);
      await Promise.all([bug, note]);
      const { pendingTurn } = await handle.describe();
      expect(pendingTurn).to.include({
        cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE',
        message: 'a bug in the handler',
      });
      expect((await eventTypes(handle)).filter((type) => type === 'WorkflowTaskFailed')).to.have.length(1);
      await own.reopen({ workflows: 'signals-mended' });
      await eventually(async () => (await own.again(handle).describe()).pendingTurn);
      await own.again(handle).signal('finish');
      clock.advance(200);
      await eventually(async () => (await own.again(handle).describe()).status.name === 'COMPLETED');
      expect(await own.again(handle).result()).to.deep.equal([1, 'mended', 2]);
      await own.close();
    });

    it('signal to a closed execution: WorkflowNotFoundError', async () => {
      const handle = await runtime.start('collects');
      await handle.signal('finish');
      await handle.result();
      const error = (await rejection(handle.signal('note', 1))) as WorkflowNotFoundError;
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
      expect(error.name).to.equal('WorkflowNotFoundError');
      expect(error.message).to.equal('workflow execution already completed');
      expect(error.workflowId).to.equal(handle.workflowId);
    });

    it('signal to an id that was never used: WorkflowNotFoundError', async () => {
      const error = await rejection(runtime.client.getHandle('never-started').signal('note', 1));
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
      expect(error.message).to.equal('workflow not found for ID: never-started');
    });

    it('signals in the turn that closes the execution: handled, as they came before its end', async () => {
      const handle = await runtime.start('collects');
      await Promise.all([handle.signal('finish'), handle.signal('note', 'just in time')]);
      expect(await handle.result()).to.deep.equal(['just in time']);
    });
  });

  describe('request ids', () => {
    it('signal with a request id: sent again -> it has no second effect, and the caller is told', async () => {
      const handle = await runtime.start('collects');
      const send = () => handle.signalWithOptions('note', { args: ['once'], requestId: 'r1' });
      expect(await Promise.all([send(), send()])).to.deep.equal([{ duplicate: false }, { duplicate: true }]);
      expect(await send()).to.deep.equal({ duplicate: true });
      expect(await handle.signalWithOptions('note', { args: ['other'], requestId: 'r2' })).to.deep.equal({
        duplicate: false,
      });
      expect(await handle.query('seen')).to.deep.equal(['once', 'other']);
    });

    it('signal with a request id: the same id to another execution -> has its effect there', async () => {
      const [one, two] = [await runtime.start('collects'), await runtime.start('collects')];
      await one.signalWithOptions('note', { args: [1], requestId: 'same' });
      expect(await two.signalWithOptions('note', { args: [2], requestId: 'same' })).to.deep.equal({
        duplicate: false,
      });
      expect(await two.query('seen')).to.deep.equal([2]);
    });

    for (const way of ['reopen', 'crash'] as const) {
      it(`signal with a request id: sent again after a ${way} -> no second effect`, async () => {
        const own = await TestRuntime.open({ workflows: 'signals' });
        const handle = await own.start('collects');
        await handle.signalWithOptions('note', { args: ['once'], requestId: 'r1' });
        await own[way]();
        const again = own.again(handle);
        expect(await again.signalWithOptions('note', { args: ['once'], requestId: 'r1' })).to.deep.equal({
          duplicate: true,
        });
        expect(await again.query('seen')).to.deep.equal(['once']);
        await own.close();
      });
    }

    it('signal with a request id, whose turn failed: sent again -> no second effect', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'signals', clock });
      const handle = await own.start('throws');
      await handle.signalWithOptions('bug', { requestId: 'r1' });
      expect(await handle.signalWithOptions('bug', { requestId: 'r1' })).to.deep.equal({ duplicate: true });
      await own.reopen({ workflows: 'signals-mended' });
      expect(await own.again(handle).signalWithOptions('bug', { requestId: 'r1' })).to.deep.equal({
        duplicate: true,
      });
      clock.advance(200);
      await eventually(async () => ((await own.again(handle).query('seen')) as unknown[]).length === 1);
      await own.close();
    });
  });

  describe('signalWithStart', () => {
    const signalWithStart = (workflowId: string, what: unknown, options = {}) =>
      runtime.client.signalWithStart('collects', {
        workflowId,
        args: [],
        signal: 'note',
        signalArgs: [what],
        ...options,
      });

    it('id not in use: starts the execution and signals it', async () => {
      const handle = await signalWithStart(runtime.newId(), 'hello');
      expect(await handle.query('seen')).to.deep.equal(['hello']);
      expect((await handle.describe()).runId).to.equal(handle.signaledRunId);
      expect((await eventTypes(handle)).slice(0, 3)).to.deep.equal([
        'WorkflowExecutionStarted',
        'WorkflowExecutionSignaled',
        'WorkflowTaskScheduled',
      ]);
    });

    it('execution open: signals it', async () => {
      const first = await runtime.start('collects');
      await first.signal('note', 1);
      const handle = await signalWithStart(first.workflowId, 2);
      expect(handle.signaledRunId).to.equal((await first.describe()).runId);
      expect(await handle.query('seen')).to.deep.equal([1, 2]);
    });

    it('execution closed: starts another', async () => {
      const first = await runtime.start('collects');
      await first.signal('finish');
      await first.result();
      const handle = await signalWithStart(first.workflowId, 'again');
      expect(handle.signaledRunId).not.to.equal(
        (first as unknown as { firstExecutionRunId: string }).firstExecutionRunId,
      );
      expect(await handle.query('seen')).to.deep.equal(['again']);
    });

    it('execution closed, reuse refused: WorkflowExecutionAlreadyStartedError', async () => {
      const first = await runtime.start('collects');
      await first.signal('finish');
      await first.result();
      const error = await rejection(
        signalWithStart(first.workflowId, 1, { workflowIdReusePolicy: 'REJECT_DUPLICATE' }),
      );
      expect(error).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
    });

    it('execution open, conflict policy FAIL: refused, nothing signalled', async () => {
      const first = await runtime.start('collects');
      const error = await rejection(
        signalWithStart(first.workflowId, 1, { workflowIdConflictPolicy: 'FAIL' }),
      );
      expect(error).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
      expect(await first.query('seen')).to.deep.equal([]);
    });

    it('execution open, conflict policy TERMINATE_EXISTING: ends it and starts another', async () => {
      const first = await runtime.start('collects');
      const handle = await signalWithStart(first.workflowId, 'new', {
        workflowIdConflictPolicy: 'TERMINATE_EXISTING',
      });
      expect(await handle.query('seen')).to.deep.equal(['new']);
      const { message } = await rejection(first.result());
      expect(message).to.match(/TerminateIfRunning/);
    });

    it('two at once for an id not in use: one execution, two signals', async () => {
      const workflowId = runtime.newId();
      const [one, two] = await Promise.all([signalWithStart(workflowId, 1), signalWithStart(workflowId, 2)]);
      expect(one.signaledRunId).to.equal(two.signaledRunId);
      expect(await one.query('seen')).to.deep.equal([1, 2]);
    });
  });
});
