/** How a run continues as new, up to the command (continue-as-new.ts; semantics.md 7.3, 10). */
import { expect } from 'chai';
import { fromFailure } from '../../actors/failures.js';
import { decodePayload } from '../../codec/payload.js';
import { cancel, DrivenSandbox, signalled, updated } from '../support/activation.js';

describe('continue-as-new', () => {
  let driven: DrivenSandbox;
  before(async () => {
    driven = await DrivenSandbox.open('continue-as-new-driven');
  });
  after(() => driven.close());
  // D5: whatever a test drove gives the same commands again.
  afterEach(() => driven.expectReplays());

  describe('from main', () => {
    it('continueAsNew: ends the run with the same type and queue, and with the new arguments', () => {
      const run = driven.start('counter', 1);
      run.turn(signalled('go'));
      const { args, ...command } = run.command('continueAsNew');
      expect(command).to.deep.equal({
        kind: 'continueAsNew',
        workflowType: 'counter',
        taskQueue: 'default',
        runTimeoutMs: undefined,
        taskTimeoutMs: undefined,
        backoffMs: undefined,
        memo: undefined,
        searchAttributes: undefined,
        retry: undefined,
      });
      expect(decodePayload(args)).to.deep.equal([2]);
      expect(run.closed).to.equal(true);
      expect(run.logs()).to.include('Workflow continued as new');
    });

    it('makeContinueAsNewFunc: with all its options, in stored form', () => {
      const options = {
        workflowType: 'other',
        taskQueue: 'queue',
        workflowRunTimeout: '1 hour',
        workflowTaskTimeout: 5_000,
        backoffStartInterval: '1 minute',
        memo: { a: 1 },
        searchAttributes: { B: [2] },
        retry: { maximumAttempts: 4 },
      };
      const command = driven.start('withOptions', options, 'x', 2).command('continueAsNew');
      expect(command).to.deep.include({
        workflowType: 'other',
        taskQueue: 'queue',
        runTimeoutMs: 3_600_000,
        taskTimeoutMs: 5_000,
        backoffMs: 60_000,
      });
      expect(command.retry?.maximumAttempts).to.equal(4);
      expect([command.args, command.memo!, command.searchAttributes!].map(decodePayload)).to.deep.equal([
        ['x', 2],
        { a: 1 },
        { B: [2] },
      ]);
    });

    it('error that is swallowed: the run goes on', () => {
      expect(driven.start('swallows').result).to.equal('ContinueAsNew: Workflow continued as new');
    });

    it('arguments that cannot be stored: the turn fails, and the run stays open', () => {
      const run = driven.run('badArguments');
      const outcome = run.tryTurn();
      expect(outcome)
        .to.have.nested.property('failure.message')
        .that.matches(/^Cannot store arguments of workflow/);
      expect(run.closed).to.equal(false);
    });

    it('commands of the same turn: come before the end, whichever side they were given on', () => {
      expect(driven.start('asksForMore').kinds).to.deep.equal([
        'signalExternal',
        'signalExternal',
        'continueAsNew',
      ]);
    });

    it('request to cancel while it waits: ends as cancelled, not as continued', () => {
      const run = driven.start('counter', 1);
      run.turn(cancel());
      expect(run.kinds).to.deep.equal(['cancelWorkflow']);
    });

    it('query handler or validator that calls it: refused (D6)', () => {
      const run = driven.start('asks');
      expect(() => run.query('again')).to.throw("Query handler 'again' called Workflow.continueAsNew(...).");
      run.turn(updated('u', 'validated'));
      expect(run.rejected[0]?.failure.message).to.match(
        /^Validator of update 'validated' called Workflow\.continueAsNew/,
      );
    });
  });

  describe('from handlers', () => {
    it('signal handler: ends the run', () => {
      const run = driven.start('fromSignal');
      run.turn(signalled('again', 'word'));
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(decodePayload(run.command('continueAsNew').args)).to.deep.equal(['word']);
    });

    const MESSAGE = (name: string) =>
      `Continue-as-New is not supported within update handlers, and the handler of update '${name}' called it. ` +
      'Let the main function do it, after `await condition(allHandlersFinished)`.';

    for (const name of ['at once', 'later', 'thrown']) {
      it(`update handler (${name}): the update fails, and the workflow goes on`, () => {
        const run = driven.start('fromUpdate');
        run.turn(updated('u', name));
        if (name === 'later') run.turn({ kind: 'timerFired', seq: 1 });
        const { failure } = run.command('completeUpdate');
        expect(fromFailure(failure!)).to.deep.include({
          name: 'ApplicationFailure',
          message: MESSAGE(name),
          type: 'ContinueAsNewNotAllowed',
          nonRetryable: true,
        });
        expect(run.kinds).to.not.include('continueAsNew');
        run.turn(signalled('done'));
        expect(run.result).to.equal('went on');
      });
    }

    it('update handler that catches the refusal: completes as it likes', () => {
      const run = driven.start('fromUpdate');
      run.turn(updated('u', 'caught'));
      expect(decodePayload(run.command('completeUpdate').result!)).to.deep.equal({
        text: `ApplicationFailure: ${MESSAGE('caught')}`,
        type: 'ContinueAsNewNotAllowed',
        nonRetryable: true,
      });
    });

    it('main that an update handler wakes: may, because it is not on the path of the update', () => {
      const run = driven.start('fromUpdate');
      run.turn(updated('u', 'asks main'));
      expect(run.kinds).to.deep.equal(['acceptUpdate', 'continueAsNew']);
    });
  });

  describe('what goes along', () => {
    it('signals without a handler: go to the next run, oldest first, as they came', () => {
      const run = driven.run('leaves');
      run.turn(signalled('early', 1), signalled('taken'));
      run.turn({ ...signalled('late', { two: 2 }), requestId: 'r' } as never);
      run.turn(signalled('last'), { kind: 'timerFired', seq: 1 });
      const { signals } = run.command('continueAsNew');
      expect(signals!.map(({ name, requestId }) => [name, requestId])).to.deep.equal([
        ['early', undefined],
        ['late', 'r'],
        ['last', undefined],
      ]);
      expect(signals!.map(({ args }) => decodePayload(args))).to.deep.equal([[1], [{ two: 2 }], []]);
    });

    it('all signals taken: none', () => {
      const run = driven.run('leaves');
      run.turn(signalled('taken'));
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(run.command('continueAsNew')).to.not.have.property('signals');
    });

    it('run that completes: its waiting signals go nowhere', () => {
      const run = driven.run('swallows');
      run.turn(signalled('early'));
      expect(run.commands[0]).to.have.all.keys('kind', 'result');
    });

    it('update without a handler in the last turn: rejected, not carried over', () => {
      const run = driven.start('leaves');
      run.turn(updated('u', 'unknown'), { kind: 'timerFired', seq: 1 });
      expect(run.kinds).to.deep.equal(['continueAsNew']);
      expect(run.rejected.map(({ id }) => id)).to.deep.equal(['u']);
    });
  });

  // semantics.md 7.3
  describe('handlers that still run', () => {
    const warnings = (logs: string[]) => logs.filter((line) => line.startsWith('[TMPRL1102]'));

    it('policy WARN_AND_ABANDON: one warning for updates and one for signals', () => {
      const run = driven.start('hurries', 'WARN_AND_ABANDON');
      run.turn(signalled('slow'), signalled('slow'), updated('u', 'slow'));
      run.turn(signalled('go'));
      expect(run.kinds).to.deep.equal(['continueAsNew']);
      const [updates, signals, ...more] = warnings(run.logs());
      expect(updates).to.match(/an update handler was still running.*\[\{"name":"slow","id":"u"\}\]$/);
      expect(signals).to.match(/a signal handler was still running.*\[\{"name":"slow","count":2\}\]$/);
      expect(more).to.deep.equal([]);
    });

    it('policy ABANDON: no warning', () => {
      const run = driven.start('hurries', 'ABANDON');
      run.turn(signalled('slow'), updated('u', 'slow'));
      run.turn(signalled('go'));
      expect(run.kinds).to.deep.equal(['continueAsNew']);
      expect(warnings(run.logs())).to.deep.equal([]);
    });

    it('main that waits for them: no warning, and their updates complete first', () => {
      const run = driven.start('waits');
      run.turn(updated('u', 'slow'));
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(run.kinds).to.deep.equal(['completeUpdate', 'continueAsNew']);
      expect(warnings(run.logs())).to.deep.equal([]);
    });

    it('signal handler that continues as new itself: no warning for it', () => {
      const run = driven.start('fromSignal');
      run.turn(signalled('again', 'word'));
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(warnings(run.logs())).to.deep.equal([]);
    });
  });
});
