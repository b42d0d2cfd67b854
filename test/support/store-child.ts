/**
 * A process of its own for the tests of the store: to hold a lock, to be killed, to run out of disk, to be traced.
 *
 *      node store-child.js <mode> <folder> [durability] [argument]
 *
 * It says what it did on standard output, one JSON value a line, written straight to the file descriptor, so that what
 * the parent read was said before the process died.
 */
import {
  appendFileSync,
  existsSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FORMAT_VERSION } from '../../codec/version.js';
import { checkDataFile } from '../../runtime/store/data-file.js';
import type { StoreError } from '../../runtime/store/errors.js';
import { DATA_FILE } from '../../runtime/store/folder.js';
import { openLmdbStore } from '../../runtime/store/lmdb.js';
import type { Durability, Store, WriteOp } from '../../runtime/store/store.js';
import { bytes, keys, noise, numbered, put, remove } from './store-rows.js';

const [mode = '', folder = '', durability = 'flush', argument = ''] = process.argv.slice(2);

const say = (value: unknown): void => {
  writeSync(1, `${JSON.stringify(value)}\n`);
};
const open = (): Promise<Store> =>
  openLmdbStore({
    path: folder,
    durability: durability as Durability,
    format: FORMAT_VERSION,
    ...(argument.endsWith('bounded') && { mapBytesMax: 2 ** 30 }),
  });
const named = (error: unknown): { error: string; message: string; pid: unknown } => {
  const { name, message, pid } = error as Error & { pid?: number };
  return { error: name, message, pid };
};

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed * 7919;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) & 0xffff) / 65_536;
  };
}

function attempt<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    return (error as Error).name;
  }
}

/** What a caller does with an error that is worth it. */
async function retried(store: Store, ops: WriteOp[]): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await store.write(ops);
    } catch (error) {
      if (attempt === 50 || !(error as StoreError).retryable) throw error;
      await sleep(20);
    }
  }
}

