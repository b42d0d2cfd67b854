/**
 * Growth: what a signal costs an execution that has a million events behind it, against executions that have ten.
 *
 * Owns: what is compared. Does not own: what the child processes do (growth-child.ts).
 *
 * No limit has to be raised for it: a history has none here. Workflow code is only told, as on Temporal, that a new run is
 * suggested from 4,096 events on (`workflowInfo().continueAsNewSuggested`).
 * The cost is the time of 256 signals to one execution that are sent at once, by turns to the old one and to a young one that
 * gets no other burst.
 */
import type { Workload } from './bench.js';
import { runChild } from './child.js';
import { figuresOf } from './figure.js';
import type { Answer, Order } from './growth-child.js';
import { spread } from './measure.js';

const EVENTS = 1_000_000;
const BURSTS = { quick: 100, full: 1_000 };
const COST_MAX = 1.1;
const MiB = 2 ** 20;
const figure = figuresOf('growth');

export const growth: Workload = {
  name: 'growth',
  onlyWhenNamed: true,
  async run(bench) {
    const folder = bench.folder('growth');
    const bursts = bench.quick ? BURSTS.quick : BURSTS.full;
    const grown = await child({ kind: 'grow', folder, events: EVENTS, bursts }, ['--expose-gc']);
    const asked = await child({ kind: 'ask', folder });
    const { old = [], young = [], before, after } = grown;
    const behind = `${grown.events?.toLocaleString('en-US')} events`;
    return [
      figure('signal with about 10 events behind it', middle(young), 'us'),
      figure(`signal with ${behind} behind it`, middle(old), 'us'),
      figure('cost, old against young', [spread(old).median / spread(young).median], 'x', COST_MAX),
      figure(
        'what these events add to the heap of the thread',
        [before && after && (after.threadHeap - before.threadHeap) / MiB],
        'MiB',
      ),
      figure(
        'what these events add to heap and buffers of the host',
        [before && after && (after.host - before.host) / MiB],
        'MiB',
      ),
      figure(`first query after kill -9, ${behind}`, [asked.answerMs], 'ms'),
      figure('largest resident set until then', [asked.memory && asked.memory.residentMost / MiB], 'MiB'),
    ];
  },
};

/** Of very many, the middle half: the least and the greatest say more about the machine. */
function middle(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.slice(Math.floor(sorted.length / 4), Math.ceil((sorted.length * 3) / 4));
}

function child(order: Order, execArgv: string[] = []): Promise<Answer> {
  return runChild<Order, Answer>(new URL('./growth-child.js', import.meta.url), order, execArgv);
}
