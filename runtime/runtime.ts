/**
 * The runtime: one open store and its threads, inside the embedder's process.
 *
 *   open: options -> bundle -> store -> threads -> recovery -> host + client        close: drain -> threads -> store
 *
 * Owns: putting the parts together and taking them apart again, in that order, whatever fails on the way.
 * Does not own: signals to the process; when to close is the embedder's business.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism, hostname } from 'node:os';
import { showFramesBy } from '../actors/failures.js';
import { kindOf } from '../actors/options.js';
import { instrument } from '../actors/sandbox/instrument.js';
import { FORMAT_VERSION, FORMAT_VERSION_MIN } from '../codec/version.js';
import type { ActivityExecutor } from './activities/attempt.js';
import { activityPool } from './activities/pool.js';
import { checkActivities, refuseSharedNames } from './activities/registration.js';
import { hostExecutor } from './activities/runner.js';
import { bundleWorkflows } from './bundle.js';
import { WorkflowBundleError } from './bundle-errors.js';
import { CallContext } from './client/call-context.js';
import { Client } from './client/client.js';
import { WorkflowClient } from './client/workflow-client.js';
import { type Clock, systemClock } from './clock.js';
import { ConfigurationError } from './errors.js';
import { Host } from './host.js';
import { type Limits, withDefaults } from './limits.js';
import { DefaultLogger, type Logger } from './logger.js';
import {
  checkName,
  DeclaredNamespaces,
  declaredNamespaces,
  type NamespaceOptions,
  type Namespaces,
} from './namespaces.js';
import { Pool, ThreadDiedError } from './pool.js';
import type { WorkflowScript } from './realm.js';
import { scriptPlaceFinder, WORKFLOW_SCRIPT, withoutOwnFrames } from './script-places.js';
import type { WhenFull } from './service.js';
import { createLocator, readSources } from './source-places.js';
import { StackTraces } from './stack-trace.js';
import { openLmdbStore } from './store/lmdb.js';
import { openMemoryStore } from './store/memory.js';
import type { Durability, Store } from './store/store.js';

export interface RuntimeOptions {
  /** Folder of the store; made if there is none. Absent: everything is in memory and gone at close; undefined is refused. */
  path?: string;
  /** TypeScript or JavaScript module that exports the workflow functions. Absent: no workflow can be started. */
  workflowsPath?: string | URL;
  /** Activity functions by name; they run on the thread that opened the runtime. */
  activities?: object;
  /** Module whose exported functions are activities that run in a thread pool of their own, for work that computes. */
  activitiesPath?: string | URL;
  /** Workflow threads. Default: the machine's parallelism less one, at least one. */
  threads?: number;
  /** The namespace that `client` serves. Default 'default'. */
  namespace?: string;
  /**
   * Further namespaces, each a separate set of workflow ids, with how long each keeps closed executions; `namespace` is
   * always there and may be among them. Calls to any other fail with NamespaceNotFoundError.
   */
  namespaces?: Record<string, NamespaceOptions>;
  /** Default 'default'. */
  taskQueue?: string;
  /**
   * What an acknowledgement waits for. 'flush' (default): it is on the disk. 'commit': the operating system has it, so it
   * survives the process but not a power cut. 'memory': nothing, it is written behind. The first two need a `path`.
   */
  durability?: Durability;
  limits?: Partial<Limits>;
  /**
   * What becomes of the calls of `client` while the limits on waiting messages are reached: 'error' (default) refuses them with
   * RESOURCE_EXHAUSTED, 'wait' lets them wait for room. `client.workflow.withOptions({ whenFull })` makes a client that differs.
   */
  whenFull?: WhenFull;
  /** Default: standard error, from INFO on. */
  logger?: Logger;
  /**
   * The query `__enhanced_stack_trace` shows the workflows' sources too, which are then kept in memory. Default false: whoever
   * may query may read them.
   */
  showStackTraceSources?: boolean;
  /** Named in the histories. Default: process id and host name. */
  identity?: string;
  /** For tests: a store or a clock of their own. */
  ports?: { store?: Store; clock?: Clock };
}

const DURABILITIES: readonly string[] = ['flush', 'commit', 'memory'];

const OPTIONS: Record<keyof RuntimeOptions, true> = {
  path: true,
  workflowsPath: true,
  activities: true,
  activitiesPath: true,
  threads: true,
  namespace: true,
  namespaces: true,
  taskQueue: true,
  durability: true,
  limits: true,
  whenFull: true,
  logger: true,
  showStackTraceSources: true,
  identity: true,
  ports: true,
};

