/** What entries mean for the host's knowledge of a run (run.ts). Recovery from stores is in runs.test.ts. */
import { expect } from 'chai';
import { IllegalTransitionError } from '../../actors/lifecycles/table.js';
import { type Command, frames, type JournalEntry } from '../../codec/journal-entry.js';
import { InvariantError } from '../../runtime/errors.js';
import { type Effect, Run } from '../../runtime/run.js';
import { activity, type Entry, info, journalValue, signal, turn, update } from '../support/journal.js';

const only = ([, entry]: Entry): JournalEntry => entry;
const accept = (id: string) => ({ kind: 'acceptUpdate', id }) as const;
const complete = (id: string) => ({ kind: 'completeUpdate', id, result: Uint8Array.of(1) }) as const;

function run(more: Parameters<typeof info>[2] = {}): { run: Run; apply(...entries: Entry[]): Effect[] } {
  const made = new Run(info(1, 'id', more), true);
  let seq = 0;
  return {
    run: made,
    apply(...entries) {
      seq++;
      return entries.flatMap((entry) => {
        for (const frame of frames(journalValue([entry]))) made.append(frame, seq);
        return made.apply(only(entry));
      });
    },
  };
}

const terminated: Entry = [1, { kind: 'terminated', time: 9_000, reason: 'enough' }];
const turnFailed: Entry = [
  1,
  { kind: 'turnFailed', time: 3_000, cause: 'TURN_TIMEOUT', failure: { message: 'too long' } },
];

