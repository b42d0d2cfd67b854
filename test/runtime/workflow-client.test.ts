import { expect } from 'chai';
import * as wf from '../../actors/workflow.js';
import {
  ApplicationFailure,
  isGrpcServiceError,
  PayloadEncodeError,
  PayloadTooLargeError,
  ServiceError,
  TimeoutFailure,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '../../runtime/client/index.js';
import { type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

// The types of workflows of the fixture, as an embedder would import them.
async function waits(..._args: unknown[]): Promise<unknown> {
  return undefined;
}

// semantics.md 3.7, 4.8, 4.9, 11, 12
describe('workflow client', () => {
  let runtime: TestRuntime;
  const clock = new ManualClock();
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'client', clock });
  });
  after(() => runtime.close());

  const runIdOf = async (handle: Handle) => (await handle.describe()).runId;

  describe('start', () => {
    it('workflow given as a function: its name is the type', async () => {
      const handle = await runtime.client.start(waits, { workflowId: runtime.newId(), args: [1] });
      expect((await handle.describe()).type).to.equal('waits');
    });

    it('workflow given by name: the same', async () => {
      expect((await (await runtime.start('waits')).describe()).type).to.equal('waits');
    });

    it('arguments: come as they are', async () => {
      const args = [1, 'a', undefined, null, { date: new Date(3), nested: [new Map([[1, new Set([2n])]])] }];
      expect(await (await runtime.start('echo', args)).result()).to.deep.equal(args);
    });

    it('handle: knows its ids', async () => {
      const workflowId = runtime.newId();
      const handle = await runtime.client.start('waits', { workflowId, args: [] });
      expect(handle.workflowId).to.equal(workflowId);
      expect(handle.firstExecutionRunId).to.equal(await runIdOf(handle));
    });

    it('execute: starts and waits for the result', async () => {
      expect(
        await runtime.client.execute('echo', { workflowId: runtime.newId(), args: ['x'] }),
      ).to.deep.equal(['x']);
    });

    it('unknown type: ServiceError that lists the registered types', async () => {
      const error = await rejection(
        runtime.client.start('unheardOf', { workflowId: runtime.newId(), args: [] }),
      );
      expect(error).to.be.instanceOf(ServiceError);
      expect(error.message).to.equal(
        "Failed to start Workflow: Workflow type 'unheardOf' is not registered. " +
          'Registered workflow types: echo, givesFunction, knowsItself, synchronous, waits',
      );
      expect(isGrpcServiceError(error.cause)).to.equal(true);
      expect((error.cause as { code: number }).code).to.equal(3);
    });

    it('unknown type: leaves no execution behind', async () => {
      await rejection(runtime.client.start('unheardOf', { workflowId: 'left-behind', args: [] }));
      expect(await rejection(runtime.client.getHandle('left-behind').describe())).to.be.instanceOf(
        WorkflowNotFoundError,
      );
    });

    it('workflowInfo(): what was given at the start', async () => {
      const handle = await runtime.start('knowsItself', [], {
        taskQueue: 'queue',
        memo: { note: 'm' },
        searchAttributes: { Keyword: ['k'] },
        workflowRunTimeout: '1 hour',
        workflowExecutionTimeout: '2 hours',
        workflowTaskTimeout: '20 seconds',
      });
      const runId = await runIdOf(handle);
      const now = clock.now();
      const { historySize, ...info } = (await handle.result()) as Record<string, unknown>;
      expect(historySize).to.be.greaterThan(0);
      expect(info).to.deep.equal({
        workflowId: handle.workflowId,
        runId,
        workflowType: 'knowsItself',
        namespace: 'default',
        taskQueue: 'queue',
        firstExecutionRunId: runId,
        continuedFromExecutionRunId: undefined,
        attempt: 1,
        startTime: new Date(now),
        runStartTime: new Date(now),
        executionTimeoutMs: 7_200_000,
        executionExpirationTime: new Date(now + 7_200_000),
        runTimeoutMs: 3_600_000,
        runExpirationTime: new Date(now + 3_600_000),
        taskTimeoutMs: 20_000,
        historyLength: 3,
        continueAsNewSuggested: false,
        memo: { note: 'm' },
        searchAttributes: { Keyword: ['k'] },
        parent: undefined,
        root: undefined,
        lastResult: undefined,
        lastFailure: undefined,
        isReplaying: false,
        unsafeNow: 'number',
      });
    });

    it('workflow that is no async function: its value is the result', async () => {
      expect(await (await runtime.start('synchronous')).result()).to.equal('not even a promise');
    });
  });

  describe('ids that are taken', () => {
    const start = (workflowId: string, options: object = {}) =>
      runtime.client.start('waits', { workflowId, args: ['second'], ...options }) as Promise<
        Handle & { firstExecutionRunId: string }
      >;

    async function closed(how = 'done'): Promise<Handle> {
      const handle = await runtime.start('waits');
      await handle.signal('finish', how);
      await handle.result().catch(() => undefined);
      return handle;
    }

    it('execution open: WorkflowExecutionAlreadyStartedError', async () => {
      const { workflowId } = await runtime.start('waits');
      const error = (await rejection(start(workflowId))) as WorkflowExecutionAlreadyStartedError;
      expect(error).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
      expect(error).to.include({
        message: 'Workflow execution already started',
        workflowId,
        workflowType: 'waits',
      });
    });

    it('execution open, after a crash: still taken', async () => {
      const { workflowId } = await runtime.start('waits');
      await runtime.crash();
      expect(await rejection(start(workflowId))).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
    });

    it('two starts at once: one of them wins', async () => {
      const workflowId = runtime.newId();
      const outcomes = await Promise.allSettled([start(workflowId), start(workflowId)]);
      expect(outcomes.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected']);
    });

    it('conflict policy USE_EXISTING: a handle to the one that runs', async () => {
      const first = await runtime.start('waits');
      const second = await start(first.workflowId, { workflowIdConflictPolicy: 'USE_EXISTING' });
      expect(second.firstExecutionRunId).to.equal(await runIdOf(first));
      expect(await second.query('args')).to.deep.equal([]);
    });

    it('conflict policy TERMINATE_EXISTING: ends the one that runs and starts another', async () => {
      const first = await runtime.start('waits');
      const second = await start(first.workflowId, { workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
      expect(await second.query('args')).to.deep.equal(['second']);
      expect(await rejection(first.result())).to.be.instanceOf(WorkflowFailedError);
    });

    it('reuse policy TERMINATE_IF_RUNNING: the same', async () => {
      const first = await runtime.start('waits');
      await start(first.workflowId, { workflowIdReusePolicy: 'TERMINATE_IF_RUNNING' });
      expect(await rejection(first.result())).to.be.instanceOf(WorkflowFailedError);
    });

    const table: [policy: string, afterSuccess: boolean, afterFailure: boolean][] = [
      ['ALLOW_DUPLICATE', true, true],
      ['ALLOW_DUPLICATE_FAILED_ONLY', false, true],
      ['REJECT_DUPLICATE', false, false],
    ];
    for (const [workflowIdReusePolicy, afterSuccess, afterFailure] of table) {
      it(`reuse policy ${workflowIdReusePolicy}: ${afterSuccess ? '' : 'not '}after success, ${afterFailure ? '' : 'not '}after failure`, async () => {
        for (const [how, isAllowed] of [
          ['done', afterSuccess],
          ['fail', afterFailure],
        ] as const) {
          const { workflowId } = await closed(how);
          const outcome = await start(workflowId, { workflowIdReusePolicy }).catch((error: Error) => error);
          if (isAllowed) expect(await (outcome as Handle).query('args')).to.deep.equal(['second']);
          else expect(outcome).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
        }
      });
    }

    it('id used again: a handle without a run id goes to the latest run, one with a run id to that run', async () => {
      const first = await closed();
      const runId = await runIdOf(first);
      const second = await start(first.workflowId);
      expect(await runIdOf(runtime.client.getHandle(first.workflowId))).to.equal(second.firstExecutionRunId);
      const pinned = runtime.client.getHandle(first.workflowId, runId);
      expect(await pinned.result()).to.equal('done');
      expect((await pinned.describe()).status.name).to.equal('COMPLETED');
      expect((await rejection(pinned.signal('finish'))).message).to.equal(
        'workflow execution already completed',
      );
    });

    it('handle of a start: does not cancel, terminate or update a later execution of the id', async () => {
      const first = await closed();
      const second = await start(first.workflowId);
      for (const call of [first.cancel(), first.terminate(), first.executeUpdate('greet', { args: ['x'] })]) {
        const error = await rejection(call);
        expect(error).to.be.instanceOf(WorkflowNotFoundError);
        expect(error.message).to.equal('workflow execution not found');
      }
      expect((await second.describe()).status.name).to.equal('RUNNING');
      expect(await first.result()).to.equal('done');
    });
  });

  describe('result', () => {
    it('completed: the value', async () => {
      const handle = await runtime.start('waits');
      const result = handle.result();
      await handle.signal('finish', 'value');
      expect(await result).to.equal('value');
      expect(await runtime.client.result(handle.workflowId)).to.equal('value');
    });

    it('failed: WorkflowFailedError with the cause', async () => {
      const handle = await runtime.start('waits');
      await handle.signal('finish', 'fail');
      const error = (await rejection(handle.result())) as WorkflowFailedError;
      expect(error).to.be.instanceOf(WorkflowFailedError);
      expect(error.message).to.equal('Workflow execution failed');
      const cause = error.cause as ApplicationFailure;
      expect(cause).to.be.instanceOf(ApplicationFailure);
      expect(cause).to.include({ message: 'failed on purpose', type: 'OnPurpose', nonRetryable: true });
      expect(cause.details).to.deep.equal([{ n: 1 }]);
      expect(cause.stack).to.match(/fixtures\/workflows\/client\.ts/);
    });

    it('timed out: WorkflowFailedError with a TimeoutFailure', async () => {
      for (const option of ['workflowRunTimeout', 'workflowExecutionTimeout']) {
        const handle = await runtime.start('waits', [], { [option]: '1 minute' });
        clock.advance(60_000);
        const error = (await rejection(handle.result())) as WorkflowFailedError;
        expect(error.message).to.equal('Workflow execution timed out');
        expect(error.cause).to.be.instanceOf(TimeoutFailure);
        expect((error.cause as TimeoutFailure).timeoutType).to.equal('START_TO_CLOSE');
        expect((await handle.describe()).status).to.deep.equal({ code: 7, name: 'TIMED_OUT' });
      }
    });

    it('timeout, then a reopen: still ends it', async () => {
      const handle = await runtime.start('waits', [], { workflowRunTimeout: '1 minute' });
      clock.advance(30_000);
      await runtime.reopen();
      clock.advance(30_000);
      expect((await rejection(runtime.again(handle).result())).message).to.equal(
        'Workflow execution timed out',
      );
    });

    it('result after a reopen: still there', async () => {
      const handle = await runtime.start('waits');
      await handle.signal('finish', 'kept');
      await handle.result();
      await runtime.reopen();
      expect(await runtime.again(handle).result()).to.equal('kept');
    });

    it('unknown id: WorkflowNotFoundError', async () => {
      expect(await rejection(runtime.client.getHandle('never-started').result())).to.be.instanceOf(
        WorkflowNotFoundError,
      );
      expect(
        await rejection(runtime.client.getHandle('never-started', 'no-run').describe()),
      ).to.be.instanceOf(WorkflowNotFoundError);
    });

    it('result that cannot be stored: the turn fails and says where', async () => {
      const handle = await runtime.start('givesFunction');
      const { pendingTurn } = await handle.describe();
      expect(pendingTurn?.message).to.match(/^Cannot store result of workflow givesFunction\.deep\[0\]: /);
    });
  });

  describe('describe', () => {
    it('open execution: all that is known about it', async () => {
      const handle = await runtime.start('waits', [], { memo: { note: new Date(4) }, taskQueue: 'queue' });
      const { historySize, runId, ...description } = await handle.describe();
      expect(historySize).to.be.greaterThan(0);
      expect(runId).to.match(/^[0-9a-f-]{36}$/);
      expect(description).to.deep.equal({
        type: 'waits',
        workflowId: handle.workflowId,
        firstExecutionRunId: runId,
        taskQueue: 'queue',
        status: { code: 1, name: 'RUNNING' },
        historyLength: 4,
        startTime: new Date(clock.now()),
        executionTime: new Date(clock.now()),
        closeTime: undefined,
        memo: { note: new Date(4) },
        searchAttributes: {},
        parentExecution: undefined,
        pendingActivities: [],
        pendingTurn: undefined,
      });
    });

    it('closed execution: status, close time, and the length of its history', async () => {
      const handle = await runtime.start('waits');
      clock.advance(5000);
      await handle.signal('finish', 'fail');
      await handle.result().catch(() => undefined);
      const { status, closeTime, startTime, historyLength } = await handle.describe();
      expect(status).to.deep.equal({ code: 3, name: 'FAILED' });
      expect(closeTime?.getTime()).to.equal(startTime.getTime() + 5000);
      expect(historyLength).to.equal((await handle.fetchHistory()).events.length);
      await runtime.reopen();
      expect(await runtime.again(handle).describe()).to.deep.include({
        status,
        closeTime,
        startTime,
        historyLength,
      });
    });
  });

  describe('what makes no sense', () => {
    const cases: [what: string, call: () => Promise<unknown>, message: RegExp][] = [
      [
        'no workflow id',
        () => runtime.client.start('waits', { args: [] } as never),
        /^Missing WorkflowOptions\.workflowId$/,
      ],
      ['no options', () => runtime.client.start('waits', undefined as never), /^Missing WorkflowOptions$/],
      [
        'arguments that are no list',
        () => runtime.client.start('waits', { workflowId: 'x', args: 'a' as never }),
        /args must be an array/,
      ],
      [
        'anonymous function',
        () =>
          runtime.client.start(
            (
              () => async () =>
                1
            )() as never,
            { workflowId: 'x' } as never,
          ),
        /^Invalid workflow type: the workflow function is anonymous$/,
      ],
      [
        'type that is neither',
        () => runtime.client.start(7 as never, { workflowId: 'x' } as never),
        /^Invalid workflow type: expected either a string or a function, got 'number'$/,
      ],
      [
        'workflow id that is no text',
        () => runtime.client.start('waits', { workflowId: 7 as never, args: [] }),
        /^workflowId must be a string, got number$/,
      ],
      [
        'workflow id that is too long',
        () => runtime.client.start('waits', { workflowId: 'ü'.repeat(501), args: [] }),
        /^workflowId is too long: 1002 bytes, the limit is 1000/,
      ],
      [
        'unknown policy',
        () =>
          runtime.client.start('waits', {
            workflowId: 'x',
            args: [],
            workflowIdReusePolicy: 'MAYBE' as never,
          }),
        /^workflowIdReusePolicy must be one of ALLOW_DUPLICATE, /,
      ],
      [
        'bad duration',
        () =>
          runtime.client.start('waits', { workflowId: 'x', args: [], workflowRunTimeout: 'soon' as never }),
        /^Invalid duration string: "soon"/,
      ],
      [
        'query definition for a signal',
        () => handle().signal(wf.defineQuery('q') as never),
        /^Expected a signal definition or name, got a query definition$/,
      ],
      [
        'signal definition for a query',
        () => handle().query(wf.defineSignal('s') as never),
        /^Expected a query definition or name, got a signal definition$/,
      ],
      [
        'signal definition for an update',
        () => handle().executeUpdate(wf.defineSignal('s') as never),
        /^Expected an update definition or name, got a signal definition$/,
      ],
      [
        'no name',
        () => handle().signal(undefined as never),
        /^Expected a signal definition or name, got undefined$/,
      ],
      [
        'unknown stage',
        () => handle().startUpdate('u', { waitForStage: 'DONE' as never }),
        /^waitForStage must be one of ADMITTED, ACCEPTED, COMPLETED, got 'DONE'$/,
      ],
    ];
    const handle = () => runtime.client.getHandle('anything') as Handle;
    for (const [what, call, message] of cases) {
      it(`${what}: TypeError`, async () => {
        // Rejects and does not throw, so that callers have one way to hear of it.
        const error = await rejection(call());
        expect(error).to.be.instanceOf(TypeError);
        expect(error.message).to.match(message);
      });
    }

    const unstorable: [
      what: string,
      call: (handle: Handle, value: unknown) => Promise<unknown>,
      path: string,
    ][] = [
      [
        'start',
        (_, value) => runtime.client.start('echo', { workflowId: 'x', args: [value] }),
        'arguments of workflow echo[0].deep[1]',
      ],
      [
        'memo',
        (_, value) => runtime.client.start('echo', { workflowId: 'x', args: [], memo: { value } }),
        'memo.value.deep[1]',
      ],
      ['signal', (handle, value) => handle.signal('s', 1, value), 'arguments of signal s[1].deep[1]'],
      ['query', (handle, value) => handle.query('q', value), 'arguments of query q[0].deep[1]'],
      [
        'update',
        (handle, value) => handle.executeUpdate('u', { args: [value] }),
        'arguments of update u[0].deep[1]',
      ],
    ];
    for (const [what, call, path] of unstorable) {
      it(`${what} with a value that cannot be stored: PayloadEncodeError with the path to it`, async () => {
        const error = (await rejection(call(handle(), { deep: [1, () => 2] }))) as PayloadEncodeError;
        expect(error).to.be.instanceOf(PayloadEncodeError);
        expect(error.path).to.equal(path);
        expect(error.message.startsWith(`Cannot store ${path}: `)).to.equal(true);
      });

      it(`${what} with a value that is too large: PayloadTooLargeError`, async () => {
        const error = (await rejection(
          call(handle(), new Uint8Array(3 * 1024 * 1024)),
        )) as PayloadTooLargeError;
        expect(error).to.be.instanceOf(PayloadTooLargeError);
        expect(error.limit).to.equal(2 * 1024 * 1024);
      });
    }
  });

  describe('definitions', () => {
    it('definition objects and names: are the same to calls', async () => {
      const handle = await runtime.start('waits', ['a']);
      expect(await handle.query(wf.defineQuery<unknown[]>('args'))).to.deep.equal(['a']);
      expect(
        await handle.executeUpdate(wf.defineUpdate<string, [string]>('greet'), { args: ['you'] }),
      ).to.equal('hello you');
      await handle.signal(wf.defineSignal<[string]>('finish'), 'by definition');
      expect(await handle.result()).to.equal('by definition');
    });

    it('authoring API in plain Node: definitions work, the rest says where it belongs', () => {
      expect(wf.defineSignal('s')).to.deep.equal({ type: 'signal', name: 's' });
      expect(wf.inWorkflowContext()).to.equal(false);
      expect(() => wf.setHandler(wf.defineSignal('s'), () => undefined)).to.throw(
        wf.IllegalStateError,
        'Workflow.setHandler(...) may only be used from a Workflow Execution.',
      );
      expect(() => wf.sleep(1)).to.throw('Workflow.sleep(...) may only be used from a Workflow Execution.');
      expect(() => wf.workflowInfo()).to.throw(
        'Workflow.workflowInfo() may only be used from a Workflow Execution.',
      );
    });
  });

  describe('close()', () => {
    it('calls after it: refused with an error that says so, retryable elsewhere', async () => {
      const own = await TestRuntime.open({ workflows: 'client' });
      const handle = await own.start('waits');
      const update = handle.getUpdateHandle('u');
      await own.close();
      const calls = [
        own.client.start('waits', { workflowId: 'x', args: [] }),
        own.client.signalWithStart('waits', { workflowId: 'x', args: [], signal: 'finish' }),
        handle.signal('finish'),
        handle.query('args'),
        handle.executeUpdate('greet', { args: ['x'] }),
        handle.startUpdate('greet', { args: ['x'], waitForStage: 'ACCEPTED' }),
        update.result(),
        handle.result(),
        handle.describe(),
        handle.fetchHistory(),
        handle.cancel(),
        handle.terminate(),
      ];
      for (const call of calls) {
        const error = await rejection(call);
        expect(error).to.be.instanceOf(ServiceError);
        expect(error.message).to.match(
          /The runtime is closed: open it again with Runtime\.open and get a new client from it$/,
        );
        expect((error.cause as { code: number }).code).to.equal(14);
      }
    });

    it('calls under way: finish, or are told', async () => {
      const own = await TestRuntime.open({ workflows: 'client' });
      const handle = await own.start('waits');
      const result = rejection(handle.result());
      const signals = Array.from({ length: 50 }, () => handle.signal('unheardOf'));
      const update = handle.executeUpdate('greet', { args: ['you'] });
      const closing = own.close();
      await Promise.all(signals);
      expect(await update).to.equal('hello you');
      await closing;
      expect((await result).message).to.match(/The runtime is closed/);
    });

    it('twice, also at once: both resolve', async () => {
      const own = await TestRuntime.open({ workflows: 'client' });
      await Promise.all([own.close(), own.close()]);
      await own.close();
    });
  });

  it('two runtimes in one process: know nothing of each other', async () => {
    const other = await TestRuntime.open({ workflows: 'client' });
    const [mine, theirs] = [
      await runtime.client.start('waits', { workflowId: 'same', args: ['mine'] }),
      await other.client.start('waits', { workflowId: 'same', args: ['theirs'] }),
    ];
    expect([await mine.query('args'), await theirs.query('args')]).to.deep.equal([['mine'], ['theirs']]);
    await other.close();
    expect(await mine.query('args')).to.deep.equal(['mine']);
  });
});
