/** Admission: order, de-duplication, who is told what (host.ts). */
import { expect } from 'chai';
import {
  GrpcStatus,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
} from '../../runtime/client/index.js';
import { type Faulty, noUnhandledRejections, openFaulty, refusal } from '../support/faulty.js';
import { eventTypes, eventually, type Handle, ManualClock, rejection } from '../support/runtime.js';

const list = (handle: Handle) => handle.query('list');

describe('host', () => {
  noUnhandledRejections();
  const opened: Faulty[] = [];
  afterEach(async () => {
    for (const { plan, test } of opened.splice(0)) {
      plan.release();
      await test.close();
    }
  });
  async function open(options: Parameters<typeof openFaulty>[0] = {}): Promise<Faulty> {
    const made = await openFaulty(options);
    opened.push(made);
    return made;
  }

  describe('order (D3)', () => {
    it('calls of every kind made without awaiting, from the start on: enter the mailbox in that order', async () => {
      const { test } = await open({ threads: 2 });
      const handle = test.client.getHandle('id');
      const start = test.client.start('collector', { workflowId: 'id' });
      const calls = [
        handle.signal('add', 1),
        list(handle),
        handle.executeUpdate('put', { args: [2] }),
        list(handle),
        handle.signal('add', 3),
        list(handle),
        handle.signal('finish'),
        handle.result(),
      ];
      expect(await Promise.all(calls)).to.deep.equal([
        undefined,
        [1],
        2,
        [1, 2],
        undefined,
        [1, 2, 3],
        undefined,
        [1, 2, 3],
      ]);
      await start;
    });

    it('thousands of them to several executions: each in its order', async () => {
      const { test } = await open({ threads: 2, limits: { batchMessagesMax: 7 } });
      const handles = await Promise.all([1, 2, 3].map(() => test.start('collector')));
      const numbers = Array.from({ length: 700 }, (_, n) => n);
      await Promise.all(numbers.flatMap((n) => handles.map((handle) => handle.signal('add', n))));
      for (const handle of handles) expect(await list(handle)).to.deep.equal(numbers);
    });

    it('one large among small ones, with little room in a batch: the order stays', async () => {
      const { test } = await open({ limits: { batchBytesMax: 1_000 } });
      const handle = await test.start('collector');
      await Promise.all([1, 'x'.repeat(50_000), 2, 3].map((item) => handle.signal('add', item)));
      expect(((await list(handle)) as unknown[]).map((item) => String(item).length)).to.deep.equal([
        1, 50_000, 1, 1,
      ]);
    });
  });

  describe('once (D2)', () => {
    it('a signal with the same request id, several at once: one has its effect, all are acknowledged when it is durable', async () => {
      const { test, plan } = await open();
      const handle = await test.start('collector');
      plan.hold();
      const sent = [1, 2, 3].map(() => handle.signalWithOptions('add', { args: ['once'], requestId: 'r' }));
      let told = 0;
      for (const call of sent) void call.then(() => told++);
      await eventually(() => plan.writes > 1);
      expect(told).to.equal(0);
      plan.release();
      expect(await Promise.all(sent)).to.deep.equal([
        { duplicate: false },
        { duplicate: true },
        { duplicate: true },
      ]);
      expect(await list(handle)).to.deep.equal(['once']);
    });

    it('the first of them is lost: all are refused, and the next one has its effect', async () => {
      const { test, plan } = await open();
      const handle = await test.start('collector');
      plan.next({ kind: 'full' });
      const sent = [1, 2].map(() => handle.signalWithOptions('add', { args: ['once'], requestId: 'r' }));
      for (const call of sent) await refusal(call, GrpcStatus.RESOURCE_EXHAUSTED);
      expect(await handle.signalWithOptions('add', { args: ['once'], requestId: 'r' })).to.deep.equal({
        duplicate: false,
      });
      expect(await list(handle)).to.deep.equal(['once']);
    });

    it('an update with the same id, several at once, and one whose turn fails meanwhile: run once, all get its result', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = await test.start('collector');
      const send = () =>
        handle.executeUpdate('putFailingUntil', { args: [clock.now() + 200], updateId: 'u' });
      const sent = [send(), send()];
      await eventually(async () => (await handle.describe()).pendingTurn);
      sent.push(send());
      clock.advance(200);
      expect(await Promise.all(sent)).to.deep.equal([1, 1, 1]);
      expect(await send()).to.equal(1);
      expect(await list(handle)).to.deep.equal(['late enough']);
    });
  });

  it('an activity ends and is cancelled before either is durable: it has one end', async () => {
    let finish = (_: number): void => undefined;
    const double = () => new Promise<number>((resolve) => void (finish = resolve));
    const { test, plan } = await open({ activities: { double } });
    const handle = await test.start('cancels');
    await eventually(() => test.runtime.metrics().activitiesRunning === 1);
    const { writes } = plan;
    plan.hold();
    const cancelled = handle.signal('cancelIt');
    await eventually(() => plan.writes > writes);
    finish(7);
    await eventually(
      () => test.runtime.metrics().activitiesRunning === 0 && test.runtime.metrics().queuedMessages === 0,
    );
    plan.release();
    await cancelled;
    expect(await handle.result()).to.equal(7);
    const ends = (await eventTypes(handle)).filter((type) => /^ActivityTask(Completed|Canceled)$/.test(type));
    expect(ends).to.deep.equal(['ActivityTaskCompleted']);
  });

  describe('starts of one id', () => {
    it('while the first is not durable: the second is told nothing before (D4)', async () => {
      const { test, plan } = await open();
      plan.hold();
      const first = test.client.start('collector', { workflowId: 'id' });
      const heard: string[] = [];
      const second = rejection(test.client.start('collector', { workflowId: 'id' })).then(
        ({ name }) => void heard.push(name),
      );
      const using = test.client
        .start('collector', { workflowId: 'id', workflowIdConflictPolicy: 'USE_EXISTING' })
        .then(() => void heard.push('used'));
      await eventually(() => plan.writes > 0);
      expect(heard).to.deep.equal([]);
      plan.release();
      await Promise.all([first, second, using]);
      expect(heard).to.have.members(['WorkflowExecutionAlreadyStartedError', 'used']);
    });

    it('the first is lost: the second gets the id', async () => {
      const { test, plan } = await open();
      plan.next({ kind: 'full' });
      const first = test.client.start('collector', { workflowId: 'id', args: ['first'] });
      const second = test.client.start('collector', { workflowId: 'id', args: ['second'] });
      await refusal(first, GrpcStatus.RESOURCE_EXHAUSTED);
      expect(await list(await second)).to.deep.equal(['second']);
    });

    it('TERMINATE_EXISTING, twice at once: each ends the one before, one is left', async () => {
      const { test } = await open();
      const handle = await test.client.start('collector', { workflowId: 'id', args: [0] });
      const firstRun = test.client.getHandle('id', (await handle.describe()).runId);
      const starts = await Promise.all(
        [1, 2].map((n) =>
          test.client.start('collector', {
            workflowId: 'id',
            args: [n],
            workflowIdConflictPolicy: 'TERMINATE_EXISTING',
          }),
        ),
      );
      expect(await rejection(firstRun.result())).to.be.instanceOf(WorkflowFailedError);
      const statuses = await Promise.all(
        starts.map(
          async ({ firstExecutionRunId }) =>
            (await test.client.getHandle('id', firstExecutionRunId).describe()).status.name,
        ),
      );
      expect(statuses.sort()).to.deep.equal(['RUNNING', 'TERMINATED']);
    });

    it('TERMINATE_EXISTING with no room for the end: refused, and the execution goes on', async () => {
      const { test, plan } = await open();
      const handle = await test.client.start('collector', { workflowId: 'id', args: [0] });
      plan.full = true;
      const start = test.client.start('collector', {
        workflowId: 'id',
        workflowIdConflictPolicy: 'TERMINATE_EXISTING',
      });
      await refusal(start, GrpcStatus.RESOURCE_EXHAUSTED);
      plan.full = false;
      expect(await list(handle)).to.deep.equal([0]);
      await handle.signal('add', 1);
    });

    it('reuse policies, with the one before not yet moved out of the journal, and after a reopen', async () => {
      const { test } = await open();
      const start = (policy: 'ALLOW_DUPLICATE' | 'ALLOW_DUPLICATE_FAILED_ONLY' | 'REJECT_DUPLICATE') =>
        test.client.start('collector', { workflowId: 'id', workflowIdReusePolicy: policy });
      for (let round = 0; round < 2; round++) {
        const handle = await start('ALLOW_DUPLICATE');
        await handle.signal('finish');
        for (const policy of ['ALLOW_DUPLICATE_FAILED_ONLY', 'REJECT_DUPLICATE'] as const) {
          expect(await rejection(start(policy))).to.be.instanceOf(WorkflowExecutionAlreadyStartedError);
        }
        const failed = await start('ALLOW_DUPLICATE');
        await failed.terminate();
        expect(await rejection(start('REJECT_DUPLICATE'))).to.be.instanceOf(
          WorkflowExecutionAlreadyStartedError,
        );
        await (await start('ALLOW_DUPLICATE_FAILED_ONLY')).terminate();
        await test.reopen();
      }
    });
  });

  describe('a turn that is tried again', () => {
    it('the delay doubles up to its limit, and starts anew after a turn that succeeded', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock, limits: { turnRetryMsMin: 100, turnRetryMsMax: 300 } });
      const handle = await test.start('collector');
      const failures = async () => {
        const delays: number[] = [];
        for (let attempt = 1; attempt <= 4; attempt++) {
          const turn = await eventually(async () => {
            const { pendingTurn } = await handle.describe();
            return pendingTurn?.attempt === attempt && pendingTurn;
          });
          delays.push(turn.nextAttemptTime.getTime() - clock.now());
          clock.advance(delays.at(-1)!);
        }
        return delays;
      };
      // 100 + 200 + 300 + 300: at the end of the fourth delay it is late enough.
      await handle.signal('failUntil', clock.now() + 900);
      expect(await failures()).to.deep.equal([100, 200, 300, 300]);
      await eventually(async () => (await handle.describe()).pendingTurn === undefined);
      await handle.signal('failUntil', clock.now() + 900);
      expect(await failures()).to.deep.equal([100, 200, 300, 300]);
      await eventually(async () => ((await list(handle)) as unknown[]).length === 2);
      expect((await eventTypes(handle)).filter((type) => type === 'WorkflowTaskFailed')).to.have.length(2);
    });

    it('a reopen while it fails: the turn is tried again without anybody asking', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 1_000);
      for (const restart of [() => test.reopen(), () => test.crash()]) {
        await restart();
        await eventually(async () => {
          clock.advance(1);
          return (await test.again(handle).describe()).pendingTurn;
        });
      }
      clock.advance(1_000);
      await eventually(async () => (await test.again(handle).describe()).pendingTurn === undefined);
      expect(await list(test.again(handle))).to.deep.equal(['late enough']);
    });

    it('a reopen while it fails, and a query at once: the turn is tried again all the same', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 1_000);
      await eventually(async () => (await handle.describe()).pendingTurn);
      await test.reopen();
      // The runtime has not even looked yet at what is due.
      const asked = test.again(handle).query('list');
      clock.advance(1_000);
      await asked;
      clock.advance(1_000);
      await eventually(async () => (await test.again(handle).describe()).pendingTurn === undefined);
      expect(await list(test.again(handle))).to.deep.equal(['late enough']);
    });

    it('updates that waited, and those that came while it was tried: taken in the order of the calls', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 10_000);
      const put = (n: number) => handle.executeUpdate('put', { args: [n] });
      const first = [put(1), put(2)];
      clock.advance(200);
      // The next attempt, which will fail, is on its way with those two.
      const then = [put(3), put(4)];
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 2);
      const last = put(5);
      clock.advance(20_000);
      await Promise.all([...first, ...then, last]);
      expect(await list(handle)).to.deep.equal(['late enough', 1, 2, 3, 4, 5]);
    });

    it('updates behind it that were sent before anybody knew that it fails: do not overtake those in it', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = await test.start('collector');
      const put = (n: number) => handle.executeUpdate('put', { args: [n] });
      const inIt = [handle.signal('failUntil', clock.now() + 1_000), put(1)];
      // By then the batch of these is in the thread.
      for (let i = 0; i < 5; i++) await Promise.resolve();
      const behind = [put(2), put(3)];
      clock.advance(1_000);
      await eventually(async () => (await handle.describe()).pendingTurn);
      clock.advance(1_000);
      await Promise.all([...inIt, ...behind]);
      expect(await list(handle)).to.deep.equal(['late enough', 1, 2, 3]);
    });

    it('the first one, and a query was sent with what made it fail: the query is told why there is no answer', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock });
      const handle = test.client.getHandle('fails at first');
      const started = test.client.start('collector', { workflowId: 'fails at first', args: [] });
      const signalled = handle.signal('failUntil', clock.now() + 1_000);
      const error = await rejection(handle.query('list'));
      expect(error.cause).to.have.property('code', GrpcStatus.FAILED_PRECONDITION);
      expect(error.message).to.match(/too early/);
      await Promise.all([started, signalled]);
    });

    it('a reopen while it fails: describe() says so at once, and a query of a first turn is told why', async () => {
      const clock = new ManualClock();
      const { test } = await open({ clock, limits: { journalBytesMax: 1 } });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 1_000);
      const first = await test.start('startsLate', [clock.now() + 1_000]);
      for (const restart of [() => test.reopen(), () => test.crash()]) {
        await restart();
        const { pendingTurn } = await test.again(handle).describe();
        expect(pendingTurn).to.include({ message: 'too early', attempt: 1 });
        expect(pendingTurn?.nextAttemptTime.getTime()).to.be.at.least(clock.now());
        const error = await rejection(test.again(first).query('list'));
        expect(error.cause).to.have.property('code', GrpcStatus.FAILED_PRECONDITION);
      }
    });
  });

  it('metrics: count what there is', async () => {
    const { test } = await open({ threads: 2 });
    const handles = await Promise.all([1, 2, 3].map(() => test.start('collector')));
    await handles[0]!.signal('sleep', 60_000);
    const metrics = test.runtime.metrics();
    expect(metrics).to.include({
      activations: 3,
      runsInMemory: 3,
      queuedMessages: 0,
      timersDueSoon: 1,
      activitiesRunning: 0,
      activitiesWaiting: 0,
    });
    expect(metrics.threadHeapBytes).to.have.length(2);
    expect(metrics.journalBytesUnsaved).to.be.above(100);
    expect(metrics.journalSeq).to.be.above(0);
    expect(metrics.store.entries).to.be.above(0);
  });
});
