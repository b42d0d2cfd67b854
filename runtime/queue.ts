/**
 * What waits for one thread: in order within a run, and the runs by turns.
 *
 *   suspect -----------------------------------------------------------------------------> a batch of its own, before all else
 *   push --> fresh --all fits into one batch-----------------------------------------------> that batch
 *              | else
 *              +--> lane of its run --+--> light lanes: some messages of each, round by round --> a batch that many runs share
 *                                     +--> heavy lanes: a message that fills a batch -----------> a batch of its own
 *
 * As long as all that waits fits into a batch there is nothing to share out, and lanes would cost more than a query does.
 *
 * A lane is light or heavy by the message at its head. A batch is answered as a whole, so whatever travels with a heavy message
 * waits as long as that takes; by itself it delays the others by one message and not by all that its run has waiting. After a
 * heavy batch the light ones have as much of the thread's time, if they want it, before the next heavy one goes.
 *
 * Owns: lanes, whose turn it is. Does not own: limits on what is pushed, what a message is expected to cost, batches (thread.ts).
 *
 * D3: messages of a run leave in the order in which they came: suspects were sent before, and what is fresh came after all that
 * is in lanes. Taking a batch does not look through all that waits, so a long queue costs no more than a short one.
 */
import type { Item, Live } from './live.js';

/** What kind of batch was taken. */
export type BatchKind = 'light' | 'heavy' | 'suspect';

export class MessageQueue {
  /** The share of a batch that a message takes; 1 and more is a heavy one. */
  readonly #cost: (item: Item) => number;
  readonly #messagesMax: number;
  /** Any of these may have ended the thread: they go one at a time, until they have all gone. */
  #suspects: Item[] = [];
  /** In the order in which they came, not looked at yet. */
  #fresh: Item[] = [];
  readonly #lanes = new Map<Live, Lane>();
  /** In the order of their turns. */
  readonly #light = new Set<Lane>();
  readonly #heavy = new Set<Lane>();
  #size = 0;
  /** Time of the thread that heavy messages have had before light ones that were waiting, ms. */
  #owedMs = 0;

  constructor(cost: (item: Item) => number, messagesMax: number) {
    this.#cost = cost;
    this.#messagesMax = messagesMax;
  }

  get size(): number {
    return this.#size;
  }

  push(item: Item): void {
    this.#fresh.push(item);
    this.#size++;
  }

  /** Before all else, one at a time, in this order: one of them ended the thread, and it is not known which. */
  suspect(items: readonly Item[]): void {
    this.#suspects = items.concat(this.#suspects);
    this.#size += items.length;
  }

