/**
 * Updates that begin and end in one turn: their answers can travel beside the turn, as those of queries do.
 *
 * Owns: telling whether a turn is of that kind, in which the host need not look into the entry to answer its callers.
 * Does not own: when answers are told (thread.ts), what the host does about all other turns (run.ts).
 *
 * D2: only updates whose id the client made up count. Of the others the host keeps the outcome, so it must look.
 */
import type { Reply } from '../codec/envelope.js';
import type { Command, Input, JournalEntry } from '../codec/journal-entry.js';

type Turn = Extract<JournalEntry, { kind: 'turn' }>;

/**
 * The answers of the turn's updates, when all that it did was to accept and complete them, beside plain signals. Undefined
 * when it did anything else, or no update was in it.
 * @param at place in the batch of each input in the mailbox
 */
export function updateAnswers(
  { taken, inputs, commands }: Turn,
  mailbox: readonly Input[],
  at: readonly number[],
  after: number,
): Reply[] | undefined {
  if (taken > 0 || commands.length === 0 || commands.length !== 2 * count(inputs)) return undefined;
  const replies: Reply[] = [];
  let place = -1;
  for (const command of commands) {
    if (command.kind === 'acceptUpdate') continue;
    if (command.kind !== 'completeUpdate') return undefined;
    place = placeOf(command.id, mailbox, place);
    if (place < 0) return undefined;
    replies.push(replyTo(command, at[place]!, after));
  }
  return 2 * replies.length === commands.length ? replies : undefined;
}

/**
 * How many updates there are; not a number when the host must know of one of the inputs, also because a workflow sent it,
 * which waits to hear that it was delivered.
 */
function count(inputs: readonly Input[]): number {
  let updates = 0;
  for (const input of inputs) {
    if ('sender' in input && input.sender !== undefined) return Number.NaN;
    if (input.kind === 'update' && input.generated === true) updates++;
    else if (input.kind !== 'signal' || input.requestId !== undefined) return Number.NaN;
  }
  return updates;
}

/** Where the update stands in the mailbox: most likely behind the one before it. */
function placeOf(id: string, mailbox: readonly Input[], before: number): number {
  for (let step = 1; step <= mailbox.length; step++) {
    const place = (before + step) % mailbox.length;
    const input = mailbox[place]!;
    if (input.kind === 'update' && input.id === id) return place;
  }
  return -1;
}

function replyTo(
  { result, failure }: Extract<Command, { kind: 'completeUpdate' }>,
  at: number,
  after: number,
): Reply {
  return failure === undefined
    ? { at, after, kind: 'answer', result: result! }
    : { at, after, kind: 'failure', failure };
}
