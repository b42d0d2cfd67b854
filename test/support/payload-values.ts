/**
 * Values to store, and the questions that tests of payloads ask of them.
 *
 * Owns: any value there is (`anyValue`), and what "comes back as it was" and "is refused" mean.
 * Used by: test/codec/payload.
 */
import { deepStrictEqual } from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { decodePayload, encodePayload, PayloadEncodeError } from '../../codec/payload.js';

export function roundTrip<T>(value: T): T {
  return decodePayload(encodePayload(value)) as T;
}

export function expectSame(value: unknown): void {
  expectEqual(roundTrip(value), value);
}

/**
 * Compares prototypes, -0 and undefined properties too, which chai's deep equality lets pass in places; and takes any
 * value, where chai's sorts the keys of Maps as texts and so fails on objects that have none.
 */
export function expectEqual(actual: unknown, expected: unknown): void {
  deepStrictEqual(actual, expected);
}

export function refusalOf(value: unknown, root = 'args'): PayloadEncodeError {
  try {
    encodePayload(value, root);
  } catch (error) {
    expect(error).to.be.instanceOf(PayloadEncodeError);
    return error as PayloadEncodeError;
  }
  throw new Error('It was not refused');
}

const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 });
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ maxLength: 200 }),
  units.map((codes) => String.fromCharCode(...codes)),
);

/** Whatever can be stored exactly; shared references are left to the tests of identity. */
export const anyValue: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.oneof(text, fc.constant('__proto__'), fc.constant('constructor')), tie('value'), {
      noNullPrototype: true,
    }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 5 }).map((pairs) => new Map(pairs)),
    fc.array(tie('value'), { maxLength: 5 }).map((items) => new Set(items)),
    fc
      .anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true })
      .filter(isStorable),
  ),
  leaf: fc.oneof(
    ...[text, fc.double(), fc.integer(), fc.maxSafeInteger(), fc.bigInt(), fc.boolean()],
    ...[fc.constant(null), fc.constant(undefined), fc.constant(-0), fc.date({ noInvalidDate: true })],
    ...[
      fc.uint8Array(),
      fc.float64Array(),
      fc.int16Array(),
      fc.bigUint64Array(),
      fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    ],
  ),
})).value as fc.Arbitrary<unknown>;

/** isDeepStrictEqual finds no invalid Date equal to another. */
export function isStorable(value: unknown): boolean {
  return isDeepStrictEqual(value, structuredClone(value));
}
