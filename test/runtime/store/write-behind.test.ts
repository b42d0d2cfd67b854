import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { FORMAT_VERSION } from '../../../codec/version.js';
import { withDurability } from '../../../runtime/store/durability.js';
import { StoreFailedError, StoreFullError } from '../../../runtime/store/errors.js';
import { FaultPlan, faultyStore } from '../../../runtime/store/faulty.js';
import { REDO_FILES } from '../../../runtime/store/folder.js';
import { openLmdbStore } from '../../../runtime/store/lmdb.js';
import { openMemoryStore } from '../../../runtime/store/memory.js';
import { type Page, type PageRequest, takePage } from '../../../runtime/store/pages.js';
import { packFrame, RedoFiles, readRedo } from '../../../runtime/store/redo.js';
import type { Durability, Store, WriteOp } from '../../../runtime/store/store.js';
import { type Backing, type WriteBehindOptions, writeBehind } from '../../../runtime/store/write-behind.js';
import { temporaryFolders } from '../../support/store-folder.js';
import { bytes, keys, noise, numbered, put, read, rejection, remove } from '../../support/store-rows.js';

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Write-behind over a memory store that does as it is told. */
function overFaulty(
  redo?: RedoFiles,
  left?: WriteBehindOptions['left'],
): { store: Store; inner: Store; plan: FaultPlan } {
  const inner = openMemoryStore();
  const plan = new FaultPlan();
  const faulty = faultyStore(inner, plan);
  const readPage = (request: PageRequest): Page => {
    const { from, fromExcluded, to, reverse } = request;
    const rows = [...faulty.range(from, to, { reverse })];
    return takePage(
      rows.filter(([key]) => !fromExcluded || Buffer.compare(key, from) !== 0),
      request,
      (value) => value.length,
    );
  };
  const backing: Backing = Object.assign(faulty, {
    readPage,
    commit: (ops: readonly WriteOp[]) => faulty.write(ops),
  });
  const noteGeneration = (): WriteOp => put('generation');
  return {
    store: writeBehind(backing, {
      path: 'here',
      redo,
      ...(left && { left }),
      noteGeneration,
      removeRedo() {},
    }),
    inner,
    plan,
  };
}

/** Redo files that fail as they are told, and say what they were asked. */
function toldRedo(flushes: boolean): {
  redo: RedoFiles;
  asked: string[];
  fail: { code?: string };
  disk: { room: boolean };
} {
  const asked: string[] = [];
  const fail: { code?: string } = {};
  const disk = { room: true };
  const append = () => {
    if (fail.code !== undefined) throw Object.assign(new Error(fail.code), { code: fail.code });
  };
  const redo = {
    flushes,
    generation: 1,
    hasRoom: () => disk.room,
    append,
    flushAll: async () => append(),
    advance: () => asked.push('advance'),
    clearPrevious: () => asked.push('clear'),
    sync: () => asked.push('sync'),
    close: () => append(),
  };
  return { redo: redo as unknown as RedoFiles, asked, fail, disk };
}

