/**
 * Overload: calls at four times the rate that can be sustained, whatever becomes of those before them.
 *
 *   closed loop -> the peak; open loop at 4 x the peak, once for callers that are refused and once for callers that wait
 *
 * Owns: the loads, and what is compared with what: acknowledged calls with the peak, live memory at the end with that when the queues
 * had filled (collected just before, since garbage between two collections is several times what is alive). It checks that as many signals arrived as were acknowledged: what was refused had no effect.
 *
 * The callers live in the process that serves them. So handlers that compute show what the queues do, since there the workflow
 * thread is what is short; with handlers that do nothing, the host is, and making calls that are refused takes it from the others.
 */
import type { WorkflowClient, WorkflowHandle } from '../runtime/client/index.js';
import { GrpcStatus, RpcError } from '../runtime/client/index.js';
import type { Runtime } from '../runtime/index.js';
import { type Bench, EXECUTIONS, openRuntime, type Workload } from './bench.js';
import { roundsFor } from './burn.js';
import { figuresOf } from './figure.js';
import { collectGarbage } from './garbage.js';
import { load } from './measure.js';
import { openLoop } from './open-loop.js';
import { processMemory } from './process-memory.js';
import type { Row } from './report.js';
import { add, type burner, total } from './workflows.js';

const TIMES = 4;
/** The peak over what is acknowledged under overload: at least nine tenths are to be left. */
const LOSS_MAX = 1 / 0.9;
/** Of memory, from the time the queues have filled to the end. */
const GROWTH_MAX = 1.1;
const PEAK_SENDERS = 1_024;
const PEAK_MS = { quick: 1_500, full: 4_000 };
const OVERLOAD_MS = { quick: 5_000, full: 12_000 };
/** When live memory is taken, as shares of the overload. */
const FILLED = 0.3;
const END = 0.95;
/** Smaller than the defaults, so that both are full soon and stay so. */
const LIMITS = { queuedMessagesMax: 20_000, waitingMessagesMax: 20_000 };
const MODES = ['error', 'wait'] as const;
/** What a handler computes, ms. */
const HANDLERS = [
  { ms: 0.05, what: 'handlers of 50 us', goal: true },
  { ms: 0, what: 'handlers that do nothing', goal: false },
];
const MiB = 2 ** 20;
const figure = figuresOf('overload');

type Handle = WorkflowHandle<typeof burner>;

export const overload: Workload = {
  name: 'overload',
  onlyWhenNamed: true,
  async run(bench) {
    const rows: Row[] = [];
    for (const handlers of HANDLERS) rows.push(...(await measure(bench, handlers)));
    return rows;
  },
};

async function measure(bench: Bench, { ms, what, goal }: (typeof HANDLERS)[number]): Promise<Row[]> {
  const runtime = await openRuntime(bench.folder('overload'), { threads: 1, limits: LIMITS });
  try {
    const handles = await startBurners(runtime);
    const trial = await runtime.client.workflow.start<typeof burner>('burner', { workflowId: 'trial' });
    const rounds = ms === 0 ? 0 : await roundsFor(trial, ms);
    const rows: Row[] = [];
    const long = bench.quick ? OVERLOAD_MS.quick : OVERLOAD_MS.full;
    let acknowledged = 0;
    for (const mode of MODES) {
      // Just before, so that both met the same machine.
      const peak = await closedLoop(handles, rounds, bench.quick ? PEAK_MS.quick : PEAK_MS.full);
      const over = await overloaded(runtime, mode, rounds, peak.perSecond * TIMES, long);
      acknowledged += peak.calls + over.acknowledged;
      rows.push(...rowsOf(what, mode, peak.perSecond, over, goal));
    }
    await check(handles, acknowledged);
    return rows;
  } finally {
    await runtime.close();
  }
}

