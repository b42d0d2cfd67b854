/** Updates, with and without a validator: answered when acceptance and result are on the disk. */
import {
  type Bench,
  CONCURRENCIES,
  EXECUTIONS,
  type Handle,
  row,
  type Workload,
  withCounters,
} from './bench.js';
import type { LoadRow } from './report.js';
import { increment, incrementChecked } from './workflows.js';

type Definition = typeof increment;

const KINDS: readonly { what: string; definition: Definition }[] = [
  { what: 'update', definition: increment },
  { what: 'update with validator', definition: incrementChecked },
];

export const update: Workload = {
  name: 'update',
  run: (bench) =>
    withCounters(bench, 'update', EXECUTIONS, async (handles) => {
      const rows: LoadRow[] = [];
      for (const { what, definition } of KINDS) {
        for (const concurrency of CONCURRENCIES)
          rows.push(await updateRow(bench, handles, what, definition, concurrency));
      }
      return rows;
    }),
};

function updateRow(
  bench: Bench,
  handles: readonly Handle[],
  what: string,
  definition: Definition,
  concurrency: number,
) {
  const { floors } = bench;
  const floor = concurrency === 1 ? floors.durableCall : floors.updates(EXECUTIONS, definition.name);
  const call = (k: number) => handles[k % handles.length]!.executeUpdate(definition, { args: [1] });
  return row(bench, { workload: 'update', what, concurrency, call, floor });
}
