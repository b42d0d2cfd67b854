/** What counts as the same command in a replay, and what a mismatch says (replay.ts, D5). */
import { expect } from 'chai';
import { DeterminismViolationError } from '../../actors/failures.js';
import type { Command } from '../../codec/journal-entry.js';
import { compareCommands } from '../../runtime/replay.js';

const args = Uint8Array.of(1);
const activity = (more: Partial<Extract<Command, { kind: 'scheduleActivity' }>> = {}): Command => ({
  kind: 'scheduleActivity',
  seq: 1,
  activityId: '1',
  activityType: 'work',
  args,
  taskQueue: 'default',
  cancellationType: 'TRY_CANCEL',
  ...more,
});
const timer = (seq: number, ms = 5): Command => ({ kind: 'startTimer', seq, ms });

function compare(recorded: Command[], produced: Command[]): void {
  compareCommands({
    recorded,
    produced,
    failure: undefined,
    events: 7,
    entry: { kind: 'turn', time: 1, taken: 0, inputs: [], commands: recorded },
  });
}

describe('replay', () => {
  const SAME: [string, Command, Command][] = [
    ['a timer of another duration', timer(1, 5), timer(1, 9)],
    [
      'an activity with other arguments',
      activity(),
      activity({ args: Uint8Array.of(2), retry: { maximumAttempts: 3 } }),
    ],
    [
      'an update with another result',
      { kind: 'completeUpdate', id: 'u', result: args },
      { kind: 'completeUpdate', id: 'u', failure: { message: 'no' } },
    ],
    [
      'another result of the workflow',
      { kind: 'completeWorkflow', result: args },
      { kind: 'completeWorkflow', result: new Uint8Array() },
    ],
  ];
  for (const [name, recorded, produced] of SAME) {
    it(`${name}: the same command`, () => compare([recorded], [produced]));
  }

  const OTHER: [string, Command[], Command[], RegExp][] = [
    [
      'another kind',
      [timer(1)],
      [activity()],
      /command 1\. Recorded: startTimer 1\. Produced: scheduleActivity 1 work 1\./,
    ],
    ['another number', [timer(1)], [timer(2)], /Recorded: startTimer 1\. Produced: startTimer 2\./],
    [
      'another activity',
      [activity()],
      [activity({ activityType: 'play' })],
      /Recorded: scheduleActivity 1 work 1\. Produced: scheduleActivity 1 play 1\./,
    ],
    [
      'another update',
      [{ kind: 'acceptUpdate', id: 'a' }],
      [{ kind: 'acceptUpdate', id: 'b' }],
      /acceptUpdate a\. Produced: acceptUpdate b/,
    ],
    ['another order', [timer(1), activity()], [activity(), timer(1)], /command 1/],
    [
      'one too few',
      [timer(1), timer(2)],
      [timer(1)],
      /command 2\. Recorded: startTimer 2\. Produced: no command\./,
    ],
    [
      'one too many',
      [timer(1)],
      [timer(1), timer(2)],
      /command 2\. Recorded: no command\. Produced: startTimer 2\./,
    ],
  ];
  for (const [name, recorded, produced, text] of OTHER) {
    it(`${name}: refused, with the event, what was recorded and what was produced`, () => {
      const check = () => compare(recorded, produced);
      expect(check).to.throw(DeterminismViolationError, text);
      expect(check).to.throw(/after history event 7/);
    });
  }

  it('the replayed turn failed: refused, with why', () => {
    const turn = { recorded: [timer(1)], produced: [], failure: { message: 'a bug' }, events: 7 };
    expect(() =>
      compareCommands({ ...turn, entry: { kind: 'turn', time: 1, taken: 0, inputs: [], commands: [] } }),
    ).to.throw(DeterminismViolationError, /a bug/);
  });
});
