// Pages out of layers over one another, against a map that has what all of them say together.
import { expect } from 'chai';
import fc from 'fast-check';
import { layeredPage } from '../../../runtime/store/layered-page.js';
import { pagedRange } from '../../../runtime/store/pages.js';
import { SortedRows } from '../../../runtime/store/sorted-rows.js';

type Content = string | undefined;

/** Some of 40 keys; undefined is a removal. */
const layer = (...contents: Content[]) =>
  fc.dictionary(
    fc.integer({ min: 10, max: 49 }).map((no) => `k${no}`),
    fc.constantFrom(...contents),
    { maxKeys: 40, noNullPrototype: true },
  );

function sorted(layer: Record<string, Content>): SortedRows<Uint8Array | undefined> {
  const rows = new SortedRows<Uint8Array | undefined>((value) => value?.length ?? 0);
  for (const [key, value] of Object.entries(layer))
    rows.set(Buffer.from(key), value === undefined ? undefined : Buffer.from(value));
  return rows;
}

describe('layered page', () => {
  it('layered page: any rows and removals, page sizes and spans, both ways -> what the layers say together', () => {
    const cases = fc.record({
      under: layer('u', 'uuuu'),
      back: layer('b', 'bbbb', undefined),
      front: layer('f', 'ffff', undefined),
      rowsMax: fc.integer({ min: 1, max: 50 }),
      bytesMax: fc.integer({ min: 1, max: 200 }),
      from: fc.integer({ min: 9, max: 50 }),
      to: fc.integer({ min: 9, max: 50 }),
      reverse: fc.boolean(),
    });
    const check = fc.property(cases, ({ under, back, front, rowsMax, bytesMax, from, to, reverse }) => {
      const file = sorted(under) as SortedRows<Uint8Array>;
      const layers = [sorted(back), sorted(front)];
      const page = pagedRange(
        (request) => {
          const sized = { ...request, rowsMax, bytesMax };
          const result = layeredPage(file.page(sized), layers, sized);
          expect(result.rows.length, 'rows of a page').to.be.at.most(rowsMax);
          return result;
        },
        Buffer.from(`k${from}`),
        Buffer.from(`k${to}`),
        { reverse },
      );
      const expected = Object.entries({ ...under, ...back, ...front })
        .filter(([key, value]) => value !== undefined && key >= `k${from}` && key < `k${to}`)
        .sort(([a], [b]) => (a < b ? -1 : 1));
      const found = [...page].map(([key, value]) => [String(key), String(value)]);
      expect(found).to.deep.equal(reverse ? expected.reverse() : expected);
    });
    fc.assert(check, { numRuns: 2_000 });
  });
});
