/** Queries of executions that are in memory and at rest. */
import { CONCURRENCIES, EXECUTIONS, row, type Workload, withCounters } from './bench.js';
import type { LoadRow } from './report.js';
import { total } from './workflows.js';

export const query: Workload = {
  name: 'query',
  run: (bench) =>
    withCounters(bench, 'query', EXECUTIONS, async (handles) => {
      const { floors } = bench;
      const call = (k: number) => handles[k % handles.length]!.query(total);
      const rows: LoadRow[] = [];
      for (const concurrency of CONCURRENCIES) {
        const floor = concurrency === 1 ? floors.call : floors.queries(EXECUTIONS);
        rows.push(await row(bench, { workload: 'query', what: 'query', concurrency, call, floor }));
      }
      return rows;
    }),
};
