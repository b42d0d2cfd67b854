/**
 * The thread's side of the border: a piscina task per batch.
 *
 * Owns: starting the sandbox and the shard once per thread, unpacking a batch and packing its result. A thread starts while
 * the workflow code is still being bundled, and gets it with its first task; one that takes the place of another has it at once.
 * Does not own: the loop (shard.ts), the pool (pool.ts).
 */
import { move, workerData } from 'piscina';
import { packResult, unpackBatch } from '../codec/envelope.js';
import { InvariantError } from './errors.js';
import { prepareSandbox, type Sandbox, type WorkflowScript } from './realm.js';
import { Shard } from './shard.js';
import { TurnMarker } from './turn-marker.js';

export interface WorkerData {
  /** Undefined until it is bundled. */
  script: WorkflowScript | undefined;
  markers: SharedArrayBuffer[];
}

/**
 * 'types': which workflow types there are; also shows that the modules can be evaluated at all. 'batch': for the shard that this
 * thread holds; `continues` says that there is one, unless the thread has ended meanwhile and this one has taken its place.
 * `slot` tells which turn marker is this thread's. `script` comes with the first task of a thread that was started without.
 */
export type WorkerTask = { slot: number; script: WorkflowScript | undefined } & (
  | { kind: 'types' }
  | { kind: 'batch'; bytes: Uint8Array; continues: boolean }
);

const { script, markers } = workerData as WorkerData;
const open = prepareSandbox();
let opened = script === undefined ? undefined : open(script);
let shard: Shard | undefined;

export default function run(task: WorkerTask): unknown {
  const sandbox = sandboxFor(task);
  if (task.kind === 'types') return workflowTypes(sandbox, task.slot);
  if (task.continues && shard === undefined) throw new Error('The thread ended between two batches');
  shard ??= new Shard(sandbox, new TurnMarker(markers[task.slot]!));
  try {
    return move(packResult(shard.run(unpackBatch(task.bytes))));
  } catch (error) {
    // The host takes all that this thread held for lost and has it recovered, so nothing of it may live on: neither
    // half a batch nor the promise jobs that it left.
    shard = undefined;
    sandbox.drain();
    sandbox.takeUnhandled();
    throw error;
  }
}

function sandboxFor({ script }: WorkerTask): Sandbox {
  if (opened === undefined && script !== undefined) opened = open(script);
  if (opened === undefined) throw new InvariantError('A task came before the workflow code');
  return opened;
}

/** Evaluates the modules for no execution, only to see which functions they export. */
function workflowTypes(sandbox: Sandbox, slot: number): string[] {
  const marker = new TurnMarker(markers[slot]!);
  // Watched as a turn is, because modules can block the thread as well.
  marker.turn(0);
  try {
    const exports = sandbox.probe();
    return exports.names().filter((name) => typeof exports.get(name) === 'function');
  } finally {
    marker.idle();
  }
}
