/** The child process of memory.ts: starts executions, takes the size of everything, starts more, takes it again. */
import type { Runtime } from '../runtime/index.js';
import { openRuntime, startCounters } from './bench.js';
import { serve } from './child.js';
import { type Footprint, footprint, footprintEach, startCollector } from './footprint.js';

export interface Order {
  folder: string;
  /** Activations stay in their thread; otherwise they leave it at once. */
  held: boolean;
  few: number;
  many: number;
}

/** Starts under way at once. */
const STARTS = 500;
/** Small, so that what has not left the journal yet is no part of the difference. */
const JOURNAL_BYTES = 256 * 1024;

serve(async ({ folder, held, few, many }: Order): Promise<Footprint> => {
  const limits = { activationsPerThreadMax: held ? 2 * many : 1, journalBytesMax: JOURNAL_BYTES };
  const runtime = await openRuntime(folder, { threads: 1, limits });
  await startCollector(runtime);
  await startMany(runtime, 0, few);
  const before = await footprint(runtime);
  await startMany(runtime, few, many);
  return footprintEach(before, await footprint(runtime), many - few);
});

async function startMany(runtime: Runtime, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += STARTS) {
    await startCounters(
      runtime,
      Array.from({ length: Math.min(STARTS, to - at) }, (_, i) => `idle-${at + i}`),
    );
  }
}
