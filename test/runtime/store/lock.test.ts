import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { FORMAT_VERSION } from '../../../codec/version.js';
import { StoreLockedError } from '../../../runtime/store/errors.js';
import { openLmdbStore } from '../../../runtime/store/lmdb.js';
import { listenAlone, lockAddress } from '../../../runtime/store/lock.js';
import type { Store } from '../../../runtime/store/store.js';
import { temporaryFolders } from '../../support/store-folder.js';
import { children } from '../../support/store-process.js';
import { keys, put, rejection } from '../../support/store-rows.js';

const open = (folder: string): Promise<Store> =>
  openLmdbStore({ path: folder, durability: 'flush', format: FORMAT_VERSION });

async function expectLocked(opening: Promise<Store>): Promise<StoreLockedError> {
  const error = await rejection(opening);
  expect(error).to.be.instanceOf(StoreLockedError);
  return error as StoreLockedError;
}

describe('store lock', () => {
  const start = children();
  const newFolder = temporaryFolders();

  it('store: opened twice in one process -> StoreLockedError that names this process', async () => {
    const folder = newFolder();
    const store = await open(folder);
    const error = await expectLocked(open(folder));
    expect(error.pid).to.equal(process.pid);
    expect(error.message).to.contain(folder).and.to.contain(`this process (pid ${process.pid})`);
    await store.write([put('a')]);
    await store.close();
  });

  it('store: opened through a symlink or another spelling while open -> StoreLockedError', async () => {
    const folder = newFolder();
    const link = path.join(newFolder(), 'link');
    symlinkSync(folder, link);
    const store = await open(folder);
    await expectLocked(open(link));
    await expectLocked(open(`${folder}${path.sep}`));
    await expectLocked(open(path.join(folder, 'x', '..')));
    await expectLocked(open(path.relative(process.cwd(), folder)));
    await store.close();
  });

  it('store: closed -> can be opened at once, and nobody is named as its owner', async () => {
    const folder = newFolder();
    for (let i = 0; i < 5; i += 1) {
      const store = await open(folder);
      expect(JSON.parse(readFileSync(path.join(folder, 'owner.json'), 'utf8')).pid).to.equal(process.pid);
      await store.close();
      expect(existsSync(path.join(folder, 'owner.json'))).to.equal(false);
    }
  });

  it('store: opened many times at the same moment in one process -> exactly one opening succeeds', async () => {
    const folder = newFolder();
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => open(folder)));
    const stores = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(stores).to.have.length(1);
    for (const result of results)
      if (result.status === 'rejected')
        expect(result.reason.message).to.match(
          / is (already open in|open, or being opened, by).*this process/,
        );
    await stores[0]!.close();
  });

  it('store: open in another process -> StoreLockedError that names it', async () => {
    const folder = newFolder();
    const child = start(['hold', folder]);
    await child.heard(2);
    const error = await expectLocked(open(folder));
    expect(error.pid).to.equal(child.process.pid);
  });

  it('store: holder killed with SIGKILL -> can be opened at once', async () => {
    const folder = newFolder();
    for (let i = 0; i < 3; i += 1) {
      const child = start(['hold', folder]);
      expect(await child.heard(2)).to.deep.equal(['ready', 'open']);
      await child.kill();
      const store = await open(folder);
      await store.close();
    }
  });

  it('store: two processes race for a folder -> exactly one wins', async function () {
    this.timeout(120_000);
    for (let round = 0; round < 5; round += 1) {
      const folder = newFolder();
      const go = path.join(newFolder(), 'go');
      const racers = [start(['hold', folder, 'flush', go]), start(['hold', folder, 'flush', go])];
      await Promise.all(racers.map((racer) => racer.heard(1)));
      writeFileSync(go, '');
      const results = (await Promise.all(racers.map((racer) => racer.heard(2)))).map((said) => said[1]);
      expect(results.filter((result) => result === 'open')).to.have.length(1);
      const loser = results.find((result) => result !== 'open') as { error: string };
      expect(loser.error).to.equal('StoreLockedError');
      await Promise.all(racers.map((racer) => racer.kill()));
    }
  });

  it('store: holder in another network namespace -> StoreLockedError all the same', async function () {
    if (spawnSync('unshare', ['-n', 'true']).status !== 0) {
      console.log('        (skipped: this user may not make a network namespace)');
      this.skip();
    }
    const folder = newFolder();
    const child = start(['hold', folder], ['unshare', '-n']);
    expect(await child.heard(2)).to.deep.equal(['ready', 'open']);
    const error = await expectLocked(open(folder));
    expect(error.pid).to.equal(child.process.pid);
    await child.kill();
    await (await open(folder)).close();
  });

  it('store: holder in other network and pid namespaces -> StoreLockedError all the same', async function () {
    if (spawnSync('unshare', ['-n', '-p', '-f', '--kill-child', 'true']).status !== 0) {
      console.log('        (skipped: this user may not make a pid namespace)');
      this.skip();
    }
    const folder = newFolder();
    await (await open(folder)).close();
    const child = start(['hold', folder], ['unshare', '-n', '-p', '-f', '--kill-child', '--mount-proc']);
    expect(await child.heard(2)).to.deep.equal(['ready', 'open']);
    await expectLocked(open(folder));
    await child.kill();
  });

  it('store: owner.json left by a crash, with a pid that is now another process -> opens', async () => {
    const folder = newFolder();
    await (await open(folder)).close();
    const boot = existsSync('/proc')
      ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
      : undefined;
    const leftovers = [
      { pid: process.ppid },
      { pid: process.ppid, boot, startTicks: '1' },
      { pid: process.ppid, boot: 'an earlier boot', startTicks: '1' },
      { pid: 2 ** 22 + 1, boot, startTicks: '1' },
      { pid: process.pid },
      { pid: 'none' },
      'not an owner',
    ];
    for (const leftover of leftovers) {
      writeFileSync(path.join(folder, 'owner.json'), JSON.stringify(leftover));
      await (await open(folder)).close();
    }
    writeFileSync(path.join(folder, 'owner.json'), '{ cut');
    await (await open(folder)).close();
  });

  it('store: failed opening -> the lock is free again', async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, 'foreign.txt'), 'x');
    for (let i = 0; i < 2; i += 1) {
      expect((await rejection(open(folder))).name).to.equal('StoreFormatError');
    }
    const inside = path.join(folder, 'inside');
    mkdirSync(inside);
    const store = await open(inside);
    expect(keys(store)).to.deep.equal([]);
    await store.close();
  });

  it('store: lock name on each platform -> kernel names where there are any, a socket file elsewhere', () => {
    expect(lockAddress('n', 'linux')).to.equal('\0n');
    expect(lockAddress('n', 'win32')).to.equal('\\\\.\\pipe\\n');
    expect(path.basename(lockAddress('n', 'darwin'))).to.equal('n.sock');
  });

  it('store: socket file that nobody answers -> taken over; one that is answered -> not', async function () {
    if (process.platform === 'win32') this.skip();
    const address = path.join(newFolder(), 'lock.sock');
    // A holder that was killed leaves its file behind.
    const script = `require('node:net').createServer().listen(${JSON.stringify(address)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(address)).to.equal(true);
    const first = await listenAlone(address, 'folder');
    expect(first).to.not.equal(undefined);
    expect(await listenAlone(address, 'folder')).to.equal(undefined);
    await new Promise((resolve) => first!.close(resolve));
  });

  it('store: system refuses the lock for another reason -> StoreUnreadableError that says which', async () => {
    const error = await rejection(listenAlone(path.join(newFolder(), 'absent', 'lock.sock'), 'folder'));
    expect(error.name).to.equal('StoreUnreadableError');
    expect(error.message).to.match(/E[A-Z]+/);
  });
});
