/**
 * One chart as SVG: axes with ticks and units, lines, dots with the spread of their repetitions.
 *
 * Owns: scales and how marks are drawn. Colours are classes (`s1` to `s6`, `floor`, `ideal`) that the page gives a meaning in
 * light and in dark. Does not own: what is drawn (charts.ts).
 *
 * A chart with no point gives axes and nothing in them; values that a logarithmic axis has no place for are left out.
 */

export interface Axis {
  title: string;
  scale: 'linear' | 'log';
  min: number;
  max: number;
  ticks: readonly { at: number; text: string }[];
}

export interface Point {
  x: number;
  y: number;
  /** Least and greatest of the repetitions. */
  from?: number;
  to?: number;
  /** Told when a pointer rests on it; a point without it is not marked, only passed through. */
  hint?: string;
  /** Written below it, or above where there is no room. */
  label?: string;
}

export interface Line {
  /** Which colour and stroke: a class of the page. */
  style: string;
  points: readonly Point[];
}

export interface Plot {
  /** What a screen reader says. */
  title: string;
  x: Axis;
  y: Axis;
  lines: readonly Line[];
}

const WIDTH = 560;
const HEIGHT = 320;
const LEFT = 66;
const RIGHT = 34;
const TOP = 14;
const BOTTOM = 46;

export function svg({ title, x, y, lines }: Plot): string {
  const toX = placer(x, LEFT, WIDTH - RIGHT);
  const toY = placer(y, HEIGHT - BOTTOM, TOP);
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    ...x.ticks.map(({ at, text }) => verticalTick(toX(at), text)),
    ...y.ticks.map(({ at, text }) => horizontalTick(toY(at), text)),
    `<path class="axis" d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}"/>`,
    `<text class="title" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escaped(x.title)}</text>`,
    `<text class="title" transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escaped(y.title)}</text>`,
    ...lines.map(({ style, points }) => line(style, points.filter(placeable(x, y)), toX, toY)),
    '</svg>',
  ].join('\n');
}

export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

type Placer = (value: number) => number;

function placer({ scale, min, max }: Axis, from: number, to: number): Placer {
  const position = scale === 'log' ? Math.log10 : (value: number) => value;
  const first = position(min);
  const span = position(max) - first;
  return (value) => shortened(from + ((position(value) - first) / span) * (to - from));
}

function placeable(x: Axis, y: Axis): (point: Point) => boolean {
  const has = ({ scale }: Axis, value: number) => Number.isFinite(value) && (scale === 'linear' || value > 0);
  return (point) => has(x, point.x) && has(y, point.y);
}

function verticalTick(x: number, text: string): string {
  return (
    `<path class="grid" d="M${x} ${TOP}V${HEIGHT - BOTTOM}"/>` +
    `<text x="${x}" y="${HEIGHT - BOTTOM + 17}" text-anchor="middle">${escaped(text)}</text>`
  );
}

function horizontalTick(y: number, text: string): string {
  return (
    `<path class="grid" d="M${LEFT} ${y}H${WIDTH - RIGHT}"/>` +
    `<text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${escaped(text)}</text>`
  );
}

function line(style: string, points: readonly Point[], toX: Placer, toY: Placer): string {
  const path = points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${toX(x)} ${toY(y)}`).join('');
  const dots = points.filter(({ hint }) => hint !== undefined).map((point) => dot(point, toX, toY));
  return `<g class="${style}"><path class="line" d="${path}"/>${dots.join('')}</g>`;
}

function dot({ x, y, from = y, to = y, hint = '', label }: Point, toX: Placer, toY: Placer): string {
  const whisker = from === to ? '' : `<path class="whisker" d="M${toX(x)} ${toY(from)}V${toY(to)}"/>`;
  const text = label === undefined ? '' : labelAt(toX(x), toY(from), toY(to), label);
  return `${whisker}<circle cx="${toX(x)}" cy="${toY(y)}" r="4"><title>${escaped(hint)}</title></circle>${text}`;
}

function labelAt(x: number, low: number, high: number, label: string): string {
  const below = low + 18;
  const y = below < HEIGHT - BOTTOM ? below : high - 9;
  return `<text class="label" x="${x}" y="${y}" text-anchor="middle">${escaped(label)}</text>`;
}

function shortened(value: number): number {
  return Math.round(value * 10) / 10;
}
