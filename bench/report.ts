/**
 * The report: the shapes of its rows, its JSON and its Markdown, and the place in the README that it fills.
 *
 * Owns: how figures are written. Does not own: taking them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Machine, ROOT } from './machine.js';
import type { Measured, Pace, Spread } from './measure.js';
import { aboutGoal, speedUp, type ThreadsRow } from './scaling.js';

/** Calls at a concurrency, beside their floor. */
export interface LoadRow extends Measured {
  kind: 'load';
  workload: string;
  what: string;
  concurrency: number;
}

/** Something that happens once, and how long it took. */
export interface TimeRow {
  kind: 'time';
  workload: string;
  what: string;
  ms: Spread;
  floor?: { what: string; unit: 'ms'; value: Spread };
}

export interface SizeRow {
  kind: 'size';
  workload: string;
  what: string;
  bytes: Spread;
}

/** A figure with a unit of its own and, where there is a goal, the most that it should be. */
export interface FigureRow {
  kind: 'figure';
  workload: string;
  what: string;
  value: Spread;
  unit: 'ms' | 'us' | 'MiB' | 'bytes' | 'per second' | 'x' | '%';
  most: number | undefined;
}

/** How something went during a long run: its mean over the first third, and over the last. */
export interface TrendRow {
  kind: 'trend';
  workload: string;
  what: string;
  unit: FigureRow['unit'];
  /** One value a slice of the run. */
  slices: readonly number[];
  first: number;
  last: number;
  /** The most that last / first should be. */
  most: number | undefined;
}

export type Row = LoadRow | TimeRow | SizeRow | FigureRow | TrendRow | ThreadsRow;

export interface FloorRow {
  what: string;
  perSecond: number;
  p50: number;
  p99: number;
}

export interface Report {
  /** Of this shape; counts up when a field changes its meaning. */
  schema: 1;
  when: string;
  seconds: number;
  quick: boolean;
  pace: Pace;
  durability: 'flush';
  threads: number;
  machine: Machine;
  floors: FloorRow[];
  rows: Row[];
}

// ----- Markdown --------------------------------------------------------------------------------------------------

export function markdown(report: Report): string {
  const { floors, rows } = report;
  const sections = [about(report)];
  const loads = rows.filter((row) => row.kind === 'load');
  const times = rows.filter((row) => row.kind === 'time');
  const sizes = rows.filter((row) => row.kind === 'size');
  if (floors.length > 0) {
    const body = floors.map(({ what, perSecond, p50, p99 }) => [what, whole(perSecond), ms(p50), ms(p99)]);
    sections.push(table(['floor', 'per second', 'p50 ms', 'p99 ms'], body));
  }
  if (loads.length > 0) {
    sections.push(
      table(
        ['what', 'concurrency', 'per second', 'p50 ms', 'p99 ms', 'floor', 'ratio'],
        loads.map(loadCells),
      ),
    );
  }
  if (times.length > 0) sections.push(table(['what', 'ms', 'floor', 'ratio'], times.map(timeCells)));
  if (sizes.length > 0) {
    sections.push(
      table(
        ['what', 'bytes each'],
        sizes.map(({ what, bytes }) => [what, spreadOf(bytes, whole)]),
      ),
    );
  }
  const threads = rows.filter((row) => row.kind === 'threads');
  if (threads.length > 0) {
    const head = ['what', 'workflow threads', 'per second', 'x one thread', 'floor', 'floor x one', 'ratio'];
    const body = threads.map((row) => threadsCells(row, threads));
    sections.push(table(head, body), aboutGoal(threads, report.machine.cores));
  }
  const figures = rows.filter((row) => row.kind === 'figure');
  if (figures.length > 0)
    sections.push(table(['what', 'figure', 'unit', 'at most'], figures.map(figureCells)));
  const trends = rows.filter((row) => row.kind === 'trend');
  if (trends.length > 0)
    sections.push(
      table(['what', 'first third', 'last third', 'unit', 'last / first', 'at most'], trends.map(trendCells)),
    );
  return sections.join('\n\n');
}

