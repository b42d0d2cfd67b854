/**
 * Activities in threads: a second piscina pool for work that computes, so that it does not hold up the host.
 *
 * Owns: loading activitiesPath in each thread, and the channel over which an attempt's heartbeats and its cancellation go.
 * Does not own: which attempts run (runner.ts).
 */

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { unpack } from 'msgpackr';
import { Piscina } from 'piscina';
import { fromFailure } from '../../actors/failures.js';
import type { Failure } from '../../codec/failure.js';
import { decodePayload } from '../../codec/payload.js';
import { activitiesError, bundleActivities } from '../bundle-activities.js';
import { WorkflowBundleError } from '../bundle-errors.js';
import type { Limits } from '../limits.js';
import { ThreadEnds } from '../thread-ends.js';
import type { ActivityExecutor } from './attempt.js';
import type { Context } from './context.js';
import type { ActivityAnswer, ActivityMessage, ActivityTask } from './worker.js';

/** @throws WorkflowBundleError when the module cannot be bundled or evaluated, or has no functions */
export async function activityPool(activitiesPath: string, limits: Limits): Promise<ActivityExecutor> {
  const workerData = { ...(await bundleActivities(activitiesPath)), payloadBytesMax: limits.payloadBytesMax };
  const piscina = new Piscina<ActivityTask, unknown>({
    filename: fileURLToPath(new URL('./worker.js', import.meta.url)),
    minThreads: 1,
    maxThreads: availableParallelism(),
    atomics: 'disabled',
    recordTiming: false,
    workerData,
  });
  const ends = new ThreadEnds(piscina);
  piscina.on('error', () => undefined);
  let types: string[];
  try {
    types = (await piscina.run({ kind: 'types' })) as string[];
    if (types.length === 0) throw activitiesError(activitiesPath, 'exports no activity functions');
  } catch (error) {
    await ends.close();
    if (error instanceof WorkflowBundleError) throw error;
    throw activitiesError(activitiesPath, `evaluating it failed: ${String(error)}`, error);
  }
  return {
    types,
    run: (type, args, context) => runTask(piscina, type, args, context),
    close: () => ends.close(),
  };
}

async function runTask(
  piscina: Piscina<ActivityTask, unknown>,
  type: string,
  args: Uint8Array,
  context: Context,
): Promise<Uint8Array> {
  const { port1, port2 } = new MessageChannel();
  const take = (message: ActivityMessage) => {
    if (message.kind === 'heartbeat') beat(context, message.details);
    if (message.kind === 'log') context.log[message.level](message.message, message.attributes);
  };
  const cancel = () => {
    // When the runtime closes, nobody takes them later.
    takeAll(port1, take);
    const reason = String(context.cancellationSignal.reason);
    port1.postMessage({ kind: 'cancel', reason } satisfies ActivityMessage);
  };
  context.cancellationSignal.addEventListener('abort', cancel, { once: true });
  port1.on('message', take);
  try {
    const task: ActivityTask = { kind: 'run', type, args, info: context.info, port: port2 };
    const answer = (await piscina.run(task, { transferList: [port2] })) as ActivityAnswer;
    takeAll(port1, take);
    if ('result' in answer) return answer.result;
    if (answer.heartbeat !== undefined) beat(context, answer.heartbeat);
    throw revive(answer.error);
  } finally {
    context.cancellationSignal.removeEventListener('abort', cancel);
    // Of a thread that died, the end may be known before what it said last.
    takeAll(port1, take);
    port1.close();
  }
}

/** What has come and not been told yet. */
function takeAll(port: MessagePort, take: (message: ActivityMessage) => void): void {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
    take(next.message as ActivityMessage);
}

function beat(context: Context, details: Uint8Array): void {
  context.heartbeat((decodePayload(details) as unknown[])[0]);
}

function revive(error: Uint8Array): Error {
  return fromFailure(unpack(error) as Failure);
}