describe('write behind', () => {
  it('store: write behind -> acknowledged and visible before the data file has it', async () => {
    const { store, inner, plan } = overFaulty();
    plan.hold();
    await store.write([put('a', 'one'), put('b')]);
    await store.write([put('a', 'two'), remove('b'), put('c')]);
    expect([read(store, 'a'), read(store, 'b'), keys(store)]).to.deep.equal(['two', undefined, ['a', 'c']]);
    expect(keys(inner)).to.deep.equal([]);
    plan.release();
    await store.close();
  });

  it('store: layers over one another -> ranges show the newest of each row, both ways, at any page size', async () => {
    const { store, plan } = overFaulty();
    const all = Array.from({ length: 2000 }, (_, i) => numbered('n', i));
    await store.write(all.map((key) => put(key, 'old')));
    await turns(20);
    plan.hold();
    // One layer on its way to the data file, one behind it, each with changes, additions and long runs of removals.
    await store.write([...all.slice(0, 900).map((key) => remove(key)), put(numbered('n', 950), 'back')]);
    await turns(5);
    await store.write([
      put(numbered('n', 3), 'front'),
      put(numbered('n', 5000), 'front'),
      remove(numbered('n', 1500)),
    ]);
    const expected = [
      numbered('n', 3),
      ...all.slice(900).filter((key) => key !== numbered('n', 1500)),
      numbered('n', 5000),
    ];
    expect(keys(store, 'n', 'o')).to.deep.equal(expected);
    expect(keys(store, 'n', 'o', { reverse: true })).to.deep.equal([...expected].reverse());
    expect(keys(store, 'n', 'o', { limit: 3 })).to.deep.equal(expected.slice(0, 3));
    expect(keys(store, 'n', 'o', { limit: 300, reverse: true })).to.deep.equal(
      [...expected].reverse().slice(0, 300),
    );
    expect([read(store, numbered('n', 950)), read(store, numbered('n', 3))]).to.deep.equal(['back', 'front']);
    plan.release();
    await store.close();
  });

  it('store: range paused while its rows move to the data file -> none is missed or repeated', async () => {
    const { store } = overFaulty();
    const all = Array.from({ length: 1500 }, (_, i) => numbered('n', i));
    await store.write(all.map((key) => put(key)));
    const seen: string[] = [];
    for (const [key] of store.range(bytes('n'), bytes('o'))) {
      seen.push(Buffer.from(key).toString());
      if (seen.length % 300 === 0) await turns(10);
    }
    expect(seen).to.deep.equal(all);
    await store.close();
  });

  it('store: far more than may wait -> writes wait for room instead of growing', async () => {
    const { store, inner, plan } = overFaulty();
    plan.hold();
    let acknowledged = 0;
    const writes = Array.from({ length: 60 }, (_, i) =>
      store.write([put(numbered('n', i), noise(1_000_000, i))]).then(() => {
        acknowledged += 1;
      }),
    );
    await turns(10);
    expect(acknowledged).to.be.within(25, 35);
    plan.release();
    await Promise.all(writes);
    await store.close().catch(() => {});
    expect(() => inner.stats()).to.throw();
  });

  it('store: disk full behind -> puts refused, removals taken, all goes on when there is room', async () => {
    const { store, inner, plan } = overFaulty();
    plan.full = true;
    await store.write([put('a')]);
    await turns(10);
    expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFullError);
    await store.write([remove('x')]);
    expect(read(store, 'a')).to.equal('a');
    plan.full = false;
    await new Promise((resolve) => setTimeout(resolve, 250));
    await store.write([put('b')]);
    await turns(10);
    expect(keys(inner)).to.deep.equal(['a', 'b']);
    await store.close();
  });

  it('store: disk fails behind -> later writes refused, reads go on, close tells of the loss', async () => {
    const { store, plan } = overFaulty();
    plan.next({ kind: 'fail', when: 'before' });
    await store.write([put('a')]);
    await turns(10);
    expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFailedError);
    expect(read(store, 'a')).to.equal('a');
    expect(await rejection(store.close())).to.be.instanceOf(StoreFailedError);
  });
});

