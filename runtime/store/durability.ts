/**
 * What stands before the data file, by durability, and what a restart finds there.
 *
 *   flush    writes are flushed to redo files, and written behind
 *   commit   writes are put into redo files, and written behind
 *   memory   writes are written behind
 *   flush with a bound on the size: nothing; a write is refused by itself, or has its place
 *
 * Owns: this choice, and the key under which the data file says which generation of the redo files it has.
 * Does not own: layers (write-behind.ts), redo files (redo.ts), the data file (lmdb.ts).
 */
import { syncFolder } from './folder.js';
import { RedoFiles, readRedo, removeRedo, removeRedoExcept } from './redo.js';
import { type Durability, RESERVED_PREFIX, type Store, type WriteOp } from './store.js';
import { type Backing, writeBehind } from './write-behind.js';

/** Generation of the redo files that the data file took over last. */
export const GENERATION_KEY = Buffer.concat([RESERVED_PREFIX, Buffer.from('redo')]);

/** Takes over what an earlier opening left in redo files, whatever the durability is now, and adds the layers asked for. */
export async function withDurability(
  folder: string,
  store: Backing & { generation(): number },
  { durability, mapBytesMax }: { durability: Durability; mapBytesMax?: number | undefined },
): Promise<Store> {
  // A write to a store with a bound is refused by itself, or has its place: so the data file has it first.
  const isBounded = durability === 'flush' && mapBytesMax !== undefined;
  let redo: RedoFiles | undefined;
  try {
    let applied = store.generation();
    let left = readRedo(folder, applied);
    // What is not applied now must not be found later, when the data file has a generation more.
    await removeRedoExcept(folder, left);
    if (durability === 'memory' || isBounded || !left.every(({ isCurrent }) => isCurrent)) {
      for (const { generation, ops } of left) {
        await store.commit([...ops, noteGeneration(generation)]);
        applied = generation;
      }
      left = [];
    }
    if (durability === 'memory' || isBounded) removeRedo(folder);
    if (isBounded) return store;
    const flushes = durability === 'flush';
    if (durability !== 'memory') redo = new RedoFiles(folder, applied, flushes, left);
    // Flushing a file does not flush its name.
    if (flushes) await syncFolder(folder);
    return writeBehind(store, {
      path: folder,
      redo,
      left,
      noteGeneration,
      removeRedo: () => removeRedo(folder),
    });
  } catch (error) {
    redo?.close();
    await store.close();
    throw error;
  }
}

function noteGeneration(generation: number): WriteOp {
  return { kind: 'put', key: GENERATION_KEY, value: Buffer.from(String(generation)) };
}
