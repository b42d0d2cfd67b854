/**
 * The graph form: a table of nodes. Node 0 holds one slot, the value itself; each other node describes one object.
 *
 *   node   [kind, ...], as written beside the kinds
 *   slot   a primitive, as it is
 *        | [id]            the object that node `id` describes
 *        | [tag, data]     a primitive that msgpackr would not keep (primitives.ts)
 *
 * Owns: the layout, which is stored: a kind never changes its number or its contents.
 * Does not own: writing (graph-writer.ts, node-contents.ts) and reading (graph-reader.ts) of the table.
 */
import { isArray } from './built-ins.js';

/** First byte of the graph form; msgpack never uses it. */
export const GRAPH_MARK = 0xc1;

/** The kinds of nodes, and what follows the kind. A key is a slot too, always of a string. */
export const KIND = {
  /** key, slot, key, slot, ... */
  object: 0,
  /** slot, ... */
  array: 1,
  /** slot of a key, slot of its value, ... */
  map: 2,
  /** slot, ... */
  set: 3,
  /** epoch ms, or NaN */
  date: 4,
  /** slot of the source, flags */
  regExp: 5,
  /** bytes */
  arrayBuffer: 6,
  /** class name, bytes; typed arrays and DataView */
  view: 7,
  /** built-in class name, how many of the pairs are not enumerable, key, slot, key, slot, ... */
  error: 8,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export type GraphNode = unknown[];

export function isReference(slot: unknown): slot is [number] {
  return isArray(slot) && slot.length === 1;
}
