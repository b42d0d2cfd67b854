/**
 * What every form of the store promises (runtime/store/store.ts), held against each of them. Whoever writes another
 * form adds it to the list below.
 */
import { expect } from 'chai';
import { StoreClosedError } from '../../runtime/store/errors.js';
import { faultyStore } from '../../runtime/store/faulty.js';
import { openLmdbStore } from '../../runtime/store/lmdb.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { KEY_BYTES_MAX, RESERVED_PREFIX, type Store, type WriteOp } from '../../runtime/store/store.js';
import { temporaryFolders } from '../support/store-folder.js';
import { bytes, keys, noise, numbered, put, read, rejection, remove } from '../support/store-rows.js';

type Form = { name: string; open: (folder: () => string) => Promise<Store>; keepsRows: boolean };

const lmdb = (durability: 'flush' | 'commit' | 'memory'): Form => ({
  name: `lmdb, ${durability}`,
  open: (folder) => openLmdbStore({ path: folder(), durability, format: 1 }),
  keepsRows: true,
});

const forms: Form[] = [
  lmdb('flush'),
  lmdb('commit'),
  lmdb('memory'),
  { name: 'memory', open: async () => openMemoryStore(), keepsRows: false },
  { name: 'memory, flush', open: async () => openMemoryStore({ durability: 'flush' }), keepsRows: false },
  { name: 'faulty, empty plan', open: async () => faultyStore(openMemoryStore()), keepsRows: false },
];

