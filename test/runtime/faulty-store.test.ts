/**
 * The whole runtime on a store that fails: what is told to callers, what is seen, what is there after a restart.
 *
 * Each test says which promise it holds the runtime to: D1 nothing acknowledged is lost, D2 nothing happens twice,
 * D4 nothing leaves before it is durable.
 */
import { expect } from 'chai';
import { GrpcStatus, WorkflowNotFoundError } from '../../runtime/client/index.js';
import { StoreFailedError, StoreFullError } from '../../runtime/store/errors.js';
import type { Fault } from '../../runtime/store/faulty.js';
import { faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';
import {
  type Faulty,
  noUnhandledRejections,
  openFaulty,
  puts,
  refusal,
  refusing,
} from '../support/faulty.js';
import { keysOfKind } from '../support/rows-of-kind.js';
import { eventually, type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

const { RESOURCE_EXHAUSTED, UNAVAILABLE } = GrpcStatus;

const FAULTS: { name: string; fault: Fault; code: GrpcStatus; stored: boolean }[] = [
  { name: 'the disk is full', fault: { kind: 'full' }, code: RESOURCE_EXHAUSTED, stored: false },
  {
    name: 'it fails before it takes effect',
    fault: { kind: 'fail', when: 'before' },
    code: UNAVAILABLE,
    stored: false,
  },
  {
    name: 'it takes effect, and its acknowledgement is lost',
    fault: { kind: 'fail', when: 'after' },
    code: UNAVAILABLE,
    stored: true,
  },
];

const list = (handle: Handle) => handle.query('list');
/** Rows whose key begins with this letter (codec/keys.ts). */
const rows = (disk: Store, letter: string) => keysOfKind(disk, letter).length;
const settled = async (calls: Promise<unknown>[]) =>
  (await Promise.allSettled(calls)).map(({ status }) => status);

describe('faulty store', () => {
  noUnhandledRejections();
  const opened: TestRuntime[] = [];
  afterEach(async () => {
    for (const test of opened.splice(0)) await test.close();
  });
  async function faulty(options: Parameters<typeof openFaulty>[0] = {}): Promise<Faulty> {
    const made = await openFaulty(options);
    opened.push(made.test);
    return made;
  }

  describe('a commit that fails', () => {
    for (const { name, fault, code, stored } of FAULTS) {
      it(`${name}: all calls in flight are refused, queries show nothing of them, a restart shows ${stored ? 'all' : 'none'} (D4)`, async () => {
        // With a clock that stands still no turn is slow, so that all calls come in one batch.
        const { test, plan } = await faulty({ clock: new ManualClock() });
        const handle = await test.start('collector');
        await handle.signal('add', 'before');
        const history = await handle.fetchHistory();
        plan.next(fault);
        const calls = [
          handle.signal('add', 'signal'),
          handle.signalWithOptions('add', { args: ['once'], requestId: 'r1' }),
          handle.executeUpdate('put', { args: [1], updateId: 'u1' }),
          test.client.start('collector', { workflowId: 'other' }),
          test.client.getHandle('other').signal('add', 'behind the start'),
        ];
        await Promise.all(calls.map((call) => refusal(call, code)));
        expect(await list(handle)).to.deep.equal(['before']);
        expect(await handle.fetchHistory()).to.deep.equal(history);
        expect(await rejection(test.client.getHandle('other').describe())).to.be.instanceOf(
          WorkflowNotFoundError,
        );
        await test.crash();
        expect(await list(test.again(handle))).to.deep.equal(
          stored ? ['before', 'signal', 'once', 1] : ['before'],
        );
      });
    }

    it('a failed commit, sent again with the same ids after a restart: takes effect once (D2)', async () => {
      const { test, plan } = await faulty();
      const handle = await test.start('collector');
      for (const when of ['before', 'after'] as const) {
        const send = (to: Handle) => [
          to.signalWithOptions('add', { args: [when], requestId: when }),
          to.executeUpdate('put', { args: [7], updateId: when }),
        ];
        if (when === 'before') plan.next({ kind: 'full' });
        else plan.next({ kind: 'fail', when });
        expect(await settled(send(handle))).to.deep.equal(['rejected', 'rejected']);
        if (when === 'after') await test.crash();
        expect(await settled(send(test.again(handle)))).to.deep.equal(['fulfilled', 'fulfilled']);
      }
      expect(await list(test.again(handle))).to.deep.equal(['before', 7, 'after', 7]);
    });

    it('a failed commit while the next batch is in the thread: that one is refused too, and nothing of either shows', async () => {
      const { test, plan } = await faulty();
      const handle = await test.start('collector');
      plan.hold().next({ kind: 'full' });
      const first = handle.signal('add', 1);
      await eventually(() => plan.writes >= 2);
      const second = handle.signal('add', 2);
      const query = list(handle);
      plan.release();
      await refusal(first, RESOURCE_EXHAUSTED);
      await refusal(second, RESOURCE_EXHAUSTED);
      // Asked when the lost turn was all there was to see: refused, or answered from what is durable.
      expect(await query.catch(() => [])).to.deep.equal([]);
      await handle.signal('add', 3);
      expect(await list(handle)).to.deep.equal([3]);
      await test.reopen();
      expect(await list(test.again(handle))).to.deep.equal([3]);
    });

    it('a query whose answer waits for a commit that fails: refused, never answered (D4)', async () => {
      const { test, plan } = await faulty();
      const handle = await test.start('collector');
      plan.hold().next({ kind: 'full' });
      const signal = handle.signal('add', 'lost');
      const query = list(handle);
      await eventually(() => plan.writes >= 2);
      plan.release();
      await refusal(signal, RESOURCE_EXHAUSTED);
      await refusal(query, RESOURCE_EXHAUSTED);
    });

    it('the commit of a termination fails while a turn is failing: the run is open for what comes then (D4)', async () => {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 60_000);
      await eventually(async () => (await handle.describe()).pendingTurn);
      plan.next({ kind: 'full' });
      await refusal(handle.terminate('lost'), RESOURCE_EXHAUSTED);
      await handle.signal('add', 'after');
      const { signaledRunId } = await test.client.signalWithStart('collector', {
        workflowId: handle.workflowId,
        signal: 'add',
        signalArgs: ['too'],
      });
      expect(signaledRunId).to.equal((await handle.describe()).runId);
      await handle.terminate('for good');
      expect((await handle.describe()).status.name).to.equal('TERMINATED');
    });

    it('the store stopped for good: calls are refused, queries answered, close() closes', async () => {
      const { test, plan } = await faulty();
      const handle = await test.start('collector', ['kept']);
      plan.next({ kind: 'fail', when: 'before' });
      for (let attempt = 0; attempt < 3; attempt++) {
        const { cause, message } = await refusal(handle.signal('add', attempt), UNAVAILABLE);
        expect(cause).to.be.instanceOf(StoreFailedError);
        expect(message).to.match(/not certain that anything was done/);
        expect(await list(handle)).to.deep.equal(['kept']);
      }
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(['kept']);
    });
  });

  describe('a start that fails', () => {
    it('the workflow id stays free, and what was sent behind it is refused', async () => {
      const { test, plan } = await faulty();
      plan.full = true;
      const start = test.client.start('collector', { workflowId: 'id', args: ['first'] });
      const handle = test.client.getHandle('id');
      const behind = [
        handle.signal('add', 1),
        handle.executeUpdate('put', { args: [1] }),
        handle.terminate(),
        handle.describe(),
        list(handle),
        handle.result(),
      ];
      const cause = await refusal(start, RESOURCE_EXHAUSTED);
      expect(cause.cause).to.be.instanceOf(StoreFullError);
      expect(cause.message).to.match(/Nothing was done, it can be sent again/);
      for (const call of behind) await refusal(call, RESOURCE_EXHAUSTED);
      expect(test.runtime.metrics().runsInMemory).to.equal(0);
      plan.full = false;
      const again = await test.client.start('collector', { workflowId: 'id', args: ['second'] });
      expect(await list(again)).to.deep.equal(['second']);
    });

    it('that terminates an open execution: the error says that this is done, and that the start can be sent again', async () => {
      const { test, plan } = await faulty();
      const options = { workflowId: 'id', workflowIdConflictPolicy: 'TERMINATE_EXISTING' } as const;
      const first = await test.client.start('collector', options);
      plan.at(plan.writes + 2, { kind: 'full' });
      const cause = await refusal(test.client.start('collector', options), RESOURCE_EXHAUSTED);
      expect(cause.message).to.match(
        /^The open run of workflow id was terminated, but the next one did not start\. Send the start again: .*full/,
      );
      expect((await first.describe()).status.name).to.equal('TERMINATED');
      const again = await test.client.start('collector', options);
      expect((await again.describe()).status.name).to.equal('RUNNING');
    });

    it('over a closed execution that only the journal knows: that one is the latest again, also after a restart', async () => {
      const { test, plan } = await faulty();
      const first = await test.client.start('collector', { workflowId: 'id', args: ['first'] });
      await first.signal('finish');
      plan.full = true;
      await refusal(test.client.start('collector', { workflowId: 'id' }), RESOURCE_EXHAUSTED);
      plan.full = false;
      expect(await test.client.getHandle('id').result()).to.deep.equal(['first']);
      await test.reopen();
      expect(await test.client.getHandle('id').result()).to.deep.equal(['first']);
    });

    it('while the execution before it is moved out of the journal: that one is found after a restart', async () => {
      const disk = openMemoryStore({ durability: 'commit' });
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      let failing = false;
      // Commits wait and then fail; everything else goes through.
      const store = { ...refusing(disk, () => undefined) };
      store.write = async (ops) => {
        if (!failing || !puts('j', ops)) return disk.write(ops);
        await held;
        throw new StoreFullError('a test', 'it is full');
      };
      const clock = new ManualClock();
      const test = await TestRuntime.open({ workflows: '../bad/collector', store, clock });
      opened.push(test);
      const first = await test.client.start('collector', { workflowId: 'id', args: ['first'] });
      await first.signal('finish');
      failing = true;
      const start = test.client.start('collector', { workflowId: 'id' });
      // The agenda has everything moved out of the journal now and then.
      clock.advance(5 * 60_000);
      await eventually(() => rows(disk, 'r') === 1);
      release();
      await refusal(start, RESOURCE_EXHAUSTED);
      failing = false;
      await test.crash();
      expect(await test.client.getHandle('id').result()).to.deep.equal(['first']);
    });

    it('whose first turn fails as well: forgotten altogether, nothing is tried again', async () => {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock });
      plan.full = true;
      const start = test.client.start('startsLate', { workflowId: 'id', args: [clock.now() + 1000] });
      const update = test.client.getHandle('id').executeUpdate('put', { args: [1] });
      await refusal(start, RESOURCE_EXHAUSTED);
      await refusal(update, RESOURCE_EXHAUSTED);
      plan.full = false;
      const writes = plan.writes;
      clock.advance(60_000);
      expect(await test.client.execute('startsLate', { workflowId: 'id', args: [0] })).to.equal('started');
      expect(test.runtime.metrics().runsInMemory).to.equal(1);
      expect(plan.writes).to.equal(writes + 1);
      expect((await test.client.getHandle('id').fetchHistory()).events[0]?.eventType).to.equal(
        'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED',
      );
    });
  });

  describe('a disk that is full for a while', () => {
    it('calls are refused until there is room, then the runtime goes on by itself; what it acknowledged is all there is', async () => {
      const { test, plan } = await faulty({ threads: 2, limits: { journalBytesMax: 2_000 } });
      const handles = await Promise.all(Array.from({ length: 4 }, () => test.start('collector')));
      const acknowledged = handles.map((): unknown[] => []);
      for (let round = 0; round < 30; round++) {
        plan.full = round % 3 === 1;
        await Promise.allSettled(
          handles.map(async (handle, i) => {
            await handle.signal('add', round);
            acknowledged[i]!.push(round);
          }),
        );
      }
      for (const [i, handle] of handles.entries()) {
        expect(acknowledged[i]).to.have.length(20);
        expect(await list(handle)).to.deep.equal(acknowledged[i]);
      }
      const histories = await Promise.all(handles.map((handle) => handle.fetchHistory()));
      await test.crash();
      for (const [i, handle] of handles.entries()) {
        expect(await test.again(handle).fetchHistory()).to.deep.equal(histories[i]);
        expect(await list(test.again(handle))).to.deep.equal(acknowledged[i]);
      }
    });

    it('timers and activity results that came meanwhile are delivered when there is room, once (D2)', async () => {
      const clock = new ManualClock();
      let finish = (_: number): void => undefined;
      const double = () =>
        new Promise<number>((resolve) => {
          finish = resolve;
        });
      const { test, plan } = await faulty({ clock, activities: { double } });
      const handle = await test.start('collector');
      await handle.signal('sleep', 1_000);
      await handle.signal('call', 21);
      plan.full = true;
      finish(42);
      for (const ms of [1_000, 250, 250, 250]) {
        const { writes } = plan;
        clock.advance(ms);
        await eventually(() => plan.writes > writes);
      }
      expect(await list(handle)).to.deep.equal([]);
      plan.full = false;
      await eventually(async () => {
        clock.advance(250);
        return ((await list(handle)) as unknown[]).length === 2;
      });
      clock.advance(3_600_000);
      const events = (await handle.fetchHistory()).events.map(({ eventType }) => eventType);
      expect(
        events.filter((type) => /TIMER_FIRED|TASK_COMPLETED/.test(type) && !/WORKFLOW/.test(type)).sort(),
      ).to.deep.equal(['EVENT_TYPE_ACTIVITY_TASK_COMPLETED', 'EVENT_TYPE_TIMER_FIRED']);
      const seen = await list(handle);
      expect(seen).to.have.members(['slept 1000', 'doubled 42']);
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(seen);
    });

    it('the note of an activity that failed is written when there is room, and its retry follows', async () => {
      const clock = new ManualClock();
      let attempts = 0;
      const double = async (n: number) => {
        attempts++;
        if (attempts === 1) throw new Error('once more');
        return 2 * n;
      };
      const { test, plan } = await faulty({ clock, activities: { double } });
      const handle = await test.start('collector');
      // The scheduling is written, what comes of the attempt is not.
      plan.at(plan.writes + 2, { kind: 'full' }).at(plan.writes + 3, { kind: 'full' });
      await handle.signal('call', 21);
      await eventually(async () => {
        clock.advance(250);
        return (await handle.describe()).pendingActivities[0]?.attempt === 2;
      });
      expect(attempts).to.equal(1);
      clock.advance(3_600_000);
      await eventually(async () => ((await list(handle)) as unknown[]).length === 1);
      expect(attempts).to.equal(2);
    });
  });

  describe('messages from workflow to workflow', () => {
    for (const threads of [1, 2])
      it(`come in the order in which they were sent, whichever commits fail on the way (D3, ${threads} threads)`, async () => {
        const clock = new ManualClock();
        const { test, plan } = await faulty({
          workflows: 'externals',
          threads,
          clock,
          limits: { batchMessagesMax: 4 },
        });
        for (const failing of [[2], [3], [2, 4], [3, 4, 7], [5, 6]]) {
          const target = await test.start('target');
          for (const write of failing) plan.at(plan.writes + write, { kind: 'full' });
          const begun = plan.writes;
          const sender = await test.start('many', [target.workflowId, 30]);
          await eventually(async () => {
            clock.advance(250);
            return (await sender.describe()).status.name === 'COMPLETED';
          });
          expect(plan.writes - begun, 'writes').to.be.greaterThan(Math.max(...failing));
          const kept = (await target.query('notes')) as number[];
          expect([...kept].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 30 }, (_, i) => i));
          for (const isUpdate of [true, false]) {
            const some = kept.filter((number) => (number % 3 === 2) === isUpdate);
            expect(some, `writes ${failing} failed`).to.deep.equal([...some].sort((a, b) => a - b));
          }
        }
      });
  });

  it('closed while messages of a workflow wait for a run that ends meanwhile and continues as new: it closes all the same', async () => {
    const { test, plan } = await faulty({ workflows: 'externals', limits: { batchMessagesMax: 1 } });
    const target = await test.start('target');
    const bystander = await test.start('target');
    const gates = [deferred(), deferred()];
    const before = plan.writes;
    plan.delay = async (write) => gates[write - before - 1]?.promise;
    const sender = test.start('many', [target.workflowId, 1_000]);
    await eventually(() => plan.writes === before + 1);
    const signal = target.signal('again');
    await bystander.query('notes');
    gates[0]!.resolve();
    await sender;
    const closed = test.close();
    // Until it waits for the thread.
    for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(test.runtime.metrics().queuedMessages).to.be.greaterThan(10);
    gates[1]!.resolve();
    await Promise.all([signal, closed]);
    await test.reopen();
    const done = test.again(await sender);
    expect(await done.result()).to.equal(1_000);
    expect(await test.again(target).query('notes')).to.have.length(1_000);
  });

  describe('moving entries out of the journal', () => {
    // Small, so that nearly every commit is followed by a compaction.
    const limits = { journalBytesMax: 1_000 };

    /** Executions in every state, and what they look like. */
    async function populate(test: TestRuntime): Promise<Handle[]> {
      const handles: Handle[] = [];
      for (let i = 0; i < 3; i++) {
        const handle = await test.start('collector', [i]);
        handles.push(handle);
        await Promise.all(Array.from({ length: 5 }, (_, n) => handle.signal('add', `${i}.${n}`)));
        await handle.executeUpdate('put', { args: [100 + i], updateId: 'u' });
        await handle.signal('sleep', 3_600_000 + i);
        if (i % 3 === 0) await handle.signal('finish');
        if (i % 3 === 1) await handle.terminate('enough');
      }
      return handles;
    }
    const look = async (test: TestRuntime, handles: Handle[]) =>
      Promise.all(
        handles.map(async ({ workflowId }) => {
          const handle = test.client.getHandle(workflowId);
          const { historyLength, historySize, status, closeTime } = await handle.describe();
          const { events } = await handle.fetchHistory();
          const update = await handle.getUpdateHandle('u').result();
          return { historyLength, historySize, status, closeTime, events, update };
        }),
      );

    for (const when of ['before', 'after'] as const) {
      it(`each write in turn fails ${when} it takes effect: histories stay the same, also after a restart`, async () => {
        // How many such writes there are, from a run in which all goes well.
        for (let failing = 1, failed = true; failed; failing += 3) {
          failed = false;
          let moves = 0;
          const refuse = (ops: readonly WriteOp[]) => {
            if (puts('j', ops) || ops.length === 0) return undefined;
            moves++;
            if (moves !== failing) return undefined;
            failed = true;
            return { when, error: new StoreFullError('a test', 'it is full') };
          };
          const disk = openMemoryStore({ durability: 'commit' });
          const test = await TestRuntime.open({
            workflows: '../bad/collector',
            store: refusing(disk, refuse),
            limits,
          });
          const handles = await populate(test);
          const seen = await look(test, handles);
          expect(seen.map(({ events, historyLength }) => events.length - historyLength)).to.deep.equal([
            0, 0, 0,
          ]);
          await test.crash();
          expect(await look(test, handles)).to.deep.equal(seen);
          await test.reopen();
          expect(await look(test, handles)).to.deep.equal(seen);
          await test.close();
        }
      });
    }

    it('a compaction that begins in the middle of a journal value: nothing of that value is left out', async () => {
      for (let bytes = 100; bytes < 3_000; bytes += 350) {
        const { test } = await openFaulty({ limits: { journalBytesMax: bytes } });
        const handles = await Promise.all(Array.from({ length: 4 }, (_, i) => test.start('collector', [i])));
        await Promise.all(
          handles.flatMap((handle) => [
            handle.signal('add', 1),
            list(handle),
            handle.signal('add', 2),
            list(handle),
          ]),
        );
        const histories = await Promise.all(handles.map((handle) => handle.fetchHistory()));
        await test.crash();
        for (const [i, handle] of handles.entries()) {
          const again = test.again(handle);
          expect(await again.fetchHistory(), `journalBytesMax ${bytes}`).to.deep.equal(histories[i]);
          expect(await list(again)).to.deep.equal([i, 1, 2]);
        }
        await test.close();
      }
    });

    it('no room to move anything, for long: tried again when as much has come again, and complete in the end', async () => {
      let full = true;
      let tries = 0;
      const refuse = (ops: readonly WriteOp[]) => {
        if (!puts('r', ops)) return undefined;
        tries++;
        return full
          ? { when: 'before' as const, error: new StoreFullError('a test', 'it is full') }
          : undefined;
      };
      const disk = openMemoryStore({ durability: 'commit' });
      const test = await TestRuntime.open({
        workflows: '../bad/collector',
        store: refusing(disk, refuse),
        limits: { journalBytesMax: 4_000 },
      });
      opened.push(test);
      const handle = await test.start('collector');
      const expected = Array.from({ length: 200 }, (_, i) => i);
      for (const i of expected) await handle.signal('add', i);
      expect(tries).to.be.within(2, 30);
      expect(test.runtime.metrics().journalBytesUnsaved).to.be.above(4_000);
      full = false;
      await test.reopen();
      expect(await list(test.again(handle))).to.deep.equal(expected);
      expect(rows(disk, 'j')).to.equal(1);
    });

    it('a slow disk and many new executions: the compactor keeps pace with the commits (D8)', async () => {
      const journalBytesMax = 2 ** 20;
      const { test, plan } = await faulty({ limits: { journalBytesMax } });
      let most = 0;
      plan.delay = async () => {
        await new Promise((resolve) => setTimeout(resolve, 10));
        most = Math.max(most, test.runtime.metrics().journalBytesUnsaved);
      };
      await Promise.all(
        Array.from({ length: 2_500 }, () => test.start('startsLate', [0, 'x'.repeat(20_000)])),
      );
      // 50 MB went through it, and each commit was larger than what the compactor writes at a time when it has time. How
      // far it falls behind before it has caught up depends on the machine; that it does not grow with the load does not.
      expect(most).to.be.below(24 * journalBytesMax);
    });
  });

  it('a store that cannot be read while a run is recovered: that call is refused, the others are served', async () => {
    const disk = openMemoryStore({ durability: 'commit' });
    let broken = false;
    const store = { ...faultyStore(disk) };
    const test = await TestRuntime.open({
      workflows: '../bad/collector',
      limits: { journalBytesMax: 1, activationsPerThreadMax: 1 },
      store: {
        ...store,
        get: (key) => disk.get(key),
        write: (ops) => disk.write(ops),
        stats: () => disk.stats(),
        range(from, to, options) {
          if (broken && from[0] === 'r'.charCodeAt(0)) throw new Error('unreadable (planned)');
          return disk.range(from, to, options);
        },
      },
    });
    opened.push(test);
    const first = await test.start('collector', [1]);
    const second = await test.start('collector', [2]);
    await eventually(() => test.runtime.metrics().activations === 1);
    broken = true;
    await refusal(list(first), UNAVAILABLE);
    expect(await list(second)).to.deep.equal([2]);
    broken = false;
    expect(await list(first)).to.deep.equal([1]);
  });
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
