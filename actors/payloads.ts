/**
 * Payloads as the programming model makes them: encoded values that may leave the sandbox.
 *
 * Owns: one conversion. Bytes made inside the sandbox are of its own Uint8Array class, which the host's packer would not
 * know as bytes; a view of the host's class on the same memory is known everywhere.
 */
import { encodePayload as encode } from '../codec/payload.js';

export { decodePayload } from '../codec/payload.js';

/** As codec/payload.ts, with bytes of the host's class. */
export function encodePayload(value: unknown, root?: string): Uint8Array {
  const bytes = encode(value, root);
  return typeof Buffer === 'undefined'
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
