/**
 * Events of timers.
 *
 * Owns: how a timer's start is named by what ends it (H4).
 * Does not own: timers that were started and cancelled in one turn; they are in no entry.
 */
import { duration, temporalPayloadOf } from '../temporal-payload.js';
import { type CommandOf, cameFrom, type History, type InputOf, type Task } from './history.js';
import { IDENTITY } from './shapes.js';

export function startTimer(
  history: History,
  { seq, ms, summary }: CommandOf<'startTimer'>,
  task: Task,
): void {
  const attributes = { timerId: String(seq), startToFireTimeout: duration(ms), ...cameFrom(task) };
  const metadata = summary === undefined ? undefined : { summary: temporalPayloadOf(summary) };
  history.timers.set(seq, history.add('TIMER_STARTED', task.time, attributes, metadata));
}

export function cancelTimer(history: History, { seq }: CommandOf<'cancelTimer'>, task: Task): void {
  const startedEventId = history.known(history.timers, seq, 'timer');
  history.add('TIMER_CANCELED', task.time, {
    timerId: String(seq),
    startedEventId,
    ...cameFrom(task),
    identity: IDENTITY,
  });
}

export function timerFired(history: History, { seq }: InputOf<'timerFired'>, time: number): void {
  const startedEventId = history.known(history.timers, seq, 'timer');
  history.add('TIMER_FIRED', time, { timerId: String(seq), startedEventId });
}
