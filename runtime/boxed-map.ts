/**
 * A Map for what comes and goes by the thousand: what was deleted is garbage at once.
 *
 *   key -> box -> value; delete empties the box
 *
 * V8 links the table of a Map that it has outgrown, or that was cleared, to the next one. A table that has got old is collected
 * only by a full collection; until then it keeps what was in it, and the next tables with what is in those. So in a long-lived Map
 * about as many deleted values outlive short collections as there are entries when a table is full, with all that they refer to.
 * Here they leave an empty box.
 *
 * Owns: the boxes. Does not own: what is in them. It does as Map does, as far as it goes.
 */
interface Box<V> {
  value: V | undefined;
}

export class BoxedMap<K, V> {
  readonly #boxes = new Map<K, Box<V>>();

  get(key: K): V | undefined {
    return this.#boxes.get(key)?.value;
  }

  has(key: K): boolean {
    return this.#boxes.has(key);
  }

  /** As with a Map, a key that is there keeps its place. */
  set(key: K, value: V): void {
    const box = this.#boxes.get(key);
    if (box === undefined) this.#boxes.set(key, { value });
    else box.value = value;
  }

  delete(key: K): boolean {
    const box = this.#boxes.get(key);
    if (box === undefined) return false;
    box.value = undefined;
    return this.#boxes.delete(key);
  }

  clear(): void {
    for (const box of this.#boxes.values()) box.value = undefined;
    this.#boxes.clear();
  }

  *values(): Generator<V, undefined> {
    for (const { value } of this.#boxes.values()) yield value as V;
  }
}
