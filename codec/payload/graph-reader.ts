/**
 * Reading the graph form: first every object without its contents, then the contents, so that a reference finds its
 * object wherever it stands.
 *
 * Owns: the making of objects from a table that msgpackr has read.
 * Does not own: the layout (graph-form.ts), the bytes (token-check.ts has looked at them; P4 holds by that).
 *
 * Invariants:
 *   P2  Objects are of this realm's classes. Bytes may be kept: msgpackr made a copy of its own for each.
 *   P5  It does not recurse.
 *   R1  References to nowhere, unknown kinds and unknown classes throw a PayloadDecodeError. What built-ins throw for
 *       wrong contents (a RegExp that does not parse, a view of odd length) decodePayload turns into one.
 */
import { isArray, RealDate } from './built-ins.js';
import { ERROR_CLASSES, ERROR_FIELDS, VIEW_CLASSES } from './classes.js';
import { PayloadDecodeError } from './errors.js';
import { type GraphNode, isReference, KIND, type Kind } from './graph-form.js';
import { primitiveOf } from './primitives.js';

/** The value that a table describes. */
export function readGraph(table: unknown): unknown {
  return new GraphReader(table).read();
}

class GraphReader {
  readonly #nodes: readonly GraphNode[];
  readonly #objects: unknown[] = [undefined];

  constructor(table: unknown) {
    if (!isArray(table) || table.length === 0 || !table.every(isArray))
      throw new PayloadDecodeError('no table of nodes');
    this.#nodes = table;
  }

  read(): unknown {
    const nodes = this.#nodes;
    for (let id = 1; id < nodes.length; id++) this.#objects.push(emptyObject(nodes[id]!));
    for (let id = 1; id < nodes.length; id++) this.#fill(this.#objects[id], nodes[id]!);
    return this.#value(nodes[0]![0]);
  }

  #fill(object: unknown, node: GraphNode): void {
    switch (node[0] as Kind) {
      case KIND.object:
        this.#fillProperties(object as object, node, 1, node.length, true);
        break;
      case KIND.array:
        for (const slot of node.slice(1)) (object as unknown[]).push(this.#value(slot));
        break;
      case KIND.map:
        this.#fillMap(object as Map<unknown, unknown>, node);
        break;
      case KIND.set:
        for (const slot of node.slice(1)) (object as Set<unknown>).add(this.#value(slot));
        break;
      case KIND.error:
        this.#fillError(object as Error, node);
        break;
    }
  }

  #fillMap(map: Map<unknown, unknown>, node: GraphNode): void {
    for (let place = 1; place < node.length; place += 2) {
      map.set(this.#value(node[place]), this.#value(node[place + 1]));
    }
  }

  #fillError(error: Error, node: GraphNode): void {
    const visible = 3 + Number(node[2]) * 2;
    this.#fillProperties(error, node, 3, visible, false);
    this.#fillProperties(error, node, visible, node.length, true);
  }

  /** Defines instead of assigning: no key, `__proto__` included, may reach a setter. */
  #fillProperties(object: object, node: GraphNode, from: number, to: number, enumerable: boolean): void {
    for (let place = from; place < to; place += 2) {
      const key = String(primitiveOf(node[place]));
      const value = this.#value(node[place + 1]);
      Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true });
    }
  }

  #value(slot: unknown): unknown {
    if (!isReference(slot)) return primitiveOf(slot);
    const [id] = slot;
    if (!Number.isInteger(id) || id < 1 || id >= this.#nodes.length)
      throw new PayloadDecodeError(`no node ${id}`);
    return this.#objects[id];
  }
}

function emptyObject(node: GraphNode): unknown {
  switch (node[0] as Kind) {
    case KIND.object:
      return {};
    case KIND.array:
      return [];
    case KIND.map:
      return new Map();
    case KIND.set:
      return new Set();
    case KIND.date:
      return new RealDate(Number(node[1]));
    case KIND.regExp:
      return new RegExp(String(primitiveOf(node[1])), String(node[2]));
    case KIND.arrayBuffer:
      return bytesIn(node[1]).buffer;
    case KIND.view:
      return viewOf(String(node[1]), bytesIn(node[2]));
    case KIND.error:
      return emptyError(String(node[1]));
    default:
      throw new PayloadDecodeError(`no kind of node ${String(node[0])}`);
  }
}

/** msgpackr made a copy of its own for these bytes, so they may be kept. */
function bytesIn(slot: unknown): Uint8Array<ArrayBuffer> {
  if (slot instanceof Uint8Array) return slot as Uint8Array<ArrayBuffer>;
  throw new PayloadDecodeError('no bytes where bytes belong');
}

function viewOf(name: string, bytes: Uint8Array<ArrayBuffer>): ArrayBufferView {
  const viewClass = VIEW_CLASSES.get(name);
  if (viewClass === undefined) throw new PayloadDecodeError(`no class ${name} here`);
  return new viewClass(bytes.buffer);
}

/** An Error with nothing of this place in it: what constructors write is the stored properties' to say. */
function emptyError(name: string): Error {
  const errorClass = ERROR_CLASSES.get(name);
  if (errorClass === undefined) throw new PayloadDecodeError(`no class ${name} here`);
  const error = new errorClass([]);
  for (const field of ERROR_FIELDS) delete (error as unknown as Record<string, unknown>)[field];
  return error;
}
