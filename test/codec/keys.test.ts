import { expect } from 'chai';
import fc from 'fast-check';
import { type DueKind, endOf, keys, readDueKind, readNumber, startOf, utf8Length } from '../../codec/keys.js';
import { isStorable, KEY_BYTES_MAX } from '../../runtime/store/store.js';

const compare = (a: Uint8Array, b: Uint8Array) => Math.sign(Buffer.compare(a, b));
const number = fc.maxSafeNat();
const KINDS: DueKind[] = ['timer', 'turnRetry', 'runTimeout', 'activity'];

describe('keys', () => {
  it('numbers: read back as they were, up to 2^53', () => {
    fc.assert(
      fc.property(number, number, number, fc.constantFrom(...KINDS), (at, runNo, seq, kind) => {
        const key = keys.due(at, runNo, kind, seq);
        expect([readNumber(key, 0), readNumber(key, 1), readDueKind(key), readNumber(key, 3)]).to.deep.equal([
          at,
          runNo,
          kind,
          seq,
        ]);
      }),
    );
  });

  it('numbers: the order of the bytes is the order of the numbers', () => {
    fc.assert(
      fc.property(number, number, number, number, (a, b, c, d) => {
        expect(compare(keys.journal(a), keys.journal(b))).to.equal(Math.sign(a - b));
        expect(compare(keys.history(a, c), keys.history(b, d))).to.equal(Math.sign(a - b || c - d));
      }),
    );
  });

  it('a kind of key: all of it lies between startOf and endOf, and nothing else does', () => {
    const samples = {
      j: keys.journal(2 ** 53 - 1),
      r: keys.run(1),
      h: keys.history(1, 2),
      w: keys.workflow('default', 'id'),
      i: keys.runId('id'),
      t: keys.due(1, 2, 'timer', 3),
      a: keys.activity(1, 2),
      u: keys.update(1, 'id'),
      s: keys.request(1, 'id'),
    };
    for (const letter of Object.keys(samples)) {
      const inside = Object.entries(samples).filter(
        ([, key]) => compare(startOf(letter), key) < 0 && compare(key, endOf(letter)) < 0,
      );
      expect(inside.map(([name]) => name)).to.deep.equal([letter]);
    }
  });

  it('keys of one run: lie between those of its number and of the next', () => {
    fc.assert(
      fc.property(fc.nat(), number, (runNo, seq) => {
        expect(compare(keys.activity(runNo, 0), keys.activity(runNo, seq))).to.be.at.most(0);
        expect(compare(keys.activity(runNo, seq), keys.activity(runNo + 1, 0))).to.equal(-1);
      }),
    );
  });

  it('ids: different ids of the same length in bytes give different keys, whatever is in them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        fc.pre(a !== b);
        expect(compare(keys.workflow('default', a), keys.workflow('default', b))).to.not.equal(0);
        expect(compare(keys.update(1, a), keys.update(1, b))).to.not.equal(0);
      }),
    );
  });

  it('ids as long as the limits allow: the store takes the key', () => {
    const longest = 'x'.repeat(1_000);
    for (const key of [
      keys.workflow('n'.repeat(900), longest),
      keys.update(1, longest),
      keys.request(1, longest),
    ]) {
      expect(isStorable(key), `${key.length} of ${KEY_BYTES_MAX}`).to.equal(true);
    }
  });

  it('utf8Length: counts bytes as they are stored', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        (text) => utf8Length(text) === new TextEncoder().encode(text).length,
      ),
    );
  });
});
