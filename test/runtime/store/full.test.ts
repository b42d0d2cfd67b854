import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { FORMAT_VERSION } from '../../../codec/version.js';
import { StoreFullError } from '../../../runtime/store/errors.js';
import { openLmdbStore } from '../../../runtime/store/lmdb.js';
import { openMemoryStore } from '../../../runtime/store/memory.js';
import type { Durability, Store } from '../../../runtime/store/store.js';
import { temporaryFolders } from '../../support/store-folder.js';
import { children } from '../../support/store-process.js';
import { keys, noise, numbered, put, read, remove } from '../../support/store-rows.js';

const MIB = 1024 * 1024;

/** Small disks in memory, for the suite it is called in. */
function smallDisks(): { mount(test: Mocha.Context, size: string): string } {
  const mounted: string[] = [];
  // Hooks run in the order they are written: a disk is unmounted before its folder is removed.
  afterEach(() => {
    for (const folder of mounted.splice(0)) spawnSync('umount', ['-l', folder]);
  });
  const newFolder = temporaryFolders();
  return {
    mount(test, size) {
      const folder = newFolder();
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]).status !== 0) {
        console.log('        (skipped: this user may not mount a small disk)');
        test.skip();
      }
      mounted.push(folder);
      return folder;
    },
  };
}

