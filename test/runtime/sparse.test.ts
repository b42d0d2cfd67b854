/** Maps and sets that are made on demand (sparse.ts): they do as Map and Set do. */
import { expect } from 'chai';
import fc from 'fast-check';
import { SparseMap, SparseSet } from '../../runtime/sparse.js';

const kind = fc.constantFrom('put', 'put', 'put', 'delete', 'delete', 'delete', 'look', 'clear');
const step = fc.record({ kind, key: fc.nat(2), value: fc.nat() });
const steps = fc.array(step, { maxLength: 30 });

describe('sparse', () => {
  it('SparseMap: any steps -> all that it answers is what a Map answers', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const [made, map] = [new SparseMap<number, number>(), new Map<number, number>()];
        for (const { kind, key, value } of all) {
          if (kind === 'put') {
            made.set(key, value);
            map.set(key, value);
          } else if (kind === 'delete') expect(made.delete(key)).to.equal(map.delete(key));
          else if (kind === 'clear') {
            made.clear();
            map.clear();
          }
          expect([made.size, made.get(key), made.has(key)]).to.deep.equal([
            map.size,
            map.get(key),
            map.has(key),
          ]);
          expect([[...made], [...made.keys()], [...made.values()]]).to.deep.equal([
            [...map],
            [...map.keys()],
            [...map.values()],
          ]);
        }
      }),
    );
  });

  it('SparseSet: any steps -> all that it answers is what a Set answers', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const [made, set] = [new SparseSet<number>(), new Set<number>()];
        for (const { kind, key } of all) {
          if (kind === 'put') {
            made.add(key);
            set.add(key);
          } else if (kind === 'delete') expect(made.delete(key)).to.equal(set.delete(key));
          else if (kind === 'clear') {
            made.clear();
            set.clear();
          }
          expect([made.size, made.has(key), [...made]]).to.deep.equal([set.size, set.has(key), [...set]]);
        }
      }),
    );
  });
});
