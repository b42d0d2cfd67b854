/** Short ways to write keys, values and rows in the tests of the store. */
import type { RangeOptions, Store, WriteOp } from '../../runtime/store/store.js';

export const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

export const put = (key: string, value: string | Uint8Array = key): WriteOp => ({
  kind: 'put',
  key: bytes(key),
  value: typeof value === 'string' ? bytes(value) : value,
});

export const remove = (key: string): WriteOp => ({ kind: 'remove', key: bytes(key) });

/** The value of a key as text, undefined when there is none. */
export function read(store: Store, key: string): string | undefined {
  const value = store.get(bytes(key));
  return value === undefined ? undefined : Buffer.from(value).toString('latin1');
}

/** A key that sorts as the number does. */
export function numbered(prefix: string, number: number): string {
  return `${prefix}${String(number).padStart(8, '0')}`;
}

/** The keys of a range as text, in the order they come. */
export function keys(store: Store, from = '', to = '\xff', options?: RangeOptions): string[] {
  return Array.from(store.range(bytes(from), bytes(to), options), ([key]) =>
    Buffer.from(key).toString('latin1'),
  );
}

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('The promise was expected to reject, and it resolved.');
}

/** Bytes that do not compress and are told apart by their seed. */
export function noise(length: number, seed: number): Uint8Array {
  const result = new Uint8Array(length);
  let state = (seed + 1) * 2654435761;
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    result[i] = state >>> 24;
  }
  return result;
}
