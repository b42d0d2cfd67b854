import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { open as openDatabase } from 'lmdb';
import {
  StoreFormatError,
  StoreLockedError,
  StoreMissingError,
  StoreUnreadableError,
} from '../../../runtime/store/errors.js';
import { type LmdbStoreOptions, openLmdbStore } from '../../../runtime/store/lmdb.js';
import type { Store } from '../../../runtime/store/store.js';
import { temporaryFolders } from '../../support/store-folder.js';
import { children } from '../../support/store-process.js';
import { keys, noise, numbered, put, read, rejection } from '../../support/store-rows.js';

const open = (folder: string, options: Partial<LmdbStoreOptions> = {}): Promise<Store> =>
  openLmdbStore({ path: folder, durability: 'flush', format: 1, ...options });

/** Names, contents and times of all files of a folder. */
function snapshot(folder: string): unknown {
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const file = path.join(folder, name);
      const { mtimeMs, size } = statSync(file);
      return [name, size, mtimeMs, createHash('sha256').update(readFileSync(file)).digest('hex')];
    });
}

async function filled(folder: string): Promise<void> {
  const store = await open(folder);
  for (let i = 0; i < 40; i += 1) await store.write([put(numbered('n', i), noise(20_000, i))]);
  await store.close();
}

function overwrite(file: string, bytes: Uint8Array, position: number): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

describe('store folder', () => {
  const start = children();
  const newFolder = temporaryFolders();

  it('store: folder and its parents absent -> made', async () => {
    const folder = path.join(newFolder(), 'a', 'b.with.dots');
    const store = await open(folder);
    await store.write([put('a')]);
    await store.close();
    expect(readdirSync(folder).sort()).to.deep.equal(['data.mdb', 'lock.mdb']);
  });

  it('store: folder with only what file systems put there -> made inside', async () => {
    const folder = newFolder();
    mkdirSync(path.join(folder, 'lost+found'));
    writeFileSync(path.join(folder, '.hidden'), '');
    const store = await open(folder);
    await store.close();
    expect(existsSync(path.join(folder, '.hidden'))).to.equal(true);
  });

  it('store: making was cut short by a crash -> made anew, the remains removed', async () => {
    const folder = newFolder();
    mkdirSync(path.join(folder, '.new-abc'));
    writeFileSync(path.join(folder, '.new-abc', 'data.mdb'), '');
    writeFileSync(path.join(folder, 'owner.json'), '');
    writeFileSync(path.join(folder, 'lock.mdb'), '');
    const store = await open(folder);
    await store.write([put('a')]);
    await store.close();
    expect(readdirSync(folder)).to.not.include('.new-abc');
  });

  it('store: folder absent and create false -> StoreMissingError, and no folder is made', async () => {
    const folder = path.join(newFolder(), 'absent');
    const error = await rejection(open(folder, { create: false }));
    expect(error).to.be.instanceOf(StoreMissingError);
    expect(error.message).to.contain(folder);
    expect(existsSync(folder)).to.equal(false);
  });

  it('store: folder empty and create false -> StoreMissingError, and it stays empty', async () => {
    const folder = newFolder();
    expect(await rejection(open(folder, { create: false }))).to.be.instanceOf(StoreMissingError);
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('store: path of a file, or below a file -> StoreUnreadableError that says so', async () => {
    const file = path.join(newFolder(), 'file');
    writeFileSync(file, 'x');
    for (const given of [file, path.join(file, 'below')]) {
      const error = await rejection(open(given));
      expect(error).to.be.instanceOf(StoreUnreadableError);
      expect(error.message).to.contain('is a file');
    }
    expect(readFileSync(file, 'utf8')).to.equal('x');
  });

  it('store: no permission -> StoreUnreadableError that says so', async function () {
    const folder = newFolder();
    await filled(folder);
    if (process.getuid?.() === undefined) this.skip();
    chmodSync(folder, 0o500);
    const child = start([
      'user',
      folder,
      'flush',
      process.getuid() === 0 ? '65534' : String(process.getuid()),
    ]);
    const [said] = (await child.heard(1)) as [{ error: string; message: string } | undefined];
    chmodSync(folder, 0o700);
    if (said === undefined) {
      console.log('        (skipped: another user cannot run the tests from here)');
      this.skip();
    }
    expect(said.error).to.equal('StoreUnreadableError');
    expect(said.message).to.contain('permission is denied');
  });

  it('store: folder of something else -> StoreFormatError that names it, and nothing is changed', async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, 'notes.txt'), 'mine');
    const before = snapshot(folder);
    const error = await rejection(open(folder));
    expect(error).to.be.instanceOf(StoreFormatError);
    expect(error.message).to.contain('notes.txt');
    expect((error as StoreFormatError).found).to.equal(undefined);
    expect(snapshot(folder)).to.deep.equal(before);
  });

  it("store: another program's LMDB -> StoreFormatError, and nothing is changed", async () => {
    const folder = newFolder();
    const database = openDatabase({ path: folder, noSubdir: false, overlappingSync: false });
    await database.put('theirs', 1);
    await database.close();
    const before = snapshot(folder);
    const error = await rejection(open(folder));
    expect(error).to.be.instanceOf(StoreFormatError);
    expect((snapshot(folder) as unknown[][]).filter(([name]) => name !== 'lock.mdb')).to.deep.equal(
      (before as unknown[][]).filter(([name]) => name !== 'lock.mdb'),
    );
  });

  it('store: newer format -> StoreFormatError with both numbers, and nothing is changed', async () => {
    const folder = newFolder();
    const newer = await open(folder, { format: 7 });
    await newer.write([put('a')]);
    await newer.close();
    const before = snapshot(folder);
    const error = (await rejection(open(folder, { format: 3 }))) as StoreFormatError;
    expect(error).to.be.instanceOf(StoreFormatError);
    expect([error.found, error.known]).to.deep.equal([7, 3]);
    expect(error.message).to.contain('format 7').and.to.contain('up to 3');
    const withoutTimes = (files: unknown) =>
      (files as unknown[][]).map(([name, size, , hash]) => [name, size, hash]);
    const data = (files: unknown) => withoutTimes(files).filter(([name]) => name === 'data.mdb');
    expect(data(snapshot(folder))).to.deep.equal(data(before));
    expect(readdirSync(folder).sort()).to.deep.equal(['data.mdb', 'lock.mdb']);
  });

  it('store: older format -> opened, and of the newer one from then on', async () => {
    const folder = newFolder();
    await filled(folder);
    const store = await open(folder, { format: 2 });
    expect(keys(store)).to.have.length(40);
    await store.close();
    const error = (await rejection(open(folder, { format: 1 }))) as StoreFormatError;
    expect(error).to.be.instanceOf(StoreFormatError);
    expect([error.found, error.known]).to.deep.equal([2, 1]);
  });

  it('store: older format than the oldest that is read -> StoreFormatError, and nothing is changed', async () => {
    const folder = newFolder();
    await filled(folder);
    const data = () => readFileSync(path.join(folder, 'data.mdb'));
    const before = data();
    const error = (await rejection(open(folder, { format: 3, formatMin: 2 }))) as StoreFormatError;
    expect(error).to.be.instanceOf(StoreFormatError);
    expect([error.found, error.known]).to.deep.equal([1, 3]);
    expect(error.message).to.contain('format 1').and.to.contain('reads no longer');
    expect(data().equals(before)).to.equal(true);
    const store = await open(folder, { format: 3 });
    expect(keys(store)).to.have.length(40);
    await store.close();
  });

  it('store: only data.mdb copied elsewhere -> opened', async () => {
    const folder = newFolder();
    await filled(folder);
    const copy = newFolder();
    writeFileSync(path.join(copy, 'data.mdb'), readFileSync(path.join(folder, 'data.mdb')));
    const store = await open(copy);
    expect(keys(store)).to.have.length(40);
    await store.close();
  });
});

