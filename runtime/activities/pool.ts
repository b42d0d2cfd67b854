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
import { bundleActivities } from '../bundle-activities.js';
import type { Limits } from '../limits.js';
import { ThreadEnds } from '../thread-ends.js';
import type { ActivityExecutor } from './attempt.js';
import type { Context } from './context.js';
import type { ActivityAnswer, ActivityMessage, ActivityTask } from './worker.js';

/** @throws WorkflowBundleError or what the module throws when it is loaded */
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
  const types = (await piscina.run({ kind: 'types' })) as string[];
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
  const cancel = () =>
    port1.postMessage({
      kind: 'cancel',
      reason: String(context.cancellationSignal.reason),
    } satisfies ActivityMessage);
  context.cancellationSignal.addEventListener('abort', cancel, { once: true });
  const hear = (message: ActivityMessage) => {
    if (message.kind === 'heartbeat') beat(context, message.details);
    if (message.kind === 'log') context.log[message.level](message.message, message.attributes);
  };
  port1.on('message', hear);
  try {
    const task: ActivityTask = { kind: 'run', type, args, info: context.info, port: port2 };
    const answer = (await piscina.run(task, { transferList: [port2] })) as ActivityAnswer;
    if ('result' in answer) return answer.result;
    if (answer.heartbeat !== undefined) beat(context, answer.heartbeat);
    throw revive(answer.error);
  } finally {
    context.cancellationSignal.removeEventListener('abort', cancel);
    for (const message of rest(port1)) hear(message);
    port1.close();
  }
}

/** What was sent before the answer and has not been handed out yet. */
function* rest(port: MessagePort): Generator<ActivityMessage> {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
    yield next.message as ActivityMessage;
}

function beat(context: Context, details: Uint8Array): void {
  context.heartbeat((decodePayload(details) as unknown[])[0]);
}

function revive(error: Uint8Array): Error {
  return fromFailure(unpack(error) as Failure);
}
