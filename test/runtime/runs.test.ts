/**
 * The directory of runs, and what a restart finds (runs.ts). The store is stopped at every write of a compaction, and
 * at each of these instants what is read back must be what it was before: the recovery table, with all its rows.
 *
 *   the run's record    its entries in the journal    what a restart does
 *   ----------------    --------------------------    -------------------------------------------
 *   absent              all                           makes the run from them
 *   up to value n       those up to n, and later      skips those up to n, applies the later ones
 *   up to value n       only later ones, or none      applies what there is
 *   absent              no start among them           refuses: the journal is not whole
 */
import { expect } from 'chai';
import { eventCount } from '../../codec/history-event.js';
import { frame } from '../../codec/journal-entry.js';
import { keys } from '../../codec/keys.js';
import { unpackUpdateOutcome } from '../../codec/run-record.js';
import type { Compactor } from '../../runtime/compactor.js';
import { InvariantError } from '../../runtime/errors.js';
import { Runs } from '../../runtime/runs.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';
import { openCompaction } from '../support/compaction.js';
import { refusing } from '../support/faulty.js';
import {
  activity,
  type Entry,
  info,
  journalValue,
  signal,
  started,
  turn,
  update,
  writeJournal,
} from '../support/journal.js';
import { rejection } from '../support/store-rows.js';

/** Large enough to fill a write of the compactor, so that each run is moved by a write of its own. */
const LARGE = 'x'.repeat(300_000);

/** Two executions of one workflow id, one whose turn fails, one that was terminated; in every state that there is. */
const VALUES: Entry[][] = [
  [started(1, 'one'), turn(1, [signal(undefined, LARGE)]), started(3, 'two'), turn(3)],
  [
    turn(
      1,
      [update('u')],
      [
        { kind: 'acceptUpdate', id: 'u' },
        { kind: 'completeUpdate', id: 'u', result: Uint8Array.of(1) },
      ],
    ),
  ],
  [
    turn(1, [signal('r')], [{ kind: 'completeWorkflow', result: Uint8Array.of(2) }]),
    started(2, 'one', { runTimeoutMs: 5_000 }),
  ],
  [
    turn(
      2,
      [signal(undefined, LARGE)],
      [
        { kind: 'startTimer', seq: 1, ms: 10 },
        { kind: 'startTimer', seq: 2, ms: 20 },
        activity(1),
        activity(2),
      ],
    ),
    turn(
      2,
      [update('open'), update('done')],
      [
        { kind: 'acceptUpdate', id: 'open' },
        { kind: 'acceptUpdate', id: 'done' },
      ],
    ),
    [3, { kind: 'received', time: 2_500, inputs: [signal('r'), signal(undefined, LARGE)] }],
    [
      3,
      {
        kind: 'turnFailed',
        time: 2_500,
        cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE',
        failure: { message: 'a bug' },
      },
    ],
    started(4, 'three', { memo: Uint8Array.of(1) }),
  ],
  [
    turn(
      2,
      [{ kind: 'timerFired', seq: 1 }],
      [
        { kind: 'cancelTimer', seq: 2 },
        { kind: 'completeUpdate', id: 'done', failure: { message: 'no' } },
      ],
    ),
    [
      2,
      {
        kind: 'activityRetry',
        time: 3_000,
        seq: 2,
        attempt: 2,
        nextAt: 9_000,
        failure: { message: 'once more' },
      },
    ],
    [2, { kind: 'activityStarted', time: 3_000, seq: 2, attempt: 2, heartbeat: Uint8Array.of(7) }],
    turn(4, [signal(undefined, LARGE)]),
    [4, { kind: 'terminated', time: 3_000, reason: 'enough' }],
  ],
  [
    turn(2, [
      {
        kind: 'activityResolved',
        seq: 1,
        attempt: 1,
        startedAt: 2_000,
        outcome: { status: 'completed', result: Uint8Array.of(3) },
      },
    ]),
  ],
];
const RUNS = [1, 2, 3, 4];
const IDS = ['one', 'two', 'three', 'four'];

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

async function journalOnly(): Promise<Store> {
  const store = openMemoryStore();
  await writeJournal(store, VALUES);
  return store;
}

interface Opened {
  store: Store;
  runs: Runs;
  compactor: Compactor;
}

/** As the host does it. `order`: in which the compactor comes to know of the runs. */
function open(store: Store, order: readonly number[] = RUNS): Opened {
  const { runs, compactor } = openCompaction(store);
  for (const runNo of order) {
    const live = runs.get(runNo)!;
    if (live.run.dirty)
      compactor.noted(
        live,
        live.run.unsaved.frames.reduce((sum, { bytes }) => sum + bytes.length, 0),
      );
  }
  return { store, runs, compactor };
}

