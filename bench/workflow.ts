/** Short workflows: start, one activity, result, each with an id of its own. */
import { openRuntime, row, type Workload } from './bench.js';
import type { step } from './workflows.js';

const CONCURRENCY = 256;

export const workflow: Workload = {
  name: 'workflow',
  async run(bench) {
    const runtime = await openRuntime(bench.folder('workflow'));
    try {
      const { workflow: client } = runtime.client;
      const call = async (k: number): Promise<void> => {
        const value = await client.execute<typeof step>('step', { workflowId: `step-${k}`, args: [k] });
        if (value !== k) throw new Error(`step-${k} answered ${value}`);
      };
      const what = 'start + one activity + result';
      return [
        await row(bench, {
          workload: 'workflow',
          what,
          concurrency: CONCURRENCY,
          call,
          floor: bench.floors.steps(),
        }),
      ];
    } finally {
      await runtime.close();
    }
  },
};