export class Runtime {
  readonly client: Client;
  readonly #host: Host;
  readonly #pool: Pool;
  readonly #store: Store;
  readonly #keepAlive: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  private constructor(parts: { host: Host; pool: Pool; store: Store; client: Client }) {
    this.#host = parts.host;
    this.#pool = parts.pool;
    this.#store = parts.store;
    this.client = parts.client;
    // An open runtime may have timers to fire, so it keeps the process alive, as an open server does.
    this.#keepAlive = setInterval(() => undefined, 2 ** 30);
  }

  /**
   * @throws ConfigurationError for options that make no sense; WorkflowBundleError when the workflows cannot be bundled
   * or evaluated, or the activities of activitiesPath; the errors of store/errors.ts when the folder cannot be used
   */
  static async open(options: RuntimeOptions = {}): Promise<Runtime> {
    const checked = check(options);
    showFramesBy(withoutOwnFrames);
    const { limits, threads, clock, namespaces } = checked;
    const logger = options.logger ?? new DefaultLogger();
    // Threads take as long to start as the code to be bundled.
    const pool = new Pool(threads, limits, clock, (error) => warn(logger, error));
    const opened: { close(): Promise<void> }[] = [pool];
    try {
      const { script, locate, stackTraces } = await workflowCode(options);
      const executors = await activityExecutors(options, limits);
      opened.push(...executors);
      refuseSharedNames(executors);
      const store = options.ports?.store ?? (await openStore(options));
      opened.splice(1, 0, store);
      const workflowTypes = await loadWorkflows(pool, script, options.workflowsPath, locate, limits);
      const host = new Host({
        store,
        pool,
        threads,
        workflowTypes,
        executors,
        limits,
        namespaces,
        clock,
        logger,
        stackTraces,
      });
      const clientOptions = {
        namespace: options.namespace ?? 'default',
        taskQueue: options.taskQueue ?? 'default',
        identity: options.identity ?? `${process.pid}@${hostname()}`,
        whenFull: options.whenFull,
        payloadBytesMax: limits.payloadBytesMax,
        identifierBytesMax: limits.identifierBytesMax,
      };
      const service = new DeclaredNamespaces(host, namespaces);
      const workflow = new WorkflowClient(service, clientOptions, new CallContext(clock));
      return new Runtime({ host, pool, store, client: new Client(workflow) });
    } catch (error) {
      // Whatever was opened is closed again; the error that counts is the one that ended the opening.
      for (const part of opened) await part.close().catch(() => undefined);
      throw error;
    }
  }

  /** A client of another namespace; its calls fail with NamespaceNotFoundError if that was not declared. */
  clientFor(namespace: string): Client {
    return new Client(this.client.workflow.withOptions({ namespace }));
  }

  /** A snapshot of counts and sizes. */
  metrics() {
    return { ...this.#host.metrics(), store: this.#store.stats() };
  }

  /**
   * Takes no more calls, lets turns under way finish, commits them and closes the store. Activities are told to stop. When the
   * store is opened next they begin again, or the next attempt does (RetryPolicy.maximumAttempts). Safe to call twice; afterwards nothing keeps the process alive.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#host.drain();
    } finally {
      clearInterval(this.#keepAlive);
      await this.#pool.close().finally(() => this.#store.close());
    }
  }
}

interface Checked {
  limits: Limits;
  threads: number;
  clock: Clock;
  namespaces: Namespaces;
}

function check(options: RuntimeOptions): Checked {
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError('Runtime.open takes an object of options');
  // A misspelt path would keep everything in memory only, and nobody would notice before it is gone.
  for (const [name, value] of Object.entries(options))
    if (value !== undefined && !Object.hasOwn(OPTIONS, name))
      throw new ConfigurationError(
        `Runtime.open has no option called '${name}'. The options are: ${Object.keys(OPTIONS).join(', ')}`,
      );
  const threads = options.threads ?? Math.max(1, availableParallelism() - 1);
  if (!Number.isInteger(threads) || threads < 1)
    throw new ConfigurationError(
      `threads must be a whole number of at least 1, got ${String(options.threads)}`,
    );
  if (options.durability !== undefined && !DURABILITIES.includes(options.durability)) {
    throw new ConfigurationError(
      `durability must be one of ${DURABILITIES.join(', ')}, got '${options.durability}'`,
    );
  }
  // Most likely a setting that is missing, such as an environment variable.
  if ('path' in options && options.path === undefined)
    throw new ConfigurationError(
      'path is undefined. Give the name of a folder, or leave path out to keep everything in memory only',
    );
  const promised = options.durability === 'flush' || options.durability === 'commit';
  if (promised && options.path === undefined) {
    throw new ConfigurationError(
      `durability '${options.durability}' needs a path, the folder of the store: without one everything is in memory`,
    );
  }
  if (options.whenFull !== undefined && options.whenFull !== 'error' && options.whenFull !== 'wait') {
    throw new ConfigurationError(`whenFull must be 'error' or 'wait', got '${String(options.whenFull)}'`);
  }
  if (options.path !== undefined && (typeof options.path !== 'string' || options.path === '')) {
    throw new ConfigurationError('path must be the name of a folder');
  }
  if (options.activities !== undefined) checkActivities(options.activities);
  for (const name of ['workflowsPath', 'activitiesPath'] as const) checkModulePath(name, options[name]);
  checkLogger(options.logger);
  for (const name of ['namespace', 'taskQueue'] as const) {
    checkName(name, options[name]);
  }
  return {
    limits: withDefaults(options.limits),
    threads,
    clock: options.ports?.clock ?? systemClock,
    namespaces: declaredNamespaces(options.namespace ?? 'default', options.namespaces),
  };
}

function checkModulePath(name: string, value: unknown): void {
  if (value === undefined || (typeof value === 'string' && value !== '')) return;
  const href = typeof value === 'object' ? (value as Partial<URL> | null)?.href : undefined;
  if (typeof href === 'string' && href.startsWith('file:')) return;
  const got = typeof value === 'string' ? "''" : (href ?? kindOf(value));
  throw new ConfigurationError(`${name} must be the path of a module or its file: URL, got ${got}`);
}

/** Loggers of other shapes would be called in vain, and nobody would see a line. */
function checkLogger(logger: Logger | undefined): void {
  if (logger === undefined || logger === null || typeof logger.log === 'function') return;
  throw new ConfigurationError(
    'logger must have a method log(level, message, attributes), with a level of TRACE, DEBUG, INFO, WARN or ERROR. For one with a ' +
      'method per level: { log: (level, message, attributes) => logger[level.toLowerCase()](attributes, message) }',
  );
}

type Locate = (line: number, column: number) => string;

async function workflowCode({ workflowsPath, showStackTraceSources = false }: RuntimeOptions): Promise<{
  script: WorkflowScript;
  locate: Locate;
  stackTraces: StackTraces;
}> {
  const version = await packageVersion();
  if (workflowsPath === undefined) {
    const stackTraces = new StackTraces({ find: () => undefined, version, sources: undefined });
    return { script: { code: '' }, locate: () => '', stackTraces };
  }
  const { code, sourceMap, inputs } = await bundleWorkflows({ workflowsPath: String(workflowsPath) });
  const locate = createLocator(sourceMap);
  const instrumented = instrument(code, { locate });
  const places = { sourceMap, insertions: instrumented.insertions };
  const stackTraces = new StackTraces({
    find: scriptPlaceFinder(places),
    version,
    sources: showStackTraceSources ? await readSources(inputs, sourceMap) : undefined,
  });
  return { script: { code: instrumented.code, places }, locate, stackTraces };
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** What the modules export, once they were evaluated in a thread. */
async function loadWorkflows(
  pool: Pool,
  script: WorkflowScript,
  workflowsPath: string | URL | undefined,
  locate: Locate,
  limits: Limits,
): Promise<string[]> {
  const path = String(workflowsPath);
  const refuse = (text: string, cause?: unknown) =>
    new WorkflowBundleError(path, [{ file: path, line: 0, column: 0, text }], { cause });
  try {
    const types = await pool.load(script);
    if (workflowsPath !== undefined && types.length === 0) throw refuse('exports no workflow functions');
    return types;
  } catch (error) {
    if (!(error instanceof ThreadDiedError)) throw error;
    if (error.blocked)
      throw refuse(`evaluating it took longer than ${limits.turnMsMax} ms (limits.turnMsMax)`, error);
    throw refuse(`evaluating it failed: ${describeThrown(error.cause, locate)}`, error.cause);
  }
}

const IN_SCRIPT = new RegExp(`${WORKFLOW_SCRIPT}:(\\d+):(\\d+)`);

/** The error and the line of the user's sources that it comes from. */
function describeThrown(thrown: unknown, locate: Locate): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const [, line, column] = IN_SCRIPT.exec(thrown.stack ?? '') ?? [];
  const place = line === undefined ? '' : ` (${locate(Number(line), Number(column) - 1)})`;
  return `${thrown.name}: ${thrown.message}${place}`;
}

async function activityExecutors(options: RuntimeOptions, limits: Limits): Promise<ActivityExecutor[]> {
  const executors: ActivityExecutor[] = [];
  if (options.activities !== undefined)
    executors.push(hostExecutor(options.activities as Record<string, unknown>, limits.payloadBytesMax));
  if (options.activitiesPath !== undefined)
    executors.push(await activityPool(String(options.activitiesPath), limits));
  return executors;
}

/** A logger of the embedder that throws has nobody left to be told. */
function warn(logger: Logger, error: Error): void {
  try {
    logger.log('WARN', `Runtime: ${error.message}`, { error: error.stack ?? String(error) });
  } catch {
    // It is the embedder's own.
  }
}

function openStore({ path, durability }: RuntimeOptions): Promise<Store> {
  if (path === undefined) return Promise.resolve(openMemoryStore());
  return openLmdbStore({
    path,
    durability: durability ?? 'flush',
    format: FORMAT_VERSION,
    formatMin: FORMAT_VERSION_MIN,
  });
}