/** All that anybody can learn about the runs. */
function look({ runs, store }: Pick<Opened, 'runs' | 'store'>) {
  return {
    latest: IDS.map((id) => runs.latest('default', id)?.run.runNo),
    byRunId: RUNS.map((runNo) => runs.byRunId(`run-${runNo}`)?.run.runNo),
    withActivities: RUNS.filter((runNo) => runs.get(runNo)!.run.activities.size > 0),
    runs: RUNS.map((runNo) => {
      const live = runs.get(runNo)!;
      const { run } = live;
      const stored = (id: string) => {
        const value = store.get(keys.update(runNo, id));
        return value && unpackUpdateOutcome(value);
      };
      return {
        ...run.toRecord(0),
        timers: [...run.timers].map(([seq, { due }]) => [seq, due]),
        activities: [...run.activities],
        history: Buffer.concat(runs.history(live)).toString('latin1'),
        outcomes: ['u', 'open', 'done'].map((id) => run.unsavedOutcome(id) ?? stored(id)),
        seen: run.hasUnsavedRequest('r') || store.get(keys.request(runNo, 'r')) !== undefined,
      };
    }),
  };
}

const count = (store: Store, letter: string) =>
  Array.from(store.range(Buffer.from(letter), Uint8Array.of(letter.charCodeAt(0) + 1))).length;
