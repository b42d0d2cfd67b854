/** Watches (watch.ts): the answer of a query now and whenever a turn changes it, until the execution has closed. */
import { expect } from 'chai';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import type { RunOutcome } from '../../codec/run-record.js';
import {
  GrpcStatus,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  WorkflowNotFoundError,
} from '../../runtime/client/index.js';
import type { Live } from '../../runtime/live.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { type Topic, Watches, type WatchHost } from '../../runtime/watch.js';
import { noUnhandledRejections, puts, refusing } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

/** All answers until the watch ends. */
async function all(watch: AsyncIterable<unknown>): Promise<unknown[]> {
  const answers: unknown[] = [];
  for await (const answer of watch) answers.push(answer);
  return answers;
}

/** Lets everything that was said between host, threads and store settle, as far as this process can see. */
const pause = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('watch', () => {
  noUnhandledRejections();
  const opened: TestRuntime[] = [];
  async function open(options: Partial<Parameters<typeof TestRuntime.open>[0]> = {}): Promise<TestRuntime> {
    const test = await TestRuntime.open({ workflows: 'watch', ...options });
    opened.push(test);
    return test;
  }
  let shared: TestRuntime;
  before(async () => {
    shared = await TestRuntime.open({ workflows: 'watch' });
  });
  after(() => shared.close());
  afterEach(async () => {
    for (const test of opened.splice(0)) await test.close();
    expect(shared.runtime.metrics().watches).to.equal(0);
  });

  const watches = (test = shared) => test.runtime.metrics().watches;

  describe('answers', () => {
    it('watch: gives the answer there is, then one after each turn that changed it', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      expect(await watch.next()).to.deep.equal({ done: false, value: 'initial' });
      for (const value of [1, { deep: new Map([['a', 1n]]) }, undefined, 'text']) {
        const next = watch.next();
        await handle.signal('set', value);
        expect(await next).to.deep.equal({ done: false, value });
      }
      const next = watch.next();
      await handle.executeUpdate('put', { args: ['by an update'] });
      expect((await next).value).to.equal('by an update');
      await watch.return!();
    });

    it('turn that leaves the answer as it was: not told', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      let settled = false;
      const next = watch.next().finally(() => {
        settled = true;
      });
      await handle.signal('touch');
      await handle.signal('set', 'initial');
      await pause();
      expect(settled).to.equal(false);
      await handle.signal('set', 'changed');
      expect((await next).value).to.equal('changed');
      await watch.return!();
    });

    it('reader that is slow: gets the latest answer only, and no answer again that it has', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      for (let i = 0; i < 100; i++) await handle.signal('set', i);
      expect((await watch.next()).value).to.equal(99);
      await handle.signal('set', 'something else');
      await handle.signal('set', 99);
      const next = watch.next();
      await pause();
      await handle.signal('set', 'after that');
      expect((await next).value).to.equal('after that');
      await watch.return!();
    });

    it('changes without pause: a reader sees them in order, the last one for certain', async () => {
      const handle = await shared.start('holds');
      const seen: number[] = [];
      const reading = (async () => {
        for await (const value of handle.watch<unknown>('state')) {
          if (typeof value === 'number') seen.push(value);
          if (value === 499) break;
        }
      })();
      await Promise.all(Array.from({ length: 500 }, (_, i) => handle.signal('set', i)));
      await reading;
      expect(seen).to.deep.equal([...seen].sort((a, b) => a - b));
      expect(seen.at(-1)).to.equal(499);
    });

    it('arguments: are those of the query; watches of other parts hear nothing new', async () => {
      const handle = await shared.start('holds');
      await handle.signal('set', { a: 1, b: 1 });
      const [a, b] = [
        handle.watch<unknown, [string]>('part', 'a'),
        handle.watch<unknown, [string]>('part', 'b'),
      ];
      expect([(await a.next()).value, (await b.next()).value]).to.deep.equal([1, 1]);
      const [nextA, nextB] = [a.next(), b.next()];
      await handle.signal('set', { a: 2, b: 1 });
      expect((await nextA).value).to.equal(2);
      await handle.signal('set', { a: 2, b: 3 });
      expect((await nextB).value).to.equal(3);
      await Promise.all([a.return!(), b.return!()]);
    });

    it('several watches of one query: each has its own pace', async () => {
      const handle = await shared.start('holds');
      const [quick, slow] = [handle.watch('state'), handle.watch('state')];
      await Promise.all([quick.next(), slow.next()]);
      for (const value of ['a', 'b']) {
        const next = quick.next();
        await handle.signal('set', value);
        expect((await next).value).to.equal(value);
      }
      expect((await slow.next()).value).to.equal('b');
      await quick.return!();
      const next = slow.next();
      await handle.signal('set', 'c');
      expect((await next).value).to.equal('c');
      await slow.return!();
    });

    it('calls of next() without waiting: are served one by one', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      const calls = [watch.next(), watch.next(), watch.next()];
      await calls[0];
      await handle.signal('set', 1);
      await calls[1];
      await handle.signal('end', 'well');
      expect(await Promise.all(calls)).to.deep.equal(
        ['initial', 1, 'ended: well'].map((value) => ({ done: false, value })),
      );
      expect(await watch.next()).to.deep.equal({ done: true, value: undefined });
    });

    it('watch right after the start, unawaited: begins with the first turn', async () => {
      const workflowId = shared.newId();
      const started = shared.client.start('holds', { workflowId, args: [] });
      const watch = shared.client.getHandle(workflowId).watch('state');
      expect((await watch.next()).value).to.equal('initial');
      await started;
      await watch.return!();
    });

    it('change that is not durable yet: not seen before it is (D4)', async () => {
      const store = openMemoryStore({ durability: 'commit' });
      let release = (): void => undefined;
      let held = 0;
      let holding: Promise<void> | undefined;
      const test = await open({
        store: {
          get: (key) => store.get(key),
          range: (from, to, options) => store.range(from, to, options),
          stats: () => store.stats(),
          close: () => store.close(),
          async write(ops) {
            held += holding === undefined ? 0 : 1;
            await holding;
            return store.write(ops);
          },
        },
      });
      const handle = await test.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      holding = new Promise((resolve) => {
        release = resolve;
      });
      let seen = false;
      const next = watch.next().finally(() => {
        seen = true;
      });
      const sent = handle.signal('set', 'gated');
      await eventually(() => held > 0);
      await pause();
      expect(seen).to.equal(false);
      release();
      holding = undefined;
      expect((await next).value).to.equal('gated');
      await sent;
      await watch.return!();
    });

    it('timer that changes the state: told, without anything being asked in the meantime', async () => {
      const clock = new ManualClock();
      const test = await open({ clock });
      const handle = await test.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      const before = clock.pending;
      await handle.signal('setAfter', 60_000);
      const next = watch.next();
      await pause();
      // The execution's timer is the only thing that is waited for in addition.
      expect(clock.pending).to.deep.equal([60_000, ...before]);
      clock.advance(60_000);
      expect((await next).value).to.equal('after 60000 ms');
      await watch.return!();
    });
  });

  describe('end', () => {
    const endings: [string, (handle: Handle) => Promise<unknown>, unknown][] = [
      ['completes', (handle) => handle.signal('end', 'well'), 'ended: well'],
      ['fails', (handle) => handle.signal('end', 'fail'), 'ended: fail'],
      ['is cancelled', (handle) => handle.cancel(), 'cancelled'],
    ];
    for (const [how, end, last] of endings) {
      it(`execution ${how}: the final answer, then the end`, async () => {
        const handle = await shared.start('holds');
        const answers = all(handle.watch('state'));
        await eventually(() => watches() === 1);
        await pause();
        await end(handle);
        expect(await answers).to.deep.equal(['initial', last]);
        expect(watches()).to.equal(0);
      });

      it(`execution ${how} while nobody reads: the final answer is still there`, async () => {
        const handle = await shared.start('holds');
        const watch = handle.watch('state');
        await watch.next();
        await end(handle);
        await handle.result().catch(() => undefined);
        expect(await all(watch)).to.deep.equal([last]);
      });
    }

    it('execution is terminated: what is known is the final answer', async () => {
      const handle = await shared.start('holds');
      const answers = all(handle.watch('state'));
      await eventually(() => watches() === 1);
      await pause();
      await handle.terminate();
      expect(await answers).to.deep.equal(['initial']);
    });

    it('execution times out: the final answer, then the end', async () => {
      const clock = new ManualClock();
      const test = await open({ clock });
      const handle = await test.start('holds', [], { workflowRunTimeout: '1 minute' });
      const answers = all(handle.watch('state'));
      await eventually(() => watches(test) === 1);
      await pause();
      clock.advance(60_000);
      expect(await answers).to.deep.equal(['initial']);
    });

    it('execution had closed before: its answer, then the end', async () => {
      const handle = await shared.start('holds');
      await handle.signal('end', 'well');
      expect(await all(handle.watch('state'))).to.deep.equal(['ended: well']);
    });

    it('execution had been terminated before: refused as a query is', async () => {
      const handle = await shared.start('holds');
      await handle.terminate();
      expect(await rejection(handle.watch('state').next())).to.be.instanceOf(QueryRejectedError);
    });

    it('execution that ends with the answer it had: not told twice', async () => {
      const handle = await shared.start('holds');
      await handle.signal('set', 'ended: well');
      const answers = all(handle.watch('state'));
      await eventually(() => watches() === 1);
      await pause();
      await handle.signal('end', 'well');
      expect(await answers).to.deep.equal(['ended: well']);
    });

    it('execution continues as new: a watch of the workflow id goes on with the next run, one of the run ends', async () => {
      const { workflowId } = await shared.start('holds');
      const handle = shared.client.getHandle(workflowId);
      const first = shared.client.getHandle(workflowId, (await handle.describe()).runId);
      const [chain, run] = [handle.watch('state'), first.watch('state')];
      await Promise.all([chain.next(), run.next()]);
      const next = chain.next();
      await handle.signal('set', 'handed over');
      expect([(await next).value, (await run.next()).value]).to.deep.equal(['handed over', 'handed over']);
      const [of2, of1] = [all(chain), all(run)];
      await handle.signal('end', 'continue');
      expect(await of1).to.deep.equal(['ended: continue']);
      await handle.signal('set', 'in the second run');
      await pause();
      await handle.signal('end', 'continue');
      await pause();
      await handle.signal('end', 'well');
      const seen = await of2;
      // The end of the first run may be seen or not: the latest answer wins.
      expect(seen.filter((value) => value !== 'ended: continue')).to.deep.equal([
        'handed over, continued',
        'in the second run',
        'in the second run, continued',
        'ended: well',
      ]);
    });

    it('another execution under the same workflow id: is not watched', async () => {
      const handle = await shared.start('holds');
      const answers = all(handle.watch('state'));
      await eventually(() => watches() === 1);
      await pause();
      await handle.signal('end', 'well');
      await shared.client.start('holds', { workflowId: handle.workflowId, args: [] });
      expect(await answers).to.deep.equal(['initial', 'ended: well']);
    });

    it('runtime closes: whoever waits is told so, and a watch that is not read as well', async () => {
      const test = await open();
      const handle = await test.start('holds');
      const [waiting, unread] = [handle.watch('state'), handle.watch('state')];
      await Promise.all([waiting.next(), unread.next()]);
      const next = rejection(waiting.next());
      await test.close();
      for (const error of [await next, await rejection(unread.next())]) {
        expect(error).to.be.instanceOf(ServiceError);
        expect(error.message).to.match(/The runtime is closed/);
      }
      expect((await waiting.next()).done).to.equal(true);
      expect(watches(test)).to.equal(0);
    });

    it('loop that is left: frees everything', async () => {
      const handle = await shared.start('holds');
      for await (const _ of handle.watch('state')) break;
      expect(watches()).to.equal(0);
    });

    it('return() while next() waits: both end', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      const next = watch.next();
      await pause();
      expect(await watch.return!()).to.deep.equal({ done: true, value: undefined });
      expect(await next).to.deep.equal({ done: true, value: undefined });
      expect(watches()).to.equal(0);
      await handle.signal('set', 'unheard');
      expect((await watch.next()).done).to.equal(true);
    });

    it('watch that is never read: nothing is held for it', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      expect(watches()).to.equal(0);
      await watch.return!();
      expect((await watch.next()).done).to.equal(true);
    });
  });

  describe('errors', () => {
    it('no such query: thrown from next(), and the watch is over', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('unheardOf');
      const error = await rejection(watch.next());
      expect(error).to.be.instanceOf(QueryNotRegisteredError);
      expect(error.message).to.match(/did not register a handler for unheardOf/);
      expect(watches()).to.equal(0);
      expect((await watch.next()).done).to.equal(true);
    });

    it('handler that goes away, or throws, later: thrown from next() then', async () => {
      const handle = await shared.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      const next = rejection(watch.next());
      await handle.signal('forget');
      expect(await next).to.be.instanceOf(QueryNotRegisteredError);
      const parts = handle.watch<unknown, [string]>('part', 'a');
      await handle.signal('set', { a: 1 });
      await parts.next();
      const thrown = rejection(parts.next());
      await handle.signal('set', null);
      expect((await thrown).message).to.match(/null/);
    });

    it('unknown workflow id: WorkflowNotFoundError', async () => {
      const error = await rejection(shared.client.getHandle('nobody').watch('state').next());
      expect(error).to.be.instanceOf(WorkflowNotFoundError);
    });

    it('what is no query: refused at the call', async () => {
      const handle = await shared.start('holds');
      expect(() => handle.watch({ type: 'signal', name: 'set' } as never)).to.throw(
        TypeError,
        /signal definition/,
      );
      expect(() => handle.watch('')).to.throw(TypeError);
    });

    it('reject condition of the client: holds for watches', async () => {
      const handle = await shared.start('holds');
      await handle.signal('end', 'well');
      const client = shared.client.withOptions({ queryRejectCondition: 'NOT_OPEN' });
      const error = await rejection(client.getHandle(handle.workflowId).watch('state').next());
      expect(error).to.be.instanceOf(QueryRejectedError);
    });

    it('withAbortSignal, withDeadline: end the watch that was made inside, also one that nobody reads', async () => {
      const clock = new ManualClock();
      const test = await open({ clock });
      const handle = await test.start('holds');
      const abort = new AbortController();
      const make = async () => handle.watch('state');
      const [waiting, unread] = [
        await test.client.withAbortSignal(abort.signal, make),
        await test.client.withAbortSignal(abort.signal, make),
      ];
      await Promise.all([waiting.next(), unread.next()]);
      const next = rejection(waiting.next());
      await pause();
      abort.abort();
      expect(watches(test)).to.equal(0);
      expect(isGrpcCancelledError(await next)).to.equal(true);
      expect(isGrpcCancelledError(await rejection(unread.next()))).to.equal(true);
      const timed = await test.client.withDeadline(clock.now() + 1_000, make);
      await timed.next();
      const late = rejection(timed.next());
      await pause();
      clock.advance(1_000);
      expect(isGrpcDeadlineError(await late)).to.equal(true);
      expect(watches(test)).to.equal(0);
      expect((await timed.next()).done).to.equal(true);
    });

    it('more watches than limits.watchesMax: refused; room again when one ends', async () => {
      const test = await open({ limits: { watchesMax: 2 } });
      const handle = await test.start('holds');
      const [first, second, third] = [handle.watch('state'), handle.watch('state'), handle.watch('state')];
      await Promise.all([first.next(), second.next()]);
      const error = await rejection(third.next());
      expect(error).to.be.instanceOf(ServiceError);
      expect((error.cause as RpcError).code).to.equal(GrpcStatus.RESOURCE_EXHAUSTED);
      expect(error.message).to.match(/limits\.watchesMax: 2/);
      await first.return!();
      const fourth = handle.watch('state');
      expect((await fourth.next()).done).to.equal(false);
      await Promise.all([second.return!(), fourth.return!()]);
    });
  });

  describe('trouble', () => {
    it('reopen: the watch ends with its runtime, a new one begins where the state is', async () => {
      const test = await open();
      const handle = await test.start('holds');
      await handle.signal('set', 'kept');
      await test.reopen();
      const again = test.again(handle);
      const watch = again.watch('state');
      expect((await watch.next()).value).to.equal('kept');
      const next = watch.next();
      await again.signal('set', 'and changed');
      expect((await next).value).to.equal('and changed');
      await watch.return!();
    });

    it('execution that leaves memory: is watched on, and comes back for its query', async () => {
      const test = await open({ limits: { activationsPerThreadMax: 1, journalBytesMax: 1 } });
      const watched = await test.start('holds');
      const watch = watched.watch('state');
      await watch.next();
      const next = watch.next();
      for (let i = 0; i < 5; i++) await test.start('holds');
      await eventually(() => test.runtime.metrics().activations === 1);
      await test.again(watched).signal('set', 'from far');
      expect((await next).value).to.equal('from far');
      await watch.return!();
      // Nothing holds it in the host's memory either.
      for (let i = 0; i < 3; i++) await test.start('holds');
      await eventually(() => test.runtime.metrics().runsInMemory <= 2);
    });

    it('thread dies in a turn of its own: the watch goes on with what was there, and what comes', async () => {
      const test = await open({ limits: { turnMsMax: 100 } });
      const handle = await test.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      const next = watch.next();
      const neighbour = await test.start('holds');
      const blocked = neighbour.signal('block');
      await handle.signal('set', 'survived');
      expect((await next).value).to.equal('survived');
      await blocked;
      const own = handle.signal('block');
      const later = watch.next();
      await own;
      await eventually(async () => (await handle.describe()).pendingTurn !== undefined);
      await handle.terminate();
      expect((await later).done).to.equal(true);
      await neighbour.terminate();
    });

    it('commit that fails: takes the change along, and the watch sees only what is durable', async () => {
      const disk = openMemoryStore({ durability: 'commit' });
      let failing = false;
      const clock = new ManualClock();
      const test = await open({
        clock,
        store: refusing(disk, (ops) =>
          failing && puts('j', ops) ? { when: 'before', error: new Error('the disk is away') } : undefined,
        ),
      });
      const handle = await test.start('holds');
      const watch = handle.watch('state');
      await watch.next();
      const next = watch.next();
      failing = true;
      await rejection(handle.signal('set', 'lost'));
      failing = false;
      await handle.signal('set', 'kept');
      // A query that showed the lost turn is asked again after a while.
      await eventually(() => {
        clock.advance(1_000);
        return Promise.race([next.then(() => true), pause(1).then(() => false)]);
      });
      expect((await next).value).to.equal('kept');
      await watch.return!();
    });
  });

  // The host in a few lines: runs that change and close when a test says so.
  describe('chains and questions', () => {
    class FakeHost implements WatchHost {
      readonly clock = new ManualClock();
      readonly runs = new Map<string, Live>();
      readonly states = new Map<string, unknown>();
      asked = 0;
      failures: Error[] = [];
      answering: Promise<void> | undefined;
      unwatchedRuns: string[] = [];
      readonly watches = new Watches(this, 100);

      run(runId: string, state: unknown, continuedFromRunId?: string): Live {
        const info = { namespace: 'n', workflowId: 'w', runId, continuedFromRunId };
        const live = {
          run: { info, outcome: undefined, closed: false },
          watched: undefined as Map<string, Topic> | undefined,
        } as unknown as Live;
        this.runs.set(runId, live);
        this.states.set(runId, state);
        return live;
      }

      change(runId: string, state: unknown): void {
        this.states.set(runId, state);
        this.watches.applied(this.runs.get(runId)!);
      }

      close(runId: string, outcome: RunOutcome): void {
        const live = this.runs.get(runId)!;
        Object.assign(live.run, { outcome, closed: true });
        this.watches.applied(live);
      }

      find({ runId }: { runId?: string | undefined }): Live {
        const live = runId === undefined ? [...this.runs.values()].at(-1) : this.runs.get(runId);
        if (live === undefined) throw new WorkflowNotFoundError('not found', 'w', runId);
        return live;
      }

      async ask({ runId }: { runId?: string | undefined }): Promise<Uint8Array> {
        this.asked += 1;
        const answer = encodePayload(this.states.get(runId!));
        await this.answering;
        const failure = this.failures.shift();
        if (failure !== undefined) throw failure;
        return answer;
      }

      unwatched(live: Live): void {
        this.unwatchedRuns.push(live.run.info.runId);
      }

      after(ms: number, callback: () => void): () => void {
        return this.clock.after(ms, callback);
      }

      open(runId?: string, signal?: AbortSignal) {
        const target = { namespace: 'n', workflowId: 'w', runId };
        return this.watches.open({ target, name: 'q', args: new Uint8Array(), reject: 'NONE', signal });
      }
    }

    const value = async (next: Promise<IteratorResult<Uint8Array, undefined>>) => {
      const result = await next;
      return result.done ? 'done' : decodePayload(result.value);
    };
    const settle = () => new Promise((resolve) => setImmediate(resolve));

    it('run continues as new: a watch of the workflow id goes on with the next, one of the run ends', async () => {
      const host = new FakeHost();
      host.run('1', 'one');
      const [chain, single] = [host.open(), host.open('1')];
      expect([await value(chain.next()), await value(single.next())]).to.deep.equal(['one', 'one']);
      const next = [value(chain.next()), value(single.next())];
      await settle();
      host.states.set('1', 'last of one');
      host.run('2', 'two', '1');
      host.close('1', { status: 'continuedAsNew', newRunId: '2' });
      expect(await Promise.all(next)).to.deep.equal(['two', 'last of one']);
      expect(await value(single.next())).to.equal('done');
      const later = value(chain.next());
      await settle();
      host.change('2', 'two, changed');
      expect(await later).to.equal('two, changed');
      host.close('2', { status: 'cancelled' });
      expect(await value(chain.next())).to.equal('done');
      expect(host.watches.size).to.equal(0);
    });

    it('next run with the same answer: nothing new', async () => {
      const host = new FakeHost();
      host.run('1', 'same');
      const watch = host.open();
      await watch.next();
      const next = value(watch.next());
      await settle();
      host.run('2', 'same', '1');
      host.close('1', { status: 'continuedAsNew', newRunId: '2' });
      await settle();
      host.change('2', 'other');
      expect(await next).to.equal('other');
      await watch.return();
    });

    it('next run whose start is lost at first: waited for', async () => {
      const host = new FakeHost();
      host.run('1', 'one');
      const watch = host.open();
      await watch.next();
      const next = value(watch.next());
      await settle();
      const lost = host.run('2', 'lost', '1');
      host.answering = new Promise(() => undefined);
      host.close('1', { status: 'continuedAsNew', newRunId: '2' });
      await settle();
      host.runs.delete('2');
      host.watches.lost(lost, new Error('the disk is away'));
      host.answering = undefined;
      await settle();
      expect(host.clock.pending).to.deep.equal([250]);
      host.run('2', 'two', '1');
      host.clock.advance(250);
      expect(await next).to.equal('two');
      await watch.return();
    });

    it('start of the watched run is lost: the error of the start', async () => {
      const host = new FakeHost();
      const live = host.run('1', 'one');
      const watch = host.open();
      host.answering = new Promise(() => undefined);
      const next = rejection(watch.next());
      await settle();
      host.watches.lost(live, new Error('the disk is away'));
      expect((await next).message).to.equal('the disk is away');
      expect(host.watches.size).to.equal(0);
    });

    it('many watches of one question: asked once per change; of a reader that does not read: not at all', async () => {
      const host = new FakeHost();
      host.run('1', 0);
      const readers = Array.from({ length: 50 }, () => host.open());
      await Promise.all(readers.map((watch) => watch.next()));
      expect(host.asked).to.equal(1);
      for (let i = 1; i <= 10; i++) host.change('1', i);
      expect(host.asked).to.equal(1);
      expect(await Promise.all(readers.map((watch) => value(watch.next())))).to.deep.equal(
        Array(50).fill(10),
      );
      expect(host.asked).to.equal(2);
      await Promise.all(readers.map((watch) => watch.return()));
      expect(host.unwatchedRuns).to.deep.equal(['1']);
    });

    it('change while the query is under way: one query at a time, and one more for the change', async () => {
      const host = new FakeHost();
      host.run('1', 0);
      const watch = host.open();
      let answer = (): void => undefined;
      host.answering = new Promise((resolve) => {
        answer = resolve;
      });
      const first = value(watch.next());
      await settle();
      for (let i = 1; i <= 10; i++) host.change('1', i);
      expect(host.asked).to.equal(1);
      answer();
      expect(await first).to.equal(0);
      expect(await value(watch.next())).to.equal(10);
      expect(host.asked).to.equal(2);
      await watch.return();
    });

    it('answer that a failed commit took along: asked for again after 250 ms, not when nobody waits any more', async () => {
      const host = new FakeHost();
      host.run('1', 'one');
      const watch = host.open();
      const failure = () => new RpcError(GrpcStatus.UNAVAILABLE, 'the disk is away');
      host.failures = [failure(), failure()];
      const next = value(watch.next());
      for (let i = 0; i < 2; i++) {
        await eventually(() => host.clock.pending.length === 1);
        expect(host.asked).to.equal(i + 1);
        host.clock.advance(250);
      }
      expect(await next).to.equal('one');
      host.change('1', 'two');
      host.failures = [failure(), failure()];
      const later = value(watch.next());
      await eventually(() => host.clock.pending.length === 1);
      await watch.return();
      expect(await later).to.equal('done');
      host.clock.advance(250);
      await settle();
      expect(host.clock.pending).to.deep.equal([]);
    });

    it('abort: whoever waits hears of it with CANCELLED, before the first next() too', async () => {
      const host = new FakeHost();
      host.run('1', 'one');
      const abort = new AbortController();
      const [waiting, unread] = [host.open('1', abort.signal), host.open('1', abort.signal)];
      await Promise.all([waiting.next(), unread.next()]);
      const next = rejection(waiting.next());
      await settle();
      abort.abort(new Error('enough'));
      for (const error of [
        await next,
        await rejection(unread.next()),
        await rejection(host.open('1', abort.signal).next()),
      ]) {
        expect(isGrpcCancelledError(error)).to.equal(true);
        expect((error.cause as Error).message).to.equal('enough');
      }
      expect(await value(waiting.next())).to.equal('done');
      expect(host.watches.size).to.equal(0);
    });
  });
});
