import { expect } from 'chai';
import {
  GrpcStatus,
  WorkflowContinuedAsNewError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '../../runtime/client/index.js';
import { type Picture, picturedStore, storeFrom } from '../support/pictures.js';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  TASK,
  TestRuntime,
} from '../support/runtime.js';

interface State {
  run: number;
  kept: unknown[];
  info: Record<string, unknown>;
}

// semantics.md 10
describe('continue-as-new', () => {
  const clock = new ManualClock();
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'continue-as-new', clock, threads: 2 });
  });
  after(() => runtime.close());

  const stateOf = (handle: Handle) => handle.query<State>('state');
  const startedOf = async (handle: Handle): Promise<Record<string, unknown>> => {
    const { events } = await handle.fetchHistory();
    return (events[0] as any).workflowExecutionStartedEventAttributes;
  };

  /** The handle of the run that is the latest now, and of no other. */
  async function pinned(handle: Handle): Promise<Handle & { runId: string }> {
    const { runId } = await handle.describe();
    return runtime.client.getHandle(handle.workflowId, runId) as Handle & { runId: string };
  }

  describe('the chain of runs', () => {
    it('result(): follows the runs to the last one', async () => {
      const handle = await runtime.start('countdown', [5]);
      const runs = (await handle.result()) as string[];
      expect(new Set(runs).size).to.equal(6);
      expect((await handle.describe()).runId).to.equal(runs[5]);
    });

    it('histories: the last event of a run names the next, the first event of that the one before', async () => {
      const handle = await runtime.start('countdown', [2]);
      const runs = (await handle.result()) as string[];
      for (const [i, runId] of runs.entries()) {
        const run = runtime.client.getHandle(handle.workflowId, runId);
        const { events } = await run.fetchHistory();
        expect(await eventTypes(run)).to.deep.equal([
          'WorkflowExecutionStarted',
          ...TASK,
          i < 2 ? 'WorkflowExecutionContinuedAsNew' : 'WorkflowExecutionCompleted',
        ]);
        const started = (events[0] as any).workflowExecutionStartedEventAttributes;
        expect(started.firstExecutionRunId).to.equal(runs[0]);
        expect(started.originalExecutionRunId).to.equal(runId);
        if (i > 0) expect(started.continuedExecutionRunId).to.equal(runs[i - 1]);
        const ended = (events.at(-1) as any).workflowExecutionContinuedAsNewEventAttributes;
        if (i < 2) expect(ended.newExecutionRunId).to.equal(runs[i + 1]);
        expect((await run.describe()).status.name).to.equal(i < 2 ? 'CONTINUED_AS_NEW' : 'COMPLETED');
      }
    });

    it('followRuns false: WorkflowContinuedAsNewError that names the next run', async () => {
      const handle = await runtime.start('countdown', [1]);
      const runs = (await handle.result()) as string[];
      const options = { followRuns: false };
      const error = await rejection(runtime.client.getHandle(handle.workflowId, runs[0], options).result());
      expect(error).to.be.instanceOf(WorkflowContinuedAsNewError);
      expect(error).to.include({
        message: 'Workflow execution continued as new',
        newExecutionRunId: runs[1],
      });
    });

    it('handle of the start: addresses the latest run; a pinned one its own, which is closed', async () => {
      const handle = await runtime.start('keeper');
      const first = await pinned(handle);
      await handle.signal('note', 1);
      await handle.signal('again');
      expect(await stateOf(handle)).to.deep.include({ run: 2, kept: [1] });
      expect(await stateOf(first)).to.deep.include({ run: 1, kept: [1] });
      expect(await rejection(first.signal('note', 2))).to.be.instanceOf(WorkflowNotFoundError);
      await handle.signal('note', 3);
      expect((await stateOf(handle)).kept).to.deep.equal([1, 3]);
    });

    it('workflowInfo: knows the first run and the one before', async () => {
      const handle = await runtime.start('keeper');
      const first = await pinned(handle);
      await handle.signal('again');
      const second = await pinned(handle);
      await handle.signal('again');
      expect((await stateOf(handle)).info).to.deep.include({
        firstExecutionRunId: first.runId,
        continuedFromExecutionRunId: second.runId,
      });
    });

    it('cancel and terminate through the handle of the start: reach the latest run', async () => {
      for (const how of ['cancel', 'terminate'] as const) {
        const handle = await runtime.start('keeper');
        await handle.signal('again');
        await handle[how]();
        const error = (await rejection(handle.result())) as WorkflowFailedError;
        expect(error).to.be.instanceOf(WorkflowFailedError);
        expect(error.cause?.name).to.equal(how === 'cancel' ? 'CancelledFailure' : 'TerminatedFailure');
      }
    });

    it('id: stays taken by the chain', async () => {
      const handle = await runtime.start('keeper');
      await handle.signal('again');
      const error = await rejection(runtime.start('keeper', [], { workflowId: handle.workflowId }));
      expect(error).to.have.property('name', 'WorkflowExecutionAlreadyStartedError');
    });
  });

  describe('what the next run takes over', () => {
    const options = { memo: { a: 1 }, searchAttributes: { B: [2] }, taskQueue: 'own' };

    it('nothing given: type, queue, memo and search attributes', async () => {
      const handle = await runtime.start('keeper', [], options);
      await handle.signal('again');
      expect((await stateOf(handle)).info).to.deep.include({
        ...options,
        workflowType: 'keeper',
        attempt: 1,
      });
    });

    it('all given: those', async () => {
      const handle = await runtime.start('keeper', [], options);
      const others = {
        memo: { c: 3 },
        searchAttributes: { D: [4] },
        taskQueue: 'other',
        workflowType: 'otherKeeper',
      };
      await handle.signal('again', others);
      expect((await stateOf(handle)).info).to.deep.include(others);
      expect((await handle.describe()).type).to.equal('otherKeeper');
    });

    it('timeouts: the run timeout begins anew, the execution timeout goes on', async () => {
      const limits = { workflowRunTimeout: '60 s', workflowExecutionTimeout: '100 s' } as const;
      const handle = await runtime.start('waits', [], limits);
      const first = await pinned(handle);
      clock.advance(50_000);
      await handle.signal('again');
      await eventually(async () => (await handle.describe()).runId !== first.runId);
      expect(await startedOf(handle)).to.deep.include({
        workflowRunTimeout: '60s',
        workflowExecutionTimeout: '100s',
      });
      clock.advance(49_000);
      expect((await handle.describe()).status.name).to.equal('RUNNING');
      clock.advance(1_000);
      expect((await rejection(handle.result())) as Error).to.have.property(
        'message',
        'Workflow execution timed out',
      );
    });

    it('run timeout that is given: the next run’s', async () => {
      const handle = await runtime.start('keeper', [], { workflowRunTimeout: '1 hour' });
      await handle.signal('again', { workflowRunTimeout: '2 s' });
      expect((await stateOf(handle)).run).to.equal(2);
      clock.advance(2_000);
      expect((await rejection(handle.result())) as Error).to.have.property(
        'message',
        'Workflow execution timed out',
      );
    });

    it('retry policy: is the next run’s too', async () => {
      const retry = { initialInterval: '1 s', maximumAttempts: 3 } as const;
      const handle = await runtime.start('failsLater', [], { retry });
      await eventually(async () => (await startedOf(handle)).attempt === 2);
      clock.advance(1_000);
      expect(await handle.result()).to.deep.equal({ run: 2, attempt: 2, lastFailure: 'not yet' });
    });

    it('backoffStartInterval: the next run waits before its first turn', async () => {
      const handle = await runtime.start('keeper');
      await handle.signal('again', { backoffStartInterval: '1 minute' });
      await eventually(async () => (await startedOf(handle)).firstWorkflowTaskBackoff === '60s');
      expect(await eventTypes(handle)).to.deep.equal(['WorkflowExecutionStarted']);
      const noted = handle.signal('note', 'meanwhile');
      clock.advance(60_000);
      await noted;
      expect(await stateOf(handle)).to.deep.include({ run: 2, kept: ['meanwhile'] });
    });
  });

  it('runtime is closed while a run waits for its time: queries that wait with it are told', async () => {
    const own = await TestRuntime.open({ workflows: 'continue-as-new', clock });
    const handle = await own.start('keeper');
    await handle.signal('again', { backoffStartInterval: '1 minute' });
    await eventually(async () => (await startedOf(handle)).firstWorkflowTaskBackoff === '60s');
    const query = rejection(handle.query('state'));
    await own.close();
    expect((await query).cause).to.include({ code: GrpcStatus.UNAVAILABLE });
  });

  describe('messages', () => {
    it('signals without a handler: wait through all runs until one has it, in order', async () => {
      const handle = await runtime.start('deaf', [3]);
      await handle.signal('one', 1);
      await handle.signal('two', 2);
      for (let left = 3; left > 0; left--) {
        const { runId } = await handle.describe();
        await eventually(async () => (await eventTypes(handle)).includes('TimerStarted'));
        clock.advance(1_000);
        await eventually(async () => (await handle.describe()).runId !== runId);
      }
      expect(await handle.result()).to.deep.equal([
        ['one', 1],
        ['two', 2],
      ]);
    });

    it('many signals while runs follow each other: none lost, none twice, in order', async () => {
      const handle = await runtime.start('chunks', [7]);
      const numbers = Array.from({ length: 500 }, (_, i) => i);
      await Promise.all(numbers.map((number) => handle.signal('note', number)));
      await handle.signal('finish');
      expect(await handle.result()).to.deep.equal(numbers);
    });

    it('many updates while runs follow each other: each is handled once, and answered', async () => {
      const handle = await runtime.start('chunks', [5]);
      const numbers = Array.from({ length: 100 }, (_, i) => i);
      const counts = await Promise.all(
        numbers.map((number) => handle.executeUpdate<number, [number]>('put', { args: [number] })),
      );
      await handle.signal('finish');
      expect(await handle.result()).to.deep.equal(numbers);
      expect(counts).to.deep.equal(numbers.map((number) => number + 1));
    });

    // In batches of one message, runs begin and end before all that was sent to the first one has come by.
    for (const kind of ['signals', 'updates'] as const)
      it(`${kind} sent before, while and after several runs end: in order in the last one`, async () => {
        const limits = { batchMessagesMax: 1 };
        const busy = await TestRuntime.open({ workflows: 'continue-as-new', threads: 2, limits });
        const handle = await busy.start('hops');
        const sent: Promise<unknown>[] = [];
        const send = (n: number) =>
          kind === 'signals' ? handle.signal('note', n) : handle.executeUpdate('put', { args: [n] });
        const first = [handle.signal('again')];
        while (sent.length < 100) first.push(sent[sent.push(send(sent.length)) - 1] as Promise<void>);
        let arrived = false;
        void Promise.all(first).then(() => {
          arrived = true;
        });
        while (!arrived) {
          sent.push(send(sent.length));
          for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
        }
        await Promise.all(sent);
        await handle.signal('finish');
        expect(await handle.result()).to.deep.equal(sent.map((_, n) => n));
        await busy.close();
      });

    it('runtime is closed when a run has ended and the next has not begun: what came too late is not told that all is over', async () => {
      const limits = { batchMessagesMax: 1 };
      const busy = await TestRuntime.open({ workflows: 'continue-as-new', threads: 2, limits });
      const handle = await busy.start('keeper');
      const sent = [handle.signal('again')];
      for (let n = 0; n < 50; n++) {
        sent.push(handle.signal('note', n));
        sent.push(handle.executeUpdate('put', { args: [n] }) as Promise<never>);
      }
      const settled = Promise.allSettled(sent);
      await busy.close();
      const [first, ...others] = await settled;
      expect(first!.status).to.equal('fulfilled');
      for (const one of others) {
        const { cause } = (one as PromiseRejectedResult).reason as Error;
        expect(cause, String(cause)).to.include({ code: GrpcStatus.UNAVAILABLE, retryable: true });
      }
    });

    it('signal-with-start whose run ends before the signal comes: the next run has it, and the answer names that', async () => {
      const handle = await runtime.start('keeper');
      const again = handle.signal('again');
      // By then the first signal is in the thread, and its run has not ended yet.
      for (let i = 0; i < 5; i++) await Promise.resolve();
      const { signaledRunId } = await runtime.client.signalWithStart('keeper', {
        workflowId: handle.workflowId,
        signal: 'note',
        signalArgs: ['x'],
      });
      await again;
      expect((await stateOf(handle)).kept).to.deep.equal(['x']);
      expect(signaledRunId).to.equal((await handle.describe()).runId);
    });

    it('request id: takes effect once in the whole chain, also after a restart', async () => {
      const handle = await runtime.start('keeper');
      const send = async (to: Handle): Promise<boolean> =>
        (await to.signalWithOptions('note', { args: ['x'], requestId: 'r' })).duplicate;
      expect(await send(handle)).to.equal(false);
      await handle.signal('again');
      expect(await send(handle)).to.equal(true);
      await runtime.reopen();
      expect(await send(runtime.again(handle))).to.equal(true);
      expect((await stateOf(runtime.again(handle))).kept).to.deep.equal(['x']);
    });

    it('update id: a completed update answers for the whole chain', async () => {
      const handle = await runtime.start('keeper');
      const options = { args: ['x'], updateId: 'u' } as never;
      expect(await handle.executeUpdate('put', options)).to.equal(1);
      await handle.signal('again');
      expect(await handle.executeUpdate('put', options)).to.equal(1);
      expect(await handle.getUpdateHandle('u').result()).to.equal(1);
      expect((await stateOf(handle)).kept).to.deep.equal(['x']);
    });

    it('update that is accepted and not finished: fails, and a warning says why', async () => {
      const handle = await runtime.start('keeper');
      const update = await handle.startUpdate('slow', { waitForStage: 'ACCEPTED' });
      await handle.signal('again');
      const error = (await rejection(update.result())) as WorkflowUpdateFailedError;
      expect(error).to.be.instanceOf(WorkflowUpdateFailedError);
      expect(error.cause).to.include({ name: 'ApplicationFailure', type: 'AcceptedUpdateCompletedWorkflow' });
      const warning = await eventually(() =>
        runtime.messages(handle.workflowId).find((message) => message.startsWith('[TMPRL1102]')),
      );
      expect(warning).to.contain('"name":"slow"');
    });

    it('update handler that continues as new: refused, the update fails, and the run goes on', async () => {
      const handle = await runtime.start('keeper');
      const { runId } = await handle.describe();
      const error = (await rejection(
        handle.executeUpdate('put', { args: ['again'] }),
      )) as WorkflowUpdateFailedError;
      expect(error).to.be.instanceOf(WorkflowUpdateFailedError);
      expect(error.cause).to.include({
        name: 'ApplicationFailure',
        type: 'ContinueAsNewNotAllowed',
        nonRetryable: true,
      });
      expect(error.cause?.message).to.match(
        /^Continue-as-New is not supported within update handlers.*allHandlersFinished/,
      );
      expect(await stateOf(handle)).to.deep.include({ run: 1 });
      expect((await handle.describe()).runId).to.equal(runId);
    });
  });

  describe('over a restart', () => {
    for (const how of ['reopen', 'crash'] as const) {
      it(`${how}: all runs are there, with the same histories`, async () => {
        const handle = await runtime.start('keeper');
        const first = await pinned(handle);
        await handle.signal('note', 1);
        await handle.signal('again');
        await handle.signal('note', 2);
        const before = [(await first.fetchHistory()).events, (await handle.fetchHistory()).events];
        await runtime[how]();
        const [one, two] = [runtime.client.getHandle(handle.workflowId, first.runId), runtime.again(handle)];
        expect([(await one.fetchHistory()).events, (await two.fetchHistory()).events]).to.deep.equal(before);
        expect(await stateOf(one)).to.deep.include({ run: 1, kept: [1] });
        expect(await stateOf(two)).to.deep.include({ run: 2, kept: [1, 2] });
      });

      it(`${how} during the back-off of a next run: it starts when that is over`, async () => {
        const handle = await runtime.start('keeper');
        await handle.signal('again', { backoffStartInterval: '1 hour' });
        await eventually(async () => (await startedOf(handle)).firstWorkflowTaskBackoff === '3600s');
        await runtime[how]();
        clock.advance(3_600_000);
        expect(await stateOf(runtime.again(handle))).to.deep.include({ run: 2 });
      });
    }
  });
});

