/**
 * `npm run bench -- --profile`: where the time of a message goes, stage by stage, in the host and in its pool thread.
 *
 *   warm up -> profiler on in both -> load -> profiler off -> each sample to the stage nearest on its stack -> table
 *
 * Owns: which functions are which stage, taking V8's CPU profiles of all threads of this process.
 * Does not own: the workloads' meaning (signal.ts, update.ts ...), which are made here as bare calls.
 *
 * A sample counts as time even if the system was running something else, so stages are upper bounds, and the profiler makes
 * all of it slower. The order of the stages is more reliable than their size.
 */
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { SourceMap } from 'node:module';
import path from 'node:path';
import { type Bench, EXECUTIONS, type Handle, openRuntime, startCounters } from './bench.js';
import { ROOT } from './machine.js';
import { type Call, load } from './measure.js';
import { add, increment, incrementChecked, type step, total } from './workflows.js';

const SENDERS = 256;
const SAMPLE_US = 200;
const WORKER_MAP = path.join(ROOT, 'dist/runtime/worker.js.map');

/** A function, and where it begins, counted from 0. */
interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
  columnNumber: number;
}
interface Profile {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}

/** The first that matches, from the innermost function outwards, has the sample. */
type Stages = readonly (readonly [stage: string, functions: RegExp])[];

const HOST: Stages = [
  ['garbage', /^\(garbage collector\)/],
  ['idle', /^\(idle\)/],
  ['batch packed, result unpacked', /codec\/(packed|envelope)/],
  ['compaction', /runtime\/compactor/],
  ['activities', /runtime\/activities\//],
  ['commit', /runtime\/(committer|store\/)|node_modules\/lmdb\//],
  ['border', /piscina|runtime\/pool\.|^(postMessage|receiveMessageOnPort) /],
  [
    'acknowledge, apply',
    /^#?(durable|receive|settle|settleAfter|apply|perform|updateSettled) |runtime\/run\./,
  ],
  ['client, admission', /runtime\/(client\/|host|runs|thread|live|agenda)|bench\//],
];

const THREAD: Stages = [
  ['garbage', /^\(garbage collector\)/],
  ['idle', /^(\(idle\)|atomicsWaitLoop )/],
  ['batch unpacked', /^unpackBatch /],
  ['entry and result packed', /^(packEntry|packResult|unpackEntry) /],
  ['promise jobs run', /^(drain|takeUnhandled) |^\(anonymous\) .*realm\.[jt]s/],
  [
    'turn or answer',
    /runtime\/shard|signalbox-realm|workflow-bundle\.js|runtime\/(replay|update-answers|turn-marker)|event-count/,
  ],
  ['border', /piscina|runtime\/worker|^(postMessage|receiveMessageOnPort) /],
];

const REST = 'the rest';

/** Microseconds per message by stage, and how many messages there were a second. */
interface Measured {
  what: string;
  perSecond: number;
  host: ReadonlyMap<string, number>;
  thread: ReadonlyMap<string, number>;
}

/** The table, as Markdown. */
export async function profileStages(bench: Bench, ms: number): Promise<string> {
  const measured: Measured[] = [];
  for (const [what, executions, callOf] of WORKLOADS) {
    process.stderr.write(`profile of ${what} ... `);
    measured.push(await profileWorkload(bench, what, executions, callOf, ms));
    process.stderr.write('done\n');
  }
  return table(measured);
}

type CallOf = (handles: readonly Handle[], execute: (k: number) => Promise<unknown>) => Call;

const WORKLOADS: readonly (readonly [what: string, executions: number, call: CallOf])[] = [
  ['signal', EXECUTIONS, (handles) => (k) => handles[k % handles.length]!.signal(add, 1)],
  ['one hot execution', 1, (handles) => () => handles[0]!.signal(add, 1)],
  [
    'update',
    EXECUTIONS,
    (handles) => (k) => handles[k % handles.length]!.executeUpdate(increment, { args: [1] }),
  ],
  [
    'update with validator',
    EXECUTIONS,
    (handles) => (k) => handles[k % handles.length]!.executeUpdate(incrementChecked, { args: [1] }),
  ],
  ['query', EXECUTIONS, (handles) => (k) => handles[k % handles.length]!.query(total)],
  ['start + activity + result', 0, (_, execute) => execute],
];

async function profileWorkload(
  bench: Bench,
  what: string,
  executions: number,
  callOf: CallOf,
  ms: number,
): Promise<Measured> {
  const runtime = await openRuntime(bench.folder('profile'));
  try {
    const handles = await startCounters(
      runtime,
      Array.from({ length: executions }, (_, i) => `profiled-${i}`),
    );
    let count = 0;
    const execute = (): Promise<unknown> => {
      const k = count++;
      return runtime.client.workflow.execute<typeof step>('step', { workflowId: `step-${k}`, args: [k] });
    };
    const call = callOf(handles, execute);
    await load(SENDERS, ms / 2, call);
    const profilers = await Profilers.open();
    await profilers.start();
    const { calls, perSecond } = await load(SENDERS, ms, call);
    const { host, threads } = await profilers.stop();
    return {
      what,
      perSecond,
      host: stagesOf([host], HOST, calls),
      thread: stagesOf(threads, THREAD, calls),
    };
  } finally {
    await runtime.close();
  }
}

/** V8's profilers of this thread and of all workers it has, through one inspector session. */
class Profilers {
  readonly #session = new Session();
  readonly #workers = new Set<string>();
  readonly #answers = new Map<number, (result: unknown) => void>();
  #calls = 0;

  static async open(): Promise<Profilers> {
    const profilers = new Profilers();
    await profilers.#open();
    return profilers;
  }

  async #open(): Promise<void> {
    this.#session.connect();
    const on = (event: string, listener: (params: Record<string, any>) => void) =>
      this.#session.on(event, (message: object) => listener((message as { params: object }).params));
    on('NodeWorker.attachedToWorker', ({ sessionId }) => this.#workers.add(sessionId));
    on('NodeWorker.receivedMessageFromWorker', ({ message }) => {
      const { id, result } = JSON.parse(message);
      this.#answers.get(id)?.(result);
      this.#answers.delete(id);
    });
    await this.#post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await this.#everywhere('Profiler.enable');
    await this.#everywhere('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  }

  async start(): Promise<void> {
    await this.#everywhere('Profiler.start');
  }

  async stop(): Promise<{ host: Profile; threads: Profile[] }> {
    const [host, ...threads] = (await this.#everywhere('Profiler.stop')) as { profile: Profile }[];
    await this.#post('NodeWorker.disable');
    this.#session.disconnect();
    return { host: host!.profile, threads: threads.map(({ profile }) => profile) };
  }

  async #everywhere(method: string, params: object = {}): Promise<unknown[]> {
    return [
      await this.#post(method, params),
      ...(await Promise.all([...this.#workers].map((id) => this.#postTo(id, method, params)))),
    ];
  }

  #post(method: string, params: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, params, (error, result) =>
        error === null ? resolve(result) : reject(error),
      );
    });
  }

  #postTo(sessionId: string, method: string, params: object): Promise<unknown> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, resolve);
      this.#post('NodeWorker.sendMessageToWorker', {
        sessionId,
        message: JSON.stringify({ id, method, params }),
      }).catch(reject);
    });
  }
}

