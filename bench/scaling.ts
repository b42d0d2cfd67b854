/**
 * Rates by number of workflow threads: the rows, their table, and the goal that they are held against.
 *
 * Owns: how speed-ups are computed and told. Does not own: taking the rates (threads.ts), drawing them (charts.ts).
 */
import type { Spread } from './measure.js';

/** A rate with so many workflow threads, beside its floor with as many. */
export interface ThreadsRow {
  kind: 'threads';
  workload: string;
  what: string;
  threads: number;
  concurrency: number;
  perSecond: Spread;
  floor: { what: string; unit: 'per second'; value: Spread };
}

const GOAL = { threads: 8, times: 5, cores: 16 };

/** How many times the rate of one thread: of the runtime, and of the floor. */
export function speedUp(row: ThreadsRow, rows: readonly ThreadsRow[]): { rate: number; floor: number } {
  const one = rows.find(({ what, threads }) => what === row.what && threads === 1);
  return {
    rate: row.perSecond.median / (one?.perSecond.median ?? Number.NaN),
    floor: row.floor.value.median / (one?.floor.value.median ?? Number.NaN),
  };
}

/** What is to be said about the goal: measured, or why not. */
export function aboutGoal(rows: readonly ThreadsRow[], cores: number): string {
  const { threads, times } = GOAL;
  const goal = `${threads} workflow threads at least ${times} times as fast as one, on ${GOAL.cores} cores`;
  const measured = rows.filter((row) => row.threads === threads);
  if (cores < GOAL.cores || measured.length === 0)
    return `The goal (${goal}) could not be measured here: this machine has ${cores}.`;
  const each = measured.map((row) => `${row.what} ${speedUp(row, rows).rate.toFixed(2)}`);
  return `The goal is ${goal}; here: ${each.join(', ')}.`;
}
