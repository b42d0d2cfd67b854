/**
 * The floors: what the machine, LMDB, worker threads and piscina give with no runtime on top, in the same run.
 *
 * Owns: one folder and one pipeline that all of them share, the list for the report, and which floor belongs to which
 * kind of call. Does not own: the parts (floors/).
 */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { frame } from '../codec/journal-entry.js';
import { RawDatabase, RawJournal, syncs } from './floors/disk.js';
import {
  queryMessage,
  resolvedMessage,
  signalMessage,
  startMessage,
  updateMessage,
} from './floors/messages.js';
import { Pipeline } from './floors/pipeline.js';
import type { PipelineTask } from './floors/pipeline-worker.js';
import { openThread, piscinaRoundTrip, threadRoundTrip } from './floors/threads.js';
import { type Floor, load, type Sample } from './measure.js';
import type { FloorRow } from './report.js';

const VALUE = new Uint8Array(20 * 1024).fill(1);

export class Floors {
  readonly #folder: string;
  readonly #database: RawDatabase;
  readonly #journal: RawJournal;
  readonly #pipeline: Pipeline;

  /**
   * @param folder an empty one, on the disk that is measured
   * @param threads as many as Runtime.open takes by default, if not said
   */
  constructor(folder: string, threads = Math.max(1, availableParallelism() - 1)) {
    this.#folder = folder;
    this.#database = new RawDatabase(path.join(folder, 'database'));
    this.#journal = new RawJournal(path.join(folder, 'journal'));
    this.#pipeline = new Pipeline(this.#journal, threads);
  }

  async close(): Promise<void> {
    await this.#pipeline.close();
    this.#journal.close();
    await this.#database.close();
  }

  /** Each floor by itself. */
  async table(ms: number): Promise<FloorRow[]> {
    const rows: [string, Sample][] = [
      ['append 4 KiB, fdatasync', this.#sync('append', ms)],
      ['overwrite 4 KiB, fdatasync', this.#sync('overwrite', ms)],
      ['LMDB, one value of 20 KiB, flushed', await this.#lmdb(ms)],
      ['thread round trip, postMessage both ways', await threadRoundTrip('message', ms)],
      ['thread round trip, Atomics.wait in the thread', await threadRoundTrip('atomics', ms)],
      ['piscina, one empty task', await piscinaRoundTrip(ms)],
      ['one signal at a time, piscina and a flushed file, no workflow', await this.#oneSignal(ms)],
    ];
    return rows.map(([what, { perSecond, p50, p99 }]) => ({ what, perSecond, p50, p99 }));
  }

  // ----- floors of single calls --------------------------------------------------------------------------------

  /** One call that must be durable cannot be faster than this. */
  readonly durableCall: Floor = {
    kind: 'time',
    what: 'one fdatasync + one thread round trip',
    ms: async (ms) => this.#sync('append', ms / 2).p50 + (await roundTripMs(ms / 2)),
  };

  /** One call that is answered from memory cannot be faster than this. */
  readonly call: Floor = { kind: 'time', what: 'one thread round trip', ms: roundTripMs };

  // ----- floors of many calls ----------------------------------------------------------------------------------

  signals(executions: number): Floor {
    return this.#bulk((k) => this.#send(k, executions, signalMessage));
  }

  updates(executions: number, name: string): Floor {
    return this.#bulk((k) => this.#send(k, executions, (runNo) => updateMessage(runNo, name)));
  }

  queries(executions: number): Floor {
    return this.#bulk((k) => this.#send(k, executions, queryMessage));
  }

  /** Start, then the end of the activity: two messages, the second when the first is durable. */
  steps(): Floor {
    return this.#bulk(async (k) => {
      await this.#pipeline.send(k, startMessage(k));
      await this.#pipeline.send(k, resolvedMessage(k));
    });
  }

  #bulk(call: (k: number) => Promise<void>): Floor {
    return { kind: 'load', what: 'the same bytes, no workflow', call };
  }

  #send(
    k: number,
    executions: number,
    message: (runNo: number) => Parameters<Pipeline['send']>[1],
  ): Promise<void> {
    const runNo = 1 + (k % executions);
    return this.#pipeline.send(runNo, message(runNo));
  }

  // ----- the floor of recovery ---------------------------------------------------------------------------------

  /** Reads a history of so many turns from LMDB and unpacks it in a thread that has done nothing yet. Returns ms. */
  async history(turns: number): Promise<number> {
    const value = Buffer.concat(Array.from({ length: turns }, () => signalTurn));
    await this.#database.put(value);
    const thread = openThread();
    try {
      await thread.run({ kind: 'echo', bytes: new Uint8Array(1) } satisfies PipelineTask);
      const begun = performance.now();
      await thread.run({ kind: 'history', bytes: this.#database.read()! } satisfies PipelineTask);
      return performance.now() - begun;
    } finally {
      await thread.destroy();
    }
  }

  // ----- parts -------------------------------------------------------------------------------------------------

  #sync(where: 'append' | 'overwrite', ms: number): Sample {
    return syncs(path.join(this.#folder, 'sync'), where, ms);
  }

  /** A durable call that does not block the event loop while the disk works: what is left of the runtime without workflows. */
  #oneSignal(ms: number): Promise<Sample> {
    return load(1, ms, (k) => this.#send(k, 1, signalMessage));
  }

  #lmdb(ms: number): Promise<Sample> {
    return load(1, ms, () => this.#database.put(VALUE));
  }
}

/** The faster of the two ways there are. */
async function roundTripMs(ms: number): Promise<number> {
  const message = await threadRoundTrip('message', ms / 4);
  const atomics = await threadRoundTrip('atomics', ms / 4);
  return Math.min(message.p50, atomics.p50);
}

const signal = signalMessage(1);
const signalTurn = frame(
  1,
  {
    kind: 'turn',
    time: Date.now(),
    taken: 0,
    inputs: signal.kind === 'input' ? [signal.input] : [],
    commands: [],
  },
  4,
  false,
);
