/**
 * Memory: what one more execution costs that does nothing, held by its thread or passivated.
 *
 * Owns: which sizes are compared. The figure is a difference between two sizes, so what the process needs anyway is not
 * in it. Does not own: taking a size (memory-child.ts).
 */
import type { Bench, Workload } from './bench.js';
import { runChild } from './child.js';
import type { Footprint } from './footprint.js';
import { spread } from './measure.js';
import type { Order } from './memory-child.js';
import type { SizeRow } from './report.js';

const HELD = { few: 2_000, many: { quick: 7_000, full: 12_000 } };
const PASSIVATED = { few: 2_000, many: { quick: 7_000, full: 42_000 } };

export const memory: Workload = {
  name: 'memory',
  async run(bench) {
    const held = await compare(bench, { held: true, ...sizes(bench, HELD) });
    const passivated = await compare(bench, { held: false, ...sizes(bench, PASSIVATED) });
    return [
      size('idle execution held in memory: heap of its thread', held, ({ threadHeap }) => threadHeap),
      size('idle execution held in memory: heap and buffers of the host', held, ({ host }) => host),
      size('idle execution held in memory: resident set of the process', held, ({ resident }) => resident),
      size('passivated execution: heap of its thread', passivated, ({ threadHeap }) => threadHeap),
      size('passivated execution: heap and buffers of the host', passivated, ({ host }) => host),
    ];
  },
};

function sizes(bench: Bench, { few, many }: typeof HELD): { few: number; many: number } {
  return { few, many: bench.quick ? many.quick : many.full };
}

async function compare(bench: Bench, order: Omit<Order, 'folder'>): Promise<Footprint[]> {
  const module = new URL('./memory-child.js', import.meta.url);
  const footprints: Footprint[] = [];
  while (footprints.length < bench.pace.repetitions) {
    const folder = bench.folder('memory');
    footprints.push(await runChild<Order, Footprint>(module, { ...order, folder }, ['--expose-gc']));
  }
  return footprints;
}

function size(
  what: string,
  footprints: readonly Footprint[],
  pick: (footprint: Footprint) => number,
): SizeRow {
  return { kind: 'size', workload: 'memory', what, bytes: spread(footprints.map(pick)) };
}
