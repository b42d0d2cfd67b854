/**
 * The event history: the journal of one run as Temporal users know it, in the JSON that Temporal's tools exchange.
 *
 * Owns: which events an entry stands for, their order, numbers and attributes (history-events.md), and their count. The
 * work is in history/: entries.ts says which events an entry gives, a file for each subject writes them into history.ts.
 * Does not own: the entries (journal-entry.ts), how values and failures look in Temporal's JSON (temporal-payload.ts).
 * Who calls it: eventCount is on the hot path of every turn, on a pool thread; expandHistory serves fetchHistory, on the
 * host.
 *
 *   started       WorkflowExecutionStarted
 *   received      one event for each input, as below
 *   turn          events of `inputs` | TaskScheduled, TaskStarted, TaskCompleted | events of `commands`
 *   turnFailed    TaskScheduled, TaskStarted, TaskFailed. Also for TURN_TIMEOUT and THREAD_DIED: a TaskTimedOut event
 *                 has no room for the failure, which is what people come to see
 *   activityRetry nothing, and the same for activityStarted
 *   terminated    WorkflowExecutionTerminated
 *   timedOut      WorkflowExecutionTimedOut
 *
 * Invariants, which the files of history/ cite:
 *   H1  eventCount(entry) is the number of events expandHistory gives for the entry, whatever came before it.
 *   H2  Ids run from 1 without a gap.
 *   H3  Nothing stands between TaskStarted and TaskCompleted, and the events of commands follow in their order.
 *   H4  An event that ends something names the event that began it.
 *
 * What must hold of a journal, beside what its types say:
 *   - commands that took each other back within their turn (a timer started and cancelled) are gone;
 *   - cancelActivity is absent for an activity whose cancellation type is ABANDON;
 *   - an activity that was given up before an attempt began has attempt 0 or startedAt 0;
 *   - outcomes of activities and children hold the inner failure, not the one that workflow code catches;
 *   - a rejected update has left neither input nor command, and an accepted one was an input of the same turn;
 *   - signalExternal, cancelExternal, updateExternal and signalWithStart count their `seq` together;
 *   - a run's end, if it is a command, is the last command.
 *
 * Not as on a Temporal server:
 *   - `updateExternal` and `signalWithStart` and their answers are markers of our own; no Temporal worker can replay such
 *     a run;
 *   - a child that is asked to stop gives no ExternalWorkflowExecutionCancelRequested: the journal does not tell when
 *     the request arrived. Replay does not need it;
 *   - Temporal leaves out the search attribute of a patch once all patch ids together reach 2,048 bytes. Here it is
 *     always written, for H1, and a run with that many patches does not replay on a Temporal worker.
 */
import { addEntry } from './history/entries.js';
import type { HistoryEvent } from './history/event.js';
import { History, type HistoryOptions } from './history/history.js';
import type { JournalEntry } from './journal-entry.js';

export { type AttributesKey, attributesKey, type EventType, type HistoryEvent } from './history/event.js';
export { eventCount } from './history/event-count.js';
export type { HistoryOptions } from './history/history.js';

/**
 * @param entries the journal of one run, from its 'started' entry; it may end anywhere
 * @throws Error when the entries are not the journal of one run: a broken invariant, not an expected failure
 */
export function expandHistory(entries: Iterable<JournalEntry>, options: HistoryOptions = {}): HistoryEvent[] {
  const history = new History(options);
  for (const entry of entries) addEntry(history, entry);
  return history.events;
}
