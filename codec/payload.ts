/**
 * Payloads: user values (arguments, results, details, memos) as bytes, and back.
 *
 * Owns: the two functions, and which of the two stored forms a value takes.
 * Does not own: the settings (`payloadBytesMax` is in runtime/limits.ts), encryption or compression, Temporal's JSON
 * payloads, failures (failure.ts; an Error inside a value is only a value here).
 * Called by: everything that stores or sends a user value, on the host and inside the sandbox alike.
 *
 *   plain form   msgpack of the value itself. For trees of primitives, plain objects, arrays, Dates and Uint8Arrays:
 *                what nearly every call carries.
 *   graph form   0xc1, a byte that msgpack never uses, then msgpack of a flat table of nodes that refer to each other
 *                by number. For all else: cycles and shared references, Map, Set, Error, -0, great depth.
 *
 *   encode   plain-scan --------------------------> packing -> bytes
 *              | not to be kept                        ^
 *              +-> graph-writer (classes, contents) ---+
 *
 *   decode   bytes -> unpacking `load` -> token-check -> unpacking `unpack` -> value
 *                                                            | graph form
 *                                                            +-> graph-reader -> value
 *
 * Invariants, which the files of payload/ cite:
 *   P1  A value comes back as it was, or is refused with the path to what cannot be stored. Nothing turns silently
 *       into something else, except what `encodePayload` lists.
 *   P2  The result is made of the classes of the realm that evaluated this module, and shares no memory with the input.
 *   P3  Values from other realms are taken. Classes are known by internal slots and prototype depth, not by identity.
 *   P4  Work and memory are bounded by the limit in bytes, also for damaged input and values that expand exponentially.
 *   P5  No step recurses deeper than PLAIN_DEPTH_MAX (plain-scan.ts) on a value's own nesting.
 *
 * msgpackr alone would break P1: it drops -0, turns Maps into objects (or cyclic objects into Maps), renames
 * `__proto__`, replaces lone surrogates, strips a leading byte order mark, forgets an Error's stack and own properties.
 * So a scan lets through only what it is known to keep, and the graph form spells the rest out in values that it keeps.
 * Its mode structuredClone is of no help: without records it turns a cyclic object into a Map, and it knows no depth.
 * Scan, graph form and token check each hold only for exactly what the other two let through: change them together.
 */
import { PayloadDecodeError, PayloadTooLargeError } from './payload/errors.js';
import { GRAPH_MARK } from './payload/graph-form.js';
import { readGraph } from './payload/graph-reader.js';
import { encodeGraph } from './payload/graph-writer.js';
import { encodePlain } from './payload/plain-scan.js';
import { checkTokens } from './payload/token-check.js';
import { load, unpack } from './payload/unpacking.js';

export { PayloadDecodeError, PayloadEncodeError, PayloadTooLargeError } from './payload/errors.js';

/** Bytes of one encoded value, unless the caller says otherwise: 2 MiB, as on a Temporal server. */
export const DEFAULT_PAYLOAD_BYTES_MAX = 2 * 1024 * 1024;

/**
 * Packs a user value. `root` is what errors call the value (`args`, `result of workflow greet`), `limit` the most bytes
 * it may need (limits.payloadBytesMax).
 *
 * Stored exactly: primitives but symbols, plain objects (also of null prototype), arrays, Date, Map, Set, RegExp,
 * ArrayBuffer, its views, Error with cause and own properties; identity and cycles within the value.
 * Comes back changed: a null prototype as Object's, holes as undefined, a Buffer as Uint8Array, an accessor as the value
 * it gave (it may be asked more than once), an instance of an Error's subclass as the built-in class it derives from,
 * with the name it had, lastIndex of a RegExp as 0. Two views on one ArrayBuffer each get a copy of their own.
 * Left out: properties that are not enumerable, and named properties of arrays, Maps and other built-ins but Errors.
 *
 * @returns bytes of their own, which later calls do not touch
 * @throws PayloadEncodeError for functions, symbols, class instances, shared memory and what else has no stored form
 * @throws PayloadTooLargeError over the limit
 */
export function encodePayload(value: unknown, root = 'value', limit = DEFAULT_PAYLOAD_BYTES_MAX): Uint8Array {
  const bytes = encodePlain(value, limit) ?? encodeGraph(value, root, limit);
  if (bytes.length > limit) throw new PayloadTooLargeError(root, bytes.length, limit);
  return bytes;
}

/**
 * The value that `encodePayload` packed. It shares nothing with `bytes`, which may be of any realm, and a Buffer.
 *
 * @throws PayloadDecodeError for anything else, without reading past the end or making more than the bytes can hold
 */
export function decodePayload(bytes: Uint8Array): unknown {
  const source = load(bytes);
  const start = bytes.length > 0 && source[0] === GRAPH_MARK ? 1 : 0;
  checkTokens(source, start, bytes.length);
  try {
    const value = unpack(source, start, bytes.length);
    return start === 0 ? value : readGraph(value);
  } catch (error) {
    if (error instanceof PayloadDecodeError) throw error;
    throw new PayloadDecodeError(String(error), { cause: error });
  }
}
