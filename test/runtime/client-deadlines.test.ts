import { expect } from 'chai';
import { CallContext } from '../../runtime/client/call-context.js';
import {
  GrpcStatus,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  RpcError,
  ServiceError,
  WithStartWorkflowOperation,
  type WorkflowClient,
  WorkflowNotFoundError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '../../runtime/client/index.js';
import { LONGEST_TIMER_MS } from '../../runtime/clock.js';
import type { FaultPlan } from '../../runtime/store/faulty.js';
import { noUnhandledRejections, openFaulty } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, rejection, type TestRuntime } from '../support/runtime.js';

const { CANCELLED, DEADLINE_EXCEEDED } = GrpcStatus;
/** No other timer of a runtime takes this long. */
const DEADLINE_MS = 1_234;

/** An abort signal that tells how many listen to it. */
function abortion(): { abort: (reason?: unknown) => void; signal: AbortSignal; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: any, options?: any) => {
    listeners.add(listener);
    add(type, listener, options);
  };
  signal.removeEventListener = (type: string, listener: any, options?: any) => {
    listeners.delete(listener);
    remove(type, listener, options);
  };
  return {
    abort: (reason) => controller.abort(reason),
    signal,
    listeners: () => listeners.size,
  };
}

interface Call {
  fallback: string;
  /** What the error of a call says that was sent. */
  late: RegExp;
  /** Made first, without a limit: the call waits for this one. */
  earlier?: (client: WorkflowClient, handle: Handle) => Promise<unknown>;
  make: (client: WorkflowClient, handle: Handle) => Promise<unknown>;
}

/** Calls that last as long as the disk is held. */
const CALLS: Record<string, Call> = {
  start: {
    fallback: 'Failed to start Workflow',
    late: /workflow new may still be started$/,
    make: (client) => client.start('collector', { workflowId: 'new' }),
  },
  execute: {
    fallback: 'Failed to start Workflow',
    late: /workflow new may still be started$/,
    make: (client) => client.execute('collector', { workflowId: 'new' }),
  },
  signalWithStart: {
    fallback: 'Failed to signalWithStart Workflow',
    late: /workflow new may still be started and signal 'add' delivered$/,
    make: (client) =>
      client.signalWithStart('collector', { workflowId: 'new', signal: 'add', signalArgs: [1] as [number] }),
  },
  signal: {
    fallback: 'Failed to signal Workflow',
    late: /signal 'add' may still be delivered to workflow collector-1$/,
    make: (_, handle) => handle.signal<[number]>('add', 1),
  },
  signalWithOptions: {
    fallback: 'Failed to signal Workflow',
    late: /signal 'add' may still be delivered to workflow collector-1$/,
    make: (_, handle) => handle.signalWithOptions('add', { args: [1], requestId: 'r' }),
  },
  cancel: {
    fallback: 'Failed to cancel workflow',
    late: /workflow collector-1 may still be asked to cancel$/,
    make: (_, handle) => handle.cancel(),
  },
  terminate: {
    fallback: 'Failed to terminate workflow',
    late: /workflow collector-1 may still be terminated$/,
    make: (_, handle) => handle.terminate(),
  },
  result: {
    fallback: 'Failed to get Workflow execution result',
    late: /nothing was changed, workflow collector-1 goes on$/,
    make: (_, handle) => handle.result(),
  },
  query: {
    fallback: 'Failed to query Workflow',
    late: /nothing was changed, workflow collector-1 goes on$/,
    earlier: (_, handle) => handle.signal<[number]>('add', 0),
    make: (_, handle) => handle.query('list'),
  },
  describe: {
    fallback: 'Failed to describe workflow',
    late: /nothing was changed, workflow other goes on$/,
    earlier: (client) => client.start('collector', { workflowId: 'other' }),
    make: (client) => client.getHandle('other').describe(),
  },
  fetchHistory: {
    fallback: 'Failed to get Workflow execution history',
    late: /nothing was changed, workflow other goes on$/,
    earlier: (client) => client.start('collector', { workflowId: 'other' }),
    make: (client) => client.getHandle('other').fetchHistory(),
  },
};

const UPDATES: Record<string, Omit<Call, 'fallback'>> = {
  executeUpdate: {
    late: /update u of workflow collector-1 goes on/,
    make: (_, handle) => handle.executeUpdate('put', { args: [1], updateId: 'u' }),
  },
  startUpdate: {
    late: /update u of workflow collector-1 goes on/,
    make: (_, handle) => handle.startUpdate('put', { args: [1], updateId: 'u', waitForStage: 'ACCEPTED' }),
  },
  executeUpdateWithStart: {
    late: /workflow new may still be started and its update taken$/,
    make: (client) =>
      client.executeUpdateWithStart<any, number, [number]>('put', {
        args: [1],
        startWorkflowOperation: new WithStartWorkflowOperation('collector', {
          workflowId: 'new',
          workflowIdConflictPolicy: 'FAIL',
        }),
      }),
  },
};

