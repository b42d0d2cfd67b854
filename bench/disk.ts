/**
 * Disk: what a signal with 10 bytes takes of the data file once it has been compacted.
 *
 * Owns: the loads and what is subtracted. The store is closed, which compacts it, and opened again before its size is taken, with
 * the executions in it but no signals and then with all signals: the difference is what the signals take.
 *
 * Live pages are what rows and index take. The file is longer, by pages that are free for reuse: it keeps the length that it
 * once needed, of which the journal's is the largest part.
 */
import type { WorkflowHandle } from '../runtime/client/index.js';
import type { Runtime } from '../runtime/index.js';
import { type Bench, EXECUTIONS, openRuntime, type Workload } from './bench.js';
import { figuresOf } from './figure.js';
import type { Row } from './report.js';
import { note, type notes } from './workflows.js';

const SIGNALS = { quick: 100_000, full: 1_000_000 };
const BYTES_MAX = 200;
/** As text of ten letters, of which each takes one byte. */
const TEN_BYTES = 'ten bytes.';
const figure = figuresOf('disk');

type Handle = WorkflowHandle<typeof notes>;
type Load = (handles: readonly Handle[], signals: number) => Promise<void>;

export const disk: Workload = {
  name: 'disk',
  onlyWhenNamed: true,
  async run(bench) {
    const signals = bench.quick ? SIGNALS.quick : SIGNALS.full;
    return [
      ...(await measure(bench, '256 senders', signals, sharedTurns)),
      ...(await measure(bench, 'each in a turn of its own', signals / 10, ownTurns)),
    ];
  },
};

async function measure(bench: Bench, how: string, signals: number, load: Load): Promise<Row[]> {
  const folder = bench.folder('disk');
  const names = Array.from({ length: EXECUTIONS }, (_, i) => `notes-${i}`);
  await withRuntime(folder, ({ client }) =>
    Promise.all(names.map((workflowId) => client.workflow.start<typeof notes>('notes', { workflowId }))),
  );
  const before = await sizes(folder);
  await withRuntime(folder, ({ client }) =>
    load(
      names.map((name) => client.workflow.getHandle<typeof notes>(name)),
      signals,
    ),
  );
  const after = await sizes(folder);
  const each = (pick: (store: Sizes) => number) => [(pick(after) - pick(before)) / signals];
  const what = `10-byte signal to ${EXECUTIONS} executions, ${how}, compacted`;
  return [
    figure(
      `${what}: live pages`,
      each(({ usedBytes }) => usedBytes),
      'bytes',
      BYTES_MAX,
    ),
    figure(
      `${what}: length of the file`,
      each(({ fileBytes }) => fileBytes),
      'bytes',
    ),
  ];
}

type Sizes = ReturnType<Runtime['metrics']>['store'];

function sizes(folder: string): Promise<Sizes> {
  return withRuntime(folder, async (runtime) => runtime.metrics().store);
}

async function withRuntime<T>(folder: string, fn: (runtime: Runtime) => Promise<T>): Promise<T> {
  const runtime = await openRuntime(folder);
  try {
    return await fn(runtime);
  } finally {
    await runtime.close();
  }
}

/** Signals of several senders to an execution share turns. */
async function sharedTurns(handles: readonly Handle[], signals: number): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < signals) await handles[next++ % handles.length]!.signal(note, TEN_BYTES);
  };
  await Promise.all(Array.from({ length: 256 }, sender));
}

async function ownTurns(handles: readonly Handle[], signals: number): Promise<void> {
  const each = Math.ceil(signals / handles.length);
  const sender = async (handle: Handle): Promise<void> => {
    for (let i = 0; i < each; i++) await handle.signal(note, TEN_BYTES);
  };
  await Promise.all(handles.map(sender));
}
