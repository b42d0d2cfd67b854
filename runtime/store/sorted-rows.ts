/**
 * Rows in memory, sorted by the bytes of their keys.
 *
 * Owns: the order. Keys lie in chunks of at most CHUNK_ROWS_MAX; a lookup searches the chunks by their first key,
 * then the chunk, and an insertion moves at most one chunk's rows, so a million rows in any order stay cheap.
 * Does not own: what a row's value means. The memory store keeps bytes in it, write-behind also keeps removals.
 *
 *      chunks:  [ a..f ] [ g..m ] [ n..z ]      never an empty chunk, except when there are no rows at all
 */
import { type Page, type PageRequest, takePage } from './pages.js';

const CHUNK_ROWS_MAX = 256;

type Entry<V> = [key: Uint8Array, value: V];

/** Where a key is, or where it would be inserted. */
interface Place {
  chunk: number;
  index: number;
  found: boolean;
}

export class SortedRows<V> {
  readonly #chunks: Entry<V>[][] = [[]];
  readonly #sizeOf: (value: V) => number;
  #size = 0;
  #bytes = 0;

  /** @param sizeOf bytes that a value takes, for `bytes` and for the size of a page. */
  constructor(sizeOf: (value: V) => number) {
    this.#sizeOf = sizeOf;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of all keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: Uint8Array): V | undefined {
    const place = this.#find(key);
    return place.found ? this.#chunks[place.chunk]![place.index]![1] : undefined;
  }

  /** Tells a row whose value is undefined from no row. */
  has(key: Uint8Array): boolean {
    return this.#find(key).found;
  }

  /** Whether a key begins with this byte. */
  hasKind(byte: number): boolean {
    const { chunk, index } = this.#find(Uint8Array.of(byte));
    const first = this.#chunks[chunk]![index] ?? this.#chunks[chunk + 1]?.[0];
    return first?.[0][0] === byte;
  }

  /** Keeps the key and value as they are handed in: the caller gives up their bytes. */
  set(key: Uint8Array, value: V): void {
    const place = this.#find(key);
    const chunk = this.#chunks[place.chunk]!;
    if (place.found) {
      const [, before] = chunk[place.index]!;
      this.#bytes += this.#sizeOf(value) - this.#sizeOf(before);
      // A new entry, because the old one may be part of a page that somebody is still reading; and the new key, because the
      // old one may be a view of what the old value was in.
      chunk[place.index] = [key, value];
      return;
    }
    chunk.splice(place.index, 0, [key, value]);
    this.#size += 1;
    this.#bytes += key.length + this.#sizeOf(value);
    if (chunk.length > CHUNK_ROWS_MAX) this.#split(place.chunk);
  }

  delete(key: Uint8Array): void {
    const place = this.#find(key);
    if (!place.found) return;
    const chunk = this.#chunks[place.chunk]!;
    const [entry] = chunk.splice(place.index, 1);
    this.#size -= 1;
    this.#bytes -= key.length + this.#sizeOf(entry![1]);
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(place.chunk, 1);
  }

  page(request: PageRequest): Page<V> {
    return takePage(request.reverse ? this.#down(request) : this.#up(request), request, this.#sizeOf);
  }

  /** All rows, ascending. Not to be changed while it is walked. */
  *[Symbol.iterator](): Generator<readonly [key: Uint8Array, value: V], void, undefined> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  *#up({ from, fromExcluded, to }: PageRequest): Generator<Entry<V>, void, undefined> {
    const start = this.#find(from);
    let index = start.found && fromExcluded ? start.index + 1 : start.index;
    for (let at = start.chunk; at < this.#chunks.length; at += 1, index = 0) {
      const chunk = this.#chunks[at]!;
      for (; index < chunk.length; index += 1) {
        const entry = chunk[index]!;
        if (Buffer.compare(entry[0], to) >= 0) return;
        yield entry;
      }
    }
  }

  *#down({ from, fromExcluded, to }: PageRequest): Generator<Entry<V>, void, undefined> {
    const end = this.#find(to);
    let index = end.index - 1;
    for (let at = end.chunk; at >= 0; at -= 1, index = (this.#chunks[at]?.length ?? 0) - 1) {
      const chunk = this.#chunks[at]!;
      for (; index >= 0; index -= 1) {
        const entry = chunk[index]!;
        const order = Buffer.compare(entry[0], from);
        if (order < 0 || (order === 0 && fromExcluded)) return;
        yield entry;
      }
    }
  }

  #find(key: Uint8Array): Place {
    const chunk = Math.max(
      0,
      lastAtMost(this.#chunks.length, (i) => order(this.#chunks[i]?.[0], key)),
    );
    const rows = this.#chunks[chunk]!;
    const index = lastAtMost(rows.length, (i) => order(rows[i], key));
    const found = index >= 0 && Buffer.compare(rows[index]![0], key) === 0;
    return { chunk, index: found ? index : index + 1, found };
  }

  #split(at: number): void {
    const chunk = this.#chunks[at]!;
    // A key at the very end usually means ascending keys, as in a journal: leave the full chunk full.
    const last = at === this.#chunks.length - 1;
    this.#chunks.splice(at + 1, 0, chunk.splice(last ? CHUNK_ROWS_MAX : CHUNK_ROWS_MAX / 2));
  }
}

function order<V>(entry: Entry<V> | undefined, key: Uint8Array): number {
  return entry === undefined ? 1 : Buffer.compare(entry[0], key);
}

/** The greatest index in 0..length-1 whose order is not above the key's, -1 when there is none. */
function lastAtMost(length: number, orderAt: (index: number) => number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (orderAt(middle) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
