import { expect } from 'chai';
import * as failures from '../../actors/failures.js';
import * as wf from '../../actors/workflow.js';
import * as clientErrors from '../../runtime/client/errors.js';
import {
  ApplicationFailure,
  CancelledFailure,
  GrpcStatus,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  TerminatedFailure,
  TimeoutFailure,
  WithStartWorkflowOperation,
  type WorkflowClient,
  WorkflowContinuedAsNewError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '../../runtime/client/index.js';
import { openFaulty } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

interface Expected {
  is: abstract new (...args: any[]) => Error;
  name: string;
  message: string | RegExp;
  fields?: Record<string, unknown>;
  cause?: { is: abstract new (...args: any[]) => Error; message: string | RegExp; fields?: object };
}

function expectError(error: Error, { is, name, message, fields = {}, cause }: Expected): void {
  expect(error, error.stack).to.be.instanceOf(is);
  expect(error.name).to.equal(name);
  if (typeof message === 'string') expect(error.message).to.equal(message);
  else expect(error.message).to.match(message);
  expect(error).to.deep.include(fields);
  if (cause === undefined) return;
  const actual = error.cause as Error;
  expect(actual, actual?.stack).to.be.instanceOf(cause.is);
  if (typeof cause.message === 'string') expect(actual.message).to.equal(cause.message);
  else expect(actual.message).to.match(cause.message);
  expect(actual).to.deep.include(cause.fields ?? {});
}

// The rows of the table in semantics.md section 11.
describe('errors of client calls', () => {
  const clock = new ManualClock();
  let runtime: TestRuntime;
  let updates: TestRuntime;
  let chains: TestRuntime;
  let client: WorkflowClient;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'client', clock });
    updates = await TestRuntime.open({ workflows: 'updates', limits: { updatesInFlightMax: 1 } });
    chains = await TestRuntime.open({ workflows: 'continue-as-new-driven' });
    client = runtime.client;
  });
  after(async () => {
    for (const each of [runtime, updates, chains]) await each.close();
  });

  async function closed(): Promise<Handle> {
    const handle = await runtime.start('waits');
    await handle.signal<[string]>('finish', 'done');
    await handle.result();
    return handle;
  }

  describe('start', () => {
    const refused = (workflowId: string): Expected => ({
      is: WorkflowExecutionAlreadyStartedError,
      name: 'WorkflowExecutionAlreadyStartedError',
      message: 'Workflow execution already started',
      fields: { workflowId, workflowType: 'waits' },
    });

    it('id of an open execution: WorkflowExecutionAlreadyStartedError, whatever starts', async () => {
      const { workflowId } = await runtime.start('waits');
      const startWorkflowOperation = new WithStartWorkflowOperation('waits', {
        workflowId,
        workflowIdConflictPolicy: 'FAIL',
      });
      for (const call of [
        client.start('waits', { workflowId }),
        client.execute('waits', { workflowId }),
        client.signalWithStart('waits', {
          workflowId,
          workflowIdConflictPolicy: 'FAIL',
          signal: 'finish',
        }),
        client.executeUpdateWithStart<any, string, [string]>('greet', {
          args: ['x'],
          startWorkflowOperation,
        }),
      ]) {
        expectError(await rejection(call), refused(workflowId));
      }
    });

    it('id of a closed execution, REJECT_DUPLICATE: the same', async () => {
      const { workflowId } = await closed();
      const options = { workflowId, workflowIdReusePolicy: 'REJECT_DUPLICATE' } as const;
      for (const call of [
        client.start('waits', options),
        client.signalWithStart('waits', { ...options, signal: 'finish' }),
      ])
        expectError(await rejection(call), refused(workflowId));
    });

    it('type that is not registered: ServiceError, cause INVALID_ARGUMENT', async () => {
      for (const [call, fallback] of [
        [client.start('unheardOf', { workflowId: 'x' }), 'Failed to start Workflow'],
        [
          client.signalWithStart('unheardOf', { workflowId: 'x', signal: 's' }),
          'Failed to signalWithStart Workflow',
        ],
      ] as const) {
        expectError(await rejection(call), {
          is: ServiceError,
          name: 'ServiceError',
          message: new RegExp(`^${fallback}: Workflow type 'unheardOf' is not registered`),
          cause: {
            is: RpcError,
            message: /is not registered/,
            fields: { code: GrpcStatus.INVALID_ARGUMENT },
          },
        });
      }
    });

    const prefixes = [
      ['workflowIdConflictPolicy', 'WORKFLOW_ID_CONFLICT_POLICY_', 'USE_EXISTING'],
      ['workflowIdReusePolicy', 'WORKFLOW_ID_REUSE_POLICY_', 'REJECT_DUPLICATE'],
    ] as const;
    for (const [option, prefix, value] of prefixes) {
      it(`${option}: taken with Temporal's prefix, anything else is a TypeError`, async () => {
        const { workflowId } =
          option === 'workflowIdConflictPolicy' ? await runtime.start('waits') : await closed();
        const call = client.start('waits', { workflowId, [option]: prefix + value });
        if (value === 'USE_EXISTING') expect((await call).workflowId).to.equal(workflowId);
        else expectError(await rejection(call), refused(workflowId));
        const wrong = client.start('waits', { workflowId: 'x', [option]: `${prefix}PERHAPS` });
        expectError(await rejection(wrong), {
          is: TypeError,
          name: 'TypeError',
          message: new RegExp(`^${option} must be one of [A-Z_, ]+, got '${prefix}PERHAPS'$`),
        });
      });
    }

    it('TERMINATE_IF_RUNNING with a conflict policy, negative delay: TypeError, nothing is done', async () => {
      const { workflowId } = await runtime.start('waits');
      for (const options of [
        { workflowIdReusePolicy: 'TERMINATE_IF_RUNNING', workflowIdConflictPolicy: 'FAIL' },
        { workflowIdConflictPolicy: 'TERMINATE_EXISTING', startDelay: -1 },
      ] as const)
        expect(await rejection(client.start('waits', { workflowId, ...options }))).to.be.instanceOf(
          TypeError,
        );
      expect((await client.getHandle(workflowId).describe()).status.name).to.equal('RUNNING');
    });
  });

  describe('executions that are not there', () => {
    const CALLS: Record<string, (handle: Handle) => Promise<unknown>> = {
      signal: (handle) => handle.signal('finish'),
      signalWithOptions: (handle) => handle.signalWithOptions('finish', { requestId: 'r' }),
      cancel: (handle) => handle.cancel(),
      terminate: (handle) => handle.terminate(),
      executeUpdate: (handle) => handle.executeUpdate<string, [string]>('greet', { args: ['x'] }),
      startUpdate: (handle) =>
        handle.startUpdate<string, [string]>('greet', { args: ['x'], waitForStage: 'ACCEPTED' }),
    };
    const READS: Record<string, (handle: Handle) => Promise<unknown>> = {
      query: (handle) => handle.query('args'),
      result: (handle) => handle.result(),
      describe: (handle) => handle.describe(),
      fetchHistory: (handle) => handle.fetchHistory(),
      'result of an update': (handle) => handle.getUpdateHandle('u').result(),
    };
    const notFound = (message: string, workflowId: string, runId?: string): Expected => ({
      is: WorkflowNotFoundError,
      name: 'WorkflowNotFoundError',
      message,
      fields: { workflowId, runId },
    });

    for (const [name, call] of Object.entries({ ...CALLS, ...READS })) {
      it(`${name}, unknown id: WorkflowNotFoundError`, async () => {
        expectError(
          await rejection(call(client.getHandle('nobody'))),
          notFound('workflow not found for ID: nobody', 'nobody'),
        );
      });

      it(`${name}, unknown namespace: NamespaceNotFoundError`, async () => {
        const elsewhere = client.withOptions({ namespace: 'elsewhere' }).getHandle('nobody');
        expectError(await rejection(call(elsewhere)), {
          is: NamespaceNotFoundError,
          name: 'NamespaceNotFoundError',
          message: "Namespace not found: 'elsewhere'",
          fields: { namespace: 'elsewhere' },
        });
      });
    }

    for (const [name, call] of Object.entries(CALLS)) {
      it(`${name}, closed execution: WorkflowNotFoundError`, async () => {
        const handle = await closed();
        expectError(
          await rejection(call(handle)),
          notFound('workflow execution already completed', handle.workflowId),
        );
      });
    }

    it('unknown run of a known id: WorkflowNotFoundError with that run', async () => {
      const { workflowId } = await runtime.start('waits');
      expectError(
        await rejection(client.getHandle(workflowId, 'no run').describe()),
        notFound(`workflow not found for ID: ${workflowId}`, workflowId, 'no run'),
      );
    });

    it('cancel, terminate, update through a handle of another chain: WorkflowNotFoundError, this one is left alone', async () => {
      const { workflowId } = await runtime.start('waits');
      const guarded = client.getHandle(workflowId, undefined, { firstExecutionRunId: 'another' });
      for (const name of ['cancel', 'terminate', 'executeUpdate', 'startUpdate'])
        expectError(
          await rejection(CALLS[name]!(guarded)),
          notFound('workflow execution not found', workflowId),
        );
      expect((await client.getHandle(workflowId).describe()).status.name).to.equal('RUNNING');
    });
  });

  describe('queries', () => {
    it('no handler: QueryNotRegisteredError with code INVALID_ARGUMENT', async () => {
      const handle = await runtime.start('waits');
      expectError(await rejection(handle.query('unheardOf')), {
        is: QueryNotRegisteredError,
        name: 'QueryNotRegisteredError',
        message:
          'Workflow did not register a handler for unheardOf. ' +
          'Registered queries: [__stack_trace __enhanced_stack_trace __temporal_workflow_metadata args]',
        fields: { code: GrpcStatus.INVALID_ARGUMENT },
      });
    });

    for (const [condition, how, isRejected] of [
      ['NOT_OPEN', 'done', true],
      ['QUERY_REJECT_CONDITION_NOT_OPEN', 'done', true],
      ['NOT_COMPLETED_CLEANLY', 'done', false],
      ['NOT_COMPLETED_CLEANLY', 'fail', true],
      ['NONE', 'fail', false],
    ] as const) {
      it(`queryRejectCondition ${condition}, execution that ended with '${how}': ${isRejected ? 'QueryRejectedError with its status' : 'answered'}`, async () => {
        const handle = await runtime.start('waits', [1]);
        await handle.signal<[string]>('finish', how);
        await handle.result().catch(() => undefined);
        const own = client.withOptions({ queryRejectCondition: condition as 'NONE' });
        const query = own.getHandle(handle.workflowId).query('args');
        if (!isRejected) return expect(await query).to.deep.equal([1]);
        expectError(await rejection(query), {
          is: QueryRejectedError,
          name: 'QueryRejectedError',
          message: 'Query rejected',
          fields: { status: how === 'done' ? 2 : 3 },
        });
      });
    }

    it('first turn never succeeded: ServiceError, cause FAILED_PRECONDITION with the reason', async () => {
      const own = new ManualClock();
      const { test } = await openFaulty({ clock: own });
      const handle = await test.start('startsLate', [own.now() + 1_000]);
      expectError(await rejection(handle.query('any')), {
        is: ServiceError,
        name: 'ServiceError',
        message: /^Failed to query Workflow: The first turn of workflow startsLate-1 fails.*too early$/,
        cause: { is: RpcError, message: /too early/, fields: { code: GrpcStatus.FAILED_PRECONDITION } },
      });
      await test.close();
    });
  });

  describe('updates', () => {
    const failed = (cause: Expected['cause']): Expected => ({
      is: WorkflowUpdateFailedError,
      name: 'WorkflowUpdateFailedError',
      message: 'Workflow Update failed',
      ...(cause && { cause }),
    });

    it('rejected by the validator, failed after acceptance, no handler: WorkflowUpdateFailedError', async () => {
      const rejected = await updates.start('adds');
      expectError(
        await rejection(rejected.executeUpdate('add', { args: [-1] })),
        failed({
          is: ApplicationFailure,
          message: 'must not be negative',
          fields: { type: 'Negative', nonRetryable: true, details: [-1] },
        }),
      );
      expectError(
        await rejection((await updates.start('fails')).executeUpdate('fail', { args: ['x'] })),
        failed({ is: ApplicationFailure, message: 'cannot do it', fields: { type: 'Cannot' } }),
      );
      expectError(
        await rejection(rejected.executeUpdate('unheardOf')),
        failed({ is: ApplicationFailure, message: 'No registered handler for update: unheardOf' }),
      );
    });

    it('the workflow ends before the update is done: WorkflowUpdateFailedError that says so', async () => {
      const handle = await updates.start('endsEarly', ['silent']);
      const update = await handle.startUpdate<string, [string]>('hang', {
        args: ['never'],
        waitForStage: 'ACCEPTED',
      });
      await handle.signal('finish');
      expectError(
        await rejection(update.result()),
        failed({
          is: ApplicationFailure,
          message: 'Workflow Update failed because the Workflow completed before the Update completed.',
          fields: { type: 'AcceptedUpdateCompletedWorkflow' },
        }),
      );
    });

    it('deadline, abort: WorkflowUpdateRPCTimeoutOrCancelledError with the code in its cause', async () => {
      const handle = await updates.start('adds');
      const send = () => handle.executeUpdate<number, [number]>('add', { args: [1] });
      for (const [call, code, is] of [
        [updates.client.withDeadline(0, send), GrpcStatus.DEADLINE_EXCEEDED, isGrpcDeadlineError],
        [
          updates.client.withAbortSignal(AbortSignal.abort(), send),
          GrpcStatus.CANCELLED,
          isGrpcCancelledError,
        ],
      ] as const) {
        const error = await rejection(call);
        expectError(error, {
          is: WorkflowUpdateRPCTimeoutOrCancelledError,
          name: 'WorkflowUpdateRPCTimeoutOrCancelledError',
          message: /^Workflow Update call timed out or was cancelled: /,
          cause: { is: RpcError, message: /nothing was done/, fields: { code } },
        });
        expect(is(error)).to.equal(true);
        expect(isGrpcServiceError(error)).to.equal(false);
        expect(isGrpcServiceError(error.cause)).to.equal(true);
      }
    });

    it('too many under way: a gRPC error with RESOURCE_EXHAUSTED, in a ServiceError', async () => {
      const handle = await updates.start('adds');
      await handle.startUpdate<number, [number, string]>('addAtGate', {
        args: [1, 'never'],
        waitForStage: 'ACCEPTED',
      });
      expectError(await rejection(handle.executeUpdate('add', { args: [1] })), {
        is: ServiceError,
        name: 'ServiceError',
        message:
          'Workflow Update failed: limit on number of concurrent in-flight updates has been reached (1)',
        cause: { is: RpcError, message: /in-flight/, fields: { code: GrpcStatus.RESOURCE_EXHAUSTED } },
      });
    });

    it('the update makes every turn fail: ServiceError, cause FAILED_PRECONDITION with the reason, and the workflow goes on', async () => {
      const own = new ManualClock();
      const { test } = await openFaulty({ clock: own });
      const handle = await test.start('collector');
      const call = rejection(
        handle.executeUpdate<number, [number]>('putFailingUntil', {
          args: [own.now() + 3_600_000],
          updateId: 'u',
        }),
      );
      for (const attempt of [1, 2]) {
        await eventually(async () => (await handle.describe()).pendingTurn?.attempt === attempt);
        own.advance(60_000);
      }
      expectError(await call, {
        is: ServiceError,
        name: 'ServiceError',
        message:
          /^Workflow Update failed: The turn of workflow collector-1 .* has failed 3 times \(limits\.updateTurnAttemptsMax\), .*had no effect.*: too early$/,
        cause: { is: RpcError, message: /too early/, fields: { code: GrpcStatus.FAILED_PRECONDITION } },
      });
      own.advance(60_000);
      expect(await handle.executeUpdate<number, [number]>('put', { args: [7] })).to.equal(1);
      expect(await handle.query('list')).to.deep.equal([7]);
      // Forgotten, so its id can be used again.
      expect(await handle.executeUpdate<number, [number]>('put', { args: [8], updateId: 'u' })).to.equal(2);
      await test.close();
    });

    it('an update that was accepted before turns began to fail: kept, and done when the workflow is mended', async () => {
      const own = new ManualClock();
      let finish = (_: number): void => undefined;
      const double = () => new Promise<number>((resolve) => void (finish = resolve));
      const { test } = await openFaulty({ clock: own, activities: { double } });
      const handle = await test.start('collector');
      const update = await handle.startUpdate<number, [number]>('putDoubled', {
        args: [4],
        waitForStage: 'ACCEPTED',
      });
      const result = update.result();
      await eventually(() => test.runtime.metrics().activitiesRunning === 1);
      await handle.signal<[number]>('failUntil', own.now() + 3_000);
      for (const attempt of [1, 2, 3, 4]) {
        await eventually(async () => (await handle.describe()).pendingTurn?.attempt === attempt);
        own.advance(200 * 2 ** (attempt - 1));
      }
      finish(8);
      await eventually(async () => {
        own.advance(200);
        return (await handle.describe()).pendingTurn === undefined;
      });
      expect(await result).to.equal(2);
      expect(await handle.query('list')).to.deep.equal(['late enough', 8]);
      await test.close();
    });

    it('waitForStage: raised to ACCEPTED from below, taken with the prefix, anything else is a TypeError', async () => {
      const handle = await updates.start('adds');
      for (const waitForStage of [
        'ADMITTED',
        undefined,
        'UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED',
      ] as unknown as 'ACCEPTED'[])
        expect(await (await handle.startUpdate('nothing', { waitForStage })).result()).to.equal(undefined);
      const wrong = handle.startUpdate('nothing', { waitForStage: 'SENT' as 'ACCEPTED' });
      expect((await rejection(wrong)).message).to.equal(
        "waitForStage must be one of ADMITTED, ACCEPTED, COMPLETED, got 'SENT'",
      );
    });

    it('handle of an update in another run than it is in: WorkflowNotFoundError from result()', async () => {
      const first = await updates.start('adds');
      await first.executeUpdate('add', { args: [1], updateId: 'u' });
      const { runId } = await first.describe();
      await first.terminate();
      const second = await updates.client.start('adds', { workflowId: first.workflowId });
      const of = (workflowRunId?: string) =>
        updates.client
          .getHandle(first.workflowId)
          .getUpdateHandle<number>('u', workflowRunId === undefined ? {} : { workflowRunId });
      expect(await of(runId).result()).to.equal(1);
      expect(of(runId).workflowRunId).to.equal(runId);
      for (const missing of [of(), of(second.firstExecutionRunId)])
        expect(await rejection(missing.result())).to.be.instanceOf(WorkflowNotFoundError);
    });
  });

  describe('result()', () => {
    const failed = (message: string, cause: Expected['cause']): Expected => ({
      is: WorkflowFailedError,
      name: 'WorkflowFailedError',
      message,
      ...(cause && { cause }),
    });

    it('failed', async () => {
      const handle = await runtime.start('waits');
      await handle.signal<[string]>('finish', 'fail');
      expectError(
        await rejection(handle.result()),
        failed('Workflow execution failed', {
          is: ApplicationFailure,
          message: 'failed on purpose',
          fields: { type: 'OnPurpose', nonRetryable: true },
        }),
      );
    });

    it('cancelled', async () => {
      const handle = await runtime.start('waits');
      await handle.cancel();
      expectError(
        await rejection(handle.result()),
        failed('Workflow execution cancelled', { is: CancelledFailure, message: 'Workflow canceled' }),
      );
    });

    for (const reason of ['enough', undefined]) {
      it(`terminated, ${reason === undefined ? 'without a' : 'with a'} reason`, async () => {
        const handle = await runtime.start('waits');
        await handle.terminate(reason);
        const text = reason ?? 'Workflow execution terminated';
        expectError(await rejection(handle.result()), failed(text, { is: TerminatedFailure, message: text }));
      });
    }

    it('timed out', async () => {
      const handle = await runtime.start('waits', [], { workflowRunTimeout: '1500 ms' });
      const result = rejection(handle.result());
      clock.advance(1_500);
      expectError(
        await result,
        failed('Workflow execution timed out', {
          is: TimeoutFailure,
          message: 'Workflow execution timed out',
          fields: { timeoutType: 'START_TO_CLOSE' },
        }),
      );
    });

    it('continued as new, runs not followed: WorkflowContinuedAsNewError with the next run; followed: its result', async () => {
      const workflowId = chains.newId();
      const first = await chains.client.start('counter', { workflowId, args: [2], followRuns: false });
      await first.signal('go');
      const error = (await rejection(first.result())) as WorkflowContinuedAsNewError;
      const next = await eventually(async () => {
        const { runId } = await chains.client.getHandle(workflowId).describe();
        return runId !== first.firstExecutionRunId && runId;
      });
      expectError(error, {
        is: WorkflowContinuedAsNewError,
        name: 'WorkflowExecutionContinuedAsNewError',
        message: 'Workflow execution continued as new',
        fields: { newExecutionRunId: next },
      });
      const pinned = (followRuns: boolean) =>
        chains.client.getHandle(workflowId, first.firstExecutionRunId, { followRuns }).result();
      expect(await rejection(pinned(false))).to.be.instanceOf(WorkflowContinuedAsNewError);
      const followed = pinned(true);
      await first.signal('go');
      expect(await followed).to.equal(3);
      expect(
        await chains.client.result(workflowId, first.firstExecutionRunId, { followRuns: true }),
      ).to.equal(3);
    });

    it('start with USE_EXISTING of a run that continues another: the handle reaches the chain', async () => {
      const workflowId = chains.newId();
      const first = await chains.client.start('counter', { workflowId, args: [2] });
      await first.signal('go');
      await eventually(
        async () =>
          (await chains.client.getHandle(workflowId).describe()).runId !== first.firstExecutionRunId,
      );
      const again = await chains.client.start('counter', {
        workflowId,
        args: [0],
        workflowIdConflictPolicy: 'USE_EXISTING',
      });
      expect(again.firstExecutionRunId).to.equal(first.firstExecutionRunId);
      await again.terminate('reached');
      expect((await rejection(again.result())).message).to.equal('reached');
    });
  });
});

