import { expect } from 'chai';
import fc from 'fast-check';
import {
  after,
  type DueKind,
  endOf,
  keys,
  readDueKind,
  readEnded,
  readNumber,
  rowsOfChain,
  rowsOfRun,
  type Span,
  startOf,
  utf8Length,
} from '../../codec/keys.js';
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
      w: keys.workflow('default', 'id'),
      i: keys.runId('id'),
      t: keys.due(1, 2, 'timer', 3),
      a: keys.activity(1, 2),
      u: keys.update(1, 'id'),
      s: keys.request(1, 'id'),
      e: keys.ended('default', 1, 2),
      g: keys.removed(1),
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

  it('history of a run: stands right behind its record, before the next record', () => {
    fc.assert(
      fc.property(fc.nat(), number, (runNo, seq) => {
        expect(compare(keys.run(runNo), keys.history(runNo, seq))).to.equal(-1);
        expect(compare(keys.history(runNo, seq), keys.run(runNo + 1))).to.equal(-1);
      }),
    );
  });

  it('closed runs: in the order in which they closed, each namespace for itself', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(name, name, number, number, number, number, (a, b, at, later, runNo, otherNo) => {
        const key = keys.ended(a, at, runNo);
        expect(readEnded(key)).to.deep.equal({ closeTime: at, runNo });
        expect(compare(key, keys.ended(a, later, otherNo))).to.equal(
          Math.sign(at - later || runNo - otherNo),
        );
        fc.pre(a !== b);
        const other = keys.ended(b, later, otherNo);
        const inside =
          compare(keys.ended(a, 0, 0), other) <= 0 && compare(other, keys.ended(a, 2 ** 53 - 1, 0)) < 0;
        expect(inside).to.equal(false);
      }),
    );
  });

  it('rows of a run and of a chain: those of its number, none of another', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), number, fc.string(), (runNo, other, seq, id) => {
        const within = (spans: Span[], key: Uint8Array) =>
          spans.some(([from, to]) => compare(from, key) <= 0 && compare(key, to) < 0);
        for (const key of [
          keys.history(runNo, seq),
          keys.activity(runNo, seq),
          keys.outbox(runNo, seq),
          keys.delivery(runNo, 'message', seq),
        ])
          expect(within(rowsOfRun(other), key)).to.equal(other === runNo);
        expect(within(rowsOfRun(other), keys.run(runNo))).to.equal(false);
        for (const key of [keys.update(runNo, id), keys.request(runNo, id)])
          expect(within(rowsOfChain(other), key)).to.equal(other === runNo);
      }),
    );
  });

  it('after: nothing lies between a key and the one after it', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        fc.pre(compare(a, b) < 0);
        expect(compare(after(a), b)).to.be.at.most(0);
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
      keys.ended('n'.repeat(900), 1, 1),
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
