import { expect } from 'chai';
import fc from 'fast-check';
import type { Command, Input, JournalEntry, Sender, StartInfo } from '../../../codec/journal-entry.js';
import { packEntry, unpackEntry } from '../../../codec/packed/entry.js';
import { journals } from '../../support/any-journal.js';

const data = Uint8Array.of(1, 2, 3);
const failure = {
  message: 'm',
  source: 's',
  stackTrace: 'at',
  cause: { message: 'why' },
  info: { kind: 'application', type: 't', nonRetryable: true, details: data, nextRetryDelay: 0.5 },
} as const;
const retry = {
  initialInterval: 1,
  backoffCoefficient: 1.5,
  maximumInterval: 9,
  maximumAttempts: 0,
  nonRetryableErrorTypes: ['a', 'b'],
};
const sender: Sender = { workflowId: 'w', runId: 'r', runNo: 2 ** 53 - 1, seq: 0 };
const headers = { one: data, ['__proto__']: data };
const target = { workflowId: 'w', runId: 'r', childOnly: true };
const begun = {
  retry,
  executionTimeoutMs: 1,
  runTimeoutMs: 2,
  taskTimeoutMs: 3,
  memo: data,
  searchAttributes: data,
  headers,
};
const signal = {
  kind: 'signal',
  name: 'n',
  args: data,
  requestId: 'q',
  identity: 'i',
  headers,
  sender,
} as const;

/** With all its fields, so that none can be forgotten: a new one does not compile until it is here. */
type Whole<T extends { kind: string }> = {
  [K in T['kind']]: Required<Omit<Extract<T, { kind: K }>, 'kind'>>;
};

const INPUTS: Whole<Input> = {
  signal,
  update: { id: 'u', generated: true, name: 'n', args: data, identity: 'i', headers, sender },
  timerFired: { seq: 1 },
  activityResolved: {
    seq: 300,
    attempt: 2,
    startedAt: 1.5,
    outcome: { status: 'failed', failure, retryState: 'TIMEOUT' },
  },
  cancel: { reason: '', identity: 'i', sender },
  childStarted: { seq: 1, runId: 'r' },
  childStartFailed: { seq: 1, cause: 'NAMESPACE_NOT_FOUND' },
  childClosed: { seq: 1, outcome: { status: 'timedOut', failure } },
  externalResolved: { seq: 1, failure, result: data },
};

const COMMANDS: Whole<Command> = {
  startTimer: { seq: 1, ms: 0.25, summary: 's' },
  cancelTimer: { seq: 1 },
  scheduleActivity: {
    seq: 1,
    activityId: '1',
    activityType: 't',
    args: data,
    taskQueue: 'q',
    scheduleToCloseMs: 1,
    scheduleToStartMs: 2,
    startToCloseMs: 3,
    heartbeatMs: 4,
    retry,
    cancellationType: 'ABANDON',
    headers,
  },
  cancelActivity: { seq: 1 },
  startChild: {
    seq: 1,
    workflowId: 'w',
    workflowType: 't',
    args: data,
    taskQueue: 'q',
    parentClosePolicy: 'ABANDON',
    workflowIdReusePolicy: 'p',
    ...begun,
  },
  cancelChild: { seq: 1, workflowId: 'w', reason: 'r' },
  signalExternal: { seq: 1, target, name: 'n', args: data, headers },
  cancelSignalExternal: { seq: 1 },
  cancelExternal: { seq: 1, target, reason: 'r' },
  updateExternal: { seq: 1, target, updateId: 'u', name: 'n', args: data, stage: 'completed', headers },
  signalWithStart: {
    seq: 1,
    workflowId: 'w',
    workflowType: 't',
    args: data,
    taskQueue: 'q',
    signalName: 's',
    signalArgs: data,
    workflowIdReusePolicy: 'p',
    workflowIdConflictPolicy: 'p',
    ...begun,
  },
  acceptUpdate: { id: 'u' },
  completeUpdate: { id: 'u', result: data, failure },
  patch: { id: 'p', deprecated: false },
  upsertMemo: { memo: data },
  upsertSearchAttributes: { attributes: data },
  completeWorkflow: { result: data },
  failWorkflow: { failure },
  cancelWorkflow: {},
  continueAsNew: {
    workflowType: 't',
    taskQueue: 'q',
    args: data,
    runTimeoutMs: 1,
    taskTimeoutMs: 2,
    backoffMs: 3,
    memo: data,
    searchAttributes: data,
    retry,
    headers,
    signals: [signal, signal],
  },
};

const INFO: Required<StartInfo> = {
  runNo: 1,
  namespace: 'default',
  workflowId: 'w',
  runId: 'r',
  firstRunId: 'r',
  firstRunNo: 1,
  originalRunId: 'other',
  continuedFromRunId: 'r0',
  workflowType: 't',
  taskQueue: 'q',
  args: data,
  startTime: 1_900_000_000_000.5,
  chainStartTime: 1_800_000_000_000,
  identity: 'i',
  attempt: 1,
  executionTimeoutMs: Number.POSITIVE_INFINITY,
  runTimeoutMs: 2,
  taskTimeoutMs: 3,
  startDelayMs: 4,
  retry,
  cronSchedule: '* * * * *',
  memo: data,
  searchAttributes: data,
  headers,
  parent: { namespace: 'n', workflowId: 'w', runId: 'r', runNo: 1, seq: 2 },
  root: { workflowId: 'w', runId: 'r' },
  lastResult: data,
  lastFailure: failure,
  requestId: 'q',
};

