/** Which turns answer their updates beside the entry (update-answers.ts: D2), and with what. */
import { expect } from 'chai';
import type { Command, Input, JournalEntry } from '../../codec/journal-entry.js';
import { updateAnswers } from '../../runtime/update-answers.js';

const data = Uint8Array.of(1);
const signal: Input = { kind: 'signal', name: 'n', args: data };
const update = (id: string, generated = true): Input => ({
  kind: 'update',
  id,
  name: 'n',
  args: data,
  generated: generated || undefined,
});
const accept = (id: string): Command => ({ kind: 'acceptUpdate', id });
const complete = (id: string, result = data): Command => ({ kind: 'completeUpdate', id, result });
const failed = (id: string): Command => ({ kind: 'completeUpdate', id, failure: { message: id } });

function answers(inputs: Input[], commands: Command[], taken = 0, mailbox = inputs) {
  const entry: Extract<JournalEntry, { kind: 'turn' }> = { kind: 'turn', time: 1, taken, inputs, commands };
  return updateAnswers(
    entry,
    mailbox,
    mailbox.map((_, i) => 10 + i),
    7,
  );
}

describe('update answers', () => {
  it('updates that were accepted and completed, beside signals: each at its place in the batch, in any order', () => {
    const inputs = [update('a'), signal, update('b')];
    expect(answers(inputs, [accept('a'), accept('b'), complete('b'), failed('a')])).to.deep.equal([
      { at: 12, after: 7, kind: 'answer', result: data },
      { at: 10, after: 7, kind: 'failure', failure: { message: 'a' } },
    ]);
  });

  it('an update that was rejected before the others: the others keep their places', () => {
    const mailbox = [update('rejected'), update('a')];
    expect(answers([mailbox[1]!], [accept('a'), complete('a')], 0, mailbox)).to.deep.equal([
      { at: 11, after: 7, kind: 'answer', result: data },
    ]);
  });

  const FOR_THE_HOST: readonly [string, Input[], Command[], number?][] = [
    ['no update', [signal], []],
    ['an id that the caller chose: its outcome is kept', [update('a', false)], [accept('a'), complete('a')]],
    ['an update that goes on', [update('a')], [accept('a')]],
    ['one that goes on and one from before that ends', [update('a')], [accept('a'), complete('before')]],
    [
      'another command beside them',
      [update('a')],
      [accept('a'), complete('a'), { kind: 'cancelTimer', seq: 1 }],
    ],
    ['another command in the place of one', [update('a')], [accept('a'), { kind: 'cancelTimer', seq: 1 }]],
    [
      'the end of the run',
      [update('a')],
      [accept('a'), complete('a'), { kind: 'completeWorkflow', result: data }],
    ],
    [
      'a signal with a request id',
      [{ ...signal, requestId: 'r' }, update('a')],
      [accept('a'), complete('a')],
    ],
    ['a timer that fired', [{ kind: 'timerFired', seq: 1 }, update('a')], [accept('a'), complete('a')]],
    ['inputs taken from the mailbox', [update('a')], [accept('a'), complete('a')], 1],
  ];
  for (const [what, inputs, commands, taken] of FOR_THE_HOST) {
    it(`${what}: the host looks into the entry`, () => {
      expect(answers(inputs, commands, taken)).to.equal(undefined);
    });
  }
});
