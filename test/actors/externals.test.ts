/** Messages to other workflows, with a host that is played by hand (externals.ts, external-updates.ts; semantics.md 2.11, 9.6). */
import { expect } from 'chai';
import type { Failure } from '../../codec/failure.js';
import { decodePayload } from '../../codec/payload.js';
import { answered, applicationFailure, cancel, DrivenSandbox, signalled } from '../support/activation.js';

const NOT_FOUND = applicationFailure(
  'Unable to signal external workflow because it was not found',
  'ExternalWorkflowExecutionNotFound',
  'Server',
);
const PATCH = {
  kind: 'patch',
  id: '__temporal_internal_connect_external_handle_cancel_to_scope',
  deprecated: false,
};

describe('externals', () => {
  let driven: DrivenSandbox;
  before(async () => {
    driven = await DrivenSandbox.open('externals-driven');
  });
  after(() => driven.close());
  // D5: whatever a test drove gives the same commands again.
  afterEach(() => driven.expectReplays());

  describe('signal and cancel', () => {
    it('signal: one command, resolved by its answer', () => {
      const run = driven.start('sends', 'signal');
      const { args, ...command } = run.command('signalExternal');
      expect(command).to.deep.equal({
        kind: 'signalExternal',
        seq: 1,
        target: { workflowId: 'other', runId: undefined },
        name: 'poke',
      });
      expect(decodePayload(args)).to.deep.equal([1, { two: 2 }]);
      expect(run.closed).to.equal(false);
      run.turn(answered());
      expect(run.result).to.equal('done');
    });

    it('signal by definition: under its name', () => {
      expect(driven.start('sends', 'defined signal').command('signalExternal').name).to.equal('poke');
    });

    it('handle of one run: addresses that run', () => {
      const run = driven.start('sends', 'signal', 'run-7');
      expect(run.command('signalExternal').target).to.deep.equal({ workflowId: 'other', runId: 'run-7' });
    });

    it('cancel: one command, resolved by its answer', () => {
      const run = driven.start('sends', 'cancel', 'run-7');
      expect(run.commands).to.deep.equal([
        { kind: 'cancelExternal', seq: 1, target: { workflowId: 'other', runId: 'run-7' } },
      ]);
      run.turn(answered());
      expect(run.result).to.equal('done');
    });

    for (const way of ['signal', 'cancel', 'executeUpdate', 'startUpdate']) {
      it(`${way} to a workflow that is not there: throws what the answer says`, () => {
        const run = driven.start('sends', way);
        run.turn(answered(1, { failure: NOT_FOUND }));
        expect(run.result).to.equal(
          'ApplicationFailure: Unable to signal external workflow because it was not found',
        );
      });

      it(`${way}, failure that nobody catches: the workflow fails with it`, () => {
        const run = driven.start('passesOn', way);
        run.turn(answered(1, { failure: NOT_FOUND }));
        expect(run.command('failWorkflow').failure.info).to.deep.include({
          kind: 'application',
          type: 'ExternalWorkflowExecutionNotFound',
        });
      });
    }

    it('several under way: each gets its own answer, whatever the order', () => {
      const run = driven.start('many');
      expect(run.commands.map((command) => [command.kind, (command as { seq: number }).seq])).to.deep.equal([
        ['signalExternal', 1],
        ['cancelExternal', 2],
        ['updateExternal', 3],
      ]);
      run.turn(answered(3, { result: 'b' }));
      run.turn(answered(2), answered(1));
      expect(run.result).to.deep.equal([
        ['update', 'b'],
        ['cancel', undefined],
        ['signal', undefined],
      ]);
    });

    it('workflow that ends before the answer: the signal goes out all the same', () => {
      expect(driven.start('ends').kinds).to.deep.equal(['signalExternal', 'completeWorkflow']);
    });
  });

  describe('updates', () => {
    it('executeUpdate: one command that waits for the end, resolved with the result', () => {
      const run = driven.start('sends', 'executeUpdate');
      const { args, ...command } = run.command('updateExternal');
      expect(command).to.deep.equal({
        kind: 'updateExternal',
        seq: 1,
        target: { workflowId: 'other', runId: undefined },
        updateId: `${run.info.runId}/1`,
        name: 'add',
        stage: 'completed',
      });
      expect(decodePayload(args)).to.deep.equal([1]);
      run.turn(answered(1, { result: 6 }));
      expect(run.result).to.deep.equal({ value: 6 });
    });

    it('executeUpdate without arguments: an empty list', () => {
      const run = driven.start('sends', 'executeUpdate without arguments');
      expect(decodePayload(run.command('updateExternal').args)).to.deep.equal([]);
    });

    it('update id that is given: taken', () => {
      expect(driven.start('sends', 'executeUpdate with an id').command('updateExternal').updateId).to.equal(
        'mine',
      );
    });

    it('default id: another one for each run and update', () => {
      const ids = [driven.start('sends', 'executeUpdate'), driven.start('sends', 'executeUpdate')].map(
        (run) => run.command('updateExternal').updateId,
      );
      expect(new Set(ids).size).to.equal(2);
      const run = driven.start('many');
      expect(run.command('updateExternal').updateId).to.equal(`${run.info.runId}/3`);
    });

    it('executeUpdate that is rejected or fails: throws that failure itself', () => {
      const run = driven.start('passesOn', 'executeUpdate');
      run.turn(answered(1, { failure: applicationFailure('not that', 'Refused') }));
      expect(run.command('failWorkflow').failure).to.deep.equal(applicationFailure('not that', 'Refused'));
    });

    it('executeUpdate whose handler returns nothing: resolves with undefined', () => {
      const run = driven.start('sends', 'executeUpdate');
      run.turn(answered(1, { result: undefined }));
      expect(run.result).to.equal('done');
    });

    it('startUpdate of an update that is under way: result() asks again under the same id, once', () => {
      const run = driven.start('sends', 'startUpdate');
      const first = run.command('updateExternal');
      expect(first).to.deep.include({ seq: 1, stage: 'accepted', updateId: `${run.info.runId}/1` });
      run.turn(answered());
      expect(run.command('updateExternal')).to.deep.equal({ ...first, seq: 2, stage: 'completed' });
      run.turn(answered(2, { result: 6 }));
      expect(run.result).to.deep.equal({
        value: {
          updateId: `${run.info.runId}/1`,
          workflowId: 'other',
          results: [{ value: 6 }, { value: 6 }],
        },
      });
    });

    it('startUpdate of an update that is done already: its outcome is kept for result()', () => {
      const run = driven.start('sends', 'startUpdate');
      run.turn(answered(1, { result: 6 }));
      expect(run.kinds).to.deep.equal(['completeWorkflow']);
      expect(run.result).to.have.deep.nested.property('value.results', [{ value: 6 }, { value: 6 }]);
    });

    it('startUpdate of an update that is rejected: the handle is there, result() throws each time', () => {
      const run = driven.start('sends', 'startUpdate');
      run.turn(answered(1, { failure: applicationFailure('not that') }));
      const failure = 'ApplicationFailure: not that';
      expect(run.result).to.have.deep.nested.property('value.results', [failure, failure]);
    });

    it('startUpdate of an update that fails later: result() throws each time', () => {
      const run = driven.start('sends', 'startUpdate');
      run.turn(answered());
      run.turn(answered(2, { failure: applicationFailure('not that') }));
      const failure = 'ApplicationFailure: not that';
      expect(run.result).to.have.deep.nested.property('value.results', [failure, failure]);
    });

    it('startUpdate that is rejected while nobody asks for the result: the workflow goes on', () => {
      const run = driven.start('sends', 'startUpdate alone');
      run.turn(answered(1, { failure: applicationFailure('not that') }));
      expect(run.result).to.deep.equal({ value: `${run.info.runId}/1` });
    });

    it('startUpdate to the end: one command, that waits for it', () => {
      const run = driven.start('sends', 'startUpdate to the end');
      expect(run.command('updateExternal').stage).to.equal('completed');
      run.turn(answered(1, { result: 6 }));
      expect(run.result).to.deep.equal({ value: { value: 6 } });
    });

    it('result() twice at once: each asks, and both hear', () => {
      const run = driven.start('sends', 'startUpdate, two results at once');
      run.turn(answered());
      expect(run.kinds).to.deep.equal(['updateExternal', 'updateExternal']);
      run.turn(answered(2, { result: 6 }), answered(3, { result: 6 }));
      expect(run.result).to.deep.equal({ value: [{ value: 6 }, { value: 6 }] });
    });
  });

  describe('signal-with-start', () => {
    it('plain: one command, resolved with the run that was signalled', () => {
      const run = driven.start('sends', 'signalWithStart');
      const { args, signalArgs, ...command } = run.command('signalWithStart');
      expect(command).to.deep.include({
        kind: 'signalWithStart',
        seq: 1,
        workflowId: 'other',
        workflowType: 'counter',
        taskQueue: 'default',
        signalName: 'poke',
        workflowIdConflictPolicy: undefined,
      });
      expect([args, signalArgs].map(decodePayload)).to.deep.equal([[5], [1]]);
      run.turn(answered(1, { result: 'run-9' }));
      expect(run.result).to.deep.equal({
        value: { workflowId: 'other', runId: undefined, signaledRunId: 'run-9' },
      });
    });

    it('with options: all of them, in stored form', () => {
      const run = driven.start('signalsAndStarts', {
        workflowId: 'other',
        signal: { type: 'signal', name: 'poke' },
        taskQueue: 'queue',
        workflowIdConflictPolicy: 'TERMINATE_EXISTING',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowExecutionTimeout: '1 hour',
        workflowRunTimeout: '1 minute',
        workflowTaskTimeout: '1 second',
        retry: { maximumAttempts: 2 },
        memo: { a: 1 },
        searchAttributes: { B: [2] },
      });
      const command = run.command('signalWithStart');
      expect(command).to.deep.include({
        taskQueue: 'queue',
        workflowIdConflictPolicy: 'TERMINATE_EXISTING',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        executionTimeoutMs: 3_600_000,
        runTimeoutMs: 60_000,
        taskTimeoutMs: 1_000,
      });
      expect(command.retry?.maximumAttempts).to.equal(2);
      expect([command.memo!, command.searchAttributes!].map(decodePayload)).to.deep.equal([
        { a: 1 },
        { B: [2] },
      ]);
    });

    it('policy that refuses: WorkflowExecutionAlreadyStartedError', () => {
      const failure: Failure = applicationFailure(
        'Workflow execution already started',
        'WorkflowExecutionAlreadyStarted',
        'Server',
      );
      const run = driven.start('sends', 'signalWithStart');
      run.turn(answered(1, { failure }));
      expect(run.result).to.equal('WorkflowExecutionAlreadyStartedError: Workflow execution already started');
    });
  });

  it('calls that are wrong: refused in the workflow, each with what is wrong, and nothing is sent', () => {
    const run = driven.start('wrong');
    expect(run.kinds).to.deep.equal(['completeWorkflow']);
    expect(run.result).to.deep.equal([
      "TypeError: workflowId must be text, and not empty, got ''",
      'TypeError: workflowId is too long: 1001 bytes, the limit is 1000',
      'TypeError: runId must be text, and not empty, got number',
      'TypeError: Expected the definition or the name of a signal, got a definition of type query',
      "TypeError: The name of a signal must be text, and not empty, got ''",
      'TypeError: Expected the definition or the name of an update, got a definition of type signal',
      'TypeError: arguments of update u must be an array, got number',
      'PayloadEncodeError: Cannot store arguments of update u[0]: functions cannot be stored',
      "TypeError: updateId must be text, and not empty, got ''",
      "ValueError: Invalid waitForStage 'SOON': it must be one of ACCEPTED, COMPLETED",
      "TypeError: SignalWithStartOptions.workflowId must be text, and not empty, got ''",
      "ValueError: Invalid workflowIdConflictPolicy 'NO': it must be one of FAIL, USE_EXISTING, TERMINATE_EXISTING",
    ]);
  });

  it('query handler that sends: refused (D6); one that only makes a handle is not', () => {
    const run = driven.start('asks');
    run.turn(answered());
    const NAMES = {
      signal: 'signal(...)',
      cancel: 'ExternalWorkflowHandle.cancel()',
      executeUpdate: 'executeUpdate(...)',
      startUpdate: 'startUpdate(...)',
      result: 'result()',
      signalWithStart: 'signalWithStart(...)',
    };
    for (const [what, name] of Object.entries(NAMES)) {
      expect(() => run.query('tries', what)).to.throw(
        `Query handler 'tries' called Workflow.${name}. Queries`,
      );
    }
    expect(run.query('tries', 'handle')).to.equal('another');
    run.turn(signalled('unknown'));
    expect(run.kinds).to.deep.equal([]);
  });

  describe('cancellation', () => {
    const SCOPE = 'CancelledFailure: Cancellation scope cancelled';

    for (const way of ['signal', 'executeUpdate', 'startUpdate', 'signalWithStart']) {
      it(`${way} in a cancelled scope: rejected at once, no command, the number is used up`, () => {
        const run = driven.start('cancels', 'before', way);
        expect(run.result).to.equal(SCOPE);
        expect(run.kinds).to.deep.equal(['signalExternal', 'completeWorkflow']);
        expect(run.command('signalExternal')).to.deep.include({
          seq: 2,
          target: { workflowId: 'next', runId: undefined },
        });
      });
    }

    it('cancel in a cancelled scope: rejected at once, a marker instead of a command, no number', () => {
      const run = driven.start('cancels', 'before', 'cancel');
      expect(run.kinds).to.deep.equal(['patch', 'signalExternal', 'completeWorkflow']);
      expect(run.commands[0]).to.deep.equal(PATCH);
      expect(run.command('signalExternal').seq).to.equal(1);
      expect(run.result).to.equal(SCOPE);
    });

    it('signal whose scope is cancelled in the same turn: taken back, and says so', () => {
      const run = driven.start('cancels', 'at once', 'signal');
      expect(run.command('signalExternal')).to.deep.include({ seq: 2 });
      expect(run.kinds).to.deep.equal(['signalExternal', 'completeWorkflow']);
      expect(run.result).to.equal('CancelledFailure: Signal was cancelled before being sent');
    });

    for (const way of ['executeUpdate', 'startUpdate', 'signalWithStart']) {
      it(`${way} whose scope is cancelled in the same turn: taken back`, () => {
        const run = driven.start('cancels', 'at once', way);
        expect(run.command('signalExternal')).to.deep.include({ seq: 2 });
        expect(run.kinds).to.deep.equal(['signalExternal', 'completeWorkflow']);
        expect(run.result).to.equal(SCOPE);
      });

      it(`${way} whose scope is cancelled later: nobody waits any longer`, () => {
        const run = driven.start('cancels', 'signal', way);
        run.turn(signalled('cancel'));
        expect(run.kinds).to.deep.equal(['completeWorkflow']);
        expect(run.result).to.equal(SCOPE);
      });
    }

    it('answer in the turn of the request: the answer counts, because a request travels by promise jobs', () => {
      const run = driven.start('cancels', 'signal', 'executeUpdate');
      run.turn(signalled('cancel'), answered(1, { result: 6 }));
      expect(run.result).to.deep.equal({ value: 6 });
    });

    it('answer after the request: ignored', () => {
      const run = driven.start('cancels', 'signal', 'update and wait');
      run.turn(signalled('cancel'));
      run.turn(answered(1, { result: 6 }));
      expect(run.kinds).to.deep.equal([]);
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(run.result).to.equal(SCOPE);
    });

    it('cancel whose scope is cancelled in the same turn: it is sent, and nobody waits', () => {
      const run = driven.start('cancels', 'at once', 'cancel');
      expect(run.kinds).to.deep.equal(['cancelExternal', 'patch', 'signalExternal', 'completeWorkflow']);
      expect(run.result).to.equal(SCOPE);
    });

    it('cancel whose scope is cancelled later: a marker, and nobody waits', () => {
      const run = driven.start('cancels', 'signal', 'cancel');
      run.turn(signalled('cancel'));
      expect(run.commands[0]).to.deep.equal(PATCH);
      expect(run.kinds).to.deep.equal(['patch', 'completeWorkflow']);
      expect(run.result).to.equal(SCOPE);
    });

    it('signal whose scope is cancelled later: a request to take it back, and the answer is waited for', () => {
      const run = driven.start('cancels', 'signal', 'signal');
      run.turn(signalled('cancel'));
      expect(run.commands).to.deep.equal([{ kind: 'cancelSignalExternal', seq: 1 }]);
      run.turn(answered());
      expect(run.result).to.equal('done');
    });

    it('signal that could be taken back: the answer says so', () => {
      const run = driven.start('cancels', 'signal', 'signal');
      run.turn(signalled('cancel'));
      const failure: Failure = {
        message: 'Signal was cancelled before being sent',
        info: { kind: 'cancelled' },
      };
      run.turn(answered(1, { failure }));
      expect(run.result).to.equal('CancelledFailure: Signal was cancelled before being sent');
    });

    it('request to the workflow: reaches what it waits for', () => {
      const run = driven.start('passesOn', 'executeUpdate');
      run.turn(cancel());
      expect(run.kinds).to.deep.equal(['cancelWorkflow']);
    });

    it('request after the answer: nothing to take back', () => {
      const run = driven.start('asks');
      run.turn(answered());
      run.turn(cancel());
      expect(run.kinds).to.deep.equal(['cancelWorkflow']);
    });
  });
});