describe('errors as values', () => {
  /** Another copy of the module, as a program has it that bundles the package twice. */
  const copyOf = (file: string): Promise<Record<string, any>> =>
    import(new URL(`../../${file}?copy`, import.meta.url).href);

  const NAMED: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
    [
      'runtime/client/errors.js',
      clientErrors,
      [
        'NamespaceNotFoundError',
        'QueryNotRegisteredError',
        'QueryRejectedError',
        'ServiceError',
        'WorkflowContinuedAsNewError',
        'WorkflowFailedError',
        'WorkflowNotFoundError',
        'WorkflowUpdateFailedError',
        'WorkflowUpdateRPCTimeoutOrCancelledError',
      ],
    ],
    [
      'actors/failures.js',
      failures,
      [
        'ActivityFailure',
        'ApplicationFailure',
        'CancelledFailure',
        'ChildWorkflowFailure',
        'DeterminismViolationError',
        'IllegalStateError',
        'ServerFailure',
        'TemporalFailure',
        'TerminatedFailure',
        'TimeoutFailure',
        'ValueError',
        'WorkflowExecutionAlreadyStartedError',
      ],
    ],
  ];
  for (const [file, original, names] of NAMED) {
    for (const name of names) {
      it(`${name}: instanceof holds across copies of its module, and only for it`, async () => {
        const copy = (await copyOf(file))[name];
        const own = original[name] as new (...args: any[]) => Error;
        expect(copy).not.to.equal(own);
        const error = new copy('message');
        expect(error).to.be.instanceOf(own);
        expect(new own('message')).to.be.instanceOf(copy);
        const brand = Symbol.for(`__temporal_is${error.name}`);
        expect((error as Record<symbol, unknown>)[brand]).to.equal(true);
        expect(new Error('message')).not.to.be.instanceOf(own);
        expect(undefined).not.to.be.instanceOf(own);
        const other = name === 'ServiceError' ? clientErrors.WorkflowNotFoundError : ServiceError;
        expect(error).not.to.be.instanceOf(other);
      });
    }
  }

  it('a class derived from one of them: is checked by its prototype', () => {
    class Own extends ServiceError {}
    expect(new Own('x')).to.be.instanceOf(ServiceError);
    expect(new ServiceError('x')).not.to.be.instanceOf(Own);
  });

  it('isGrpcServiceError: an Error with string details and object metadata', () => {
    const like = (fields: object) => Object.assign(new Error('x'), fields);
    expect(isGrpcServiceError(new RpcError(GrpcStatus.NOT_FOUND, 'x'))).to.equal(true);
    expect(isGrpcServiceError(like({ details: '', metadata: {} }))).to.equal(true);
    expect(isGrpcServiceError(like({ details: 1, metadata: {} }))).to.equal(false);
    expect(isGrpcServiceError(like({ details: '', metadata: null }))).to.equal(false);
    expect(isGrpcServiceError(like({ details: '' }))).to.equal(false);
    expect(isGrpcServiceError({ details: '', metadata: {} })).to.equal(false);
    for (const value of [undefined, null, 'x', new Error('x')])
      expect(isGrpcServiceError(value)).to.equal(false);
  });

  it('isGrpcDeadlineError, isGrpcCancelledError: anywhere in the chain of causes', () => {
    const deep = (code: GrpcStatus) =>
      new Error('a', { cause: new ServiceError('b', { cause: new RpcError(code, 'c') }) });
    expect(isGrpcDeadlineError(deep(GrpcStatus.DEADLINE_EXCEEDED))).to.equal(true);
    expect(isGrpcCancelledError(deep(GrpcStatus.DEADLINE_EXCEEDED))).to.equal(false);
    expect(isGrpcCancelledError(deep(GrpcStatus.CANCELLED))).to.equal(true);
    expect(isGrpcDeadlineError(new Error('a', { cause: 4 }))).to.equal(false);
    expect(isGrpcDeadlineError(undefined)).to.equal(false);
  });
});

