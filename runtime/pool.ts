/**
 * The pool of workflow threads: piscina, with a load balancer that pins each slot to one thread.
 *
 *   slot k --run(batch)--> its thread, for as long as that thread lives; then a new one takes the slot
 *
 * Owns: starting and ending threads, which thread serves which slot, the watch over turns that do not end (D7).
 * Does not own: what is in a batch (thread.ts), what the thread does with it (worker.ts).
 */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { type Clock, realPause } from './clock.js';
import type { Limits } from './limits.js';
import type { WorkflowScript } from './realm.js';
import { ThreadEnds } from './thread-ends.js';
import { MARKER_BYTES, type ThreadMode, TurnMarker } from './turn-marker.js';
import type { WorkerData, WorkerTask } from './worker.js';

/** A thread died, or was ended because a turn did not end. `mode` and `runNo` say what it was doing. */
export class ThreadDiedError extends Error {
  override name = 'ThreadDiedError';
  constructor(
    readonly mode: ThreadMode,
    readonly runNo: number,
    readonly blocked: boolean,
    options: { cause: unknown },
  ) {
    super(
      blocked ? 'A turn blocked its thread for longer than limits.turnMsMax' : 'A workflow thread died',
      options,
    );
  }
}

/** How soon a thread is started again after one has died before it could take a batch, ms. */
const START_AGAIN_MS = 250;

/** How many looks at a busy thread make up the limit; a turn is ended after the limit and at most one look more. */
const LOOKS_PER_LIMIT = 8;

export class Pool {
  readonly #piscina: Piscina<WorkerTask, unknown>;
  readonly #ends: ThreadEnds;
  readonly #markers: TurnMarker[];
  readonly #watches: Watch[];
  /** What threads are started with from now on. */
  readonly #workerData: WorkerData;
  /** Slots whose thread was started without the code and has had no task yet. */
  readonly #codeless: Set<number>;
  /** Slots whose thread has done a batch, so that it holds what the host thinks it does. */
  readonly #begun = new Set<number>();
  /** Thread id by slot. */
  readonly #pinned = new Map<number, number>();
  /** Tasks for which there is no thread yet, by slot. */
  readonly #unserved = new Map<number, Ending>();
  #closed = false;

  /**
   * Its threads start at once; load() must come before run().
   * @param onError hears of threads that ended while they were idle, or before they had started; the next ones replace them
   */
  constructor(threads: number, limits: Limits, clock: Clock, onError: (error: Error) => void) {
    const buffers = Array.from({ length: threads }, () => new SharedArrayBuffer(MARKER_BYTES));
    this.#workerData = { script: undefined, markers: buffers };
    this.#codeless = new Set(buffers.keys());
    this.#markers = buffers.map((buffer) => new TurnMarker(buffer));
    this.#watches = this.#markers.map((marker) => new Watch(marker, clock, limits.turnMsMax));
    this.#piscina = new Piscina({
      filename: fileURLToPath(new URL('./worker.js', import.meta.url)),
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      atomics: 'sync',
      recordTiming: false,
      // The code that runs here is workflow code only; what the embedder passes to its own process is not for it.
      execArgv: [],
      env: {},
      workerData: this.#workerData,
      // A thread at its limit gets 16 MiB more from Node.js to end in. A young generation of the default size can
      // move as much at once, and then V8 ends the whole process instead; of 24 MiB it moves 8 at most.
      resourceLimits: {
        maxOldGenerationSizeMb: Math.ceil(limits.heapBytesPerThreadHard / 2 ** 20),
        maxYoungGenerationSizeMb: 24,
      },
      loadBalancer: (task, workers) => this.#pick(slotOf(task), workers),
    });
    this.#ends = new ThreadEnds(this.#piscina);
    // A thread that dies between two tasks is replaced by piscina; the next batch finds the new one (`continues`).
    this.#piscina.on('error', (cause: Error) =>
      onError(new Error(`A workflow thread ended, another takes its place: ${cause.message}`, { cause })),
    );
    this.#piscina.on('workerDestroy', ({ id }: { id: number }) => this.#ended(id));
  }

  /**
   * Takes the workflow code, which each thread gets with its first task. Returns the names of the exported workflow functions.
   * @throws ThreadDiedError whose cause is what the user's modules threw, or which says that they blocked
   */
  async load(script: WorkflowScript): Promise<string[]> {
    this.#workerData.script = script;
    return (await this.#run({ kind: 'types', slot: 0, script: this.#scriptFor(0) }, [])) as string[];
  }

  /** @throws ThreadDiedError when the thread did not live to answer. */
  async run(slot: number, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    const continues = this.#begun.has(slot);
    const task: WorkerTask = { kind: 'batch', slot, bytes, script: this.#scriptFor(slot), continues };
    const result = (await this.#run(task, [bytes.buffer])) as Uint8Array;
    this.#begun.add(slot);
    return result;
  }

  /** Undefined when the thread has it. One that takes the place of another is started with it. */
  #scriptFor(slot: number): WorkflowScript | undefined {
    return this.#codeless.delete(slot) ? this.#workerData.script : undefined;
  }

  async #run(task: WorkerTask, transferList: ArrayBuffer[]): Promise<unknown> {
    const { slot } = task;
    const marker = this.#markers[slot]!;
    for (;;) {
      const ending = new Ending();
      const watch = this.#watch(slot, ending);
      this.#unserved.set(slot, ending);
      try {
        return await this.#piscina.run(withSlot(task), { transferList, signal: ending });
      } catch (error) {
        if (ending.unserved) {
          await realPause(START_AGAIN_MS);
          if (!this.#closed) continue;
        }
        const { mode, runNo } = marker.read();
        marker.idle();
        this.#begun.delete(slot);
        throw new ThreadDiedError(mode, runNo, ending.aborted, { cause: error });
      } finally {
        watch.end();
      }
    }
  }

  /**
   * A thread that had no slot yet may have been the one that somebody waits for. Piscina starts no other by itself (it takes
   * this for a sign that none can start), but does for a new task.
   */
  #ended(id: number): void {
    if (this.#closed || [...this.#pinned.values()].includes(id)) return;
    for (const ending of this.#unserved.values()) {
      ending.unserved = true;
      ending.abort();
    }
  }

  #watch(slot: number, ending: Ending): Watch {
    const watch = this.#watches[slot]!;
    watch.begin(() => ending.abort());
    return watch;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    await this.#ends.close();
  }

  #pick<W extends { id: number; currentUsage: number }>(slot: number, workers: W[]): W | null {
    const pinned = workers.find(({ id }) => id === this.#pinned.get(slot));
    if (pinned !== undefined) return pinned.currentUsage === 0 ? this.#serve(slot, pinned) : null;
    const taken = new Set(this.#pinned.values());
    const free = workers.find(({ id, currentUsage }) => !taken.has(id) && currentUsage === 0);
    if (free === undefined) return null;
    this.#pinned.set(slot, free.id);
    return this.#serve(slot, free);
  }

  #serve<W>(slot: number, worker: W): W {
    this.#unserved.delete(slot);
    return worker;
  }
}

