/**
 * How many events an entry stands for.
 *
 * Owns: the count, for each kind of entry, input and command.
 * Does not own: the events (entries.ts).
 * Called by: the loop of a thread, for each turn; expandHistory shares only `hadStarted`. So it depends on nothing but
 * types, and looks at an entry without making anything.
 *
 * H1: equal to the number of events that expandHistory gives for the entry, whatever came before it. The test of H1
 * goes through every kind.
 */
import type {
  ActivityOutcome,
  ActivityResolvedInput,
  Command,
  Input,
  JournalEntry,
} from '../journal-entry.js';

/** How many events expandHistory gives for the entry. */
export function eventCount(entry: JournalEntry): number {
  switch (entry.kind) {
    case 'turn':
      return TASK_EVENTS + inputEventCount(entry.inputs) + commandEventCount(entry.commands);
    case 'received':
      return inputEventCount(entry.inputs);
    case 'turnFailed':
      return TASK_EVENTS;
    case 'activityRetry':
    case 'activityStarted':
      return 0;
    case 'started':
    case 'terminated':
    case 'timedOut':
      return 1;
  }
}

const TASK_EVENTS = 3;

function inputEventCount(inputs: readonly Input[]): number {
  let count = 0;
  for (const input of inputs) count += eventsOfInput(input);
  return count;
}

function commandEventCount(commands: readonly Command[]): number {
  let count = 0;
  for (const command of commands) count += eventsOfCommand(command);
  return count;
}

// No default in these two, so that a new kind does not compile until it is counted.

function eventsOfInput(input: Input): 0 | 1 | 2 {
  switch (input.kind) {
    case 'signal':
    case 'timerFired':
    case 'cancel':
    case 'childStarted':
    case 'childStartFailed':
    case 'childClosed':
    case 'externalResolved':
      return 1;
    case 'update':
      return 0;
    case 'activityResolved':
      return hadStarted(input) ? 2 : 1;
  }
}

function eventsOfCommand(command: Command): 0 | 1 | 2 {
  switch (command.kind) {
    case 'acceptUpdate':
    case 'completeUpdate':
    case 'scheduleActivity':
    case 'cancelActivity':
    case 'startTimer':
    case 'cancelTimer':
    case 'startChild':
    case 'cancelChild':
    case 'signalExternal':
    case 'cancelExternal':
    case 'updateExternal':
    case 'signalWithStart':
    case 'upsertMemo':
    case 'upsertSearchAttributes':
    case 'completeWorkflow':
    case 'failWorkflow':
    case 'cancelWorkflow':
    case 'continueAsNew':
      return 1;
    case 'cancelSignalExternal':
      return 0;
    case 'patch':
      return 2;
  }
}

/** False for an activity that was given up before its first attempt, or while the next one waited to be taken. */
export function hadStarted({ attempt, startedAt, outcome }: ActivityResolvedInput): boolean {
  if (outcome.status === 'completed' || outcome.status === 'failed') return true;
  if (outcome.status === 'timedOut' && isScheduleToStart(outcome)) return false;
  return attempt > 0 && startedAt > 0;
}

function isScheduleToStart({ failure: { info } }: Extract<ActivityOutcome, { status: 'timedOut' }>): boolean {
  return info?.kind === 'timeout' && info.timeoutType === 'SCHEDULE_TO_START';
}
