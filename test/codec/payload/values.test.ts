/** Payloads: values of the everyday kinds come back as they were, whichever form they take. */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { decodePayload, encodePayload } from '../../../codec/payload.js';
import { anyValue, expectSame, roundTrip } from '../../support/payload-values.js';

describe('payload: primitives', () => {
  const NUMBERS = [
    ...[0, 1, 31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32],
    ...[Number.MAX_SAFE_INTEGER, Number.MAX_VALUE, Number.MIN_VALUE, Infinity, 0.1, 1e21, 1e300],
  ].flatMap((number) => [number, -number]);

  for (const value of [undefined, null, true, false, Number.NaN, ...NUMBERS]) {
    const shown = Object.is(value, -0) ? '-0' : String(value);
    it(`${shown}, alone, in an array and as a property -> comes back`, () => {
      expectSame(value);
      expectSame([value, value]);
      expectSame({ value, nested: { value } });
      expectSame(new Map([[1, value]]));
    });
  }

  const bits = [0n, 5n, 31n, 32n, 62n, 63n, 64n, 65n, 127n, 128n, 4096n, 70_000n];
  it('bigints small, at the borders of 64 bits, and huge -> stay bigints', () => {
    for (const value of bits.flatMap((n) => [2n ** n - 1n, 2n ** n, 2n ** n + 1n])) {
      expectSame([value, -value]);
    }
  });

  it('strings of every length class -> come back', () => {
    for (const length of [0, 1, 15, 16, 31, 32, 63, 64, 65, 255, 256, 65_535, 65_536, 500_000]) {
      for (const unit of ['a', 'é', '日', '\0', '\uffff']) expectSame([unit.repeat(length), 'end']);
      expectSame('😀'.repeat(length / 2));
    }
  });

  it('lone surrogates and a leading byte order mark -> come back, as values and as keys', () => {
    for (const text of [
      '\ud800',
      'a\udfff',
      `${'x'.repeat(100)}\ud83d`,
      `\ufeff${'x'.repeat(100)}`,
      '\ufeff',
    ]) {
      expectSame(text);
      expectSame({ [text]: [text] });
      expectSame(new Map([[text, new Set([text])]]));
    }
  });
});

