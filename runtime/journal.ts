/**
 * How journal values lie in the store: one row each, or several that each fill a page.
 *
 *   value <= a page, or > PARTED_BYTES_MAX --> j seq
 *   else                                   --> j seq, j seq 1, j seq 2, ...
 *
 * A row that is longer than a page needs pages that are next to each other. The journal takes and frees hundreds of such rows a
 * second, and between them lie rows that are rewritten one by one, so that fewer and fewer free pages have neighbours and the file
 * grows although most of it is free. A single page is always found. Values that are so long are few.
 *
 * Owns: the rows of a value. Does not own: what is in it, numbering (committer.ts), trimming (compactor.ts).
 */
import { endOf, keys, readNumber, startOf } from '../codec/keys.js';
import type { Store, WriteOp } from './store/store.js';

/** What a page of 4,096 bytes has room for besides its header, with some to spare. */
const PART_BYTES = 4_000;
const PARTED_BYTES_MAX = 64 * 1024;

/** The rows of a value. */
export function journalRows(seq: number, value: Uint8Array): WriteOp[] {
  if (value.length <= PART_BYTES || value.length > PARTED_BYTES_MAX)
    return [{ kind: 'put', key: keys.journal(seq), value }];
  const rows: WriteOp[] = [];
  for (let at = 0; at < value.length; at += PART_BYTES)
    rows.push({ kind: 'put', key: partKey(seq, rows.length), value: value.subarray(at, at + PART_BYTES) });
  return rows;
}

/** What removes some rows of a value, from one on and up to another, if there are any between them. */
export function partRemovals(seq: number, from: number, to: number): WriteOp[] {
  const count = Math.max(0, to - from);
  return Array.from({ length: count }, (_, i) => ({ kind: 'remove', key: partKey(seq, from + i) }));
}

/** All values in order. One whose first row is gone is being trimmed and is left out. */
export function* journalValues(store: Store): Generator<{ seq: number; value: Uint8Array }> {
  let parts: Uint8Array[] = [];
  let seq = 0;
  for (const [key, row] of store.range(startOf('j'), endOf('j'))) {
    if (key.length === keys.journal(0).length) {
      if (parts.length > 0) yield { seq, value: whole(parts) };
      seq = readNumber(key, 0);
      parts = [row];
    } else if (parts.length > 0 && readNumber(key, 0) === seq) parts.push(row);
  }
  if (parts.length > 0) yield { seq, value: whole(parts) };
}

function partKey(seq: number, part: number): Uint8Array {
  return part === 0 ? keys.journal(seq) : keys.journalPart(seq, part);
}

/** No Buffer: to take a part of one costs three times as much, and a value has many frames. */
function whole(parts: readonly Uint8Array[]): Uint8Array {
  const { buffer, byteOffset, length } = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  return new Uint8Array(buffer, byteOffset, length);
}
