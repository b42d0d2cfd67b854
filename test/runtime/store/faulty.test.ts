import { expect } from 'chai';
import { StoreFailedError, StoreFullError } from '../../../runtime/store/errors.js';
import { FaultPlan, faultyStore } from '../../../runtime/store/faulty.js';
import { openMemoryStore } from '../../../runtime/store/memory.js';
import type { Store } from '../../../runtime/store/store.js';
import { keys, put, read, rejection, remove } from '../../support/store-rows.js';

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Whether a promise has settled after some turns of the event loop. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await turns(5);
  return settled;
}

describe('faulty store', () => {
  let inner: Store;
  let plan: FaultPlan;
  let store: Store;
  beforeEach(() => {
    inner = openMemoryStore();
    plan = new FaultPlan();
    store = faultyStore(inner, plan);
  });

  it('store: planned to fail before the commit -> StoreFailedError, nothing stored, later writes refused', async () => {
    plan.at(2, { kind: 'fail', when: 'before' });
    await store.write([put('a')]);
    expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFailedError);
    expect(await rejection(store.write([put('c')]))).to.be.instanceOf(StoreFailedError);
    expect(keys(store)).to.deep.equal(['a']);
  });

  it('store: planned to fail after the commit -> StoreFailedError although it is stored, later writes refused', async () => {
    plan.next({ kind: 'fail', when: 'after' });
    expect(await rejection(store.write([put('a')]))).to.be.instanceOf(StoreFailedError);
    expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFailedError);
    expect(keys(inner)).to.deep.equal(['a']);
  });

  it('store: planned full for one write -> StoreFullError for it, the next succeeds', async () => {
    plan.next({ kind: 'full' });
    const results = await Promise.allSettled([store.write([put('a')]), store.write([put('b')])]);
    expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled']);
    expect(keys(store)).to.deep.equal(['b']);
  });

  it('store: full until told otherwise -> puts refused, removals taken, then puts again', async () => {
    await store.write([put('a')]);
    plan.full = true;
    const error = await rejection(store.write([put('b'), remove('a')]));
    expect(error).to.be.instanceOf(StoreFullError);
    expect((error as StoreFullError).retryable).to.equal(true);
    await store.write([remove('a')]);
    expect(keys(store)).to.deep.equal([]);
    plan.full = false;
    await store.write([put('b')]);
    expect(keys(store)).to.deep.equal(['b']);
  });

  it('store: slow by an injected delay -> writes wait for it, in order', async () => {
    const order: string[] = [];
    plan.delay = async (number) => {
      order.push(`delay ${number}`);
      await turns(3 - number);
    };
    const writes = [1, 2].map((i) => store.write([put('a', String(i))]).then(() => order.push(`done ${i}`)));
    expect(keys(store)).to.deep.equal([]);
    await Promise.all(writes);
    expect(order).to.deep.equal(['delay 1', 'done 1', 'delay 2', 'done 2']);
    expect(read(store, 'a')).to.equal('2');
  });

  it('store: held before the commit -> not stored and not acknowledged until released', async () => {
    plan.hold();
    const writes = [store.write([put('a')]), store.write([put('b')])];
    expect(await isSettled(writes[0]!)).to.equal(false);
    expect(keys(store)).to.deep.equal([]);
    plan.release();
    await Promise.all(writes);
    expect(keys(store)).to.deep.equal(['a', 'b']);
  });

  it('store: held after the commit -> stored, and not acknowledged until released', async () => {
    plan.hold('after');
    const write = store.write([put('a')]);
    expect(await isSettled(write)).to.equal(false);
    expect(keys(store)).to.deep.equal(['a']);
    plan.release();
    await write;
  });

  it('store: closed while held -> waits for the release', async () => {
    plan.hold();
    const write = store.write([put('a')]);
    const closing = store.close();
    expect(await isSettled(closing)).to.equal(false);
    plan.release();
    await Promise.all([write, closing]);
  });

  it('store: crashed -> nothing settles or is stored any more, and the rows can be opened again', async () => {
    await store.write([put('a')]);
    plan.hold();
    const held = store.write([put('b')]);
    await turns(1);
    plan.crash().release();
    const later = store.write([put('c')]);
    expect(await isSettled(held)).to.equal(false);
    expect(await isSettled(later)).to.equal(false);
    await store.close();
    const again = faultyStore(inner);
    expect(keys(again)).to.deep.equal(['a']);
    await again.write([put('d')]);
    expect(keys(again)).to.deep.equal(['a', 'd']);
  });

  it('store: a write that is refused for its keys -> does not count', async () => {
    await rejection(store.write([put('')]));
    expect(plan.writes).to.equal(0);
    await store.write([put('a')]);
    expect(plan.writes).to.equal(1);
  });
});
