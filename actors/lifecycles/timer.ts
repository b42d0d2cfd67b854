/**
 * The life of a timer, from the startTimer command on.
 *
 *   [started] --timerFired---> (fired)
 *       |
 *       +-----cancelTimer----> (cancelled)
 *
 * A timer that is cancelled in the turn that started it never began: its two commands have met and are gone. A run
 * that closes drops its timers; there is no arrow for what nobody waits for.
 *
 * Owns: which of these may follow which.
 * Does not own: when a timer is due (runtime/timers.ts).
 */
import { setup } from 'xstate';
import { deriveTable, type EventOf, type StateOf } from './table.js';

export const timerMachine = setup({
  types: { events: {} as { type: 'timerFired' } | { type: 'cancelTimer' } },
}).createMachine({
  id: 'timer',
  initial: 'started',
  states: {
    started: { on: { timerFired: 'fired', cancelTimer: 'cancelled' } },
    fired: { type: 'final' },
    cancelled: { type: 'final' },
  },
});

export type TimerState = StateOf<typeof timerMachine>;
export type TimerEvent = EventOf<typeof timerMachine>;
export const timerTable = deriveTable(timerMachine);