describe('run', () => {
  it('timers: known from start to fire or cancel, due at the time of the turn and the duration', () => {
    const { run: made, apply } = run();
    const effects = apply(
      turn(
        1,
        [],
        [
          { kind: 'startTimer', seq: 1, ms: 10 },
          { kind: 'startTimer', seq: 2, ms: 20 },
        ],
      ),
    );
    expect(effects).to.deep.equal([
      { kind: 'timer', seq: 1, due: 2_010 },
      { kind: 'timer', seq: 2, due: 2_020 },
    ]);
    apply(turn(1, [{ kind: 'timerFired', seq: 1 }], [{ kind: 'cancelTimer', seq: 2 }]));
    expect(made.timers.size).to.equal(0);
  });

  for (const [ms, due] of [
    [1.5, 2_002],
    [Number.POSITIVE_INFINITY, 8.64e15],
    [1e300, 8.64e15],
  ] as const) {
    it(`a timer of ${ms} ms: due at a whole millisecond that a key can hold, and not early`, () => {
      const { run: made, apply } = run();
      apply(turn(1, [], [{ kind: 'startTimer', seq: 1, ms }]));
      expect(made.timers.get(1)!.due).to.equal(due);
    });
  }

  it('an activity: keeps a copy of its arguments, not the journal value around them', () => {
    const { run: made, apply } = run();
    apply(turn(1, [], [activity(1)]));
    const { args } = made.activities.get(1)!.command;
    expect(args.buffer.byteLength).to.equal(args.length);
  });

  it('an activity that is tried again: counts on, and is due at a whole millisecond', () => {
    const { run: made, apply } = run();
    apply(turn(1, [], [activity(1)]));
    apply([
      1,
      {
        kind: 'activityRetry',
        time: 3_000,
        seq: 1,
        attempt: 2,
        nextAt: 7_593.75,
        failure: { message: 'no' },
      },
    ]);
    expect(made.activities.get(1)).to.include({ attempt: 2, nextAt: 7_594 });
    apply([
      1,
      {
        kind: 'activityRetry',
        time: 3_000,
        seq: 9,
        attempt: 2,
        nextAt: 1,
        failure: { message: 'of one that is gone' },
      },
    ]);
    expect(made.activities.size).to.equal(1);
  });

  it('an activity whose attempt is noted to have begun: when, and what it reported, until it is tried again', () => {
    const { run: made, apply } = run();
    const note = { kind: 'activityStarted', seq: 1, attempt: 1 } as const;
    apply(turn(1, [], [activity(1)]));
    apply([1, { ...note, time: 3_000 }]);
    expect(made.activities.get(1)).to.include({ begunAt: 3_000, heartbeat: undefined });
    apply([1, { ...note, time: 4_000, heartbeat: Uint8Array.of(1, 2) }]);
    const { begunAt, heartbeat } = made.activities.get(1)!;
    expect([begunAt, heartbeat]).to.deep.equal([3_000, Uint8Array.of(1, 2)]);
    // Of its own, not of the journal value that it came in.
    expect(heartbeat!.buffer.byteLength).to.equal(2);
    const failure = { message: 'no' };
    apply([1, { kind: 'activityRetry', time: 5_000, seq: 1, attempt: 2, nextAt: 6_000, failure, heartbeat }]);
    const next = made.activities.get(1)!;
    expect(next).to.deep.include({ attempt: 2, begunAt: undefined, heartbeat: Uint8Array.of(1, 2) });
    expect(next.heartbeat!.buffer.byteLength).to.equal(2);
  });

  it('a note of an attempt that is over, or of an activity that is gone: passed over', () => {
    const { run: made, apply } = run();
    const note = { kind: 'activityStarted', time: 6_000, attempt: 1, heartbeat: Uint8Array.of(1) } as const;
    const failure = { message: 'no' };
    apply(turn(1, [], [activity(1)]));
    apply([1, { kind: 'activityRetry', time: 5_000, seq: 1, attempt: 2, nextAt: 6_000, failure }]);
    apply([1, { ...note, seq: 1 }], [1, { ...note, seq: 9 }]);
    expect(made.activities.get(1)).to.include({ attempt: 2, begunAt: undefined, heartbeat: undefined });
    expect(made.activities.size).to.equal(1);
  });

  it('an activity nobody waits for: its cancellation is asked for, and it is forgotten', () => {
    const { run: made, apply } = run();
    apply(turn(1, [], [activity(1), { ...activity(2), cancellationType: 'WAIT_CANCELLATION_COMPLETED' }]));
    const effects = apply(
      turn(
        1,
        [],
        [
          { kind: 'cancelActivity', seq: 1 },
          { kind: 'cancelActivity', seq: 2 },
          { kind: 'cancelActivity', seq: 3 },
        ],
      ),
    );
    expect(effects.map(({ kind }) => kind)).to.deep.equal(['activityCancel', 'activityCancel']);
    expect([...made.activities.keys()]).to.deep.equal([2]);
  });

  it('an update: its outcome is kept for ids that callers chose, not for generated ones', () => {
    const { run: made, apply } = run();
    apply(
      turn(
        1,
        [
          update('chosen'),
          { kind: 'update', id: 'generated', generated: true, name: 'put', args: new Uint8Array() },
        ],
        [accept('chosen'), accept('generated')],
      ),
    );
    expect([...made.updates.keys()]).to.deep.equal(['chosen', 'generated']);
    const effects = apply(turn(1, [], [complete('chosen'), complete('generated')]));
    expect(effects.map(({ kind }) => kind)).to.deep.equal(['updateDone', 'updateDone']);
    expect(made.updates.size).to.equal(0);
    expect(made.unsavedOutcome('chosen')).to.not.equal(undefined);
    expect(made.unsavedOutcome('generated')).to.equal(undefined);
  });

  it('a turn failed: suspended until a turn succeeds, whatever is in that one', () => {
    const { run: made, apply } = run();
    apply(turn(1));
    apply([1, { kind: 'received', time: 3_000, inputs: [signal('r')] }], turnFailed);
    expect(made).to.include({ state: 'suspended', waiting: 1, needsTurn: true });
    expect(made.suspension).to.include({ cause: 'TURN_TIMEOUT', since: 3_000 });
    expect(made.hasUnsavedRequest('r')).to.equal(true);
    apply(turn(1, [signal()], [], 1));
    expect(made).to.include({ state: 'running', waiting: 0, needsTurn: false, suspension: undefined });
  });

  it('a run limit: the sooner of the two, none when there is none', () => {
    expect(run().run.timeoutAt).to.equal(undefined);
    expect(run({ runTimeoutMs: 5, executionTimeoutMs: 9 }).run.timeoutAt).to.equal(1_005);
    expect(run({ runTimeoutMs: Number.POSITIVE_INFINITY }).run.timeoutAt).to.equal(undefined);
  });

  describe('the end', () => {
    const ENDS: [string, Entry, string][] = [
      [
        'completeWorkflow',
        turn(1, [], [{ kind: 'completeWorkflow', result: new Uint8Array() }]),
        'completed',
      ],
      ['failWorkflow', turn(1, [], [{ kind: 'failWorkflow', failure: { message: 'no' } }]), 'failed'],
      ['cancelWorkflow', turn(1, [], [{ kind: 'cancelWorkflow' }]), 'cancelled'],
      ['terminated', terminated, 'terminated'],
      ['timedOut', [1, { kind: 'timedOut', time: 9_000, retryState: 'TIMEOUT' }], 'timedOut'],
    ];
    for (const [name, entry, status] of ENDS) {
      it(`${name}: takes timers and activities along, and nothing ends it again`, () => {
        const { run: made, apply } = run();
        apply(turn(1, [], [{ kind: 'startTimer', seq: 1, ms: 1 }, activity(1)]));
        const effects = apply(entry);
        expect(effects.map(({ kind }) => kind)).to.deep.equal(['activityCancel', 'closed']);
        expect(made).to.include({ state: status, closed: true, needsTurn: false });
        expect(made.outcome).to.include({ status });
        expect([made.timers.size, made.activities.size]).to.deep.equal([0, 0]);
        for (const [, again] of ENDS) expect(() => made.apply(only(again))).to.throw(IllegalTransitionError);
      });
    }

    for (const [name, entry] of [
      ['terminated', terminated],
      ['timedOut', [1, { kind: 'timedOut', time: 9_000, retryState: 'TIMEOUT' }]],
    ] as [string, Entry][]) {
      it(`${name} while its turn fails: ends it`, () => {
        const { run: made, apply } = run();
        apply(turnFailed);
        apply(entry);
        expect(made).to.include({ closed: true, suspension: undefined, needsTurn: false });
      });
    }
  });

  it('a command of a later version: refused, not ignored', () => {
    const later = { kind: 'doSomethingNew', seq: 1 } as unknown as Command;
    expect(() => run().run.apply(only(turn(1, [], [later])))).to.throw(
      InvariantError,
      /Command 'doSomethingNew'/,
    );
  });

  describe('saving', () => {
    it('what came while it was under way: is in the next one', () => {
      const { run: made, apply } = run();
      apply(turn(1, [signal('a')]));
      const first = made.beginSave();
      apply(turn(1, [signal('b')]));
      expect(Array.from(made.unsavedFrames())).to.have.length(2);
      expect([made.hasUnsavedRequest('a'), made.hasUnsavedRequest('b')]).to.deep.equal([true, true]);
      expect([...first.requests]).to.deep.equal(['a']);
      made.saved(1);
      expect(made).to.include({ through: 1, dirty: true });
      expect([...made.beginSave().requests]).to.deep.equal(['b']);
      made.saved(2);
      expect(made.dirty).to.equal(false);
    });

    it('failed: all of it stands before what came since, and the chunk that may be there is named', () => {
      const { run: made, apply } = run();
      apply(
        turn(
          1,
          [update('u'), signal('a')],
          [{ kind: 'startTimer', seq: 1, ms: 1 }, activity(1), activity(2), accept('u'), complete('u')],
        ),
      );
      made.beginSave();
      for (const timer of made.timers.values()) timer.saved = true;
      apply(
        turn(
          1,
          [{ kind: 'timerFired', seq: 1 }, signal('b')],
          [
            { kind: 'startTimer', seq: 2, ms: 1 },
            { kind: 'cancelActivity', seq: 1 },
          ],
        ),
      );
      made.saveFailed(1);
      const again = made.beginSave();
      expect(again.frames.map(({ seq }) => seq)).to.deep.equal([1, 2]);
      expect(again).to.deep.include({
        isNew: true,
        stale: [1],
        timersRemoved: [{ seq: 1, due: 2_001 }],
        activitiesRemoved: [1],
      });
      expect([[...again.requests], [...again.activitiesChanged], [...again.outcomes.keys()]]).to.deep.equal([
        ['b', 'a'],
        [2],
        ['u'],
      ]);
      expect([...made.timers]).to.deep.equal([[2, { due: 2_001, saved: false }]]);
      made.saveFailed(2);
      expect(made.unsaved.stale).to.deep.equal([1, 2]);
    });
  });

  it('its record: gives back a run that knows the same', () => {
    const { run: made, apply } = run({ memo: Uint8Array.of(1), runTimeoutMs: 5 });
    apply(turn(1, [update('u')], [{ kind: 'startTimer', seq: 1, ms: 1 }, activity(1), accept('u')]));
    apply([1, { kind: 'received', time: 3_000, inputs: [signal()] }], turnFailed);
    const again = Run.fromRecord(made.toRecord(2), made.activities);
    expect(again.toRecord(2)).to.deep.equal(made.toRecord(2));
    expect(again.info).to.have.property('args', undefined);
    expect(again).to.include({ needsTurn: true, timeoutAt: 1_005, dirty: false });
  });
});
