/**
 * Threads that a test ends from outside, whatever they are doing: as if memory had run out, or native code had failed.
 *
 * Owns: noticing every worker thread that begins from now on. Does not own: what the runtime makes of its end.
 *
 * Threads that are still starting are left alone: Node.js 20 does not survive it when one is ended while it links its modules
 * (runtime/thread-ends.ts). Those that are to fail at their start do so by themselves.
 */
import { createRequire } from 'node:module';
import type { Worker } from 'node:worker_threads';

const threads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker };

export class ThreadKiller {
  readonly #alive: Worker[] = [];
  readonly #real = threads.Worker;

  constructor() {
    const alive = this.#alive;
    threads.Worker = class extends this.#real {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args);
        // Piscina's threads say that they are ready, and nothing else this way.
        this.once('message', () => void alive.push(this));
        this.once('exit', () => {
          if (alive.includes(this)) alive.splice(alive.indexOf(this), 1);
        });
      }
    };
  }

  /** Ends one of them, if there is any. Resolves when it has ended. */
  kill(which: number): Promise<number> | undefined {
    return this.#alive[which % this.#alive.length]?.terminate();
  }

  /** Threads that begin from now on are left alone. */
  restore(): void {
    threads.Worker = this.#real;
  }
}

/** The next threads that begin fail before they have loaded anything. */
export class FailingStarts {
  failed = 0;
  readonly #real = threads.Worker;

  constructor(count: number) {
    const fails = () => this.failed < count && ++this.failed > 0;
    threads.Worker = class extends this.#real {
      constructor(...[filename, options]: ConstructorParameters<typeof Worker>) {
        if (fails()) super("throw new Error('this one does not start')", { ...options, eval: true });
        else super(filename, options);
      }
    };
  }

  /** Threads that begin from now on are left alone. */
  restore(): void {
    threads.Worker = this.#real;
  }
}
