/** Figures with a unit of their own: the rows of the workloads that compare something with a goal rather than with a floor. */
import { spread } from './measure.js';
import type { FigureRow, TrendRow } from './report.js';

/** Makes the rows of a workload. `values` are the repetitions; `most` is the goal, if there is one. */
export function figuresOf(workload: string) {
  return (
    what: string,
    values: readonly (number | undefined)[],
    unit: FigureRow['unit'],
    most?: number,
  ): FigureRow => {
    const value = spread(values.map((each) => each ?? Number.NaN));
    return { kind: 'figure', workload, what, value, unit, most };
  };
}

/** Compares the first third of a run with the last. */
export function trend(
  workload: string,
  what: string,
  slices: readonly number[],
  unit: FigureRow['unit'],
  most?: number,
): TrendRow {
  const third = Math.max(1, Math.floor(slices.length / 3));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [first, last] = [mean(slices.slice(0, third)), mean(slices.slice(-third))];
  return { kind: 'trend', workload, what, unit, slices, first, last, most };
}
