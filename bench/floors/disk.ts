/**
 * Floors of the disk: fdatasync by itself, and a journal that is nothing but LMDB.
 *
 * Owns: both, in files of their own. Does not own: anything of the runtime; lmdb is used directly, opened as
 * runtime/store/lmdb.ts opens it, so that the floor does not rise when the store gets slower.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { open, type RootDatabase } from 'lmdb';
import { loadSync, type Sample } from '../measure.js';

const BLOCK = Buffer.alloc(4096, 1);

/** Writes 4 KiB and waits for the disk: at the end of a file that grows, or again and again in the same place. */
export function fdatasync(file: string, where: 'append' | 'overwrite', ms: number): Sample {
  const fd = openSync(file, 'w');
  try {
    return loadSync(ms, (k) => {
      writeSync(fd, BLOCK, 0, BLOCK.length, where === 'append' ? k * BLOCK.length : 0);
      fdatasyncSync(fd);
    });
  } finally {
    closeSync(fd);
  }
}

/** Values after which the first is written again. The file stops growing then, as it does where a journal is trimmed. */
const RING_VALUES = 256;

/** Appends values to LMDB, all that gathered during one commit in the next. */
export class RawJournal {
  readonly #database: RootDatabase<Uint8Array, Uint8Array>;
  #seq = 0;
  #gathered: Uint8Array[] = [];
  #wakes: (() => void)[] = [];
  #writing = false;

  constructor(folder: string) {
    this.#database = open<Uint8Array, Uint8Array>({
      path: folder,
      noSubdir: false,
      keyEncoding: 'binary',
      encoding: 'binary',
      maxDbs: 1,
      overlappingSync: false,
      eventTurnBatching: false,
      mapSize: 2 ** 30,
    });
  }

  /** Calls back when the value is on the disk. */
  append(value: Uint8Array, durable: () => void): void {
    this.#gathered.push(value);
    this.#wakes.push(durable);
    if (!this.#writing) void this.#write();
  }

  /** The newest value. */
  read(): Uint8Array | undefined {
    return this.#database.get(keyOf(this.#seq));
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#gathered.length > 0) {
      const value = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered);
      const wakes = this.#wakes;
      this.#gathered = [];
      this.#wakes = [];
      const key = keyOf(++this.#seq);
      await this.#database.batch(() => void this.#database.put(key, value));
      for (const wake of wakes) wake();
    }
    this.#writing = false;
  }
}

function keyOf(seq: number): Uint8Array {
  const key = Buffer.alloc(9, 'j');
  key.writeDoubleBE(seq % RING_VALUES, 1);
  return key;
}
