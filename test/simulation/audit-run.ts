/**
 * The audit of one run by itself: its list, its history, its status and its result must tell the same story.
 *
 * Owns: the rules that need nothing but the run and the clock.
 * Does not own: whether what stands there was sent, and in which order (audit.ts).
 */
import { told } from './calls.js';
import type { RunFacts } from './run-facts.js';
import { relayedOf } from './steps.js';

export interface RunView {
  facts: RunFacts;
  /** By update id: the clock at the first audit that saw it accepted. */
  acceptedBy: Map<string, number>;
  now: number;
  /** The clock when it was first sent. */
  issuedAt(what: string): number;
  /** Somebody asked for the end of some run. */
  terminated: boolean;
}

/** What is wrong with it. */
export function auditRun(view: RunView): string[] {
  const { facts } = view;
  // What came while its turn fails stands in the history, and the list knows nothing of it.
  if (facts.suspended) return [];
  const wrong = statusIsExplained(view) ? [] : ['nothing in its history explains its status'];
  if (facts.list === undefined) return wrong;
  return [
    ...wrong,
    ...linesOf(facts, facts.list),
    ...endsOf(view, facts.list),
    ...resultOf(facts, facts.list),
  ];
}

function statusIsExplained({ facts, terminated }: RunView): boolean {
  const { life, status, cancelRequested } = facts;
  const cancelled = cancelRequested && !life.shielded;
  const ending = has(facts, 'finish') || has(facts, 'renew');
  switch (status) {
    case 'RUNNING':
      return !has(facts, 'fail') && !cancelled && !(ending && !(life.patient && isBusy(facts)));
    case 'COMPLETED':
      return has(facts, 'finish');
    case 'CONTINUED_AS_NEW':
      return has(facts, 'renew') && facts.next !== undefined;
    case 'FAILED':
      return has(facts, 'fail');
    case 'CANCELLED':
      return cancelled;
    default:
      return status === 'TERMINATED' && terminated;
  }
}

export function has({ signals }: RunFacts, signal: string): boolean {
  return signals.some(({ name }) => name === signal);
}

/** A handler has not ended. */
function isBusy({ accepted, completed, signals, list }: RunFacts): boolean {
  const answered = ({ what }: { what: string }) =>
    relayedOf(what).every((sent) =>
      list?.some((line) => line === `${sent} sent` || line === `${sent} not sent`),
    );
  return (
    accepted.some(({ updateId }) => !completed.has(updateId)) ||
    signals.some((signal) => signal.name === 'relay' && !answered(signal))
  );
}

/** Signals of the history that no handler took: they go to the next run. */
export function untaken(facts: RunFacts): string[] {
  const taken = facts.life.opened || has(facts, 'open');
  return taken ? [] : facts.signals.filter(({ name }) => name === 'late').map(({ what }) => what);
}

/** Each line of the list is in the history or follows from it, in the same order. */
function linesOf(facts: RunFacts, list: string[]): string[] {
  const { carried = [] } = facts.life;
  const own = list.slice(carried.length);
  if (carried.some((line, i) => line !== list[i]))
    return [`did not begin with what the run before had: ${carried}`];
  const waiting = new Set(untaken(facts));
  const taken = facts.signals.filter(({ what }) => !waiting.has(what));
  const kinds: [string, string[]][] = [
    ['signals', taken.filter(({ name }) => name !== 'late').map(({ what }) => what)],
    ['late signals', taken.filter(({ name }) => name === 'late').map(({ what }) => what)],
    ['updates', facts.accepted.map(({ what }) => what)],
  ];
  const wrong = kinds.flatMap(([kind, inHistory]) => {
    const expected = new Set(inHistory);
    const inList = own.filter((line) => expected.has(line));
    const same = inHistory.length === expected.size && inHistory.join() === inList.join();
    return same ? [] : [`${kind} in the history: ${inHistory.join()}; in the list: ${inList.join()}`];
  });
  const begins = carried.length === 0 ? 1 : 0;
  const count = kinds.reduce((sum, [, lines]) => sum + lines.length, begins) + own.filter(isAftermath).length;
  if (own.length !== count) wrong.push(`has ${own.length} lines, and ${count} of them are explained`);
  if (new Set(own.filter(isAftermath)).size !== own.filter(isAftermath).length)
    wrong.push('has an end twice');
  return wrong;
}

/** A line that follows from another message, later than that. */
function isAftermath(line: string): boolean {
  return line === 'cancel requested' || /( ends| relayed \d( not)? sent)$/.test(line);
}

function endsOf({ facts, acceptedBy, now, issuedAt }: RunView, list: string[]): string[] {
  const from = facts.life.carried?.length ?? 0;
  return facts.accepted.flatMap(({ updateId, what, name, ms }) => {
    const begin = list.indexOf(what, from);
    const end = list.indexOf(`${what} ends`, from);
    const outcome = facts.completed.get(updateId);
    const line = (name === 'put' ? begin : end) + 1;
    const slow = name === 'putSlowly';
    const overdue =
      slow && outcome === undefined && facts.status === 'RUNNING' && now >= acceptedBy.get(updateId)! + ms;
    return [
      ...(outcome?.kind === 'ok' && outcome.value !== line
        ? [`${told(outcome)} for ${what}, which is line ${line}`]
        : []),
      ...(end >= 0 && end < begin ? [`has the end of ${what} before its begin`] : []),
      ...(end >= 0 && slow && now < issuedAt(what) + ms
        ? [`has the end of ${what} before its ${ms} ms are over`]
        : []),
      ...(overdue ? [`has no end of ${what}, whose ${ms} ms are over`] : []),
    ];
  });
}

function resultOf({ result, status }: RunFacts, list: string[]): string[] {
  if (status !== 'COMPLETED') return [];
  const same = result?.every((line, i) => line === list[i]) && list.slice(result.length).every(isAftermath);
  return same ? [] : [`has the result ${result?.join()}`];
}
