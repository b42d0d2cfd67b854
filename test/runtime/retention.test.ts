/**
 * Retention (retention.ts): when closed runs leave the store, and that no instant of it shows half a run.
 *
 * The first part works on the parts of the host that it concerns, with journals made by hand and a store that is stopped at
 * each write. The second is the whole runtime.
 */
import { expect } from 'chai';
import type { Command } from '../../codec/journal-entry.js';
import { keys, readNumber } from '../../codec/keys.js';
import { WorkflowNotFoundError } from '../../runtime/client/index.js';
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits.js';
import { declaredNamespaces, type NamespaceOptions } from '../../runtime/namespaces.js';
import { Retention } from '../../runtime/retention.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';
import { openCompaction } from '../support/compaction.js';
import { noUnhandledRejections, refusing } from '../support/faulty.js';
import { type Entry, info, signal, started, turn, update, writeJournal } from '../support/journal.js';
import { keysOfKind } from '../support/rows-of-kind.js';
import { eventually, type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

const HOUR = 3_600_000;
/** When entries made by hand close their runs. */
const CLOSED_AT = 2_000;
const END: Command = { kind: 'completeWorkflow', result: new Uint8Array() };
const CONTINUE: Command = {
  kind: 'continueAsNew',
  workflowType: 'type',
  taskQueue: 'default',
  args: new Uint8Array(),
};
const ended = (runNo: number): Entry => turn(runNo, [], [END]);

interface Parts {
  namespaces?: Record<string, NamespaceOptions>;
  limits?: Partial<Limits>;
  clock?: ManualClock;
  awaited?: Iterable<number>;
}

/** The directory, the compactor and retention, joined as the host joins them. */
function open(
  store: Store,
  { namespaces, limits, clock = new ManualClock(CLOSED_AT), awaited = [] }: Parts = {},
) {
  const { runs, recovered, committer, compactor, errors, onError } = openCompaction(store);
  for (const live of recovered) compactor.noted(live, 1);
  const released: number[] = [];
  const retention = new Retention({
    store,
    runs,
    committer,
    compactor,
    clock,
    limits: { ...DEFAULT_LIMITS, ...limits },
    namespaces: declaredNamespaces('default', namespaces ?? { default: { retention: HOUR } }),
    passivate: (live) => {
      if (!live.active || live.pending > 0) return false;
      released.push(live.run.runNo);
      live.active = false;
      return true;
    },
    awaited: () => awaited,
    unread: () => ({ runs: new Set(), chains: new Set() }),
    onError,
  });
  retention.start(recovered);
  return { store, runs, committer, compactor, retention, clock, errors, released };
}

async function written(...values: Entry[][]): Promise<Store> {
  const store = openMemoryStore();
  await writeJournal(store, values);
  return store;
}

/** Turns the clock by a millisecond until something is so: pauses pass, and little else. */
async function until(clock: ManualClock, look: () => boolean): Promise<void> {
  for (let i = 0; i < 20_000; i++) {
    if (look()) return;
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1);
  }
  throw new Error(`This never became true: ${look}`);
}

/** Time for everything that is due at this instant, and nothing that is due later than a second. */
async function settle(clock: ManualClock): Promise<void> {
  let left = 300;
  await until(clock, () => left-- === 0);
}

const LETTERS = ['r', 'h', 'w', 'i', 'a', 'u', 's', 'e', 'g', 't'];
const counts = (store: Store): Record<string, number> =>
  Object.fromEntries(
    LETTERS.map((letter) => [letter, keysOfKind(store, letter).length]).filter(([, count]) => count !== 0),
  );
const numbersIn = (store: Store, letter: string): number[] =>
  keysOfKind(store, letter).map((key) => readNumber(key, 0));

function copyOf(store: Store): Store {
  const copy = openMemoryStore();
  void copy.write(
    Array.from(
      store.range(new Uint8Array(), Uint8Array.of(0xff)),
      ([key, value]): WriteOp => ({ kind: 'put', key, value }),
    ),
  );
  return copy;
}

/** A run with some of everything, in several journal values. */
const full = (runNo: number, workflowId: string): Entry[][] => [
  [
    started(runNo, workflowId),
    turn(
      runNo,
      [signal('r1'), update('u')],
      [
        { kind: 'acceptUpdate', id: 'u' },
        { kind: 'completeUpdate', id: 'u', result: Uint8Array.of(1) },
      ],
    ),
  ],
  [turn(runNo, [signal('r2')], [{ kind: 'startTimer', seq: 1, ms: HOUR }])],
  [ended(runNo)],
];

