/**
 * The sandbox of one thread: a vm context with the realm library in it, ready to evaluate the user's workflows.
 *
 * Owns: the context, what Node globals it gets, draining its microtasks, following async call paths, and hearing of
 * unhandled rejections.
 * Does not own: what happens in the context (actors/), which executions live there (shard.ts).
 *
 * The context has a microtask queue of its own that is drained whenever a script ends in it. That is what makes a turn
 * synchronous: the thread runs an activation's jobs, drains, and knows that nothing of it runs any more (D3).
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import v8 from 'node:v8';
import vm from 'node:vm';
import type { WorkflowExports } from '../actors/activation.js';
import type { Frame } from '../actors/current.js';
import { READ_ONLY_NAME } from '../actors/sandbox/instrument.js';
import type { Realm } from '../actors/sandbox/realm-entry.js';
import { frameShower, type ScriptPlaces, WORKFLOW_SCRIPT } from './script-places.js';

export interface Sandbox {
  readonly realm: Realm;
  /** Evaluates the user's modules once more, for one execution. */
  load(): WorkflowExports;
  /** Evaluates them for no execution at all, to see what they export. Throws what they throw. */
  probe(): WorkflowExports;
  /** Runs all promise jobs that are due. */
  drain(): void;
  /** How many promises have been made so far. */
  promises(): number;
  /** A rejection that nobody handled since the last call, if there was one. */
  takeUnhandled(): { reason: unknown } | undefined;
}

/** Bundled, instrumented workflow code. */
export interface WorkflowScript {
  code: string;
  /** How stacks find back to the sources. */
  places?: ScriptPlaces | undefined;
}

/** Temporal's package names for what the authoring API has here. */
const WORKFLOW_MODULES = new Set(['signalbox/workflow', '@temporalio/workflow', '@temporalio/common']);

export function createSandbox(script: WorkflowScript): Sandbox {
  return prepareSandbox()(script);
}

/** All that can be made before the workflow code is there. What it returns can be called once. */
export function prepareSandbox(): (script: WorkflowScript) => Sandbox {
  const context = vm.createContext(
    {},
    {
      name: 'signalbox-realm',
      microtaskMode: 'afterEvaluate',
      codeGeneration: { strings: false, wasm: false },
    },
  );
  const global = vm.runInContext('globalThis', context) as Record<string, unknown>;
  const realm = evaluateRealm(context);
  const makeGlobal = realm.install(global, { URL, URLSearchParams, TextEncoder, TextDecoder });
  const promises = followAsyncContext(realm);
  const drainScript = new vm.Script('0', { filename: 'signalbox-realm:drain' });
  const takeUnhandled = rejectionWatch();
  return ({ code, places }) => {
    if (places !== undefined) realm.showFramesBy(frameShower(places));
    const factory = compileWorkflows(context, code);
    const load = () => evaluate(factory, realm, makeGlobal());
    return {
      realm,
      load,
      probe: () => realm.probe(load),
      drain: () => {
        endIfTold();
        drainScript.runInContext(context);
      },
      promises,
      takeUnhandled,
    };
  };
}

/**
 * When a thread is ended just while Node.js 20 notes a rejected promise, that is put off until the next call into native code
 * returns. If that call is the one that enters a context, Node.js aborts the process ("Assertion failed: (contextify_context) !=
 * nullptr"). So here is another one first, the cheapest there is.
 */
function endIfTold(): void {
  types.isExternal(undefined);
}

/** Handed in as parameters and not as globals: the library is faster with Node's Buffer, workflow code must not see it. */
function evaluateRealm(context: vm.Context): Realm {
  const filename = fileURLToPath(new URL('../actors/sandbox/realm.cjs', import.meta.url));
  const source = `(function (module, exports, Buffer, TextEncoder, TextDecoder) {${INTRINSICS}${readFileSync(filename, 'utf8')}\n})`;
  const evaluateLibrary = new vm.Script(source, { filename: 'signalbox-realm.cjs' }).runInContext(context);
  const module = { exports: {} as { realm?: Realm } };
  evaluateLibrary(module, module.exports, Buffer, TextEncoder, TextDecoder);
  if (module.exports.realm === undefined)
    throw new Error('The realm library did not load: run `npm run build`');
  return module.exports.realm;
}