export function about({ machine, quick, pace, durability, threads, when, seconds }: Report): string {
  const { cpu, cores, memoryGiB, system, node, packages, commit, loadAverage } = machine;
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  const how = quick
    ? `a quick run, ${pace.measureMs} ms a figure: for a first look only`
    : `median (least to greatest) of ${pace.repetitions} repetitions of ${pace.measureMs} ms`;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, Node.js ${node}, ${versions.join(', ')}.`,
    `Durability '${durability}', ${threads} workflow ${threads === 1 ? 'thread' : 'threads'}.`,
    `${when.slice(0, 10)}${commit === undefined ? '' : `, commit ${commit}`}; ${how}; ${Math.round(seconds)} s in all;`,
    `load average at the beginning ${loadAverage}.`,
  ].join('\n');
}

function loadCells(row: LoadRow): string[] {
  const { what, concurrency, perSecond, p50, p99, floor } = row;
  return [
    what,
    String(concurrency),
    spreadOf(perSecond, whole),
    spreadOf(p50, ms),
    spreadOf(p99, ms),
    floorCell(floor),
    ratioOf(row),
  ];
}

function timeCells(row: TimeRow): string[] {
  return [row.what, spreadOf(row.ms, ms), row.floor === undefined ? '' : floorCell(row.floor), ratioOf(row)];
}

function figureCells({ what, value, unit, most }: FigureRow): string[] {
  return [what, spreadOf(value, plain), unit, most === undefined ? '' : plain(most)];
}

function trendCells({ what, first, last, unit, most }: TrendRow): string[] {
  return [
    what,
    plain(first),
    plain(last),
    unit,
    (last / first).toFixed(2),
    most === undefined ? '' : `${most}`,
  ];
}

function threadsCells(row: ThreadsRow, rows: readonly ThreadsRow[]): string[] {
  const { rate, floor } = speedUp(row, rows);
  return [
    row.what,
    String(row.threads),
    spreadOf(row.perSecond, whole),
    rate.toFixed(2),
    floorCell(row.floor),
    floor.toFixed(2),
    (row.perSecond.median / row.floor.value.median).toFixed(2),
  ];
}

function floorCell({ what, unit, value }: LoadRow['floor']): string {
  return unit === 'ms' ? `${spreadOf(value, ms)} ms (${what})` : `${spreadOf(value, whole)} / s (${what})`;
}

/** The figure over its floor, in the floor's unit: of a rate at most 1, of a time at least 1, if the floor is one. */
export function ratio(row: LoadRow | TimeRow): number | undefined {
  if (row.floor === undefined) return undefined;
  const value = row.kind === 'time' ? row.ms : row.floor.unit === 'ms' ? row.p50 : row.perSecond;
  return value.median / row.floor.value.median;
}

function ratioOf(row: LoadRow | TimeRow): string {
  return ratio(row)?.toFixed(2) ?? '';
}

function spreadOf({ median, min, max }: Spread, format: (value: number) => string): string {
  return min === max ? format(median) : `${format(median)} (${format(min)} to ${format(max)})`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function plain(value: number): string {
  return Math.abs(value) < 10 ? value.toFixed(2) : whole(value);
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 3 : value < 100 ? 1 : 0);
}

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const isFigure = (column: number) => column > 0;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    line(head.map((_, column) => (isFigure(column) ? '---:' : '---'))),
    ...body.map(line),
  ].join('\n');
}

// ----- files -----------------------------------------------------------------------------------------------------

/** Writes bench/results/latest.json and latest.md. */
export function writeResults(report: Report): void {
  const folder = path.join(ROOT, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'latest.json'), json(report));
  writeFileSync(path.join(folder, 'latest.md'), `${markdown(report)}\n`);
}

export function json(report: Report): string {
  const rows = report.rows.map((row) =>
    row.kind === 'load' || row.kind === 'time' ? { ...row, ratio: ratio(row) } : row,
  );
  const text = JSON.stringify({ ...report, rows }, undefined, 2);
  // Distributions are long lists of numbers; one number a line helps nobody.
  return `${text.replace(/\[[\s\d.,e+-]+\]/g, (list) => list.replace(/\s+/g, ' '))}\n`;
}

const BEGIN = '<!-- results -->';
const END = '<!-- /results -->';

/** Puts the tables between the two markers of bench/README.md. */
export function writeReadme(report: Report): void {
  const file = path.join(ROOT, 'bench', 'README.md');
  const text = readFileSync(file, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`bench/README.md must have ${BEGIN} and, after it, ${END}`);
  writeFileSync(file, `${text.slice(0, begin + BEGIN.length)}\n\n${markdown(report)}\n\n${text.slice(end)}`);
}
