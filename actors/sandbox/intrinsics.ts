/**
 * Closing the built-ins. All executions of a thread share them, so nothing that one does to them may be seen by another.
 *
 *   property of a built-in                            becomes
 *   one that objects often have for themselves        an accessor: assigning it to an object that inherits it still works
 *   one whose original V8 watches (isWatched)         untouched: even making it read-only costs spread and arrays a factor of 20
 *   any other                                         read-only
 *
 * Owns: this, for everything that workflow code can reach from its globals and from the authoring API; and the globalThis
 * that each execution gets for its own.
 * Does not own: what the globals mean (globals.ts), guarding them in queries (read-only.ts), which happens before.
 *
 * RegExp.prototype stays as it is, for speed too: V8 matches slowly once anything about it was changed.
 */

const { create, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, preventExtensions } = Object;
const { ownKeys } = Reflect;

const arrayPrototype = Array.prototype;
const typedArrayPrototype: object = getPrototypeOf(Uint8Array.prototype);
const errorPrototype = Error.prototype;
const isError = errorPrototype.isPrototypeOf;
const hiddenPrototypes = [
  async () => undefined,
  function* () {},
  async function* () {},
  (function* () {})(),
  (async function* () {})(),
  [][Symbol.iterator](),
  new Map()[Symbol.iterator](),
  new Set()[Symbol.iterator](),
  ''[Symbol.iterator](),
  ''.matchAll(/a/g),
].map((value): object => getPrototypeOf(value));
const iteratorPrototype: object = getPrototypeOf(getPrototypeOf([][Symbol.iterator]()));

/** @param more what is no global, but shared all the same */
export function closeIntrinsics(global: object, more: readonly unknown[]): void {
  const seen = new Set<object>([global, RegExp.prototype]);
  for (const value of [...hiddenPrototypes, ...more]) close(value, seen);
  for (const key of ownKeys(global)) {
    const descriptor = getOwnPropertyDescriptor(global, key)!;
    close(descriptor.value, seen);
    // Whole descriptors, because the global of a vm context forgets the value otherwise.
    if (descriptor.configurable)
      defineProperty(global, key, { ...descriptor, writable: false, configurable: false });
  }
}

/** Makes the globalThis of one execution: what it writes stays with it, what it reads falls through to what all share. */
export function globalMaker(global: object): () => object {
  const shared: object = create(getPrototypeOf({}));
  for (const key of ownKeys(global)) {
    const descriptor = getOwnPropertyDescriptor(global, key)!;
    if (key !== 'globalThis')
      defineProperty(shared, key, inheritable(shared, key, { ...descriptor, writable: true }));
  }
  preventExtensions(shared);
  return () => {
    const own: object = create(shared);
    return defineProperty(own, 'globalThis', {
      value: own,
      writable: true,
      enumerable: false,
      configurable: true,
    });
  };
}

/** Closes a value and all that can be reached from it. A loop and not a recursion: the built-ins are deep. */
function close(value: unknown, seen: Set<object>): void {
  const queue: unknown[] = [value];
  for (let next = queue.pop(); next !== undefined || queue.length > 0; next = queue.pop()) {
    if ((typeof next !== 'object' && typeof next !== 'function') || next === null || seen.has(next)) continue;
    seen.add(next);
    for (const key of ownKeys(next)) {
      const descriptor = getOwnPropertyDescriptor(next, key)!;
      queue.push(descriptor.value, descriptor.get, descriptor.set);
      closeProperty(next, key, descriptor);
    }
    queue.push(getPrototypeOf(next));
    preventExtensions(next);
    // V8 keeps objects whose properties were redefined in a slow form, and makes them fast again as they become prototypes.
    if (typeof next === 'object') create(next);
  }
}

function closeProperty(object: object, key: PropertyKey, descriptor: PropertyDescriptor): void {
  if (!descriptor.configurable || isWatched(object, key)) return;
  if (descriptor.writable !== true) defineProperty(object, key, { configurable: false });
  else if (isOftenHidden(object, key)) defineProperty(object, key, inheritable(object, key, descriptor));
  else defineProperty(object, key, { ...descriptor, writable: false, configurable: false });
}

/** Where changed values make V8 give up on a whole class of optimizations, so it notices every definition. */
function isWatched(object: object, key: PropertyKey): boolean {
  if (key === Symbol.iterator) return object !== iteratorPrototype;
  if (key === Symbol.species || key === 'next') return true;
  // How stack traces look is nobody's state; packages set it, and so does read-only.ts.
  if (key === 'stackTraceLimit' || key === 'prepareStackTrace') return true;
  return (
    key === 'constructor' &&
    (object === arrayPrototype ||
      object === typedArrayPrototype ||
      getPrototypeOf(object) === typedArrayPrototype)
  );
}

/** Assigning to an inherited read-only property is an error, and people do assign these: error.name, prototype.constructor ... */
function isOftenHidden(object: object, key: PropertyKey): boolean {
  if (object === Object.prototype || object === errorPrototype || isError.call(errorPrototype, object))
    return true;
  if (object === Promise.prototype) return false;
  return (
    key === 'constructor' ||
    key === 'toString' ||
    key === 'valueOf' ||
    key === 'toJSON' ||
    object === iteratorPrototype
  );
}

function inheritable(
  holder: object,
  key: PropertyKey,
  { value, enumerable = false }: PropertyDescriptor,
): PropertyDescriptor {
  return {
    enumerable,
    configurable: false,
    get: () => value,
    set(this: object, own: unknown) {
      if (this === holder)
        throw new TypeError(
          `Cannot assign to '${String(key)}' of a built-in object: all workflow executions share it`,
        );
      defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
    },
  };
}
