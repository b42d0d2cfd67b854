/** One execution that everybody signals. */
import { row, type Workload, withCounters } from './bench.js';
import { countSignals } from './signal.js';

const SENDERS = 256;

export const hot: Workload = {
  name: 'hot',
  run: (bench) =>
    withCounters(bench, 'hot', 1, async (handles) => {
      const { call, check } = countSignals(handles);
      const floor = bench.floors.signals(1);
      const what = 'signal to one execution';
      const measured = await row(bench, { workload: 'hot', what, concurrency: SENDERS, call, floor });
      await check();
      return [measured];
    }),
};
