import { expect } from 'chai';
import fc from 'fast-check';
import {
  type Command,
  FRAME_HEADER_BYTES,
  FrameWriter,
  frame,
  frames,
  type Input,
  isNotable,
  isTerminal,
  type JournalEntry,
  packEntry,
  unpackEntry,
} from '../../codec/journal-entry.js';

const payload = Uint8Array.of(1, 2, 3);
const signal: Input = { kind: 'signal', name: 'note', args: payload };
const turn = (inputs: Input[], commands: Command[] = [], taken = 0): JournalEntry => ({
  kind: 'turn',
  time: 5,
  taken,
  inputs,
  commands,
});

const info = {
  runNo: 3,
  namespace: 'default',
  workflowId: 'id',
  runId: 'run',
  firstRunId: 'run',
  firstRunNo: 3,
  originalRunId: 'run',
  workflowType: 'type',
  taskQueue: 'default',
  args: payload,
  startTime: 1,
  attempt: 1,
  taskTimeoutMs: 10_000,
};

const ENTRIES: JournalEntry[] = [
  { kind: 'started', time: 1, info },
  turn(
    [signal],
    [
      { kind: 'startTimer', seq: 1, ms: 100 },
      { kind: 'completeWorkflow', result: payload },
    ],
    2,
  ),
  { kind: 'received', time: 2, inputs: [signal, { kind: 'timerFired', seq: 1 }] },
  {
    kind: 'turnFailed',
    time: 3,
    cause: 'TURN_TIMEOUT',
    failure: { message: 'too long', cause: { message: 'why' } },
  },
  {
    kind: 'activityRetry',
    time: 4,
    seq: 1,
    attempt: 2,
    nextAt: 1e12,
    failure: { message: 'no' },
    heartbeat: payload,
  },
  { kind: 'activityStarted', time: 5, seq: 1, attempt: 2 },
  { kind: 'activityStarted', time: 5, seq: 1, attempt: 2, heartbeat: payload },
  { kind: 'terminated', time: 5, reason: 'enough' },
  { kind: 'timedOut', time: 6, retryState: 'TIMEOUT' },
];

/** Views become arrays of numbers, so that only the bytes are compared. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, part) => (part instanceof Uint8Array ? [...part] : part)));

describe('journal entry', () => {
  for (const entry of ENTRIES) {
    it(`${entry.kind}: comes back as it was`, () => {
      expect(plain(unpackEntry(Uint8Array.from(packEntry(entry))))).to.deep.equal(plain(entry));
    });
  }

  const NOTABLE: [string, JournalEntry, boolean][] = [
    ['a turn of a plain signal', turn([signal]), false],
    ['a turn of nothing', turn([]), false],
    ['a turn of a signal with a request id', turn([{ ...signal, requestId: 'r' }]), true],
    ['a turn that took inputs from the mailbox', turn([], [], 1), true],
    ['a turn with a command', turn([signal], [{ kind: 'cancelTimer', seq: 1 }]), true],
    ['a turn of an update', turn([{ kind: 'update', id: 'u', name: 'n', args: payload }]), true],
    ...ENTRIES.filter(({ kind }) => kind !== 'turn').map((entry): [string, JournalEntry, boolean] => [
      `entry '${entry.kind}'`,
      entry,
      true,
    ]),
  ];
  for (const [name, entry, expected] of NOTABLE) {
    it(`${name}: ${expected ? 'the host looks into it' : 'the host lets it pass unread'}`, () => {
      expect(isNotable(entry)).to.equal(expected);
    });
  }

  it('terminal commands: the four that end a run', () => {
    const ending: Command['kind'][] = ['completeWorkflow', 'failWorkflow', 'cancelWorkflow', 'continueAsNew'];
    for (const kind of ending) expect(isTerminal({ kind } as Command)).to.equal(true);
    for (const kind of ['startTimer', 'acceptUpdate', 'patch'])
      expect(isTerminal({ kind } as Command)).to.equal(false);
  });
});

describe('journal frames', () => {
  const anyFrame = fc.record({
    runNo: fc.maxSafeNat(),
    events: fc.nat(),
    notable: fc.boolean(),
    body: fc.uint8Array({ maxLength: 300 }),
  });

  it('any number of them, end to end: come back in order, each as it was', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 20 }), (written) => {
        const writer = new FrameWriter();
        for (const { runNo, body, events, notable } of written) writer.add(runNo, body, events, notable);
        const value = writer.take().slice();
        const read = Array.from(frames(value), ({ runNo, events, notable, body }) => ({
          runNo,
          events,
          notable,
          body: Uint8Array.from(body),
        }));
        expect(read).to.deep.equal(
          written.map(({ body, ...rest }) => ({ ...rest, body: Uint8Array.from(body) })),
        );
        expect(Buffer.concat(Array.from(frames(value), ({ bytes }) => bytes)).equals(value)).to.equal(true);
      }),
    );
  });

  it('cut off anywhere but between two frames: refused, never misread', () => {
    const value = Buffer.concat(ENTRIES.map((entry, runNo) => frame(runNo, entry, 1, true)));
    const whole = new Set<number>([0]);
    for (const { bytes } of frames(value)) whole.add([...whole].at(-1)! + bytes.length);
    for (let end = 0; end <= value.length; end++) {
      const read = () => [...frames(value.subarray(0, end))];
      if (whole.has(end)) expect(read()).to.have.length([...whole].indexOf(end));
      else expect(read).to.throw(/Torn journal frame/);
    }
  });

  it('a body larger than the buffer of the writer: kept whole, and what was written before it too', () => {
    const writer = new FrameWriter();
    const large = new Uint8Array(1_000_000).fill(7);
    writer.add(1, Uint8Array.of(1), 1, false);
    writer.add(2, large, 2, true);
    const [first, second] = [...frames(writer.take())];
    expect([first!.runNo, second!.runNo, second!.body.length, second!.body.at(-1)]).to.deep.equal([
      1,
      2,
      large.length,
      7,
    ]);
    expect(first!.bytes.length).to.equal(FRAME_HEADER_BYTES + 1);
  });

  it('a writer that was emptied: begins anew', () => {
    const writer = new FrameWriter();
    writer.add(1, payload, 1, false);
    writer.take();
    expect(writer.take()).to.have.length(0);
  });
});
