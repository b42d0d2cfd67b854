/**
 * The report as a page to look at: how latencies are spread, how rates grow with senders and with workflow threads.
 *
 * Owns: which charts there are, the page around them, writing bench/results/latest.html. The page needs nothing but itself:
 * no script, no font, no other file; it follows the reader's choice of light or dark.
 * Does not own: drawing (plot.ts), figures (report.ts, scaling.ts).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { callsIn, quantile } from './distribution.js';
import { ROOT } from './machine.js';
import type { Spread } from './measure.js';
import { type Axis, escaped, type Line, type Point, svg } from './plot.js';
import { about, type LoadRow, type Report } from './report.js';
import { aboutGoal, speedUp, type ThreadsRow } from './scaling.js';

const STYLES = ['s1', 's2', 's3', 's4', 's5', 's6'];

export function writeCharts(report: Report): void {
  const folder = path.join(ROOT, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'latest.html'), page(report));
}

function page(report: Report): string {
  const loads = report.rows.filter((row) => row.kind === 'load');
  const threads = report.rows.filter((row) => row.kind === 'threads');
  const machine = about(report).split('\n');
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>Signalbox benchmarks, ${report.when.slice(0, 10)}</title><style>${CSS}</style></head><body><main>`,
    '<h1>Signalbox benchmarks</h1>',
    ...machine.map((line) => `<p class="machine">${escaped(line)}</p>`),
    ...section(
      'How latencies are spread',
      'The share of calls (right is worse: each mark leaves a tenth of the calls of the one before) that were answered within the time ' +
        'on the left axis. All repetitions together, closed loop: each sender makes its next call when it has the answer to the one before.',
      latencyCharts(loads),
    ),
    ...section(
      'Rate against concurrency',
      'The median of the repetitions, its whisker from the least to the greatest; dashed is the floor of the same run: with one sender a time that ' +
        'cannot be undercut, with more the same bytes through the same threads and journal without a workflow.',
      concurrencyCharts(loads),
    ),
    ...section(
      'Rate against workflow threads',
      `Dotted is one thread's rate times the number of threads. ${threads.length === 0 ? '' : aboutGoal(threads, report.machine.cores)}`,
      threadsCharts(threads),
    ),
    '</main></body></html>',
    '',
  ].join('\n');
}

/** Nothing at all where nothing was measured. */
function section(title: string, explanation: string, charts: readonly string[]): string[] {
  if (charts.length === 0) return [];
  return [
    `<h2>${escaped(title)}</h2><p>${escaped(explanation)}</p><div class="charts">`,
    ...charts,
    '</div>',
  ];
}

function figure(title: string, legend: readonly { style: string; text: string }[], drawing: string): string {
  const items = legend.map(
    ({ style, text }) =>
      `<li class="${style}"><svg viewBox="0 0 26 8" aria-hidden="true"><path class="line" d="M1 4H25"/></svg>${escaped(text)}</li>`,
  );
  return `<figure><figcaption>${escaped(title)}</figcaption><ul>${items.join('')}</ul>${drawing}</figure>`;
}

// ----- latencies -------------------------------------------------------------------------------------------------

/** Shares are placed by how many calls they leave out: each tick a tenth of the one before. */
const SHARES: Axis = {
  title: 'share of calls answered',
  scale: 'log',
  min: 1,
  max: 1e5,
  ticks: [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].map((share) => ({
    at: place(share),
    text: `${Number((share * 100).toFixed(3))} %`,
  })),
};

function place(share: number): number {
  return 1 / (1 - share);
}

/** One chart for each concurrency, all on one scale, each kind of call in the same colour everywhere. */
function latencyCharts(rows: readonly LoadRow[]): string[] {
  const whats = unique(rows.map(({ what }) => what));
  const y = logAxis(
    'latency, ms',
    rows.flatMap(({ latency }) => [quantile(latency, 0), quantile(latency, 1)]),
    milliseconds,
  );
  return unique(rows.map(({ concurrency }) => concurrency)).map((concurrency) => {
    const shown = rows.filter((row) => row.concurrency === concurrency);
    const style = (row: LoadRow) => STYLES[whats.indexOf(row.what) % STYLES.length]!;
    const legend = shown.map((row) => ({ style: style(row), text: `${row.what}: ${told(row)}` }));
    const lines = shown.map((row) => ({ style: style(row), points: curve(row) }));
    const title = `${senders(concurrency)}: latency`;
    return figure(title, legend, svg({ title, x: SHARES, y, lines }));
  });
}

