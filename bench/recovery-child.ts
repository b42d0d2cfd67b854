/** The child process of recovery.ts. */
import { type Handle, openRuntime, startCounters } from './bench.js';
import { serve } from './child.js';
import { add, type counter, total } from './workflows.js';

export type Order =
  /** Start one execution per size and send it that many signals. */
  | { kind: 'fill'; folder: string; sizes: readonly number[] }
  /** Open the store and close it again. */
  | { kind: 'close'; folder: string }
  /** Open the store and query the execution that got so many signals. */
  | { kind: 'ask'; folder: string; messages: number };

export interface Answer {
  openMs: number;
  queryMs: number;
}

const nameOf = (messages: number): string => `received-${messages}`;

serve(async (order: Order): Promise<Answer> => {
  const begun = performance.now();
  const runtime = await openRuntime(order.folder);
  const openMs = performance.now() - begun;
  switch (order.kind) {
    case 'fill': {
      const [idle, ...handles] = await startCounters(runtime, ['idle', ...order.sizes.map(nameOf)]);
      for (const [i, handle] of handles.entries()) await fill(handle, order.sizes[i]!, idle!);
      return { openMs, queryMs: 0 };
    }
    case 'close':
      await runtime.close();
      return { openMs, queryMs: 0 };
    case 'ask': {
      const handle = runtime.client.workflow.getHandle<typeof counter>(nameOf(order.messages));
      const asked = performance.now();
      const answer = await handle.query(total);
      const queryMs = performance.now() - asked;
      if (answer !== order.messages)
        throw new Error(`${order.messages} signals were acknowledged, ${answer} recovered`);
      return { openMs, queryMs };
    }
  }
});

/**
 * One turn per signal: an execution at rest is queried after each, and its answer shows that the thread has finished the
 * batch with the signal in it. Waiting for the signal itself would take a commit each.
 */
async function fill(handle: Handle, messages: number, idle: Handle): Promise<void> {
  const acknowledged: Promise<void>[] = [];
  for (let i = 0; i < messages; i++) {
    acknowledged.push(handle.signal(add, 1));
    await idle.query(total);
  }
  await Promise.all(acknowledged);
}