describe('authoring API outside of a workflow', () => {
  const CALLS: Record<string, () => unknown> = {
    'setHandler(...)': () => wf.setHandler(wf.defineSignal('s'), () => undefined),
    'setDefaultSignalHandler(...)': () => wf.setDefaultSignalHandler(() => undefined),
    'setDefaultUpdateHandler(...)': () => wf.setDefaultUpdateHandler(() => undefined),
    'setDefaultQueryHandler(...)': () => wf.setDefaultQueryHandler(() => undefined),
    'allHandlersFinished()': () => wf.allHandlersFinished(),
    'currentUpdateInfo()': () => wf.currentUpdateInfo(),
    'workflowInfo()': () => wf.workflowInfo(),
    'setCurrentDetails(...)': () => wf.setCurrentDetails('x'),
    'getCurrentDetails()': () => wf.getCurrentDetails(),
    'sleep(...)': () => wf.sleep(1),
    'condition(...)': () => wf.condition(() => true),
    'CancellationScope.current(...)': () => wf.CancellationScope.current(),
    'startChild(...)': () => wf.startChild('x', { workflowId: 'x', args: [] }),
    'executeChild(...)': () => wf.executeChild('x', { workflowId: 'x', args: [] }),
    'getExternalWorkflowHandle(...)': () => wf.getExternalWorkflowHandle('x'),
    'continueAsNew(...) and Workflow.makeContinueAsNewFunc(...)': () => wf.continueAsNew(),
    'scheduleActivity(...)': () =>
      wf.proxyActivities<{ act(): Promise<void> }>({ startToCloseTimeout: 1 }).act(),
    log: () => wf.log.info('x'),
  };
  for (const [api, call] of Object.entries(CALLS)) {
    it(`${api}: IllegalStateError that names it`, async () => {
      const error = await rejection((async () => call())());
      expectError(error, {
        is: wf.IllegalStateError,
        name: 'IllegalStateError',
        message: `Workflow.${api} may only be used from a Workflow Execution.`,
      });
    });
  }

  it('definitions and inWorkflowContext(): work', () => {
    expect(wf.inWorkflowContext()).to.equal(false);
    expect(wf.defineUpdate('u')).to.deep.equal({ type: 'update', name: 'u' });
  });
});
