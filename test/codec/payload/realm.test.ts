/** Payloads: in another realm, as the sandbox evaluates the module, and values that cross between the two. */
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import { decodePayload, encodePayload } from '../../../codec/payload.js';
import { anyValue, refusalOf, roundTrip } from '../../support/payload-values.js';

const hosts = {
  'nothing of the host': { shown: {}, isTakenAway: false },
  'the codecs of the host': { shown: { TextEncoder, TextDecoder }, isTakenAway: false },
  'Buffer of the host': { shown: { Buffer, TextDecoder }, isTakenAway: false },
  'Buffer of the host while it starts': { shown: { Buffer }, isTakenAway: true },
};
for (const [what, host] of Object.entries(hosts)) {
  describe(`payload: in a realm that sees ${what}`, () => {
    const realm = startRealm(host.shown, host.isTakenAway);

    it('host values -> realm values', () => {
      const value = richValue();
      const bytes = realm.encodePayload(value);
      expect(realm.isOwn(bytes, 'Uint8Array')).to.equal(true);
      expect(decodePayload(bytes)).to.deep.equal(value);
      const back = realm.decodePayload(encodePayload(value)) as Record<string, unknown>;
      for (const [name, part] of Object.entries(back)) expect(realm.isOwn(part, name), name).to.equal(true);
      expect(Uint8Array.from(realm.encodePayload(back))).to.deep.equal(encodePayload(value));
    });

    it('realm values -> host values', () => {
      const value = realm.decodePayload(encodePayload(richValue()));
      const back = roundTrip(value) as Record<string, object>;
      for (const [name, part] of Object.entries(back)) {
        const owner = (globalThis as unknown as Record<string, { prototype: object }>)[name];
        expect(Object.getPrototypeOf(part), name).to.equal(owner!.prototype);
      }
      expect(back).to.deep.equal(richValue());
    });

    it('class instances, functions and proxies of the other realm -> refused there too', () => {
      for (const code of [
        'new (class User {})',
        '() => 1',
        'new (class extends Map {})',
        'Promise.resolve()',
        'new WeakSet',
      ]) {
        expect(refusalOf([{ x: realm.run(`(${code})`) }]).path).to.equal('args[0].x');
      }
      class User {}
      for (const value of [new User(), () => 1, new WeakMap(), new (class extends Date {})()]) {
        expect(() => realm.encodePayload([{ x: value }], 'args')).to.throw('Cannot store args[0].x: ');
      }
      expect(() => realm.decodePayload(Uint8Array.of(0xc1))).to.throw('Cannot read a stored value');
    });

    it('many and large values, while others use msgpackr as well -> all come back', () => {
      for (let n = 0; n < 200; n++) {
        const value = [n, 'é'.repeat(n * 20), new Uint8Array(n * 10), 2n ** BigInt(n * 50), 'x'.repeat(n)];
        expect(decodePayload(realm.encodePayload(value))).to.deep.equal(value);
        expect(roundTrip(realm.decodePayload(realm.encodePayload(value)))).to.deep.equal(value);
        realm.packAside('y'.repeat(100));
      }
    });

    it('any value -> comes back through the realm, by its own bytes and by the bytes of the host', () => {
      fc.assert(
        fc.property(anyValue, (value) => {
          const bytes = encodePayload(value);
          const own = realm.decodePayload(bytes);
          expect(Uint8Array.from(realm.encodePayload(own))).to.deep.equal(bytes);
          expect(isDeepStrictEqual(roundTrip(own), value)).to.equal(true);
          expect(isDeepStrictEqual(decodePayload(realm.encodePayload(value)), value)).to.equal(true);
        }),
        { numRuns: 300 },
      );
    });
  });
}

/** One of each class, by the name of the class. */
function richValue(): Record<string, unknown> {
  const bytes = [1, 2, 3, 4, 5, 6, 7, 8];
  return {
    Object: { a: [{ b: -0 }], text: 'é😀' },
    Array: [1, [2, new Date(7)]],
    Date: new Date(5),
    Map: new Map([['k', new Set([1])]]),
    Set: new Set([{ a: 1 }]),
    RegExp: /a+/g,
    Uint8Array: Uint8Array.from(bytes),
    Float64Array: Float64Array.from(bytes),
    BigInt64Array: BigInt64Array.of(5n),
    DataView: new DataView(new ArrayBuffer(4)),
    ArrayBuffer: Uint8Array.from(bytes).buffer,
    Error: Object.assign(new Error('a'), { code: 5 }),
    TypeError: new TypeError('b', { cause: new RangeError('c') }),
    AggregateError: new AggregateError([new Error('d')], 'e'),
  };
}

interface PayloadRealm {
  encodePayload: typeof encodePayload;
  decodePayload: typeof decodePayload;
  /** Packs with msgpackr as another module in the realm would: the space is not given back. */
  packAside(value: unknown): void;
  run(code: string): unknown;
  isOwn(value: unknown, className: string): boolean;
}

/** Evaluates the bundled module in a context, as the sandbox does: no eval, and little of Node.js to see. */
function startRealm(shown: Record<string, unknown>, isTakenAway: boolean): PayloadRealm {
  const context = createContext({ ...shown }, { codeGeneration: { strings: false, wasm: false } });
  const run = (code: string): any => runInContext(code, context);
  const module: { exports: Record<string, any> } = { exports: {} };
  run(`(function (module, exports) { ${bundle()}\n})`)(module, module.exports);
  for (const name of isTakenAway ? Object.keys(shown) : []) delete context[name];
  return {
    encodePayload: module.exports.encodePayload,
    decodePayload: module.exports.decodePayload,
    packAside: module.exports.packAside,
    run,
    isOwn: (value, className) =>
      run(`(value) => Object.getPrototypeOf(value) === ${className}.prototype`)(value),
  };
}

function bundle(): string {
  const payload = fileURLToPath(new URL('../../../codec/payload.js', import.meta.url));
  const contents = `export * from ${JSON.stringify(payload)};
    import { Packr } from 'msgpackr';
    const aside = new Packr({ useRecords: false });
    export const packAside = (value) => aside.pack(value);`;
  const resolveDir = fileURLToPath(new URL('.', import.meta.url));
  const built = buildSync({
    stdin: { contents, resolveDir },
    bundle: true,
    format: 'cjs',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    write: false,
  });
  return built.outputFiles[0]!.text;
}
