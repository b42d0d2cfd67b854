import { expect } from 'chai';
import { packRunRecord, unpackRunRecord } from '../../../codec/packed/run-record.js';
import type { RunInfo, RunOutcome, RunRecord } from '../../../codec/run-record.js';

const data = Uint8Array.of(1, 2, 3);
const failure = { message: 'm', source: 's' };

/** With all its fields, so that none can be forgotten: a new one does not compile until it is here. */
const INFO: Required<RunInfo> = {
  runNo: 2 ** 53 - 1,
  namespace: 'default',
  workflowId: 'w',
  runId: 'r1',
  firstRunId: 'r0',
  firstRunNo: 1,
  originalRunId: 'r1',
  workflowType: 'counter',
  taskQueue: 'q',
  startTime: 1_700_000_000_000,
  attempt: 1,
  taskTimeoutMs: 10_000,
  identity: 'me',
  continuedFromRunId: 'r0',
  executionTimeoutMs: 1,
  runTimeoutMs: 2,
  startDelayMs: 0.5,
  retry: {
    initialInterval: 1,
    backoffCoefficient: 2,
    maximumInterval: 3,
    maximumAttempts: 4,
    nonRetryableErrorTypes: ['a'],
  },
  cronSchedule: '* * * * *',
  memo: data,
  searchAttributes: data,
  headers: { one: data },
  parent: { namespace: 'n', workflowId: 'p', runId: 'pr', runNo: 4, seq: 5 },
  root: { workflowId: 'root', runId: 'rr' },
  lastResult: data,
  lastFailure: failure,
  requestId: 'request',
  chainStartTime: 1_600_000_000_000,
};

const WHOLE: Required<RunRecord> = {
  info: INFO,
  state: 'suspended',
  outcome: { status: 'completed', result: data },
  closeTime: 1_700_000_000_001,
  turned: true,
  waiting: 3,
  events: 1_000_000,
  bytes: 2 ** 40,
  lastTime: 1_700_000_000_000.5,
  through: 2 ** 40,
  timers: [
    [1, 1_700_000_000_000],
    [300, 8.64e15],
  ],
  updates: ['u1', 'u2'],
  children: [
    [1, { workflowId: 'c', workflowType: 't', runId: 'cr', parentClosePolicy: 'ABANDON' }],
    [2, { workflowId: 'c2', workflowType: 't', parentClosePolicy: 'REQUEST_CANCEL' }],
  ],
  outboxNo: 7,
  updatesAccepted: 8,
  suspended: { cause: 'TURN_TIMEOUT', failure, since: 9 },
};

const OUTCOMES: { [K in RunOutcome['status']]: Required<Extract<RunOutcome, { status: K }>> } = {
  completed: { status: 'completed', result: data },
  failed: { status: 'failed', failure, retryState: 'IN_PROGRESS', newRunId: 'next' },
  cancelled: { status: 'cancelled' },
  terminated: { status: 'terminated', reason: 'because' },
  timedOut: { status: 'timedOut', retryState: 'TIMEOUT', newRunId: 'next' },
  continuedAsNew: { status: 'continuedAsNew', newRunId: 'next' },
};

const again = (record: RunRecord): RunRecord => unpackRunRecord(packRunRecord(record));

describe('packed run records', () => {
  it('a record with everything in it: comes back the same', () => {
    expect(again(WHOLE)).to.deep.equal(WHOLE);
  });

  it('a record of a run that only waits: comes back the same, in under 150 bytes', () => {
    const runId = '01a211b8-b2eb-7dea-a32c-d97f226aa906';
    const info = {
      runNo: 1_000_000,
      namespace: 'default',
      workflowId: 'entity-1000000',
      runId,
      firstRunId: runId,
    };
    const record: RunRecord = {
      info: {
        ...info,
        firstRunNo: 1_000_000,
        originalRunId: runId,
        workflowType: 'counter',
        taskQueue: 'default',
        startTime: 1_700_000_000_000,
        attempt: 1,
        taskTimeoutMs: 10_000,
        identity: '12345@host',
      },
      state: 'running',
      turned: true,
      waiting: 0,
      events: 4,
      bytes: 150,
      lastTime: 1_700_000_000_000,
      through: 40_000,
      timers: [],
      updates: [],
      children: [],
      outboxNo: 0,
      updatesAccepted: 0,
    };
    expect(again(record)).to.deep.equal(record);
    expect(packRunRecord(record).length).to.be.below(150);
  });

  for (const [status, outcome] of Object.entries(OUTCOMES))
    it(`outcome ${status}: comes back the same`, () => {
      expect(again({ ...WHOLE, outcome }).outcome).to.deep.equal(outcome);
    });

  it('two records: packing the second leaves the first as it is', () => {
    const first = packRunRecord(WHOLE);
    packRunRecord({ ...WHOLE, state: 'other' });
    expect(unpackRunRecord(first)).to.deep.equal(WHOLE);
  });

  it('a record that was cut off: refused', () => {
    const packed = packRunRecord(WHOLE);
    expect(() => unpackRunRecord(packed.subarray(0, packed.length - 1))).to.throw('ends in the middle');
  });
});
