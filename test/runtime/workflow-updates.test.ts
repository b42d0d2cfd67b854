import { expect } from 'chai';
import {
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateStage,
} from '../../runtime/client/index.js';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  TASK,
  TestRuntime,
} from '../support/runtime.js';

/** The cause of an update's failure, which must come as WorkflowUpdateFailedError. */
async function failureOf(update: Promise<unknown>): Promise<ApplicationFailure> {
  const error = (await rejection(update)) as WorkflowUpdateFailedError;
  expect(error).to.be.instanceOf(WorkflowUpdateFailedError);
  expect(error).to.include({ name: 'WorkflowUpdateFailedError', message: 'Workflow Update failed' });
  return error.cause as ApplicationFailure;
}

// semantics.md 1.9, 3, 7
describe('workflow updates', () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'updates' });
  });
  after(() => runtime.close());

  const started = WorkflowUpdateStage.ACCEPTED;

  describe('results', () => {
    it('synchronous handler: its value is the result, and its effect stays', async () => {
      const handle = await runtime.start('adds');
      expect(await handle.executeUpdate('add', { args: [2] })).to.equal(2);
      expect(await handle.executeUpdate('add', { args: [3] })).to.equal(5);
      expect(await handle.query('total')).to.equal(5);
    });

    it('handler without a value: undefined', async () => {
      const handle = await runtime.start('adds');
      expect(await handle.executeUpdate('nothing')).to.equal(undefined);
    });

    it('async handler: the call waits until it is done', async () => {
      const handle = await runtime.start('adds');
      const update = handle.executeUpdate('addAtGate', { args: [7, 'g'] });
      await handle.signal('open', 'g');
      expect(await update).to.equal(7);
    });

    it('updates without awaiting: handled in the order of the calls', async () => {
      const handle = await runtime.start('adds');
      const numbers = Array.from({ length: 100 }, (_, i) => i + 1);
      const totals = await Promise.all(numbers.map((n) => handle.executeUpdate('add', { args: [n] })));
      expect(totals).to.deep.equal(numbers.map((n) => (n * (n + 1)) / 2));
    });

    it('startUpdate to ACCEPTED: returns while the handler waits, the handle gives the result', async () => {
      const handle = await runtime.start('adds');
      const update = await handle.startUpdate('addAtGate', {
        args: [1, 'g'],
        waitForStage: started,
        updateId: 'u1',
      });
      expect(update.updateId).to.equal('u1');
      expect(update.workflowId).to.equal(handle.workflowId);
      expect(update.workflowRunId).to.equal((await handle.describe()).runId);
      expect(await handle.query('total')).to.equal(0);
      await handle.signal('open', 'g');
      expect(await update.result()).to.equal(1);
    });

    it('startUpdate to COMPLETED: returns when it is done', async () => {
      const handle = await runtime.start('adds');
      const update = await handle.startUpdate('add', {
        args: [1],
        waitForStage: WorkflowUpdateStage.COMPLETED,
      });
      expect(await update.result()).to.equal(1);
    });

    it('getUpdateHandle: gives the result of an update under way, and of one that is done', async () => {
      const handle = await runtime.start('adds');
      await handle.startUpdate('addAtGate', { args: [1, 'g'], waitForStage: started, updateId: 'u1' });
      const result = handle.getUpdateHandle('u1').result();
      await handle.signal('open', 'g');
      expect(await result).to.equal(1);
      expect(await handle.getUpdateHandle('u1').result()).to.equal(1);
    });

    it('getUpdateHandle: works for ids that the client made up', async () => {
      const handle = await runtime.start('adds');
      const { updateId } = await handle.startUpdate('add', { args: [4], waitForStage: started });
      expect(updateId).to.match(/^[0-9a-f-]{36}$/);
      expect(await handle.getUpdateHandle(updateId).result()).to.equal(4);
    });

    it('getUpdateHandle: an id that was never sent -> WorkflowNotFoundError from result()', async () => {
      const handle = await runtime.start('adds');
      expect(await rejection(handle.getUpdateHandle('nobody').result())).to.be.instanceOf(
        WorkflowNotFoundError,
      );
    });
  });

  describe('validators', () => {
    const cases: [what: unknown, type: string, message: string, nonRetryable: boolean][] = [
      ['ten', 'TypeError', 'not a number: ten', false],
      [-1, 'Negative', 'must not be negative', true],
      [1000, 'TooMuch', 'too much', false],
    ];
    for (const [what, type, message, nonRetryable] of cases) {
      it(`validator throws ${type}: rejected with an ApplicationFailure of that type`, async () => {
        const handle = await runtime.start('adds');
        const cause = await failureOf(handle.executeUpdate('add', { args: [what] }));
        expect(cause).to.be.instanceOf(ApplicationFailure);
        expect(cause).to.include({ type, message, nonRetryable });
      });
    }

    it('validator throws something that is no error: rejected with its text', async () => {
      const handle = await runtime.start('adds');
      const cause = await failureOf(handle.executeUpdate('add', { args: [0] }));
      expect(cause).to.be.instanceOf(ApplicationFailure);
      expect(cause.message).to.match(/^"nothing to add" \[A non-Error value was thrown from your code\./);
    });

    it('validator throws: the cause of its error comes along', async () => {
      const handle = await runtime.start('adds');
      const cause = await failureOf(handle.executeUpdate('add', { args: [1000] }));
      expect(cause.cause?.message).to.equal('limit is 999');
    });

    it('validator throws: the handler does not run, and nothing is added to the history', async () => {
      const handle = await runtime.start('adds');
      const before = await handle.fetchHistory();
      await failureOf(handle.executeUpdate('add', { args: [-1], updateId: 'u1' }));
      await failureOf(handle.executeUpdate('add', { args: [-2] }));
      expect(await handle.query('runs')).to.equal(0);
      expect(await handle.fetchHistory()).to.deep.equal(before);
    });

    it('validator throws: startUpdate gives a handle whose result fails', async () => {
      const handle = await runtime.start('adds');
      const update = await handle.startUpdate('add', { args: [-1], waitForStage: started });
      expect((await failureOf(update.result())).message).to.equal('must not be negative');
    });

    it('rejected update: its id is free again', async () => {
      const handle = await runtime.start('adds');
      await failureOf(handle.executeUpdate('add', { args: [-1], updateId: 'u1' }));
      expect(await handle.executeUpdate('add', { args: [1], updateId: 'u1' })).to.equal(1);
    });

    it('rejected and accepted updates in one turn: only the accepted ones leave events', async () => {
      const handle = await runtime.start('adds');
      const update = (n: number) => handle.executeUpdate('add', { args: [n] });
      const [one, bad, two] = await Promise.allSettled([update(1), update(-1), update(2)]);
      expect([one.status, bad.status, two.status]).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
      expect((await eventTypes(handle)).slice(4)).to.deep.equal([
        ...TASK,
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
        'WorkflowExecutionUpdateCompleted',
      ]);
    });

    it('validator that changes its arguments: the handler does not see it', async () => {
      const handle = await runtime.start('changesArguments');
      expect(await handle.executeUpdate('change', { args: [{ list: [1] }] })).to.deep.equal({ list: [1] });
    });

    it('validator that is async: refused, as it could not decide in time; nothing is left of it', async () => {
      const handle = await runtime.start('validatesLate');
      for (const name of ['throws', 'waits', 'agrees']) {
        const cause = await failureOf(handle.executeUpdate(name));
        expect(cause.message).to.equal('Update validators should not return a Promise');
      }
      expect(await handle.executeUpdate('other')).to.equal('taken');
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
    });

    it('validator: not called on replay', async () => {
      const own = await TestRuntime.open({ workflows: 'updates' });
      const handle = await own.start('refusesOnReplay');
      expect(await handle.executeUpdate('count')).to.equal(1);
      await own.crash();
      expect(await own.again(handle).executeUpdate('count')).to.equal(2);
      await own.close();
    });
  });

  describe('without a handler', () => {
    it('update nobody handles: rejected, nothing in the history', async () => {
      const handle = await runtime.start('handlesLate');
      const before = await eventTypes(handle);
      const cause = await failureOf(handle.executeUpdate('add', { args: [1] }));
      expect(cause).to.be.instanceOf(ApplicationFailure);
      expect(cause).to.include({
        message: 'No registered handler for update: add',
        type: 'Error',
        nonRetryable: true,
      });
      expect(await eventTypes(handle)).to.deep.equal(before);
    });

    it('handler set later in the same turn: the update is taken', async () => {
      const handle = await runtime.start('handlesLate');
      const update = handle.executeUpdate('add', { args: [1] });
      await handle.signal('go', 'now');
      expect(await update).to.equal(2);
    });

    it('handler set after a timer: too late, the update is rejected', async () => {
      const handle = await runtime.start('handlesLate');
      const update = failureOf(handle.executeUpdate('add', { args: [1] }));
      await handle.signal('go', 'after a timer');
      expect((await update).message).to.equal('No registered handler for update: add');
    });

    it('updates with the start: taken inside setHandler, all accepted before any goes on', async () => {
      const workflowId = runtime.newId();
      const begun = runtime.client.start('notesAround', { workflowId, args: [] });
      const handle = runtime.client.getHandle(workflowId) as Handle;
      const note = (what: string) => handle.executeUpdate('note', { args: [what] });
      expect(await Promise.all([note('a'), note('b')])).to.deep.equal(['a', 'b']);
      await begun;
      expect(await handle.query('seen')).to.deep.equal([
        'before setHandler',
        'a begins',
        'b begins',
        'after setHandler',
        'a goes on',
        'b goes on',
      ]);
    });

    it('default handler: gets name and arguments of updates without a handler of their own', async () => {
      const handle = await runtime.start('takesAny');
      expect(await handle.executeUpdate('unheardOf', { args: [1, 'a'] })).to.deep.equal([
        'unheardOf',
        1,
        'a',
      ]);
      expect(await handle.executeUpdate('add', { args: [1] })).to.equal(2);
      expect((await failureOf(handle.executeUpdate('add', { args: [11] }))).message).to.equal('too much');
    });
  });

  describe('ids', () => {
    it('id of an update under way: the second call gets the result of the first, one run', async () => {
      const handle = await runtime.start('adds');
      const send = () => handle.executeUpdate('addAtGate', { args: [1, 'g'], updateId: 'u1' });
      const both = Promise.all([send(), send()]);
      await handle.signal('open', 'g');
      expect(await both).to.deep.equal([1, 1]);
      expect(await handle.query('runs')).to.equal(1);
    });

    it('id of a completed update: gets its result, does not run again', async () => {
      const handle = await runtime.start('adds');
      const send = () => handle.executeUpdate('add', { args: [5], updateId: 'u1' });
      expect(await send()).to.equal(5);
      await handle.executeUpdate('add', { args: [1] });
      expect(await send()).to.equal(5);
      expect(await handle.query('total')).to.equal(6);
    });

    it('id of a failed update: gets its failure, does not run again', async () => {
      const handle = await runtime.start('fails');
      const send = () => handle.executeUpdate('fail', { args: ['once'], updateId: 'u1' });
      expect((await failureOf(send())).details).to.deep.equal(['once']);
      expect((await failureOf(send())).details).to.deep.equal(['once']);
      expect(
        (await eventTypes(handle)).filter((type) => type === 'WorkflowExecutionUpdateAccepted'),
      ).to.have.length(1);
    });

    it('id of a completed update: still answered after the workflow closed', async () => {
      const handle = await runtime.start('adds');
      await handle.executeUpdate('add', { args: [5], updateId: 'u1' });
      await handle.signal('finish');
      await handle.result();
      expect(await handle.executeUpdate('add', { args: [5], updateId: 'u1' })).to.equal(5);
      expect(await handle.getUpdateHandle('u1').result()).to.equal(5);
    });

    it('same id to two executions: two updates', async () => {
      const [one, two] = [await runtime.start('adds'), await runtime.start('adds')];
      await one.executeUpdate('add', { args: [1], updateId: 'same' });
      expect(await two.executeUpdate('add', { args: [2], updateId: 'same' })).to.equal(2);
    });

    for (const way of ['reopen', 'crash'] as const) {
      it(`update completed, then ${way}: its id gives the same result, it does not run again`, async () => {
        const own = await TestRuntime.open({ workflows: 'updates' });
        const handle = await own.start('adds');
        await handle.executeUpdate('add', { args: [5], updateId: 'u1' });
        await own[way]();
        const again = own.again(handle);
        expect(await again.executeUpdate('add', { args: [5], updateId: 'u1' })).to.equal(5);
        expect(await again.getUpdateHandle('u1').result()).to.equal(5);
        expect(await again.query('total')).to.equal(5);
        await own.close();
      });

      it(`update accepted, then ${way}: it goes on, and finishes`, async () => {
        const clock = new ManualClock();
        const own = await TestRuntime.open({ workflows: 'updates', clock });
        const handle = await own.start('adds');
        await handle.startUpdate('addSlowly', { args: [5], updateId: 'slow', waitForStage: started });
        await handle.startUpdate('addAtGate', { args: [1, 'g'], updateId: 'gate', waitForStage: started });
        await own[way]();
        const again = own.again(handle);
        const slow = again.executeUpdate('addSlowly', { args: [5], updateId: 'slow' });
        const gate = again.getUpdateHandle('gate').result();
        clock.advance(60_000);
        expect(await slow).to.equal(5);
        await again.signal('open', 'g');
        expect(await gate).to.equal(6);
        expect(await again.query('runs')).to.equal(2);
        await own.close();
      });
    }
  });

  describe('failures', () => {
    it('handler throws a failure: accepted, completed with the failure, the workflow goes on', async () => {
      const handle = await runtime.start('fails');
      const cause = await failureOf(handle.executeUpdate('fail', { args: ['now'] }));
      expect(cause).to.be.instanceOf(ApplicationFailure);
      expect(cause).to.include({ message: 'cannot do it', type: 'Cannot' });
      expect(cause.details).to.deep.equal(['now']);
      expect(cause.cause?.message).to.equal('why');
      expect((await eventTypes(handle)).slice(4)).to.deep.equal([
        ...TASK,
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
      ]);
      expect(await handle.query('alive')).to.equal('alive');
    });

    it('handler throws a failure after an await: the same', async () => {
      const handle = await runtime.start('fails');
      const failed = failureOf(handle.executeUpdate('fail', { args: ['later'] }));
      await handle.signal('open', 'fail');
      expect((await failed).message).to.equal('cannot do it');
    });

    it('handler throws a CancelledFailure or another failure: the caller gets that class', async () => {
      const handle = await runtime.start('fails');
      expect(await failureOf(handle.executeUpdate('fail', { args: ['cancelled'] }))).to.be.instanceOf(
        CancelledFailure,
      );
      const timeout = (await failureOf(
        handle.executeUpdate('fail', { args: ['child'] }),
      )) as unknown as TimeoutFailure;
      expect(timeout).to.be.instanceOf(TimeoutFailure);
      expect(timeout.timeoutType).to.equal('HEARTBEAT');
      expect(timeout.lastHeartbeatDetails).to.deep.equal({ last: 1 });
    });

    it('handler has a bug: the turn fails, the update stays unanswered, others wait behind it', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'updates', clock });
      const handle = await own.start('fails');
      const settled: string[] = [];
      const update = rejection(handle.executeUpdate('fail', { args: ['bug'] })).then((error) => {
        settled.push('bug');
        return error;
      });
      const turn = await eventually(async () => (await handle.describe()).pendingTurn);
      expect(turn).to.include({
        cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE',
        message: 'a bug in the handler',
        attempt: 1,
      });
      clock.advance(200);
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 2);
      expect(settled).to.deep.equal([]);
      // The state is what it was before, and can be asked for.
      expect(await handle.query('alive')).to.equal('alive');
      expect(await eventTypes(handle)).not.to.include('WorkflowExecutionUpdateAccepted');
      await own.close();
      // It was never accepted, and the runtime is gone: the caller is told that nothing was done.
      expect((await update).message).to.match(/The runtime is closed/);
    });

    it('workflow is cancelled while a handler waits: the update fails with that', async () => {
      const handle = await runtime.start('isCancelled');
      const update = await handle.startUpdate('sleepLong', { waitForStage: started });
      await handle.cancel();
      const cause = await failureOf(update.result());
      expect(cause).to.be.instanceOf(CancelledFailure);
      expect(cause.message).to.equal('Workflow cancelled');
      expect(await handle.result()).to.equal('survived');
    });
  });

  describe('the end of the workflow', () => {
    const ends: [how: string, end: (handle: Handle) => Promise<void>][] = [
      ['returns', (handle) => handle.signal('finish')],
      ['is terminated', (handle) => handle.terminate()],
    ];
    for (const [how, end] of ends) {
      it(`workflow ${how} while an update runs: AcceptedUpdateCompletedWorkflow, also for who asks later`, async () => {
        const handle = await runtime.start('endsEarly', ['return']);
        const update = await handle.startUpdate('hang', {
          args: ['never'],
          waitForStage: started,
          updateId: 'u1',
        });
        const failed = failureOf(update.result());
        await end(handle);
        for (const cause of [await failed, await failureOf(handle.getUpdateHandle('u1').result())]) {
          expect(cause).to.be.instanceOf(ApplicationFailure);
          expect(cause.type).to.equal('AcceptedUpdateCompletedWorkflow');
          expect(cause.message).to.equal(
            'Workflow Update failed because the Workflow completed before the Update completed.',
          );
        }
      });
    }

    it('update to a closed workflow: WorkflowNotFoundError', async () => {
      const handle = await runtime.start('adds');
      await handle.signal('finish');
      await handle.result();
      const error = await rejection(handle.executeUpdate('add', { args: [1] }));
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
      expect(error.message).to.equal('workflow execution already completed');
    });

    it('update in the turn in which main returns: it still completes', async () => {
      const handle = await runtime.start('endsTogether');
      expect(await handle.executeUpdate('last')).to.equal('in time');
      await handle.result();
      expect((await eventTypes(handle)).slice(-3)).to.deep.equal([
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
        'WorkflowExecutionCompleted',
      ]);
    });

    it('workflow waits for allHandlersFinished: its updates finish first', async () => {
      const handle = await runtime.start('endsEarly', ['wait']);
      const update = await handle.startUpdate('hang', { args: ['g'], waitForStage: started });
      await handle.signal('finish');
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      await handle.signal('open', 'g');
      expect(await update.result()).to.equal('through g');
      expect(await handle.result()).to.equal('ended');
    });
  });

  describe('unfinished handlers', () => {
    async function warnings(how: string): Promise<string[]> {
      const handle = await runtime.start('endsEarly', [how]);
      await handle.startUpdate('hang', { args: ['a'], waitForStage: started, updateId: 'u1' });
      await handle.startUpdate('hang', { args: ['b'], waitForStage: started, updateId: 'u2' });
      await Promise.all([handle.signal('hangToo', 'a'), handle.signal('hangToo', 'b')]);
      await handle.signal('finish');
      await handle.result().catch(() => undefined);
      const lines = runtime.logs.filter(
        ({ level, attributes }) => level === 'WARN' && attributes.workflowId === handle.workflowId,
      );
      return lines.map(({ message }) => message).filter((message) => message.startsWith('[TMPRL1102]'));
    }

    it('workflow returns with handlers running: one warning for updates and one for signals, with their names', async () => {
      const [updates, signals, ...more] = await warnings('return');
      expect(updates).to.match(
        /^\[TMPRL1102\] Workflow finished while an update handler was still running\./,
      );
      expect(updates?.endsWith('[{"name":"hang","id":"u1"},{"name":"hang","id":"u2"}]')).to.equal(true);
      expect(signals).to.match(/^\[TMPRL1102\] Workflow finished while a signal handler was still running\./);
      expect(signals?.endsWith('[{"name":"hangToo","count":2}]')).to.equal(true);
      expect(more).to.deep.equal([]);
    });

    it('workflow fails with handlers running: no warning', async () => {
      expect(await warnings('fail')).to.deep.equal([]);
    });

    it('handlers with the policy ABANDON: no warning', async () => {
      expect(await warnings('silent')).to.deep.equal([]);
    });
  });

  describe('currentUpdateInfo', () => {
    it('in a handler, along all awaits and in what it started: its own id and name; elsewhere undefined', async () => {
      const clock = new ManualClock();
      const own = await TestRuntime.open({ workflows: 'updates', clock });
      const handle = await own.start('asksWhoItIs');
      const updates = [];
      // Two at a time, so that each could be taken for the other.
      for (const label of ['one', 'two']) {
        updates.push(
          handle.startUpdate('who', { args: [label], updateId: `id of ${label}`, waitForStage: started }),
        );
      }
      const handles = await Promise.all(updates);
      await handle.signal('look');
      clock.advance(1);
      await eventually(
        async () => 'two after a timer in a scope' in ((await handle.query('seen')) as object),
      );
      await Promise.all(['main', 'aside', 'two', 'one'].map((gate) => handle.signal('open', gate)));
      await Promise.all(handles.map((update) => update.result()));
      const info = (label: string) => ({ id: `id of ${label}`, name: 'who' });
      const places = ['begins', 'after an await', 'aside', 'after a timer in a scope', 'after a condition'];
      const expected: Record<string, unknown> = {};
      for (const label of ['one', 'two'])
        for (const place of places) expected[`${label} ${place}`] = info(label);
      for (const place of ['main', 'main, later', 'signal', 'signal, later', 'query'])
        expected[place] = undefined;
      expect(await handle.query('seen')).to.deep.equal(expected);
      // And the same again from a replay.
      await own.crash();
      expect(await own.again(handle).query('seen')).to.deep.equal(expected);
      await own.close();
    });
  });
});