function told({ p50, p99 }: LoadRow): string {
  return `half within ${milliseconds(p50.median)} ms, 99 % within ${milliseconds(p99.median)} ms`;
}

function curve({ latency }: LoadRow): Point[] {
  const all = callsIn(latency);
  const points: Point[] = [{ x: 1, y: quantile(latency, 0) }];
  let passed = 0;
  for (const [i, ms] of latency.upToMs.entries()) {
    passed += latency.calls[i]!;
    // The slowest call stands where it would be if there were one more.
    points.push({ x: Math.min(place(Math.min(passed, all - 1) / all), SHARES.max), y: ms });
  }
  return points;
}

// ----- rates -----------------------------------------------------------------------------------------------------

/** One chart for each kind of call that was made at several concurrencies, all on one scale. */
function concurrencyCharts(rows: readonly LoadRow[]): string[] {
  const several = unique(rows.map(({ what }) => what))
    .map((what) => rows.filter((row) => row.what === what))
    .filter((group) => group.length > 1);
  const y = logAxis(
    'calls per second',
    several.flat().flatMap((row) => [row.perSecond.min, row.perSecond.max, floorRate(row)]),
    short,
  );
  const counts = unique(several.flat().map(({ concurrency }) => concurrency));
  const x = countAxis('concurrency (senders)', counts);
  return several.map((group) => {
    const what = group[0]!.what;
    const measured = group.map((row) => ratePoint(row.concurrency, row.perSecond, senders(row.concurrency)));
    const floor = group.map((row) => floorPoint(row.concurrency, floorRate(row), row.floor.what));
    return rateFigure(what, x, y, [
      { style: 'floor', points: floor },
      { style: 's1', points: measured },
    ]);
  });
}

function threadsCharts(rows: readonly ThreadsRow[]): string[] {
  return unique(rows.map(({ what }) => what)).map((what) => {
    const group = rows.filter((row) => row.what === what);
    const counts = group.map(({ threads }) => threads);
    const one = group[0]!.perSecond.median / group[0]!.threads;
    const most = Math.max(...group.flatMap((row) => [row.perSecond.max, row.floor.value.max]));
    const x = countAxis('workflow threads', counts);
    const measured = group.map((row) => {
      const point = ratePoint(row.threads, row.perSecond, `${row.threads} workflow threads`);
      return { ...point, label: `${point.label} (x ${speedUp(row, group).rate.toFixed(2)})` };
    });
    return rateFigure(
      what,
      x,
      linearAxis('calls per second', Math.max(most, one * Math.max(...counts)), short),
      [
        { style: 'ideal', points: counts.map((count) => ({ x: count, y: one * count })) },
        {
          style: 'floor',
          points: group.map((row) => floorPoint(row.threads, row.floor.value.median, row.floor.what)),
        },
        { style: 's1', points: measured },
      ],
    );
  });
}

const LINES: Record<string, string> = { floor: 'floor', s1: 'measured', ideal: 'one thread times threads' };

function rateFigure(what: string, x: Axis, y: Axis, lines: readonly Line[]): string {
  const legend = [...lines].reverse().map(({ style }) => ({ style, text: LINES[style]! }));
  return figure(what, legend, svg({ title: `${what}: rate`, x, y, lines }));
}

function ratePoint(x: number, { median, min, max }: Spread, hint: string): Point {
  const spread = min === max ? '' : ` (${whole(min)} to ${whole(max)})`;
  return {
    x,
    y: median,
    from: min,
    to: max,
    hint: `${hint}: ${whole(median)} / s${spread}`,
    label: short(median),
  };
}

function floorPoint(x: number, y: number, what: string): Point {
  return { x, y, hint: `floor, ${what}: ${whole(y)} / s` };
}

