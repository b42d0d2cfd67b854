/**
 * Primitives: which of them msgpackr keeps, and what stands for the others in the graph form.
 *
 *   [NEGATIVE_ZERO, 0]    -0
 *   [UTF16, bytes]        a string that UTF-8 does not keep: its code units, low byte first
 *   [BIGINT, text]        a bigint beyond 64 bits, in hexadecimal
 *
 * Owns: those three and the test for each. Stored, so a tag never changes its meaning.
 * Does not own: the slots of objects (graph-form.ts), the refusal of functions and symbols (graph-writer.ts).
 *
 * P1 rests on the tests here being the same for both forms.
 */
import { isArray } from './built-ins.js';
import { PayloadDecodeError } from './errors.js';

/** The bytes one msgpack number needs at most; also the largest ratio between the most and the fewest bytes. */
export const NUMBER_ROOM = 9;

const NEGATIVE_ZERO = 0;
const UTF16 = 1;
const BIGINT = 2;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** ES2024, in every Node.js this package runs on, but not in the library it is checked against. */
interface WellFormed {
  isWellFormed(): boolean;
}

/** False for lone surrogates, which UTF-8 has no bytes for, and a leading byte order mark, which decoders strip. */
export function isUtf8Safe(text: string): boolean {
  return (text as unknown as WellFormed).isWellFormed() && text.charCodeAt(0) !== 0xfeff;
}

/** False for bigints that msgpack has no number for. */
export function isInt64(value: bigint): boolean {
  return value >= INT64_MIN && value <= INT64_MAX;
}

export function numberSlot(value: number): unknown {
  return Object.is(value, -0) ? [NEGATIVE_ZERO, 0] : value;
}

export function textSlot(text: string): unknown {
  return isUtf8Safe(text) ? text : [UTF16, codeUnits(text)];
}

/** The slot of a bigint beyond 64 bits, of which these are the digits. */
export function hugeSlot(hexadecimal: string): unknown {
  return [BIGINT, hexadecimal];
}

/** The primitive in a slot that is no reference. */
export function primitiveOf(slot: unknown): unknown {
  if (!isArray(slot)) return slot;
  const [tag, data] = slot;
  if (tag === NEGATIVE_ZERO) return -0;
  if (tag === UTF16 && data instanceof Uint8Array) return textOf(data);
  if (tag === BIGINT && typeof data === 'string') return bigintOf(data);
  throw new PayloadDecodeError(`no primitive of tag ${String(tag)}`);
}

function codeUnits(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2);
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    bytes[index * 2] = unit & 0xff;
    bytes[index * 2 + 1] = unit >> 8;
  }
  return bytes;
}

function textOf(units: Uint8Array): string {
  let text = '';
  for (let index = 0; index < units.length; index += 2) {
    text += String.fromCharCode(units[index]! | (units[index + 1]! << 8));
  }
  return text;
}

function bigintOf(digits: string): bigint {
  return digits.startsWith('-') ? -BigInt(`0x${digits.slice(1)}`) : BigInt(`0x${digits}`);
}
