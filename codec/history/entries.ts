/**
 * Which events an entry gives: one table for each of entries, inputs and commands, with a row for each kind.
 *
 * Owns: the order of events within an entry (H3).
 * Does not own: the events. Each subject has a file, with a function for each kind that it is about.
 *
 * No row may be left out, so that a new kind does not compile until it has its events; event-count.ts must learn it too
 * (H1).
 */
import type { Command, Input, JournalEntry } from '../journal-entry.js';
import { activityResolved, cancelActivity, scheduleActivity } from './activities.js';
import { cancelChild, childClosed, childStarted, childStartFailed, startChild } from './children.js';
import {
  cancelExternal,
  externalResolved,
  signalExternal,
  signalWithStart,
  updateExternal,
} from './externals.js';
import type { CommandOf, EntryOf, History, InputOf, Task } from './history.js';
import { acceptUpdate, cancelRequested, completeUpdate, signalReceived } from './messages.js';
import { patch, upsertMemo, upsertSearchAttributes } from './properties.js';
import {
  cancelWorkflow,
  completeWorkflow,
  continueAsNew,
  failWorkflow,
  terminated,
  timedOut,
} from './run-end.js';
import { started } from './run-start.js';
import { completeTask, turnFailed } from './tasks.js';
import { cancelTimer, startTimer, timerFired } from './timers.js';

/** @throws Error when the entry cannot follow what the history has */
export function addEntry(history: History, entry: JournalEntry): void {
  if (entry.kind !== 'started' && !history.hasBegun)
    throw new Error(`A journal begins with a 'started' entry, not with '${entry.kind}'`);
  const write = ENTRY_EVENTS[entry.kind] as (history: History, entry: JournalEntry) => void;
  write(history, entry);
}

function addInputs(history: History, inputs: readonly Input[], time: number): void {
  for (const input of inputs) {
    const write = INPUT_EVENTS[input.kind] as (history: History, input: Input, time: number) => void;
    write(history, input, time);
  }
}

function addCommands(history: History, commands: readonly Command[], task: Task): void {
  for (const command of commands) {
    const write = COMMAND_EVENTS[command.kind] as (history: History, command: Command, task: Task) => void;
    write(history, command, task);
  }
}

type EntryWriter<Kind extends JournalEntry['kind']> = (history: History, entry: EntryOf<Kind>) => void;
type InputWriter<Kind extends Input['kind']> = (history: History, input: InputOf<Kind>, time: number) => void;
type CommandWriter<Kind extends Command['kind']> = (
  history: History,
  command: CommandOf<Kind>,
  task: Task,
) => void;

const noEvent = (): void => undefined;

const ENTRY_EVENTS: { readonly [Kind in JournalEntry['kind']]: EntryWriter<Kind> } = {
  started,
  turn: (history, { time, taken, inputs, commands }) => {
    const all = [...history.take(taken), ...inputs];
    addInputs(history, inputs, time);
    addCommands(history, commands, completeTask(history, time, all));
  },
  received: (history, { time, inputs }) => {
    addInputs(history, inputs, time);
    history.addWaiting(inputs);
  },
  turnFailed,
  activityRetry: noEvent,
  activityStarted: noEvent,
  terminated,
  timedOut,
};

const INPUT_EVENTS: { readonly [Kind in Input['kind']]: InputWriter<Kind> } = {
  signal: signalReceived,
  // An update shows when it is accepted (acceptUpdate).
  update: noEvent,
  timerFired,
  activityResolved,
  cancel: cancelRequested,
  childStarted,
  childStartFailed,
  childClosed,
  externalResolved,
};

const COMMAND_EVENTS: { readonly [Kind in Command['kind']]: CommandWriter<Kind> } = {
  startTimer,
  cancelTimer,
  scheduleActivity,
  cancelActivity,
  startChild,
  cancelChild,
  signalExternal,
  // By now the signal is on its way; Temporal leaves no event of the attempt to hold it back either.
  cancelSignalExternal: noEvent,
  cancelExternal,
  updateExternal,
  signalWithStart,
  acceptUpdate,
  completeUpdate,
  patch,
  upsertMemo,
  upsertSearchAttributes,
  completeWorkflow,
  failWorkflow,
  cancelWorkflow,
  continueAsNew,
};
