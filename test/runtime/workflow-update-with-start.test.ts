import { expect } from 'chai';
import {
  GrpcStatus,
  isGrpcServiceError,
  RpcError,
  ServiceError,
  WithStartWorkflowOperation,
  type WithStartWorkflowOptions,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '../../runtime/client/index.js';
import { noUnhandledRejections, openFaulty } from '../support/faulty.js';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  TASK,
  TestRuntime,
  type TestRuntimeOptions,
} from '../support/runtime.js';

type Options = Partial<WithStartWorkflowOptions>;

/** Of the workflow 'adds' unless another is named, with policy USE_EXISTING unless another is given. */
function operation(workflowId: string, options: Options = {}, type = 'adds') {
  return new WithStartWorkflowOperation(type, {
    workflowId,
    workflowIdConflictPolicy: 'USE_EXISTING',
    ...options,
  });
}

// semantics.md section 4; sending-messages.txt, Update-With-Start
describe('update-with-start', () => {
  noUnhandledRejections();
  let runtime: TestRuntime;
  const clock = new ManualClock();
  const opened: TestRuntime[] = [];
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'updates', clock });
  });
  after(() => runtime.close());
  afterEach(async () => {
    for (const test of opened.splice(0)) await test.close();
  });

  async function faulty(options: Partial<TestRuntimeOptions> = {}) {
    const parts = await openFaulty(options);
    opened.push(parts.test);
    return parts;
  }

  /** Runs 'add' with start. */
  const add = (workflowId: string, n: number, options: Options = {}, updateId?: string) =>
    runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
      args: [n],
      startWorkflowOperation: operation(workflowId, options),
      ...(updateId !== undefined && { updateId }),
    });
  const statusOf = async (handle: Handle) => (await handle.describe()).status.name;
  const runIdOf = async (handle: Handle) => (await handle.describe()).runId;
  const isMissing = async (client: TestRuntime['client'], workflowId: string) =>
    (await rejection(client.getHandle(workflowId).describe())) instanceof WorkflowNotFoundError;

  describe('no execution of the id', () => {
    it('executeUpdateWithStart: starts one, the update is in its first turn, its result comes back', async () => {
      const start = operation(runtime.newId());
      const result = await runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
        args: [3],
        startWorkflowOperation: start,
      });
      expect(result).to.equal(3);
      const handle = await start.workflowHandle();
      expect(handle.firstExecutionRunId).to.equal(await runIdOf(handle));
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'WorkflowExecutionUpdateAccepted',
        'WorkflowExecutionUpdateCompleted',
      ]);
      await runtime.crash();
      expect(await runtime.again(handle).query('total')).to.equal(3);
    });

    it('startUpdateWithStart: returns at acceptance, the result comes later', async () => {
      const start = operation(runtime.newId());
      const update = await runtime.client.startUpdateWithStart<any, number, [number, string]>('addAtGate', {
        args: [4, 'gate'],
        startWorkflowOperation: start,
        waitForStage: 'ACCEPTED',
      });
      const handle = await start.workflowHandle();
      expect(update.workflowId).to.equal(handle.workflowId);
      expect(update.workflowRunId).to.equal(handle.firstExecutionRunId);
      expect(await handle.query('total')).to.equal(0);
      await handle.signal<[string]>('open', 'gate');
      expect(await update.result()).to.equal(4);
    });

    it('workflowHandle(): known as soon as the start is durable, before the update is done', async () => {
      const start = operation(runtime.newId());
      const result = runtime.client.executeUpdateWithStart<any, number, [number, string]>('addAtGate', {
        args: [4, 'gate'],
        startWorkflowOperation: start,
      });
      const handle = await start.workflowHandle();
      await handle.signal<[string]>('open', 'gate');
      expect(await result).to.equal(4);
    });

    it('validator rejects: the caller hears it, the new execution stays, its id stays taken', async () => {
      const start = operation(runtime.newId());
      const error = await rejection(
        runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
          args: [-1],
          startWorkflowOperation: start,
        }),
      );
      expect(error).to.be.instanceOf(WorkflowUpdateFailedError);
      expect((error.cause as Error).message).to.equal('must not be negative');
      const handle = await start.workflowHandle();
      expect(await eventTypes(handle)).to.deep.equal(['WorkflowExecutionStarted', ...TASK]);
      await runtime.crash();
      expect(await statusOf(runtime.again(handle))).to.equal('RUNNING');
      expect(
        await rejection(add(handle.workflowId, 1, { workflowIdConflictPolicy: 'FAIL' })),
      ).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
    });

    it('no handler for the update: rejected, the new execution stays', async () => {
      const start = operation(runtime.newId());
      const error = await rejection(
        runtime.client.executeUpdateWithStart('unheardOf', { startWorkflowOperation: start }),
      );
      expect(error).to.be.instanceOf(WorkflowUpdateFailedError);
      expect(await statusOf(await start.workflowHandle())).to.equal('RUNNING');
    });

    it('start delay: the update does not wait for it', async () => {
      expect(await add(runtime.newId(), 7, { startDelay: '1 hour' })).to.equal(7);
    });
  });

  describe('policies', () => {
    it('USE_EXISTING, execution open: it is updated, no other is started', async () => {
      const first = await runtime.start('adds');
      const start = operation(first.workflowId);
      expect(
        await runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
          args: [2],
          startWorkflowOperation: start,
        }),
      ).to.equal(2);
      expect((await start.workflowHandle()).firstExecutionRunId).to.equal(await runIdOf(first));
      expect(await first.query('total')).to.equal(2);
    });

    it('several at once for a new id: one execution, each update once, in the order of the calls', async () => {
      const workflowId = runtime.newId();
      expect(await Promise.all([1, 2, 3].map((n) => add(workflowId, n)))).to.deep.equal([1, 3, 6]);
      const { events } = await runtime.client.getHandle(workflowId).fetchHistory();
      expect(events.filter(({ eventType }) => /EXECUTION_STARTED/.test(eventType))).to.have.length(1);
    });

    it('FAIL, execution open: both promises are refused alike, and it is not updated', async () => {
      const first = await runtime.start('adds');
      const start = operation(first.workflowId, { workflowIdConflictPolicy: 'FAIL' });
      const call = runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
        args: [2],
        startWorkflowOperation: start,
      });
      const error = await rejection(call);
      expect(error).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
      expect(error.message).to.equal('Workflow execution already started');
      expect(await rejection(start.workflowHandle())).to.equal(error);
      expect(await first.query('runs')).to.equal(0);
    });

    it('TERMINATE_EXISTING, execution open: it is ended, and another is updated', async () => {
      const first = await runtime.start('adds');
      await first.executeUpdate('add', { args: [10] });
      const pinned = runtime.client.getHandle(first.workflowId, await runIdOf(first));
      expect(await add(first.workflowId, 2, { workflowIdConflictPolicy: 'TERMINATE_EXISTING' })).to.equal(2);
      expect(await statusOf(pinned)).to.equal('TERMINATED');
    });

    for (const [workflowIdReusePolicy, isAllowed] of [
      ['ALLOW_DUPLICATE', true],
      ['ALLOW_DUPLICATE_FAILED_ONLY', false],
      ['REJECT_DUPLICATE', false],
    ] as const) {
      it(`${workflowIdReusePolicy}, execution completed: ${isAllowed ? 'another is started' : 'refused, nothing is started'}`, async () => {
        const first = await runtime.start('adds');
        await first.signal('finish');
        await first.result();
        const call = add(first.workflowId, 2, { workflowIdReusePolicy });
        if (isAllowed) expect(await call).to.equal(2);
        else expect(await rejection(call)).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
        expect(await statusOf(runtime.client.getHandle(first.workflowId))).to.equal(
          isAllowed ? 'RUNNING' : 'COMPLETED',
        );
      });
    }

    it('TERMINATE_IF_RUNNING with a conflict policy: TypeError for both promises', async () => {
      const start = operation(runtime.newId(), { workflowIdReusePolicy: 'TERMINATE_IF_RUNNING' });
      const error = await rejection(
        runtime.client.executeUpdateWithStart('nothing', { startWorkflowOperation: start }),
      );
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.match(
        /TERMINATE_IF_RUNNING cannot be used together with a workflowIdConflictPolicy/,
      );
      expect(await rejection(start.workflowHandle())).to.equal(error);
    });

    /** An execution that ends, and nobody knows it yet while the disk takes its time. */
    async function ending() {
      const { test, plan } = await faulty();
      const first = await test.start('collector');
      const { runId } = await first.describe();
      const { writes } = plan;
      plan.hold();
      const finished = first.signal('finish');
      await eventually(() => plan.writes > writes);
      return { test, plan, workflowId: first.workflowId, runId, finished };
    }

    it('execution open, but it ends before the update comes: another is started and updated', async () => {
      const { test, plan, workflowId, runId, finished } = await ending();
      const start = operation(workflowId, {}, 'collector');
      const update = test.client.executeUpdateWithStart<any, number, [number]>('put', {
        args: [5],
        startWorkflowOperation: start,
      });
      plan.release();
      await finished;
      expect(await update).to.equal(1);
      expect((await start.workflowHandle()).firstExecutionRunId).not.to.equal(runId);
      expect(await test.client.getHandle(workflowId).query('list')).to.deep.equal([5]);
      expect(await test.client.getHandle(workflowId, runId).result()).to.deep.equal([]);
    });

    it('signal-with-start, execution open, but it ends before the signal comes: the same', async () => {
      const { test, plan, workflowId, runId, finished } = await ending();
      const options = { workflowId, signal: 'add', signalArgs: [5] as [number] };
      const started = test.client.signalWithStart('collector', options);
      plan.release();
      await finished;
      expect((await started).signaledRunId).not.to.equal(runId);
      expect(await test.client.getHandle(workflowId).query('list')).to.deep.equal([5]);
    });
  });

  describe('an update id that is known', () => {
    for (const workflowIdConflictPolicy of ['FAIL', 'USE_EXISTING', 'TERMINATE_EXISTING'] as const) {
      it(`completed, execution open, policy ${workflowIdConflictPolicy}: its result, nothing runs again`, async () => {
        const first = await runtime.start('adds');
        await first.executeUpdate('add', { args: [5], updateId: 'u' });
        expect(await add(first.workflowId, 99, { workflowIdConflictPolicy }, 'u')).to.equal(5);
        expect(await first.query('runs')).to.equal(1);
        await runtime.crash();
        expect(await add(first.workflowId, 99, { workflowIdConflictPolicy }, 'u')).to.equal(5);
        expect(await statusOf(runtime.again(first))).to.equal('RUNNING');
      });
    }

    it('under way, policy FAIL: attached to, its result when it is done', async () => {
      const first = await runtime.start('adds');
      await first.startUpdate<number, [number, string]>('addAtGate', {
        args: [5, 'gate'],
        updateId: 'u',
        waitForStage: 'ACCEPTED',
      });
      const start = operation(first.workflowId, { workflowIdConflictPolicy: 'FAIL' });
      const attached = await runtime.client.startUpdateWithStart<any, number, [number, string]>('addAtGate', {
        args: [99, 'never'],
        updateId: 'u',
        startWorkflowOperation: start,
        waitForStage: 'ACCEPTED',
      });
      expect((await start.workflowHandle()).firstExecutionRunId).to.equal(await runIdOf(first));
      await first.signal<[string]>('open', 'gate');
      expect(await attached.result()).to.equal(5);
    });

    it('twice at once with one id, policy FAIL: one start, one update, both get its result', async () => {
      const workflowId = runtime.newId();
      const send = () => add(workflowId, 5, { workflowIdConflictPolicy: 'FAIL' }, 'u');
      expect(await Promise.all([send(), send()])).to.deep.equal([5, 5]);
      expect(await runtime.client.getHandle(workflowId).query('runs')).to.equal(1);
    });

    it('under way, and the execution ends before it is accepted: another is started and updated', async () => {
      const first = await runtime.start('adds');
      const ended = first.terminate();
      const aborted = rejection(first.executeUpdate('add', { args: [1], updateId: 'u' }));
      expect(await add(first.workflowId, 5, { workflowIdConflictPolicy: 'FAIL' }, 'u')).to.equal(5);
      await ended;
      expect((await aborted).message).to.equal('update aborted by closing workflow');
      expect(await statusOf(runtime.again(first))).to.equal('RUNNING');
    });

    it('completed, execution closed, policy REJECT_DUPLICATE: its result, nothing is started', async () => {
      const first = await runtime.start('adds');
      await first.executeUpdate('add', { args: [5], updateId: 'u' });
      await first.signal('finish');
      await first.result();
      const options = { workflowIdReusePolicy: 'REJECT_DUPLICATE' } as const;
      expect(await add(first.workflowId, 99, options, 'u')).to.equal(5);
      await runtime.reopen();
      expect(await add(first.workflowId, 99, options, 'u')).to.equal(5);
      expect(await statusOf(runtime.again(first))).to.equal('COMPLETED');
    });

    it('accepted but not completed, execution closed: not attached to, the reuse policy decides', async () => {
      const first = await runtime.start('endsEarly', ['silent']);
      await first.startUpdate<string, [string]>('hang', {
        args: ['gate'],
        updateId: 'u',
        waitForStage: 'ACCEPTED',
      });
      await first.signal('finish');
      await first.result();
      expect(
        await rejection(add(first.workflowId, 1, { workflowIdReusePolicy: 'REJECT_DUPLICATE' }, 'u')),
      ).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
      expect(await add(first.workflowId, 1, {}, 'u')).to.equal(1);
    });

    it('rejected before: forgotten, it is a new update', async () => {
      const workflowId = runtime.newId();
      await rejection(add(workflowId, -1, {}, 'u'));
      expect(await add(workflowId, 1, {}, 'u')).to.equal(1);
    });
  });

  describe('an operation', () => {
    it('used twice: an error that says so, the first use goes on', async () => {
      const start = operation(runtime.newId());
      const send = () =>
        runtime.client.executeUpdateWithStart<any, number, [number]>('add', {
          args: [1],
          startWorkflowOperation: start,
        });
      const first = send();
      const error = await rejection(send());
      expect(error.message).to.equal('This WithStartWorkflowOperation instance has already been executed.');
      expect(error.constructor).to.equal(Error);
      expect(await first).to.equal(1);
      expect(await (await start.workflowHandle()).query('runs')).to.equal(1);
    });

    it('something else in its place: TypeError', async () => {
      const error = await rejection(
        runtime.client.executeUpdateWithStart('nothing', {
          startWorkflowOperation: { workflowId: 'x' } as unknown as WithStartWorkflowOperation,
        }),
      );
      expect(error).to.be.instanceOf(TypeError);
    });

    it('options that make no sense: both promises, nothing is done', async () => {
      const start = operation('');
      const call = runtime.client.executeUpdateWithStart('nothing', { startWorkflowOperation: start });
      expect((await rejection(call)).message).to.equal('Missing WorkflowOptions.workflowId');
      expect(await rejection(start.workflowHandle())).to.equal(await rejection(call));
    });

    it('unknown workflow type: a gRPC error as it is, for both promises', async () => {
      const start = operation('left-behind', {}, 'unheardOf');
      const error = await rejection(
        runtime.client.executeUpdateWithStart('nothing', { startWorkflowOperation: start }),
      );
      expect(isGrpcServiceError(error)).to.equal(true);
      expect((error as RpcError).code).to.equal(GrpcStatus.INVALID_ARGUMENT);
      expect(await rejection(start.workflowHandle())).to.equal(error);
      expect(await isMissing(runtime.client, 'left-behind')).to.equal(true);
    });

    it('too many updates under way: a gRPC error as it is; the execution gets nothing', async () => {
      const { test } = await faulty({ workflows: 'updates', limits: { updatesInFlightMax: 1 } });
      const first = await test.start('adds');
      const pending = await first.startUpdate<number, [number, string]>('addAtGate', {
        args: [1, 'gate'],
        waitForStage: 'ACCEPTED',
      });
      const error = await rejection(
        test.client.executeUpdateWithStart<any, number, [number]>('add', {
          args: [1],
          startWorkflowOperation: operation(first.workflowId),
        }),
      );
      expect(error).to.be.instanceOf(RpcError);
      expect((error as RpcError).code).to.equal(GrpcStatus.RESOURCE_EXHAUSTED);
      await first.signal<[string]>('open', 'gate');
      expect(await pending.result()).to.equal(1);
    });

    it('runtime closed: ServiceError for both promises', async () => {
      const { test } = await faulty();
      await test.close();
      const start = operation('any', {}, 'collector');
      const error = await rejection(
        test.client.executeUpdateWithStart('put', { args: [1], startWorkflowOperation: start }),
      );
      expect(error).to.be.instanceOf(ServiceError);
      expect(error.message).to.match(/^Update-With-Start failed: The runtime is closed/);
      expect(await rejection(start.workflowHandle())).to.equal(error);
    });
  });

  describe('both or neither', () => {
    const put = (test: TestRuntime, n: number, update = 'put') => {
      const start = operation('id', {}, 'collector');
      const result = test.client.executeUpdateWithStart<any, number, [number]>(update, {
        args: [n],
        updateId: 'u',
        startWorkflowOperation: start,
      });
      return { start, result };
    };

    for (const [what, n] of [
      ['an update that is accepted', 1],
      ['an update that is rejected', -1],
    ] as const) {
      it(`the commit fails, ${what}: neither exists, the id is free`, async () => {
        const { test, plan } = await faulty();
        plan.next({ kind: 'full' });
        const { start, result } = put(test, n);
        const error = (await rejection(result)) as RpcError;
        expect(error.code).to.equal(GrpcStatus.RESOURCE_EXHAUSTED);
        expect(await rejection(start.workflowHandle())).to.equal(error);
        expect(await isMissing(test.client, 'id')).to.equal(true);
        const again = put(test, 5);
        expect(await again.result).to.equal(1);
        await test.crash();
        expect(await test.client.getHandle('id').query('list')).to.deep.equal([5]);
      });
    }

    it('a crash before the commit: neither; after it, unacknowledged: both, and the same call again attaches', async () => {
      for (const [when, expected] of [
        ['before', undefined],
        ['after', [1]],
      ] as const) {
        const { test, plan } = await faulty();
        const { writes } = plan;
        plan.hold(when);
        const { start, result } = put(test, 1);
        const told = Promise.allSettled([result, start.workflowHandle()]);
        await eventually(() => plan.writes > writes);
        await new Promise((resolve) => setImmediate(resolve));
        const crashed = test.crash();
        plan.release();
        await crashed;
        await told;
        if (expected === undefined) expect(await isMissing(test.client, 'id')).to.equal(true);
        else expect(await test.client.getHandle('id').query('list')).to.deep.equal(expected);
        expect(await put(test, 1).result).to.equal(1);
        expect(await test.client.getHandle('id').query('list')).to.deep.equal([1]);
      }
    });

    it('the first turn fails: the execution is there, the update waits and is answered once', async () => {
      const manual = new ManualClock();
      const { test } = await faulty({ clock: manual });
      const { start, result } = put(test, manual.now() + 200, 'putFailingUntil');
      const handle = await start.workflowHandle();
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 1);
      manual.advance(200);
      expect(await result).to.equal(1);
      expect(await handle.query('list')).to.deep.equal(['late enough']);
    });

    it('the first turn keeps failing because of the update: it is refused, the execution goes on without it', async () => {
      const manual = new ManualClock();
      const { test } = await faulty({ clock: manual });
      const { start, result } = put(test, manual.now() + 3_600_000, 'putFailingUntil');
      const told = rejection(result);
      const handle = await start.workflowHandle();
      for (const attempt of [1, 2]) {
        await eventually(async () => (await handle.describe()).pendingTurn?.attempt === attempt);
        manual.advance(1_000);
      }
      const error = await told;
      expect(error).to.be.instanceOf(ServiceError);
      expect(error.message).to.match(/has failed 3 times.*had no effect.*too early/);
      expect((error.cause as RpcError).code).to.equal(GrpcStatus.FAILED_PRECONDITION);
      manual.advance(1_000);
      await eventually(async () => (await handle.describe()).pendingTurn === undefined);
      expect(await handle.query('list')).to.deep.equal([]);
    });

    it('the first turn fails, and the commit of that: neither exists', async () => {
      const manual = new ManualClock();
      const { test, plan } = await faulty({ clock: manual });
      plan.next({ kind: 'full' });
      const { start, result } = put(test, manual.now() + 3_600_000, 'putFailingUntil');
      const error = await rejection(result);
      expect(await rejection(start.workflowHandle())).to.equal(error);
      expect(await isMissing(test.client, 'id')).to.equal(true);
      manual.advance(60_000);
      expect(await put(test, 1).result).to.equal(1);
    });

    it('the first turn blocks its thread: the execution is there, the update is refused and says why', async () => {
      const { test } = await faulty({ limits: { turnMsMax: 300, updateTurnAttemptsMax: 1 } });
      const start = operation('id', { args: ['at once'] }, 'blocks');
      const result = test.client.executeUpdateWithStart('any', { startWorkflowOperation: start });
      const error = await rejection(result);
      expect(error.message).to.match(/blocked its thread for longer than 300 ms/);
      expect((error.cause as RpcError).code).to.equal(GrpcStatus.FAILED_PRECONDITION);
      const handle = await start.workflowHandle();
      await handle.terminate();
      expect(await statusOf(handle)).to.equal('TERMINATED');
    });
  });
});
