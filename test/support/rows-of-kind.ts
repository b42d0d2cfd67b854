/** The keys in a store by their kind: the letters of codec/keys.ts, and 'h' for history chunks, which stand behind their 'r'. */
import { endOf, keys, startOf } from '../../codec/keys.js';
import type { Store } from '../../runtime/store/store.js';

const RECORD_KEY_BYTES = keys.run(1).length;

export function keysOfKind(store: Store, letter: string): Uint8Array[] {
  const first = letter === 'h' ? 'r' : letter;
  const found = Array.from(store.range(startOf(first), endOf(first)), ([key]) => key);
  return first === 'r' ? found.filter(({ length }) => length > RECORD_KEY_BYTES === (letter === 'h')) : found;
}