describe('store full', () => {
  const start = children();
  const disks = smallDisks();
  const newFolder = temporaryFolders();

  const bounded: [string, (mapBytesMax: number) => Promise<Store>][] = [
    [
      'lmdb',
      (mapBytesMax) =>
        openLmdbStore({ path: newFolder(), durability: 'flush', format: FORMAT_VERSION, mapBytesMax }),
    ],
    ['memory', async (bytesMax) => openMemoryStore({ bytesMax })],
    ['memory, flush', async (bytesMax) => openMemoryStore({ bytesMax, durability: 'flush' })],
  ];
  for (const [name, open] of bounded) {
    it(`store: bound of ${name} reached -> StoreFullError, nothing visible, and room made by removals is used`, async () => {
      const store = await open(4 * MIB);
      let stored = 0;
      let error: Error | undefined;
      while (error === undefined) {
        const ops = [put(numbered('n', stored), noise(100_000, stored)), put(numbered('m', stored))];
        await store.write(ops).then(
          () => {
            stored += 1;
          },
          (reason) => {
            error = reason;
          },
        );
      }
      expect(error).to.be.instanceOf(StoreFullError);
      expect((error as StoreFullError).retryable).to.equal(true);
      expect(stored).to.be.within(35, 42);
      expect(store.stats().usedBytes).to.be.within(3.8 * MIB, 4 * MIB);
      expect([read(store, numbered('n', stored)), read(store, numbered('m', stored))]).to.deep.equal([
        undefined,
        undefined,
      ]);
      // To replace rows by smaller ones is to make room, and is not refused although it also adds.
      await store.write([
        put('merged', noise(150_000, 1)),
        remove(numbered('n', 0)),
        remove(numbered('n', 1)),
      ]);
      await store.write([put(numbered('n', stored), noise(20_000, 1))]);
      expect(keys(store, 'n', 'o')).to.have.length(stored - 1);
      await store.close();
    });
  }

  it('store: one write of several under way does not fit -> only that one is refused', async () => {
    const store = await openLmdbStore({
      path: newFolder(),
      durability: 'flush',
      format: FORMAT_VERSION,
      mapBytesMax: MIB,
    });
    const results = await Promise.allSettled([
      store.write([put('a', noise(100_000, 1))]),
      store.write([put('b', noise(2_000_000, 2))]),
      store.write([put('c', noise(100_000, 3))]),
    ]);
    expect(results.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
    expect(keys(store)).to.deep.equal(['a', 'c']);
    await store.close();
  });

  it('store: rows written and removed for ever under a bound -> never full, and the file stays small', async function () {
    this.timeout(120_000);
    const store = await openLmdbStore({
      path: newFolder(),
      durability: 'flush',
      format: FORMAT_VERSION,
      mapBytesMax: 4 * MIB,
    });
    for (let i = 0; i < 1500; i += 1) {
      await store.write([
        put(numbered('n', i), noise(20_000 + (i % 9) * 1000, i)),
        remove(numbered('n', i - 50)),
      ]);
    }
    expect(keys(store)).to.have.length(50);
    expect(store.stats().fileBytes).to.be.below(8 * MIB);
    await store.close();
  });

  for (const durability of ['flush', 'commit', 'memory'] as const) {
    it(`store: write behind or not (${durability}), bound reached -> refused, and everything acknowledged is kept`, async () => {
      const folder = newFolder();
      const open = (mapBytesMax: number) =>
        openLmdbStore({ path: folder, durability, format: FORMAT_VERSION, mapBytesMax });
      const store = await open(2 * MIB);
      const stored = await fillUntilRefused(store);
      // Removals are let through, and what waits behind the full disk follows them.
      await store.write(Array.from({ length: 10 }, (_, i) => remove(numbered('n', i))));
      await expectRoomSoon(store);
      const expected = keys(store);
      expect(expected)
        .to.include(numbered('n', stored - 1))
        .and.to.include('later');
      await store.close();
      const again = await open(4 * MIB);
      expect(keys(again)).to.deep.equal(expected);
      await again.close();
    });
  }

  it('store: closed while written behind on a full disk -> close tells of the loss, or the redo files keep it', async () => {
    const outcome = async (durability: Durability) => {
      const folder = newFolder();
      const store = await openLmdbStore({
        path: folder,
        durability,
        format: FORMAT_VERSION,
        mapBytesMax: MIB,
      });
      const stored = await fillUntilRefused(store);
      const closing = await Promise.allSettled([store.close()]);
      const again = await openLmdbStore({
        path: folder,
        durability,
        format: FORMAT_VERSION,
        mapBytesMax: 64 * MIB,
      });
      const kept = keys(again).length;
      await again.close();
      return { closing: closing[0]!.status, allKept: kept === stored };
    };
    expect(await outcome('commit')).to.deep.equal({ closing: 'fulfilled', allKept: true });
    expect(await outcome('memory')).to.deep.equal({ closing: 'rejected', allKept: false });
  });

  for (const durability of ['flush', 'commit'] as const) {
    it(`store: disk full (${durability}) -> StoreFullError, the process lives, and goes on when there is room`, async function () {
      const disk = disks.mount(this, '24m');
      const child = start(['fill', path.join(disk, 'store'), durability, path.join(disk, 'ballast')]);
      const code = await child.ended;
      const said = child.said as Record<string, unknown>[];
      expect(code, child.complaints()).to.equal(0);
      expect(said.filter((line) => 'unhandled' in line)).to.deep.equal([]);
      const failures = said.filter((line) => 'error' in line);
      expect(failures).to.have.length(3);
      for (const failure of failures) {
        expect(failure).to.include({ error: 'StoreFullError', retryable: true, visible: false });
      }
      const { stored, rows, after } = said.at(-1) as { stored: number; rows: number; after: string[] };
      expect(rows).to.equal(2 * stored - 5);
      expect(after).to.deep.equal(['after-removal', 'after-room']);
    });

    for (const bound of durability === 'flush' ? ['', 'bounded'] : [''])
      it(`store: disk full (${durability} ${bound}), then most rows removed -> small and large writes are taken again`, async function () {
        const disk = disks.mount(this, '16m');
        const child = start(['empty', path.join(disk, 'store'), durability, bound]);
        expect(await child.ended, child.complaints()).to.equal(0);
        expect(child.said).to.deep.equal([{ small: true, large: true }]);
      });

    it(`store: killed with the disk full (${durability}) -> opens and answers all the same, and goes on when there is room`, async function () {
      const disk = disks.mount(this, '24m');
      const [folder, ballast] = [path.join(disk, 'store'), path.join(disk, 'ballast')];
      const killed = start(['full', folder, durability, ballast]);
      await killed.ended;
      const { stored } = killed.said.at(-1) as { stored: number };
      const child = start(['reopen', folder, durability, ballast]);
      expect(await child.ended, child.complaints()).to.equal(0);
      expect(child.said).to.deep.equal([
        { damaged: [], rows: stored },
        { rows: stored, after: ['after-room'] },
      ]);
    });
  }
});

describe('room in the data file', () => {
  const newFolder = temporaryFolders();

  for (const [durability, bytes, together] of [
    ['flush', 3_000, 1],
    ['flush', 20_000, 8],
    ['flush', 400_000, 1],
    ['commit', 3_000, 20],
  ] as const)
    it(`store: grows by rows of ${bytes} bytes, ${together} at once (${durability}) -> half of the reserve at least is always there`, async () => {
      const folder = newFolder();
      const store = await openLmdbStore({ path: folder, durability, format: FORMAT_VERSION });
      const least: number[] = [];
      for (let no = 0, taken = 0; taken < 20 * MIB; ) {
        await Promise.all(
          Array.from({ length: together }, () => store.write([put(numbered('n', no++), noise(bytes, no))])),
        );
        await new Promise((resolve) => setImmediate(resolve));
        if (store.stats().fileBytes === taken) continue;
        taken = store.stats().fileBytes;
        if (taken > 16 * MIB) least.push(statSync(path.join(folder, 'data.mdb')).blocks * 512 - taken);
      }
      expect(Math.min(...least)).to.be.at.least(2 * MIB);
      await store.close();
    });
});

describe('store on a disk that is too small', function () {
  this.timeout(60_000);
  const start = children();
  const disks = smallDisks();

  for (const [durability, seed, bounded] of [
    ['flush', 1, 'bounded'],
    ['flush', 2, 'bounded'],
    ['flush', 3, ''],
    ['commit', 4, ''],
  ] as const)
    it(`store: rows put and removed by chance (${durability} ${bounded}) -> refused or there, the process lives, and the store opens again`, async function () {
      const disk = disks.mount(this, '5m');
      const child = start(['churn', path.join(disk, 'store'), durability, `${seed} ${bounded}`]);
      expect(await child.ended, child.complaints()).to.equal(0);
      expect(child.said).to.deep.equal([
        { refused: true, met: 0, wrong: [], rows: 0 },
        { wrong: [], rows: 0 },
      ]);
    });

  it('store: rows written over without a pause (commit) -> the redo file leaves room for them, and they are removed again', async function () {
    const disk = disks.mount(this, '10m');
    const child = start(['overwrite', path.join(disk, 'store'), 'commit']);
    expect(await child.ended, child.complaints()).to.equal(0);
    expect(child.said).to.deep.equal([{ refused: 0, rows: 0 }]);
  });

  it('store: filled by many writes at once (commit) -> all that was there before can be removed', async function () {
    const disk = disks.mount(this, '24m');
    const child = start(['replace', path.join(disk, 'store'), 'commit']);
    expect(await child.ended, child.complaints()).to.equal(0);
    expect(child.said).to.deep.equal([{ refused: 0, old: 0 }]);
  });

  for (const kib of [0, 4, 8, 12, 16, 32, 48])
    it(`store: opened with ${kib} KiB left on the disk -> StoreFullError, or open, and the process lives`, async function () {
      const disk = disks.mount(this, '4m');
      const ballast = path.join(disk, 'ballast');
      const folder = path.join(disk, 'store');
      const made = start(['squeeze', folder, 'flush', `${ballast} ${kib}`]);
      expect(await made.ended, made.complaints()).to.equal(0);
      expect(made.said).to.deep.equal(['StoreFullError']);
      expect(readdirSync(folder), 'nothing is left of the attempt').to.deep.equal([]);
      rmSync(ballast);
      const store = await openLmdbStore({ path: folder, durability: 'flush', format: FORMAT_VERSION });
      await store.write([put('a')]);
      await store.close();
      // As a copy of data.mdb alone is.
      for (const name of readdirSync(folder)) if (name !== 'data.mdb') rmSync(path.join(folder, name));
      const again = start(['squeeze', folder, 'flush', `${ballast} ${kib}`]);
      expect(await again.ended, again.complaints()).to.equal(0);
      expect(['StoreFullError', 'open']).to.include(again.said[0]);
    });
});

/** Writes rows until one is refused with StoreFullError, and returns how many were taken. */
async function fillUntilRefused(store: Store): Promise<number> {
  for (let stored = 0; ; stored += 1) {
    try {
      await store.write([put(numbered('n', stored), noise(100_000, stored))]);
      if (stored % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    } catch (error) {
      expect(error).to.be.instanceOf(StoreFullError);
      return stored;
    }
  }
}

const expectRoomSoon = (store: Store): Promise<void> => retried(() => store.write([put('later')]));

/** A refused write is retried, as a caller would. */
async function retried(write: () => Promise<void>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const [result] = await Promise.allSettled([write()]);
    if (result!.status === 'fulfilled') return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return write();
}