const modes: Record<string, () => Promise<void>> = {
  /** Opens the folder once a file named by the argument is there, says how it went, and stays until killed. */
  async hold() {
    say('ready');
    while (argument !== '' && !existsSync(argument)) await sleep(1);
    try {
      await open();
      say('open');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    } catch (error) {
      say(named(error));
    }
  },

  /** Writes two rows at a time for ever, and says the number of each write that was acknowledged. */
  async write() {
    const store = await open();
    const under = new Set<Promise<void>>();
    for (let i = 0; ; i += 1) {
      const ops = [put(numbered('a', i), noise(i % 5000, i)), put(numbered('b', i), noise(i % 50, i))];
      const written = store.write(ops).then(() => say(i));
      under.add(written);
      void written.then(() => under.delete(written));
      if (under.size >= 4) await Promise.race(under);
    }
  },

  /** One write between two words on standard output, for strace. */
  async trace() {
    const store = await open();
    await store.write([put('warm', 'up')]);
    await sleep(50);
    say('begin');
    await store.write([put('key', noise(20_000, 1))]);
    say('ack');
    await store.close();
  },

  /** Fills a small disk, makes room, and goes on. The argument is a file that takes up room at first. */
  async fill() {
    process.on('unhandledRejection', (error) => say({ unhandled: String(error) }));
    writeFileSync(argument, noise(14_000_000, 1));
    const store = await open();
    const value = noise(300_000, 2);
    let stored = 0;
    for (let failures = 0; failures < 3; ) {
      const ops = [put(numbered('n', stored), value), put(numbered('m', stored))];
      await store.write(ops).then(
        () => {
          stored += 1;
        },
        (error) => {
          failures += 1;
          const half = [numbered('n', stored), numbered('m', stored)].some((key) => store.get(bytes(key)));
          say({ ...named(error), retryable: error.retryable, visible: half });
        },
      );
      if (stored > 1000) throw new Error('the disk does not get full');
    }
    rmSync(argument);
    await retried(store, [put('after-room', value)]);
    await retried(
      store,
      Array.from({ length: 5 }, (_, i) => remove(numbered('n', i))),
    );
    await retried(store, [put('after-removal', value)]);
    await store.close();
    const again = await open();
    say({ stored, rows: keys(again, 'm', 'o').length, after: keys(again, 'after', 'b') });
    await again.close();
  },

  /** Fills a small disk and is killed. The argument is a file that takes up room. */
  async full() {
    writeFileSync(argument, noise(14_000_000, 1));
    const store = await open();
    let stored = 0;
    for (let failures = 0; failures < 3; ) {
      await store.write([put(numbered('n', stored), noise(50_000, stored))]).then(
        () => {
          stored += 1;
        },
        () => {
          failures += 1;
        },
      );
    }
    say({ stored });
    process.kill(process.pid, 'SIGKILL');
  },

  /** Opens what `full` left, makes room, and goes on. */
  async reopen() {
    const store = await open();
    const rows = keys(store, 'n', 'o');
    const isDamaged = (key: string, i: number) =>
      Buffer.compare(store.get(bytes(key)) ?? new Uint8Array(), noise(50_000, i)) !== 0;
    say({ damaged: rows.filter(isDamaged), rows: rows.length });
    rmSync(argument);
    await retried(store, [put('after-room')]);
    await store.close();
    const again = await open();
    say({ rows: keys(again, 'n', 'o').length, after: keys(again, 'after', 'b') });
    await again.close();
  },

  /** Puts and removes rows by chance on a disk that is too small for them, and says what it knows and what is there, also when opened again. */
  async churn() {
    process.on('unhandledRejection', (error) => say({ unhandled: String(error) }));
    const next = generator(Number.parseInt(argument, 10));
    const store = await open();
    const known = new Map<string, Uint8Array>();
    let refused = 0;
    let met = 0;
    for (let i = 0; i < 2_500; i += 1) {
      const ops = Array.from({ length: 1 + Math.floor(next() * 30) }, () => {
        const key = numbered('n', Math.floor(next() * 700));
        return next() < 0.42
          ? remove(key)
          : put(key, noise(Math.floor(next() * (next() < 0.3 ? 60_000 : 5_000)), i));
      });
      try {
        await store.write(ops);
        for (const op of ops) {
          const key = Buffer.from(op.key).toString();
          if (op.kind === 'put') known.set(key, op.value);
          else known.delete(key);
        }
      } catch (error) {
        refused += 1;
        const told = named(error);
        if (told.error !== 'StoreFullError') say(told);
        if (told.message.includes('in the middle')) met += 1;
        // What is written behind is tried again after a while only.
        await sleep(1);
      }
      await checkLength();
    }
    async function checkLength(): Promise<void> {
      const check = () => checkDataFile(folder, path.join(folder, DATA_FILE));
      // What is written behind may make the file longer between the two looks that the check takes.
      await check().catch(() => sleep(50).then(check));
    }
    const wrong = (there: Store): string[] =>
      [...known].flatMap(([key, value]) =>
        Buffer.compare(there.get(bytes(key)) ?? new Uint8Array(1), value) === 0 ? [] : key,
      );
    say({ refused: refused > 0, met, wrong: wrong(store), rows: keys(store, 'n', 'o').length - known.size });
    await store.close();
    const again = await open();
    say({ wrong: wrong(again), rows: keys(again, 'n', 'o').length - known.size });
    await again.close();
  },

  /**
   * Fills a small disk, removes most rows, and says whether it takes small and large writes then. With a bound, which leaves out redo files, they
   * are removed some at a time, and a large one comes straight after each.
   */
  async empty() {
    const store = await open();
    const size = 20_000;
    let stored = 0;
    for (let isFull = false; !isFull; ) {
      await store.write([put(numbered('n', stored), noise(size, stored))]).then(
        () => {
          stored += 1;
        },
        () => {
          isFull = true;
        },
      );
      if (stored % 10 === 0) await sleep(1);
    }
    const removals = Array.from({ length: stored - 100 }, (_, i) => remove(numbered('n', i)));
    if (argument === 'bounded') {
      // There is less room behind the end of the file than the large ones take together.
      await store.write(removals.splice(-100));
      while (removals.length > 0) {
        await store.write(removals.splice(-15));
        await store.write([put(numbered('large', removals.length), noise(200_000, 1))]);
      }
    } else for (const removal of removals) await retried(store, [removal]);
    const takes = (value: Uint8Array) =>
      retried(store, [put('later', value)]).then(
        () => true,
        () => false,
      );
    say({ small: await takes(noise(10, 1)), large: await takes(noise(300_000, 1)) });
    await store.close();
  },

  /** Writes a few rows over and over, without a pause that is longer than its writes take, then removes them. Says how many were refused and are left. */
  async overwrite() {
    const store = await open();
    let refused = 0;
    const write = (op: WriteOp) =>
      store.write([op]).catch(() => {
        refused += 1;
      });
    for (let i = 0; i < 40_000; i += 1) await write(put(numbered('n', i % 300), noise(1_200, i)));
    for (let i = 0; i < 300; i += 1) await write(remove(numbered('n', i)));
    say({ refused, rows: keys(store, 'n', 'o').length });
    await store.close();
  },

  /** Fills a small disk, 50 rows at once, beside rows that were there when the store was opened, then removes those. Says how many removals were refused. */
  async replace() {
    const before = await open();
    for (let i = 0; i < 2_700; i += 1) await before.write([put(numbered('old', i), noise(3_000, i))]);
    await before.close();
    const store = await open();
    for (let no = 0, full = false; !full; ) {
      const writes = Array.from({ length: 50 }, () =>
        store.write([put(numbered('n', no++), noise(3_000, no))]),
      );
      full = (await Promise.allSettled(writes)).some(({ status }) => status === 'rejected');
    }
    let refused = 0;
    for (let i = 0; i < 2_700; i += 10)
      await store.write(Array.from({ length: 10 }, (_, k) => remove(numbered('old', i + k)))).catch(() => {
        refused += 1;
      });
    say({ refused, old: keys(store, 'old', 'ole').length });
    await store.close();
  },

  /** Opens the folder on a disk that is full, and says how it went. The argument is a file that takes up all room but so many KiB. */
  async squeeze() {
    const [ballast = '', kibLeft = '0'] = argument.split(' ');
    try {
      for (;;) appendFileSync(ballast, noise(4096, 1));
    } catch {
      truncateSync(ballast, statSync(ballast).size - Number(kibLeft) * 1024);
    }
    await open().then(
      async (store) => {
        say('open');
        await store.close();
      },
      (error) => say(named(error).error),
    );
  },

  /** Writes rows of as many bytes as the argument says until a write fails, then once more, and says what is there. For faults that strace puts in. */
  async fail() {
    process.on('unhandledRejection', (error) => say({ unhandled: String(error) }));
    const store = await open();
    let acknowledged = 0;
    const write = () =>
      store.write([put(numbered('n', acknowledged), noise(Number(argument), acknowledged))]);
    const results: string[] = [];
    while (acknowledged < 1_000 && results.length < 2) {
      await write().then(
        () => {
          acknowledged += 1;
          say({ acknowledged });
        },
        (error) => results.push(error.name),
      );
    }
    say({ results, acknowledged, visible: attempt(() => keys(store).length) });
    await store.close();
    say('closed');
  },

  /** Opens the folder as another user, whose number is the argument. */
  async user() {
    process.setgid?.(Number(argument));
    process.setuid?.(Number(argument));
    await open().then(
      () => say('open'),
      (error) => say(named(error)),
    );
    process.exit();
  },
};

if (path.basename(process.argv[1] ?? '').startsWith('store-child')) await modes[mode]?.();
