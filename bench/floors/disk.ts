/**
 * Floors of the disk: fdatasync by itself, a journal that is nothing but a file, and LMDB.
 *
 * Owns: all three, in files of their own. Does not own: anything of the runtime; files are written as runtime/store/redo.ts writes
 * them and lmdb is opened as runtime/store/lmdb.ts opens it, so that the floor does not rise when the store gets slower.
 */
import { closeSync, constants, fdatasync, fdatasyncSync, openSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { open, type RootDatabase } from 'lmdb';
import { loadSync, type Sample } from '../measure.js';

const BLOCK = Buffer.alloc(4096, 1);

/** Writes 4 KiB and waits for the disk: at the end of a file that grows, or again and again in the same place. */
export function syncs(file: string, where: 'append' | 'overwrite', ms: number): Sample {
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

/** After so many bytes the beginning is written over, as in the runtime's redo files. */
const RING_BYTES = 8 * 1024 * 1024;
/** As in runtime/store/redo.ts: on Linux a write is one call that returns when the disk has it. */
const WRITE_FLUSHES = process.platform === 'linux' ? constants.O_DSYNC : 0;

/** Appends values to a file that has its length, all that gathered during one flush with the next. */
export class RawJournal {
  readonly #file: number;
  #at = 0;
  #gathered: Uint8Array[] = [];
  #wakes: (() => void)[] = [];
  #writing = false;

  constructor(file: string) {
    this.#file = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | WRITE_FLUSHES);
    writeSync(this.#file, Buffer.alloc(RING_BYTES));
  }

  /** Calls back when the value is on the disk. */
  append(value: Uint8Array, durable: () => void): void {
    this.#gathered.push(value);
    this.#wakes.push(durable);
    if (!this.#writing) void this.#write();
  }

  close(): void {
    closeSync(this.#file);
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#gathered.length > 0) {
      const value = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered);
      const wakes = this.#wakes;
      this.#gathered = [];
      this.#wakes = [];
      if (this.#at + value.length > RING_BYTES) this.#at = 0;
      const { bytesWritten } = await writeAt(this.#file, value, 0, value.length, this.#at);
      if (bytesWritten !== value.length)
        throw new Error(`the disk took ${bytesWritten} of ${value.length} bytes`);
      if (!WRITE_FLUSHES) await flush(this.#file);
      this.#at += value.length;
      for (const wake of wakes) wake();
    }
    this.#writing = false;
  }
}

const writeAt = promisify(write);
const flush = promisify(fdatasync);

/** Values after which the first is written again, so that the file stops growing. */
const RING_VALUES = 256;

/** LMDB, one flushed transaction after the other. */
export class RawDatabase {
  readonly #database: RootDatabase<Uint8Array, Uint8Array>;
  #seq = 0;

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

  /** Resolves when the value is on the disk. */
  async put(value: Uint8Array): Promise<void> {
    const key = keyOf(++this.#seq);
    await this.#database.batch(() => void this.#database.put(key, value));
  }

  /** The newest value. */
  read(): Uint8Array | undefined {
    return this.#database.get(keyOf(this.#seq));
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

function keyOf(seq: number): Uint8Array {
  const key = Buffer.alloc(9, 'j');
  key.writeDoubleBE(seq % RING_VALUES, 1);
  return key;
}
