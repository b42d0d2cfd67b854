/**
 * The look at bytes before msgpackr reads them.
 *
 * Owns: which types of msgpack are let through, and that their lengths hold. msgpackr trusts its input: lengths that are
 * wrong make it allocate or loop for as long as they say, and some extensions build code or jump about.
 * Does not own: what the values mean (unpacking.ts, graph-reader.ts).
 *
 * P4: each array item and map entry takes a byte at least, so checked bytes bound what is made from them.
 * It lets through exactly what plain-scan.ts and graph-writer.ts let msgpackr write.
 */
import { PayloadDecodeError } from './errors.js';

/** For the tokens from 0xc0: how many bytes the count takes that follows the token, 0 if none does. */
const COUNT_BYTES = new Uint8Array([
  0, 0, 0, 0, 1, 2, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
]);

/** For the same tokens: how many bytes always follow, beside a count and what it counts; 255: never written here. */
const FIXED_BYTES = new Uint8Array([
  0, 255, 0, 0, 0, 0, 0, 1, 255, 255, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 255, 5, 9, 255, 0, 0, 0, 0, 0, 0, 0,
]);

const EXTENSION_COUNTED = 0xc7;
const EXTENSION_FIRST = 0xd4;
const EXTENSION_LAST = 0xd8;
const ARRAYS_FIRST = 0xdc;
const MAPS_FIRST = 0xde;

/** Throws unless the bytes are exactly one value of msgpack, with lengths that hold, and of the types written here. */
export function checkTokens(source: Uint8Array, start: number, end: number): void {
  let at = start;
  for (let pending = 1; pending > 0; pending--) {
    if (pending > end - at) throw damaged('ends too early', at);
    const token = source[at++]!;
    if (token < 0x80 || token >= 0xe0) continue;
    if (token < 0x90) pending += (token & 0x0f) * 2;
    else if (token < 0xa0) pending += token & 0x0f;
    else if (token < 0xc0) at += token & 0x1f;
    else {
      if (!isKnownToken(source, at, token)) throw damaged('has an unknown type', at - 1);
      const countBytes = COUNT_BYTES[token - 0xc0]!;
      const count = countBytes === 0 ? 0 : bigEndian(source, at, countBytes);
      at += countBytes + FIXED_BYTES[token - 0xc0]!;
      if (token < ARRAYS_FIRST) at += count;
      else pending += token < MAPS_FIRST ? count : count * 2;
    }
  }
  if (at !== end) throw damaged(at > end ? 'ends too early' : 'has bytes left over', Math.min(at, end));
}

/** Extension 0 is undefined, 0xff a Date; any other would be read by code of msgpackr that payloads never need. */
function isKnownToken(source: Uint8Array, at: number, token: number): boolean {
  if (token === EXTENSION_COUNTED) return source[at] === 12 && source[at + 1] === 0xff;
  if (token === EXTENSION_FIRST && source[at] === 0) return true;
  if (token >= EXTENSION_FIRST && token <= EXTENSION_LAST && source[at] !== 0xff) return false;
  return FIXED_BYTES[token - 0xc0] !== 255;
}

function bigEndian(source: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let index = at; index < at + bytes; index++) value = value * 256 + (source[index] ?? 0);
  return value;
}

function damaged(what: string, at: number): PayloadDecodeError {
  return new PayloadDecodeError(`it ${what}, at byte ${at}`);
}
