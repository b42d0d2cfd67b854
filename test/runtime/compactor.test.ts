/** What is in the store when entries were moved (compactor.ts). That nothing is lost on the way is in runs.test.ts. */
import { expect } from 'chai';
import { type Command, frames, type Input, unpackEntry } from '../../codec/journal-entry.js';
import { keys, readDueKind, readNumber } from '../../codec/keys.js';
import { encodePayload } from '../../codec/payload.js';
import { LargeWrites } from '../../runtime/large-writes.js';
import { Runs } from '../../runtime/runs.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store } from '../../runtime/store/store.js';
import { openCompaction } from '../support/compaction.js';
import { puts, refusing } from '../support/faulty.js';
import { activity, type Entry, journalValue, signal, started, turn } from '../support/journal.js';
import { keysOfKind } from '../support/rows-of-kind.js';
import { eventually } from '../support/runtime.js';
import { rejection } from '../support/store-rows.js';

interface Parts {
  store?: Store;
  journalBytesMax?: number;
  largeWrites?: LargeWrites;
}

/** A committer and a compactor, joined as the host and its threads join them. */
function rig({ store = openMemoryStore(), ...options }: Parts = {}) {
  const { runs, recovered, committer, compactor, errors } = openCompaction(store, options);
  for (const live of recovered) compactor.noted(live, live.run.unsaved.bytes);
  const append = (...entries: Entry[]): void => {
    const value = journalValue(entries);
    for (const [, entry] of entries) if (entry.kind === 'started') runs.admit(entry.info);
    const durable = (seq: number): void => {
      for (const frame of frames(value)) {
        const live = runs.get(frame.runNo)!;
        live.run.append(frame, seq);
        live.run.apply(unpackEntry(frame.body));
        live.before = undefined;
        compactor.noted(live, frame.bytes.length);
      }
    };
    committer.append(value, durable, (error) => errors.push(error));
  };
  const commit = async (...entries: Entry[]): Promise<void> => {
    append(...entries);
    await committer.settled();
  };
  return { store, runs, committer, compactor, append, commit, errors };
}

const due = (store: Store): string[] =>
  keysOfKind(store, 't').map(
    (key) =>
      `${readDueKind(key)} ${readNumber(key, 3)} of run ${readNumber(key, 1)} at ${readNumber(key, 0)}`,
  );
const counts = (store: Store): Record<string, number> =>
  Object.fromEntries(
    ['j', 'r', 'h', 'w', 'i', 't', 'a', 'u', 's'].map((letter) => [letter, keysOfKind(store, letter).length]),
  );

const idle: Entry = [1, { kind: 'received', time: 2_000, inputs: [signal()] }];

