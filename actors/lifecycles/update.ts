/**
 * The life of an update, from the moment the runtime takes it on.
 *
 *     +--runContinued (it goes on to the next run)
 *     |  |
 *     |  v
 *   [admitted] --acceptUpdate--> accepted --completeUpdate--> (completed)
 *     |    |                      |    |
 *     |    |                      |    +-----failUpdate-----> (failed)
 *     |    |                      |
 *     |    +-rejectUpdate-> (rejected)
 *     |                           |
 *     +--runClosed----------------+--runClosed, runContinued--> (aborted)
 *
 * `admitted` is memory only; from `accepted` on the update is in the journal (D1). A rejected update leaves no trace,
 * and its id may be sent again. What the caller of an aborted update is told depends on the state it was aborted in
 * (semantics.md 3.5): not accepted is "not found", accepted is a failed update.
 *
 * Owns: which of these may follow which.
 * Does not own: validators and handlers (actors/handlers.ts), who waits for an answer.
 */
import { setup } from 'xstate';
import { deriveTable, type EventOf, type StateOf } from './table.js';

export const updateMachine = setup({
  types: {
    events: {} as
      | { type: 'acceptUpdate' }
      | { type: 'rejectUpdate' }
      | { type: 'completeUpdate' }
      | { type: 'failUpdate' }
      | { type: 'runClosed' }
      | { type: 'runContinued' },
  },
}).createMachine({
  id: 'update',
  initial: 'admitted',
  states: {
    admitted: {
      on: {
        acceptUpdate: 'accepted',
        rejectUpdate: 'rejected',
        runClosed: 'aborted',
        runContinued: 'admitted',
      },
    },
    accepted: {
      on: {
        completeUpdate: 'completed',
        failUpdate: 'failed',
        runClosed: 'aborted',
        runContinued: 'aborted',
      },
    },
    completed: { type: 'final' },
    rejected: { type: 'final' },
    failed: { type: 'final' },
    aborted: { type: 'final' },
  },
});

export type UpdateState = StateOf<typeof updateMachine>;
export type UpdateEvent = EventOf<typeof updateMachine>;
export const updateTable = deriveTable(updateMachine);
