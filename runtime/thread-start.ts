/**
 * Threads that are still loading their code, and must not be ended meanwhile.
 *
 * A thread that is terminated while Node.js links its modules takes the whole process along ("FATAL ERROR:
 * v8::Module::IsGraphAsync", Node.js 20). It happens to whoever closes a runtime right after opening it, because a pool
 * does not wait until all its threads have started.
 *
 * Owns: knowing which threads of a piscina pool have loaded. Does not own: ending them (pool.ts, activities/pool.ts).
 */
import type { Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';

export class ThreadStarts {
  readonly #piscina: Piscina<any, any>;
  readonly #loaded = new WeakSet<Worker>();

  /** To be made together with the pool, before any of its threads can have said anything. */
  constructor(piscina: Piscina<any, any>) {
    this.#piscina = piscina;
    for (const thread of piscina.threads) thread.once('message', () => this.#loaded.add(thread));
    // Those of the beginning are told of at once; those that come later, when they have loaded.
    const first = new Set(piscina.threads.map(({ threadId }) => threadId));
    piscina.on('workerCreate', ({ id }: { id: number }) => {
      const thread = piscina.threads.find(({ threadId }) => threadId === id);
      if (thread !== undefined && !first.has(id)) this.#loaded.add(thread);
    });
  }

  /** Resolves when no thread is loading any more. */
  async over(): Promise<void> {
    const loading = this.#piscina.threads.filter((thread) => !this.#loaded.has(thread));
    await Promise.all(loading.map(loadedOrGone));
  }
}

/** The first message of a thread of piscina says that it has loaded. */
function loadedOrGone(thread: Worker): Promise<void> {
  // Threads do not keep the process; somebody waits for this one.
  thread.ref();
  return new Promise((resolve) => {
    thread.once('message', () => resolve());
    thread.once('exit', () => resolve());
  });
}
