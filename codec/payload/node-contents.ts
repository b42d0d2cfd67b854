/**
 * What of an object goes into its node, for each kind in the order that graph-form.ts gives.
 *
 * Owns: the reading of objects. It may run a user's getters and proxies, which may throw or call encodePayload again.
 * Does not own: slots, ids, limits and paths: they are the node's that is written to (graph-writer.ts).
 *
 * P1: what it leaves out is what `encodePayload` says it does; a symbol key is refused.
 */
import {
  dateTime,
  getOwnPropertySymbols,
  hasOwn,
  keys,
  objectPrototype,
  regExpSource,
  typedArrayName,
} from './built-ins.js';
import { ERROR_FIELDS, errorClassOf } from './classes.js';
import { KIND, type Kind } from './graph-form.js';

/** The node being written. */
export interface OpenNode {
  /** Appends the slot of a value. */
  put(value: unknown): void;
  /** Appends bytes as they are; they become the node's. */
  putBytes(bytes: Uint8Array): void;
  /** Throws if so many items cannot fit. */
  allowItems(count: number): void;
  refuseSymbolKey(key: symbol): never;
}

export function writeContents(node: OpenNode, kind: Kind, source: object): void {
  switch (kind) {
    case KIND.object:
      writeProperties(node, source, keys(source));
      break;
    case KIND.array:
      writeArray(node, source as unknown[]);
      break;
    case KIND.map:
      writeMap(node, source as Map<unknown, unknown>);
      break;
    case KIND.set:
      for (const item of Set.prototype.values.call(source as Set<unknown>)) node.put(item);
      break;
    case KIND.date:
      node.put(dateTime(source));
      break;
    case KIND.regExp:
      node.put(regExpSource(source));
      node.put((source as RegExp).flags);
      break;
    case KIND.arrayBuffer:
      node.putBytes(new Uint8Array(source as ArrayBuffer));
      break;
    case KIND.view:
      writeView(node, source as ArrayBufferView);
      break;
    case KIND.error:
      writeError(node, source as Error);
      break;
  }
}

function writeProperties(node: OpenNode, source: object, names: readonly string[]): void {
  for (const name of names) {
    node.put(name);
    node.put((source as Record<string, unknown>)[name]);
  }
  for (const key of getOwnPropertySymbols(source)) {
    if (objectPrototype.propertyIsEnumerable.call(source, key)) node.refuseSymbolKey(key);
  }
}

function writeArray(node: OpenNode, source: readonly unknown[]): void {
  const { length } = source;
  // Holes cost nothing in memory, so a length may be far beyond what a walk could ever finish.
  node.allowItems(length);
  for (let index = 0; index < length; index++) node.put(source[index]);
}

function writeMap(node: OpenNode, map: Map<unknown, unknown>): void {
  for (const [key, value] of Map.prototype.entries.call(map)) {
    node.put(key);
    node.put(value);
  }
}

function writeView(node: OpenNode, view: ArrayBufferView): void {
  node.put(typedArrayName(view) ?? 'DataView');
  node.putBytes(new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength));
}

function writeError(node: OpenNode, error: Error): void {
  const base = errorClassOf(error)!;
  const hidden = ERROR_FIELDS.filter((field) => isHiddenField(error, field, base));
  node.put(base);
  node.put(hidden.length);
  writeProperties(node, error, [...hidden, ...keys(error)]);
}

/** Whether an Error has something to say in a field that its enumerable properties do not show. */
function isHiddenField(error: Error, field: string, base: string): boolean {
  if (hasOwn(error, field)) return !objectPrototype.propertyIsEnumerable.call(error, field);
  const inherited = (error as unknown as Record<string, unknown>)[field];
  return field === 'name' ? inherited !== base : inherited !== undefined && inherited !== '';
}
