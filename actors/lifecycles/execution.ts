/**
 * The life of a workflow execution (one run), from its 'started' entry on.
 *
 *     +------retryTurn------+
 *     v                     |
 *   [running] --turnFailed--> suspended
 *     |  |  |                   |   |
 *     |  |  +----terminated-----+---|---> (terminated)
 *     |  +-------timedOut-----------+---> (timedOut)
 *     |
 *     +--completeWorkflow---------------> (completed)
 *     +--failWorkflow-------------------> (failed)
 *     +--cancelWorkflow-----------------> (cancelled)
 *     +--continueAsNew------------------> (continuedAsNew)
 *
 * `suspended`: a turn failed, and the run waits for its back-off, for other code, or for somebody to close it. Its
 * messages wait with it, durable (D1). Whether the run is in memory is no state of the run: passivation shows nowhere
 * here.
 *
 * Events bear the names of the journal entries and commands that cause them (codec/journal-entry.ts); `retryTurn` is
 * the only one without a trace.
 *
 * Owns: which of these may follow which.
 * Does not own: what is done on the way.
 */
import { setup } from 'xstate';
import { deriveTable, type EventOf, type StateOf } from './table.js';

export const executionMachine = setup({
  types: {
    events: {} as
      | { type: 'turnFailed' }
      | { type: 'retryTurn' }
      | { type: 'completeWorkflow' }
      | { type: 'failWorkflow' }
      | { type: 'cancelWorkflow' }
      | { type: 'continueAsNew' }
      | { type: 'terminated' }
      | { type: 'timedOut' },
  },
}).createMachine({
  id: 'execution',
  initial: 'running',
  states: {
    running: {
      on: {
        turnFailed: 'suspended',
        completeWorkflow: 'completed',
        failWorkflow: 'failed',
        cancelWorkflow: 'cancelled',
        continueAsNew: 'continuedAsNew',
        terminated: 'terminated',
        timedOut: 'timedOut',
      },
    },
    suspended: { on: { retryTurn: 'running', terminated: 'terminated', timedOut: 'timedOut' } },
    completed: { type: 'final' },
    failed: { type: 'final' },
    cancelled: { type: 'final' },
    continuedAsNew: { type: 'final' },
    terminated: { type: 'final' },
    timedOut: { type: 'final' },
  },
});

export type ExecutionState = StateOf<typeof executionMachine>;
export type ExecutionEvent = EventOf<typeof executionMachine>;
export const executionTable = deriveTable(executionMachine);