function startBurners({ client }: Runtime): Promise<Handle[]> {
  const names = Array.from({ length: EXECUTIONS }, (_, i) => `burner-${i}`);
  return Promise.all(
    names.map((workflowId) => client.workflow.start<typeof burner>('burner', { workflowId })),
  );
}

/** Twice, of which the first is to warm up. */
async function closedLoop(handles: readonly Handle[], rounds: number, ms: number) {
  const call = (k: number) => handles[k % handles.length]!.signal(add, rounds);
  const warm = await load(PEAK_SENDERS, ms / 2, call);
  const { calls, perSecond } = await load(PEAK_SENDERS, ms, call);
  return { calls: warm.calls + calls, perSecond };
}

interface Overloaded {
  acknowledged: number;
  acknowledgedPerSecond: number;
  offeredPerSecond: number;
  refused: number;
  /** Of the host, heap and buffers that are alive, bytes: once the queues had filled, and at the end. */
  filled: number;
  end: number;
}

async function overloaded(
  runtime: Runtime,
  mode: (typeof MODES)[number],
  rounds: number,
  perSecond: number,
  ms: number,
): Promise<Overloaded> {
  const client: WorkflowClient = runtime.client.workflow.withOptions({ whenFull: mode });
  const handles = Array.from({ length: EXECUTIONS }, (_, i) =>
    client.getHandle<typeof burner>(`burner-${i}`),
  );
  const live = new Map<number, number>();
  for (const share of [FILLED, END]) setTimeout(() => live.set(share, liveBytes()), share * ms);
  let unexpected: unknown;
  const answers = await openLoop(
    perSecond,
    ms,
    (k) => handles[k % handles.length]!.signal(add, rounds),
    (error) => {
      if (!isFull(error)) unexpected ??= error;
    },
  );
  if (unexpected !== undefined) throw unexpected;
  return {
    acknowledged: answers.values.length,
    acknowledgedPerSecond: answers.perSecond,
    offeredPerSecond: answers.offeredPerSecond,
    refused: answers.failed,
    filled: live.get(FILLED) ?? Number.NaN,
    end: live.get(END) ?? Number.NaN,
  };
}

function liveBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function isFull(error: unknown): boolean {
  const { cause } = error as Error;
  return cause instanceof RpcError && cause.code === GrpcStatus.RESOURCE_EXHAUSTED && cause.retryable;
}

function rowsOf(what: string, mode: string, peak: number, over: Overloaded, goal: boolean): Row[] {
  const name = `${what}, whenFull '${mode}'`;
  const rows: Row[] = [
    figure(`${name}: peak, ${PEAK_SENDERS.toLocaleString('en-US')} senders`, [peak], 'per second'),
    figure(`${name}: offered`, [over.offeredPerSecond], 'per second'),
    figure(`${name}: acknowledged`, [over.acknowledgedPerSecond], 'per second'),
    figure(
      `${name}: peak over acknowledged`,
      [peak / over.acknowledgedPerSecond],
      'x',
      goal ? LOSS_MAX : undefined,
    ),
    figure(
      `${name}: refused, of a hundred`,
      [(100 * over.refused) / (over.refused + over.acknowledged)],
      '%',
    ),
  ];
  rows.push(
    figure(`${name}: live memory of the host once the queues have filled`, [over.filled / MiB], 'MiB'),
    figure(
      `${name}: live memory at the end over that`,
      [over.end / over.filled],
      'x',
      goal ? GROWTH_MAX : undefined,
    ),
    figure(`${name}: largest resident set until then`, [processMemory().residentMost / MiB], 'MiB'),
  );
  return rows;
}

async function check(handles: readonly Handle[], acknowledged: number): Promise<void> {
  const counts = await Promise.all(handles.map((handle) => handle.query(total)));
  const arrived = counts.reduce((sum, each) => sum + each, 0);
  if (arrived !== acknowledged)
    throw new Error(`${acknowledged} signals were acknowledged, ${arrived} arrived`);
}
