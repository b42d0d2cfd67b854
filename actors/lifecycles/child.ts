/**
 * The life of a child workflow as its parent sees it, from the startChild command on.
 *
 *   [initiated] --childStarted--> started --completed------> (completed)
 *       |                            |-----failed----------> (failed)
 *       |                            |-----cancelled-------> (cancelled)
 *       |                            |-----terminated------> (terminated)
 *       |                            +-----timedOut--------> (timedOut)
 *       |
 *       +--childStartFailed--> (startFailed)
 *
 * A child that continues as new stays `started`: the parent waits for the end of the chain. A request to cancel it
 * changes nothing here; it is a message to the child, and the child's end is the answer.
 *
 * Owns: which of these may follow which.
 * Does not own: the child itself, which is an execution of its own (execution.ts).
 */
import { setup } from 'xstate';
import { deriveTable, type EventOf, type StateOf } from './table.js';

export const childMachine = setup({
  types: {
    events: {} as
      | { type: 'childStarted' }
      | { type: 'childStartFailed' }
      | { type: 'completed' }
      | { type: 'failed' }
      | { type: 'cancelled' }
      | { type: 'terminated' }
      | { type: 'timedOut' },
  },
}).createMachine({
  id: 'child',
  initial: 'initiated',
  states: {
    initiated: { on: { childStarted: 'started', childStartFailed: 'startFailed' } },
    started: {
      on: {
        completed: 'completed',
        failed: 'failed',
        cancelled: 'cancelled',
        terminated: 'terminated',
        timedOut: 'timedOut',
      },
    },
    startFailed: { type: 'final' },
    completed: { type: 'final' },
    failed: { type: 'final' },
    cancelled: { type: 'final' },
    terminated: { type: 'final' },
    timedOut: { type: 'final' },
  },
});

export type ChildState = StateOf<typeof childMachine>;
export type ChildEvent = EventOf<typeof childMachine>;
export const childTable = deriveTable(childMachine);