describe('compactor', () => {
  it('runs with timers, activities, outcomes and request ids: each in its place, the journal trimmed to its newest value', async () => {
    const { store, compactor, commit } = rig();
    await commit(
      started(1, 'one', { runTimeoutMs: 9_000 }),
      turn(1, [], [{ kind: 'startTimer', seq: 1, ms: 5 }, activity(1)]),
    );
    await commit(started(2, 'two'), turn(2, [signal('r')]));
    await commit([
      1,
      { kind: 'activityRetry', time: 3_000, seq: 1, attempt: 2, nextAt: 8_000, failure: { message: 'no' } },
    ]);
    await compactor.run();
    expect(counts(store)).to.deep.equal({ j: 1, r: 2, h: 2, w: 2, i: 2, t: 3, a: 1, u: 0, s: 1 });
    expect(due(store)).to.deep.equal([
      'timer 1 of run 1 at 2005',
      'activity 1 of run 1 at 8000',
      'runTimeout 0 of run 1 at 10000',
    ]);
    expect(compactor.unsavedBytes).to.equal(0);
  });

  it('a run that ended: what could become due is taken back', async () => {
    const { store, compactor, commit } = rig();
    await commit(
      started(1, 'one', { runTimeoutMs: 9_000 }),
      turn(1, [], [{ kind: 'startTimer', seq: 1, ms: 5 }, activity(1)]),
    );
    await compactor.run();
    await commit([1, { kind: 'terminated', time: 3_000 }]);
    await compactor.run();
    expect(due(store)).to.deep.equal([]);
    expect(counts(store)).to.include({ a: 0, r: 1, h: 2, w: 1 });
  });

  it('a run that began and ended between two compactions: leaves no due times at all', async () => {
    const { store, compactor, commit } = rig();
    await commit(
      started(1, 'one', { runTimeoutMs: 9_000 }),
      turn(1, [], [{ kind: 'startTimer', seq: 1, ms: 5 }, activity(1)]),
      turn(1, [{ kind: 'timerFired', seq: 1 }], [{ kind: 'completeWorkflow', result: new Uint8Array() }]),
    );
    await compactor.run();
    expect(counts(store)).to.deep.equal({ j: 1, r: 1, h: 1, w: 1, i: 1, t: 0, a: 0, u: 0, s: 0 });
  });

  it('half of journalBytesMax has come: begins by itself, and not before', async () => {
    const bytes = journalValue([started(1, 'one')]).length;
    const { store, compactor, commit } = rig({ journalBytesMax: 4 * bytes });
    await commit(started(1, 'one'));
    expect(compactor.running).to.equal(false);
    await commit(started(2, 'two'));
    await eventually(() => !compactor.running);
    expect(counts(store)).to.include({ r: 2, h: 2 });
  });

  it('some hundred runs have ended: begins by itself, though there may be many more open ones', async () => {
    const ENDED = 300;
    const { store, compactor, commit } = rig({ journalBytesMax: 2 * ENDED * 8_192 });
    const end = (runNo: number) =>
      turn(runNo, [], [{ kind: 'completeWorkflow', result: new Uint8Array() } as const]);
    const some = (count: number, of: (k: number) => Entry[]) =>
      Array.from({ length: count }, (_, k) => of(k)).flat();
    await commit(...some(ENDED, (k) => [started(1_000 + k, `open-${k}`)]));
    await commit(...some(ENDED - 1, (k) => [started(k + 1, `short-${k}`), end(k + 1)]));
    expect(compactor.running).to.equal(false);
    await commit(started(ENDED, 'last'), end(ENDED));
    expect(compactor.running).to.equal(true);
    await eventually(() => !compactor.running);
    expect(counts(store)).to.include({ r: 2 * ENDED });
    // Written, they count no more.
    await commit(started(2_000, 'another'), end(2_000));
    expect(compactor.running).to.equal(false);
  });

  it('it begins in the middle of a journal value: a run is moved with all that the value has of it', async () => {
    const { store, runs, commit, compactor } = rig({ journalBytesMax: 2 });
    const entries = [
      started(1, 'one'),
      turn(1, [signal()]),
      turn(1, [signal()]),
      started(2, 'two'),
      turn(1, [signal()]),
    ];
    await commit(...entries);
    await compactor.run();
    const again = rig({ store });
    const history = (runNo: number) =>
      again.runs.history(again.runs.get(runNo)!).flatMap((chunk) => [...frames(chunk)]);
    expect(history(1)).to.have.length(4);
    expect(history(2)).to.have.length(1);
    expect(runs.history(runs.get(1)!)).to.have.length(1);
  });

  it('two batches of a thread in one journal value: the same', async () => {
    const { store, append, committer, compactor } = rig({ journalBytesMax: 2 });
    // While the first is being written the two others gather, and become one value.
    append(started(9, 'other'));
    append(started(1, 'one'), turn(1));
    append(turn(1, [signal()]), turn(1, [signal()]));
    await committer.settled();
    await compactor.run();
    await compactor.run();
    const again = rig({ store });
    expect(again.runs.history(again.runs.get(1)!).flatMap((chunk) => [...frames(chunk)])).to.have.length(4);
  });

  it('what comes while it runs: stays in the journal, and is moved the next time', async () => {
    let meanwhile: (() => void) | undefined;
    const disk = openMemoryStore({ durability: 'commit' });
    const store = refusing(disk, (ops) => {
      if (ops.some(({ key }) => key[0] === 'r'.charCodeAt(0))) meanwhile?.();
      meanwhile = undefined;
      return undefined;
    });
    const { runs, compactor, commit, committer, append } = rig({ store });
    await commit(started(1, 'one'), turn(1));
    meanwhile = () => append(idle);
    await compactor.run();
    await committer.settled();
    expect(keysOfKind(store, 'j').map((key) => readNumber(key, 0))).to.include(2);
    expect(runs.get(1)!.run.dirty).to.equal(true);
    await compactor.run();
    expect(keysOfKind(store, 'j').map((key) => readNumber(key, 0))).to.deep.equal([2]);
    expect(runs.inMemory).to.equal(0);
  });

  it('run() while one is under way: joins it', async () => {
    const { compactor, commit } = rig();
    await commit(started(1, 'one'));
    const first = compactor.run();
    expect(compactor.run()).to.equal(first);
    await first;
    expect(compactor.running).to.equal(false);
  });

  it('it fails: told, not tried again with every commit, and what it left is still counted', async () => {
    let tries = 0;
    const store = refusing(openMemoryStore(), (ops) => {
      if (!ops.some(({ key }) => key[0] === 'r'.charCodeAt(0))) return undefined;
      tries++;
      return { when: 'before', error: new Error('planned') };
    });
    const bytes = journalValue([idle]).length;
    const { compactor, commit, errors } = rig({ store, journalBytesMax: 20 * bytes });
    await commit(started(1, 'one'));
    for (let i = 0; i < 40; i++) await commit(idle);
    expect(tries).to.be.within(2, 6);
    expect(errors).to.have.length(tries);
    expect(compactor.unsavedBytes).to.be.above(40 * bytes);
    expect(await rejection(compactor.run())).to.have.property('message', 'planned');
  });

  it('while a thread has large messages under way: a large write waits for them, unless somebody waits for its end', async () => {
    const largeWrites = new LargeWrites(1);
    let under = 1;
    largeWrites.join({ largeBytes: () => under, retry: () => undefined });
    largeWrites.sent(1);
    let written = 0;
    const store = refusing(openMemoryStore(), (ops) => {
      if (ops.some(({ key }) => key[0] === 'r'.charCodeAt(0))) written++;
      return undefined;
    });
    const { compactor, commit } = rig({ store, largeWrites });
    await commit(started(1, 'one'), ...Array.from({ length: 3_000 }, () => idle));
    const over = compactor.run();
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(written).to.equal(0);
    under = 0;
    await over;
    expect(written).to.equal(1);
    under = 1;
    await commit(...Array.from({ length: 3_000 }, () => idle));
    const hurried = compactor.finish();
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(written).to.equal(2);
    await hurried;
  });

  it('far more runs than a write holds: moved in several, all of them', async () => {
    const sizes: number[] = [];
    const store = refusing(openMemoryStore(), (ops) => void sizes.push(ops.length));
    const { compactor, commit } = rig({ store });
    await commit(...Array.from({ length: 1_000 }, (_, i) => started(i + 1, `w${i}`)));
    sizes.length = 0;
    await compactor.run();
    expect(counts(store)).to.include({ r: 1_000, h: 1_000, w: 1_000, i: 1_000 });
    expect(Math.max(...sizes)).to.be.at.most(4 * 256);
  });

  describe('a run with more history than one write is to hold', () => {
    const CHUNK = 1_000;
    const ENTRIES = 200;
    /** Of one journal value: with so many, one value is longer than a chunk, and longer than a row of the journal. */
    const MANY = 120;
    const open = (store: Store, chunk = CHUNK) => rig({ store, journalBytesMax: 64 * chunk });
    const historyOf = ({ runs }: { runs: Runs }, runNo = 1) =>
      runs.history(runs.get(runNo)!).flatMap((chunk) => [...frames(chunk)].map(({ bytes }) => hex(bytes)));
    const chunksOf = (store: Store) =>
      keysOfKind(store, 'h')
        .filter((key) => readNumber(key, 0) === 1)
        .map((key) => store.get(key)!);
    /** Runs 1 and 2 in the journal, the first one with a long history, in values of one entry and of several. */
    async function filled(store: Store, chunk = CHUNK) {
      const made = open(store, chunk);
      await made.commit(started(1, 'long'), started(2, 'short'));
      await more(made, ENTRIES);
      return made;
    }
    async function more({ commit }: ReturnType<typeof rig>, entries: number) {
      for (let i = 0; i < entries; i++) {
        if (i % 50 === 30) await commit(...Array<Entry>(MANY).fill(idle));
        else await (i % 7 === 0 ? commit(idle, idle, turn(2)) : commit(idle));
      }
    }
    async function whole(entries = ENTRIES): Promise<string[]> {
      const made = rig();
      await made.commit(started(1, 'long'), started(2, 'short'));
      await more(made, entries);
      return historyOf(made);
    }
    /** All of it is there once, in this opening and the next, and nothing else. */
    async function expectWhole(made: ReturnType<typeof rig>, expected: string[]): Promise<void> {
      expect(historyOf(made)).to.deep.equal(expected);
      await made.compactor.run();
      expect(historyOf(made)).to.deep.equal(expected);
      expect(historyOf(open(made.store))).to.deep.equal(expected);
      expect(chunksOf(made.store).flatMap((chunk) => [...frames(chunk)])).to.have.length(expected.length);
      expect(keysOfKind(made.store, 'j')).to.have.length(1);
    }

    it('goes in chunks that are not much longer', async () => {
      for (let chunk = 260; chunk < CHUNK; chunk += 13) {
        const store = openMemoryStore();
        const made = await filled(store, chunk);
        await made.compactor.run();
        const lengths = chunksOf(store).map(({ length }) => length);
        expect(lengths.length).to.be.above(5);
        expect(Math.max(...lengths)).to.be.below(chunk + 2 * MANY * journalValue([idle]).length);
        expect(made.compactor.unsavedBytes).to.equal(0);
        await expectWhole(made, await whole());
      }
    });

    it('more comes while it goes: nothing is missing, and order is kept', async () => {
      const disk = openMemoryStore({ durability: 'commit' });
      let made: ReturnType<typeof rig> | undefined;
      let left = 20;
      const store = refusing(disk, (ops) => {
        if (made !== undefined && puts('r', ops) && left-- > 0) made.append(idle);
        return undefined;
      });
      made = await filled(store);
      const running = made;
      await running.compactor.run();
      await running.committer.settled();
      const inMemory = historyOf(running);
      expect(inMemory).to.have.length((await whole()).length + 20 - Math.max(0, left));
      left = 0;
      await running.compactor.run();
      expect(historyOf(open(store))).to.deep.equal(inMemory);
    });

    it('the process ends between any two writes: all of it is there once, also when it is moved again', async () => {
      const disk = openMemoryStore();
      const made = await filled(disk);
      const ends: Store[] = [copyOf(disk)];
      const write = disk.write.bind(disk);
      disk.write = async (ops) => {
        await write(ops);
        ends.push(copyOf(disk));
      };
      await made.compactor.run();
      expect(ends.length).to.be.above(6);
      // Chunks are of another length the second time.
      for (const end of ends) await expectWhole(open(end, 0.7 * CHUNK), await whole());
    });

    for (const when of ['before', 'after'] as const)
      it(`any of the writes fails ${when} it took effect: all of it is there once, also when it is moved again`, async () => {
        for (let failing = 1, failed = true; failed; failing++) {
          let writes = 0;
          failed = false;
          let armed = false;
          const store = refusing(openMemoryStore(), () => {
            if (!armed || ++writes !== failing) return undefined;
            failed = true;
            return { when, error: new Error('planned') };
          });
          const made = await filled(store);
          armed = true;
          const error = await made.compactor.run().catch((reason) => reason);
          armed = false;
          if (failed) expect(error).to.have.property('message', 'planned');
          expect(historyOf(made)).to.deep.equal(await whole());
          // So much that chunks become longer.
          await more(made, 1_400);
          await expectWhole(made, [...(await whole()), ...(await whole(1_400)).slice(1)]);
          if (!failed) expect(failing).to.be.above(6);
        }
      });
  });

  it('a sender that closed before it heard that its message is there: whenever the process ends, it is not sent again', async () => {
    const disk = openMemoryStore();
    const instants: Store[] = [];
    const store = refusing(disk, () => void instants.push(copyOf(disk)));
    const { runs, compactor, commit } = rig({ store, journalBytesMax: 64_000 });
    const command = { kind: 'signalExternal', seq: 1, name: 'note', args: encodePayload([]) } as const;
    const target = { workflowId: 'receiver', childOnly: false };
    const sender = { workflowId: 'sender', runId: 'run-2', runNo: 2, seq: 1 };
    await commit(started(1, 'receiver'), started(2, 'sender'));
    // The receiver is written first, and the sender is so long that it goes by itself.
    for (let i = 0; i < 100; i++) await commit([2, idle[1]]);
    await commit(turn(2, [], [{ ...command, target } as Command]));
    await commit(turn(1, [{ ...signal(), sender } as Input]));
    await commit([2, { kind: 'terminated', time: 3_000, reason: undefined, details: undefined }]);
    const { run } = runs.get(2)!;
    // As deliveries.ts does when the answer finds the run closed.
    run.forgetDelivery('message', 1);
    run.removeFromOutbox('external', 1);
    instants.length = 0;
    await compactor.run();
    instants.push(copyOf(disk));
    expect(instants.length).to.be.above(3);
    for (const instant of instants) {
      const { runs: found } = rig({ store: instant });
      const known =
        instant.get(keys.delivery(2, 'message', 1)) !== undefined ||
        found.get(1)!.run.unsaved.deliveries.length > 0;
      expect(known || !found.get(2)!.run.outbox.has('external', 1)).to.equal(true);
    }
    expect(keysOfKind(disk, 'x')).to.deep.equal([]);
  });

  it('a write fails, and another run was noted meanwhile: the one that failed still goes before it', async () => {
    const order: number[] = [];
    let meanwhile: (() => void) | undefined;
    const error = new Error('no room');
    const store = refusing(openMemoryStore(), (ops) => {
      order.push(
        ...ops.filter(({ key }) => key[0] === 'r'.charCodeAt(0)).map(({ key }) => readNumber(key, 0)),
      );
      meanwhile?.();
      return meanwhile === undefined ? undefined : { when: 'before', error };
    });
    const { runs, compactor, commit } = rig({ store });
    await commit(started(1, 'one'), started(2, 'two'));
    await compactor.run();
    await commit(turn(1));
    order.length = 0;
    meanwhile = () => compactor.noted(runs.get(2)!, 0);
    expect(await rejection(compactor.run())).to.equal(error);
    meanwhile = undefined;
    await compactor.run();
    expect([...new Set(order.reverse())]).to.deep.equal([2, 1]);
  });

  for (const when of ['before', 'after'] as const)
    it(`a write that only tells that something is done fails ${when} it took effect: the history stays whole`, async () => {
      let fails = false;
      const error = new Error('no room');
      const store = refusing(openMemoryStore(), (ops) =>
        fails && puts('r', ops) ? { when, error } : undefined,
      );
      const { runs, compactor, commit } = rig({ store });
      const next = {
        kind: 'continueAsNew',
        workflowType: 'w',
        taskQueue: 'q',
        args: new Uint8Array(),
      } as const;
      await commit(started(1, 'one'), turn(1, [signal()], [next]));
      await compactor.run();
      const whole = Buffer.concat(runs.history(runs.get(1)!));
      const live = runs.get(1)!;
      live.run.removeFromOutbox('continue', 0);
      compactor.noted(live, 0);
      fails = true;
      expect(await rejection(compactor.run())).to.equal(error);
      fails = false;
      await compactor.run();
      expect(runs.get(1)!.run.outbox.size).to.equal(0);
      expect(Buffer.concat(runs.history(runs.get(1)!))).to.deep.equal(whole);
      expect(Buffer.concat(new Runs(store).history(new Runs(store).get(1)!))).to.deep.equal(whole);
    });

  it('a journal of thousands of values: trimmed to the newest', async () => {
    const { store, compactor, commit } = rig();
    await commit(started(1, 'one'));
    for (let i = 0; i < 2_500; i++) await commit(idle);
    await compactor.run();
    expect(keysOfKind(store, 'j').map((key) => readNumber(key, 0))).to.deep.equal([2_501]);
    expect(keysOfKind(store, 'h')).to.deep.equal([keys.history(1, 2_501)]);
  });

  it('a trim: begins where the last one ended, and reads no values, which may be large', async () => {
    const store = openMemoryStore();
    const begun: number[] = [];
    const { range } = store;
    store.range = (from, to, options) => {
      if (from[0] === keys.journal(0)[0] && options?.limit !== undefined) {
        expect(options.keysOnly, 'keys only').to.equal(true);
        begun.push(from.length === 1 ? 0 : readNumber(from, 0));
      }
      return range.call(store, from, to, options);
    };
    const { compactor, commit } = rig({ store });
    await commit(started(1, 'one'));
    for (const newest of [301, 601]) {
      for (let i = 0; i < 300; i++) await commit(idle);
      await compactor.run();
      expect(keysOfKind(store, 'j').map((key) => readNumber(key, 0))).to.deep.equal([newest]);
    }
    expect(begun).to.deep.equal([0, 128, 256, 300, 300, 428, 556, 600]);
  });
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function copyOf(store: Store): Store {
  const copy = openMemoryStore();
  const rows = [...store.range(new Uint8Array(), Uint8Array.of(0xff))];
  void copy.write(rows.map(([key, value]) => ({ kind: 'put', key: key.slice(), value: value.slice() })));
  return copy;
}
