/**
 * The attributes of a workflow's log line on their way out of the sandbox.
 *
 * Owns: storing them, what stands in place of what cannot be stored, and the stacks of errors. All else arrives as it was.
 * Does not own: which lines there are (activation.ts), who prints them (runtime/logger.ts).
 *
 * Inside the sandbox, because only there the classes of its errors are known.
 */
import { GRAPH_MARK } from '../codec/payload/graph-form.js';
import { stackOf } from './failures.js';
import { encodePayload } from './payloads.js';

/** Never throws, whatever the attributes do when they are read. */
export function storedAttributes(attributes: Record<string, unknown>): Uint8Array {
  return plainForm(attributes) ?? storedPiecewise(attributes);
}

/** Undefined for what has no such form: only there may be errors in it, or what cannot be stored. */
function plainForm(value: object): Uint8Array | undefined {
  try {
    const bytes = encodePayload(value);
    return bytes[0] === GRAPH_MARK ? undefined : bytes;
  } catch {
    return undefined;
  }
}

function storedPiecewise(attributes: Record<string, unknown>): Uint8Array {
  const kept: Record<string, unknown> = {};
  try {
    const replacer = new Replacer();
    for (const name of Object.keys(attributes)) kept[name] = replacer.attribute(attributes, name);
    return encodePayload(kept, 'log attributes');
  } catch (error) {
    return encodePayload({ attributes: notStored(error) });
  }
}

function notStored(error: unknown): string {
  return `[could not be stored: ${String((error as Partial<Error> | undefined)?.message)}]`;
}

/** Deeper than this nothing is copied: each level is tried as a whole first, so the work grows with every one. */
const DEPTH_MAX = 10;

/** Copies what holds something that cannot be stored, or an error, whose stack is not yet as users are to see it; down to that. */
class Replacer {
  /** What has been looked at, and itself while it is: what refers to itself has no end. */
  readonly #known = new Map<object, unknown>();

  attribute(attributes: Record<string, unknown>, name: string): unknown {
    try {
      const value = this.#replaced(attributes[name], name, 0);
      encodePayload(value, name);
      return value;
    } catch (error) {
      return notStored(error);
    }
  }

  #replaced(value: unknown, path: string, depth: number): unknown {
    if (typeof value !== 'object' || value === null) return orWhyNot(value, path);
    if (this.#known.has(value)) return this.#known.get(value);
    this.#known.set(value, value);
    const replaced = this.#replacedObject(value, path, depth + 1);
    this.#known.set(value, replaced);
    return replaced;
  }

  #replacedObject(value: object, path: string, depth: number): unknown {
    if (depth > DEPTH_MAX) return orWhyNot(value, path);
    if (plainForm(value) !== undefined) return value;
    if (value instanceof Error) return this.#filled(errorLike(value), value, path, depth);
    if (Array.isArray(value)) return this.#copied([], value, path, depth);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#copied({}, value, path, depth);
    return orWhyNot(value, path);
  }

  /** Itself if nothing in it is replaced, so that what is met twice stays one. */
  #copied(copy: object, value: object, path: string, depth: number): object {
    this.#filled(copy, value, path, depth);
    const same = Object.keys(value).every((name) => valueOf(value, name) === valueOf(copy, name));
    return same ? value : copy;
  }

  #filled(copy: object, from: object, path: string, depth: number): object {
    const isError = copy instanceof Error;
    for (const name of Object.keys(from)) {
      const value = valueOf(from, name);
      // Failures have fields for all that they might tell.
      if (isError && value === undefined) continue;
      define(copy, name, this.#replaced(value, `${path}.${name}`, depth), true);
    }
    const cause = isError ? valueOf(from, 'cause') : undefined;
    if (cause !== undefined) define(copy, 'cause', this.#replaced(cause, `${path}.cause`, depth), false);
    return copy;
  }
}

function valueOf(object: object, name: string): unknown {
  return (object as Record<string, unknown>)[name];
}

/** Of the same built-in class, with nothing but what says what went wrong. */
function errorLike(error: Error): object {
  const copy = Object.create(Object.getPrototypeOf(error)) as object;
  for (const name of ['name', 'message'] as const) define(copy, name, String(error[name]), false);
  define(copy, 'stack', stackOf(error), false);
  return copy;
}

function define(target: object, name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, name, { value, enumerable, configurable: true, writable: true });
}

function orWhyNot(value: unknown, path: string): unknown {
  try {
    encodePayload(value, path);
    return value;
  } catch (error) {
    return notStored(error);
  }
}