for (const form of forms) {
  describe(`store contract: ${form.name}`, () => {
    let store: Store;

    beforeEach(async () => {
      store = await form.open(newFolder);
    });

    // Hooks run in the order they are written: the store is closed before its folder is removed.
    afterEach(() => store.close());
    const newFolder = temporaryFolders();

    // -- reading and writing ------------------------------------------------------------------------------------

    it('store: key never written -> undefined', () => {
      expect(store.get(bytes('a'))).to.equal(undefined);
    });

    it('store: key written -> its value', async () => {
      await store.write([put('a', 'one')]);
      expect(read(store, 'a')).to.equal('one');
    });

    it('store: key written twice -> the later value', async () => {
      await store.write([put('a', 'one')]);
      await store.write([put('a', 'two')]);
      expect(read(store, 'a')).to.equal('two');
      expect(keys(store)).to.deep.equal(['a']);
    });

    it('store: key written twice in one write -> the later operation wins', async () => {
      await store.write([put('a', 'one'), put('a', 'two'), put('b'), remove('b'), remove('c'), put('c')]);
      expect(read(store, 'a')).to.equal('two');
      expect(keys(store)).to.deep.equal(['a', 'c']);
    });

    it('store: key removed -> gone', async () => {
      await store.write([put('a'), put('b')]);
      await store.write([remove('a')]);
      expect(read(store, 'a')).to.equal(undefined);
      expect(keys(store)).to.deep.equal(['b']);
    });

    it('store: only row removed -> empty, and usable', async () => {
      await store.write([put('a')]);
      await store.write([remove('a')]);
      expect(keys(store)).to.deep.equal([]);
      await store.write([put('a', 'again')]);
      expect(read(store, 'a')).to.equal('again');
    });

    it('store: absent key removed -> nothing happens', async () => {
      await store.write([remove('a')]);
      expect(keys(store)).to.deep.equal([]);
    });

    it('store: empty value -> kept, and told from no value', async () => {
      await store.write([put('a', '')]);
      expect(store.get(bytes('a'))).to.have.length(0);
      expect([...store.range(bytes(''), bytes('z'))][0]![1]).to.have.length(0);
    });

    it('store: value of a megabyte and more -> read back whole', async () => {
      const values = [1, 4095, 65_536, 1_048_576, 3_000_001].map((length) => noise(length, length));
      await store.write(values.map((value, i) => put(`v${i}`, value)));
      values.forEach((value, i) => {
        expect(Buffer.compare(store.get(bytes(`v${i}`))!, value)).to.equal(0);
      });
      const ranged = [...store.range(bytes('v'), bytes('w'))].map(([, value]) => value);
      expect(ranged.map((value, i) => Buffer.compare(value, values[i]!))).to.deep.equal([0, 0, 0, 0, 0]);
    });

    it('store: value read earlier -> unchanged by later writes and reads', async () => {
      await store.write([put('a', 'first'), put('b', 'other')]);
      const early = store.get(bytes('a'))!;
      const row = [...store.range(bytes('a'), bytes('b'))][0]!;
      await store.write([put('a', 'SECOND'), remove('b')]);
      read(store, 'b');
      keys(store);
      expect(Buffer.from(early).toString()).to.equal('first');
      expect(row.map((part) => Buffer.from(part).toString())).to.deep.equal(['a', 'first']);
    });

    it('store: caller reuses its buffers after the promise settled -> the store keeps what was written', async () => {
      const key = Buffer.from('key');
      const value = Buffer.from('value');
      await store.write([{ kind: 'put', key, value }]);
      key.fill(0);
      value.fill(0);
      expect(read(store, 'key')).to.equal('value');
      expect(keys(store)).to.deep.equal(['key']);
    });

    it('store: keys and values that are views into larger buffers -> only the view counts', async () => {
      const large = Buffer.from('..key..value..');
      await store.write([{ kind: 'put', key: large.subarray(2, 5), value: large.subarray(7, 12) }]);
      expect(read(store, 'key')).to.equal('value');
    });

    it('store: read, then write, then read in one turn -> sees the write', async () => {
      await store.write([put('a', 'one')]);
      expect(read(store, 'a')).to.equal('one');
      expect(keys(store)).to.deep.equal(['a']);
      await store.write([put('a', 'two'), put('b')]);
      expect(read(store, 'a')).to.equal('two');
      expect(keys(store)).to.deep.equal(['a', 'b']);
    });

    // -- ranges ---------------------------------------------------------------------------------------------------

    it('store: range bounds -> from is inclusive, to is exclusive', async () => {
      await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)));
      expect(keys(store, 'b', 'd')).to.deep.equal(['b', 'c']);
      expect(keys(store, 'b', 'd\0')).to.deep.equal(['b', 'c', 'd']);
      expect(keys(store, 'aa', 'cc')).to.deep.equal(['b', 'c']);
    });

    it('store: range reversed -> same rows, descending', async () => {
      await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)));
      expect(keys(store, 'b', 'd', { reverse: true })).to.deep.equal(['c', 'b']);
      expect(keys(store, 'aa', 'cc', { reverse: true })).to.deep.equal(['c', 'b']);
      expect(keys(store, '', 'zz', { reverse: true })).to.deep.equal(['d', 'c', 'b', 'a']);
    });

    it('store: range limited -> the first rows in the order asked for', async () => {
      await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)));
      expect(keys(store, '', 'z', { limit: 2 })).to.deep.equal(['a', 'b']);
      expect(keys(store, '', 'z', { limit: 2, reverse: true })).to.deep.equal(['d', 'c']);
      expect(keys(store, '', 'z', { limit: 0 })).to.deep.equal([]);
      expect(keys(store, '', 'z', { limit: 9 })).to.have.length(4);
    });

    it('store: range for its keys only -> the same keys, and no values', async () => {
      await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)));
      await store.write([remove('b')]);
      const rows = [...store.range(bytes('a'), bytes('d'), { keysOnly: true })];
      expect(rows.map(([key, value]) => [Buffer.from(key).toString(), value.length])).to.deep.equal([
        ['a', 0],
        ['c', 0],
      ]);
      expect(keys(store, '', 'z', { keysOnly: true, reverse: true, limit: 2 })).to.deep.equal(['d', 'c']);
    });

    it('store: range that is empty, inverted or beyond all keys -> no rows', async () => {
      expect(keys(store, 'a', 'z')).to.deep.equal([]);
      await store.write([put('m')]);
      expect(keys(store, 'm', 'm')).to.deep.equal([]);
      expect(keys(store, 'z', 'a')).to.deep.equal([]);
      expect(keys(store, 'z', 'a', { reverse: true })).to.deep.equal([]);
      expect(keys(store, 'n', 'z')).to.deep.equal([]);
      expect(keys(store, 'a', 'm')).to.deep.equal([]);
      expect(keys(store, '', '')).to.deep.equal([]);
    });

    it('store: keys with bytes of all kinds and prefixes of one another -> order of their bytes', async () => {
      const sorted = [
        '\x00',
        '\x00\x00',
        '\x00\xff',
        '\x01',
        'a',
        'a\x00',
        'a\x00b',
        'aa',
        'ab',
        'b',
        '\x7f',
        '\x80',
        '\xfe',
      ];
      for (const i of [5, 0, 12, 3, 8, 1, 10, 2, 11, 4, 9, 6, 7]) await store.write([put(sorted[i]!)]);
      expect(keys(store)).to.deep.equal(sorted);
      expect(keys(store, '', '\xff', { reverse: true })).to.deep.equal([...sorted].reverse());
      expect(keys(store, 'a', 'b')).to.deep.equal(['a', 'a\x00', 'a\x00b', 'aa', 'ab']);
    });

    it('store: keys of the greatest length -> stored and found, also as bounds', async () => {
      const long = 'k'.repeat(KEY_BYTES_MAX);
      await store.write([put(long, 'v'), put('k')]);
      expect(read(store, long)).to.equal('v');
      expect(keys(store, long, 'l')).to.deep.equal([long]);
      expect(keys(store, 'k', long)).to.deep.equal(['k']);
    });

    it('store: range of thousands of rows -> complete and in order, both ways', async () => {
      const all = Array.from({ length: 3000 }, (_, i) => numbered('n', i));
      await store.write(all.map((key) => put(key, 'x'.repeat(100))));
      expect(keys(store, 'n', 'o')).to.deep.equal(all);
      expect(keys(store, 'n', 'o', { reverse: true })).to.deep.equal([...all].reverse());
      expect(keys(store, 'n', 'o', { limit: 700 })).to.deep.equal(all.slice(0, 700));
    });

    it('store: range read twice -> the same rows twice', async () => {
      await store.write([put('a'), put('b')]);
      const range = store.range(bytes('a'), bytes('z'));
      expect([...range]).to.have.length(2);
      expect([...range]).to.have.length(2);
    });

    it('store: rows removed while a range is paused -> the rest comes, nothing twice', async () => {
      const all = Array.from({ length: 2000 }, (_, i) => numbered('n', i));
      await store.write(all.map((key) => put(key)));
      const seen: string[] = [];
      for (const [key] of store.range(bytes('n'), bytes('o'))) {
        seen.push(Buffer.from(key).toString());
        if (seen.length % 100 === 0) await store.write(seen.slice(-100).map((done) => remove(done)));
      }
      expect(seen).to.deep.equal(all);
      expect(keys(store)).to.deep.equal([]);
    });

    it('store: range left early -> the store can still be written and closed', async () => {
      await store.write(Array.from({ length: 1000 }, (_, i) => put(numbered('n', i))));
      for (const _ of store.range(bytes('n'), bytes('o'))) break;
      await store.write([put('after')]);
      expect(read(store, 'after')).to.equal('after');
    });

    // -- writes as a whole ------------------------------------------------------------------------------------------

    it('store: writes not awaited one by one -> take effect in call order', async () => {
      const writes = Array.from({ length: 200 }, (_, i) =>
        store.write([put('last', String(i)), put(numbered('w', i))]),
      );
      await Promise.all(writes);
      expect(read(store, 'last')).to.equal('199');
      expect(keys(store, 'w', 'x')).to.have.length(200);
    });

    it('store: writes made while others are under way -> promises settle in call order', async () => {
      const settled: number[] = [];
      const make = (i: number) => store.write([put('k', String(i))]).then(() => settled.push(i));
      const first = [make(0), make(1)];
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all([...first, make(2), make(3)]);
      expect(settled).to.deep.equal([0, 1, 2, 3]);
      expect(read(store, 'k')).to.equal('3');
    });

    it('store: a range read while writes are under way -> never half a write', async () => {
      const writes: Promise<void>[] = [];
      for (let i = 0; i < 100; i += 1) {
        writes.push(store.write([put('a', String(i)), put('b', String(i))]));
        if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(read(store, 'a')).to.equal(read(store, 'b'));
        const rows = [...store.range(bytes('a'), bytes('c'))].map(([, value]) =>
          Buffer.from(value).toString(),
        );
        expect(rows[0]).to.equal(rows[1]);
      }
      await Promise.all(writes);
    });

    it('store: empty write -> resolves after those before it', async () => {
      const before = store.write([put('a')]);
      await store.write([]);
      expect(read(store, 'a')).to.equal('a');
      await before;
    });

    it('store: a bad key anywhere in a write -> RangeError, and nothing of it is stored', async () => {
      const bad = [bytes(''), noise(KEY_BYTES_MAX + 1, 1), Buffer.concat([RESERVED_PREFIX, bytes('format')])];
      for (const key of bad) {
        const error = await rejection(
          store.write([put('a'), { kind: 'put', key, value: bytes('v') }, put('b')]),
        );
        expect(error).to.be.instanceOf(RangeError);
        expect(await rejection(store.write([put('a'), { kind: 'remove', key }]))).to.be.instanceOf(
          RangeError,
        );
        expect(store.get(key)).to.equal(undefined);
      }
      expect(keys(store)).to.deep.equal([]);
      expect(() => store.range(bytes('a'), noise(KEY_BYTES_MAX + 1, 1))).to.throw(RangeError);
    });

    it('store: a value that is no Uint8Array -> TypeError, and nothing of the write is stored', async () => {
      const wrong = { kind: 'put', key: bytes('b'), value: undefined } as unknown as WriteOp;
      expect(await rejection(store.write([put('a'), wrong]))).to.be.instanceOf(TypeError);
      expect(keys(store)).to.deep.equal([]);
    });

    it('store: a rejected write between good ones -> the good ones are stored', async () => {
      const results = await Promise.allSettled([
        store.write([put('a')]),
        store.write([put('')]),
        store.write([put('b')]),
      ]);
      expect(results.map((result) => result.status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
      expect(keys(store)).to.deep.equal(['a', 'b']);
    });

    it('store: the keys it keeps for itself -> not in ranges, not counted; their neighbours are', async () => {
      const before = store.stats().entries;
      const all = ['\0', '\0signalbos', '\0signalbox', '\0signalboy', 'a'];
      await store.write(all.map((key) => put(key)));
      expect(keys(store)).to.deep.equal(all);
      expect(keys(store, '', '\xff', { reverse: true })).to.deep.equal([...all].reverse());
      expect(keys(store, '', '\xff', { limit: 3 })).to.deep.equal(all.slice(0, 3));
      await store.close();
      expect(before).to.equal(0);
    });

    // -- statistics and closing ---------------------------------------------------------------------------------------

    it('store: statistics after writes -> bytes grow with what is stored', async () => {
      const before = store.stats();
      await store.write(Array.from({ length: 50 }, (_, i) => put(numbered('s', i), noise(5000, i))));
      const after = store.stats();
      expect(after.usedBytes - before.usedBytes).to.be.greaterThan(250_000);
      expect(after.usedBytes - before.usedBytes).to.be.lessThan(600_000);
      expect(after.mapBytes).to.be.at.least(after.fileBytes);
    });

    it('store: closed -> writes under way were made, closing again is harmless', async () => {
      const writes = [store.write([put('a')]), store.write([put('b')])];
      const closes = [store.close(), store.close()];
      await Promise.all([...writes, ...closes]);
      await store.close();
    });

    it('store: used after close -> StoreClosedError', async () => {
      const range = store.range(bytes('a'), bytes('z'));
      await store.close();
      expect(() => store.get(bytes('a'))).to.throw(StoreClosedError);
      expect(() => [...store.range(bytes('a'), bytes('z'))]).to.throw(StoreClosedError);
      expect(() => [...range]).to.throw(StoreClosedError);
      expect(() => store.stats()).to.throw(StoreClosedError);
      expect(await rejection(store.write([put('a')]))).to.be.instanceOf(StoreClosedError);
    });

    // -- a long random life ------------------------------------------------------------------------------------------

    it('store: hundreds of random writes -> the rows of a plain map', async function () {
      this.timeout(120_000);
      const model = new Map<string, string>();
      let seed = 7;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return seed % below;
      };
      for (let round = 0; round < 400; round += 1) {
        const ops: WriteOp[] = [];
        for (let i = random(20); i >= 0; i -= 1) {
          const key = `k${random(500)}`;
          if (random(3) === 0) {
            ops.push(remove(key));
            model.delete(key);
          } else {
            const value = `${round}:${'v'.repeat(random(random(10) === 0 ? 9000 : 50))}`;
            ops.push(put(key, value));
            model.set(key, value);
          }
        }
        await store.write(ops);
        const key = `k${random(500)}`;
        expect(read(store, key)).to.equal(model.get(key));
        const [low, high] = [`k${random(500)}`, `k${random(500)}`].sort() as [string, string];
        const expected = [...model.keys()].filter((k) => k >= low && k < high).sort();
        const reverse = random(2) === 0;
        expect(keys(store, low, high, { reverse })).to.deep.equal(reverse ? expected.reverse() : expected);
        if (random(20) === 0) await new Promise((resolve) => setTimeout(resolve, 3));
      }
      expect(keys(store)).to.deep.equal([...model.keys()].sort());
    });
  });

  if (!form.keepsRows) continue;

  describe(`store contract, across openings: ${form.name}`, () => {
    const newFolder = temporaryFolders();

    it('store: closed and opened again -> every row is there', async () => {
      const folder = newFolder();
      const first = await form.open(() => folder);
      await first.write([put('a', 'one'), put('b', 'two'), put('c')]);
      await first.write([remove('c'), put('a', 'three')]);
      await first.close();
      const second = await form.open(() => folder);
      expect(keys(second)).to.deep.equal(['a', 'b']);
      expect(read(second, 'a')).to.equal('three');
      expect(second.stats().entries).to.equal(2);
      await second.close();
    });

    it('store: closed with writes under way -> the next opening has them', async () => {
      const folder = newFolder();
      const first = await form.open(() => folder);
      for (let i = 0; i < 50; i += 1) void first.write([put(numbered('n', i))]);
      await first.close();
      const second = await form.open(() => folder);
      expect(keys(second)).to.have.length(50);
      await second.close();
    });

    it('store: opened ten times over -> rows of all openings', async () => {
      const folder = newFolder();
      for (let i = 0; i < 10; i += 1) {
        const store = await form.open(() => folder);
        expect(keys(store)).to.have.length(i);
        await store.write([put(numbered('n', i), noise(30_000, i))]);
        await store.close();
      }
    });
  });
}
