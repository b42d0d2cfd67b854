/** Threads and their slots (pool.ts): who serves what, and what becomes of a thread that blocks (D7). */
import { expect } from 'chai';
import { type BatchResult, type Envelope, packBatch, unpackResult } from '../../codec/envelope.js';
import { encodePayload } from '../../codec/payload.js';
import { systemClock } from '../../runtime/clock.js';
import { withDefaults } from '../../runtime/limits.js';
import { Pool, ThreadDiedError } from '../../runtime/pool.js';
import { info } from '../support/journal.js';
import { eventually } from '../support/runtime.js';
import { rejection } from '../support/store-rows.js';
import { FailingStarts } from '../support/threads.js';

/** As the bundler would make it: a script that fills `exports`. */
const CODE = `
  const wf = require('signalbox/workflow');
  let started = 0;
  exports.counts = async function counts() {
    started++;
    wf.setHandler(wf.defineQuery('started'), () => started);
    wf.setHandler(wf.defineSignal('block'), () => { for (;;); });
    await wf.condition(() => false);
  };
  exports.notAFunction = 5;
`;

describe('pool', () => {
  const pools: Pool[] = [];
  let told: Error[] = [];
  afterEach(async () => {
    told = [];
    for (const pool of pools.splice(0)) await pool.close();
  });
  function make(threads = 1, turnMsMax = 400): Pool {
    const pool = new Pool(
      threads,
      withDefaults({ turnMsMax }),
      systemClock,
      (error) => void told.push(error),
    );
    pools.push(pool);
    return pool;
  }
  async function open(code = CODE, threads = 1, turnMsMax = 400): Promise<Pool> {
    const pool = make(threads, turnMsMax);
    await pool.load({ code });
    return pool;
  }

  let batchNo = 0;
  async function run(pool: Pool, slot: number, ...envelopes: Envelope[]): Promise<BatchResult> {
    return unpackResult(
      await pool.run(slot, packBatch({ no: ++batchNo, now: 1_000, timed: false, envelopes })),
    );
  }
  const start = (runNo: number): Envelope => ({
    kind: 'start',
    info: info(runNo, `w${runNo}`, { workflowType: 'counts' }),
    inputs: [],
  });
  const ask = (runNo: number): Envelope => ({
    kind: 'query',
    runNo,
    name: 'started',
    args: encodePayload([]),
  });
  const block = (runNo: number): Envelope => ({
    kind: 'input',
    runNo,
    input: { kind: 'signal', name: 'block', args: encodePayload([]) },
  });

  it('the workflow types: the functions that the modules export', async () => {
    expect(await make().load({ code: CODE })).to.deep.equal(['counts']);
  });

  it('modules that throw when they are evaluated: ThreadDiedError with that as its cause', async () => {
    const error = await rejection(make().load({ code: 'throw new RangeError("at once")' }));
    expect(error).to.be.instanceOf(ThreadDiedError).with.property('blocked', false);
    expect(error.cause).to.include({ name: 'RangeError', message: 'at once' });
  });

  it('closed before its threads have started, with or without code: nothing is left behind', async () => {
    const [without, withCode] = [make(2), make(2)];
    // Whether the code is still loaded depends on how fast the threads start.
    const loaded = withCode.load({ code: CODE }).catch((error: unknown) => error);
    await Promise.all([without.close(), withCode.close()]);
    const outcome = await loaded;
    if (!Array.isArray(outcome)) expect(outcome).to.be.instanceOf(ThreadDiedError);
  });

  it('a thread that dies: the one in its place has the code, although nobody loads it again', async () => {
    const pool = await open(CODE, 1);
    await run(pool, 0, start(1));
    await rejection(run(pool, 0, block(1)));
    expect((await run(pool, 0, start(2), ask(2))).replies[0]!.kind).to.equal('answer');
  });

  it('a thread that dies while it starts in the place of another: told, and started again until there is one', async () => {
    const pool = await open();
    await run(pool, 0, start(1));
    const threads = new FailingStarts(2);
    try {
      const died = await rejection(run(pool, 0, block(1)));
      expect(died).to.be.instanceOf(ThreadDiedError);
      const { replies } = await run(pool, 0, start(2), ask(2));
      expect(replies).to.have.length(1);
    } finally {
      threads.restore();
    }
    expect(threads.failed).to.equal(2);
    expect(told.map(({ message }) => message)).to.deep.equal(
      Array(2).fill('A workflow thread ended, another takes its place: this one does not start'),
    );
  });

  it('closed while no thread can be started: the batch is refused, and no thread is started after that', async () => {
    const pool = await open();
    await run(pool, 0, start(1));
    const threads = new FailingStarts(Number.POSITIVE_INFINITY);
    try {
      await rejection(run(pool, 0, block(1)));
      const refused = rejection(run(pool, 0, start(2)));
      await eventually(() => told.length >= 2);
      await pool.close();
      expect(await refused).to.be.instanceOf(ThreadDiedError);
      const { failed } = threads;
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      expect(threads.failed).to.equal(failed);
    } finally {
      threads.restore();
    }
  });

  it('a slot: is served by one thread, which keeps what it holds; another slot by another', async () => {
    const pool = await open(CODE, 2);
    await Promise.all([run(pool, 0, start(1)), run(pool, 1, start(2))]);
    for (let round = 0; round < 5; round++) {
      const [here, there] = await Promise.all([run(pool, 0, ask(1), ask(2)), run(pool, 1, ask(1), ask(2))]);
      expect(here.replies.map(({ kind }) => kind)).to.deep.equal(['answer', 'failure']);
      expect(there.replies.map(({ kind }) => kind)).to.deep.equal(['failure', 'answer']);
    }
  });

  it('a turn that blocks: the thread is ended, the error tells whose turn it was, and the slot gets a new thread', async () => {
    const pool = await open(CODE, 2);
    await run(pool, 1, start(2));
    await run(pool, 0, start(1));
    const blocked = rejection(run(pool, 0, block(1)));
    // The other thread goes on meanwhile.
    expect((await run(pool, 1, ask(2))).replies[0]!.kind).to.equal('answer');
    expect(await blocked)
      .to.be.instanceOf(ThreadDiedError)
      .and.include({ blocked: true, mode: 'turn', runNo: 1 });
    expect((await run(pool, 0, ask(1))).replies[0]!.kind).to.equal('failure');
    expect((await run(pool, 0, start(3), ask(3))).replies[0]!.kind).to.equal('answer');
    expect((await run(pool, 1, ask(2))).replies[0]!.kind).to.equal('answer');
  });

  it('the first batch of a thread that has not started yet blocks it: it is ended as any other', async () => {
    const pool = await open(CODE, 3);
    const blocked = [1, 2].map((slot) => rejection(run(pool, slot, start(slot), block(slot))));
    for (const error of await Promise.all(blocked))
      expect(error).to.be.instanceOf(ThreadDiedError).and.include({ blocked: true, mode: 'turn' });
  });

  it('a batch of many short turns that together take longer than the limit: is left alone', async () => {
    const busy = `${CODE}
      exports.busy = async function busy() {
        wf.setHandler(wf.defineQuery('started'), () => { for (const end = wf.workflowInfo().unsafe.now() + 20; wf.workflowInfo().unsafe.now() < end; ); return 1; });
        await wf.condition(() => false);
      };`;
    const pool = await open(busy, 1, 300);
    const first: Envelope = { kind: 'start', info: info(1, 'busy', { workflowType: 'busy' }), inputs: [] };
    const { replies } = await run(pool, 0, first, ...Array.from({ length: 30 }, () => ask(1)));
    expect(replies.filter(({ kind }) => kind === 'answer')).to.have.length(30);
  });

  it('closed while a batch is in a thread: that batch is refused', async () => {
    const pool = await open(CODE, 1, 60_000);
    await run(pool, 0, start(1));
    const blocked = rejection(run(pool, 0, block(1)));
    await pool.close();
    expect(await blocked)
      .to.be.instanceOf(ThreadDiedError)
      .with.property('blocked', false);
  });
});
