/** A Map whose deleted values are garbage at once (boxed-map.ts): it does as Map does. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BoxedMap } from '../../runtime/boxed-map.js';

const kind = fc.constantFrom('put', 'put', 'put', 'delete', 'delete', 'look', 'clear');
const value = fc.option(fc.nat(), { nil: undefined });
const steps = fc.array(fc.record({ kind, key: fc.nat(3), value }), { maxLength: 30 });

describe('boxed map', () => {
  it('any steps -> all that it answers is what a Map answers', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const [boxed, map] = [
          new BoxedMap<number, number | undefined>(),
          new Map<number, number | undefined>(),
        ];
        for (const { kind, key, value } of all) {
          if (kind === 'put') {
            boxed.set(key, value);
            map.set(key, value);
          } else if (kind === 'delete') expect(boxed.delete(key)).to.equal(map.delete(key));
          else if (kind === 'clear') {
            boxed.clear();
            map.clear();
          }
          expect([boxed.get(key), boxed.has(key)]).to.deep.equal([map.get(key), map.has(key)]);
          expect([...boxed.values()]).to.deep.equal([...map.values()]);
        }
      }),
    );
  });

  it('an iteration under way goes on as that of a Map does when entries come and go', () => {
    const boxed = new BoxedMap<number, string>();
    for (const key of [1, 2, 3]) boxed.set(key, `value ${key}`);
    const met: string[] = [];
    for (const value of boxed.values()) {
      met.push(value);
      if (value !== 'value 1') continue;
      boxed.delete(1);
      boxed.delete(2);
      boxed.set(4, 'value 4');
    }
    expect(met).to.deep.equal(['value 1', 'value 3', 'value 4']);
  });
});