describe('deadlines and abort signals of client calls', () => {
  noUnhandledRejections();
  const opened: { test: TestRuntime; plan: FaultPlan }[] = [];
  afterEach(async () => {
    for (const { test, plan } of opened.splice(0)) {
      plan.release();
      await test.close();
    }
  });

  async function open() {
    const clock = new ManualClock();
    const { test, plan } = await openFaulty({ clock });
    opened.push({ test, plan });
    const handle = await test.start('collector');
    return { test, plan, clock, handle, client: test.client };
  }

  /** The call's own error and the gRPC error in it. */
  function expectGivenUp(error: Error, code: number, kind: typeof ServiceError, text: RegExp): void {
    expect(error, error.stack).to.be.instanceOf(kind);
    expect(error.message).to.match(text);
    expect(error.cause).to.be.instanceOf(RpcError);
    expect((error.cause as RpcError).code).to.equal(code);
    expect(isGrpcDeadlineError(error)).to.equal(code === DEADLINE_EXCEEDED);
    expect(isGrpcCancelledError(error)).to.equal(code === CANCELLED);
  }

  describe('given up before the call', () => {
    it('deadline passed, any call: nothing is done, and the error says so', async () => {
      const { client, handle, clock } = await open();
      for (const { make, fallback } of Object.values(CALLS)) {
        const error = await rejection(client.withDeadline(clock.now(), () => make(client, handle)));
        expectGivenUp(error, DEADLINE_EXCEEDED, ServiceError, /before it was sent: nothing was done$/);
        expect(error.message.startsWith(`${fallback}: `)).to.equal(true);
      }
      for (const { make } of Object.values(UPDATES)) {
        const error = await rejection(client.withDeadline(clock.now(), () => make(client, handle)));
        expectGivenUp(
          error,
          DEADLINE_EXCEEDED,
          WorkflowUpdateRPCTimeoutOrCancelledError,
          /before it was sent: nothing was done$/,
        );
      }
      expect(await handle.query('list')).to.deep.equal([]);
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      for (const id of ['new', 'other'])
        expect(await rejection(client.getHandle(id).describe())).to.be.instanceOf(WorkflowNotFoundError);
    });

    it('signal aborted: the same, with its reason as the cause', async () => {
      const { client, handle } = await open();
      const reason = new Error('not needed any more');
      const error = await rejection(
        client.withAbortSignal(AbortSignal.abort(reason), () => handle.signal<[number]>('add', 1)),
      );
      expectGivenUp(error, CANCELLED, ServiceError, /aborted before it was sent: nothing was done$/);
      expect((error.cause as Error).cause).to.equal(reason);
      expect(await handle.query('list')).to.deep.equal([]);
    });
  });

  describe('given up while the call waits', () => {
    for (const [name, { earlier, make, fallback, late }] of Object.entries(CALLS)) {
      it(`${name}, deadline: ServiceError that says what may still come of it`, async () => {
        const { client, handle, plan, clock } = await open();
        plan.hold();
        const first = earlier?.(client, handle);
        const call = client.withDeadline(clock.now() + DEADLINE_MS, () => make(client, handle));
        expect(clock.pending).to.include(DEADLINE_MS);
        clock.advance(DEADLINE_MS - 1);
        clock.advance(1);
        const error = await rejection(call);
        expectGivenUp(error, DEADLINE_EXCEEDED, ServiceError, late);
        expect(error.message).to.match(/passed while it waited for its answer: /);
        expect(error.message.startsWith(`${fallback}: `)).to.equal(true);
        plan.release();
        await first;
      });

      it(`${name}, abort: the same with CANCELLED`, async () => {
        const { client, handle, plan } = await open();
        plan.hold();
        const first = earlier?.(client, handle);
        const { abort, signal, listeners } = abortion();
        const call = client.withAbortSignal(signal, () => make(client, handle));
        expect(listeners()).to.equal(1);
        abort();
        expectGivenUp(await rejection(call), CANCELLED, ServiceError, late);
        expect(listeners()).to.equal(0);
        plan.release();
        await first;
      });
    }

    for (const [name, { make, late }] of Object.entries(UPDATES)) {
      it(`${name}: WorkflowUpdateRPCTimeoutOrCancelledError, the update goes on`, async () => {
        const { client, handle, plan, clock } = await open();
        plan.hold();
        const { abort, signal } = abortion();
        const timed = client.withDeadline(clock.now() + 1_000, () => make(client, handle));
        const aborted = client.withAbortSignal(signal, () => make(client, handle));
        aborted.catch(() => undefined);
        clock.advance(1_000);
        abort();
        const kind = WorkflowUpdateRPCTimeoutOrCancelledError;
        expectGivenUp(await rejection(timed), DEADLINE_EXCEEDED, kind, late);
        if (name !== 'executeUpdateWithStart') expectGivenUp(await rejection(aborted), CANCELLED, kind, late);
        plan.release();
        const target = name === 'executeUpdateWithStart' ? client.getHandle('new') : handle;
        await eventually(async () => (await target.query<unknown[]>('list')).length === 1);
      });
    }

    it('result() of an update handle: given up, and asked again it has the result', async () => {
      const { client, handle, plan, clock } = await open();
      plan.hold();
      const sent = handle.executeUpdate<number, [number]>('put', { args: [1], updateId: 'u' });
      const update = handle.getUpdateHandle<number>('u');
      const call = client.withDeadline(clock.now() + 1, () => update.result());
      clock.advance(1);
      expectGivenUp(
        await rejection(call),
        DEADLINE_EXCEEDED,
        WorkflowUpdateRPCTimeoutOrCancelledError,
        /update u of workflow collector-1 goes on/,
      );
      plan.release();
      expect(await update.result()).to.equal(1);
      expect(await sent).to.equal(1);
    });

    it('a message given up: still delivered, once', async () => {
      const { client, handle, plan, clock } = await open();
      plan.hold();
      const call = client.withDeadline(clock.now() + 1, () => handle.signal<[number]>('add', 1));
      clock.advance(1);
      await rejection(call);
      plan.release();
      await eventually(async () => (await handle.query<unknown[]>('list')).length > 0);
      expect(await handle.query('list')).to.deep.equal([1]);
    });

    it('a refusal that comes after the call was given up: nobody is bothered with it', async () => {
      const { client, handle, plan, clock } = await open();
      plan.hold().at(plan.writes + 1, { kind: 'full' });
      const call = client.withDeadline(clock.now() + 1, () => handle.signal<[number]>('add', 1));
      clock.advance(1);
      await rejection(call);
      plan.release();
      // The activation that had the signal is thrown away, and a query that is under way with it.
      expect(await eventually(() => handle.query('list').catch(() => false as const))).to.deep.equal([]);
    });

    it('an update whose turn keeps failing: the error of its caller says why', async () => {
      const { client, handle, clock } = await open();
      const call = client.withDeadline(clock.now() + 100, () =>
        handle.executeUpdate<number, [number]>('putFailingUntil', { args: [clock.now() + 3_600_000] }),
      );
      await eventually(async () => (await handle.describe()).pendingTurn);
      clock.advance(100);
      expectGivenUp(
        await rejection(call),
        DEADLINE_EXCEEDED,
        WorkflowUpdateRPCTimeoutOrCancelledError,
        /not accepted so far, the turn that would take it fails and is tried again: too early$/,
      );
    });
  });

  describe('calls that settle in time', () => {
    it('their values and errors come as always, no timer and no listener stays', async () => {
      const { client, handle, clock } = await open();
      const { signal, listeners } = abortion();
      await client.withDeadline(clock.now() + DEADLINE_MS, () =>
        client.withAbortSignal(signal, async () => {
          await handle.signal<[number]>('add', 1);
          expect(await handle.query('list')).to.deep.equal([1]);
          expect(await handle.executeUpdate<number, [number]>('put', { args: [2] })).to.equal(2);
          expect(await rejection(client.getHandle('nobody').describe())).to.be.instanceOf(
            WorkflowNotFoundError,
          );
          expect(await rejection(handle.signal({ type: 'query', name: 'x' } as any))).to.be.instanceOf(
            TypeError,
          );
        }),
      );
      expect(clock.pending).not.to.include(DEADLINE_MS);
      expect(listeners()).to.equal(0);
    });

    it('given up for one reason: what watched for the other is gone too', async () => {
      const { client, handle, plan, clock } = await open();
      plan.hold();
      const send = (signal: AbortSignal) =>
        client.withDeadline(clock.now() + DEADLINE_MS, () =>
          client.withAbortSignal(signal, () => handle.signal<[number]>('add', 1)),
        );
      const [first, second] = [abortion(), abortion()];
      const aborted = send(first.signal);
      first.abort();
      await rejection(aborted);
      expect(clock.pending).not.to.include(DEADLINE_MS);
      const late = send(second.signal);
      expect(clock.pending).to.include(DEADLINE_MS);
      clock.advance(DEADLINE_MS);
      await rejection(late);
      expect(second.listeners()).to.equal(0);
    });

    it('the value of the function: is what the call gives', async () => {
      const { client } = await open();
      expect(await client.withDeadline(Number.POSITIVE_INFINITY, async () => 'value')).to.equal('value');
    });

    it('calls outside of the function, also while it runs: have no deadline', async () => {
      const { client, handle, plan, clock } = await open();
      plan.hold();
      const inside = client.withDeadline(clock.now() + 1, () => handle.signal<[number]>('add', 1));
      const outside = handle.signal<[number]>('add', 2);
      clock.advance(1);
      await rejection(inside);
      plan.release();
      await outside;
      expect(await handle.query('list')).to.deep.equal([1, 2]);
    });
  });

  it('result() given up: the execution can leave memory as if nobody had asked', async () => {
    const clock = new ManualClock();
    const limits = { activationsPerThreadMax: 1, journalBytesMax: 500 };
    const { test, plan } = await openFaulty({ clock, limits });
    opened.push({ test, plan });
    const controller = new AbortController();
    const started = await Promise.all([1, 2, 3, 4].map((n) => test.start('collector', [n])));
    const calls = started.map((handle) =>
      rejection(test.client.withAbortSignal(controller.signal, () => handle.result())),
    );
    controller.abort();
    await Promise.all(calls);
    const busy = await test.start('collector');
    await eventually(async () => {
      await busy.signal('add', 'x'.repeat(1_000));
      return test.runtime.metrics().runsInMemory <= 2;
    });
  });

  describe('nested', () => {
    for (const [outer, inner] of [
      [1_000, 5_000],
      [5_000, 1_000],
    ] as const) {
      it(`deadlines in ${outer} and ${inner} ms: the nearer holds`, async () => {
        const { client, handle, plan, clock } = await open();
        plan.hold();
        const now = clock.now();
        const call = client.withDeadline(now + outer, () =>
          client.withDeadline(new Date(now + inner), () => handle.signal<[number]>('add', 1)),
        );
        clock.advance(1_000);
        expect((await rejection(call)).message).to.include(new Date(now + 1_000).toISOString());
        plan.release();
      });
    }

    for (const which of [0, 1]) {
      it(`abort signals: ${which === 0 ? 'the outer' : 'the inner'} holds`, async () => {
        const { client, handle, plan } = await open();
        plan.hold();
        const signals = [abortion(), abortion()];
        const call = client.withAbortSignal(signals[0]!.signal, () =>
          client.withAbortSignal(signals[1]!.signal, () => handle.signal<[number]>('add', 1)),
        );
        signals[which]!.abort();
        expect(isGrpcCancelledError(await rejection(call))).to.equal(true);
        expect(signals.map(({ listeners }) => listeners())).to.deep.equal([0, 0]);
        plan.release();
      });
    }
  });

  it('client, client.workflow, and clients with other options: one context', async () => {
    const { test, handle, clock, client } = await open();
    const other = client.withOptions({ queryRejectCondition: 'NOT_OPEN' }).getHandle(handle.workflowId);
    for (const within of [test.runtime.client, test.runtime.client.workflow]) {
      const byDeadline = within.withDeadline(clock.now() - 1, () => other.query('list'));
      expect(isGrpcDeadlineError(await rejection(byDeadline))).to.equal(true);
      const byAbort = within.withAbortSignal(AbortSignal.abort(), () => other.query('list'));
      expect(isGrpcCancelledError(await rejection(byAbort))).to.equal(true);
    }
  });

  it('what is no deadline or no signal: TypeError, the function does not run', async () => {
    const { client } = await open();
    let ran = false;
    const fn = async () => void (ran = true);
    for (const call of [
      client.withDeadline(Number.NaN, fn),
      client.withDeadline(new Date(Number.NaN), fn),
      client.withDeadline('soon' as any, fn),
      client.withAbortSignal({ aborted: false } as any, fn),
      client.withAbortSignal(undefined as any, fn),
    ]) {
      expect(await rejection(call)).to.be.instanceOf(TypeError);
    }
    expect(ran).to.equal(false);
  });

  it('deadlines farther away than a timer goes: kept, in steps', async () => {
    const clock = new ManualClock();
    const context = new CallContext(clock);
    const at = clock.now() + 2.5 * LONGEST_TIMER_MS;
    const call = context.withDeadline(at, () =>
      context.call(
        () => new Promise<void>(() => undefined),
        () => 'late',
      ),
    );
    const settled: string[] = [];
    const error = rejection(call).then((reason) => {
      settled.push('given up');
      return reason;
    });
    expect(clock.pending).to.deep.equal([LONGEST_TIMER_MS]);
    clock.advance(2 * LONGEST_TIMER_MS);
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).to.deep.equal([]);
    clock.advance(LONGEST_TIMER_MS);
    expect((await error).message).to.match(/: late$/);
    expect(clock.pending).to.deep.equal([]);
  });
});
