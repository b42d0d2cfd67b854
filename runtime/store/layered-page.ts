/**
 * One page of a range out of the data file and the layers that lie over it (write-behind.ts).
 *
 *      front layer      b-        f+              - a removal, + a row
 *      back layer             d+
 *      data file     a  b     d   .  g | h  i     | where its page was cut
 *      page          a        d+  f+ g |          no further than every page reaches
 *
 * Owns: which row of several is the one to be seen, and how far a page reaches. Does not own: the layers, how a page is asked for (pages.ts).
 */
import type { Page, PageRequest } from './pages.js';

type Layered = Page<Uint8Array | undefined>;

/** Rows that are written later lie over others; undefined instead of a value is a removal. */
interface Layer {
  page(request: PageRequest): Layered;
}

/** @param layers the lower ones first */
export function layeredPage(under: Page, layers: readonly Layer[], request: PageRequest): Page {
  const asFar = asFarAs(under.cutAt, request);
  const over = layers.map((layer) => layer.page(asFar)).filter(({ rows }) => rows.length > 0);
  if (over.length === 0) return under;
  const before = request.reverse ? descending : ascending;
  const cutAt = over.reduce((cut, page) => nearer(cut, page.cutAt, before), under.cutAt);
  const all = over.reduce<Layered['rows']>((rows, page) => merged(rows, page.rows, before), under.rows);
  const rows = all.filter(
    (row): row is Page['rows'][number] =>
      row[1] !== undefined && (cutAt === undefined || !before(cutAt, row[0])),
  );
  if (rows.length <= request.rowsMax) return { rows, cutAt };
  const kept = rows.slice(0, request.rowsMax);
  return { rows: kept, cutAt: kept.at(-1)?.[0] };
}

/** The request, up to and with the key that the page under it was cut at: rows beyond that wait for the next page. */
function asFarAs(cutAt: Uint8Array | undefined, request: PageRequest): PageRequest {
  if (cutAt === undefined) return request;
  if (request.reverse) return { ...request, from: cutAt, fromExcluded: false };
  // The least key behind it.
  return { ...request, to: Buffer.concat([cutAt, Uint8Array.of(0)]) };
}

type Before = (a: Uint8Array, b: Uint8Array) => boolean;
const ascending: Before = (a, b) => Buffer.compare(a, b) < 0;
const descending: Before = (a, b) => Buffer.compare(a, b) > 0;

function nearer(
  a: Uint8Array | undefined,
  b: Uint8Array | undefined,
  before: Before,
): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return before(b, a) ? b : a;
}

/** The rows of both, in the order that both are in; where both have a row, the one of `over`. */
function merged(under: Layered['rows'], over: Layered['rows'], before: Before): Layered['rows'] {
  const rows: Layered['rows'] = [];
  let at = 0;
  for (const row of over) {
    while (at < under.length && before(under[at]![0], row[0])) rows.push(under[at++]!);
    if (at < under.length && !before(row[0], under[at]![0])) at += 1;
    rows.push(row);
  }
  for (; at < under.length; at += 1) rows.push(under[at]!);
  return rows;
}
