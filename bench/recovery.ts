/**
 * Coming back: how long Runtime.open takes and then the first query of an execution with a long history, after the store
 * was closed and after the process that held it was killed.
 *
 *   fill -> SIGKILL -> ask, ask, ... -> close it properly -> ask, ask, ...
 *
 * Owns: the order of the child processes. Each `ask` is a new process, so nothing is compiled or cached for it, and it is
 * killed when it has answered, so that it leaves the store as it found it.
 * Does not own: what a child does (recovery-child.ts).
 *
 * Every message has a turn of its own, the shape that takes longest to replay.
 */
import type { Bench, Workload } from './bench.js';
import { runChild } from './child.js';
import { type Spread, spread } from './measure.js';
import type { Answer, Order } from './recovery-child.js';
import type { Row, TimeRow } from './report.js';

const SIZES = { quick: [1_000, 10_000], full: [1_000, 10_000, 100_000] };
const ASKS = { quick: 2, full: 5 };

export const recovery: Workload = {
  name: 'recovery',
  async run(bench) {
    const folder = bench.folder('recovery');
    await child({ kind: 'fill', folder, sizes: sizesOf(bench) });
    const killed = await askAll(bench, folder, 'kill -9');
    await child({ kind: 'close', folder });
    const closed = await askAll(bench, folder, 'close');
    return [...killed, ...closed];
  },
};

async function askAll(bench: Bench, folder: string, after: string): Promise<Row[]> {
  const opens: number[] = [];
  const rows: TimeRow[] = [];
  for (const messages of sizesOf(bench)) {
    const queries: number[] = [];
    const floors: number[] = [];
    for (let round = 0; round < (bench.quick ? ASKS.quick : ASKS.full); round++) {
      floors.push(await bench.floors.history(messages));
      const { openMs, queryMs } = await child({ kind: 'ask', folder, messages });
      opens.push(openMs);
      queries.push(queryMs);
    }
    const what = `first query after ${after}, ${messages.toLocaleString('en-US')} messages`;
    rows.push({
      ...time(what, spread(queries)),
      floor: { what: 'its history read and unpacked', unit: 'ms', value: spread(floors) },
    });
  }
  return [time(`Runtime.open after ${after}`, spread(opens)), ...rows];
}

/** The largest takes 20 s to make. */
function sizesOf({ quick }: Bench): readonly number[] {
  return quick ? SIZES.quick : SIZES.full;
}

function time(what: string, ms: Spread): TimeRow {
  return { kind: 'time', workload: 'recovery', what, ms };
}

function child(order: Order): Promise<Answer> {
  return runChild<Order, Answer>(new URL('./recovery-child.js', import.meta.url), order);
}
