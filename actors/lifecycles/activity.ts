/**
 * The life of an activity, from the scheduleActivity command on.
 *
 *                                      +-----attemptStarted-----+
 *                                      v                        |
 *   [scheduled] --attemptStarted--> started --activityRetry--> backingOff
 *                                      |
 *                                      +--cancelActivity--> cancelRequested
 *
 *   and the ends, each in round brackets:
 *
 *                     completed    failed    timedOut    cancelActivity   cancelled
 *   scheduled             .           .     (timedOut)    (cancelled)         .
 *   started          (completed)  (failed)  (timedOut)   cancelRequested      .
 *   backingOff            .           .     (timedOut)    (cancelled)         .
 *   cancelRequested  (completed)  (failed)  (timedOut)         .         (cancelled)
 *
 * Where no attempt runs there is nobody to ask, and a request to cancel takes effect at once. While one runs it is only
 * a request: the attempt may still complete, fail or time out, but it is not tried again. `failed` and `timedOut` are
 * the last word, after the retry policy has been asked; an attempt that fails and will be tried again is
 * `activityRetry`. A run that closes drops its activities.
 *
 * A crash loses the attempt, not the activity. Where the journal says that the attempt had begun (attempts are limited, or
 * it has reported a heartbeat), the recovered activity goes on as if it had timed out: `activityRetry` or the last word.
 * Elsewhere nobody knows, and it begins again at `scheduled`, with the attempt of the same number.
 *
 * Owns: which of these may follow which.
 * Does not own: the retry policy, attempts, timeouts (runtime/activities/).
 */
import { setup } from 'xstate';
import { deriveTable, type EventOf, type StateOf } from './table.js';

export const activityMachine = setup({
  types: {
    events: {} as
      | { type: 'attemptStarted' }
      | { type: 'activityRetry' }
      | { type: 'cancelActivity' }
      | { type: 'completed' }
      | { type: 'failed' }
      | { type: 'timedOut' }
      | { type: 'cancelled' },
  },
}).createMachine({
  id: 'activity',
  initial: 'scheduled',
  states: {
    scheduled: { on: { attemptStarted: 'started', timedOut: 'timedOut', cancelActivity: 'cancelled' } },
    started: {
      on: {
        activityRetry: 'backingOff',
        cancelActivity: 'cancelRequested',
        completed: 'completed',
        failed: 'failed',
        timedOut: 'timedOut',
      },
    },
    backingOff: { on: { attemptStarted: 'started', timedOut: 'timedOut', cancelActivity: 'cancelled' } },
    cancelRequested: {
      on: { completed: 'completed', failed: 'failed', timedOut: 'timedOut', cancelled: 'cancelled' },
    },
    completed: { type: 'final' },
    failed: { type: 'final' },
    timedOut: { type: 'final' },
    cancelled: { type: 'final' },
  },
});

export type ActivityState = StateOf<typeof activityMachine>;
export type ActivityEvent = EventOf<typeof activityMachine>;
export const activityTable = deriveTable(activityMachine);
