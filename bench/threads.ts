/**
 * More workflow threads: signals, and turns that need a processor, with 1, 2, 4 and 8 threads as far as there are cores.
 *
 *   open all -> warm up all -> { floor, rate with 1 -> floor, rate with 2 -> ... } x repetitions -> medians
 *
 * Owns: which thread counts are compared, and that they take turns. Does not own: telling speed-ups (scaling.ts).
 *
 * Signals cost the host, which is one thread, more than they cost a workflow thread, so they show where the host is the
 * limit; turns that compute show whether threads get in each other's way.
 */
import { availableParallelism } from 'node:os';
import { type Bench, EXECUTIONS, openRuntime, startCounters, type Workload } from './bench.js';
import { Grinders } from './floors/compute.js';
import { Floors } from './floors.js';
import { collectGarbage } from './garbage.js';
import { type Call, load, spread } from './measure.js';
import type { ThreadsRow } from './scaling.js';
import { countSignals } from './signal.js';
import { compute } from './workflows.js';

const THREADS = [1, 2, 4, 8];
const SENDERS = 256;

export const threads: Workload = {
  name: 'threads',
  onlyWhenNamed: true,
  async run(bench) {
    const counts = THREADS.filter((count) => count <= availableParallelism());
    const signals = await compare(bench, 'signal', counts, openSignals);
    return [...signals, ...(await compare(bench, 'signal to a turn of 0.2 ms', counts, openCompute))];
  },
};

/** One number of threads, ready to be measured; rates are per second. */
interface Contender {
  floorIs: string;
  floor(ms: number): Promise<number>;
  rate(ms: number): Promise<number>;
  /** Throws if anything was lost. */
  close(): Promise<void>;
}

type Open = (bench: Bench, threads: number) => Promise<Contender>;

async function compare(
  bench: Bench,
  what: string,
  counts: readonly number[],
  open: Open,
): Promise<ThreadsRow[]> {
  const { repetitions, warmupMs, measureMs } = bench.pace;
  const taken = await Promise.all(
    counts.map(async (threads) => ({
      threads,
      contender: await open(bench, threads),
      rates: [] as number[],
      floors: [] as number[],
    })),
  );
  for (const { contender } of taken) {
    await contender.floor(warmupMs);
    await contender.rate(warmupMs);
  }
  for (let round = 0; round < repetitions; round++) {
    for (const { contender, rates, floors } of taken) {
      collectGarbage();
      floors.push(await contender.floor(measureMs / 2));
      collectGarbage();
      rates.push(await contender.rate(measureMs));
    }
  }
  for (const { contender } of taken) await contender.close();
  return taken.map(({ threads, contender, rates, floors }) => ({
    kind: 'threads',
    workload: 'threads',
    what,
    threads,
    concurrency: SENDERS,
    perSecond: spread(rates),
    floor: { what: contender.floorIs, unit: 'per second', value: spread(floors) },
  }));
}

/** Messages that cost next to nothing on the thread. */
async function openSignals(bench: Bench, threads: number): Promise<Contender> {
  const { handles, close } = await openCounters(bench, threads);
  const floors = new Floors(bench.folder(`floor-${threads}-threads`), threads);
  const floor = floors.signals(EXECUTIONS);
  if (floor.kind !== 'load') throw new Error('The floor of signals in bulk must be a load');
  const { call, check } = countSignals(handles);
  return {
    floorIs: floor.what,
    floor: (ms) => rateOf(floor.call, ms),
    rate: (ms) => rateOf(call, ms),
    async close() {
      await check();
      await close();
      await floors.close();
    },
  };
}

/** Messages whose turns compute. */
async function openCompute(bench: Bench, threads: number): Promise<Contender> {
  const { handles, close } = await openCounters(bench, threads);
  const grinders = new Grinders(threads);
  return {
    floorIs: 'the same computation in bare threads',
    floor: (ms) => grinders.perSecond(ms),
    rate: (ms) => rateOf((k) => handles[k % handles.length]!.signal(compute, k), ms),
    async close() {
      await close();
      await grinders.close();
    },
  };
}

async function openCounters(bench: Bench, threads: number) {
  const runtime = await openRuntime(bench.folder(`${threads}-threads`), { threads });
  const names = Array.from({ length: EXECUTIONS }, (_, i) => `counter-${i}`);
  return { handles: await startCounters(runtime, names), close: () => runtime.close() };
}

async function rateOf(call: Call, ms: number): Promise<number> {
  return (await load(SENDERS, ms, call)).perSecond;
}
