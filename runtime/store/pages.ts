/**
 * Reading a range page by page.
 *
 * Owns: how large a page is, and how the next one is asked for. Every form of the store has this one way to walk.
 * Does not own: where the rows of a page come from (lmdb.ts, sorted-rows.ts, write-behind.ts).
 *
 *      range() --> page, page, page ...      each page is read in one go and closed before its first row is handed
 *                                            out, so nothing stays open while the consumer is away
 *
 * D8: one page is in memory at a time, bounded in rows and in bytes (but never less than one row).
 */
import type { RangeOptions, Row } from './store.js';

export interface PageRequest {
  /** First key of the span, empty for the very beginning. */
  from: Uint8Array;
  /** True when `from` itself is left out, because the page before ended with it. */
  fromExcluded: boolean;
  /** The span ends before this key. */
  to: Uint8Array;
  reverse: boolean;
  /** The values are not looked at. A page may have them all the same. */
  keysOnly: boolean;
  rowsMax: number;
  bytesMax: number;
}

/** Rows in the order asked for. */
export interface Page<V = Uint8Array> {
  rows: (readonly [key: Uint8Array, value: V])[];
  /** The last key looked at when the page was cut short; undefined when the span has no more. */
  cutAt: Uint8Array | undefined;
}

/** Enough rows that the cost of opening a page is spread thin, and a megabyte, which the host can spare at any time. */
const PAGE_ROWS_MAX = 256;
const PAGE_BYTES_MAX = 1024 * 1024;
export const NO_VALUE = new Uint8Array();

/** The rows of a span, read lazily. The result can be iterated more than once; each time reads anew. */
export function pagedRange(
  readPage: (request: PageRequest) => Page,
  from: Uint8Array,
  to: Uint8Array,
  options: RangeOptions = {},
): Iterable<Row> {
  return { [Symbol.iterator]: () => walk(readPage, from, to, options) };
}

function* walk(
  readPage: (request: PageRequest) => Page,
  from: Uint8Array,
  to: Uint8Array,
  { limit = Infinity, reverse = false, keysOnly = false }: RangeOptions,
): Generator<Row, void, undefined> {
  let left = limit;
  let span = { from, fromExcluded: false, to };
  while (left > 0 && Buffer.compare(span.from, span.to) < 0) {
    const page = readPage({
      ...span,
      reverse,
      keysOnly,
      rowsMax: Math.min(left, PAGE_ROWS_MAX),
      bytesMax: PAGE_BYTES_MAX,
    });
    if (keysOnly) for (const [key] of page.rows) yield [key, NO_VALUE];
    else yield* page.rows;
    left -= page.rows.length;
    if (page.cutAt === undefined) return;
    span = reverse ? { ...span, to: page.cutAt } : { ...span, from: page.cutAt, fromExcluded: true };
  }
}

/** Takes rows from a source until the page is full. The source is left (its `return` is called) as soon as it is. */
export function takePage<V>(
  source: Iterable<readonly [key: Uint8Array, value: V]>,
  { rowsMax, bytesMax }: Pick<PageRequest, 'rowsMax' | 'bytesMax'>,
  sizeOf: (value: V) => number,
): Page<V> {
  const rows: Page<V>['rows'] = [];
  let bytes = 0;
  for (const row of source) {
    rows.push(row);
    bytes += row[0].length + sizeOf(row[1]);
    if (rows.length >= rowsMax || bytes >= bytesMax) return { rows, cutAt: row[0] };
  }
  return { rows, cutAt: undefined };
}
