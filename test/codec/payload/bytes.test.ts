/** Payloads: whose memory the bytes are, and that those of the first release are read and written for ever. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import { Packr } from 'msgpackr';
import { decodePayload, encodePayload } from '../../../codec/payload.js';
import { roundTrip } from '../../support/payload-values.js';

describe('payload: bytes', () => {
  it('the result of a call -> untouched by later calls', () => {
    const first = encodePayload({ a: 1 });
    const copy = Uint8Array.from(first);
    for (let n = 0; n < 1000; n++) encodePayload({ b: 'x'.repeat(n * 10) });
    expect(first).to.deep.equal(copy);
    expect(first.buffer.byteLength).to.equal(first.length);
    expect(Object.getPrototypeOf(first)).to.equal(Uint8Array.prototype);
  });

  it('what others packed with msgpackr -> untouched, and their next goes on well', () => {
    const other = new Packr({ useRecords: false });
    const views: [Uint8Array, Uint8Array][] = [];
    for (let n = 0; n < 300; n++) {
      const view = other.pack({ n, text: 'y'.repeat(n) });
      views.push([view, Uint8Array.from(view)]);
      encodePayload([{ n }, 'x'.repeat(n * 50), n % 3 === 0 ? new Set([n]) : n]);
    }
    for (const [view, copy] of views) expect(Uint8Array.from(view)).to.deep.equal(copy);
  });

  it('a decoded value -> shares no memory with the input, and the input is left as it was', () => {
    for (const size of [10, 50_000]) {
      const bytes = encodePayload([new Uint8Array(size).fill(1), new Float64Array(size)]);
      const copy = Uint8Array.from(bytes);
      const [first] = decodePayload(bytes) as [Uint8Array];
      expect(Object.keys(bytes)).to.deep.equal(Object.keys(copy));
      bytes.fill(0xff);
      expect(first[size - 1]).to.equal(1);
      expect(Object.getPrototypeOf(first)).to.equal(Uint8Array.prototype);
    }
  });

  it('a getter that encodes on its own -> both values are right', () => {
    const inner: Uint8Array[] = [];
    const value = {
      before: 1,
      get nested() {
        inner.push(encodePayload({ text: 'inner', set: new Set([1]) }));
        return { deep: 'outer' };
      },
      after: 'x',
    };
    expect(roundTrip(value)).to.deep.equal({ before: 1, nested: { deep: 'outer' }, after: 'x' });
    for (const bytes of inner)
      expect(decodePayload(bytes)).to.deep.equal({ text: 'inner', set: new Set([1]) });
  });

  it('a Buffer, or a view into a larger buffer -> decoded', () => {
    const bytes = encodePayload([{ a: new Map([[1, 'x']]) }]);
    const padded = Buffer.concat([Buffer.from('head'), bytes, Buffer.from('tail')]);
    expect(decodePayload(padded.subarray(4, 4 + bytes.length))).to.deep.equal([{ a: new Map([[1, 'x']]) }]);
  });

  it('plain form written by the first release -> read, and written the same', () => {
    const stored =
      '91de0007a46e616d65a26d65a16e01a26174d7ff01312d0000000000a3726177c4020000a175d40000a3626967d30000000000000005' +
      'a166cb3ff8000000000000';
    const value = [
      { name: 'me', n: 1, at: new Date(5), raw: new Uint8Array(2), u: undefined, big: 5n, f: 1.5 },
    ];
    expect(decodePayload(Buffer.from(stored, 'hex'))).to.deep.equal(value);
    expect(Buffer.from(encodePayload(value)).toString('hex')).to.equal(stored);
  });

  it('graph form written by the first release -> read, and written the same', () => {
    const stored =
      'c19b919101dc001100a46c6973749102a36d61709103a261749104a272659105a562797465739106a36275669107a1659108a473656c66' +
      '91019601910991099200009201c40200d89202b23430303030303030303030303030303030309302a16b910a9204059305a161a167' +
      '9307aa496e7431364172726179c404010002009206c401009b08a9547970654572726f7203a76d657373616765a26e6fa573746163' +
      '6ba153a5636175736501a4636f6465a1439100920301';
    const error = Object.assign(new TypeError('no', { cause: 1 }), { stack: 'S', code: 'C' });
    const shared = {};
    const value = {
      list: [shared, shared, -0, '\ud800', 2n ** 70n],
      map: new Map([['k', new Set([1])]]),
      at: new Date(5),
      re: /a/g,
      bytes: new Int16Array([1, 2]),
      buf: new ArrayBuffer(1),
      e: error,
      self: {},
    };
    value.self = value;
    expect(Buffer.from(encodePayload(value)).toString('hex')).to.equal(stored);
    expect(isDeepStrictEqual(decodePayload(Buffer.from(stored, 'hex')), value)).to.equal(true);
  });
});
