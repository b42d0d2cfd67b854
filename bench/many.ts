/** Nearly as many executions as a thread holds, signalled one after the other: each signal is a turn of its own. */
import { row, type Workload, withCounters } from './bench.js';
import { countSignals } from './signal.js';

const SENDERS = 256;
const EXECUTIONS = 9_900;

export const many: Workload = {
  name: 'many',
  run: (bench) =>
    withCounters(bench, 'many', EXECUTIONS, async (handles) => {
      const { call, check } = countSignals(handles);
      const floor = bench.floors.signals(EXECUTIONS);
      const what = 'signal to 9,900 executions';
      const measured = await row(bench, { workload: 'many', what, concurrency: SENDERS, call, floor });
      await check();
      return [measured];
    }),
};