describe('write behind flushed redo files that fail', () => {
  /** More rows than may wait: the next write waits for room. */
  const many = Array.from({ length: 33_000 }, (_, i) => put(numbered('n', i), ''));

  it('store: flush fails while others wait for room -> all are refused, and close() ends', async () => {
    const { redo, fail } = toldRedo(true);
    const { store } = overFaulty(redo);
    fail.code = 'EIO';
    const writes = [store.write(many), store.write([put('a')])];
    const errors = await Promise.all(writes.map(rejection));
    for (const error of errors) expect(error).to.be.instanceOf(StoreFailedError);
    delete fail.code;
    await store.close();
  });

  it('store: no room in the redo file nor in the data file -> refused, those that wait for room too, and taken when there is room', async () => {
    const { redo, fail } = toldRedo(true);
    const { store, plan } = overFaulty(redo);
    fail.code = 'ENOSPC';
    plan.full = true;
    const writes = [store.write(many), store.write([put('a')])];
    for (const error of await Promise.all(writes.map(rejection)))
      expect(error).to.be.instanceOf(StoreFullError);
    delete fail.code;
    plan.full = false;
    await store.write([put('a')]);
    expect(keys(store)).to.deep.equal(['a']);
    await store.close();
  });

  it('store: no room in the redo file, but in the data file -> it takes the write', async () => {
    const { redo, asked, fail } = toldRedo(true);
    const { store, inner } = overFaulty(redo);
    await store.write([put('a'), put('b')]);
    fail.code = 'ENOSPC';
    await store.write([put('c')]);
    expect(keys(inner)).to.include('c');
    // A row that a layer has cannot go by it. The layer goes to the data file now, and the next attempt to the other redo file.
    expect(await rejection(store.write([remove('a')]))).to.be.instanceOf(StoreFullError);
    await turns(20);
    expect(asked).to.include('advance');
    await store.write([remove('a')]);
    expect(keys(store, 'a', 'd')).to.deep.equal(['b', 'c']);
    delete fail.code;
    await store.close();
  });

  it('store: no room in the redo file (commit) -> what was acknowledged before is flushed before the data file takes the write', async () => {
    const { redo, asked, fail } = toldRedo(false);
    const { store, plan } = overFaulty(redo);
    plan.hold();
    await store.write([put('a')]);
    plan.delay = async () => {
      asked.push('data file');
    };
    fail.code = 'ENOSPC';
    const written = store.write([put('b')]);
    await turns(5);
    plan.release();
    await written;
    expect(asked.indexOf('sync')).to.be.within(0, asked.lastIndexOf('data file'));
    delete fail.code;
    await store.close();
  });

  for (const [what, flushes, value] of [
    ['the redo file cannot be written (commit)', false, ''],
    ['the data file fails at a large write (flush)', true, noise(64 * 1024, 1)],
  ] as const)
    it(`store: ${what} -> no write is taken afterwards either`, async () => {
      const { redo, fail } = toldRedo(flushes);
      const { store, plan } = overFaulty(redo);
      if (flushes) plan.next({ kind: 'fail', when: 'before' });
      else fail.code = 'EIO';
      expect(await rejection(store.write([put('a', value)]))).to.be.instanceOf(StoreFailedError);
      delete fail.code;
      expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFailedError);
      await store.close();
    });

  it('store: a large write finds no room (flush) -> removals that wait in a layer go to the data file', async () => {
    const { redo } = toldRedo(true);
    const { store, inner, plan } = overFaulty(redo);
    await inner.write([put('old')]);
    await store.write([remove('old')]);
    await turns(10);
    plan.full = true;
    expect(await rejection(store.write([put('a', noise(64 * 1024, 1))]))).to.be.instanceOf(StoreFullError);
    plan.full = false;
    await turns(10);
    expect(keys(inner)).not.to.include('old');
    await store.close();
  });

  it('store: empty writes (commit) -> nothing is appended', async () => {
    const { redo, fail } = toldRedo(false);
    const { store } = overFaulty(redo);
    fail.code = 'EIO';
    await store.write([]);
    delete fail.code;
    await store.close();
  });

  it('store: flush fails while a layer is written to the data file -> no write is taken afterwards either', async () => {
    const { redo, fail } = toldRedo(true);
    const { store, plan } = overFaulty(redo);
    plan.hold();
    await store.write(Array.from({ length: 600 }, (_, i) => put(numbered('n', i))));
    await turns(10);
    fail.code = 'EIO';
    expect(await rejection(store.write([put('a')]))).to.be.instanceOf(StoreFailedError);
    delete fail.code;
    plan.release();
    await turns(20);
    expect(await rejection(store.write([put('b')]))).to.be.instanceOf(StoreFailedError);
    await store.close();
  });

  it('store: a layer tried again after a full disk -> what came since is flushed before it goes along', async () => {
    const { redo, asked } = toldRedo(false);
    const { store, plan } = overFaulty(redo);
    plan.full = true;
    await store.write([put('a')]);
    await turns(10);
    await store.write([remove('a'), put('b')]);
    expect(asked).not.to.include('clear');
    plan.full = false;
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(asked.slice(0, 3)).to.deep.equal(['advance', 'sync', 'clear']);
    await store.close();
  });

  for (const flushes of [true, false])
    it(`store: the redo file would take the room of the data file (${flushes ? 'flush' : 'commit'}) -> a write waits until a layer has gone`, async () => {
      const { redo, disk } = toldRedo(flushes);
      const { store, inner, plan } = overFaulty(redo);
      plan.hold();
      await store.write([put('a')]);
      disk.room = false;
      let written = false;
      const waits = store.write([put('b')]).then(() => {
        written = true;
      });
      await turns(10);
      expect(written).to.equal(false);
      plan.release();
      await waits;
      expect(keys(inner)).to.include('a');
      await store.close();
    });

  it('store: a disk fails while a write waits for room -> it is refused', async () => {
    const { redo } = toldRedo(true);
    const { store, plan } = overFaulty(redo);
    plan.full = true;
    await store.write(Array.from({ length: 600 }, (_, i) => put(numbered('a', i))));
    await turns(10);
    // As many rows as may wait.
    await store.write(Array.from({ length: 32 * 1024 - 600 }, (_, i) => remove(numbered('b', i))));
    const waits = store.write([remove('c')]);
    plan.full = false;
    plan.next({ kind: 'fail', when: 'before' });
    const direct = store.write([put('d', noise(70_000, 1)), remove('e')]);
    expect(await rejection(direct)).to.be.instanceOf(StoreFailedError);
    expect(await rejection(waits)).to.be.instanceOf(StoreFailedError);
    await store.close();
  });

  it('store: two generations are left by a crash -> one transaction each', async () => {
    const { redo } = toldRedo(true);
    const left = ['a', 'b'].map((name) => ({
      ops: Array.from({ length: 600 }, (_, i) => put(numbered(name, i))),
      wholeBytes: 20_000,
    }));
    const { store, inner, plan } = overFaulty(redo, left);
    await turns(20);
    expect(keys(inner)).to.have.length(1_201);
    expect(plan.writes).to.equal(2);
    await store.close();
  });

  it('store: one row written over and over on a full disk (memory) -> what its writes take in memory is bounded', async () => {
    const { store, plan } = overFaulty();
    plan.full = true;
    await store.write([put('a')]);
    await turns(10);
    const value = noise(1024 * 1024, 1);
    const write = () => store.write([put('a', value), remove('b')]);
    for (let i = 0; i < 31; i += 1) await write();
    expect(await rejection(write())).to.be.instanceOf(StoreFullError);
    plan.full = false;
    await store.close();
  });

  it('store: redo files that cannot be closed -> close() says so, and the data file is closed', async () => {
    const { redo, fail } = toldRedo(true);
    const { store, inner } = overFaulty(redo);
    fail.code = 'EIO';
    expect(await rejection(store.close())).to.be.instanceOf(Error);
    expect(() => inner.stats()).to.throw();
  });
});

