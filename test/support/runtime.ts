/**
 * A runtime under test: one file of workflows, everything in memory, its log lines at hand.
 *
 * Owns: opening and reopening on the same store, a clock that is turned by hand, short ways to look at a history.
 * Does not own: workflows (test/fixtures/workflows), what a test expects.
 *
 * No test waits for real time: what is due later is reached by turning the clock.
 */
import path from 'node:path';
import type { Workflow } from '../../actors/definitions.js';
import type { HistoryEvent } from '../../codec/history-event.js';
import type { WorkflowClient, WorkflowHandle, WorkflowOptions } from '../../runtime/client/index.js';
import type { Clock } from '../../runtime/clock.js';
import type { LogLevel } from '../../runtime/logger.js';
import { Runtime, type RuntimeOptions } from '../../runtime/runtime.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';
import { repository } from './repository.js';

export { rejection } from './store-rows.js';

export type Handle = WorkflowHandle<Workflow>;

export interface LogLine {
  level: LogLevel;
  message: string;
  attributes: Record<string, unknown>;
}

export interface TestRuntimeOptions
  extends Omit<RuntimeOptions, 'ports' | 'path' | 'logger' | 'workflowsPath'> {
  /** Name of a file in test/fixtures/workflows, without its extension. */
  workflows: string;
  /** Default: the real one. */
  clock?: ManualClock;
  /** Default: a new one in memory, whose writes take a moment as those of a disk do. */
  store?: Store;
  /** What stands between the runtime and its store, also after it was opened again. */
  wrap?: (store: Store) => Store;
}

/** The path of a file in test/fixtures/workflows. */
export function fixture(name: string): string {
  return path.join(repository, 'test', 'fixtures', 'workflows', `${name}.ts`);
}

export class TestRuntime {
  readonly logs: LogLine[] = [];
  #options: TestRuntimeOptions;
  #store: Store;
  #runtime: Runtime;
  #started = 0;

  private constructor(options: TestRuntimeOptions, store: Store) {
    this.#options = options;
    this.#store = store;
    // Set by open() before anybody has this object.
    this.#runtime = undefined as unknown as Runtime;
  }

  static async open(options: TestRuntimeOptions): Promise<TestRuntime> {
    const test = new TestRuntime(options, options.store ?? openMemoryStore({ durability: 'commit' }));
    await test.#open();
    return test;
  }

  get runtime(): Runtime {
    return this.#runtime;
  }

  get client(): WorkflowClient {
    return this.#runtime.client.workflow;
  }

  /** Starts an execution under a workflow id of its own. */
  async start(type: string, args: unknown[] = [], options: Partial<WorkflowOptions> = {}): Promise<Handle> {
    return this.client.start(type, { workflowId: this.newId(type), ...options, args });
  }

  newId(prefix = 'workflow'): string {
    this.#started += 1;
    return `${prefix}-${this.#started}`;
  }

  /** The same execution through the client of the runtime that is open now. */
  again(handle: { workflowId: string }): Handle {
    return this.client.getHandle(handle.workflowId);
  }

  /** Closes the runtime and opens another on its store, with other options if any are given. */
  async reopen(changes: Partial<TestRuntimeOptions> = {}): Promise<void> {
    await this.#runtime.close();
    this.#options = { ...this.#options, ...changes };
    await this.#open();
  }

  /** As reopen, but what the new runtime finds is what was durable at this instant: the old one gets no time to tidy up. */
  async crash(changes: Partial<TestRuntimeOptions> = {}): Promise<void> {
    const found = await copyOf(this.#store);
    await this.#runtime.close();
    this.#store = found;
    this.#options = { ...this.#options, ...changes };
    await this.#open();
  }

  async close(): Promise<void> {
    await this.#runtime.close();
  }

  /** Messages of log lines of workflows and activities, not of the runtime itself. */
  messages(workflowId: string): string[] {
    return this.logs
      .filter(({ attributes }) => attributes.workflowId === workflowId)
      .map(({ message }) => message);
  }

  async #open(): Promise<void> {
    const { workflows, clock, store: _, wrap = (store) => store, ...options } = this.#options;
    this.#runtime = await Runtime.open({
      threads: 1,
      ...options,
      // A clock that jumps must not look like a turn that blocks its thread.
      limits: { ...(clock && { turnMsMax: Number.MAX_SAFE_INTEGER }), ...options.limits },
      workflowsPath: fixture(workflows),
      logger: {
        log: (level, message, attributes = {}) => void this.logs.push({ level, message, attributes }),
      },
      ports: { store: outliving(wrap(this.#store)), ...(clock && { clock }) },
    });
  }
}

/** A store that is still there when the runtime on it is closed. */
function outliving(store: Store): Store {
  return {
    get: (key) => store.get(key),
    range: (from, to, options) => store.range(from, to, options),
    write: (ops) => store.write(ops),
    stats: () => store.stats(),
    close: async () => undefined,
  };
}

async function copyOf(store: Store): Promise<Store> {
  const rows = [...store.range(new Uint8Array(), Uint8Array.of(0xff))];
  const copy = openMemoryStore({ durability: 'commit' });
  await copy.write(
    rows.map(([key, value]): WriteOp => ({ kind: 'put', key: key.slice(), value: value.slice() })),
  );
  return copy;
}

/** A clock that stands still until it is turned. */
export class ManualClock implements Clock {
  #now: number;
  #waiting: Waiting[] = [];

  constructor(now = Date.UTC(2030, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const entry = { at: this.#now + Math.max(0, ms), callback };
    this.#waiting.push(entry);
    // What is due already need not wait for the clock to be turned.
    if (ms <= 0) setImmediate(() => this.advance(0));
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
    };
  }

  /** Milliseconds until each callback that waits, soonest first. */
  get pending(): number[] {
    return this.#waiting.map(({ at }) => at - this.#now).sort((a, b) => a - b);
  }

  /** As a user sets a wrong clock right: nothing is called. */
  set(now: number): void {
    this.#now = now;
  }

  /** What is due on the way is called back when its time has come, and sees that time. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#soonest();
      if (next === undefined || next.at > until) break;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = until;
  }

  #soonest(): Waiting | undefined {
    return this.#waiting.reduce<Waiting | undefined>(
      (best, entry) => (best && best.at <= entry.at ? best : entry),
      undefined,
    );
  }
}

interface Waiting {
  at: number;
  callback: () => void;
}

const PATIENCE_MS = 20_000;

/** Waits until `look` gives something other than undefined and false. Only for what no call can be awaited for. */
export async function eventually<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`This never became true: ${look}`);
}

/** Event types of an execution's history, in order, in the short form of Temporal's documentation. */
export async function eventTypes(handle: Handle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return events.map(shortType);
}

/** EVENT_TYPE_WORKFLOW_TASK_STARTED -> WorkflowTaskStarted */
export function shortType({ eventType }: HistoryEvent): string {
  const words = eventType.replace('EVENT_TYPE_', '').toLowerCase().split('_');
  return words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}

/** The events of a workflow task that succeeded. */
export const TASK = ['WorkflowTaskScheduled', 'WorkflowTaskStarted', 'WorkflowTaskCompleted'] as const;