function stagesOf(profiles: readonly Profile[], stages: Stages, calls: number): Map<string, number> {
  const sums = new Map<string, number>();
  for (const profile of profiles) {
    const stageOf = stageFinder(profile, stages);
    for (const [i, node] of profile.samples.entries()) {
      const stage = stageOf(node);
      sums.set(stage, (sums.get(stage) ?? 0) + profile.timeDeltas[i]! / calls);
    }
  }
  return sums;
}

function stageFinder({ nodes }: Profile, stages: Stages): (node: number) => string {
  const parents = new Map<number, number>();
  const frames = new Map<number, CallFrame>();
  for (const { id, callFrame, children = [] } of nodes) {
    frames.set(id, callFrame);
    for (const child of children) parents.set(child, id);
  }
  const known = new Map<number, string>();
  const find = (node: number): string => {
    for (let at: number | undefined = node; at !== undefined; at = parents.get(at)) {
      const frame = frames.get(at)!;
      const name = `${frame.functionName || '(anonymous)'} ${sourceOf(frame)}`;
      const stage = stages.find(([, functions]) => functions.test(name));
      if (stage !== undefined) return stage[0];
    }
    return REST;
  };
  return (node) => {
    const stage = known.get(node) ?? find(node);
    known.set(node, stage);
    return stage;
  };
}

/** The module that a function is written in: what a pool thread loads is one module made of many. */
function sourceOf({ url, lineNumber, columnNumber }: CallFrame): string {
  if (!url.endsWith('/runtime/worker.js')) return url;
  workerMap ??= new SourceMap(JSON.parse(readFileSync(WORKER_MAP, 'utf8')));
  const entry = workerMap.findEntry(lineNumber, columnNumber);
  return 'originalSource' in entry ? entry.originalSource : url;
}

let workerMap: SourceMap | undefined;

function table(measured: readonly Measured[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rows = (where: 'host' | 'thread', stages: Stages) => {
    const names = [...stages.map(([stage]) => stage).filter((stage) => stage !== 'idle'), REST];
    const cells = (stage: string) => measured.map((each) => shown(each[where].get(stage) ?? 0));
    const work = measured.map((each) => shown(sum(names.map((stage) => each[where].get(stage) ?? 0))));
    return [
      ...names.map((stage) => line([stage, where, ...cells(stage)])),
      line([`**at work / a message**`, where, ...work]),
    ];
  };
  return [
    line(['stage, us per message', 'where', ...measured.map(({ what }) => what)]),
    line(['---', '---', ...measured.map(() => '---:')]),
    ...rows('host', HOST),
    ...rows('thread', THREAD),
    line([
      '**a message every**',
      'both, and the disk',
      ...measured.map(({ perSecond }) => shown(1e6 / perSecond)),
    ]),
  ].join('\n');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

function shown(us: number): string {
  return us < 0.05 ? '' : us.toFixed(us < 20 ? 1 : 0);
}