describe('store damage', () => {
  const newFolder = temporaryFolders();

  const refused: [string, (file: string, size: number) => void][] = [
    ['empty', (file) => truncateSync(file, 0)],
    ['cut inside the first header', (file) => truncateSync(file, 100)],
    ['cut behind the first header', (file) => truncateSync(file, 4096)],
    ['cut inside the second header', (file) => truncateSync(file, 4200)],
    ['cut behind both headers', (file) => truncateSync(file, 8192)],
    ['cut in half', (file, size) => truncateSync(file, size / 2)],
    ['overwritten with noise', (file, size) => writeFileSync(file, noise(size, 9))],
    ['overwritten with zeros', (file, size) => writeFileSync(file, Buffer.alloc(size))],
    ['given another magic', (file) => overwrite(file, noise(4, 1), 24)],
    ['given another data version', (file) => overwrite(file, Buffer.from([1, 0, 0, 0]), 28)],
    ['given an absurd page size', (file) => overwrite(file, Buffer.from([1, 2, 3, 4]), 48)],
    ['given a second header of noise', (file) => overwrite(file, noise(300, 1), 4096)],
  ];
  for (const [how, damage] of refused) {
    it(`store: data.mdb ${how} -> StoreUnreadableError, and nothing is changed`, async () => {
      const folder = newFolder();
      await filled(folder);
      const file = path.join(folder, 'data.mdb');
      damage(file, statSync(file).size);
      const before = snapshot(folder);
      const error = await rejection(open(folder));
      expect(error, error.stack).to.be.instanceOf(StoreUnreadableError);
      expect(error.message).to.contain('data.mdb').and.to.contain('backup');
      expect(snapshot(folder)).to.deep.equal(before);
    });
  }

  it('store: data.mdb longer than needed -> opened', async () => {
    const folder = newFolder();
    await filled(folder);
    appendFileSync(path.join(folder, 'data.mdb'), noise(5000, 1));
    const store = await open(folder);
    expect(keys(store)).to.have.length(40);
    await store.write([put('a', noise(2_000_000, 1))]);
    await store.close();
  });

  it('store: after any write -> data.mdb is as long as its header says', async () => {
    const folder = newFolder();
    const store = await open(folder);
    let seed = 1;
    for (let i = 0; i < 300; i += 1) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      // Rows put twice in one transaction take pages at the end that LMDB gives back without writing them.
      const ops = Array.from({ length: 1 + (seed % 30) }, (_, j) =>
        put(numbered('n', (seed + j * 7919) % 3000), noise((seed + j) % 9000, j)),
      );
      await store.write(
        [...ops, ...ops.map((op) => ({ ...op, value: noise(50_000 + (i % 7) * 4096, i) }))].slice(0, 40),
      );
      expect(statSync(path.join(folder, 'data.mdb')).size).to.be.at.least(store.stats().fileBytes);
    }
    await store.close();
  });

  it('store: opening refused for damage -> a later opening of the mended folder works', async () => {
    const folder = newFolder();
    await filled(folder);
    const file = path.join(folder, 'data.mdb');
    const whole = readFileSync(file);
    truncateSync(file, 9000);
    expect(await rejection(open(folder))).to.not.be.instanceOf(StoreLockedError);
    writeFileSync(file, whole);
    const store = await open(folder);
    expect(read(store, numbered('n', 3))).to.have.length(20_000);
    await store.close();
  });
});
