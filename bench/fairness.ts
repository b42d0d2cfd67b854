/**
 * Fairness: what quiet executions feel of a neighbour on their thread that asks for more than its share.
 *
 *   { quiet alone -> quiet beside a neighbour } x repetitions, for each neighbour
 *
 * Owns: the neighbours, and the comparison of the quiet ones' latencies beside them with those alone, by turns in one process.
 * The quiet ones get signals and queries at a moderate fixed rate, and latencies count from the time a call was due (open-loop.ts).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Runtime } from '../runtime/index.js';
import { type Bench, EXECUTIONS, type Handle, openRuntime, startCounters, type Workload } from './bench.js';
import { roundsFor } from './burn.js';
import { figuresOf } from './figure.js';
import { collectGarbage } from './garbage.js';
import { openLoop, percentile } from './open-loop.js';
import type { Row } from './report.js';
import { add, type burner, note, type notes, total } from './workflows.js';

/** Signals a second to all quiet executions together, and as many queries. */
const RATE = 500;
/** The most that the p99 of the quiet ones may be, over theirs alone. */
const RATIO_MAX = 3;
/** Long enough for a p99 of some thousand calls. */
const MEASURE_MS = { quick: 2_000, full: 5_000 };
const SETTLE_MS = 500;
const WARMUP_MS = 2_000;
const HOT_SENDERS = 256;
/** More than a batch takes: these never see an empty queue. */
const FLOOD_SENDERS = 20_000;
const SLOW_SENDERS = 4;
const SLOW_MS = 50;
const LARGE_SENDERS = 4;
const LARGE_BYTES = 2 ** 20;
const figure = figuresOf('fairness');

/** Somebody who loads the thread until told to end; counts what it got done. */
interface Neighbour {
  what: string;
  did: string;
  /** The goal does not hold where one turn takes longer than all else together. */
  most: number | undefined;
  begin(runtime: Runtime, name: string): Promise<(k: number) => Promise<unknown>>;
  senders: number;
}

const hot = (senders: number): Neighbour => ({
  what: `one hot execution, ${senders.toLocaleString('en-US')} senders`,
  did: 'signals to the hot one',
  most: senders === HOT_SENDERS ? RATIO_MAX : undefined,
  senders,
  async begin(runtime, name) {
    const [handle] = await startCounters(runtime, [name]);
    return () => handle!.signal(add, 1);
  },
});

const slow: Neighbour = {
  what: `a workflow that computes for ${SLOW_MS} ms a signal, ${SLOW_SENDERS} senders`,
  did: 'signals to the slow one',
  most: undefined,
  senders: SLOW_SENDERS,
  async begin(runtime, name) {
    const handle = await runtime.client.workflow.start<typeof burner>('burner', { workflowId: name });
    const rounds = await roundsFor(handle, SLOW_MS);
    return () => handle.signal(add, rounds);
  },
};

const large: Neighbour = {
  what: `another execution gets signals of 1 MiB, ${LARGE_SENDERS} senders`,
  did: 'large signals',
  most: RATIO_MAX,
  senders: LARGE_SENDERS,
  async begin(runtime, name) {
    const handle = await runtime.client.workflow.start<typeof notes>('notes', { workflowId: name });
    const text = 'x'.repeat(LARGE_BYTES);
    return () => handle.signal(note, text);
  },
};

const NEIGHBOURS = [hot(HOT_SENDERS), hot(FLOOD_SENDERS), slow, large];

export const fairness: Workload = {
  name: 'fairness',
  onlyWhenNamed: true,
  async run(bench) {
    const rows: Row[] = [];
    for (const neighbour of NEIGHBOURS) rows.push(...(await compare(bench, neighbour)));
    return rows;
  },
};

async function compare(bench: Bench, neighbour: Neighbour): Promise<Row[]> {
  const runtime = await openRuntime(bench.folder('fairness'), { threads: 1 });
  try {
    const handles = await startCounters(
      runtime,
      Array.from({ length: EXECUTIONS }, (_, i) => `quiet-${i}`),
    );
    const call = await neighbour.begin(runtime, 'neighbour');
    const ms = bench.quick ? MEASURE_MS.quick : MEASURE_MS.full;
    const alone: Quiet[] = [];
    const beside: Quiet[] = [];
    const did: number[] = [];
    await quiet(handles, WARMUP_MS);
    await load(neighbour, call, () => quiet(handles, SETTLE_MS));
    while (alone.length < bench.pace.repetitions) {
      collectGarbage();
      alone.push(await quiet(handles, ms));
      const { value, perSecond } = await load(neighbour, call, () => quiet(handles, ms));
      beside.push(value);
      did.push(perSecond);
    }
    return rowsOf(neighbour, alone, beside, did);
  } finally {
    await runtime.close();
  }
}

interface Quiet {
  signalP50: number;
  signalP99: number;
  queryP50: number;
  queryP99: number;
}

async function quiet(handles: readonly Handle[], ms: number): Promise<Quiet> {
  const [signals, queries] = await Promise.all([
    openLoop(RATE, ms, (k) => handles[k % handles.length]!.signal(add, 1)),
    // To another one than the signal that is sent at the same time.
    openLoop(RATE, ms, (k) => handles[(k + EXECUTIONS / 2) % handles.length]!.query(total)),
  ]);
  return {
    signalP50: percentile(signals.values, 0.5),
    signalP99: percentile(signals.values, 0.99),
    queryP50: percentile(queries.values, 0.5),
    queryP99: percentile(queries.values, 0.99),
  };
}

/** Keeps the neighbour's senders sending while `fn` runs. */
async function load<T>(
  { senders }: Neighbour,
  call: (k: number) => Promise<unknown>,
  fn: () => Promise<T>,
): Promise<{ value: T; perSecond: number }> {
  let over = false;
  let count = 0;
  const sender = async (): Promise<void> => {
    for (; !over; count++) await call(count);
  };
  const all = Promise.all(Array.from({ length: senders }, sender));
  await pause(SETTLE_MS);
  const [before, begun] = [count, performance.now()];
  const value = await fn();
  const perSecond = ((count - before) / (performance.now() - begun)) * 1_000;
  over = true;
  await all;
  return { value, perSecond };
}

function rowsOf({ what, did, most }: Neighbour, alone: Quiet[], beside: Quiet[], rates: number[]): Row[] {
  const rows: Row[] = [];
  for (const [kind, p50, p99] of [
    ['signal', (q: Quiet) => q.signalP50, (q: Quiet) => q.signalP99],
    ['query', (q: Quiet) => q.queryP50, (q: Quiet) => q.queryP99],
  ] as const) {
    const ratios = beside.map((each, i) => p99(each) / p99(alone[i]!));
    rows.push(
      figure(`${kind} to a quiet execution, alone: p50`, alone.map(p50), 'ms'),
      figure(`${kind} to a quiet execution, alone: p99`, alone.map(p99), 'ms'),
      figure(`${kind}, beside it ${what}: p50`, beside.map(p50), 'ms'),
      figure(`${kind}, beside it ${what}: p99`, beside.map(p99), 'ms'),
      figure(`${kind}, beside it ${what}: p99 over that alone`, ratios, 'x', most),
    );
  }
  rows.push(figure(`meanwhile: ${did}`, rates, 'per second'));
  return rows;
}
