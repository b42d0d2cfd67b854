/**
 * D7: a workflow that takes its thread with it, or fails in its turn, harms only itself. Everything here shares one
 * thread with it and must not notice.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { WorkflowHandle } from '../../runtime/client/index.js';
import { Runtime, type RuntimeOptions } from '../../runtime/index.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { repository } from '../support/repository.js';
import { rejection } from '../support/store-rows.js';

interface Case {
  /** What the workflow of test/fixtures/crash/trouble.ts is told to do. */
  trouble: 'loop' | 'memory' | 'rejection' | 'throw';
  /** What describe() says. */
  cause: string;
  limits: NonNullable<RuntimeOptions['limits']>;
}

/** Tried again seldom, because every time costs a thread. */
const SHORT_TURNS = { turnMsMax: 300, turnRetryMsMin: 500 };
/** Filling the heap takes a while, which must not count as a loop. */
const SMALL_HEAP = { turnMsMax: 120_000, turnRetryMsMin: 500, heapBytesPerThreadHard: 64 * 2 ** 20 };

const CASES: Case[] = [
  { trouble: 'loop', cause: 'TURN_TIMEOUT', limits: SHORT_TURNS },
  { trouble: 'memory', cause: 'THREAD_DIED', limits: SMALL_HEAP },
  { trouble: 'rejection', cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE', limits: {} },
  { trouble: 'throw', cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE', limits: {} },
];

const GOOD = ['good-1', 'good-2', 'good-3'];
const NOTES = Array.from({ length: 30 }, (_, i) => i + 1);

describe('a workflow that harms its thread', function () {
  this.timeout(180_000);
  let folder: string;
  let runtime: Runtime;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'signalbox-thread-'));
  });

  afterEach(async () => {
    await runtime.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(
    limits: Case['limits'],
    workflows = 'trouble',
    ports: RuntimeOptions['ports'] = {},
  ): Promise<void> {
    runtime = await Runtime.open({
      path: path.join(folder, 'store'),
      workflowsPath: path.join(repository, 'test', 'fixtures', 'crash', `${workflows}.ts`),
      threads: 1,
      limits,
      ports,
      logger: { log: () => undefined },
    });
  }

  const handle = (workflowId: string): WorkflowHandle => runtime.client.workflow.getHandle(workflowId);
  const start = (type: string, workflowId: string, ...args: unknown[]) =>
    runtime.client.workflow.start(type, { workflowId, args });

  /** Sends the notes to all good executions, and what `harm` sends right in between; resolves when all is acknowledged. */
  async function sendAround(harm: () => Promise<unknown>[]): Promise<void> {
    const sent: Promise<unknown>[] = [];
    for (const n of NOTES) {
      for (const id of GOOD) sent.push(handle(id).signal('note', n));
      if (n === 10) sent.push(...harm());
      // Some travel with what does harm, some come while the thread is away.
      if (n % 10 === 5) await sleep(20);
    }
    await Promise.all(sent);
  }

  async function expectGoodUnharmed(): Promise<void> {
    for (const id of GOOD) {
      expect(await handle(id).query('notes')).to.deep.equal(NOTES);
      expect(await handle(id).executeUpdate('count', { args: [31] })).to.equal(31);
      const signalled = await signals(handle(id));
      expect(signalled).to.have.length(NOTES.length);
    }
  }

  async function expectTerminable(id: string): Promise<void> {
    await handle(id).terminate('no use');
    expect((await handle(id).describe()).status.name).to.equal('TERMINATED');
    expect((await rejection(handle(id).result())).name).to.equal('WorkflowFailedError');
  }

  /** A turn that fails is noted when its thread was replaced, which takes a while. */
  async function pendingTurn(id: string) {
    for (;;) {
      const { pendingTurn: pending } = await handle(id).describe();
      if (pending !== undefined) return pending;
      await sleep(10);
    }
  }

  for (const { trouble, cause, limits } of CASES) {
    describe(`${trouble}`, () => {
      it(`thread: ${trouble} in a signal handler -> its neighbours keep every message, and it can be terminated`, async () => {
        await open(limits);
        await Promise.all(GOOD.map((id) => start('good', id)));
        const bad = await start('bad', 'bad');
        await sendAround(() => [
          bad.signal('note', 1),
          bad.signal('trouble', trouble),
          bad.signal('note', 2),
        ]);
        expect((await pendingTurn('bad')).cause).to.equal(cause);
        // It cannot be answered now, and must not be left unanswered for ever.
        const held = rejection(bad.executeUpdate('count', { args: [3] }));
        await expectGoodUnharmed();
        expect(await signals(bad)).to.deep.equal(['note', 'trouble', 'note']);
        await expectTerminable('bad');
        expect((await held).name).to.equal('WorkflowNotFoundError');
        await runtime.close();
      });

      it(`thread: ${trouble} in a signal handler, then mended code -> what was acknowledged meanwhile takes effect, once and in order`, async () => {
        await open(limits);
        await Promise.all(GOOD.map((id) => start('good', id)));
        const bad = await start('bad', 'bad');
        await bad.signal('note', 1);
        await sendAround(() => [
          bad.signal('note', 2),
          bad.signal('trouble', trouble),
          bad.signal('note', 3),
        ]);
        await pendingTurn('bad');
        await handle('bad').signal('note', 4);
        await handle('bad').signalWithOptions('note', { args: [5], requestId: 'five' });
        await runtime.close();
        await open({}, 'mended');
        const { duplicate } = await handle('bad').signalWithOptions('note', { args: [5], requestId: 'five' });
        expect(duplicate).to.equal(true);
        expect(await handle('bad').executeUpdate('count', { args: [6] })).to.equal(7);
        expect(await handle('bad').query('notes')).to.deep.equal([1, 2, -1, 3, 4, 5, 6]);
        expect((await handle('bad').describe()).pendingTurn).to.equal(undefined);
        await expectGoodUnharmed();
      });

      it(`thread: ${trouble} in the main function -> the start is acknowledged, and the neighbours keep every message`, async () => {
        await open(limits);
        await Promise.all(GOOD.map((id) => start('good', id)));
        await sendAround(() => [start('badFromTheStart', 'bad', trouble), handle('bad').signal('note', 1)]);
        expect((await pendingTurn('bad')).cause).to.equal(cause);
        await expectGoodUnharmed();
        expect(await signals(handle('bad'))).to.deep.equal(['note']);
        await expectTerminable('bad');
        await runtime.close();
      });
    });
  }

  it('thread: loop in a query handler -> the query is refused, and its own workflow goes on too', async () => {
    await open(SHORT_TURNS);
    await Promise.all(GOOD.map((id) => start('good', id)));
    const bad = await start('bad', 'bad');
    await sendAround(() => [
      bad.signal('note', 1),
      rejection(bad.query('loopInQuery')).then(expectTooLong),
      bad.signal('note', 2),
    ]);
    await expectGoodUnharmed();
    expect(await bad.query('notes')).to.deep.equal([1, 2]);
    expect((await bad.describe()).pendingTurn).to.equal(undefined);
    await expectTerminable('bad');
  });

  it('thread: loop in a validator -> the neighbours keep every message, and whoever sent the update hears of its end', async () => {
    await open(SHORT_TURNS);
    await Promise.all(GOOD.map((id) => start('good', id)));
    const bad = await start('bad', 'bad');
    let heldUp: Promise<Error> | undefined;
    await sendAround(() => {
      heldUp = rejection(bad.executeUpdate('loopInValidator', { args: [1] }));
      return [bad.signal('note', 2)];
    });
    expect((await pendingTurn('bad')).cause).to.equal('TURN_TIMEOUT');
    await expectGoodUnharmed();
    expect(await signals(bad)).to.deep.equal(['note']);
    await expectTerminable('bad');
    expect((await heldUp!).name).to.equal('WorkflowNotFoundError');
  });

  it('thread: two workflows that loop at once -> each is singled out, the others are unharmed', async () => {
    await open(SHORT_TURNS);
    await Promise.all(GOOD.map((id) => start('good', id)));
    const bad = await Promise.all(['bad-1', 'bad-2'].map((id) => start('bad', id)));
    await sendAround(() => bad.map((each) => each.signal('trouble', 'loop')));
    for (const { workflowId } of bad) expect((await pendingTurn(workflowId)).cause).to.equal('TURN_TIMEOUT');
    await expectGoodUnharmed();
    for (const { workflowId } of bad) await expectTerminable(workflowId);
  });

  it('thread: a turn fails while those before are on their way to the disk -> what is rebuilt lacks none of them', async () => {
    const plan = new FaultPlan();
    await open({}, 'trouble', { store: faultyStore(openMemoryStore({ durability: 'commit' }), plan) });
    const bad = await start('bad', 'bad');
    plan.delay = () => sleep(400);
    const seen: Promise<unknown>[] = [];
    const sent: Promise<unknown>[] = [];
    for (const n of [1, 2, 3]) {
      sent.push(bad.signal('note', n));
      // Each gets a turn of its own, and none has been written when the next begins.
      await sleep(40);
    }
    sent.push(bad.signal('trouble', 'throw'));
    await sleep(40);
    for (let i = 0; i < 3; i++) seen.push(bad.query('notes'));
    await Promise.all(sent);
    for (const notes of await Promise.all(seen)) expect(notes).to.deep.equal([1, 2, 3]);
  });

  it('thread: a loop under way -> close() ends nevertheless', async () => {
    await open(SHORT_TURNS);
    const bad = await start('bad', 'bad');
    const told = Promise.allSettled([bad.signal('trouble', 'loop')]);
    await runtime.close();
    await told;
  });
});

function expectTooLong(error: Error): void {
  expect(error.name).to.equal('QueryNotRegisteredError');
  expect(error.message).to.include('limits.turnMsMax');
}

/** Names of the signals in the event history. */
async function signals(execution: WorkflowHandle): Promise<string[]> {
  const { events } = await execution.fetchHistory();
  const attributes = events.map(
    ({ workflowExecutionSignaledEventAttributes }: any) => workflowExecutionSignaledEventAttributes,
  );
  return attributes.flatMap((signal) => (signal === undefined ? [] : [signal.signalName as string]));
}
