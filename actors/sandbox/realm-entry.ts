/**
 * The face of the sandbox towards its thread: everything in here, and all it imports, is evaluated once inside the
 * thread's vm context, so that what workflow code gets is made of the context's own classes.
 *
 * Owns: the list of what crosses. Who calls it: runtime/realm.ts, and only that.
 */
import type { StartInfo } from '../../codec/journal-entry.js';
import { Activation, type LoadWorkflows, type WorkflowExports } from '../activation.js';
import { asyncContext, setCurrent } from '../current.js';
import { showFramesBy, toFailure } from '../failures.js';
import { storedAttributes } from '../log-attributes.js';
import * as workflow from '../workflow.js';
import { installGlobals } from './globals.js';
import { closeIntrinsics, globalMaker } from './intrinsics.js';
import { createReadOnly } from './read-only.js';
import { type HostClasses, installWebClasses } from './web.js';

const readOnly = createReadOnly();

/** Of a stack. Those of the library come before the functions that await the one that threw; ten would leave none of these. */
const FRAMES_MAX = 30;

/** Called by the thread once, before any user code. Gives what makes the globalThis of an execution. */
function install(global: Record<string, unknown>, hosts: HostClasses): () => object {
  Error.stackTraceLimit = FRAMES_MAX;
  installGlobals(global);
  installWebClasses(global, hosts);
  readOnly.installBuiltinGuards(global);
  closeIntrinsics(global, Object.values(workflow));
  Object.freeze(workflow);
  return globalMaker(global);
}

function createActivation(info: StartInfo, load: LoadWorkflows): Activation {
  return new Activation(info, load, readOnly);
}

/** A module may set handlers while it is evaluated, so even a look at its exports needs an execution to belong to. */
function probe(load: LoadWorkflows): WorkflowExports {
  setCurrent(createActivation(PROBE, load));
  try {
    return load();
  } finally {
    setCurrent(undefined);
  }
}

const PROBE: StartInfo = {
  runNo: 0,
  namespace: '',
  workflowId: '',
  runId: '',
  firstRunId: '',
  firstRunNo: 0,
  originalRunId: '',
  workflowType: '',
  taskQueue: '',
  args: new Uint8Array(),
  startTime: 0,
  attempt: 1,
  taskTimeoutMs: 0,
};

export const realm = {
  install,
  probe,
  createActivation,
  asyncContext,
  readOnly,
  workflow,
  toFailure,
  storedAttributes,
  showFramesBy,
};
export type Realm = typeof realm;
