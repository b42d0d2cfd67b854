/**
 * Floors of the border between threads: one message there and one back, with nothing in it.
 *
 *   message   postMessage both ways, both sides in their event loop
 *   atomics   the thread sleeps in Atomics.wait and is woken at once; the answer comes as a message, since a host that
 *             slept as well could do nothing else
 *   piscina   a task and its result, with the options of runtime/pool.ts
 *
 * Owns: the host's side of the three; ping-worker.ts and pipeline-worker.ts are the other.
 */
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { load, type Sample } from '../measure.js';

export interface PingWorkerData {
  /** Absent: the thread waits in its event loop. Present: in Atomics.wait on the first word. */
  shared: Int32Array | undefined;
}

const BYTES = new Uint8Array(64);

export async function threadRoundTrip(how: 'message' | 'atomics', ms: number): Promise<Sample> {
  const shared = how === 'atomics' ? new Int32Array(new SharedArrayBuffer(4)) : undefined;
  const { port1, port2 } = new MessageChannel();
  const workerData: PingWorkerData = { shared };
  const worker = new Worker(new URL('./ping-worker.js', import.meta.url), { workerData });
  worker.postMessage(port2, [port2]);
  let wake = (): void => undefined;
  port1.on('message', () => wake());
  const ping = (): Promise<void> => {
    const answered = new Promise<void>((resolve) => {
      wake = resolve;
    });
    port1.postMessage(BYTES);
    if (shared !== undefined) {
      Atomics.add(shared, 0, 1);
      Atomics.notify(shared, 0);
    }
    return answered;
  };
  try {
    await load(1, ms / 2, ping);
    return await load(1, ms, ping);
  } finally {
    port1.close();
    await worker.terminate();
  }
}

/** One thread of a pool, opened as runtime/pool.ts opens it. */
export function openThread(): Piscina {
  const filename = fileURLToPath(new URL('./pipeline-worker.js', import.meta.url));
  return new Piscina({
    filename,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 1,
    atomics: 'sync',
    recordTiming: false,
    execArgv: [],
    env: {},
  });
}

export async function piscinaRoundTrip(ms: number): Promise<Sample> {
  const thread = openThread();
  const task = (): Promise<unknown> => {
    const bytes = BYTES.slice();
    return thread.run({ kind: 'echo', bytes }, { transferList: [bytes.buffer] });
  };
  try {
    await load(1, ms / 2, task);
    return await load(1, ms, task);
  } finally {
    await thread.destroy();
  }
}
