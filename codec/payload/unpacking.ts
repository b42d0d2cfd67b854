/**
 * Unpacking: bytes of any realm to what msgpackr reads from them.
 *
 * Owns: the buffer that is read from. It is one of this realm for all usual values, because msgpackr takes no Uint8Array
 * of another realm and hangs a new DataView on each one that it reads.
 * Does not own: the look at the bytes that must come first (token-check.ts), the errors' wording (payload.ts).
 *
 * P2: what is read shares no memory with the input; msgpackr is told to copy bytes (packing.ts).
 */
import { clearSource } from 'msgpackr';
import { isView, typedArrayName } from './built-ins.js';
import { PayloadDecodeError } from './errors.js';
import { packr } from './packing.js';

const scratch = new Uint8Array(16 * 1024);

/** The bytes as a plain Uint8Array of this realm; they begin at 0 and more may follow them. */
export function load(bytes: Uint8Array): Uint8Array {
  if (!isView(bytes) || typedArrayName(bytes) !== 'Uint8Array')
    throw new PayloadDecodeError('not a Uint8Array');
  if (bytes.length > scratch.length) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  scratch.set(bytes);
  return scratch;
}

/** What stands in loaded and checked bytes. Throws what msgpackr throws. */
export function unpack(source: Uint8Array, start: 0 | 1, end: number): unknown {
  try {
    return start === 0 ? packr.unpack(source, end) : packr.unpack(source, { start, end });
  } catch (error) {
    // A stack overflow may leave msgpackr believing that it is still inside this call.
    clearSource();
    throw error;
  }
}