const ENTRIES: Whole<JournalEntry> = {
  started: { time: 1, info: INFO },
  turn: { time: 2, taken: 3, inputs: all(INPUTS), commands: all(COMMANDS) },
  received: { time: 3, inputs: all(INPUTS) },
  turnFailed: { time: 4, cause: 'THREAD_DIED', failure },
  activityRetry: { time: 5, seq: 1, attempt: 2, nextAt: 1e12, failure, heartbeat: data },
  terminated: { time: 6, reason: 'r', identity: 'i', details: data },
  timedOut: { time: 7, retryState: 'MAXIMUM_ATTEMPTS_REACHED' },
  activityStarted: { time: 8, seq: 1, attempt: 2, heartbeat: data },
};

function all<T extends { kind: string }>(whole: Whole<T>): T[] {
  return Object.entries(whole).map(([kind, rest]) => ({ kind, ...(rest as object) }) as unknown as T);
}

/** Views become arrays of numbers, and absent properties are no properties. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .map(([name, part]) => [name, plain(part)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function expectBack(entry: JournalEntry, starter?: string): Uint8Array {
  const packed = Uint8Array.from(packEntry(entry, starter));
  expect(plain(unpackEntry(packed, starter))).to.deep.equal(plain(entry));
  return packed;
}

const turn = (inputs: Input[], commands: Command[] = []): JournalEntry => ({
  kind: 'turn',
  time: 1_900_000_000_000,
  taken: 0,
  inputs,
  commands,
});

describe('packed entry', () => {
  for (const entry of all<JournalEntry>(ENTRIES)) {
    it(`${entry.kind}: with all that it can hold -> comes back as it was`, () => void expectBack(entry));
  }

  it('any journal: each entry comes back as it was, by whomever the run was started', () => {
    fc.assert(
      fc.property(journals, fc.option(fc.string(), { nil: undefined }), (entries, starter) => {
        for (const entry of entries) expectBack(entry, starter);
      }),
      { numRuns: 50 },
    );
  });

  it('texts: of any characters and length -> come back as they were', () => {
    const texts = fc.string({ unit: 'grapheme', maxLength: 200 });
    fc.assert(
      fc.property(texts, texts, (name, requestId) => {
        expectBack(turn([{ kind: 'signal', name, args: data, requestId }]));
      }),
    );
  });

  it('numbers: any time and duration -> come back as they were, -0 and NaN too', () => {
    fc.assert(
      fc.property(fc.double(), fc.maxSafeNat(), (ms, seq) => {
        const entry = turn([], [{ kind: 'startTimer', ms, seq }]);
        const back = unpackEntry(packEntry(entry)) as Extract<JournalEntry, { kind: 'turn' }>;
        expect(Object.is((back.commands[0] as { ms: number }).ms, ms)).to.equal(true);
        expect((back.commands[0] as { seq: number }).seq).to.equal(seq);
      }),
    );
  });

  it('a signal of the client that started the run: a third of the size that its names and that identity take', () => {
    const entry = turn([
      { kind: 'signal', name: 'add', args: data, identity: '123@host', requestId: undefined },
    ]);
    expect(expectBack(entry, '123@host').length).to.be.below(25);
  });

  it('identities: the starter, another one, nobody -> each input keeps its own', () => {
    const from = (identity?: string): Input => ({ kind: 'signal', name: 'n', args: data, identity });
    expectBack(turn([from('a'), from('b'), from('b'), from(), from('a')]), 'a');
    expectBack(turn([from('a'), from('b')]));
  });

  it('updates: accepted and completed in another order than they came, or from an earlier turn -> keep their ids', () => {
    const update = (id: string): Input => ({ kind: 'update', id, name: 'n', args: data });
    const ends = (...ids: string[]): Command[] =>
      ids.map((id) => ({ kind: 'completeUpdate', id, result: data }));
    expectBack(turn(['a', 'b', 'c'].map(update), ends('b', 'a', 'c', 'before', 'b')));
  });

  it('cut off anywhere: refused, never misread', () => {
    const packed = Uint8Array.from(packEntry({ kind: 'turn', ...ENTRIES.turn }));
    for (let end = 0; end < packed.length; end++)
      expect(() => unpackEntry(packed.subarray(0, end))).to.throw(/packed record/);
  });

  it('a kind or field of a later version: refused, never misread', () => {
    const packed = Uint8Array.from(packEntry({ kind: 'timedOut', ...ENTRIES.timedOut }));
    expect(() => unpackEntry(packed.with(0, 200))).to.throw(/newer version/);
    expect(() => unpackEntry(packed.with(1, 127))).to.throw(/newer version/);
  });
});
