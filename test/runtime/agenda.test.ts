/** What is due when (agenda.ts), with a clock that is turned by hand. */
import { expect } from 'chai';
import { keys } from '../../codec/keys.js';
import { Agenda, type Due } from '../../runtime/agenda.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { eventually, ManualClock } from '../support/runtime.js';

const MINUTE = 60_000;
const EMPTY = new Uint8Array();

function agenda(
  parts: {
    stands?: (due: Due) => boolean;
    isSettled?: (due: Due) => boolean;
    beforeScan?: () => Promise<void>;
    entriesMax?: number;
  } = {},
) {
  const clock = new ManualClock();
  const disk = openMemoryStore({ durability: 'commit' });
  const plan = new FaultPlan();
  const woken: { seq: number; late: number }[] = [];
  const errors: Error[] = [];
  const made = new Agenda({
    clock,
    store: faultyStore(disk, plan),
    wake: (due) => {
      woken.push({ seq: due.seq, late: clock.now() - due.at });
      return parts.stands?.(due) ?? true;
    },
    isSettled: parts.isSettled ?? (() => false),
    beforeScan: parts.beforeScan ?? (async () => undefined),
    onError: (error) => errors.push(error),
    ...(parts.entriesMax === undefined ? {} : { entriesMax: parts.entriesMax }),
  });
  const timer = (seq: number, ms: number): Due => ({ at: clock.now() + ms, runNo: 1, kind: 'timer', seq });
  const store = (due: Due) =>
    disk.write([{ kind: 'put', key: keys.due(due.at, due.runNo, due.kind, due.seq), value: EMPTY }]);
  /** Turns the clock in small steps, with time for promises in between. */
  const pass = async (ms: number, step = MINUTE): Promise<void> => {
    for (let left = ms; left > 0; left -= step) {
      clock.advance(Math.min(step, left));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, disk, plan, made, woken, errors, timer, store, pass };
}

describe('agenda', () => {
  it('added in any order: woken in order, each at its time and never before', () => {
    const { made, clock, timer, woken } = agenda();
    made.start();
    for (const ms of [300, 100, 200, 100]) made.add(timer(ms, ms));
    clock.advance(99);
    expect(woken).to.deep.equal([]);
    clock.advance(301);
    expect(woken.map(({ seq }) => seq)).to.deep.equal([100, 100, 200, 300]);
    expect(woken.every(({ late }) => late === 0)).to.equal(true);
  });

  it('due at the same time: in the order in which they were asked for, in whatever order they came in', () => {
    const { made, clock, timer, woken } = agenda();
    made.start();
    for (const seq of [3, 1, 7, 5, 2, 6, 4]) made.add(timer(seq, 100));
    clock.advance(100);
    expect(woken.map(({ seq }) => seq)).to.deep.equal([1, 2, 3, 4, 5, 6, 7]);
  });

  it('due already: woken at once, but not inside add()', () => {
    const { made, clock, timer, woken } = agenda();
    made.start();
    made.add(timer(1, -5));
    expect(woken).to.deep.equal([]);
    clock.advance(0);
    expect(woken).to.deep.equal([{ seq: 1, late: 5 }]);
  });

  it('due beyond ten minutes: not kept in memory, found in the store when its time comes near', async () => {
    const { made, timer, store, woken, pass } = agenda();
    made.start();
    const later = timer(1, 47 * MINUTE + 1);
    made.add(later);
    await store(later);
    expect(made.size).to.equal(0);
    await pass(47 * MINUTE);
    expect(woken).to.deep.equal([]);
    await pass(MINUTE, 1_000);
    expect(woken).to.have.length.above(0);
    expect(woken[0]!.late).to.be.within(0, 1_000);
  });

  it('the store is brought up to date before it is looked through', async () => {
    let later: Due | undefined;
    const made = agenda({ beforeScan: async () => later && store(later) });
    const { store } = made;
    made.made.start();
    later = made.timer(1, 12 * MINUTE);
    made.made.add(later);
    await made.pass(13 * MINUTE);
    expect(made.woken).to.have.length.above(0);
    expect(made.woken[0]!.late).to.equal(0);
  });

  it('due while the runtime was closed: woken when it opens', async () => {
    const { made, clock, timer, store, woken } = agenda();
    await store(timer(1, -3 * MINUTE));
    made.start();
    clock.advance(0);
    expect(woken).to.deep.equal([{ seq: 1, late: 3 * MINUTE }]);
  });

  it('a matter that is settled: its key goes, so that no restart looks at it again; others stay', async () => {
    const { made, clock, disk, timer, store } = agenda({ stands: ({ seq }) => seq === 2 });
    await store(timer(1, 5));
    await store(timer(2, 5));
    made.start();
    clock.advance(5);
    await eventually(() => disk.stats().entries === 1);
    expect(disk.get(keys.due(clock.now(), 1, 'timer', 2))).to.not.equal(undefined);
  });

  it('the key of a settled matter cannot be removed: told, and removed the next time', async () => {
    const { made, clock, disk, plan, timer, store, errors, pass } = agenda({ stands: () => false });
    await store(timer(1, 5));
    plan.next({ kind: 'full' });
    made.start();
    clock.advance(5);
    await eventually(() => errors.length === 1);
    expect(disk.stats().entries).to.equal(1);
    await pass(6 * MINUTE);
    await eventually(() => disk.stats().entries === 0);
    expect(errors).to.have.length(1);
  });

  it('the store cannot be brought up to date for a while: scans go on, nothing is lost', async () => {
    let failing = true;
    const { made, timer, store, woken, errors, pass } = agenda({
      beforeScan: async () => {
        if (failing) throw new Error('no room');
      },
    });
    made.start();
    await store(timer(1, 17 * MINUTE));
    await pass(16 * MINUTE);
    expect(errors).to.have.length(3);
    failing = false;
    await pass(2 * MINUTE);
    expect(woken[0]).to.deep.equal({ seq: 1, late: 0 });
  });

  it('waking throws: told, the others are woken all the same', () => {
    const { made, clock, timer, errors, woken } = agenda({
      stands: ({ seq }) => {
        if (seq === 1) throw new Error('cannot be looked up');
        return true;
      },
    });
    made.start();
    made.add(timer(1, 5));
    made.add(timer(2, 5));
    clock.advance(5);
    expect(woken.map(({ seq }) => seq)).to.have.members([1, 2]);
    expect(errors.map(({ message }) => message)).to.deep.equal(['cannot be looked up']);
  });

  it('timers that are set and cancelled all the time: memory holds those that stand, and not much more (D8)', () => {
    const standing = new Set<number>();
    const { made, clock, timer, woken } = agenda({ isSettled: ({ seq }) => !standing.has(seq) });
    made.start();
    let most = 0;
    for (let seq = 0; seq < 60_000; seq++) {
      if (seq % 100 === 0) standing.add(seq);
      made.add(timer(seq, 1_000 + (seq % 7)));
      most = Math.max(most, made.size);
    }
    expect(most).to.be.at.most(10_000);
    clock.advance(2_000);
    expect(woken.filter(({ seq }) => standing.has(seq))).to.have.length(600);
    expect(woken.every(({ late }) => late === 0)).to.equal(true);
  });

  describe('far more is due soon than memory is to hold (D8)', () => {
    const LIMIT = 100;
    const COUNT = 5_000;

    it('in the store when it opens: each woken at its time, few at once in memory', async () => {
      const { made, timer, store, woken, pass } = agenda({ entriesMax: LIMIT });
      for (let seq = 0; seq < COUNT; seq++) await store(timer(seq, 1_000 + seq * 60));
      made.start();
      expect(made.size).to.equal(LIMIT);
      let most = 0;
      for (let second = 0; second < 320; second++) {
        await pass(1_000, 20);
        most = Math.max(most, made.size);
      }
      expect(new Set(woken.map(({ seq }) => seq)).size).to.equal(COUNT);
      expect(Math.max(...woken.map(({ late }) => late))).to.be.below(20);
      expect(most).to.be.at.most(2 * LIMIT);
    });

    it('all at the same time: all woken, a part a second', async () => {
      const { made, timer, store, woken, pass } = agenda({ entriesMax: LIMIT });
      for (let seq = 0; seq < 1_000; seq++) await store(timer(seq, 1_000));
      made.start();
      await pass(12_000, 100);
      expect(new Set(woken.map(({ seq }) => seq)).size).to.equal(1_000);
    });

    it('many that are due already and stay: those after them are woken all the same', async () => {
      const { made, timer, store, woken, pass } = agenda({ entriesMax: LIMIT, stands: () => true });
      for (let seq = 0; seq < 3 * LIMIT; seq++) await store(timer(seq, -1_000 + seq));
      await store(timer(COUNT, 20_000));
      made.start();
      await pass(21_000, 100);
      expect(woken.find(({ seq }) => seq === COUNT)?.late).to.equal(0);
    });

    it('added one after the other, and saved when the store is brought up to date: each woken, few in memory', async () => {
      const unsaved: Due[] = [];
      const rig = agenda({
        entriesMax: LIMIT,
        beforeScan: async () => {
          for (const due of unsaved.splice(0)) await rig.store(due);
        },
      });
      const { made, timer, woken, pass } = rig;
      made.start();
      let most = 0;
      for (let i = 0; i < COUNT; i++) {
        // In no order.
        const seq = (i * 1_999) % COUNT;
        const due = timer(seq, 5_000 + seq * 60);
        unsaved.push(due);
        made.add(due);
        most = Math.max(most, made.size);
      }
      expect(most).to.be.at.most(2 * LIMIT);
      await pass(330_000, 20);
      expect(new Set(woken.map(({ seq }) => seq)).size).to.equal(COUNT);
    });
  });

  it('closed: wakes nobody any more', () => {
    const { made, clock, timer, woken } = agenda();
    made.start();
    made.add(timer(1, 5));
    made.close();
    clock.advance(60 * MINUTE);
    expect(woken).to.deep.equal([]);
    expect(clock.pending).to.deep.equal([]);
  });
});
