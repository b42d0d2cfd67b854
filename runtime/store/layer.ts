/**
 * A layer: rows that the data file does not have yet, and what becomes of them when it gets them.
 *
 * Owns: what is in a layer, one laid over another, its operations, cut into transactions where need be.
 * Does not own: when a layer is written (write-behind.ts), what is seen through layers (layered-page.ts).
 */
import { SortedRows } from './sorted-rows.js';
import type { WriteOp } from './store.js';

/** Rows by key; undefined instead of a value is a removal that the data file has not seen. */
export class Layer extends SortedRows<Uint8Array | undefined> {
  /** Of all writes that it has taken in, those included of which every row was written over: what they take in a redo file, or in memory. */
  takenBytes = 0;

  constructor() {
    super((value) => value?.length ?? 0);
  }

  take(ops: readonly WriteOp[], bytes: number): void {
    for (const op of ops) this.set(op.key, op.kind === 'put' ? op.value : undefined);
    this.takenBytes += bytes;
  }
}

/** One transaction where there was no room for a layer as a whole. */
const SLICE_ROWS_MAX = 32;
const SLICE_BYTES_MAX = 1024 * 1024;

/** In the order of the keys. */
export function opsOf(layer: Layer): WriteOp[] {
  return Array.from(layer, ([key, value]) => toOp(key, value));
}

function toOp(key: Uint8Array, value: Uint8Array | undefined): WriteOp {
  return value === undefined ? { kind: 'remove', key } : { kind: 'put', key, value };
}

export function laidOver(under: Layer, over: Layer): Layer {
  const both = new Layer();
  for (const layer of [under, over]) for (const [key, value] of layer) both.set(key, value);
  return both;
}

/** A few operations at a time. */
export function* slicesOf(ops: readonly WriteOp[]): Generator<WriteOp[], void, undefined> {
  let slice: WriteOp[] = [];
  for (const op of ops) {
    slice.push(op);
    if (slice.length < SLICE_ROWS_MAX && valueBytes(slice) < SLICE_BYTES_MAX) continue;
    yield slice;
    slice = [];
  }
  if (slice.length > 0) yield slice;
}

export function valueBytes(ops: readonly WriteOp[]): number {
  return ops.reduce((sum, op) => sum + (op.kind === 'put' ? op.value.length : 0), 0);
}
