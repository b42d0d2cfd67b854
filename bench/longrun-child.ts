/**
 * The child process of longrun.ts: 256 senders, each of which makes its next call when it has the answer to the one before.
 *
 *   of 20 calls:  14 signals, 4 queries, 1 update to one of 5,000 entities (a fifth of them in memory); 1 start + activity + result
 *
 * An entity ends after 20 signals and another takes its place, so what is open stays the same; what has closed is removed after
 * a while, so what is kept stays the same too. Whatever grows all the same, grows for good.
 */
import type { WorkflowHandle } from '../runtime/client/index.js';
import type { Runtime } from '../runtime/index.js';
import { openRuntime } from './bench.js';
import { serve } from './child.js';
import { processMemory } from './process-memory.js';
import { add, increment, type page, type step, total } from './workflows.js';

export interface Order {
  folder: string;
  minutes: number;
}

export interface Answer {
  slices: Slice[];
}

/** Means over a part of the run, unless something else is said. */
export interface Slice {
  perSecond: number;
  p50: number;
  p99: number;
  resident: number;
  own: number;
  /** Own memory less what V8 keeps for the heap of the host, which is several times what is in use and goes up and down. */
  outside: number;
  /** The smallest: what is left just after a collection. */
  hostHeap: number;
  threadHeap: number;
  runsInMemory: number;
  fileBytes: number;
  usedBytes: number;
}

const SENDERS = 256;
const ENTITIES = 5_000;
const ACTIVATIONS = 1_000;
const LINES = 20;
const RETENTION = '20 s';
/** Longer than the retention: by then as much is removed as closes. */
const WARMUP_MS = 40_000;
const SAMPLE_MS = 1_000;
/** Latencies of one slice; what comes beyond is not in its percentiles. */
const LATENCIES_MAX = 4_000_000;

serve(async ({ folder, minutes }: Order): Promise<Answer> => {
  const runtime = await openRuntime(folder, {
    limits: { activationsPerThreadMax: ACTIVATIONS },
    namespaces: { default: { retention: RETENTION } },
  });
  const sliceMs = Math.min(60_000, (minutes * 60_000 - WARMUP_MS) / 3);
  const load = new Load(runtime);
  await load.begin();
  await pause(WARMUP_MS);
  const slices: Slice[] = [];
  for (let left = minutes * 60_000 - WARMUP_MS; left >= sliceMs; left -= sliceMs) {
    slices.push(await slice(runtime, load, sliceMs));
    process.stderr.write(`${line(slices.at(-1)!)}\n`);
  }
  await load.end();
  return { slices };
});

class Load {
  readonly #runtime: Runtime;
  readonly #latencies = new Float64Array(LATENCIES_MAX);
  #count = 0;
  #ending = false;
  #senders: Promise<void>[] = [];
  readonly #entities: Entity[] = [];
  #named = 0;
  #steps = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async begin(): Promise<void> {
    const slots = Array.from({ length: ENTITIES }, (_, slot) => slot);
    for (let at = 0; at < slots.length; at += SENDERS)
      await Promise.all(slots.slice(at, at + SENDERS).map((slot) => this.#replace(slot)));
    this.#senders = Array.from({ length: SENDERS }, () => this.#sender());
  }

  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#senders);
  }

  /** Latencies since the last call, sorted, ms. */
  take(): Float64Array {
    const taken = this.#latencies.slice(0, this.#count).sort();
    this.#count = 0;
    return taken;
  }

  async #sender(): Promise<void> {
    while (!this.#ending) {
      const begun = performance.now();
      await this.#call();
      if (this.#count < LATENCIES_MAX) this.#latencies[this.#count++] = performance.now() - begun;
    }
  }

  async #call(): Promise<unknown> {
    const kind = Math.floor(Math.random() * 20);
    const { workflow } = this.#runtime.client;
    if (kind === 0) {
      const [workflowId, value] = [`step-${this.#steps}`, this.#steps++];
      return workflow.execute<typeof step>('step', { workflowId, args: [value] });
    }
    const slot = Math.floor(Math.random() * ENTITIES);
    const entity = this.#entities[slot]!;
    if (kind < 5) return entity.handle.query(total);
    if (kind === 5 && entity.left > 0)
      return entity.handle.executeUpdate(increment, { args: [1] }).catch(ignoreEnd);
    if (--entity.left < 0) return entity.handle.query(total);
    await entity.handle.signal(add, 1);
    if (--entity.unacknowledged === 0) await this.#replace(slot);
  }

  async #replace(slot: number): Promise<void> {
    const handle = await this.#runtime.client.workflow.start<typeof page>('page', {
      workflowId: `page-${this.#named++}`,
      args: [LINES],
    });
    this.#entities[slot] = { handle, left: LINES, unacknowledged: LINES };
  }
}

interface Entity {
  handle: WorkflowHandle<typeof page>;
  /** Signals that have not been sent, and of which it is not known that they arrived. */
  left: number;
  unacknowledged: number;
}

/** The entity may end between the call and the turn that would take it. */
function ignoreEnd(error: Error): void {
  if (!/completed|closing|not found/i.test(`${error.message} ${(error.cause as Error | undefined)?.message}`))
    throw error;
}

async function slice(runtime: Runtime, load: Load, ms: number): Promise<Slice> {
  load.take();
  const begun = performance.now();
  const samples: Omit<Slice, 'perSecond' | 'p50' | 'p99'>[] = [];
  while (performance.now() - begun < ms) {
    await pause(SAMPLE_MS);
    samples.push(sample(runtime));
  }
  const seconds = (performance.now() - begun) / 1_000;
  const latencies = load.take();
  const mean = (pick: (s: (typeof samples)[number]) => number) =>
    samples.reduce((sum, each) => sum + pick(each), 0) / samples.length;
  return {
    perSecond: latencies.length / seconds,
    p50: latencies[Math.floor(latencies.length * 0.5)] ?? Number.NaN,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
    resident: mean((s) => s.resident),
    own: mean((s) => s.own),
    outside: mean((s) => s.outside),
    hostHeap: Math.min(...samples.map((s) => s.hostHeap)),
    threadHeap: Math.min(...samples.map((s) => s.threadHeap)),
    runsInMemory: mean((s) => s.runsInMemory),
    fileBytes: mean((s) => s.fileBytes),
    usedBytes: mean((s) => s.usedBytes),
  };
}

function sample(runtime: Runtime): Omit<Slice, 'perSecond' | 'p50' | 'p99'> {
  const { resident, own = resident } = processMemory();
  const { heapUsed, heapTotal } = process.memoryUsage();
  const { runsInMemory, threadHeapBytes, store } = runtime.metrics();
  return {
    resident,
    own,
    outside: own - heapTotal,
    hostHeap: heapUsed,
    threadHeap: threadHeapBytes.reduce((sum, bytes) => sum + bytes, 0),
    runsInMemory,
    fileBytes: store.fileBytes,
    usedBytes: store.usedBytes,
  };
}

function line(s: Slice): string {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  return [
    `${Math.round(s.perSecond)} calls/s`,
    `p50 ${s.p50.toFixed(1)} ms`,
    `p99 ${s.p99.toFixed(1)} ms`,
    `resident ${mib(s.resident)}`,
    `own ${mib(s.own)}`,
    `outside the host's heap ${mib(s.outside)}`,
    `host heap ${mib(s.hostHeap)}`,
    `thread heap ${mib(s.threadHeap)}`,
    `runs ${Math.round(s.runsInMemory)}`,
    `file ${mib(s.fileBytes)}`,
    `live ${mib(s.usedBytes)}`,
  ].join(', ');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