/** As a crash leaves it: what is acknowledged, and nothing that close() does. */
function copyOf(folder: string, copy: string): string {
  cpSync(folder, copy, { recursive: true, filter: (name) => !/lock\.mdb|owner\.json/.test(name) });
  return copy;
}

const open = (folder: string, durability: Durability) =>
  openLmdbStore({ path: folder, durability, format: FORMAT_VERSION });

describe('large writes', () => {
  const newFolder = temporaryFolders();

  it('store: a write of 64 KiB (flush) -> the data file has it at once, no redo file does', async () => {
    const folder = newFolder();
    const store = await open(folder, 'flush');
    await store.write([put('small')]);
    await store.write([put('large', noise(64 * 1024, 1)), put('with it')]);
    const copy = copyOf(folder, newFolder());
    await store.close();
    for (const name of ['redo.0', 'redo.1']) rmSync(path.join(copy, name));
    const again = await open(copy, 'flush');
    expect(keys(again)).to.deep.equal(['large', 'with it']);
    await again.close();
  });

  it('store: 16 MiB of large writes (flush) -> what was removed meanwhile makes room in the data file', async () => {
    const { redo } = toldRedo(true);
    const { store, inner } = overFaulty(redo);
    await inner.write([put('old', noise(1024, 1))]);
    await store.write([remove('old')]);
    await turns(10);
    expect(keys(inner), 'a small layer waits').to.deep.equal(['old']);
    for (let i = 0; i < 16; i += 1) await store.write([put(numbered('large', i), noise(1024 * 1024, i))]);
    await turns(10);
    expect(keys(inner)).to.not.include('old');
    await store.write([remove(numbered('large', 0))]);
    await turns(10);
    expect(keys(inner), 'counted from the layer on').to.include(numbered('large', 0));
    await store.close();
  });

  it('store: small and large writes of the same rows, awaited or not -> the last one wins, also after a crash', async function () {
    this.timeout(60_000);
    const op = fc.record({ key: fc.constantFrom('a', 'b', 'c'), kind: fc.constantFrom('put', 'remove') });
    const write = fc.record({
      ops: fc.array(op, { minLength: 1, maxLength: 4 }),
      isLarge: fc.boolean(),
      after: fc.constantFrom('nothing', 'a turn', 'all of them'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 30 }), async (writes) => {
        const folder = newFolder();
        const store = await open(folder, 'flush');
        const model = new Map<string, string>();
        const under: Promise<void>[] = [];
        for (const [i, { ops, isLarge, after }] of writes.entries()) {
          const all = ops.map(({ key, kind }) => (kind === 'put' ? put(key, `${key}${i}`) : remove(key)));
          for (const { key, kind } of ops) {
            if (kind === 'put') model.set(key, `${key}${i}`);
            else model.delete(key);
          }
          // What makes it large is a row of its own.
          under.push(store.write(isLarge ? [...all, put(numbered('large', i), noise(70_000, i))] : all));
          if (after === 'a turn') await turns(1);
          if (after === 'all of them') await Promise.all(under);
        }
        await Promise.all(under);
        const isRight = (opened: Store) => {
          const found = keys(opened, 'a', 'd').map((key) => [key, read(opened, key)]);
          expect(found).to.deep.equal([...model].sort());
          const large = writes.filter(({ isLarge }) => isLarge).length;
          expect(keys(opened, 'large', 'm')).to.have.length(large);
        };
        isRight(store);
        const copy = copyOf(folder, newFolder());
        await store.close();
        for (const each of [folder, copy]) {
          const again = await open(each, 'flush');
          isRight(again);
          await again.close();
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('redo files', () => {
  const newFolder = temporaryFolders();
  const frame = (...ops: WriteOp[]) => packFrame(ops);
  const found = (folder: string, applied: number) =>
    readRedo(folder, applied).map(({ generation, ops }) => [
      generation,
      ops.map(({ key }) => Buffer.from(key).toString()),
    ]);

  it('redo: generations after the one applied -> found, oldest first, with their writes in order', () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 4);
    redo.append(frame(put('a'), remove('b')));
    redo.append(frame(put('c')));
    redo.advance();
    redo.append(frame(put('d')));
    redo.close();
    expect(found(folder, 4)).to.deep.equal([
      [5, ['a', 'b', 'c']],
      [6, ['d']],
    ]);
    expect(found(folder, 5)).to.deep.equal([[6, ['d']]]);
    expect(found(folder, 6)).to.deep.equal([]);
    expect(found(folder, 0)).to.deep.equal([]);
  });

  it('redo: a frame cut short or damaged -> what was before it, and nothing after it', () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 0);
    redo.append(frame(put('a')));
    redo.append(frame(put('b', noise(100, 1))));
    redo.close();
    const file = path.join(folder, 'redo.1');
    const whole = readFileSync(file);
    for (let cut = whole.length - 1; cut > 60; cut -= 1) {
      truncateSync(file, cut);
      expect(found(folder, 0)).to.deep.equal([[1, ['a']]]);
    }
    whole[whole.length - 3]! ^= 1;
    writeFileSync(file, whole);
    expect(found(folder, 0)).to.deep.equal([[1, ['a']]]);
    writeFileSync(file, Buffer.alloc(500));
    expect(found(folder, 0)).to.deep.equal([]);
  });

  it('redo: predecessor not whole, as after loss of power -> the successor is not applied', () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 0);
    redo.append(frame(put('a')));
    redo.append(frame(put('b')));
    redo.advance();
    redo.append(frame(put('c')));
    redo.close();
    const file = path.join(folder, 'redo.1');
    truncateSync(file, readFileSync(file).length - 1);
    expect(found(folder, 0)).to.deep.equal([[1, ['a']]]);
    truncateSync(file, 0);
    expect(found(folder, 0)).to.deep.equal([]);
  });

  it('redo: flushed, what an earlier generation left behind the newest frame -> not found, wherever the file is cut', async () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 0, true);
    // Of the same length, so that old frames begin where new ones end.
    await redo.flushAll(['a', 'b', 'c'].map((key) => frame(put(key))));
    redo.advance();
    await redo.flushAll([frame(put('d'))]);
    redo.clearPrevious();
    redo.advance();
    await redo.flushAll([frame(put('e'))]);
    redo.close();
    expect(found(folder, 0)).to.deep.equal([]);
    expect(found(folder, 1)).to.deep.equal([
      [2, ['d']],
      [3, ['e']],
    ]);
    const file = path.join(folder, 'redo.1');
    const whole = readFileSync(file);
    for (let cut = 28 + 17; cut > 28; cut -= 1) {
      writeFileSync(file, Buffer.concat([whole.subarray(0, cut), Buffer.alloc(100)]));
      const found3 = found(folder, 2)[0]?.[1];
      expect(found3).to.deep.equal(cut === 28 + 17 ? ['e'] : []);
    }
  });

  it('redo: power lost in the middle of a flush -> all that was flushed before is found, then a beginning of the rest', async function () {
    this.timeout(60_000);
    const group = fc.record({
      sizes: fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 6 }),
      // The second time in a row there is nothing to leave behind.
      advances: fc.constantFrom(0, 1, 2),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(group, { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.boolean()),
        async (groups, sectorArrives) => {
          const folder = newFolder();
          const redo = new RedoFiles(folder, 0, true);
          let flushed: string[] = [];
          let applied = 0;
          let number = 0;
          for (const { sizes, advances } of groups) {
            const hasFrames = flushed.some((key) => key.startsWith(`${redo.generation}:`));
            if (advances > 0 && hasFrames && redo.generation - applied === 2) {
              // The data file has the generation before: it is not looked for any more.
              applied += 1;
              redo.clearPrevious();
              flushed = flushed.filter((key) => Number(key.split(':')[0]) > applied);
            }
            for (let i = 0; i < advances; i += 1) redo.advance();
            const before = REDO_FILES.map((name) => readFileSync(path.join(folder, name)));
            const written = sizes.map((size) => `${redo.generation}:${number++}:${size}`);
            await redo.flushAll(written.map((key, i) => frame(put(key, noise(sizes[i]!, number)))));
            // What a loss of power leaves: of the bytes that this flush wrote, some sectors and not others, in any order.
            const torn = newFolder();
            for (const [i, name] of REDO_FILES.entries()) {
              const image = Buffer.from(readFileSync(path.join(folder, name)));
              for (let at = 0; at < image.length && at < 64 * 1024; at += 512) {
                if (sectorArrives.next().value) continue;
                const old = Buffer.alloc(512);
                old.set(before[i]!.subarray(at, at + 512));
                old.copy(image, at, 0, Math.min(512, image.length - at));
              }
              writeFileSync(path.join(torn, name), image);
            }
            const keysIn = (where: string) =>
              readRedo(where, applied).flatMap(({ ops }) =>
                ops.map(({ key }) => Buffer.from(key).toString()),
              );
            const inTorn = keysIn(torn);
            expect(inTorn.slice(0, flushed.length)).to.deep.equal(flushed);
            const rest = inTorn.slice(flushed.length);
            expect(rest).to.deep.equal(written.slice(0, rest.length));
            // The next life goes on there. A frame as long as the one that did not arrive may come to lie in front of one that did.
            const next = new RedoFiles(torn, applied, false, readRedo(torn, applied));
            const missing = written[rest.length] ?? '1:0:1';
            const instead = 'x'.repeat(missing.length);
            next.append(frame(put(instead, noise(Number(missing.split(':')[2]), 1))));
            next.close();
            expect(keysIn(torn)).to.deep.equal([...inTorn, instead]);
            flushed.push(...written);
            expect(keysIn(folder)).to.deep.equal(flushed);
          }
          redo.close();
        },
      ),
      { numRuns: 30 },
    );
  });

  it('redo: a row written while a layer is on its way to the data file -> is there after a crash', async () => {
    const folder = newFolder();
    const store = await open(folder, 'flush');
    // Far more than a layer, one after the other, so that layers change while appends are under way.
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 400; i += 1) {
      writes.push(store.write([put(numbered('n', i), noise(20_000, i))]));
      if (i % 3 === 0) await turns(1);
    }
    await Promise.all(writes);
    const copy = copyOf(folder, newFolder());
    await store.close();
    const again = await open(copy, 'flush');
    expect(keys(again)).to.have.length(400);
    await again.close();
  });

  it('redo: killed and opened again and again, with one durability or another -> all that was acknowledged is there', async function () {
    this.timeout(60_000);
    const write = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      bytes: fc.constantFrom(10, 3_000, 30_000, 70_000, 400_000),
      removes: fc.boolean(),
    });
    const life = fc.record({
      durability: fc.constantFrom('flush', 'flush', 'commit'),
      writes: fc.array(write, { maxLength: 12 }),
      ending: fc.constantFrom('closed', 'killed', 'killed'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 2, maxLength: 6 }), async (lives) => {
        let folder = newFolder();
        const model = new Map<string, Uint8Array>();
        for (const [no, { durability, writes, ending }] of lives.entries()) {
          const store = await open(folder, durability as Durability);
          const found = Array.from(store.range(bytes('a'), bytes('e')), ([key]) =>
            Buffer.from(key).toString(),
          );
          expect(found).to.deep.equal([...model.keys()].sort());
          for (const [key, value] of model) expect(Buffer.compare(store.get(bytes(key))!, value)).to.equal(0);
          for (const [i, { key, bytes: size, removes }] of writes.entries()) {
            const value = noise(size, 100 * no + i);
            await store.write([removes ? remove(key) : put(key, value)]);
            if (removes) model.delete(key);
            else model.set(key, value);
          }
          if (ending === 'closed') await store.close();
          else {
            folder = copyOf(folder, newFolder());
            await store.close();
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('redo: opened after a crash -> the data file is left as it was, and another crash loses nothing', async () => {
    const folder = newFolder();
    const store = await open(folder, 'flush');
    await store.write([put('a')]);
    const copy = copyOf(folder, newFolder());
    await store.close();
    const before = readFileSync(path.join(copy, 'data.mdb'));
    const again = await open(copy, 'flush');
    await again.write([put('b')]);
    expect(readFileSync(path.join(copy, 'data.mdb')).equals(before)).to.equal(true);
    const third = await open(copyOf(copy, newFolder()), 'flush');
    expect(keys(third)).to.deep.equal(['a', 'b']);
    await third.close();
    await again.close();
  });

  it('redo: closed while writes wait for room -> they are done first', async () => {
    const folder = newFolder();
    const store = await open(folder, 'flush');
    const writes = Array.from({ length: 60 }, (_, i) =>
      store.write([put(numbered('n', i), noise(1_000_000, i))]),
    );
    await store.close();
    await Promise.all(writes);
    const again = await open(folder, 'flush');
    expect(keys(again)).to.have.length(60);
    await again.close();
  });

  it('redo: one row written over and over -> the redo files stay small', async () => {
    const folder = newFolder();
    const store = await open(folder, 'flush');
    for (let i = 0; i < 600; i += 1) await store.write([put('a', noise(50_000, i))]);
    for (const name of REDO_FILES) expect(statSync(path.join(folder, name)).size).to.be.below(9 * 2 ** 20);
    await store.close();
  });

  it('redo: a frame behind what the next generation says was there -> was refused, and is not found', () => {
    const [folder, other] = [newFolder(), newFolder()];
    const redo = new RedoFiles(folder, 0);
    redo.append(frame(put('a')));
    redo.advance();
    redo.append(frame(put('b')));
    redo.close();
    const refused = new RedoFiles(other, 0);
    refused.append(frame(put('a')));
    refused.append(frame(put('refused')));
    refused.close();
    cpSync(path.join(other, 'redo.1'), path.join(folder, 'redo.1'));
    expect(found(folder, 0)).to.deep.equal([
      [1, ['a']],
      [2, ['b']],
    ]);
    expect(found(other, 0)).to.deep.equal([[1, ['a', 'refused']]]);
  });

  it('redo: the second file cannot be opened -> the first is closed again', function () {
    if (process.platform !== 'linux') this.skip();
    const folder = newFolder();
    mkdirSync(path.join(folder, 'redo.1'));
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 5; i += 1) expect(() => new RedoFiles(folder, 0, true)).to.throw('EISDIR');
    expect(readdirSync('/proc/self/fd').length).to.equal(before);
  });

  for (const [format, magic, seed] of [
    [3, 'SBREDO1\n', 0],
    [4, 'SBREDO2\n', 1],
  ] as const)
    it(`redo: files of stores of format ${format} -> are read, and applied before new ones begin`, async () => {
      const folder = newFolder();
      const store = await open(folder, 'memory');
      await store.close();
      const { bytes } = frame(put('a'));
      bytes.writeUInt32LE(crc32(bytes.subarray(8), seed), 4);
      const header = Buffer.alloc(24);
      header.write(magic, 0, 'latin1');
      header.writeDoubleLE(1, 8);
      writeFileSync(path.join(folder, 'redo.1'), Buffer.concat([header, bytes]));
      expect(found(folder, 0)).to.deep.equal([[1, ['a']]]);
      const again = await open(folder, 'flush');
      await again.write([put('b')]);
      const copy = copyOf(folder, newFolder());
      await again.close();
      expect(found(copy, 1)).to.deep.equal([[2, ['b']]]);
      const last = await open(copy, 'flush');
      expect(keys(last)).to.deep.equal(['a', 'b']);
      await last.close();
    });

  it('redo: a value that looks like frames of a later generation, left behind its newest frame -> is none', async () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 0, true);
    const forged = frame(put('forged')).bytes;
    forged.writeUInt32LE(crc32(forged.subarray(8), 3), 4);
    const empty = Buffer.alloc(8);
    empty.writeUInt32LE(8);
    empty.writeUInt32LE(crc32(Buffer.alloc(0), 3), 4);
    // Wherever the newest frame ends, empty frames lead on to the last one.
    await redo.flushAll([frame(put('k', Buffer.concat([...new Array(64).fill(empty), forged])))]);
    redo.advance();
    await redo.flushAll([frame(put('b'))]);
    redo.clearPrevious();
    redo.advance();
    await redo.flushAll([frame(put('k', Buffer.alloc(64)))]);
    redo.close();
    expect(found(folder, 2)).to.deep.equal([[3, ['k']]]);
  });

  it('redo: a generation that cannot be applied, because the one before is torn -> is removed before the data file goes on', async () => {
    const folder = newFolder();
    const redo = new RedoFiles(folder, 0);
    redo.append(frame(put('a')));
    redo.append(frame(put('b', noise(100, 1))));
    redo.advance();
    redo.append(frame(put('c')));
    redo.close();
    truncateSync(path.join(folder, 'redo.1'), statSync(path.join(folder, 'redo.1')).size - 50);
    const inner = openMemoryStore();
    const taken: string[] = [];
    const died = Object.assign(inner, {
      generation: () => 0,
      readPage: () => ({ rows: [], cutAt: undefined }),
      commit: async () => {
        taken.push(...readdirSync(folder));
        throw new Error('the process ends here');
      },
    });
    await rejection(withDurability(folder, died, { durability: 'memory' }));
    expect(taken).to.deep.equal(['redo.1']);
  });

  it('redo: a write of many operations and sizes -> unpacked as it was packed', () => {
    const ops = [
      put('k', noise(300, 1)),
      remove('r'),
      put('e', ''),
      put('l'.repeat(1978), noise(100_000, 2)),
      remove('z'),
    ];
    const plain = (list: WriteOp[]) =>
      list.map((op) => [
        op.kind,
        Buffer.from(op.key).toString('hex'),
        'value' in op ? Buffer.from(op.value).toString('hex') : '',
      ]);
    expect(plain(frame(...ops).ops)).to.deep.equal(plain(ops));
  });

  for (const durability of ['flush', 'commit', 'memory'] as const) {
    it(`redo: files left by a crash, opened with ${durability} -> their writes are in the store, once and for all`, async () => {
      const folder = newFolder();
      const first = await open(folder, 'memory');
      await first.write([put('a', 'old'), put('b', 'old'), put('z')]);
      await first.close();
      const redo = new RedoFiles(folder, 0);
      redo.append(frame(put('a', 'new'), remove('b')));
      redo.advance();
      redo.append(frame(put('c'), remove('z')));
      redo.close();
      for (let i = 0; i < 3; i += 1) {
        const store = await open(folder, durability);
        expect(keys(store)).to.deep.equal(['a', 'c']);
        expect(read(store, 'a')).to.equal('new');
        await store.close();
        expect(readdirSync(folder).filter((name) => name.startsWith('redo'))).to.deep.equal([]);
      }
    });
  }

  it('redo: stale files beside a newer data file -> ignored', async () => {
    const folder = newFolder();
    const store = await open(folder, 'commit');
    for (let i = 0; i < 20; i += 1) {
      await store.write([put('a', String(i))]);
      await turns(10);
    }
    await store.close();
    const stale = new RedoFiles(folder, 0);
    stale.append(frame(put('a', 'stale')));
    stale.close();
    appendFileSync(path.join(folder, 'redo.0'), noise(100, 1));
    const again = await open(folder, 'commit');
    expect(read(again, 'a')).to.equal('19');
    await again.close();
  });
});
