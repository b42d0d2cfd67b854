/**
 * The outbox of a run: what it asks of other runs and what is not done yet.
 *
 *   command in a turn -> item, in the journal with that turn -> done (deliveries.ts) -> answer in a turn -> removed
 *
 * Owns: the items, in the order in which they were asked for, and which of them the store has.
 * Does not own: doing them (deliveries.ts), when one is added or removed (run.ts, from durable entries only).
 *
 * D2: an item that is done must not come back, or it would be done twice. So its removal is written to the store whenever
 * it may be there, also when the write that would have put it there failed.
 */
import type { OutboxItem } from '../codec/run-record.js';
import { SparseMap } from './sparse.js';

interface Entry {
  no: number;
  item: OutboxItem;
  saved: boolean;
}

export class Outbox {
  readonly #entries = new SparseMap<string, Entry>();
  #lastNo = 0;

  /** @param lastNo how many items there have been; @param items those that are left, by number */
  constructor(lastNo = 0, items: Iterable<readonly [number, OutboxItem]> = []) {
    this.#lastNo = lastNo;
    for (const [no, item] of items) this.#entries.set(keyOf(item), { no, item, saved: true });
  }

  get size(): number {
    return this.#entries.size;
  }

  get lastNo(): number {
    return this.#lastNo;
  }

  *items(): Generator<OutboxItem> {
    for (const { item } of this.#entries.values()) yield item;
  }

  has(kind: OutboxItem['kind'], seq: number): boolean {
    return this.#entries.has(keyOf({ kind, seq }));
  }

  add(item: OutboxItem): void {
    this.#lastNo += 1;
    this.#entries.set(keyOf(item), { no: this.#lastNo, item, saved: false });
  }

  /** Returns the number under which the store may have it. */
  remove(kind: OutboxItem['kind'], seq: number): number | undefined {
    const key = keyOf({ kind, seq });
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry?.no;
  }

  /** What the store does not have yet; from here on it counts as saved. */
  takeUnsaved(): { no: number; item: OutboxItem }[] {
    const unsaved = [...this.#entries.values()].filter(({ saved }) => !saved);
    for (const entry of unsaved) entry.saved = true;
    return unsaved;
  }

  /** A write failed, and nobody knows what is in the store. */
  saveFailed(): void {
    for (const entry of this.#entries.values()) entry.saved = false;
  }
}

function keyOf({ kind, seq }: { kind: OutboxItem['kind']; seq: number }): string {
  return `${kind} ${seq}`;
}