// D1, D2: whenever the process dies, each run has one next run, and what was acknowledged is in one of them, once.
describe('continue-as-new: crash after any write', () => {
  const MESSAGES = 12;
  const pictures: { picture: Picture; acknowledged: number }[] = [];

  before(async () => {
    const taken = picturedStore();
    const runtime = await TestRuntime.open({
      workflows: 'continue-as-new',
      store: taken.store,
      limits: { journalBytesMax: 1_024 },
    });
    const handle = await runtime.start('chunks', [2], { workflowId: 'chain' });
    for (let number = 0; number < MESSAGES; number++) {
      await handle.signalWithOptions('note', { args: [number], requestId: `r${number}` });
      const known = pictures.length;
      for (const picture of taken.pictures.slice(known)) pictures.push({ picture, acknowledged: number });
    }
    pictures.push({ picture: taken.pictures.at(-1)!, acknowledged: MESSAGES });
    await runtime.close();
  });

  it('any picture of the store: the chain goes on, with what was acknowledged, and each message once', async () => {
    expect(pictures).to.have.length.above(10);
    for (const { picture, acknowledged } of pictures) {
      const runtime = await TestRuntime.open({
        workflows: 'continue-as-new',
        store: await storeFrom(picture),
      });
      try {
        const handle = runtime.client.getHandle('chain');
        if (
          await handle.describe().then(
            () => false,
            (error) => error instanceof WorkflowNotFoundError,
          )
        )
          continue;
        // All over again, as a client does that was not told: what was taken before the crash is not taken twice.
        for (let number = 0; number < MESSAGES; number++) {
          const answer = await handle.signalWithOptions('note', { args: [number], requestId: `r${number}` });
          if (number < acknowledged) expect(answer.duplicate, `signal ${number}`).to.equal(true);
        }
        await handle.signal('finish');
        expect(await handle.result()).to.deep.equal(Array.from({ length: MESSAGES }, (_, i) => i));
      } finally {
        await runtime.close();
      }
    }
  });
});
