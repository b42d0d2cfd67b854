/**
 * The child process of memory.ts: starts executions, takes the size of everything, starts more, takes it again.
 *
 * It runs with --expose-gc: a workflow collects the garbage of the one pool thread, and what the thread reports as its heap
 * afterwards is what is alive in it. Memory outside the heap, such as the thread's buffers, shows in the resident set only.
 */
import type { Runtime } from '../runtime/index.js';
import { openRuntime, startCounters } from './bench.js';
import { serve } from './child.js';
import { collectGarbage } from './garbage.js';
import { type collector, collectGarbage as collectThreadGarbage, total } from './workflows.js';

export interface Order {
  folder: string;
  /** Activations stay in their thread; otherwise they leave it at once. */
  held: boolean;
  few: number;
  many: number;
}

/** Bytes, per execution. */
export interface Footprint {
  threadHeap: number;
  host: number;
  resident: number;
}

/** Starts under way at once. */
const STARTS = 500;
/** One collection leaves some that the next one finds. */
const COLLECTIONS = 3;
/** The thread looks at its heap once in some batches; so many make sure that it has looked. */
const BATCHES = 200;
/** Small, so that what has not left the journal yet is no part of the difference. */
const JOURNAL_BYTES = 256 * 1024;

serve(async ({ folder, held, few, many }: Order): Promise<Footprint> => {
  const limits = { activationsPerThreadMax: held ? 2 * many : 1, journalBytesMax: JOURNAL_BYTES };
  const runtime = await openRuntime(folder, { threads: 1, limits });
  await runtime.client.workflow.start<typeof collector>('collector', { workflowId: 'collector' });
  await startMany(runtime, 0, few);
  const before = await footprint(runtime);
  await startMany(runtime, few, many);
  const after = await footprint(runtime);
  const each = (pick: (footprint: Footprint) => number) => (pick(after) - pick(before)) / (many - few);
  return {
    threadHeap: each((f) => f.threadHeap),
    host: each((f) => f.host),
    resident: each((f) => f.resident),
  };
});

async function startMany(runtime: Runtime, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += STARTS) {
    await startCounters(
      runtime,
      Array.from({ length: Math.min(STARTS, to - at) }, (_, i) => `idle-${at + i}`),
    );
  }
}

async function footprint(runtime: Runtime): Promise<Footprint> {
  const handle = runtime.client.workflow.getHandle<typeof collector>('collector');
  for (let i = 0; i < BATCHES; i++) await handle.query(total);
  for (let i = 0; i < COLLECTIONS; i++) {
    await handle.signal(collectThreadGarbage);
    collectGarbage();
  }
  for (let i = 0; i < BATCHES; i++) await handle.query(total);
  const { heapUsed, external, rss } = process.memoryUsage();
  const threadHeap = runtime.metrics().threadHeapBytes.reduce((sum, bytes) => sum + bytes, 0);
  return { threadHeap, host: heapUsed + external, resident: rss };
}
