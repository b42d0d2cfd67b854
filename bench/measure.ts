/**
 * Measuring: a closed loop of senders, their latencies, and a measurement beside its floor.
 *
 *   warm up both -> { collect garbage -> floor -> collect garbage -> measurement } x repetitions -> median and spread
 *
 * Owns: how load is made and how figures are taken from it. Does not own: what is called, how figures are shown.
 *
 * Floor and measurement take turns, so that whatever else the machine does hits both. Every latency is kept in memory
 * that is there beforehand: recording one costs a clock reading and a store, about 50 ns.
 */
import { type Distribution, distributionOf, merged } from './distribution.js';
import { collectGarbage } from './garbage.js';

/** How long to measure, how often. */
export interface Pace {
  repetitions: number;
  warmupMs: number;
  measureMs: number;
}

export const FULL: Pace = { repetitions: 3, warmupMs: 2_000, measureMs: 3_000 };
export const QUICK: Pace = { repetitions: 1, warmupMs: 250, measureMs: 600 };

/** A median of repetitions and the least and greatest of them. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** What one measurement gave. Latencies in ms, from just before a call to just after its answer. */
export interface Sample {
  calls: number;
  perSecond: number;
  p50: number;
  p99: number;
  latency: Distribution;
}

/** Something that is called again and again; `k` counts the calls. */
export type Call = (k: number) => Promise<unknown>;

/** What stands beside a measurement: the same load on something simpler, or a time that cannot be undercut. */
export type Floor =
  | { kind: 'load'; what: string; call: Call }
  | { kind: 'time'; what: string; ms: (measureMs: number) => Promise<number> };

const LATENCIES_MAX = 4_000_000;
const latencies = new Float64Array(LATENCIES_MAX);
/** Senders of the warm-up at least: one sender alone makes too few calls for the compiler to take notice. */
const WARMUP_SENDERS = 64;

/** Each sender makes its next call when it has the answer to the one before. */
export async function load(concurrency: number, ms: number, call: Call): Promise<Sample> {
  let begun = 0;
  let count = 0;
  let last = 0;
  const start = performance.now();
  const until = start + ms;
  const sender = async (): Promise<void> => {
    for (let sent = performance.now(); sent < until && begun < LATENCIES_MAX; sent = last) {
      await call(begun++);
      last = performance.now();
      latencies[count++] = last - sent;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, sender));
  return summary(latencies.subarray(0, count), last - start);
}

/** The same for calls that block: no promise, no event loop in between. */
export function loadSync(ms: number, call: (k: number) => void): Sample {
  let count = 0;
  const start = performance.now();
  let last = start;
  for (let sent = start; last - start < ms && count < LATENCIES_MAX; sent = last) {
    call(count);
    last = performance.now();
    latencies[count++] = last - sent;
  }
  return summary(latencies.subarray(0, count), last - start);
}

/** Sorts in place. */
function summary(values: Float64Array, elapsedMs: number): Sample {
  values.sort();
  const at = (share: number) =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
  return {
    calls: values.length,
    perSecond: (values.length / elapsedMs) * 1_000,
    p50: at(0.5),
    p99: at(0.99),
    latency: distributionOf(values),
  };
}

export interface Measured {
  perSecond: Spread;
  p50: Spread;
  p99: Spread;
  /** Of all repetitions together. */
  latency: Distribution;
  floor: { what: string; unit: 'per second' | 'ms'; value: Spread };
}

/** Measures a call and its floor by turns. */
export async function measure(pace: Pace, concurrency: number, call: Call, floor: Floor): Promise<Measured> {
  const { repetitions, warmupMs, measureMs } = pace;
  // Calls are numbered through, since some of them may be made only once.
  let offset = 0;
  const run = async (senders: number, ms: number): Promise<Sample> => {
    const base = offset;
    const sample = await load(senders, ms, (k) => call(base + k));
    offset += sample.calls;
    return sample;
  };
  await run(Math.max(WARMUP_SENDERS, concurrency), warmupMs);
  await floorValue(floor, concurrency, warmupMs);
  const samples: Sample[] = [];
  const floors: number[] = [];
  for (let round = 0; round < repetitions; round++) {
    collectGarbage();
    floors.push(await floorValue(floor, concurrency, measureMs / 2));
    collectGarbage();
    samples.push(await run(concurrency, measureMs));
  }
  return {
    perSecond: spread(samples.map(({ perSecond }) => perSecond)),
    p50: spread(samples.map(({ p50 }) => p50)),
    p99: spread(samples.map(({ p99 }) => p99)),
    latency: merged(samples.map(({ latency }) => latency)),
    floor: { what: floor.what, unit: floor.kind === 'load' ? 'per second' : 'ms', value: spread(floors) },
  };
}

async function floorValue(floor: Floor, concurrency: number, ms: number): Promise<number> {
  if (floor.kind === 'time') return floor.ms(ms);
  return (await load(concurrency, ms, floor.call)).perSecond;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const pick = (at: number) => sorted[at] ?? Number.NaN;
  return { median: pick(Math.floor(sorted.length / 2)), min: pick(0), max: pick(sorted.length - 1) };
}