describe('payload: objects', () => {
  it('arguments that are empty -> one byte', () => {
    expect(encodePayload([])).to.deep.equal(new Uint8Array([0x90]));
    expectSame([]);
  });

  it('nested plain objects and arrays -> come back with undefined properties and key order', () => {
    expectSame({ b: [1, [2, { c: undefined }]], a: {}, 1: 'x', '': [], 'weird key': null });
    expect(Object.keys(roundTrip({ z: 1, a: 2 }))).to.deep.equal(['z', 'a']);
  });

  it('an array with holes -> holes are undefined', () => {
    // biome-ignore lint/suspicious/noSparseArray: the hole is what is tested.
    expect(roundTrip([1, , 3])).to.deep.equal([1, undefined, 3]);
  });

  it('more properties than 16 bits count -> come back', () => {
    expectSame(Object.fromEntries(Array.from({ length: 70_000 }, (_, n) => [`k${n}`, n])));
  });

  it('keys that mean something to an object -> own properties, nothing polluted', () => {
    const value = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"toJSON":2,"hasOwnProperty":3}');
    const back = roundTrip([value])[0];
    expect(Object.getPrototypeOf(back)).to.equal(Object.prototype);
    expect(Object.entries(back)).to.deep.equal(Object.entries(value));
    expect(({} as Record<string, unknown>).polluted).to.equal(undefined);
    expectSame({ constructor: 1, toJSON: 2, hasOwnProperty: 3, valueOf: null });
  });

  it('an object without prototype -> a plain object', () => {
    const bare = Object.assign(Object.create(null), { a: 1, constructor: 'x' });
    expectSame({ ...(roundTrip(bare) as object) });
    expect(Object.getPrototypeOf(roundTrip(bare))).to.equal(Object.prototype);
  });

  it('an accessor -> the value it gave', () => {
    expect(
      roundTrip({
        get now() {
          return 5;
        },
      }),
    ).to.deep.equal({ now: 5 });
  });

  it('a proxy of a plain object -> a plain object', () => {
    expect(roundTrip([new Proxy({ a: 1 }, {}), new Proxy([1], {})])).to.deep.equal([{ a: 1 }, [1]]);
  });

  it('Dates of any time -> come back to the millisecond', () => {
    const times = [
      0,
      1,
      999,
      1000,
      -1,
      -999,
      -1000,
      -1001,
      1.7e12 + 123,
      2 ** 32 * 1000 + 7,
      2 ** 34 * 1000,
      -6e13 - 5,
    ];
    for (const time of [...times, 8.64e15, -8.64e15, 8.64e15 - 1, -8.64e15 + 1]) {
      expectSame(new Date(time));
      expectSame(new Map([[1, { at: new Date(time) }]]));
    }
  });

  it('an invalid Date -> an invalid Date', () => {
    for (const wrap of [(date: Date) => [date], (date: Date) => [new Set([date])]]) {
      const back = roundTrip(wrap(new Date(Number.NaN)))[0];
      const date = back instanceof Set ? [...back][0] : back;
      expect(date).to.be.instanceOf(Date);
      expect(Number.isNaN(date!.getTime())).to.equal(true);
    }
  });

  it('Maps and Sets, also as keys and of themselves -> come back in order', () => {
    expectSame(
      new Map<unknown, unknown>([
        ['b', 1],
        [{ a: 1 }, new Set([1, [2]])],
        [Number.NaN, new Map()],
      ]),
    );
    expectSame({ set: new Set(), map: new Map([[undefined, null]]) });
    expect([
      ...roundTrip(
        new Map([
          ['z', 1],
          ['a', 2],
        ]),
      ).keys(),
    ]).to.deep.equal(['z', 'a']);
  });

  it('a Map beside an equal object -> each stays what it was', () => {
    expectSame([new Map([['a', 1]]), { a: 1 }]);
  });

  it('a RegExp -> source and flags', () => {
    for (const value of [/a\/b+/giu, /(?:)/, /\n[\ud800]/s, /[😀]/u]) expectSame([value]);
  });

  it('each kind of view and an ArrayBuffer -> come back as copies', () => {
    const bytes = Uint8Array.from({ length: 64 }, (_, n) => n * 37);
    const kinds: (new (buffer: ArrayBuffer, at?: number, length?: number) => ArrayBufferView)[] = [
      Int8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
    ];
    for (const Kind of [...kinds, Float64Array, BigInt64Array, BigUint64Array, DataView, Uint8Array]) {
      expectSame([new Kind(bytes.buffer, 8, 3), new Kind(new ArrayBuffer(0))]);
    }
    expectSame(bytes.buffer);
    expectSame(new Uint8Array(100_000).fill(7));
  });

  it('a Buffer -> a Uint8Array', () => {
    expect(roundTrip([Buffer.from('hello')])).to.deep.equal([new TextEncoder().encode('hello')]);
  });

  it('a view on a part of a buffer -> only that part is stored', () => {
    expect(encodePayload(new Uint8Array(new ArrayBuffer(10_000), 100, 4)).length).to.equal(6);
    expect(encodePayload([new Int16Array(new ArrayBuffer(10_000), 100, 4)]).length).to.be.below(40);
  });
});

describe('payload: properties', () => {
  it('any value -> comes back as it was', () => {
    fc.assert(
      fc.property(anyValue, (value) => isDeepStrictEqual(roundTrip(value), value)),
      { numRuns: 2000 },
    );
  });

  it('any value and its copy -> the same bytes, which say the same again', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = encodePayload(value);
        return isDeepStrictEqual(encodePayload(decodePayload(bytes)), bytes);
      }),
    );
  });
});
