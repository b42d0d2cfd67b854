/**
 * The attributes of a workflow's log line on their way out of the sandbox.
 *
 * Owns: storing them, and what stands in place of what cannot be stored: all else arrives as it was.
 * Does not own: which lines there are (activation.ts), who prints them (runtime/logger.ts).
 *
 * Inside the sandbox, because only there the classes of its errors are known.
 */
import { encodePayload } from './payloads.js';

/** Never throws, whatever the attributes do when they are read. */
export function storedAttributes(attributes: Record<string, unknown>): Uint8Array {
  try {
    return encodePayload(attributes, 'log attributes');
  } catch {
    return storedPiecewise(attributes);
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

/** Copies what holds something that cannot be stored, down to that. */
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
    if (isStorable(value)) return value;
    if (Array.isArray(value))
      return value.map((item, index) => this.#replaced(item, `${path}[${index}]`, depth));
    const prototype: unknown = Object.getPrototypeOf(value);
    if (value instanceof Error) return this.#properties(value, errorLike(value), path, depth);
    if (prototype === Object.prototype || prototype === null) return this.#properties(value, {}, path, depth);
    return orWhyNot(value, path);
  }

  #properties(from: object, to: object, path: string, depth: number): object {
    const { cause } = from as { cause?: unknown };
    for (const name of Object.keys(from))
      define(
        to,
        name,
        this.#replaced((from as Record<string, unknown>)[name], `${path}.${name}`, depth),
        true,
      );
    if (to instanceof Error && cause !== undefined)
      define(to, 'cause', this.#replaced(cause, `${path}.cause`, depth), false);
    return to;
  }
}

/** Of the same built-in class, with nothing but what says what went wrong. */
function errorLike(error: Error): object {
  const copy = Object.create(Object.getPrototypeOf(error)) as object;
  for (const name of ['name', 'message', 'stack'] as const) define(copy, name, String(error[name]), false);
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

function isStorable(value: object): boolean {
  try {
    encodePayload(value);
    return true;
  } catch {
    return false;
  }
}
