/** More than fits (D8): refused with RESOURCE_EXHAUSTED before anything is done, and taken again when there is room. */
import { expect } from 'chai';
import { GrpcStatus, RpcError } from '../../runtime/client/index.js';
import { noUnhandledRejections, openFaulty, refusal } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, rejection } from '../support/runtime.js';

const { RESOURCE_EXHAUSTED } = GrpcStatus;
const list = (handle: Handle) => handle.query('list');
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('overload', () => {
  noUnhandledRejections();
  const opened: Awaited<ReturnType<typeof openFaulty>>[] = [];
  afterEach(async () => {
    for (const { plan, test } of opened.splice(0)) {
      plan.release();
      await test.close();
    }
  });
  async function open(options: Parameters<typeof openFaulty>[0]) {
    const made = await openFaulty(options);
    opened.push(made);
    return made;
  }

  it('more signals at once than may wait: the first ones are taken, in order; the others refused, and nothing of them applied', async () => {
    const { test } = await open({ limits: { queuedMessagesMax: 50, queuedPercentMax: 100 } });
    const handle = await test.start('collector');
    const calls = await Promise.allSettled(numbers(500).map((n) => handle.signal('add', n)));
    const taken = calls.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []));
    expect(taken).to.deep.equal(numbers(50));
    const refused = calls[499] as PromiseRejectedResult;
    expect(refused.reason.cause).to.be.instanceOf(RpcError).with.property('code', RESOURCE_EXHAUSTED);
    expect(refused.reason.message).to.match(
      /Too many messages wait .*limits\.queuedMessagesMax: 50\)\. Nothing was done; send it again later/,
    );
    expect(await list(handle)).to.deep.equal(taken);
    await handle.signal('add', 'later');
    expect(await list(handle)).to.deep.equal([...taken, 'later']);
  });

  describe('a start that terminates the open execution', () => {
    /** Threads take new runs by turns; the second of these has room for nothing more. */
    async function oneFull() {
      const clock = new ManualClock();
      const { test } = await open({ clock, threads: 2, limits: { queuedMessagesMax: 2 } });
      const old = await test.start('collector', ['old'], { workflowId: 'id' });
      const full = await test.start('collector');
      await full.signal('failUntil', clock.now() + 3_600_000);
      // They wait for its turn, which fails, until the runtime is closed.
      for (const n of numbers(2)) full.executeUpdate('put', { args: [n] }).catch(() => undefined);
      const restart = (workflowId: string) =>
        test.client.start('collector', {
          workflowId,
          args: ['new'],
          workflowIdConflictPolicy: 'TERMINATE_EXISTING',
        });
      return { test, old, restart };
    }

    it('no room for the new one: refused, and the old one goes on', async () => {
      const { test, old, restart } = await oneFull();
      await test.start('collector');
      await refusal(restart('id'), RESOURCE_EXHAUSTED);
      expect(await list(old)).to.deep.equal(['old']);
      await test.crash();
      expect(await list(test.client.getHandle('id'))).to.deep.equal(['old']);
    });

    it('room for it that is gone when the old one has ended: started all the same', async () => {
      const { test, restart } = await oneFull();
      const again = restart('id');
      // Takes the place that was looked at.
      await test.start('collector');
      await again;
      await test.crash();
      expect(await list(test.client.getHandle('id'))).to.deep.equal(['new']);
    });
  });

  it('every kind of call counts and is refused alike, and a refused start leaves its id free', async () => {
    const { test, plan } = await open({ limits: { queuedMessagesMax: 5 } });
    const handle = await test.start('collector');
    plan.hold();
    const waiting = numbers(5).map((n) => handle.signal('add', n));
    for (const call of [
      () => handle.signal('add', 'x'),
      () => handle.signalWithOptions('add', { args: ['x'], requestId: 'r' }),
      () => handle.executeUpdate('put', { args: [9], updateId: 'u' }),
      () => list(handle),
      () => handle.cancel(),
      () => handle.terminate(),
      () => test.client.start('collector', { workflowId: 'refused' }),
      () =>
        test.client.signalWithStart('collector', {
          workflowId: 'refused',
          args: [],
          signal: 'add',
          signalArgs: [1],
        }),
    ]) {
      await refusal(call(), RESOURCE_EXHAUSTED);
    }
    plan.release();
    await Promise.all(waiting);
    await test.client.start('collector', { workflowId: 'refused' });
    expect(await handle.signalWithOptions('add', { args: ['x'], requestId: 'r' })).to.deep.equal({
      duplicate: false,
    });
    expect(await handle.executeUpdate('put', { args: [9], updateId: 'u' })).to.equal(7);
    expect(await list(handle)).to.deep.equal([0, 1, 2, 3, 4, 'x', 9]);
  });

  describe('one execution has its share of the queue', () => {
    async function flooded(
      limits: { queuedMessagesMax?: number; queuedBytesMax?: number },
      message: unknown,
    ) {
      const { test, plan } = await open({ limits: { ...limits, queuedPercentMax: 80 } });
      const [handle, other] = [await test.start('collector'), await test.start('collector')];
      plan.hold();
      const calls = numbers(10).map(() => handle.signal('add', message));
      for (const call of calls) call.catch(() => undefined);
      return { test, plan, handle, other, calls };
    }
    const taken = async (calls: readonly Promise<unknown>[]) =>
      (await Promise.allSettled(calls)).filter(({ status }) => status === 'fulfilled').length;

    it('its messages, updates and queries are refused and say why; another one still finds room', async () => {
      const { plan, handle, other, calls } = await flooded({ queuedMessagesMax: 10 }, 1);
      for (const call of [
        () => handle.signal('add', 'x'),
        () => handle.executeUpdate('put', { args: [9] }),
        () => list(handle),
      ])
        expect((await refusal(call(), RESOURCE_EXHAUSTED)).message).to.match(
          /to workflow '.*' wait .*limits\.queuedPercentMax: 80 % .*Nothing was done; send it again later/,
        );
      const others = [other.signal('add', 1), other.signal('add', 2)];
      plan.release();
      expect(await taken(calls)).to.equal(8);
      expect(await taken(others)).to.equal(2);
      await handle.signal('add', 'later');
      expect(await list(handle)).to.have.length(9);
    });

    it('by its bytes too', async () => {
      const { plan, handle, other, calls } = await flooded({ queuedBytesMax: 10_000 }, 'x'.repeat(1_000));
      const others = [other.signal('add', 'x'.repeat(1_000))];
      plan.release();
      expect(await taken(calls)).to.equal(7);
      expect(await taken(others)).to.equal(1);
      expect(await taken(numbers(2).map(() => handle.signal('add', 'x'.repeat(1_000))))).to.equal(2);
    });

    for (const end of ['cancel', 'terminate'] as const) {
      it(`it takes ${end} all the same`, async () => {
        const { plan, handle, calls } = await flooded({ queuedMessagesMax: 10 }, 1);
        const ends = [handle[end]()];
        plan.release();
        expect(await taken(calls)).to.equal(8);
        expect(await taken(ends)).to.equal(1);
        expect((await handle.describe()).status.name).to.not.equal('RUNNING');
      });
    }

    it('calls that wait for room are not refused: they take turns', async () => {
      const { test, plan, handle, calls } = await flooded({ queuedMessagesMax: 10 }, 1);
      const patient = test.client.withOptions({ whenFull: 'wait' }).getHandle(handle.workflowId);
      const more = numbers(20).map(() => patient.signal('add', 2));
      plan.release();
      expect(await taken(calls)).to.equal(8);
      expect(await taken(more)).to.equal(20);
      expect(await list(handle)).to.have.length(28);
    });
  });

  it('a disk that stands still: what waits for it counts too, so that memory stays bounded', async () => {
    const { test, plan } = await open({ limits: { queuedMessagesMax: 100, queuedPercentMax: 100 } });
    const handle = await test.start('collector');
    plan.hold();
    const calls: Promise<unknown>[] = [];
    for (let round = 0; round < 30; round++) {
      calls.push(...numbers(10).map((n) => handle.signal('add', 10 * round + n)));
      for (const call of calls) call.catch(() => undefined);
      // The thread takes them at once; only the disk does not.
      await eventually(() => test.runtime.metrics().queuedMessages === 0);
    }
    plan.release();
    const taken = (await Promise.allSettled(calls)).filter(({ status }) => status === 'fulfilled').length;
    expect(taken).to.equal(100);
    expect(await list(handle)).to.deep.equal(numbers(100));
  });

  it('by bytes: large messages are refused sooner, small ones still fit', async () => {
    const { test, plan } = await open({ limits: { queuedBytesMax: 10_000 } });
    const handle = await test.start('collector');
    plan.hold();
    const large = handle.signal('add', 'x'.repeat(8_000));
    const { message } = await refusal(handle.signal('add', 'y'.repeat(8_000)), RESOURCE_EXHAUSTED);
    expect(message).to.match(/limits\.queuedBytesMax: 10000/);
    const small = handle.signal('add', 'small');
    plan.release();
    await Promise.all([large, small]);
    expect(await list(handle)).to.have.length(2);
  });

  it('one message larger than all that may wait: taken when it is alone, instead of never', async () => {
    const { test } = await open({ limits: { queuedBytesMax: 1_000 } });
    const handle = await test.start('collector');
    await handle.signal('add', 'x'.repeat(5_000));
    expect(await list(handle)).to.have.length(1);
  });

  it('updates held back by a failing turn: count too, and are refused beyond the limit', async () => {
    const clock = new ManualClock();
    const { test } = await open({ clock, limits: { queuedMessagesMax: 10, queuedPercentMax: 100 } });
    const handle = await test.start('collector');
    await handle.signal('failUntil', clock.now() + 200);
    const held = numbers(10).map((n) => handle.executeUpdate('put', { args: [n] }));
    await refusal(handle.executeUpdate('put', { args: [99] }), RESOURCE_EXHAUSTED);
    clock.advance(200);
    expect(await Promise.all(held)).to.deep.equal(numbers(10).map((n) => n + 2));
    await handle.executeUpdate('put', { args: [10] });
  });

  it('a limit on updates of one execution: the others of the runtime are not concerned', async () => {
    const { test } = await open({
      activities: { double: () => new Promise(() => undefined) },
      limits: { updatesInFlightMax: 2 },
    });
    const [handle, other] = [await test.start('collector'), await test.start('collector')];
    const start = (to: Handle) => to.startUpdate('putDoubled', { args: [1], waitForStage: 'ACCEPTED' });
    await start(handle);
    await start(handle);
    expect((await refusal(start(handle), RESOURCE_EXHAUSTED)).message).to.match(
      /concurrent in-flight updates has been reached \(2\)/,
    );
    await start(other);
  });

  it('a limit on all updates of a run: reached also over a reopen, rejected ones do not count, the next run has its own', async () => {
    const { test } = await open({ limits: { updatesTotalMax: 3 } });
    const expectFull = async (call: Promise<unknown>) => {
      const { cause } = (await rejection(call)) as Error & { cause: RpcError };
      expect(cause).to.be.instanceOf(RpcError).with.property('code', GrpcStatus.FAILED_PRECONDITION);
      expect(cause.message).to.match(/limit on number of total updates has been reached \(3\)/);
    };
    const handle = await test.start('collector');
    await handle.executeUpdate('put', { args: [1] });
    await handle.executeUpdate('put', { args: [2], updateId: 'two' });
    await test.reopen();
    const again = test.again(handle);
    await rejection(again.executeUpdate('noSuchUpdate'));
    // Two at once: the second finds the last place taken by one that is not accepted yet.
    const calls = [3, 4].map((n) => again.executeUpdate('put', { args: [n] }));
    await expectFull(calls[1]!);
    await calls[0];
    await expectFull(again.executeUpdate('put', { args: [5] }));
    // One that is known already is not counted again.
    expect(await again.executeUpdate('put', { args: [2], updateId: 'two' })).to.equal(2);
    const other = await test.start('collector');
    await other.executeUpdate('put', { args: [1] });
  });

  it('more activities than may run at once: the others wait, all of them run', async () => {
    let running = 0;
    let most = 0;
    const finish: (() => void)[] = [];
    const double = async (n: number) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => void finish.push(resolve));
      running--;
      return 2 * n;
    };
    const { test } = await open({ activities: { double }, limits: { activitiesMax: 3 } });
    const handle = await test.start('collector');
    await Promise.all(numbers(20).map((n) => handle.signal('call', n)));
    for (let done = 0; done < 20; done++) (await eventually(() => finish[done]))();
    await eventually(async () => ((await list(handle)) as unknown[]).length === 20);
    expect(most).to.equal(3);
    expect(test.runtime.metrics()).to.include({ activitiesRunning: 0, activitiesWaiting: 0 });
  });

  it('thousands of signals and hundreds of updates at once, with the default limits: all are taken', async () => {
    const { test } = await open({});
    const handle = await test.start('collector');
    const signals = numbers(5_000).map((n) => handle.signal('add', n));
    const updates = numbers(300).map((n) => handle.executeUpdate('put', { args: [n] }));
    await Promise.all([...signals, ...updates]);
    expect(await list(handle)).to.have.length(5_300);
  });

  it('rejected updates and failed queries: leave nothing behind in memory', async () => {
    const { test } = await open({ limits: { queuedMessagesMax: 20 } });
    const handle = await test.start('collector');
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        numbers(9).flatMap(() => [
          rejection(handle.executeUpdate('put', { args: [-1] })),
          rejection(handle.query('nobody')),
        ]),
      );
    }
    expect(await list(handle)).to.deep.equal([]);
    expect((await handle.fetchHistory()).events).to.have.length(4);
  });
});
