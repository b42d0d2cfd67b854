/** Children as their parent's code sees them, with a host that is played by hand (children.ts; semantics.md 9, history-events.md 4 and 8). */
import { expect } from 'chai';
import { Random, seedOf } from '../../actors/random.js';
import type { ChildOutcome, Input } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';
import {
  answered,
  applicationFailure,
  type CommandOf,
  cancel,
  childCompleted,
  childStarted,
  DrivenSandbox,
  signalled,
} from '../support/activation.js';

describe('children', () => {
  let driven: DrivenSandbox;
  before(async () => {
    driven = await DrivenSandbox.open('children-driven');
  });
  after(() => driven.close());
  // D5: whatever a test drove gives the same commands again.
  afterEach(() => driven.expectReplays());

  const closed = (outcome: ChildOutcome, seq = 1): Input => ({ kind: 'childClosed', seq, outcome });
  const CANCELLED: ChildOutcome = {
    status: 'cancelled',
    failure: { message: 'Workflow canceled', info: { kind: 'cancelled' } },
  };
  const childFailure = (retryState: string, cause: unknown, runId: string | undefined = 'child-run-1') => ({
    text: 'ChildWorkflowFailure: Child Workflow execution failed',
    namespace: 'default',
    execution: { workflowId: 'child', runId },
    workflowType: 'greet',
    retryState,
    cause,
  });

  describe('the start', () => {
    it('startChild: resolves with a handle when the child has started, its result when it has closed', () => {
      const run = driven.start('parent', 'start');
      expect(run.kinds).to.deep.equal(['startChild']);
      run.turn(childStarted());
      expect(run.kinds).to.deep.equal([]);
      run.turn(childCompleted('Hello, Ada'));
      expect(run.result).to.deep.equal({
        workflowId: 'child',
        firstExecutionRunId: 'child-run-1',
        value: 'Hello, Ada',
      });
    });

    it('executeChild: resolves with the result', () => {
      const run = driven.start('parent', 'execute');
      run.turn(childStarted());
      run.turn(childCompleted('Hello, Ada'));
      expect(run.result).to.deep.equal({ value: 'Hello, Ada' });
    });

    it('start and end in one turn: both are heard of', () => {
      const run = driven.start('parent', 'start');
      run.turn(childStarted(), childCompleted(7));
      expect(run.result).to.deep.include({ firstExecutionRunId: 'child-run-1', value: 7 });
    });

    it('command without options: the defaults of Temporal', () => {
      const run = driven.start('plain', 0);
      const [command] = run.commands as [CommandOf<'startChild'>];
      expect(command).to.deep.include({
        kind: 'startChild',
        seq: 1,
        workflowType: 'greet',
        taskQueue: 'default',
        parentClosePolicy: 'TERMINATE',
        workflowIdReusePolicy: undefined,
        retry: undefined,
      });
      expect(decodePayload(command.args)).to.deep.equal([]);
    });

    it('command with options: all of them, in stored form', () => {
      const run = driven.start('parent', 'start', {
        taskQueue: 'other',
        parentClosePolicy: 'ABANDON',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        retry: { maximumAttempts: 3, initialInterval: '2 seconds' },
        workflowExecutionTimeout: '1 hour',
        workflowRunTimeout: '1 minute',
        workflowTaskTimeout: 5_000,
        memo: { note: 'm' },
        searchAttributes: { Colour: ['red'] },
      });
      const { args, memo, searchAttributes, ...rest } = run.command('startChild');
      expect(rest).to.deep.equal({
        kind: 'startChild',
        seq: 1,
        workflowId: 'child',
        workflowType: 'greet',
        taskQueue: 'other',
        parentClosePolicy: 'ABANDON',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        retry: {
          initialInterval: 2_000,
          maximumInterval: undefined,
          backoffCoefficient: undefined,
          maximumAttempts: 3,
          nonRetryableErrorTypes: undefined,
        },
        executionTimeoutMs: 3_600_000,
        runTimeoutMs: 60_000,
        taskTimeoutMs: 5_000,
      });
      expect([args, memo!, searchAttributes!].map(decodePayload)).to.deep.equal([
        ['Ada'],
        { note: 'm' },
        { Colour: ['red'] },
      ]);
    });

    it('policies with the prefix of older code: taken as the short ones', () => {
      const run = driven.start('parent', 'start', {
        parentClosePolicy: 'PARENT_CLOSE_POLICY_REQUEST_CANCEL',
        workflowIdReusePolicy: 'WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY',
      });
      expect(run.command('startChild')).to.deep.include({
        parentClosePolicy: 'REQUEST_CANCEL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
      });
    });

    it('default id: one UUID of the run, drawn when the child is started', () => {
      const run = driven.start('plain', 2);
      const random = new Random(seedOf(run.info.originalRunId));
      const ids = Array.from({ length: 5 }, () => random.uuid4());
      expect(run.commands.map((command) => (command as CommandOf<'startChild'>).workflowId)).to.deep.equal(
        ids.slice(2, 4),
      );
      expect(run.commands.map((command) => (command as CommandOf<'startChild'>).seq)).to.deep.equal([1, 2]);
      run.turn(childStarted(1), childStarted(2), childCompleted(1, 1), childCompleted(2, 2));
      expect(run.result).to.deep.equal([ids[0], ids[1], ids[4]]);
    });

    const REFUSED: [string, object, RegExp][] = [
      [
        'unknown parent close policy',
        { parentClosePolicy: 'KILL' },
        /^ValueError: Invalid parentClosePolicy 'KILL': it must be one of TERMINATE, ABANDON, REQUEST_CANCEL$/,
      ],
      [
        'unknown cancellation type',
        { cancellationType: 'toString' },
        /^ValueError: Invalid cancellationType 'toString'/,
      ],
      [
        'unknown reuse policy',
        { workflowIdReusePolicy: 'ALWAYS' },
        /^ValueError: Invalid workflowIdReusePolicy 'ALWAYS'/,
      ],
      [
        'empty id',
        { workflowId: '' },
        /^TypeError: ChildWorkflowOptions\.workflowId must be text, and not empty, got ''/,
      ],
      [
        'id that is too long',
        { workflowId: 'é'.repeat(501) },
        /^TypeError: .*workflowId is too long: 1002 bytes, the limit is 1000/,
      ],
      [
        'arguments that are no list',
        { args: 'Ada' },
        /^TypeError: arguments of child workflow greet must be an array/,
      ],
      [
        'duration that is none',
        { workflowRunTimeout: 'soon' },
        /^TypeError: Invalid duration string: "soon"/,
      ],
      [
        'retry policy that makes no sense',
        { retry: { maximumAttempts: 0 } },
        /^TypeError: RetryPolicy\.maximumAttempts/,
      ],
    ];
    for (const [what, options, message] of REFUSED) {
      it(`${what}: refused in the parent, and nothing is started`, () => {
        const run = driven.start('parent', 'start', options);
        expect(run.kinds).to.deep.equal(['completeWorkflow']);
        expect((run.result as { text: string }).text).to.match(message);
      });
    }

    it('id that is as long as it may be: taken', () => {
      const workflowId = 'é'.repeat(500);
      expect(driven.start('parent', 'start', { workflowId }).command('startChild').workflowId).to.equal(
        workflowId,
      );
    });

    it('query handler that starts or messages a child: refused (D6)', () => {
      const run = driven.start('asks');
      run.turn(childStarted());
      for (const what of ['startChild', 'executeChild', 'signal', 'executeUpdate']) {
        expect(() => run.query('tries', what)).to.throw(
          `Query handler 'tries' called Workflow.${what}(...). Queries and update validators may only read`,
        );
      }
      run.turn(signalled('unknown'));
      expect(run.kinds).to.deep.equal([]);
    });
  });

  describe('failures', () => {
    for (const how of ['start', 'execute']) {
      it(`${how}: id is taken -> WorkflowExecutionAlreadyStartedError`, () => {
        const run = driven.start('parent', how);
        run.turn({ kind: 'childStartFailed', seq: 1, cause: 'WORKFLOW_ALREADY_EXISTS' });
        expect(run.result).to.deep.equal({
          text: 'WorkflowExecutionAlreadyStartedError: Workflow execution already started',
        });
      });
    }

    const ENDS: [string, ChildOutcome, string, unknown][] = [
      [
        'failed',
        { status: 'failed', failure: applicationFailure('no', 'Bad'), retryState: 'RETRY_POLICY_NOT_SET' },
        'RETRY_POLICY_NOT_SET',
        { text: 'ApplicationFailure: no' },
      ],
      ['was cancelled', CANCELLED, 'NON_RETRYABLE_FAILURE', { text: 'CancelledFailure: Workflow canceled' }],
      [
        'was terminated',
        { status: 'terminated', failure: { message: 'enough', info: { kind: 'terminated' } } },
        'NON_RETRYABLE_FAILURE',
        { text: 'TerminatedFailure: enough' },
      ],
      [
        'timed out',
        {
          status: 'timedOut',
          failure: { message: 'late', info: { kind: 'timeout', timeoutType: 'START_TO_CLOSE' } },
        },
        'TIMEOUT',
        { text: 'TimeoutFailure: late' },
      ],
    ];
    for (const [how, outcome, retryState, cause] of ENDS) {
      it(`child that ${how}: ChildWorkflowFailure that says which and why`, () => {
        const run = driven.start('parent', 'execute');
        run.turn(childStarted());
        run.turn(closed(outcome));
        expect(run.result).to.deep.equal(childFailure(retryState, cause));
      });
    }

    it('failure of a child that nobody catches: the parent fails with it', () => {
      const run = driven.start('passesOn');
      run.turn(childStarted());
      run.turn(closed({ status: 'failed', failure: applicationFailure('no'), retryState: 'TIMEOUT' }));
      const { failure } = run.command('failWorkflow');
      expect(failure.message).to.equal('Child Workflow execution failed');
      expect(failure.info).to.deep.equal({
        kind: 'childWorkflow',
        namespace: 'default',
        workflowId: 'child',
        runId: 'child-run-1',
        workflowType: 'greet',
        retryState: 'TIMEOUT',
      });
      expect(failure.cause?.message).to.equal('no');
    });

    it('child that fails while nobody waits for its result: its parent goes on', () => {
      const run = driven.start('careless');
      run.turn(childStarted());
      run.turn(closed({ status: 'failed', failure: applicationFailure('no'), retryState: 'TIMEOUT' }));
      run.turn({ kind: 'timerFired', seq: 1 });
      expect(run.result).to.equal('did not hear of it');
    });
  });

  describe('messages', () => {
    it('signal: to the child alone, resolved by the answer', () => {
      const run = driven.start('signalsChild');
      run.turn(childStarted());
      const { args, ...command } = run.command('signalExternal');
      expect(command).to.deep.equal({
        kind: 'signalExternal',
        seq: 1,
        target: { workflowId: 'child', childOnly: true },
        name: 'poke',
      });
      expect(decodePayload(args)).to.deep.equal([1, { two: 2 }]);
      run.turn(answered());
      expect(run.command('signalExternal')).to.deep.include({ seq: 2, name: 'done' });
      run.turn(answered(2));
      expect(run.result).to.equal('signalled');
    });

    it('updates: to the child alone, under ids of the run', () => {
      const run = driven.start('updatesChild');
      run.turn(childStarted());
      expect(run.command('updateExternal')).to.deep.include({
        target: { workflowId: 'child', childOnly: true },
        updateId: `${run.info.runId}/1`,
        stage: 'completed',
      });
      run.turn(answered(1, { result: 3 }));
      expect(run.command('updateExternal')).to.deep.include({
        updateId: `${run.info.runId}/2`,
        stage: 'accepted',
      });
      run.turn(answered(2, { result: 5 }));
      expect(run.result).to.deep.equal([3, 5]);
    });
  });

  it('order in one turn: executeChild goes on two promise jobs after what waits for itself', () => {
    const run = driven.start('order');
    run.turn(childStarted());
    run.turn(childStarted(2));
    run.turn(childCompleted(2, 2), childCompleted(1), { kind: 'timerFired', seq: 1 });
    expect(run.result).to.deep.equal(['slept', 'result', 'executed']);
  });

  // semantics.md 9.5 to 9.7
  describe('cancellation', () => {
    const WAITING = ['WAIT_CANCELLATION_COMPLETED', 'WAIT_CANCELLATION_REQUESTED', undefined] as const;
    const LEAVING = ['TRY_CANCEL', 'ABANDON'] as const;
    const TYPES = [...WAITING, ...LEAVING];
    const givenUp = (message: string, runId?: string) =>
      childFailure('NON_RETRYABLE_FAILURE', { text: `CancelledFailure: ${message}` }, runId ?? undefined);
    const unknownRun = (failure: ReturnType<typeof childFailure>) => ({
      ...failure,
      execution: { workflowId: 'child', runId: undefined },
    });

    for (const how of ['start', 'execute']) {
      for (const cancellationType of TYPES) {
        const name = `${how}, ${cancellationType ?? 'no type given'}`;
        const options = { cancellationType };

        it(`${name}: scope cancelled before -> rejected at once, no command, number and draw are used up`, () => {
          const run = driven.start('cancels', 'before', how, { ...options, workflowId: undefined });
          expect(run.kinds).to.deep.equal(['startChild', 'completeWorkflow']);
          expect(run.result).to.deep.equal({ text: 'CancelledFailure: Cancellation scope cancelled' });
          const random = new Random(seedOf(run.info.originalRunId));
          random.uuid4();
          expect(run.command('startChild')).to.deep.include({ seq: 2, workflowId: random.uuid4() });
        });

        it(`${name}: scope cancelled in the turn of the start -> the command is taken back`, () => {
          const run = driven.start('cancels', 'at once', how, options);
          expect(run.kinds).to.deep.equal(['startChild', 'completeWorkflow']);
          expect(run.command('startChild')).to.deep.include({ seq: 2, workflowType: 'next' });
          expect(run.result).to.deep.equal(
            unknownRun(givenUp('Child Workflow execution cancelled before it was started')),
          );
        });
      }

      for (const cancellationType of LEAVING) {
        const commands = cancellationType === 'TRY_CANCEL' ? ['cancelChild'] : [];

        it(`${how}, ${cancellationType}: cancelled before the child has started -> given up in the same turn`, () => {
          const run = driven.start('cancels', 'signal', how, { cancellationType });
          run.turn(signalled('cancel'));
          expect(run.kinds).to.deep.equal([...commands, 'completeWorkflow']);
          expect(run.result).to.deep.equal(unknownRun(givenUp('Child Workflow execution cancelled')));
        });

        it(`${how}, ${cancellationType}: cancelled while the child runs -> given up in the same turn`, () => {
          const run = driven.start('cancels', 'signal', how, { cancellationType });
          run.turn(childStarted());
          run.turn(signalled('cancel'));
          expect(run.kinds).to.deep.equal([...commands, 'completeWorkflow']);
          expect(run.result).to.deep.include(how === 'start' ? { firstExecutionRunId: 'child-run-1' } : {});
          expect(run.result).to.deep.include(givenUp('Child Workflow execution cancelled', 'child-run-1'));
        });
      }

      for (const cancellationType of WAITING) {
        const name = `${how}, ${cancellationType ?? 'no type given'}`;

        it(`${name}: cancelled while the child runs -> asked to cancel, its end is waited for`, () => {
          const run = driven.start('cancels', 'signal', how, { cancellationType });
          run.turn(childStarted());
          run.turn(signalled('cancel'));
          expect(run.commands).to.deep.equal([{ kind: 'cancelChild', seq: 1, workflowId: 'child' }]);
          run.turn(closed(CANCELLED));
          expect(run.result).to.deep.include(
            childFailure('NON_RETRYABLE_FAILURE', { text: 'CancelledFailure: Workflow canceled' }),
          );
        });

        it(`${name}: cancelled before the child has started -> asked to cancel, its end is waited for`, () => {
          const run = driven.start('cancels', 'signal', how, { cancellationType });
          run.turn(signalled('cancel'));
          expect(run.kinds).to.deep.equal(['cancelChild']);
          run.turn(childStarted());
          run.turn(closed(CANCELLED));
          expect(run.result).to.deep.include({ retryState: 'NON_RETRYABLE_FAILURE' });
        });
      }
    }

    it('child that completes although it was asked to cancel: its result counts', () => {
      const run = driven.start('cancels', 'signal', 'execute', {});
      run.turn(childStarted());
      run.turn(signalled('cancel'));
      run.turn(childCompleted('done all the same'));
      expect(run.result).to.deep.equal({ value: 'done all the same' });
    });

    it('start that fails after the request: the parent hears of that', () => {
      const run = driven.start('cancels', 'signal', 'execute', {});
      run.turn(signalled('cancel'));
      run.turn({ kind: 'childStartFailed', seq: 1, cause: 'WORKFLOW_ALREADY_EXISTS' });
      expect((run.result as { text: string }).text).to.match(/^WorkflowExecutionAlreadyStartedError/);
    });

    it('second request: no second command', () => {
      const run = driven.start('cancels', 'signal', 'execute', {});
      run.turn(childStarted());
      run.turn(signalled('cancel'), signalled('cancel'));
      expect(run.kinds).to.deep.equal(['cancelChild']);
      run.turn(signalled('cancel'));
      expect(run.kinds).to.deep.equal([]);
    });

    it('news of a child that was given up: ignored', () => {
      const run = driven.start('careless');
      run.turn(childStarted());
      run.turn(childCompleted(1));
      run.turn(childStarted(), childCompleted(2), {
        kind: 'childStartFailed',
        seq: 9,
        cause: 'WORKFLOW_ALREADY_EXISTS',
      });
      expect(run.kinds).to.deep.equal([]);
    });

    it('request to the workflow: reaches its child', () => {
      const run = driven.start('passesOn');
      run.turn(childStarted());
      run.turn(cancel());
      expect(run.kinds).to.deep.equal(['cancelChild']);
      run.turn(closed(CANCELLED));
      expect(run.kinds).to.deep.equal(['cancelWorkflow']);
    });

    it('request to the workflow before the child is settled by its end: no request after the end', () => {
      const run = driven.start('careless');
      run.turn(childStarted());
      run.turn(childCompleted(1));
      run.turn(cancel());
      expect(run.kinds).to.deep.equal(['cancelTimer', 'cancelWorkflow']);
    });

    it('shielded child: no request reaches it', () => {
      const run = driven.start('shields');
      run.turn(childStarted());
      run.turn(cancel());
      expect(run.kinds).to.deep.equal([]);
      run.turn(childCompleted(1));
      expect(run.kinds).to.deep.equal(['completeWorkflow']);
    });
  });
});