/** A closed run whose history is in many rows. */
async function largeRun(chunks: number): Promise<Store> {
  const store = openMemoryStore();
  const value = (seq: number): Entry[] => {
    if (seq === 1) return [started(1, 'large'), started(2, 'open'), turn(2)];
    return seq === chunks ? [ended(1)] : [turn(1, [signal(`r${seq}`)])];
  };
  const values: Entry[][] = [];
  for (let seq = 1; seq <= chunks; seq++) {
    values.push(value(seq));
    await writeJournal(store, values);
    const { compactor, retention } = open(store, { namespaces: {} });
    await compactor.run();
    await retention.close();
  }
  return store;
}

describe('retention', () => {
  noUnhandledRejections();

  describe('of runs', () => {
    it('passed: all rows of the run go, at that time and not before; those of others stay', async () => {
      const store = await written(...full(1, 'one'), [started(2, 'two'), turn(2, [signal('r1')])]);
      const { clock, retention, errors } = open(store);
      clock.advance(HOUR - 1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(retention.removed).to.equal(0);
      await until(clock, () => retention.removed === 1);
      expect(counts(store)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1, s: 1 });
      expect(numbersIn(store, 'h')).to.deep.equal([2]);
      expect(errors).to.deep.equal([]);
    });

    it('removed: found by nothing, and neither by a restart', async () => {
      const store = await written(...full(1, 'one'));
      const { clock, runs, retention } = open(store);
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      for (const found of [runs, open(copyOf(store)).runs]) {
        expect(found.get(1)).to.equal(undefined);
        expect(found.byRunId('run-1')).to.equal(undefined);
        expect(found.latest('default', 'one')).to.equal(undefined);
      }
    });

    it('no retention: closed runs stay for ever, and when one is set they go', async () => {
      const store = await written(...full(1, 'one'));
      const clock = new ManualClock(CLOSED_AT);
      const first = open(store, { clock, namespaces: {} });
      await first.compactor.run();
      clock.advance(1_000 * HOUR);
      await settle(clock);
      expect(counts(store)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1, u: 1, s: 2, e: 1 });
      await first.retention.close();
      const second = open(store, { clock });
      await until(clock, () => second.retention.removed === 1);
      expect(counts(store)).to.deep.equal({});
    });

    it('made longer or shorter between two openings: the new one goes for what closed before', async () => {
      const store = await written(...full(1, 'one'));
      const clock = new ManualClock(CLOSED_AT);
      const opened = async (retention: number, advance: number): Promise<number> => {
        const found = open(store, { clock, namespaces: { default: { retention } } });
        clock.advance(advance);
        await settle(clock);
        await found.retention.close();
        await found.compactor.run();
        return found.retention.removed;
      };
      expect(await opened(HOUR, HOUR / 2)).to.equal(0);
      expect(await opened(3 * HOUR, HOUR)).to.equal(0);
      expect(await opened(HOUR, 0)).to.equal(1);
    });

    it('two namespaces: each by its own retention', async () => {
      const store = await written([
        ...[1, 2, 3].flatMap((runNo) => [
          started(runNo, 'same', { namespace: ['short', 'short and more', 'long'][runNo - 1]! }),
          ended(runNo),
        ]),
      ]);
      const { clock, retention } = open(store, {
        namespaces: { short: { retention: HOUR }, long: { retention: 2 * HOUR }, 'short and more': {} },
      });
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(numbersIn(store, 'r')).to.deep.equal([2, 3]);
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 2);
      expect(numbersIn(store, 'r')).to.deep.equal([2]);
    });

    it('an earlier run of an id: goes alone, the id stays with the later one', async () => {
      const store = await written([started(1, 'one'), ended(1), started(2, 'one'), turn(2)]);
      const { clock, runs, retention } = open(store);
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(runs.latest('default', 'one')!.run.runNo).to.equal(2);
      expect(open(copyOf(store)).runs.latest('default', 'one')!.run.runNo).to.equal(2);
      expect(counts(store)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1 });
    });

    it('an earlier run of an id, and a later one is on its way into the store: the row of the id stays', async () => {
      const store = await written([started(1, 'one'), ended(1)]);
      const { clock, runs, compactor, retention } = open(store);
      await compactor.run();
      runs.admit(info(2, 'one'));
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(counts(store)).to.include({ w: 1 });
    });

    it('a chain of two runs: its request ids and update outcomes stay with the second one, and go with it', async () => {
      const accepted = (id: string): Command[] => [
        { kind: 'acceptUpdate', id },
        { kind: 'completeUpdate', id, result: Uint8Array.of(1) },
      ];
      const chain = { firstRunNo: 1, firstRunId: 'run-1', continuedFromRunId: 'run-1' };
      const store = await written([
        started(1, 'one'),
        turn(1, [signal('r'), update('u')], [...accepted('u'), CONTINUE]),
        started(2, 'one', chain),
        turn(2, [signal('s'), update('v')], accepted('v')),
      ]);
      const first = open(store);
      first.clock.advance(HOUR);
      await settle(first.clock);
      expect(first.retention.removed, 'while its next run is to be started').to.equal(0);
      first.runs.get(1)!.run.removeFromOutbox('continue', 0);
      first.compactor.noted(first.runs.get(1)!, 0);
      await first.compactor.run();
      await until(first.clock, () => first.retention.removed === 1);
      expect(keysOfKind(store, 's')).to.deep.equal([keys.request(1, 'r'), keys.request(1, 's')]);
      expect(keysOfKind(store, 'u')).to.deep.equal([keys.update(1, 'u'), keys.update(1, 'v')]);
      await first.retention.close();
      const closing = openMemoryStore();
      await writeJournal(closing, [[ended(2)]]);
      const seq = first.committer.durableSeq + 1;
      await store.write([{ kind: 'put', key: keys.journal(seq), value: closing.get(keys.journal(1))! }]);
      const second = open(store, { clock: first.clock });
      await until(second.clock, () => second.retention.removed === 1);
      expect(counts(store)).to.deep.equal({});
    });

    it('a later execution of the id is open when a chain of two runs goes: all of the chain, nothing of the other', async () => {
      const store = await written([
        started(1, 'one'),
        turn(1, [signal('r')], [CONTINUE]),
        started(2, 'one', { firstRunNo: 1, firstRunId: 'run-1' }),
        turn(2, [signal('s')], [END]),
        started(3, 'one'),
        turn(3, [signal('r')]),
      ]);
      const { clock, runs, compactor, retention } = open(store);
      // As the next run is there.
      runs.get(1)!.run.removeFromOutbox('continue', 0);
      await compactor.run();
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 2);
      expect(counts(store)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1, s: 1 });
      expect(keysOfKind(store, 's')).to.deep.equal([keys.request(3, 'r')]);
    });

    it('the run with the highest number was removed: a restart does not give that number again', async () => {
      const store = await written([started(1, 'one')], ...full(7, 'seven'));
      const { clock, retention } = open(store);
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(open(copyOf(store)).runs.nextNo()).to.equal(8);
    });

    it('something goes on with the run: it stays, and goes when that is over', async () => {
      const store = await written([started(1, 'one'), ended(1), started(2, 'two'), ended(2)]);
      const { clock, runs, compactor, retention } = open(store);
      await compactor.run();
      const used = runs.get(1)!;
      used.pending = 1;
      clock.advance(HOUR);
      await settle(clock);
      expect(retention.removed).to.equal(1);
      expect(runs.get(1)).to.equal(used);
      used.pending = 0;
      await until(clock, () => retention.removed === 2);
    });

    it('it took what another run asked, and that one does not know: stays until it does', async () => {
      const store = await written([started(1, 'one'), ended(1), started(2, 'two'), ended(2)]);
      const awaited = new Set([1]);
      const { clock, retention } = open(store, { awaited });
      clock.advance(HOUR);
      await settle(clock);
      expect(numbersIn(store, 'r')).to.deep.equal([1]);
      awaited.clear();
      await until(clock, () => retention.removed === 2);
    });

    it('only its activation is kept in memory: let go, then removed', async () => {
      const store = await written([started(1, 'one'), ended(1)]);
      const { clock, runs, compactor, retention, released } = open(store);
      await compactor.run();
      runs.get(1)!.active = true;
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(released).to.deep.equal([1]);
    });

    it('while the write is under way: nobody is given the run; when the write fails it is there again', async () => {
      const plan = new FaultPlan();
      const disk = await written([started(1, 'one'), ended(1)], [started(2, 'two')]);
      const { clock, runs, compactor, retention, errors } = open(faultyStore(disk, plan));
      const found = () => [
        runs.get(1)?.run.runNo,
        runs.byRunId('run-1')?.run.runNo,
        runs.latest('default', 'one')?.run.runNo,
      ];
      await compactor.run();
      expect(found()).to.deep.equal([1, 1, 1]);
      plan.hold().next({ kind: 'full' });
      clock.advance(HOUR);
      await settle(clock);
      expect(found()).to.deep.equal([undefined, undefined, undefined]);
      expect(numbersIn(disk, 'r')).to.deep.equal([1, 2]);
      plan.release();
      await until(clock, () => errors.length === 1);
      expect(found()).to.deep.equal([1, 1, 1]);
      expect(retention.removed).to.equal(0);
    });

    it('far more than one write takes: in writes of bounded size, with pauses between them', async () => {
      const sizes: number[] = [];
      const times: number[] = [];
      const disk = await written(
        Array.from({ length: 2_000 }, (_, i) => [started(i + 1, `w${i}`), ended(i + 1)]).flat(),
      );
      const clock = new ManualClock(CLOSED_AT);
      const store = refusing(disk, (ops) => {
        if (!ops.some(({ kind, key }) => kind === 'remove' && key[0] === 'e'.charCodeAt(0))) return undefined;
        sizes.push(ops.length);
        times.push(clock.now());
        return undefined;
      });
      const { compactor, retention } = open(store, {
        clock,
        limits: { retentionRowsMax: 100, retentionPauseMsMin: 7 },
      });
      await compactor.run();
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 2_000);
      expect(Math.max(...sizes)).to.be.at.most(101);
      expect(sizes.length).to.be.within(100, 110);
      expect(Math.min(...times.slice(1).map((time, i) => time - times[i]!))).to.be.at.least(7);
      expect(counts(disk)).to.deep.equal({});
    });

    it('a history in far more rows than a write takes: not found from the first write on, swept in bounded ones', async () => {
      const disk = await largeRun(60);
      const sizes: number[] = [];
      const store = refusing(disk, (ops) => void sizes.push(ops.length));
      const { clock, runs, retention } = open(store, { limits: { retentionRowsMax: 10 } });
      sizes.length = 0;
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 1);
      expect(runs.get(1)).to.equal(undefined);
      expect(numbersIn(disk, 'g')).to.deep.equal([1]);
      expect(numbersIn(disk, 'h').filter((runNo) => runNo === 1)).to.have.length.above(40);
      await until(clock, () => keysOfKind(disk, 'g').length === 0);
      expect(counts(disk)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1 });
      expect(Math.max(...sizes)).to.be.at.most(12);
      expect(sizes.length).to.be.above(10);
    });

    it('rows of many bytes: few in one write', async () => {
      const disk = await largeRun(20);
      const sizes: number[] = [];
      const store = refusing(disk, (ops) => void sizes.push(ops.length));
      const { clock } = open(store, { limits: { retentionBytesMax: 1 } });
      sizes.length = 0;
      clock.advance(HOUR);
      await until(clock, () => counts(disk).r === 1 && keysOfKind(disk, 'g').length === 0);
      expect(sizes.length).to.be.above(20);
      expect(counts(disk)).to.deep.equal({ r: 1, h: 1, w: 1, i: 1 });
    });
  });

  describe('stopped at each write', () => {
    const limits = { retentionRowsMax: 8 };
    /** Two executions of one id and a large one that closed, one that is open, most of it only in the journal. */
    const disk = async (): Promise<Store> => {
      const store = await largeRun(12);
      const last = Math.max(...numbersIn(store, 'j'));
      const more = openMemoryStore();
      await writeJournal(more, [...full(3, 'one'), ...full(4, 'one'), [turn(2)]]);
      const values = keysOfKind(more, 'j').map((key) => more.get(key)!);
      await store.write(
        values.map((value, i) => ({ kind: 'put', key: keys.journal(last + 1 + i), value }) as const),
      );
      return store;
    };
    const IDS = ['large', 'open', 'one', 'one'];
    const LEFT = { r: 1, h: 2, w: 1, i: 1 };

    /** A run is there with everything that anybody can learn about it, or is not there at all. */
    function expectWholeRuns(store: Store, whole: Map<number, string>): void {
      const { runs } = open(copyOf(store), { namespaces: {} });
      for (const runNo of [1, 2, 3, 4]) {
        const live = runs.get(runNo);
        expect(runs.byRunId(`run-${runNo}`), `run ${runNo} by its id`).to.equal(live);
        if (live === undefined) {
          expect(runs.latest('default', IDS[runNo - 1]!)?.run.runNo).to.not.equal(runNo);
          continue;
        }
        const history = Buffer.concat(runs.history(live)).toString('latin1');
        expect(history, `history of run ${runNo}`).to.equal(whole.get(runNo));
      }
      expect(runs.get(2)).to.not.equal(undefined);
      expect(runs.nextNo()).to.equal(5);
    }

    async function wholeOf(store: Store): Promise<Map<number, string>> {
      const { runs } = open(copyOf(store), { namespaces: {} });
      return new Map(
        [1, 2, 3, 4].map((runNo) => [
          runNo,
          Buffer.concat(runs.history(runs.get(runNo)!)).toString('latin1'),
        ]),
      );
    }

    it('a restart finds each run whole or not at all, and removes what is left', async () => {
      const store = await disk();
      const whole = await wholeOf(store);
      const instants: Store[] = [];
      const stopping = refusing(store, () => void instants.push(copyOf(store)));
      const { clock, retention } = open(stopping, { limits });
      clock.advance(HOUR);
      await until(clock, () => retention.removed === 3 && keysOfKind(store, 'g').length === 0);
      instants.push(copyOf(store));
      expect(instants.length).to.be.above(8);
      for (const [at, instant] of instants.entries()) {
        expectWholeRuns(instant, whole);
        const again = open(instant, { limits, clock: new ManualClock(CLOSED_AT + HOUR) });
        await until(
          again.clock,
          () => numbersIn(instant, 'r').length === 1 && keysOfKind(instant, 'g').length === 0,
        );
        await again.retention.close();
        await again.compactor.run();
        expect(counts(instant), `stopped before write ${at + 1}`).to.deep.include(LEFT);
        expect(numbersIn(instant, 'h').every((runNo) => runNo === 2)).to.equal(true);
        expect(Object.keys(counts(instant)).sort()).to.deep.equal(['h', 'i', 'r', 'w']);
        expectWholeRuns(instant, whole);
      }
    });

    for (const when of ['before', 'after'] as const) {
      it(`each write in turn fails ${when} it took effect: told, nothing half removed, and all of it goes later`, async () => {
        for (let failing = 1, failed = true; failed; failing++) {
          failed = false;
          let writes = 0;
          const store = await disk();
          const whole = await wholeOf(store);
          const faulty = refusing(store, () => {
            writes++;
            if (writes !== failing) return undefined;
            failed = true;
            return { when, error: new Error('planned') };
          });
          const { clock, runs, errors } = open(faulty, { limits });
          clock.advance(HOUR);
          await until(clock, () => errors.length > 0 || numbersIn(store, 'r').length === 1);
          expectWholeRuns(store, whole);
          for (const runNo of numbersIn(store, 'r'))
            expect(runs.get(runNo), `run ${runNo}`).to.not.equal(undefined);
          clock.advance(60_000);
          await until(clock, () => numbersIn(store, 'r').length === 1 && keysOfKind(store, 'g').length === 0);
          expectWholeRuns(store, whole);
          expect(Object.keys(counts(store)).sort(), `write ${failing}`).to.deep.equal(['h', 'i', 'r', 'w']);
        }
      });
    }

    it('the disk is full for a while: told, and removed when there is room', async () => {
      const store = await disk();
      const plan = new FaultPlan();
      plan.full = true;
      const { clock, retention, errors } = open(faultyStore(store, plan), { limits });
      clock.advance(HOUR);
      await until(clock, () => errors.length === 1);
      expect(retention.removed).to.equal(0);
      plan.full = false;
      clock.advance(60_000);
      await until(clock, () => retention.removed === 3);
    });

    it('closed in the middle: ends after the write under way, goes on when opened again', async () => {
      const store = await disk();
      const first = open(store, { limits });
      first.clock.advance(HOUR);
      await until(first.clock, () => keysOfKind(store, 'g').length === 1);
      await first.retention.close();
      const left = keysOfKind(store, 'h').length;
      first.clock.advance(HOUR);
      await settle(first.clock);
      expect(keysOfKind(store, 'h')).to.have.length(left);
      expect(keysOfKind(store, 'g')).to.have.length(1);
      // The mark goes although nothing has a retention any more.
      const second = open(store, { limits, namespaces: {}, clock: first.clock });
      await until(second.clock, () => keysOfKind(store, 'g').length === 0);
      expect(numbersIn(store, 'h')).to.not.include(1);
    });
  });
});

