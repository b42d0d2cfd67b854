/**
 * The floor of everything that is sent in bulk: the same bytes through the same threads and journal, and no workflow.
 *
 *   send -> queue --(thread idle)--> packed batch -> thread unpacks it and packs what the turns would have given
 *        <- told <- one write, flushed <- unpacked result
 *
 * Owns: the batching loop of runtime/thread.ts reduced to what no runtime could leave out: while a thread is busy its
 * messages gather, and the commit of a batch overlaps with the next one.
 * Does not own: what crosses the border (codec/), the thread's side (pipeline-worker.ts).
 */
import type { Piscina } from 'piscina';
import { type Envelope, packBatch, unpackResult } from '../../codec/envelope.js';
import { DEFAULT_LIMITS } from '../../runtime/limits.js';
import type { RawJournal } from './disk.js';
import type { PipelineTask } from './pipeline-worker.js';
import { openThread } from './threads.js';

interface Waiting {
  envelope: Envelope;
  resolve: () => void;
}

export class Pipeline {
  readonly #lanes: Lane[];

  constructor(journal: RawJournal, threads: number) {
    this.#lanes = Array.from({ length: threads }, () => new Lane(journal));
  }

  /** Resolves when the message's turn is on the disk, or its answer there. */
  send(runNo: number, envelope: Envelope): Promise<void> {
    return this.#lanes[runNo % this.#lanes.length]!.send(envelope);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

class Lane {
  readonly #journal: RawJournal;
  readonly #thread: Piscina = openThread();
  #queue: Waiting[] = [];
  #phase: 'idle' | 'scheduled' | 'busy' = 'idle';
  #batchNo = 0;

  constructor(journal: RawJournal) {
    this.#journal = journal;
  }

  send(envelope: Envelope): Promise<void> {
    return new Promise((resolve) => {
      this.#queue.push({ envelope, resolve });
      if (this.#phase !== 'idle') return;
      this.#phase = 'scheduled';
      queueMicrotask(() => void this.#run());
    });
  }

  async close(): Promise<void> {
    await this.#thread.destroy();
  }

  async #run(): Promise<void> {
    this.#phase = 'busy';
    while (this.#queue.length > 0) await this.#batch(this.#queue.splice(0, DEFAULT_LIMITS.batchMessagesMax));
    this.#phase = 'idle';
  }

  async #batch(items: readonly Waiting[]): Promise<void> {
    const envelopes = items.map(({ envelope }) => envelope);
    const bytes = packBatch({ no: ++this.#batchNo, now: Date.now(), timed: false, envelopes });
    const task: PipelineTask = { kind: 'batch', bytes };
    const result = unpackResult(
      (await this.#thread.run(task, { transferList: [bytes.buffer] })) as Uint8Array,
    );
    const tell = (): void => {
      for (const { resolve } of items) resolve();
    };
    if (result.journal.length === 0) tell();
    else this.#journal.append(result.journal, tell);
  }
}
