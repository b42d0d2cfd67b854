import { expect } from 'chai';
import { eventually, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

// semantics.md 2.3, 2.5, 2.6, 6, 8
describe('workflow handlers', () => {
  let runtime: TestRuntime;
  const clock = new ManualClock();
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'handlers', clock });
  });
  after(() => runtime.close());

  describe('setting', () => {
    it('handlers that are no functions, reserved names: refused by name; null and undefined: remove', async () => {
      const notAFunction = (type: string) =>
        `TypeError: Expected handler to be either a function or 'undefined'. Got: '${type}'`;
      expect(await (await runtime.start('setsBadly')).result()).to.deep.equal({
        'signal, text': notAFunction('string'),
        'query, number': notAFunction('number'),
        'update, object': notAFunction('object'),
        'unknown kind': 'TypeError: Invalid definition type: message',
        'reserved prefix':
          "TypeError: Cannot use signal name: '__temporal_mine', with reserved prefix: '__temporal_'",
        'reserved name': "TypeError: Cannot use query name: '__stack_trace', which is a reserved name",
        'default signal, text': notAFunction('string'),
        'default update, number': notAFunction('number'),
        'default query, null': notAFunction('object'),
        'default signal, null': 'fine',
        'default update, null': 'fine',
        'default query, undefined': 'fine',
        'signal, null': 'fine',
      });
    });

    it('handler set while the module is evaluated: is there before main begins', async () => {
      const options = { workflowId: runtime.newId(), args: [], signal: 'early', signalArgs: ['first'] };
      const handle = await runtime.client.signalWithStart('beginsLate', options);
      expect(await handle.result()).to.deep.equal(['first']);
      expect(await handle.query('early signals')).to.deep.equal(['first']);
    });
  });

  describe('reserved names', () => {
    it('with default handlers: queries and updates are refused', async () => {
      const handle = await runtime.start('takesAny');
      const query = await rejection(handle.query('__temporal_unheardOf'));
      expect(query.message).to.equal(
        "Cannot use query name: '__temporal_unheardOf', with reserved prefix: '__temporal_'",
      );
      const update = await rejection(handle.executeUpdate('__temporal_unheardOf'));
      expect((update.cause as Error).message).to.equal(
        "Cannot use update name: '__temporal_unheardOf', with reserved prefix: '__temporal_'",
      );
      expect(await handle.executeUpdate('anything')).to.equal('anything');
    });

    it('signal with a default handler: the turn fails, until the run is terminated', async () => {
      const handle = await runtime.start('takesAny');
      await handle.signal('__temporal_unheardOf');
      const { pendingTurn } = await handle.describe();
      expect(pendingTurn?.message).to.equal(
        "Cannot use signal name: '__temporal_unheardOf', with reserved prefix: '__temporal_'",
      );
      await handle.terminate();
      expect((await handle.describe()).status.name).to.equal('TERMINATED');
    });

    it('signal without a default handler: waits like any other, and does no harm', async () => {
      const handle = await runtime.start('takesOnlyItsOwn');
      await handle.signal('__temporal_unheardOf');
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
      // A signal that waits for a handler is no handler that runs.
      expect(await handle.query('finished handlers')).to.equal(true);
      await handle.signal('finish');
      await handle.result();
    });
  });

  describe('allHandlersFinished', () => {
    it('false while a signal or update handler runs, true when all have ended', async () => {
      const handle = await runtime.start('counts');
      const isFinished = () => handle.query('all finished');
      expect(await isFinished()).to.equal(true);
      await handle.signal('signal', 'a');
      expect(await isFinished()).to.equal(false);
      const update = await handle.startUpdate('update', { args: ['b'], waitForStage: 'ACCEPTED' });
      await handle.signal('open', 'a');
      expect(await isFinished()).to.equal(false);
      await handle.signal('open', 'b');
      await update.result();
      expect(await isFinished()).to.equal(true);
    });

    it('true after a handler failed', async () => {
      const handle = await runtime.start('counts');
      await rejection(handle.executeUpdate('fails'));
      expect(await handle.query('all finished')).to.equal(true);
    });
  });

  it('handlers with a lock of their own: one after the other, in the order of the calls', async () => {
    const handle = await runtime.start('takesTurns');
    const work = (label: string) => handle.startUpdate('work', { args: [label], waitForStage: 'ACCEPTED' });
    const updates = await Promise.all(['a', 'b', 'c'].map(work));
    for (const count of [3, 5, 6]) {
      clock.advance(10);
      await eventually(async () => ((await handle.query('seen')) as string[]).length === count);
    }
    await Promise.all(updates.map((update) => update.result()));
    expect(await handle.query('seen')).to.deep.equal([
      'a begins',
      'a ends',
      'b begins',
      'b ends',
      'c begins',
      'c ends',
    ]);
  });
});
