/** A binary min-heap: what is due first is on top. Push and pop cost O(log n). */
export class MinHeap<T> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(this.#items[at]!, this.#items[parent]!)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): T | undefined {
    const top = this.#items[0];
    const last = this.#items.pop();
    if (this.#items.length === 0 || last === undefined) return top;
    this.#items[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#items.length && this.#before(this.#items[child]!, this.#items[least]!))
          least = child;
      }
      if (least === at) return top;
      this.#swap(at, least);
      at = least;
    }
  }

  /** Drops all items that are not to be kept. O(n log n). */
  retain(keep: (item: T) => boolean): void {
    const kept = this.#items.filter(keep);
    this.#items.length = 0;
    for (const item of kept) this.#items.push(item);
    this.#sort();
  }

  /** Keeps the first `count` items. Returns the first of the others. O(n log n). */
  truncate(count: number): T | undefined {
    this.#sort();
    const next = this.#items[count];
    this.#items.length = Math.min(count, this.#items.length);
    return next;
  }

  /** A sorted list is a heap. */
  #sort(): void {
    this.#items.sort((a, b) => (this.#before(a, b) ? -1 : this.#before(b, a) ? 1 : 0));
  }

  #swap(a: number, b: number): void {
    const item = this.#items[a]!;
    this.#items[a] = this.#items[b]!;
    this.#items[b] = item;
  }
}
