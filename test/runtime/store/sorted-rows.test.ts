import { expect } from 'chai';
import fc from 'fast-check';
import { SortedRows } from '../../../runtime/store/sorted-rows.js';
import { bytes, numbered } from '../../support/store-rows.js';

const newRows = (): SortedRows<number> => new SortedRows<number>(() => 10);
const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');

describe('sorted rows', () => {
  it('sorted rows: any sequence of changes -> the same as a sorted map', () => {
    const key = fc.string({ unit: fc.constantFrom('a', 'b', '\x00', '\xff'), minLength: 1, maxLength: 5 });
    const change = fc.record({ key, remove: fc.boolean(), value: fc.nat() });
    const bounds = fc.record({ from: fc.option(key, { nil: '' }), to: key, fromExcluded: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 700 }),
        bounds,
        fc.boolean(),
        (changes, { from, to, fromExcluded }, reverse) => {
          const rows = newRows();
          const model = new Map<string, number>();
          for (const { key, remove, value } of changes) {
            if (remove) {
              rows.delete(bytes(key));
              model.delete(key);
            } else {
              rows.set(bytes(key), value);
              model.set(key, value);
            }
          }
          const sorted = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
          expect(Array.from(rows, ([k, value]) => [textOf(k), value])).to.deep.equal(sorted);
          expect(rows.size).to.equal(model.size);
          for (const kind of ['\x00', 'a', 'b', 'c', '\xff'])
            expect(rows.hasKind(kind.charCodeAt(0)), kind).to.equal(sorted.some(([k]) => k[0] === kind));
          expect(rows.bytes).to.equal(sorted.reduce((sum, [k]) => sum + k.length + 10, 0));
          const page = rows.page({
            from: bytes(from),
            to: bytes(to),
            fromExcluded,
            reverse,
            keysOnly: false,
            rowsMax: 1e9,
            bytesMax: 1e9,
          });
          const expected = sorted.filter(([k]) => (fromExcluded ? k > from : k >= from) && k < to);
          expect(page.rows.map(([k]) => textOf(k))).to.deep.equal(
            (reverse ? expected.reverse() : expected).map(([k]) => k),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  it('sorted rows: a row written over -> nothing of what it was is kept, the key neither', () => {
    const rows = newRows();
    const [first, second] = [bytes('k'), bytes('k')];
    rows.set(first, 1);
    rows.set(second, 2);
    expect([...rows][0]![0]).to.equal(second);
  });

  it('sorted rows: as many rows as fill a chunk, then one of another kind -> found', () => {
    const rows = newRows();
    for (let i = 0; i < 256; i += 1) rows.set(bytes(numbered('a', i)), i);
    expect(rows.hasKind('b'.charCodeAt(0))).to.equal(false);
    rows.set(bytes(numbered('b', 0)), 0);
    expect(rows.hasKind('b'.charCodeAt(0))).to.equal(true);
  });

  for (const [order, place] of [
    ['ascending', (i: number) => i],
    ['descending', (i: number) => 99_999 - i],
    ['scattered', (i: number) => (i * 7919) % 100_000],
  ] as const) {
    it(`sorted rows: 100,000 rows in ${order} order -> in and out within seconds`, function () {
      this.timeout(10_000);
      const rows = newRows();
      for (let i = 0; i < 100_000; i += 1) rows.set(bytes(numbered('n', place(i))), place(i));
      expect(rows.size).to.equal(100_000);
      expect(rows.get(bytes(numbered('n', 77_777)))).to.equal(77_777);
      for (let i = 0; i < 100_000; i += 1) rows.delete(bytes(numbered('n', place(i))));
      expect(rows.size).to.equal(0);
      expect(rows.bytes).to.equal(0);
    });
  }
});