/** What piscina asks of an AbortSignal. A real one costs more than all else that is done for a batch. */
class Ending {
  aborted = false;
  /** Called off before any thread had it. */
  unserved = false;
  #listener: (() => void) | undefined;

  addEventListener(_name: 'abort', listener: () => void): void {
    this.#listener = listener;
  }

  removeEventListener(): void {
    this.#listener = undefined;
  }

  abort(): void {
    this.aborted = true;
    this.#listener?.();
  }
}

/**
 * Looks at a busy thread's marker now and then; the same turn at every look for the whole limit means that it is blocked.
 * Looks go on from one batch to the next and end when the thread is idle at one, so that a batch costs no timer.
 */
class Watch {
  readonly #marker: TurnMarker;
  readonly #clock: Clock;
  readonly #pause: number;
  /** While a batch is in the thread. */
  #blocked: (() => void) | undefined;
  #stop: (() => void) | undefined;
  #seen = -1;
  #looks = 0;

  constructor(marker: TurnMarker, clock: Clock, turnMsMax: number) {
    this.#marker = marker;
    this.#clock = clock;
    this.#pause = turnMsMax / LOOKS_PER_LIMIT;
  }

  begin(blocked: () => void): void {
    this.#blocked = blocked;
    this.#looks = 0;
    this.#stop ??= this.#clock.after(this.#pause, () => this.#look());
  }

  end(): void {
    this.#blocked = undefined;
  }

  close(): void {
    this.end();
    this.#stop?.();
    this.#stop = undefined;
  }

  #look(): void {
    this.#stop = undefined;
    if (this.#blocked === undefined) return;
    const { count, mode } = this.#marker.read();
    this.#looks = count === this.#seen && mode !== 'idle' ? this.#looks + 1 : 0;
    this.#seen = count;
    if (this.#looks >= LOOKS_PER_LIMIT) return this.#blocked();
    this.#stop = this.#clock.after(this.#pause, () => this.#look());
  }
}

function withSlot(task: WorkerTask): WorkerTask {
  return Object.assign(task, { [Piscina.queueOptionsSymbol]: { slot: task.slot } });
}

function slotOf(task: object): number {
  return (task as Record<symbol, { slot: number }>)[Piscina.queueOptionsSymbol]!.slot;
}
