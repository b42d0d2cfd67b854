import { expect } from 'chai';
import { packRunRecord, unpackRunRecord } from '../../../codec/packed/run-record.js';
import type { RunInfo, RunOutcome, RunRecord } from '../../../codec/run-record.js';

const data = Uint8Array.of(1, 2, 3);
const failure = { message: 'm', info: { kind: 'cancelled' } } as const;

const info: RunInfo = {
  runNo: 7,
  namespace: 'default',
  workflowId: 'w',
  runId: 'r',
  firstRunId: 'r',
  firstRunNo: 7,
  originalRunId: 'r',
  workflowType: 'type',
  taskQueue: 'default',
  startTime: 1_700_000_000_000,
  attempt: 1,
  taskTimeoutMs: 10_000,
  identity: 'somebody',
  memo: data,
};

/** With all its fields, so that none can be forgotten: a new one does not compile until it is here. */
const WHOLE: Required<RunRecord> = {
  info,
  state: 'suspended',
  outcome: { status: 'completed', result: data },
  closeTime: 1_700_000_000_001,
  turned: true,
  waiting: 2,
  events: 300,
  bytes: 70_000,
  lastTime: 1_700_000_000_000.5,
  through: 2 ** 40,
  timers: [
    [1, 1_700_000_000_000],
    [300, 8.64e15],
  ],
  updates: ['u1', 'ü2'],
  children: [
    [1, { workflowId: 'c', workflowType: 't', runId: 'cr', parentClosePolicy: 'ABANDON' }],
    [2, { workflowId: 'd', workflowType: 't', parentClosePolicy: 'TERMINATE' }],
  ],
  outboxNo: 3,
  updatesAccepted: 4,
  suspended: { cause: 'TURN_TIMEOUT', failure, since: 1 },
};

const OUTCOMES: RunOutcome[] = [
  { status: 'completed', result: data },
  { status: 'failed', failure, retryState: 'IN_PROGRESS', newRunId: 'next' },
  { status: 'failed', failure, retryState: 'TIMEOUT' },
  { status: 'cancelled' },
  { status: 'terminated', reason: 'because' },
  { status: 'terminated' },
  { status: 'timedOut', retryState: 'TIMEOUT', newRunId: 'next' },
  { status: 'continuedAsNew', newRunId: 'next' },
];

describe('packed run records', () => {
  it('all fields: come back as they were', () => {
    expect(unpackRunRecord(packRunRecord(WHOLE))).to.deep.equal(WHOLE);
  });

  it('what is undefined: is no property afterwards', () => {
    const packed = packRunRecord({
      ...WHOLE,
      outcome: undefined,
      closeTime: undefined,
      suspended: undefined,
    });
    expect(unpackRunRecord(packed)).to.not.have.any.keys('outcome', 'closeTime', 'suspended');
  });

  for (const outcome of OUTCOMES)
    it(`outcome ${JSON.stringify(outcome)}: comes back as it was`, () => {
      expect(unpackRunRecord(packRunRecord({ ...WHOLE, outcome })).outcome).to.deep.equal(outcome);
    });

  it('packing another: leaves the bytes of the one before as they were', () => {
    const first = packRunRecord(WHOLE);
    packRunRecord({ ...WHOLE, state: 'running', events: 1 });
    expect(unpackRunRecord(first)).to.deep.equal(WHOLE);
  });
});