/** Bytes come back as Buffers or not; only what is in them counts. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, part) =>
      part instanceof Uint8Array ? [...part] : part?.type === 'Buffer' ? part.data : part,
    ),
  );

describe('recovery', () => {
  let expected: unknown;
  before(async () => {
    expected = plain(look(open(await journalOnly())));
  });

  it('journal only: every run as its entries say', () => {
    const { latest, runs } = expected as ReturnType<typeof look>;
    expect(latest).to.deep.equal([2, 3, 4, null]);
    expect(runs.map(({ state }) => state)).to.deep.equal(['completed', 'running', 'suspended', 'terminated']);
    expect(runs[1]).to.deep.include({ timers: [], updates: ['open'], seen: false });
    expect(runs[1]!.activities.map(([seq, { attempt, nextAt }]) => [seq, attempt, nextAt])).to.deep.equal([
      [2, 2, 9_000],
    ]);
    expect(runs[2]).to.deep.include({ waiting: 2, seen: true });
  });

  for (const order of [RUNS, [4, 3, 2, 1]]) {
    describe(`runs are moved in the order ${order.join(', ')}`, () => {
      it('stopped after each write: a restart finds the same, and so does one after the rest was moved', async () => {
        const instants: Store[] = [];
        const disk = await journalOnly();
        const stopping = refusing(disk, () => void instants.push(copyOf(disk)));
        await open(stopping, order).compactor.run();
        instants.push(copyOf(disk));
        expect(instants.length).to.be.at.least(6);
        for (const [at, instant] of instants.entries()) {
          const opened = open(instant, order);
          expect(plain(look(opened)), `stopped before write ${at + 1}`).to.deep.equal(expected);
          await opened.compactor.run();
          expect(plain(look(opened)), `stopped before write ${at + 1}, then all moved`).to.deep.equal(
            expected,
          );
          expect(
            plain(look(open(copyOf(instant)))),
            `stopped before write ${at + 1}, all moved, restarted`,
          ).to.deep.equal(expected);
          expect(count(instant, 'j')).to.equal(1);
        }
      });

      for (const when of ['before', 'after'] as const) {
        it(`each write in turn fails ${when} it took effect: the runtime goes on with the same, and so does a restart`, async () => {
          for (let failing = 1, failed = true; failed; failing++) {
            failed = false;
            let writes = 0;
            const disk = await journalOnly();
            const store = refusing(disk, () => {
              writes++;
              if (writes !== failing) return undefined;
              failed = true;
              return { when, error: new Error('planned') };
            });
            const opened = open(store, order);
            const compaction = opened.compactor.run();
            if (failing <= 5) await rejection(compaction);
            else await compaction.catch(() => undefined);
            expect(plain(look(opened)), `write ${failing}`).to.deep.equal(expected);
            expect(plain(look(open(copyOf(disk)))), `write ${failing}, restarted`).to.deep.equal(expected);
            await opened.compactor.run();
            expect(plain(look(opened)), `write ${failing}, moved later`).to.deep.equal(expected);
            expect(plain(look(open(copyOf(disk)))), `write ${failing}, moved later, restarted`).to.deep.equal(
              expected,
            );
          }
        });
      }
    });
  }

  it('an entry of a run that never started: refused, nothing is guessed', async () => {
    const store = openMemoryStore();
    await writeJournal(store, [[turn(7, [signal()])]]);
    expect(() => new Runs(store).recover()).to.throw(
      InvariantError,
      /Journal value 1 has an entry of run 7, which never started/,
    );
  });

  it('updates that a thread answered beside their entry: counted when there is a limit on them, not read when there is none', async () => {
    const store = openMemoryStore();
    const accepted = turn(
      1,
      [update('u')],
      [
        { kind: 'acceptUpdate', id: 'u' },
        { kind: 'completeUpdate', id: 'u', result: Uint8Array.of(1) },
      ],
    );
    const value = Buffer.concat([
      journalValue([started(1, 'one'), turn(1)]),
      frame(1, accepted[1], eventCount(accepted[1]), false),
    ]);
    await store.write([{ kind: 'put', key: keys.journal(1), value }]);
    for (const counted of [true, false]) {
      const [live] = new Runs(store).recover(counted).recovered;
      expect(live!.run.updatesAccepted).to.equal(counted ? 1 : 0);
      expect([...live!.run.unsavedFrames()]).to.have.length(3);
    }
  });

  it('an empty store: nothing, and numbers begin with 1', () => {
    const runs = new Runs(openMemoryStore());
    expect(runs.recover()).to.deep.equal({ lastSeq: 0, recovered: [] });
    expect(runs.nextNo()).to.equal(1);
  });

  it('numbers go on after the highest, whether it is in a record or only in the journal', async () => {
    const store = await journalOnly();
    const opened = open(store);
    expect(opened.runs.nextNo()).to.equal(5);
    await opened.compactor.run();
    expect(new Runs(store).nextNo()).to.equal(5);
  });
});

describe('runs', () => {
  it('looked up by the thousand: memory holds a bounded number of those with which nothing goes on (D8)', async () => {
    const store = openMemoryStore();
    await writeJournal(store, [
      Array.from({ length: 1_600 }, (_, i) => [
        started(i + 1, `w${i}`),
        turn(i + 1, [], [{ kind: 'completeWorkflow', result: new Uint8Array() }]),
      ]).flat(),
    ]);
    const all = Array.from({ length: 1_600 }, (_, i) => i + 1);
    const { compactor, runs } = open(store, all);
    await compactor.run();
    expect(runs.inMemory).to.equal(0);
    for (const runNo of all) expect(runs.latest('default', `w${runNo - 1}`)!.run.closed).to.equal(true);
    expect(runs.inMemory).to.be.at.most(1_024);
  });

  it('one with which something goes on: stays, however many others are looked up', async () => {
    const store = openMemoryStore();
    await writeJournal(store, [Array.from({ length: 1_600 }, (_, i) => started(i + 1, `w${i}`))]);
    const all = Array.from({ length: 1_600 }, (_, i) => i + 1);
    const { compactor, runs } = open(store, all);
    await compactor.run();
    const waited = runs.get(1)!;
    waited.closeWaiters.add(() => undefined);
    for (const runNo of all) runs.get(runNo);
    expect(runs.get(1)).to.equal(waited);
  });

  it('messages for one that was loaded: found without the store, until it leaves memory', async () => {
    const disk = openMemoryStore();
    await writeJournal(disk, [[started(1, 'one'), turn(1)]]);
    await open(disk, [1]).compactor.run();
    let gets = 0;
    const runs = new Runs({
      get: (key) => {
        gets++;
        return disk.get(key);
      },
      range: (...args) => disk.range(...args),
      write: (ops) => disk.write(ops),
      stats: () => disk.stats(),
      close: () => disk.close(),
    });
    const live = runs.latest('default', 'one')!;
    gets = 0;
    expect(runs.latest('default', 'one')).to.equal(live);
    expect(gets).to.equal(0);
    runs.forget(live);
    expect(runs.latest('default', 'one')).to.not.equal(live);
  });

  it('forgotten twice, and looked up in between: the second time does not concern the new one', async () => {
    const store = await journalOnly();
    const { compactor, runs } = open(store);
    await compactor.run();
    const old = runs.get(1)!;
    runs.forget(old);
    const fresh = runs.get(1)!;
    expect(fresh).to.not.equal(old);
    runs.forget(old);
    expect(runs.get(1)).to.equal(fresh);
  });

  it('a start that is lost: the run before it is the latest again, wherever that one is', async () => {
    for (const inStore of [false, true]) {
      const { compactor, runs } = open(await journalOnly());
      if (inStore) await compactor.run();
      const lost = runs.admit(info(9, 'one'));
      expect(runs.latest('default', 'one')).to.equal(lost);
      runs.discard(lost);
      expect(runs.latest('default', 'one')!.run.runNo).to.equal(2);
    }
  });
});
