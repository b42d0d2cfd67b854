/**
 * Large writes, so that small ones need not wait long for the disk.
 *
 *   thread: large message ------+                                        +--> pause, as long as that took --> the next
 *                               +--> the disk has them, up to bytesMax --+
 *   compactor: large write -----+
 *
 * The disk takes what it is given in order, so a commit waits for all that is before it. Threads and the compactor are faster than a
 * disk and would put any number of large writes before it. So while small messages are about, large ones wait until no other is under
 * way, and leave the disk alone for half of the time: what comes meanwhile is written at once.
 *
 * Owns: who must wait, and how long a pause is. Does not own: the queues of the threads (queue.ts), what is written.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { elapsedMs } from './clock.js';

/** Of a message: from here on it takes the disk longer than a commit takes anyway. */
export const LARGE_BYTES = 16 * 1024;
/** Small messages are about until so many large ones have come after the last. */
const LARGE_SINCE_MAX = 32;
/** A disk that stands still for longer is not made faster by a pause, ms. */
const PAUSE_MOST_MS = 100;
/** How often is looked whether what is under way is over, ms. */
const LOOK_MS = 5;
/** Compaction goes on after this, whatever is under way: the journal must not grow, ms. */
const COMPACTION_WAITS_MOST_MS = 100;

/** A thread of the runtime. */
export interface LargeSender {
  /** Bytes of large messages that are in the thread or on their way to the disk. */
  largeBytes(): number;
  /** What had to wait may be tried again. */
  retry(): void;
}

export class LargeWrites {
  readonly #bytesMax: number;
  readonly #senders: LargeSender[] = [];
  #compactionBytes = 0;
  #largeSinceSmall = LARGE_SINCE_MAX;
  #pausesUntil = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param bytesMax of large writes that are under way at once */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  join(sender: LargeSender): void {
    this.#senders.push(sender);
  }

  /** A message that runs code goes to its thread. */
  sent(bytes: number): void {
    this.#largeSinceSmall = bytes < LARGE_BYTES ? 0 : this.#largeSinceSmall + 1;
  }

  /** Whether a message must not go to its thread yet. If so, its thread will be told when to look again. */
  mustWait(bytes: number): boolean {
    if (bytes < LARGE_BYTES || !this.#isAwaited(bytes)) return false;
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        for (const sender of this.#senders) sender.retry();
      }, this.#untilLook());
      // An open runtime keeps the process; what is left of this when it is closed must not.
      this.#timer.unref();
    }
    return true;
  }

  /** A large write is over, after so many ms. */
  written(ms: number): void {
    this.#pausesUntil = elapsedMs() + Math.min(ms, PAUSE_MOST_MS);
  }

  /** Makes a write of the compactor when its time has come; at once, if it `hurries`. @throws what `write` throws */
  compaction(bytes: number, write: () => Promise<void>, hurries: () => boolean): Promise<void> {
    return bytes < LARGE_BYTES ? write() : this.#largeCompaction(bytes, write, hurries);
  }

  async #largeCompaction(bytes: number, write: () => Promise<void>, hurries: () => boolean): Promise<void> {
    for (let waited = 0; waited < COMPACTION_WAITS_MOST_MS && !hurries() && this.#isAwaited(bytes); ) {
      const ms = Math.min(LOOK_MS, this.#untilLook());
      await sleep(ms);
      waited += ms;
    }
    this.#compactionBytes += bytes;
    const begun = elapsedMs();
    try {
      await write();
      this.written(elapsedMs() - begun);
    } finally {
      this.#compactionBytes -= bytes;
    }
  }

  /** Small messages would have to wait for it, and for another one. */
  #isAwaited(bytes: number): boolean {
    if (this.#largeSinceSmall >= LARGE_SINCE_MAX) return false;
    let before = this.#compactionBytes;
    for (const sender of this.#senders) before += sender.largeBytes();
    return before > 0 ? before + bytes > this.#bytesMax : elapsedMs() < this.#pausesUntil;
  }

  #untilLook(): number {
    const left = this.#pausesUntil - elapsedMs();
    return left > 0 ? Math.ceil(left) : LOOK_MS;
  }
}
