/**
 * Packing: msgpackr writes into a buffer that all its users in a realm share.
 *
 * Owns: the one packer, where it writes, and the copy that leaves here.
 * Does not own: what may be packed. Values come from plain-scan.ts or are tables of graph-writer.ts; both know how many
 * bytes they need at most.
 *
 * Invariants:
 *   K1  What other users of msgpackr packed and still look at stays as it was.
 *   K2  Packing is never entered twice; with the graph form all of the user's code has run before it begins.
 *   P2  The bytes that leave are of this realm and nobody else's.
 */
import { Packr, RESET_BUFFER_MODE, REUSE_BUFFER_MODE } from 'msgpackr';
import { Bytes, getPrototypeOf } from './built-ins.js';

export const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  copyBuffers: true,
  structuredClone: false,
});

/** msgpackr hands out its buffer with the bounds of what it wrote, and gives the space back to its next caller. */
const IN_PLACE = REUSE_BUFFER_MODE | RESET_BUFFER_MODE;
type PackedInPlace = Uint8Array & { start: number; end: number };

/** msgpackr has room for 2,048 bytes, less alignment, before it has to look for a larger buffer. */
const SHARED_ROOM = 2000;
const APART_MARGIN = 64;
const APART_MIN = 16 * 1024;
/** What a payload of the default limit needs at most: msgpackr wants three bytes for a character. */
const APART_KEPT_MAX = 8 * 1024 * 1024;
/** A buffer that is far too large for so many payloads in a row is given back. */
const APART_SPARED_MAX = 1_000;

/** The Buffer that msgpackr saw too. */
const HostBuffer = typeof Buffer === 'undefined' ? undefined : Buffer;

/**
 * msgpackr grows its buffer by the global name Buffer. Where that is another realm's, this is a sandbox, and it may be
 * there only while modules are evaluated.
 */
const canGrow = HostBuffer === undefined || getPrototypeOf(HostBuffer) === Bytes;

/**
 * The buffer for packing apart. Kept, because making one of 3 MiB for each payload of 1 MiB costs more in garbage collections
 * than the packing.
 */
let apart: Uint8Array | undefined;
let spared = 0;

/** While true, a getter or proxy of a user's value may be running, and may call here again. */
let isPacking = false;

/** Packs something that needs at most `room` bytes, behind `mark` zero bytes. */
export function pack(value: unknown, room: number, mark: 0 | 1): Uint8Array {
  // msgpackr cannot nest. The caller takes the graph form, where all of the user's code has run before packing starts.
  if (isPacking) throw new Error('A getter called encodePayload while its object was being packed');
  isPacking = true;
  try {
    if (room > SHARED_ROOM || !canGrow) return packApart(value, room, mark);
    return copyOut(packr.pack(value, IN_PLACE) as unknown as PackedInPlace, mark);
  } finally {
    isPacking = false;
  }
}

/** Packs into a buffer of known size, and leaves the shared one as it was (K1). */
function packApart(value: unknown, room: number, mark: 0 | 1): Uint8Array {
  const { buffer, position } = sharedBuffer();
  try {
    packr.useBuffer(allocateApart(room + APART_MARGIN));
    return copyOut(packr.pack(value, IN_PLACE) as unknown as PackedInPlace, mark);
  } finally {
    packr.useBuffer(buffer);
    packr.position = position;
  }
}

function sharedBuffer(): { buffer: Uint8Array; position: number } {
  try {
    const buffer = packr.pack(0, IN_PLACE);
    return { buffer, position: packr.position };
  } catch {
    // It is full and cannot be replaced (see canGrow), so that nobody could go on with it either.
    return { buffer: allocate(APART_MIN), position: 0 };
  }
}

function allocateApart(size: number): Uint8Array {
  if (size > APART_KEPT_MAX) return allocate(size);
  const length = apart?.length ?? 0;
  spared = size < length / 4 && length > APART_MIN ? spared + 1 : 0;
  if (apart === undefined || size > length || spared > APART_SPARED_MAX) apart = allocate(size);
  return apart;
}

/** Once it has seen Buffer, msgpackr wants its methods on every buffer. */
function allocate(size: number): Uint8Array {
  const bytes = Math.max(size, APART_MIN);
  return HostBuffer === undefined ? new Uint8Array(bytes) : HostBuffer.allocUnsafeSlow(bytes);
}

function copyOut(packed: PackedInPlace, mark: 0 | 1): Uint8Array {
  const { start, end } = packed;
  const bytes = new Bytes(end - start + mark);
  // For the few bytes of a usual payload a loop is faster than making a view to copy from.
  if (end - start > 64) bytes.set(packed.subarray(start, end), mark);
  else for (let from = start, to: number = mark; from < end; from++, to++) bytes[to] = packed[from]!;
  return bytes;
}
