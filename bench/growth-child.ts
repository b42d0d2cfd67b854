/** The child process of growth.ts. */
import { type Handle, openRuntime, startCounters } from './bench.js';
import { serve } from './child.js';
import { type Footprint, footprint, startCollector } from './footprint.js';
import { load } from './measure.js';
import { type ProcessMemory, processMemory } from './process-memory.js';
import { add, type counter, total } from './workflows.js';

export type Order =
  /** Give one execution that many events, then compare it with young ones. */
  | { kind: 'grow'; folder: string; events: number; bursts: number }
  /** Open the store and query the execution. */
  | { kind: 'ask'; folder: string };

export interface Answer {
  events?: number;
  /** Microseconds of a signal, one entry a burst. */
  old?: number[];
  young?: number[];
  before?: Footprint;
  after?: Footprint;
  answerMs?: number;
  memory?: ProcessMemory;
}

const NAME = 'old';
const SENDERS = 256;
const SLICE_MS = 500;

serve((order: Order): Promise<Answer> => (order.kind === 'grow' ? grow(order) : ask(order)));

async function grow({ folder, events, bursts }: Extract<Order, { kind: 'grow' }>): Promise<Answer> {
  const runtime = await openRuntime(folder);
  await startCollector(runtime);
  const names = Array.from({ length: bursts }, (_, i) => `young-${i}`);
  const [old, ...young] = await startCounters(runtime, [NAME, ...names]);
  // A first turn and one more: about ten events.
  for (const handle of young) await handle.signal(add, 1);
  const before = await footprint(runtime);
  while ((await old!.describe()).historyLength < events) {
    await load(SENDERS, SLICE_MS, () => old!.signal(add, 1));
  }
  const after = await footprint(runtime);
  const costs = { old: [] as number[], young: [] as number[] };
  for (const [i, handle] of young.entries()) {
    // Each comes first as often as second.
    if (i % 2 === 0) costs.old.push(await burst(old!));
    costs.young.push(await burst(handle));
    if (i % 2 === 1) costs.old.push(await burst(old!));
  }
  const { historyLength } = await old!.describe();
  return { events: historyLength, ...costs, before, after, memory: processMemory() };
}

/** Microseconds of one of so many signals that are sent at once. */
async function burst(handle: Handle): Promise<number> {
  const begun = performance.now();
  await Promise.all(Array.from({ length: SENDERS }, () => handle.signal(add, 1)));
  return ((performance.now() - begun) / SENDERS) * 1_000;
}

async function ask({ folder }: Extract<Order, { kind: 'ask' }>): Promise<Answer> {
  const runtime = await openRuntime(folder);
  const begun = performance.now();
  await runtime.client.workflow.getHandle<typeof counter>(NAME).query(total);
  return { answerMs: performance.now() - begun, memory: processMemory() };
}