  /** Before all that waits for their runs, in this order. */
  unshift(items: readonly Item[]): void {
    if (this.#suspects.length > 0) return this.suspect(items);
    this.#sort();
    for (let at = items.length - 1; at >= 0; at--) {
      const lane = this.#lane(items[at]!.live);
      this.#unline(lane);
      lane.unshift(items[at]!);
      this.#size++;
      this.#line(lane);
    }
  }

  /** Takes some of a run's messages out, in order. */
  remove(live: Live, which: (item: Item) => boolean): Item[] {
    this.#sort();
    const leaves = (item: Item) => item.live === live && which(item);
    const removed = this.#suspects.filter(leaves);
    if (removed.length > 0) this.#suspects = this.#suspects.filter((item) => !leaves(item));
    const lane = this.#lanes.get(live);
    if (lane !== undefined) {
      removed.push(...lane.remove(which));
      this.#unline(lane);
      this.#line(lane);
    }
    this.#size -= removed.length;
    return removed;
  }

  /**
   * Gives the messages of the next batch to `put`, one after the other, which answers whether it took the message, and may push
   * others meanwhile. A run whose message was not taken stays behind, in order. Undefined: nothing could go.
   */
  take(put: (item: Item) => boolean): BatchKind | undefined {
    if (this.#suspects.length > 0) return this.#takeSuspect(put);
    if (this.#lanes.size === 0 && this.#allFits()) return this.#takeAll(put);
    this.#sort();
    const turnOfHeavy = this.#light.size === 0 || this.#owedMs <= 0;
    if (turnOfHeavy && this.#takeHeavy(put)) return 'heavy';
    if (this.#takeLight(put)) return 'light';
    return !turnOfHeavy && this.#takeHeavy(put) ? 'heavy' : undefined;
  }

  /** How long the thread had the batch that was taken last. */
  took(kind: BatchKind, ms: number): void {
    if (kind === 'heavy') this.#owedMs = ms;
    else if (kind === 'light') this.#owedMs -= ms;
  }

  #takeSuspect(put: (item: Item) => boolean): BatchKind | undefined {
    const waiting = new Set<Live>();
    for (const [at, item] of this.#suspects.entries()) {
      if (!waiting.has(item.live) && put(item)) {
        this.#suspects.splice(at, 1);
        this.#size--;
        return 'suspect';
      }
      waiting.add(item.live);
    }
    return undefined;
  }

  #allFits(): boolean {
    if (this.#fresh.length > this.#messagesMax) return false;
    let share = 0;
    for (const item of this.#fresh) share += this.#cost(item);
    return share <= 1;
  }

  #takeAll(put: (item: Item) => boolean): BatchKind | undefined {
    const items = this.#fresh;
    this.#fresh = [];
    let taken = 0;
    let waiting: Set<Live> | undefined;
    for (const item of items) {
      if (!waiting?.has(item.live) && put(item)) taken++;
      else {
        waiting ??= new Set();
        waiting.add(item.live);
        this.#intoLane(item);
      }
    }
    this.#size -= taken;
    return taken > 0 ? 'light' : undefined;
  }

  #sort(): void {
    for (const item of this.#fresh) this.#intoLane(item);
    this.#fresh = [];
  }

  #intoLane(item: Item): void {
    const lane = this.#lane(item.live);
    lane.push(item);
    if (lane.length === 1) this.#line(lane);
  }

  #takeHeavy(put: (item: Item) => boolean): boolean {
    for (const lane of this.#heavy) {
      if (!put(lane.head!)) continue;
      this.#taken(lane);
      this.#heavy.delete(lane);
      this.#line(lane);
      return true;
    }
    return false;
  }

  /** Goes from lane to lane until the batch is full, as often as it takes. */
  #takeLight(put: (item: Item) => boolean): boolean {
    const each = Math.ceil(this.#messagesMax / Math.max(1, this.#light.size));
    const staying: Lane[] = [];
    let full = 0;
    for (const lane of this.#light) {
      this.#light.delete(lane);
      const { share, stays } = this.#visit(lane, each, 1 - full, put);
      full += share;
      if (stays) staying.push(lane);
      // At the end of the line, so that this loop comes by again while there is room.
      else this.#line(lane);
      if (full >= 1) break;
    }
    for (const lane of staying) this.#line(lane);
    return full > 0;
  }

  /** Takes up to so many light messages of a lane, and not much more than a fair share where each is costly. */
  #visit(lane: Lane, most: number, room: number, put: (item: Item) => boolean) {
    const fair = Math.min(room, Math.max(SHARE_LEAST, most / this.#messagesMax));
    let share = 0;
    for (let count = 0; count < most && share < fair; count++) {
      const item = lane.head;
      if (item === undefined) break;
      const cost = this.#cost(item);
      if (cost >= 1) break;
      if (!put(item)) return { share, stays: true };
      share += cost;
      this.#taken(lane);
    }
    return { share, stays: false };
  }

  #taken(lane: Lane): void {
    lane.shift();
    this.#size--;
  }

  #lane(live: Live): Lane {
    let lane = this.#lanes.get(live);
    if (lane === undefined) {
      lane = new Lane(live);
      this.#lanes.set(live, lane);
    }
    return lane;
  }

  /** To the end of the line in which its head belongs. */
  #line(lane: Lane): void {
    const { head } = lane;
    if (head === undefined) this.#lanes.delete(lane.live);
    else if (this.#cost(head) >= 1) this.#heavy.add(lane);
    else this.#light.add(lane);
  }

  #unline(lane: Lane): void {
    this.#light.delete(lane);
    this.#heavy.delete(lane);
  }
}

/** A lane may have this share of a batch at a visit, however many other lanes there are. */
const SHARE_LEAST = 1 / 64;
/** So many places that were left are given back at once. */
const LEFT_MOST = 1_024;

/** The messages of one run: a line that is left at its head. */
class Lane {
  readonly live: Live;
  #items: (Item | undefined)[] = [];
  #at = 0;

  constructor(live: Live) {
    this.live = live;
  }

  get length(): number {
    return this.#items.length - this.#at;
  }

  get head(): Item | undefined {
    return this.#items[this.#at];
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  unshift(item: Item): void {
    if (this.#at > 0) this.#items[--this.#at] = item;
    else this.#items.unshift(item);
  }

  shift(): void {
    this.#items[this.#at++] = undefined;
    if (this.#at < LEFT_MOST || this.#at * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#at);
    this.#at = 0;
  }

  remove(which: (item: Item) => boolean): Item[] {
    const items = this.#items.slice(this.#at) as Item[];
    const removed = items.filter(which);
    if (removed.length > 0) {
      this.#items = items.filter((item) => !which(item));
      this.#at = 0;
    }
    return removed;
  }
}
