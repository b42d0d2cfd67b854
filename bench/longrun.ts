/**
 * A long run (`--minutes M`): full rate with passivation, executions that start and end, and retention.
 *
 * Owns: which trends are looked at and how much they may grow. Does not own: the load (longrun-child.ts).
 *
 * What is compared is the mean of the first third of the run with that of the last, after a warm-up. Latency and rate show what
 * else the machine did; memory and file size do not, so only these have a goal.
 */
import type { Workload } from './bench.js';
import { runChild } from './child.js';
import { trend } from './figure.js';
import type { Answer, Order, Slice } from './longrun-child.js';
import type { FigureRow } from './report.js';

/** Noise of heaps between two collections, and of how much is closed but not removed yet. */
const GROWTH_MAX = 1.05;
const MiB = 2 ** 20;

export const longrun: Workload = {
  name: 'longrun',
  onlyWhenNamed: true,
  async run(bench) {
    const order = { folder: bench.folder('longrun'), minutes: bench.minutes };
    const { slices } = await runChild<Order, Answer>(new URL('./longrun-child.js', import.meta.url), order);
    const row = (what: string, pick: (s: Slice) => number, unit: FigureRow['unit'], most?: number) =>
      trend('longrun', what, slices.map(pick), unit, most);
    return [
      row('calls', (s) => s.perSecond, 'per second'),
      row('latency, p50', (s) => s.p50, 'ms'),
      row('latency, p99', (s) => s.p99, 'ms'),
      row('resident set', (s) => s.resident / MiB, 'MiB', GROWTH_MAX),
      row('resident set without pages of the data file', (s) => s.own / MiB, 'MiB', GROWTH_MAX),
      row(
        'the same, without what V8 keeps for the heap of the host',
        (s) => s.outside / MiB,
        'MiB',
        GROWTH_MAX,
      ),
      row('heap of the host, smallest', (s) => s.hostHeap / MiB, 'MiB', GROWTH_MAX),
      row('heap of the thread, smallest', (s) => s.threadHeap / MiB, 'MiB', GROWTH_MAX),
      row('runs in memory of the host', (s) => s.runsInMemory / 1_000, 'x'),
      row('length of the data file', (s) => s.fileBytes / MiB, 'MiB', GROWTH_MAX),
      row('live pages of the data file', (s) => s.usedBytes / MiB, 'MiB', GROWTH_MAX),
    ];
  },
};
