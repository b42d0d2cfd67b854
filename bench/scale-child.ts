/** The child process of scale.ts. */
import type { Runtime } from '../runtime/index.js';
import { type Handle, openRuntime, startCounters } from './bench.js';
import { serve } from './child.js';
import { type Footprint, footprint, footprintEach, startCollector } from './footprint.js';
import { load } from './measure.js';
import { type ProcessMemory, processMemory } from './process-memory.js';
import { add, type counter, total } from './workflows.js';

export type Order =
  /** Start so many executions. */
  | { kind: 'fill'; folder: string; executions: number }
  /** Open the store and query an execution in the middle. */
  | { kind: 'ask'; folder: string; executions: number }
  /** Open the store and close it again. */
  | { kind: 'close'; folder: string }
  /** Signal some of many, all of few, and any of many, by turns. */
  | {
      kind: 'signal';
      folder: string;
      executions: number;
      fewFolder: string;
      rounds: number;
      measureMs: number;
    };

export interface Answer {
  /** fill */
  startsPerSecond?: number;
  footprint?: Footprint;
  /** ask */
  openMs?: number;
  answerMs?: number;
  memory?: ProcessMemory;
  /** signal: one entry a round */
  rounds?: Round[];
}

/** Signals a second. */
export interface Round {
  someOfMany: number;
  allOfFew: number;
  anyOfMany: number;
}

export const FEW = 100;
const SENDERS = 256;
const STARTS_UNDER_WAY = 1_000;
/** More than threads keep in memory on any machine that this is run on. */
const HELD_AT_MOST = 20_000;
const nameOf = (i: number): string => `open-${i}`;

serve((order: Order): Promise<Answer> => {
  switch (order.kind) {
    case 'fill':
      return fill(order);
    case 'ask':
      return ask(order);
    case 'close':
      return openRuntime(order.folder).then((runtime) => runtime.close().then(() => ({})));
    case 'signal':
      return signalAll(order);
  }
});

/** The first size is taken when there are more executions than a thread keeps, so all that come after it are passivated. */
async function fill({ folder, executions }: Extract<Order, { kind: 'fill' }>): Promise<Answer> {
  const runtime = await openRuntime(folder);
  const few = Math.max(HELD_AT_MOST, Math.ceil(executions / 10));
  await startCollector(runtime);
  await startMany(runtime, 0, few);
  const before = await footprint(runtime);
  const begun = performance.now();
  await startMany(runtime, few, executions);
  const seconds = (performance.now() - begun) / 1_000;
  const after = await footprint(runtime);
  return {
    startsPerSecond: (executions - few) / seconds,
    footprint: footprintEach(before, after, executions - few),
  };
}

async function startMany(runtime: Runtime, from: number, to: number): Promise<void> {
  let next = from;
  const sender = async (): Promise<void> => {
    while (next < to) await startCounters(runtime, [nameOf(next++)]);
  };
  await Promise.all(Array.from({ length: STARTS_UNDER_WAY }, sender));
}

async function ask({ folder, executions }: Extract<Order, { kind: 'ask' }>): Promise<Answer> {
  const begun = performance.now();
  const runtime = await openRuntime(folder);
  const openMs = performance.now() - begun;
  await handleOf(runtime, Math.floor(executions / 2)).query(total);
  return { openMs, answerMs: performance.now() - begun, memory: processMemory() };
}

async function signalAll(order: Extract<Order, { kind: 'signal' }>): Promise<Answer> {
  const { folder, fewFolder, executions, rounds, measureMs } = order;
  const many = await openRuntime(folder);
  const few = await openRuntime(fewFolder);
  const fewHandles = await startCounters(
    few,
    Array.from({ length: FEW }, (_, i) => nameOf(i)),
  );
  const step = Math.max(1, Math.floor(executions / FEW));
  const someHandles = fewHandles.map((_, i) => handleOf(many, i * step));
  const perSecond = async (handle: (k: number) => Handle): Promise<number> =>
    (await load(SENDERS, measureMs, (k) => handle(k).signal(add, 1))).perSecond;
  const some = () => perSecond((k) => someHandles[k % FEW]!);
  const all = () => perSecond((k) => fewHandles[k % FEW]!);
  const any = () => perSecond(() => handleOf(many, Math.floor(Math.random() * executions)));
  const results: Round[] = [];
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    const forward = round % 2 === 0;
    const first = forward ? await some() : await all();
    const second = forward ? await all() : await some();
    results.push({
      someOfMany: forward ? first : second,
      allOfFew: forward ? second : first,
      anyOfMany: Number.NaN,
    });
  }
  results.shift();
  for (const result of results) result.anyOfMany = await any();
  return { rounds: results, memory: processMemory() };
}

function handleOf(runtime: Runtime, i: number): Handle {
  return runtime.client.workflow.getHandle<typeof counter>(nameOf(i));
}
