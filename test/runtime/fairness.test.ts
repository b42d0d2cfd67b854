/**
 * What one execution asks of its thread is not at the expense of the others. Told by the order in which calls are acknowledged,
 * and never by how long they take.
 */
import { expect } from 'chai';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { WriteOp } from '../../runtime/store/store.js';
import { type Faulty, noUnhandledRejections, openFaulty, puts, refusing } from '../support/faulty.js';
import type { Handle } from '../support/runtime.js';

/** So many take far longer than a batch should on any machine, however busy it is (turn-times.ts). */
const ROUNDS = 30_000_000;
const SHORT = { batchMsMax: 0.2, turnMsMax: 60_000 };
const LARGE = 'x'.repeat(300 * 1024);

describe('fairness', () => {
  noUnhandledRejections();
  const opened: Faulty[] = [];
  afterEach(async () => {
    for (const { test } of opened.splice(0)) await test.close();
  });
  async function open(limits = {}, options: Parameters<typeof openFaulty>[0] = {}) {
    const made = await openFaulty({ limits, ...options });
    opened.push(made);
    return made.test;
  }
  /** Makes the calls in this order, without awaiting; how many had been answered before the last one. */
  async function heardBeforeLast(calls: readonly (() => Promise<unknown>)[]): Promise<number> {
    const heard: number[] = [];
    await Promise.all(calls.map((call, n) => call().then(() => heard.push(n))));
    return heard.indexOf(calls.length - 1);
  }
  const times = <T>(count: number, value: T): T[] => Array(count).fill(value);

  /** Twice, each by itself: once could have been an accident. */
  async function slow(test: Faulty['test']): Promise<Handle> {
    const handle = await test.start('computes');
    for (let n = 0; n < 2; n++) await handle.signal('compute', ROUNDS);
    return handle;
  }

  it('turns that take long: a message to another execution waits for one of them at most', async () => {
    const test = await open(SHORT);
    const [busy, quiet] = [await slow(test), await test.start('collector')];
    const compute = () => busy.signal('compute', ROUNDS);
    expect(await heardBeforeLast([...times(8, compute), () => quiet.signal('add', 1)])).to.be.at.most(1);
  });

  it('another execution of a workflow whose turns took long twice: is taken for slow before it was', async () => {
    const test = await open(SHORT);
    for (let n = 0; n < 2; n++) await slow(test);
    const [busy, quiet] = [await test.start('computes'), await test.start('collector')];
    const compute = () => busy.signal('compute', ROUNDS);
    expect(await heardBeforeLast([...times(8, compute), () => quiet.signal('add', 1)])).to.be.at.most(1);
  });

  it('large messages: a small one to another execution waits for one of them at most', async () => {
    const test = await open();
    const [busy, quiet] = [await test.start('collector'), await test.start('collector')];
    const large = () => busy.signal('add', LARGE);
    expect(await heardBeforeLast([...times(8, large), () => quiet.signal('add', 1)])).to.be.at.most(1);
  });

  it('large messages faster than the disk: a small one does not share its write with all of them', async () => {
    const plan = new FaultPlan();
    const written: number[] = [];
    const disk = refusing(openMemoryStore({ durability: 'commit' }), (ops) => {
      if (puts('j', ops)) written.push(bytesOf(ops));
      return undefined;
    });
    const test = await open({}, { store: faultyStore(disk, plan) });
    const [busy, quiet] = [await test.start('collector'), await test.start('collector')];
    const other = await test.start('collector');
    written.length = 0;
    plan.hold();
    const calls = [...times(8, LARGE).map((large) => busy.signal('add', large)), quiet.signal('add', 1)];
    // Each is a batch in between: by then all have gone to the thread that may.
    for (let n = 0; n < 20; n++) await other.query('list');
    plan.release();
    await Promise.all(calls);
    expect(written[0]).to.be.within(LARGE.length, 2 * LARGE.length);
    expect(written[1]).to.be.below(LARGE.length);
  });

  it('many messages to one execution: one to another is in the first batch', async () => {
    const test = await open({ batchMessagesMax: 16 });
    const [busy, quiet] = [await test.start('collector'), await test.start('collector')];
    const add = () => busy.signal('add', 1);
    expect(await heardBeforeLast([...times(1_000, add), () => quiet.signal('add', 1)])).to.be.below(16);
  });

  it('short turns and small messages: travel together', async () => {
    const test = await open();
    const [busy, quiet] = [await test.start('collector'), await test.start('collector')];
    const add = () => busy.signal('add', 1);
    expect(await heardBeforeLast([...times(100, add), () => quiet.signal('add', 1)])).to.equal(100);
  });
});

function bytesOf(ops: readonly WriteOp[]): number {
  return ops.reduce((sum, op) => sum + (op.kind === 'put' ? op.value.length : 0), 0);
}
