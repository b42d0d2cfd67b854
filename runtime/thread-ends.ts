/**
 * The end of threads, of which Node.js needs two things taken care of.
 *
 * A thread that is terminated while Node.js links its modules takes the whole process along ("FATAL ERROR:
 * v8::Module::IsGraphAsync", Node.js 20). It happens to whoever closes a runtime right after opening it, because a pool
 * does not wait until all its threads have started.
 *
 * A termination that meets a thread just while Node.js notes a rejected promise is forgotten (all versions up to 26 do it): the
 * code goes on, and code without an end has none, keeps its core and the process. So it is done again until the thread is gone.
 *
 * Owns: knowing which threads of a piscina pool have loaded, and that those that were ended do end.
 * Does not own: which ones are ended, and when (pool.ts, activities/pool.ts).
 */
import type { Worker } from 'node:worker_threads';
import type { Piscina } from 'piscina';

const END_AGAIN_MS = 250;

export class ThreadEnds {
  readonly #piscina: Piscina<any, any>;
  readonly #loaded = new WeakSet<Worker>();
  /** Those that live, by thread id, which is all that piscina tells of one that it ends. */
  readonly #threads = new Map<number, Worker>();

  /** To be made together with the pool, before any of its threads can have said anything. */
  constructor(piscina: Piscina<any, any>) {
    this.#piscina = piscina;
    for (const thread of piscina.threads) {
      this.#note(thread);
      thread.once('message', () => this.#loaded.add(thread));
    }
    // Those of the beginning are told of at once; those that come later, when they have loaded.
    piscina.on('workerCreate', ({ id }: { id: number }) => {
      const thread = piscina.threads.find(({ threadId }) => threadId === id);
      if (thread === undefined || this.#threads.has(id)) return;
      this.#note(thread);
      this.#loaded.add(thread);
    });
    piscina.on('workerDestroy', ({ id }: { id: number }) => endUntilGone(this.#threads.get(id)));
  }

  /** Resolves when no thread is loading any more. */
  async loaded(): Promise<void> {
    const loading = this.#piscina.threads.filter((thread) => !this.#loaded.has(thread));
    await Promise.all(loading.map(loadedOrGone));
  }

  /** Ends them all. Resolves when they have ended. */
  async close(): Promise<void> {
    await this.loaded();
    await this.#piscina.destroy();
  }

  #note(thread: Worker): void {
    const id = thread.threadId;
    this.#threads.set(id, thread);
    thread.once('exit', () => this.#threads.delete(id));
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

function endUntilGone(thread: Worker | undefined): void {
  if (thread === undefined) return;
  // Each time adds a listener, and native code that takes long may let it come to many times.
  thread.setMaxListeners(0);
  const again = setInterval(() => void thread.terminate(), END_AGAIN_MS);
  thread.once('exit', () => clearInterval(again));
}
