/**
 * Writing the graph form.
 *
 *   value -> slot; an object met first gets the next id and waits
 *         -> ids in order: kind, contents, which may append further objects
 *         -> table packed behind the mark
 *
 * Owns: the table while it is made: slots, ids, the count of bytes, and where each object was met first.
 * Does not own: the layout (graph-form.ts), which objects have a kind (classes.ts), what is read from them
 * (node-contents.ts).
 *
 * Invariants:
 *   P1  An object is one node however often it is met, so identity and cycles come back.
 *   P4  It stops as soon as the limit is out of reach.
 *   P5  It does not recurse: objects wait in a list.
 */
import { kindOf, refusal } from './classes.js';
import { PayloadEncodeError, PayloadTooLargeError } from './errors.js';
import { GRAPH_MARK, type GraphNode } from './graph-form.js';
import { type OpenNode, writeContents } from './node-contents.js';
import { pack } from './packing.js';
import { hugeSlot, isInt64, NUMBER_ROOM, numberSlot, textSlot } from './primitives.js';
import { pathOf, stepOf } from './value-path.js';

/** @throws PayloadEncodeError, PayloadTooLargeError as `encodePayload` */
export function encodeGraph(value: unknown, root: string, limit: number): Uint8Array {
  const writer = new GraphWriter(root, limit);
  const nodes = writer.write(value);
  const bytes = pack(nodes, writer.room, 1);
  bytes[0] = GRAPH_MARK;
  return bytes;
}

class GraphWriter implements OpenNode {
  /** Bytes that the table needs at most. */
  room = 16;

  readonly #root: string;
  readonly #limit: number;
  /** Bytes that the table needs at least. */
  #size = 1;
  readonly #nodes: GraphNode[] = [[]];
  readonly #ids = new Map<object, number>();
  /** By id: the object, and where it was met first. */
  readonly #sources: object[] = [{}];
  readonly #parents: number[] = [0];
  readonly #places: number[] = [0];
  /** The node that is being written, and its id. */
  #open = 0;
  #node: GraphNode = this.#nodes[0]!;

  constructor(root: string, limit: number) {
    this.#root = root;
    this.#limit = limit;
  }

  write(value: unknown): GraphNode[] {
    this.put(value);
    // Objects that are met on the way are appended, and get their turn here instead of a recursion.
    for (let id = 1; id < this.#sources.length; id++) {
      this.#open = id;
      this.#node = [];
      this.#nodes.push(this.#node);
      this.#writeNode(this.#sources[id]!);
    }
    return this.#nodes;
  }

  put(value: unknown): void {
    this.#node.push(this.#slot(value));
  }

  putBytes(bytes: Uint8Array): void {
    this.#count(bytes.length, bytes.length + 5);
    this.#node.push(bytes);
  }

  allowItems(count: number): void {
    if (count > this.#limit) throw new PayloadTooLargeError(this.#root, count, this.#limit, false);
  }

  refuseSymbolKey(key: symbol): never {
    const path = `${this.#pathOf(this.#open)}[${String(key)}]`;
    throw new PayloadEncodeError(path, 'symbol keys cannot be stored');
  }

  #writeNode(source: object): void {
    try {
      const kind = kindOf(source);
      if (kind === undefined) throw this.#refuse(refusal(source));
      this.#node.push(kind);
      writeContents(this, kind, source);
    } catch (error) {
      if (error instanceof PayloadEncodeError || error instanceof PayloadTooLargeError) throw error;
      throw this.#refuse(`reading it failed (${messageOf(error)})`, { cause: error });
    }
  }

  #slot(value: unknown): unknown {
    switch (typeof value) {
      case 'object':
        this.#count(1, 6);
        return value === null ? null : [this.#idOf(value)];
      case 'string':
        this.#count(value.length, 3 * value.length + 8);
        return textSlot(value);
      case 'number':
        this.#count(1, NUMBER_ROOM);
        return numberSlot(value);
      case 'bigint':
        return this.#bigintSlot(value);
      case 'function':
        throw this.#refuse('functions cannot be stored');
      case 'symbol':
        throw this.#refuse('symbols cannot be stored');
      default:
        this.#count(1, 3);
        return value;
    }
  }

  #bigintSlot(value: bigint): unknown {
    this.#count(1, NUMBER_ROOM);
    if (isInt64(value)) return value;
    const digits = value.toString(16);
    this.#count(digits.length, 3 * digits.length + 8);
    return hugeSlot(digits);
  }

  #idOf(source: object): number {
    const known = this.#ids.get(source);
    if (known !== undefined) return known;
    const id = this.#sources.push(source) - 1;
    this.#ids.set(source, id);
    this.#parents.push(this.#open);
    this.#places.push(this.#node.length);
    this.#count(2, 6);
    return id;
  }

  /** Stops as soon as the limit is out of reach (P4). */
  #count(least: number, most: number): void {
    this.#size += least;
    this.room += most;
    if (this.#size > this.#limit) throw new PayloadTooLargeError(this.#root, this.#size, this.#limit, false);
  }

  /** The error about the slot that would come next, or about the object itself while its node is empty. */
  #refuse(reason: string, options?: ErrorOptions): PayloadEncodeError {
    const path = this.#pathOf(this.#open) + stepOf(this.#node, this.#node.length);
    return new PayloadEncodeError(path, reason, options);
  }

  #pathOf(object: number): string {
    const steps: string[] = [];
    for (let id = object; id !== 0; id = this.#parents[id]!) {
      steps.push(stepOf(this.#nodes[this.#parents[id]!]!, this.#places[id]!));
    }
    return pathOf(this.#root, steps.reverse());
  }
}

function messageOf(error: unknown): string {
  const message = typeof error === 'object' && error !== null ? (error as Error).message : error;
  return typeof message === 'string' ? message : typeof message;
}
