/**
 * The thread's side of the border: a piscina task per batch.
 *
 * Owns: starting the sandbox and the shard once per thread, unpacking a batch and packing its result.
 * Does not own: the loop (shard.ts), the pool (pool.ts).
 */
import { move, workerData } from 'piscina';
import { packResult, unpackBatch } from '../codec/envelope.js';
import { createSandbox } from './realm.js';
import { Shard } from './shard.js';
import { TurnMarker } from './turn-marker.js';

export interface WorkerData {
  code: string;
  markers: SharedArrayBuffer[];
}

export type WorkerTask =
  /** Which workflow types there are; also shows that the modules can be evaluated at all. */
  | { kind: 'types'; slot: number }
  /** A batch for the shard that this thread holds; slot tells which turn marker is this thread's. */
  | { kind: 'batch'; slot: number; bytes: Uint8Array };

const { code, markers } = workerData as WorkerData;
const sandbox = createSandbox({ code });
let shard: Shard | undefined;

export default function run(task: WorkerTask): unknown {
  if (task.kind === 'types') return workflowTypes(task);
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

/** Evaluates the modules for no execution, only to see which functions they export. */
function workflowTypes({ slot }: WorkerTask): string[] {
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
