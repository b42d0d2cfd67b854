/**
 * What a thread is doing right now, readable from the host while the thread is too busy to answer.
 *
 * Owns: the shared words in which a thread notes whose turn it runs. The host's watchdog reads them to find a turn that
 * does not end, and to know which run took a dead thread with it (D7).
 *
 *   word 0: how many turns, queries and replayed turns began   word 1: mode   words 2, 3: run number, low and high
 */

export const MARKER_BYTES = 16;

export type ThreadMode = 'idle' | 'turn' | 'query' | 'replay';
const MODES: readonly ThreadMode[] = ['idle', 'turn', 'query', 'replay'];

export class TurnMarker {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  turn(runNo: number): void {
    this.#mark(1, runNo);
  }

  query(runNo: number): void {
    this.#mark(2, runNo);
  }

  replay(runNo: number): void {
    this.#mark(3, runNo);
  }

  idle(): void {
    this.#mark(0, 0);
  }

  #mark(mode: number, runNo: number): void {
    Atomics.store(this.#words, 1, mode);
    Atomics.store(this.#words, 2, runNo | 0);
    Atomics.store(this.#words, 3, Math.floor(runNo / 2 ** 32));
    Atomics.add(this.#words, 0, 1);
  }

  /** For the host. Two equal counts mean that the same turn still runs. */
  read(): { count: number; mode: ThreadMode; runNo: number } {
    return {
      count: Atomics.load(this.#words, 0),
      mode: MODES[Atomics.load(this.#words, 1)] ?? 'idle',
      runNo: (Atomics.load(this.#words, 2) >>> 0) + Atomics.load(this.#words, 3) * 2 ** 32,
    };
  }
}
