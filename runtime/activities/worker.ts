/**
 * The thread's side of activities in threads: loads the module once, runs one attempt per task.
 */
import { Module } from 'node:module';
import type { MessagePort } from 'node:worker_threads';
import { pack } from 'msgpackr';
import { workerData } from 'piscina';
import { ensureTemporalFailure, showFramesBy, toFailure } from '../../actors/failures.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import { shown } from '../logger.js';
import { withoutOwnFrames } from '../script-places.js';
import { type ActivityInfo, Context } from './context.js';

export type ActivityTask =
  | { kind: 'types' }
  | { kind: 'run'; type: string; args: Uint8Array; info: ActivityInfo; port: MessagePort };

export type ActivityMessage =
  /** Details are encoded, as they would be on the host. */
  | { kind: 'heartbeat'; details: Uint8Array }
  | { kind: 'cancel'; reason: string }
  | {
      kind: 'log';
      level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
      message: string;
      attributes: Record<string, unknown> | undefined;
    };

export type ActivityAnswer =
  | { result: Uint8Array }
  /** The last heartbeat comes along, because messages of the port may come later than the answer. */
  | { error: Uint8Array; heartbeat: Uint8Array | undefined };

export interface ActivityWorkerData {
  /** CommonJS code of the bundled module, and the file that it was made from. */
  code: string;
  filename: string;
  payloadBytesMax: number;
}

const { code, filename, payloadBytesMax } = workerData as ActivityWorkerData;
showFramesBy(withoutOwnFrames);
const activities = load();

function load(): Record<string, unknown> {
  // Compiled under the name of the user's own file, so that its packages are found from where that file is.
  const module = new Module(filename) as Module & {
    paths: string[];
    _compile(code: string, filename: string): void;
  };
  module.filename = filename;
  module.paths = (Module as unknown as { _nodeModulePaths(from: string): string[] })._nodeModulePaths(
    filename,
  );
  module._compile(code, filename);
  return module.exports as Record<string, unknown>;
}

export default async function run(task: ActivityTask): Promise<string[] | ActivityAnswer> {
  if (task.kind === 'types')
    return Object.keys(activities).filter((type) => typeof activities[type] === 'function');
  const { type, args, info, port } = task;
  let heartbeat: Uint8Array | undefined;
  const abort = new AbortController();
  port.on('message', (message: ActivityMessage) => {
    if (message.kind === 'cancel') abort.abort(message.reason);
  });
  const post = (message: ActivityMessage) => port.postMessage(message);
  const context = new Context({
    info,
    cancellationSignal: abort.signal,
    beat: (details) => {
      heartbeat = encodePayload([details], 'heartbeat details', payloadBytesMax);
      post({ kind: 'heartbeat', details: heartbeat });
    },
    log: (level, message, attributes) => {
      const line = { kind: 'log', level: level.toLowerCase() as 'info', message } as const;
      try {
        post({ ...line, attributes });
      } catch {
        // Something in there cannot be sent to another thread. The line can.
        post({ ...line, attributes: attributes && sendable(attributes) });
      }
    },
  });
  try {
    const fn = activities[type] as (...args: unknown[]) => unknown;
    const result = await Context.run(context, async () => fn(...(decodePayload(args) as unknown[])));
    return { result: encodePayload(result, `result of activity ${type}`, payloadBytesMax) };
  } catch (error) {
    return { error: Uint8Array.from(pack(toFailure(ensureTemporalFailure(error)))), heartbeat };
  } finally {
    port.close();
  }
}

/** As text what cannot be sent to another thread. */
function sendable(attributes: Record<string, unknown>): Record<string, unknown> {
  const sent: Record<string, unknown> = {};
  for (const name of Object.keys(attributes)) {
    try {
      sent[name] = structuredClone(attributes[name]);
    } catch {
      sent[name] = shown(attributes[name]);
    }
  }
  return sent;
}
