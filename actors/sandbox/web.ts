/**
 * The few web classes that workflow code gets besides the language itself: URL, URLSearchParams, TextEncoder, TextDecoder
 * and AbortController.
 *
 * Owns: faces of Node's classes. What they give is made of the sandbox's own classes, errors too, and nothing of Node can be
 * reached through them. AbortController is small enough to be written out.
 *
 * D6: in a query or validator only such objects can be changed as were made in it.
 */
import { maybeCurrent } from '../current.js';

type HostClass = new (...args: any[]) => object;
type Method = (this: object, ...args: unknown[]) => unknown;

/** Node's own classes, as the thread hands them in. */
export interface HostClasses {
  URL: HostClass;
  URLSearchParams: HostClass;
  TextEncoder: HostClass;
  TextDecoder: HostClass;
}

/** What an object of the sandbox stands for, and the read-only run that it was made in. */
interface Behind {
  host: object;
  born: object | undefined;
}

const behind = new WeakMap<object, Behind>();
const faces = new WeakMap<object, object>();
const prototypes = new Map<object, object>();

const CHANGES = new Set<PropertyKey>(['append', 'delete', 'set', 'sort']);
const STATICS = ['canParse', 'parse'];

export function installWebClasses(global: Record<string, any>, hosts: HostClasses): void {
  for (const [name, Host] of Object.entries(hosts)) define(global, name, faceOf(name, Host as HostClass));
  define(global, 'AbortController', AbortController);
  define(global, 'AbortSignal', AbortSignal);
}

function define(global: object, name: string, value: unknown): void {
  Object.defineProperty(global, name, { value, writable: true, enumerable: false, configurable: true });
}

function faceOf(name: string, Host: HostClass): HostClass {
  const Face = class {
    constructor(...args: unknown[]) {
      stand(this, inside(() => new Host(...args.map(hostOf))) as object, maybeCurrent()?.readOnlyRun);
    }
  };
  Object.defineProperty(Face, 'name', { value: name });
  prototypes.set(Host.prototype as object, Face.prototype);
  for (const key of Reflect.ownKeys(Host.prototype as object)) {
    const isKnown = typeof key === 'string' || key === Symbol.iterator || key === Symbol.toStringTag;
    if (!isKnown || key === 'constructor') continue;
    Object.defineProperty(
      Face.prototype,
      key,
      faceProperty(name, key, Object.getOwnPropertyDescriptor(Host.prototype, key)!),
    );
  }
  for (const key of STATICS) {
    const method = (Host as unknown as Record<string, unknown>)[key];
    if (typeof method !== 'function') continue;
    Object.defineProperty(Face, key, {
      value: (...args: unknown[]) => own(inside(() => method.apply(Host, args.map(hostOf)))),
    });
  }
  return Face;
}

function faceProperty(
  name: string,
  key: PropertyKey,
  { value, get, set, enumerable = false }: PropertyDescriptor,
): PropertyDescriptor {
  if (typeof value === 'function')
    return { value: faceMethod(name, key, value as Method), writable: true, enumerable, configurable: true };
  if (get === undefined) return { value, enumerable, configurable: true };
  const property: PropertyDescriptor = {
    enumerable,
    configurable: true,
    get(this: object) {
      const { host, born } = known(this);
      return own(
        inside(() => get.call(host)),
        born,
      );
    },
  };
  if (set === undefined) return property;
  property.set = function (this: object, to: unknown) {
    const { host, born } = known(this);
    refuseChange(born, `set ${name}.${String(key)}`);
    inside(() => set.call(host, hostOf(to)));
  };
  return property;
}

function faceMethod(name: string, key: PropertyKey, method: Method): Method {
  if (key === 'forEach') return forEach;
  return function (...args) {
    const { host, born } = known(this);
    if (CHANGES.has(key)) refuseChange(born, `${name}.${String(key)}`);
    return own(
      inside(() => method.apply(host, args.map(hostOf))),
      born,
    );
  };
}

function forEach(this: object, callback: unknown, thisArg?: unknown): void {
  for (const [name, value] of this as Iterable<[string, string]>)
    (callback as Method).call(thisArg as object, value, name, this);
}

function stand(face: object, host: object, born: object | undefined): object {
  behind.set(face, { host, born });
  faces.set(host, face);
  return face;
}

function known(face: object): Behind {
  const found = behind.get(face);
  if (found === undefined) throw new TypeError('Illegal invocation');
  return found;
}

function hostOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (behind.get(value)?.host ?? value) : value;
}

/** What Node gave, in classes of the sandbox. */
function own(value: any, born?: object): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const face = faces.get(value);
  if (face !== undefined) return face;
  const prototype = prototypes.get(Object.getPrototypeOf(value) as object);
  if (prototype !== undefined) return stand(Object.create(prototype) as object, value, born);
  if (Array.isArray(value)) return Array.from(value, (item) => own(item));
  if (ArrayBuffer.isView(value)) return new Uint8Array(value as Uint8Array);
  // An iterator: of texts, or of pairs of them.
  if (typeof value.next === 'function')
    return Array.from(value as Iterable<unknown>, (item) => own(item))[Symbol.iterator]();
  return { ...value };
}

/** An error of Node's becomes one of the sandbox's of the same name. */
function inside<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (error instanceof Error) throw error;
    const { name, message, code } = error as { name?: string; message?: string; code?: string };
    const Class = name === 'TypeError' ? TypeError : name === 'RangeError' ? RangeError : Error;
    throw Object.assign(new Class(message), code === undefined ? {} : { code });
  }
}

function refuseChange(born: object | undefined, what: string): void {
  const activation = maybeCurrent();
  if (activation?.readOnlyRun !== born) activation?.refuseReadOnly(what);
}

// ---------------------------------------------------------------------------------------------------------------

interface AbortEvent {
  type: 'abort';
  target: AbortSignal;
}
type AbortListener = ((event: AbortEvent) => void) | { handleEvent(event: AbortEvent): void };

let abort: (signal: AbortSignal, reason: unknown) => void;

/** Tells listeners of an abort, in the order in which they came. */
class AbortSignal {
  onabort: ((event: AbortEvent) => void) | null = null;
  readonly #born = maybeCurrent()?.readOnlyRun;
  readonly #listeners = new Map<AbortListener, boolean>();
  #aborted = false;
  #reason: unknown;

  static {
    abort = (signal, reason) => signal.#abort(reason);
  }

  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal();
    signal.#abort(reason);
    return signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  addEventListener(type: string, listener: AbortListener, options?: { once?: boolean }): void {
    refuseChange(this.#born, 'AbortSignal.addEventListener');
    if (type === 'abort') this.#listeners.set(listener, options?.once ?? false);
  }

  removeEventListener(type: string, listener: AbortListener): void {
    refuseChange(this.#born, 'AbortSignal.removeEventListener');
    if (type === 'abort') this.#listeners.delete(listener);
  }

  #abort(
    reason: unknown = Object.assign(new Error('This operation was aborted'), { name: 'AbortError' }),
  ): void {
    refuseChange(this.#born, 'AbortController.abort');
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const event: AbortEvent = { type: 'abort', target: this };
    for (const [listener, once] of [...this.#listeners]) {
      if (once) this.#listeners.delete(listener);
      if (typeof listener === 'function') listener(event);
      else listener.handleEvent(event);
    }
    this.onabort?.(event);
  }
}

class AbortController {
  readonly signal = new AbortSignal();

  abort(reason?: unknown): void {
    abort(this.signal, reason);
  }
}
