/** Signals: acknowledged when the signal and the turn that handled it are on the disk. */
import {
  type Bench,
  CONCURRENCIES,
  EXECUTIONS,
  type Handle,
  row,
  type Workload,
  withCounters,
} from './bench.js';
import type { Call } from './measure.js';
import { add, total } from './workflows.js';

export const signal: Workload = {
  name: 'signal',
  run: (bench) =>
    withCounters(bench, 'signal', EXECUTIONS, async (handles) => {
      const counted = countSignals(handles);
      const rows = [];
      for (const concurrency of CONCURRENCIES) rows.push(await signalRow(bench, concurrency, counted.call));
      await counted.check();
      return rows;
    }),
};

function signalRow(bench: Bench, concurrency: number, call: Call) {
  const { floors } = bench;
  const floor = concurrency === 1 ? floors.durableCall : floors.signals(EXECUTIONS);
  return row(bench, { workload: 'signal', what: 'signal', concurrency, call, floor });
}

/** Signals that add one each, to one execution after the other; the check compares what was sent with what arrived. */
export function countSignals(handles: readonly Handle[]): { call: Call; check(): Promise<void> } {
  let acknowledged = 0;
  return {
    call: async (k) => {
      await handles[k % handles.length]!.signal(add, 1);
      acknowledged++;
    },
    check: async () => {
      const sums = await Promise.all(handles.map((handle) => handle.query(total)));
      const arrived = sums.reduce((sum, each) => sum + each, 0);
      if (arrived !== acknowledged)
        throw new Error(`${acknowledged} signals were acknowledged, ${arrived} arrived`);
    },
  };
}