/**
 * A free global name is looked up through the context's interceptors every time, ten times slower than a variable. So the
 * usual ones are made variables, on the first line, which keeps the lines of what follows.
 */
const INTRINSICS = `const {${[
  'Object,Array,Map,Set,WeakMap,WeakSet,Date,RegExp,Error,TypeError,RangeError,Symbol,Promise,Proxy,Reflect,Math,JSON',
  'Number,String,Boolean,BigInt,Function,parseInt,parseFloat,isNaN,isFinite,encodeURIComponent,decodeURIComponent',
  'ArrayBuffer,DataView,Uint8Array,Int8Array,Uint16Array,Int16Array,Uint32Array,Int32Array,Float32Array,Float64Array',
].join(',')}}=globalThis;`;

/** As runtime/bundle.ts says: the script sets one of the two. */
interface WorkflowModule {
  exports: Record<string, unknown>;
  getters?: Record<string, () => unknown>;
}

type WorkflowFactory = (
  exports: Record<string, unknown>,
  require: (name: string) => unknown,
  module: WorkflowModule,
  globalThis: unknown,
  readOnly: unknown,
) => void;

function compileWorkflows(context: vm.Context, code: string): WorkflowFactory {
  // Strict, so that a forgotten declaration throws instead of becoming a global that all executions share.
  const parameters = `exports, require, module, globalThis, ${READ_ONLY_NAME}`;
  const source = `(() => {${INTRINSICS}return function (${parameters}) {"use strict";${code}\n}})()`;
  return new vm.Script(source, { filename: WORKFLOW_SCRIPT }).runInContext(context) as WorkflowFactory;
}

function evaluate(factory: WorkflowFactory, realm: Realm, globalThis: object): WorkflowExports {
  const module: WorkflowModule = { exports: {} };
  const require = (name: string): unknown => {
    if (WORKFLOW_MODULES.has(name)) return realm.workflow;
    throw new Error(`Module '${name}' is not available in workflows`);
  };
  factory(module.exports, require, module, globalThis, realm.readOnly);
  const { exports, getters } = module;
  if (getters === undefined) return { names: () => Object.keys(exports), get: (name) => exports[name] };
  return {
    names: () => Object.keys(getters),
    get: (name) => (Object.hasOwn(getters, name) ? getters[name]!() : undefined),
  };
}

const FRAME = Symbol('async frame');

/** A promise made in a frame runs its reactions in that frame. Costs 0.1 us per promise; only frames other than the root are noted. */
function followAsyncContext(realm: Realm): () => number {
  const context = realm.asyncContext;
  let count = 0;
  type Noted = { [FRAME]?: Frame };
  v8.promiseHooks.createHook({
    init(promise) {
      count++;
      if (context.frame !== null) (promise as Noted)[FRAME] = context.frame;
    },
    before(promise) {
      context.frame = (promise as Noted)[FRAME] ?? null;
    },
    after() {
      context.frame = null;
    },
  });
  return () => count;
}

/**
 * Node reports unhandled rejections when it has run its tick queue, normally long after the turn. Running that queue by
 * hand right after the turn tells whose rejection it was. `_tickCallback` is what Node itself calls for it.
 */
function rejectionWatch(): () => { reason: unknown } | undefined {
  let unhandled: { reason: unknown } | undefined;
  process.on('unhandledRejection', (reason) => {
    unhandled ??= { reason };
  });
  const tick = (process as unknown as { _tickCallback?: () => void })._tickCallback;
  if (typeof tick !== 'function')
    throw new Error('This version of Node.js cannot report unhandled rejections per turn');
  return () => {
    tick.call(process);
    const found = unhandled;
    unhandled = undefined;
    return found;
  };
}
