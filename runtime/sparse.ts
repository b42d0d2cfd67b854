/**
 * Maps and sets that most runs never put anything into.
 *
 * Owns: making the Map or Set when the first thing comes, and letting it go with the last one. An empty one takes 200 bytes,
 * and a run has a dozen: with thousands of runs a second, that is most of what the garbage collector has to move.
 * Does not own: what is in them. They do as Map and Set do, as far as they go.
 */
export class SparseMap<K, V> {
  #map: Map<K, V> | undefined;

  get size(): number {
    return this.#map?.size ?? 0;
  }

  get(key: K): V | undefined {
    return this.#map?.get(key);
  }

  has(key: K): boolean {
    return this.#map?.has(key) ?? false;
  }

  set(key: K, value: V): this {
    this.#map ??= new Map();
    this.#map.set(key, value);
    return this;
  }

  delete(key: K): boolean {
    const map = this.#map;
    if (map === undefined || !map.delete(key)) return false;
    if (map.size === 0) this.#map = undefined;
    return true;
  }

  clear(): void {
    this.#map = undefined;
  }

  keys(): Iterable<K> {
    return this.#map?.keys() ?? [];
  }

  values(): Iterable<V> {
    return this.#map?.values() ?? [];
  }

  [Symbol.iterator](): Iterator<[K, V]> {
    return (this.#map ?? NOTHING)[Symbol.iterator]() as Iterator<[K, V]>;
  }
}

export class SparseSet<T> {
  #set: Set<T> | undefined;

  get size(): number {
    return this.#set?.size ?? 0;
  }

  has(value: T): boolean {
    return this.#set?.has(value) ?? false;
  }

  add(value: T): this {
    this.#set ??= new Set();
    this.#set.add(value);
    return this;
  }

  delete(value: T): boolean {
    const set = this.#set;
    if (set === undefined || !set.delete(value)) return false;
    if (set.size === 0) this.#set = undefined;
    return true;
  }

  clear(): void {
    this.#set = undefined;
  }

  [Symbol.iterator](): Iterator<T> {
    return (this.#set ?? NOTHING)[Symbol.iterator]() as Iterator<T>;
  }
}

const NOTHING: readonly never[] = Object.freeze([]) as readonly never[];
