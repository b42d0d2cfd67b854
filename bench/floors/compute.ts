/**
 * The floor of CPU-heavy turns: the same computation in as many bare threads, without a message in between.
 *
 * Owns: the threads. What the machine does not give to them (shared cores, clock rates that sink) it does not give to turns.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export class Grinders {
  readonly #workers: readonly Worker[];

  constructor(threads: number) {
    this.#workers = Array.from(
      { length: threads },
      () => new Worker(new URL('./grind-worker.js', import.meta.url)),
    );
  }

  /** Computations per second of all threads together. */
  async perSecond(ms: number): Promise<number> {
    const counts = await Promise.all(this.#workers.map((worker) => grindIn(worker, ms)));
    return (counts.reduce((sum, count) => sum + count, 0) / ms) * 1_000;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

async function grindIn(worker: Worker, ms: number): Promise<number> {
  const answered = once(worker, 'message') as Promise<[{ count: number }]>;
  worker.postMessage(ms);
  const [{ count }] = await answered;
  return count;
}
