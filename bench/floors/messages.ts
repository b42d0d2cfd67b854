/**
 * The messages of the pipeline floor: envelopes with the bytes that the workloads' calls have.
 *
 * Owns: which envelope each kind of call becomes. Arguments are encoded once; encoding them is a cost of the client.
 */
import { hostname } from 'node:os';
import type { Envelope } from '../../codec/envelope.js';
import type { StartInfo } from '../../codec/journal-entry.js';
import { encodePayload } from '../../codec/payload.js';

const ARGS = encodePayload([1]);
const NONE = encodePayload([]);
const RESULT = encodePayload(1_000);
const ID = '00000000-0000-7000-8000-000000000000';
/** As the client names itself by default. */
const identity = `${process.pid}@${hostname()}`;

export function signalMessage(runNo: number): Envelope {
  return { kind: 'input', runNo, input: { kind: 'signal', name: 'add', args: ARGS, identity } };
}

export function updateMessage(runNo: number, name: string): Envelope {
  return {
    kind: 'input',
    runNo,
    input: { kind: 'update', id: ID, generated: true, name, args: ARGS, identity },
  };
}

export function queryMessage(runNo: number): Envelope {
  return { kind: 'query', runNo, name: 'total', args: NONE };
}

export function startMessage(runNo: number): Envelope {
  const info: StartInfo = {
    runNo,
    namespace: 'default',
    workflowId: `step-${runNo}`,
    runId: ID,
    firstRunId: ID,
    firstRunNo: runNo,
    originalRunId: ID,
    workflowType: 'step',
    taskQueue: 'default',
    args: ARGS,
    startTime: Date.now(),
    identity,
    attempt: 1,
    taskTimeoutMs: 10_000,
  };
  return { kind: 'start', info, inputs: [] };
}

export function resolvedMessage(runNo: number): Envelope {
  const outcome = { status: 'completed', result: RESULT } as const;
  return {
    kind: 'input',
    runNo,
    input: { kind: 'activityResolved', seq: 1, attempt: 1, startedAt: Date.now(), outcome },
  };
}
