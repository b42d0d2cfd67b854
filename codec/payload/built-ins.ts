/**
 * Built-ins as they were when this module was evaluated.
 *
 * Owns: the prototypes and functions that must be taken before anything in a realm can replace them, and the look at an
 * object that holds for objects of any realm: its internal slots and its prototypes (P3). Taking them also saves the
 * look-up, which for a global name costs more than 100 ns in a vm context.
 * Does not own: which classes can be stored (classes.ts).
 */

export const objectPrototype = Object.prototype;
export const arrayPrototype = Array.prototype;
/** The sandbox replaces Date later by one that answers with the time of the execution it runs for. */
export const RealDate = Date;
export const datePrototype = RealDate.prototype;
export const Bytes = Uint8Array;
export const bytesPrototype = Bytes.prototype;
export const arrayBufferPrototype = ArrayBuffer.prototype;
const typedArrayPrototype: object = Object.getPrototypeOf(bytesPrototype);
export const { getPrototypeOf, getOwnPropertyDescriptor, getOwnPropertySymbols, hasOwn, keys } = Object;
export const { isArray } = Array;
export const { isView } = ArrayBuffer;

/** A built-in's getter as a function; it throws a TypeError for objects without the slot it reads. */
function getter<T>(prototype: object, name: PropertyKey): (source: object) => T {
  const get = getOwnPropertyDescriptor(prototype, name)!.get!;
  return (source) => get.call(source) as T;
}

export const dateTime = (source: object): number => datePrototype.getTime.call(source);
export const mapSize = getter<number>(Map.prototype, 'size');
export const setSize = getter<number>(Set.prototype, 'size');
export const regExpSource = getter<string>(RegExp.prototype, 'source');
export const bufferBytes = getter<number>(arrayBufferPrototype, 'byteLength');
export const typedArrayName = getter<string | undefined>(typedArrayPrototype, Symbol.toStringTag);
export const tagOf = (source: object): string => objectPrototype.toString.call(source).slice(8, -1);

/** How many prototypes an object has: 0 with none, 1 for a plain object, 2 for an Array or a Date, more for subclasses. */
export function prototypeDepth(source: object): number {
  let depth = 0;
  for (let at = getPrototypeOf(source); at !== null; at = getPrototypeOf(at)) depth++;
  return depth;
}

/** Object.prototype of any realm. A class that extends null also ends the chain, but has none of Object's methods. */
export function isObjectPrototype(prototype: object): boolean {
  return (
    prototype === objectPrototype ||
    (getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf'))
  );
}
