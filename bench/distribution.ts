/**
 * How the latencies of a measurement are spread, small enough to be kept and exact enough to be drawn.
 *
 * Owns: the classes that latencies are counted in, adding distributions up, reading quantiles from them.
 * Does not own: taking latencies (measure.ts), drawing them (charts.ts).
 *
 * Each class reaches 2.2 % further than the one before, so a quantile read here is at most so much above the true one.
 */

/** Calls by latency. Classes nobody fell into are left out; the two lists are of the same length, latencies ascend. */
export interface Distribution {
  /** The longest latency that each class holds, in ms. */
  upToMs: readonly number[];
  calls: readonly number[];
}

const CLASSES_PER_OCTAVE = 32;
/** Latencies below are counted as this one: clocks of Node.js do not tell them apart. */
const LEAST_MS = 0.001;

export function distributionOf(latenciesMs: Iterable<number>): Distribution {
  const counts = new Map<number, number>();
  for (const ms of latenciesMs) {
    const no = Math.ceil(Math.log2(Math.max(ms, LEAST_MS)) * CLASSES_PER_OCTAVE);
    counts.set(no, (counts.get(no) ?? 0) + 1);
  }
  return ascending(Array.from(counts, ([no, calls]) => [rounded(2 ** (no / CLASSES_PER_OCTAVE)), calls]));
}

/** All of them as if they had been one. */
export function merged(distributions: readonly Distribution[]): Distribution {
  const counts = new Map<number, number>();
  for (const { upToMs, calls } of distributions) {
    for (const [i, ms] of upToMs.entries()) counts.set(ms, (counts.get(ms) ?? 0) + calls[i]!);
  }
  return ascending([...counts]);
}

export function callsIn({ calls }: Distribution): number {
  return calls.reduce((sum, each) => sum + each, 0);
}

/** The latency in ms that this share of the calls did not exceed. NaN where there were no calls. */
export function quantile(distribution: Distribution, share: number): number {
  const { upToMs, calls } = distribution;
  const wanted = share * callsIn(distribution);
  let passed = 0;
  for (const [i, count] of calls.entries()) {
    passed += count;
    if (passed >= wanted) return upToMs[i]!;
  }
  return upToMs.at(-1) ?? Number.NaN;
}

function ascending(classes: [upToMs: number, calls: number][]): Distribution {
  classes.sort(([a], [b]) => a - b);
  return { upToMs: classes.map(([ms]) => ms), calls: classes.map(([, calls]) => calls) };
}

/** Four digits tell neighbouring classes apart. */
function rounded(ms: number): number {
  return Number(ms.toPrecision(4));
}
