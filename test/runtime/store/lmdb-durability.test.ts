/** D1 on the disk: what an acknowledgement waits for, and what is there after the process was killed. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { FORMAT_VERSION } from '../../../codec/version.js';
import { openLmdbStore } from '../../../runtime/store/lmdb.js';
import type { Durability, Store } from '../../../runtime/store/store.js';
import { temporaryFolders } from '../../support/store-folder.js';
import { CHILD, children } from '../../support/store-process.js';
import { bytes, keys, noise, numbered, read } from '../../support/store-rows.js';

const open = (folder: string, durability: Durability = 'flush'): Promise<Store> =>
  openLmdbStore({ path: folder, durability, format: FORMAT_VERSION });

describe('store durability', () => {
  const start = children();
  const newFolder = temporaryFolders();

  for (const durability of ['flush', 'commit', 'memory'] as const) {
    const promise = durability === 'memory' ? 'a whole beginning' : 'every acknowledged write';
    it(`store: process killed while it writes (${durability}) -> ${promise} is there, no write by half`, async function () {
      this.timeout(120_000);
      for (const count of [1, 20, 500]) {
        const folder = newFolder();
        const child = start(['write', folder, durability]);
        await child.heard(count);
        await child.kill();
        const acknowledged = new Set(child.said as number[]);
        expect(acknowledged.size).to.be.at.least(count);
        const store = await open(folder);
        const stored = keys(store, 'a', 'b').length;
        if (durability !== 'memory') expect(stored).to.be.at.least(Math.max(...acknowledged) + 1);
        // Writes take effect in order, so what is there is a beginning without gaps, each write with both its rows.
        for (let i = 0; i < stored; i += 1) {
          expect(Buffer.compare(store.get(bytes(numbered('a', i)))!, noise(i % 5000, i))).to.equal(0);
          expect(Buffer.compare(store.get(bytes(numbered('b', i)))!, noise(i % 50, i))).to.equal(0);
        }
        expect(keys(store)).to.have.length(2 * stored);
        await store.close();
      }
    });
  }

  it('store: killed and opened again and again -> no acknowledged write of any life is lost', async function () {
    this.timeout(120_000);
    for (const durability of ['flush', 'commit'] as const) {
      const folder = newFolder();
      let most = -1;
      for (let life = 0; life < 6; life += 1) {
        const child = start(['write', folder, durability]);
        await child.heard(100 + 70 * life);
        await child.kill();
        most = Math.max(most, ...(child.said as number[]));
      }
      const store = await open(folder, 'commit');
      for (let i = 0; i <= most; i += 1) expect(read(store, numbered('a', i))).to.have.length(i % 5000);
      await store.close();
    }
  });

  it('store: flush -> the redo file has the write through O_DSYNC, then the acknowledgement', async function () {
    const trace = traced('flush') ?? this.skip();
    const redo = trace.findIndex((line) => /^pwrite64\(\d+<.*redo\.[01]>.* = 20\d\d\d$/.test(line));
    const acknowledged = trace.findIndex((line) => /^write\(1<.*"\\"ack\\"\\n"/.test(line));
    expect(redo, trace.join('\n')).to.be.at.least(0);
    expect(acknowledged).to.be.greaterThan(redo);
    expect(isFlushed(trace[redo]!)).to.equal(true);
  });

  it('store: flush, without redo files -> fdatasync of the pages, then the header through O_DSYNC, then the acknowledgement', async function () {
    const trace = traced('flush', 'bounded') ?? this.skip();
    const at = (pattern: RegExp) => trace.findIndex((line) => pattern.test(line));
    const pages = at(/^p?write(v|64)\(\d+<.*data\.mdb>/);
    const sync = at(/^fdatasync\(\d+<.*data\.mdb>\) = 0/);
    const header = trace.findLastIndex((line) => /^pwrite64\(\d+<.*data\.mdb>/.test(line));
    const acknowledged = at(/^write\(1<.*"\\"ack\\"\\n"/);
    expect(pages, trace.join('\n')).to.be.at.least(0);
    expect(sync).to.be.greaterThan(pages);
    expect(header).to.be.greaterThan(sync);
    expect(acknowledged).to.be.greaterThan(header);
    // The header goes through another file descriptor, whose writes return when the disk has them.
    expect(isFlushed(trace[header]!)).to.equal(true);
  });

  it('store: commit -> the redo file has the write before the acknowledgement', async function () {
    const trace = traced('commit') ?? this.skip();
    const redo = trace.findIndex((line) => /^pwrite64\(\d+<.*redo\.[01]>.* = 20\d\d\d$/.test(line));
    const acknowledged = trace.findIndex((line) => /^write\(1<.*"\\"ack\\"\\n"/.test(line));
    expect(redo, trace.join('\n')).to.be.at.least(0);
    expect(acknowledged).to.be.greaterThan(redo);
  });

  const small = 50_000;
  // Goes to the data file at once.
  const large = 100_000;
  // strace counts the calls of each thread by themselves.
  const faults: [call: string, when: number, error: string, size: number, expected: string[]][] = [
    ['pwrite64', 30, 'EIO', small, ['StoreFailedError']],
    ['pwrite64', 30, 'ENOSPC', small, ['StoreFullError', 'StoreFailedError']],
    // Of the data file, which is written behind.
    ['fdatasync', 3, 'EIO', small, ['StoreFailedError']],
    ['fdatasync', 3, 'ENOSPC', small, ['StoreFullError']],
    ['fdatasync', 20, 'EIO', large, ['StoreFailedError']],
    ['fdatasync', 20, 'ENOSPC', large, ['StoreFullError']],
    // One of two neighbours writes a page, the other the header; LMDB does not recover from a header it cannot write.
    ['pwrite64', 30, 'EIO', large, ['StoreFailedError']],
    ['pwrite64', 31, 'EIO', large, ['StoreFailedError']],
    ['pwrite64', 30, 'ENOSPC', large, ['StoreFullError', 'StoreFailedError']],
    ['pwrite64', 31, 'ENOSPC', large, ['StoreFullError', 'StoreFailedError']],
  ];
  for (const [call, when, error, size, expected] of faults) {
    it(`store: writes of ${size} bytes, ${call} number ${when} fails with ${error} -> ${expected.join(' or ')}, nothing lost, nothing hangs`, async function () {
      const folder = path.join(newFolder(), 'store');
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${when}+`];
      const command = ['strace', '-f', '-o', '/dev/null', ...inject];
      const child = start(['fail', folder, 'flush', String(size)], command);
      const code = await child.ended;
      if (code === null || /ptrace|invalid/i.test(child.complaints())) {
        console.log('        (skipped: strace is not installed, or may not trace here)');
        this.skip();
      }
      if (call === 'pwrite64' && code === 'SIGABRT' && HEAP_ENDED.test(child.complaints())) {
        console.log('        (lmdb-js wrote past its own error message, and the process was ended)');
        const told = child.said.findLast(
          (said) => typeof said === 'object' && Object(said).acknowledged >= 0,
        );
        const { acknowledged } = (told ?? { acknowledged: 0 }) as { acknowledged: number };
        const store = await open(folder);
        expect(keys(store).length).to.be.within(acknowledged, acknowledged + 1);
        return store.close();
      }
      expect(code, child.complaints()).to.equal(0);
      const [said, closed] = child.said.slice(-2) as [
        { results: string[]; acknowledged: number; visible: unknown },
        string,
      ];
      expect(closed).to.equal('closed');
      expect(said.results).to.have.length(2);
      for (const name of said.results) expect(expected).to.include(name);
      expect([said.acknowledged, 'StoreUnreadableError']).to.include(said.visible);
      const store = await open(folder);
      expect(keys(store)).to.have.length(said.acknowledged);
      await store.close();
    });
  }

  let openings: string[] = [];

  /** The file descriptor of a write is one whose writes return when the disk has them. */
  function isFlushed(line: string): boolean {
    const fd = /^pwrite64\((\d+)</.exec(line)?.[1];
    const opening = openings.findLast((opening) => opening.includes(`= ${fd}<`));
    return opening?.includes('O_DSYNC') ?? false;
  }

  /** System calls of a child from "begin" to "ack", in the order they returned; undefined where there is no strace. */
  function traced(durability: Durability, bounded?: 'bounded'): string[] | undefined {
    const file = path.join(newFolder(), 'trace');
    const calls = 'trace=openat,writev,pwritev,pwrite64,fdatasync,fsync,msync,write';
    const args = [
      '-f',
      '-y',
      '-s',
      '64',
      '-o',
      file,
      '-e',
      calls,
      process.execPath,
      CHILD,
      'trace',
      newFolder(),
      durability,
      ...(bounded ? [bounded] : []),
    ];
    const { status } = spawnSync('strace', args, { stdio: 'ignore' });
    if (status !== 0) {
      console.log('        (skipped: strace is not installed, or may not trace here)');
      return undefined;
    }
    const returned = inReturnOrder(readFileSync(file, 'latin1'));
    openings = returned.filter((line) => line.startsWith('openat('));
    const begin = returned.findIndex((line) => /^write\(1<.*"\\"begin\\"\\n"/.test(line));
    const ack = returned.findIndex((line) => /^write\(1<.*"\\"ack\\"\\n"/.test(line));
    return returned.slice(begin, ack + 1);
  }
});

/** What glibc says when it finds its heap damaged (runtime/store/lmdb.ts: what is known about lmdb-js). */
const HEAP_ENDED = /corrupted (size|double-linked)|malloc\(\)|free\(\)|realloc\(\)|munmap_chunk\(\)/;

/** strace splits a call that others overtake in two lines; put together at the second, they are in order of return. */
function inReturnOrder(trace: string): string[] {
  const unfinished = new Map<string, string>();
  const lines: string[] = [];
  for (const line of trace.split('\n')) {
    const [, pid = '', call = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(call);
    if (call.endsWith('<unfinished ...>'))
      unfinished.set(pid, call.slice(0, -'<unfinished ...>'.length).trimEnd());
    else if (resumed !== null) lines.push(`${unfinished.get(pid) ?? ''}${resumed[1]}`);
    else lines.push(call.replace(/\s+= /, ' = '));
  }
  return lines.map((line) => line.replace(/\s+= /, ' = '));
}
