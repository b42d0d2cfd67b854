/**
 * The size of everything that is alive in a process with a runtime.
 *
 * It needs --expose-gc: a workflow collects the garbage of the one pool thread, and what the thread reports as its heap
 * afterwards is what is alive in it. Memory outside the heap, such as the thread's buffers, shows in the resident set only.
 */
import type { Runtime } from '../runtime/index.js';
import { collectGarbage } from './garbage.js';
import { type collector, collectGarbage as collectThreadGarbage, total } from './workflows.js';

/** Bytes. */
export interface Footprint {
  threadHeap: number;
  host: number;
  resident: number;
}

/** One collection leaves some that the next one finds. */
const COLLECTIONS = 3;
/** The thread looks at its heap once in some batches; so many make sure that it has looked. */
const BATCHES = 200;

/** Before footprint() can be asked. */
export async function startCollector(runtime: Runtime): Promise<void> {
  await runtime.client.workflow.start<typeof collector>('collector', { workflowId: 'collector' });
}

export async function footprint(runtime: Runtime): Promise<Footprint> {
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

/** What each of those costs that came between two sizes. */
export function footprintEach(before: Footprint, after: Footprint, count: number): Footprint {
  return {
    threadHeap: (after.threadHeap - before.threadHeap) / count,
    host: (after.host - before.host) / count,
    resident: (after.resident - before.resident) / count,
  };
}