describe('retention of a runtime', () => {
  noUnhandledRejections();
  let clock: ManualClock;
  let test: TestRuntime;
  beforeEach(async () => {
    clock = new ManualClock();
    test = await TestRuntime.open({
      workflows: 'updates',
      clock,
      namespaces: { default: { retention: '1 hour' } },
    });
  });
  afterEach(() => test.close());

  const removed = (count: number) =>
    eventually(() => {
      clock.advance(5);
      return test.runtime.metrics().runsRemoved === count;
    });

  /** Time for several more passes, which find what may go by now. */
  async function pass(): Promise<void> {
    for (let i = 0; i < 500; i++) {
      clock.advance(20);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async function closed(workflowId: string) {
    const handle = await test.start('adds', [], { workflowId });
    await handle.executeUpdate('add', { args: [1], updateId: 'first' });
    await handle.signalWithOptions('finish', { requestId: 'end' });
    await handle.result();
    return handle;
  }

  it('passed: every call says that there is no such execution', async () => {
    const handle = await closed('one');
    const { runId } = await handle.describe();
    clock.advance(HOUR);
    await removed(1);
    for (const gone of [handle, test.client.getHandle('one'), test.client.getHandle('one', runId)]) {
      const calls: Record<string, () => Promise<unknown>> = {
        signal: () => gone.signal('finish'),
        query: () => gone.query('total'),
        executeUpdate: () => gone.executeUpdate('add', { args: [1] }),
        'result of an update': () => gone.getUpdateHandle('first').result(),
        result: () => gone.result(),
        describe: () => gone.describe(),
        fetchHistory: () => gone.fetchHistory(),
        cancel: () => gone.cancel(),
        terminate: () => gone.terminate(),
      };
      for (const [name, call] of Object.entries(calls)) {
        const error = await rejection(call());
        expect(error, name).to.be.instanceOf(WorkflowNotFoundError);
        expect(error.message, name).to.equal('workflow not found for ID: one');
      }
    }
  });

  it('passed: the id is free also for those who refuse duplicates, and nothing of before is known', async () => {
    await closed('one');
    const again = () =>
      test.start('adds', [], { workflowId: 'one', workflowIdReusePolicy: 'REJECT_DUPLICATE' });
    expect(await rejection(again())).to.have.property('name', 'WorkflowExecutionAlreadyStartedError');
    clock.advance(HOUR);
    await removed(1);
    const handle = await again();
    expect(await handle.executeUpdate('add', { args: [5], updateId: 'first' })).to.equal(5);
    expect(await handle.signalWithOptions('finish', { requestId: 'end' })).to.deep.equal({
      duplicate: false,
    });
    expect(await handle.result()).to.equal(5);
  });

  it('queried long after it closed: answered until then, and the activation does not keep it', async () => {
    const handle = await closed('one');
    clock.advance(HOUR - 1);
    expect(await handle.query('total')).to.equal(1);
    const last = handle.query('total');
    clock.advance(1);
    expect(await last).to.equal(1);
    clock.advance(1_000);
    await removed(1);
    expect(test.runtime.metrics().activations).to.equal(0);
    expect(await rejection(handle.query('total'))).to.be.instanceOf(WorkflowNotFoundError);
  });

  it('watched by somebody who has not read the last answer: stays until it is read', async () => {
    const handle = await test.start('adds', [], { workflowId: 'one' });
    const watch = handle.watch<number>('total')[Symbol.asyncIterator]();
    expect(await watch.next()).to.deep.equal({ done: false, value: 0 });
    await handle.executeUpdate('add', { args: [1] });
    await handle.signal('finish');
    await handle.result();
    await closed('other');
    clock.advance(HOUR);
    await removed(1);
    expect(await rejection(test.client.getHandle('other').describe())).to.be.instanceOf(
      WorkflowNotFoundError,
    );
    await pass();
    expect((await handle.describe()).status.name).to.equal('COMPLETED');
    expect(await watch.next()).to.deep.equal({ done: false, value: 1 });
    expect(await watch.next()).to.deep.equal({ done: true, value: undefined });
    await removed(2);
  });

  it('watched by a reader who falls behind a chain that continues as new: the last run stays until it is read', async () => {
    await test.reopen({ workflows: 'watched-chain' });
    const handle = await test.start('counts', [0], { workflowId: 'chain' });
    const latest = test.client.getHandle('chain');
    const watch = latest.watch<number>('count')[Symbol.asyncIterator]();
    expect(await watch.next()).to.deep.equal({ done: false, value: 0 });
    for (const count of [1, 2, 3]) {
      await latest.signal('go');
      await eventually(async () => (await latest.query('count')) === count);
    }
    await latest.signal('finish');
    expect(await handle.result()).to.equal(3);
    clock.advance(HOUR);
    await removed(3);
    await pass();
    expect(await watch.next()).to.deep.equal({ done: false, value: 3 });
    expect(await watch.next()).to.deep.equal({ done: true, value: undefined });
    await removed(4);
  });

  it('an open execution: never goes, whatever time passes', async () => {
    const handle = await test.start('adds');
    await closed('one');
    clock.advance(50 * HOUR);
    await removed(1);
    await handle.executeUpdate('add', { args: [2] });
    expect(await handle.query('total')).to.equal(2);
  });

  it('continued as new: the run before goes, and what was sent to it does not take effect again', async () => {
    await test.reopen({ workflows: 'continue-as-new-driven' });
    const { workflowId, firstExecutionRunId } = await test.client.start('counter', {
      workflowId: 'one',
      args: [0],
    });
    const again = () => test.client.getHandle(workflowId);
    await again().signalWithOptions('go', { requestId: 'a' });
    const runId = await eventually(async () => {
      const description = await again().describe();
      return description.runId !== firstExecutionRunId && description.runId;
    });
    clock.advance(HOUR);
    await removed(1);
    for (const open of [() => test.reopen(), () => test.crash(), async () => undefined]) {
      const gone = test.client.getHandle(workflowId, firstExecutionRunId);
      expect(await rejection(gone.describe())).to.be.instanceOf(WorkflowNotFoundError);
      expect(await again().signalWithOptions('go', { requestId: 'a' })).to.deep.equal({ duplicate: true });
      expect((await again().describe()).runId).to.equal(runId);
      await open();
    }
  });

  it('reopened after the time has passed: gone, and the others as they were', async () => {
    await closed('one');
    const handle = await test.start('adds', [], { workflowId: 'two' });
    await test.reopen();
    clock.advance(HOUR);
    await removed(1);
    await test.reopen();
    expect(await rejection(test.again({ workflowId: 'one' }).describe())).to.be.instanceOf(
      WorkflowNotFoundError,
    );
    await test.again(handle).signal('finish');
    expect(await test.again(handle).result()).to.equal(0);
  });

  it('crashed right after the removal: the journal brings nothing back', async () => {
    for (let i = 0; i < 5; i++) {
      await closed(`w${i}`);
      clock.advance(HOUR);
      await removed(1);
      await test.crash();
      expect(await rejection(test.client.getHandle(`w${i}`).describe())).to.be.instanceOf(
        WorkflowNotFoundError,
      );
    }
  });

  it('removed and used at the same time: no call but finds the execution whole or not at all', async () => {
    await test.reopen({ limits: { retentionRowsMax: 40 } });
    const handles: Handle[] = [];
    for (let i = 0; i < 50; i++) handles.push(await closed(`w${i}`));
    clock.advance(HOUR - 1);
    const ask = async (): Promise<number> => {
      const answers = await Promise.all(
        handles.map((handle) =>
          Promise.all([handle.query('total'), handle.fetchHistory(), handle.describe()]).catch(
            (error) => error,
          ),
        ),
      );
      for (const answer of answers) {
        if (answer instanceof WorkflowNotFoundError) continue;
        expect(answer).to.be.an('array');
        const [total, { events }, { historyLength }] = answer;
        expect(total).to.equal(1);
        expect(events).to.have.length(historyLength);
      }
      return answers.filter((answer) => answer instanceof Error).length;
    };
    const gone = new Set<number>();
    while (!gone.has(50)) {
      const before = test.runtime.metrics().runsRemoved;
      const asking = [ask(), ask()];
      await eventually(() => {
        clock.advance(5);
        return test.runtime.metrics().runsRemoved > before;
      });
      for (const answered of await Promise.all([...asking, ask()])) gone.add(answered);
    }
    expect(gone.size).to.be.above(3);
    expect(test.runtime.metrics().runsRemoved).to.equal(50);
  });
});
