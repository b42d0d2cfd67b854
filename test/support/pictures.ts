/**
 * A store of which a picture is taken after every write: all that a process could leave behind that dies at some instant.
 *
 * Owns: taking the pictures, and opening a store on one.
 * Does not own: what is written, and what a test expects of a runtime that opens a picture.
 */
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Row, Store, WriteOp } from '../../runtime/store/store.js';

export type Picture = readonly Row[];

export interface PicturedStore {
  store: Store;
  /** One per write, oldest first. */
  pictures: Picture[];
}

export function picturedStore(): PicturedStore {
  const inner = openMemoryStore({ durability: 'commit' });
  const pictures: Picture[] = [];
  const store: Store = {
    get: (key) => inner.get(key),
    range: (from, to, options) => inner.range(from, to, options),
    stats: () => inner.stats(),
    close: () => inner.close(),
    async write(ops) {
      await inner.write(ops);
      const rows = [...inner.range(new Uint8Array(), Uint8Array.of(0xff))];
      pictures.push(rows.map(([key, value]) => [key.slice(), value.slice()] as const));
    },
  };
  return { store, pictures };
}

/** A store that holds what the picture shows. */
export async function storeFrom(picture: Picture): Promise<Store> {
  const store = openMemoryStore({ durability: 'commit' });
  await store.write(picture.map(([key, value]): WriteOp => ({ kind: 'put', key, value })));
  return store;
}
