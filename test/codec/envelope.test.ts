import { expect } from 'chai';
import {
  type Batch,
  type BatchResult,
  packBatch,
  packResult,
  unpackBatch,
  unpackResult,
} from '../../codec/envelope.js';
import type { StartInfo } from '../../codec/journal-entry.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, part) => (part instanceof Uint8Array ? [...part] : part)));

const info: StartInfo = {
  runNo: 2 ** 53 - 1,
  namespace: 'default',
  workflowId: 'id',
  runId: 'run',
  firstRunId: 'run',
  firstRunNo: 1,
  originalRunId: 'run',
  workflowType: 'type',
  taskQueue: 'default',
  args: bytes(1),
  startTime: 1_900_000_000_000.5,
  attempt: 1,
  taskTimeoutMs: 10_000,
};

const BATCH: Batch = {
  no: 7,
  now: 1_900_000_000_001,
  timed: true,
  envelopes: [
    { kind: 'start', info, inputs: [{ kind: 'signal', name: 'note', args: bytes(2) }] },
    { kind: 'input', runNo: 1, input: { kind: 'update', id: 'u', name: 'put', args: bytes(3) } },
    { kind: 'query', runNo: 1, name: 'list', args: bytes() },
    { kind: 'query', runNo: 1, name: '__stack_trace', args: bytes(), frames: [bytes(1), bytes()] },
    { kind: 'recover', runNo: 2, frames: [bytes(4, 5), bytes()] },
    { kind: 'retry', runNo: 2 },
    { kind: 'note', runNo: 2, entry: { kind: 'terminated', time: 1, reason: 'enough' } },
    { kind: 'drop', runNo: 2 },
  ],
};

const RESULT: BatchResult = {
  no: 7,
  journal: bytes(9, 8, 7),
  replies: [
    { at: 2, after: 6, kind: 'answer', result: bytes(1) },
    { at: 3, after: 0, kind: 'failure', failure: { message: 'no', cause: { message: 'why' } } },
    { at: 5, after: 7, kind: 'closed' },
  ],
  failures: [{ runNo: 2, cause: 'TURN_TIMEOUT', failure: { message: 'too long' }, updates: [1] }],
  dropped: [3],
  logs: [{ runNo: 1, level: 'INFO', message: 'said', attributes: bytes(1) }],
  heapBytes: 5e9,
  ms: 5.25,
  times: [{ runNo: 2, ms: 4.5, messages: 3 }],
};

describe('envelope', () => {
  it('a batch with every kind of envelope: comes back as it was', () => {
    expect(plain(unpackBatch(packBatch(BATCH)))).to.deep.equal(plain(BATCH));
  });

  it('a result with every kind of reply: comes back as it was', () => {
    expect(plain(unpackResult(packResult(RESULT)))).to.deep.equal(plain(RESULT));
  });

  it('a result without a journal: comes back without one', () => {
    expect(unpackResult(packResult({ ...RESULT, journal: bytes() })).journal).to.have.length(0);
  });

  it('packed forms: own their whole buffer, which can be transferred', () => {
    for (const packed of [packBatch(BATCH), packResult(RESULT)]) {
      expect(packed.byteOffset).to.equal(0);
      expect(packed.buffer.byteLength).to.equal(packed.length);
      expect(structuredClone(packed, { transfer: [packed.buffer] })).to.have.length.above(0);
      expect(packed).to.have.length(0);
    }
  });

  it('a packed batch: is not touched by the next one', () => {
    const packed = packBatch(BATCH);
    packBatch({ ...BATCH, no: 8 });
    expect(unpackBatch(packed).no).to.equal(7);
  });

  it('a result that lies within a larger buffer: is read from where it lies', () => {
    const packed = packResult(RESULT);
    const around = new Uint8Array(packed.length + 20);
    around.set(packed, 13);
    expect(plain(unpackResult(around.subarray(13, 13 + packed.length)))).to.deep.equal(plain(RESULT));
  });
});