/** A floor that is a time is the rate of one sender who waits so long. */
function floorRate({ floor, concurrency }: LoadRow): number {
  return floor.unit === 'ms' ? (concurrency * 1_000) / floor.value.median : floor.value.median;
}

// ----- axes ------------------------------------------------------------------------------------------------------

/** Whole decades around the values, with a tick each. */
function logAxis(title: string, values: readonly number[], format: (value: number) => string): Axis {
  const exponents = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const first = Math.floor(Math.min(...exponents));
  const last = Math.max(first + 1, Math.ceil(Math.max(...exponents)));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  return {
    title,
    scale: 'log',
    min: 10 ** first,
    max: 10 ** last,
    ticks: ticks.map((at) => ({ at, text: format(at) })),
  };
}

function linearAxis(title: string, most: number, format: (value: number) => string): Axis {
  const rough = most / 4;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * decade).find((each) => each >= rough)!;
  const count = Math.ceil((most * 1.05) / step);
  const ticks = Array.from({ length: count + 1 }, (_, i) => ({ at: i * step, text: format(i * step) }));
  return { title, scale: 'linear', min: 0, max: count * step, ticks };
}

/** Numbers of something, each with its tick, doubling by even steps. */
function countAxis(title: string, counts: readonly number[]): Axis {
  const least = Math.min(...counts);
  const most = Math.max(...counts);
  const margin = (most / least) ** 0.12;
  const ticks = counts.map((at) => ({ at, text: String(at) }));
  return { title, scale: 'log', min: least / margin, max: most * margin, ticks };
}

// ----- words -----------------------------------------------------------------------------------------------------

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function senders(concurrency: number): string {
  return concurrency === 1 ? '1 sender' : `${concurrency} senders`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 1,234 as 1.2 k. */
function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(2))} M`;
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(value < 1e5 ? 2 : 3))} k`;
  return String(Math.round(value));
}

function milliseconds(value: number): string {
  return String(Number(value.toPrecision(2)));
}

const CSS = `
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2127; --soft: #5a6470; --grid: #e4e8ec; --axis: #9aa4ae;
  --s1: #0067b1; --s2: #c8500a; --s3: #00856a; --s4: #8a4fbf; --s5: #9a7400; --s6: #c2366f; --floor: #6b7580; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6eaee; --soft: #a3adb8; --grid: #2a3139; --axis: #66717d;
  --s1: #5db2f5; --s2: #ff9a57; --s3: #3fd0a8; --s4: #c9a0f5; --s5: #e0bf4a; --s6: #f58fb4; --floor: #97a2ae; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 19px; margin: 36px 0 4px; }
p { margin: 0 0 12px; max-width: 90ch; color: var(--soft); } p.machine { margin: 0; font-size: 13px; max-width: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 28px 32px; }
figure { margin: 0; } figcaption { font-weight: 600; }
ul { list-style: none; margin: 4px 0 6px; padding: 0; font-size: 13px; display: flex; flex-wrap: wrap; gap: 0 18px; }
li svg { width: 26px; height: 8px; margin-right: 7px; vertical-align: middle; }
figure > svg { width: 100%; height: auto; display: block; }
text { fill: var(--soft); font-size: 12px; } text.title { fill: var(--ink); } text.label { fill: var(--ink); font-weight: 600; }
.grid { stroke: var(--grid); } .axis { stroke: var(--axis); fill: none; }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; } .whisker { stroke: currentColor; stroke-width: 1.5; }
circle { fill: currentColor; stroke: var(--page); stroke-width: 1.5; }
.s1 > * { color: var(--s1); } .s2 > * { color: var(--s2); } .s3 > * { color: var(--s3); }
.s4 > * { color: var(--s4); } .s5 > * { color: var(--s5); } .s6 > * { color: var(--s6); }
.floor > * { color: var(--floor); } .floor .line { stroke-dasharray: 6 4; }
.ideal > * { color: var(--axis); } .ideal .line { stroke-width: 1.5; stroke-dasharray: 1.5 4; stroke-linecap: round; }
`;
