/**
 * The store in memory, for a runtime without a path and for tests.
 *
 * Owns: the rows, for as long as the process lives. Does not own: anything on disk.
 *
 *      write() -- checked, copied --> waiting --(next turn of the event loop)--> rows --> promise resolves
 *
 * With durability 'memory' a write takes effect at once. With the other two it waits for the next turn of the event
 * loop, as a disk would make it wait, so that code which forgets to await is found out without a disk.
 *
 * D8: with `bytesMax` a write that would not fit is refused with StoreFullError. The embedder decides on the bound.
 */
import { StoreClosedError, StoreFullError } from './errors.js';
import { type PageRequest, pagedRange } from './pages.js';
import { SortedRows } from './sorted-rows.js';
import {
  boundFor,
  checkBounds,
  checkOps,
  type Durability,
  isReserved,
  type RangeOptions,
  type Row,
  type Store,
  type StoreStats,
  type WriteOp,
} from './store.js';

export interface MemoryStoreOptions {
  /** When a write takes effect and resolves, see above. Default 'memory'. */
  durability?: Durability;
  /** Bytes of keys and values at most. Default no bound. A write that removes rows may go an eighth above it. */
  bytesMax?: number;
}

interface Waiting {
  ops: readonly WriteOp[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

const WHERE = 'memory';

export function openMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options.durability ?? 'memory', options.bytesMax ?? Infinity);
}

class MemoryStore implements Store {
  readonly #rows = new SortedRows<Uint8Array>((value) => value.length);
  readonly #durability: Durability;
  readonly #bytesMax: number;
  #waiting: Waiting[] = [];
  #drained: Promise<void> = Promise.resolve();
  #open = true;

  constructor(durability: Durability, bytesMax: number) {
    this.#durability = durability;
    this.#bytesMax = bytesMax;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    return isReserved(key) ? undefined : this.#rows.get(key);
  }

  range(from: Uint8Array, to: Uint8Array, options?: RangeOptions): Iterable<Row> {
    this.#checkOpen();
    checkBounds(from, to);
    const readPage = (request: PageRequest) => {
      this.#checkOpen();
      return this.#rows.page(request);
    };
    return pagedRange(readPage, from, to, options);
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      checkOps(ops);
      const copied = ops.map(copyOp);
      if (this.#durability !== 'memory') {
        if (this.#waiting.push({ ops: copied, resolve, reject }) === 1) this.#drained = this.#drainSoon();
        return;
      }
      this.#apply(copied);
      resolve();
    });
  }

  stats(): StoreStats {
    this.#checkOpen();
    return { entries: this.#rows.size, usedBytes: this.#rows.bytes, fileBytes: 0, mapBytes: 0 };
  }

  close(): Promise<void> {
    this.#open = false;
    return this.#drained;
  }

  #checkOpen(): void {
    if (!this.#open) throw new StoreClosedError(WHERE);
  }

  #drainSoon(): Promise<void> {
    return new Promise((drained) => {
      setImmediate(() => {
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const { ops, resolve, reject } of waiting) {
          try {
            this.#apply(ops);
            resolve();
          } catch (error) {
            reject(error);
          }
        }
        drained();
      });
    });
  }

  #apply(ops: readonly WriteOp[]): void {
    this.#checkRoom(ops);
    for (const op of ops) {
      if (op.kind === 'put') this.#rows.set(op.key, op.value);
      else this.#rows.delete(op.key);
    }
  }

  #checkRoom(ops: readonly WriteOp[]): void {
    const added = ops.reduce((sum, op) => sum + (op.kind === 'put' ? op.key.length + op.value.length : 0), 0);
    if (added > 0 && this.#rows.bytes + added > boundFor(ops, this.#bytesMax)) {
      throw new StoreFullError(WHERE, `it holds ${this.#rows.bytes} bytes of at most ${this.#bytesMax}`);
    }
  }
}

/** The caller may use its buffers again once the promise settled, so what is kept is a copy. */
function copyOp(op: WriteOp): WriteOp {
  // Not slice(), which on a Buffer is a view of the same bytes.
  const key = new Uint8Array(op.key);
  return op.kind === 'put' ? { kind: 'put', key, value: new Uint8Array(op.value) } : { kind: 'remove', key };
}
