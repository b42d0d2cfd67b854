/**
 * Classes of objects, for values of any realm.
 *
 * Owns: which objects have a stored form, which kind of node that is, and the words for those that have none.
 * Does not own: what is read from an object (node-contents.ts), the making of one (graph-reader.ts).
 *
 * P3: a class is known by an internal slot and the number of prototypes above the object, an Error by the names its
 * prototypes own. Never by a tag alone, which anyone can claim; by identity only where the sandbox hides a name.
 */
import {
  bufferBytes,
  dateTime,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  isArray,
  isObjectPrototype,
  isView,
  mapSize,
  prototypeDepth,
  regExpSource,
  setSize,
  tagOf,
  typedArrayName,
} from './built-ins.js';
import { KIND, type Kind } from './graph-form.js';

type ErrorClass = new (errors?: unknown) => Error;

export const ERROR_CLASSES = new Map<string, ErrorClass>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError].map(
    (errorClass) => [errorClass.name, errorClass as unknown as ErrorClass],
  ),
);

/** Of this realm's own prototypes, whose names the sandbox hides behind accessors. */
const ERROR_NAMES = new Map<object, string>(
  Array.from(ERROR_CLASSES, ([name, errorClass]) => [errorClass.prototype as object, name]),
);

/** What built-in Errors keep in properties that are not enumerable. */
export const ERROR_FIELDS = ['name', 'message', 'stack', 'cause', 'errors'];

type ViewClass = new (buffer: ArrayBuffer) => ArrayBufferView;

/** Float16Array is not in every Node.js yet. */
const { Float16Array } = globalThis as { Float16Array?: ViewClass };

export const VIEW_CLASSES = new Map<string, ViewClass>(
  [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView],
    ...(Float16Array === undefined ? [] : [Float16Array]),
  ].map((viewClass) => [viewClass.name, viewClass]),
);

/** By tag: how to read the slot that only the built-in has, since anyone can claim the tag. */
const BUILT_INS = new Map<string, { kind: Kind; slot: (source: object) => unknown }>([
  ['Date', { kind: KIND.date, slot: dateTime }],
  ['Map', { kind: KIND.map, slot: mapSize }],
  ['Set', { kind: KIND.set, slot: setSize }],
  ['RegExp', { kind: KIND.regExp, slot: regExpSource }],
  ['ArrayBuffer', { kind: KIND.arrayBuffer, slot: bufferBytes }],
]);

/** The kind of node that describes an object; undefined for what cannot be stored. */
export function kindOf(source: object): Kind | undefined {
  const depth = prototypeDepth(source);
  if (isArray(source)) return depth === 2 ? KIND.array : undefined;
  if (depth === 0 || (depth === 1 && isObjectPrototype(getPrototypeOf(source)))) return KIND.object;
  if (isView(source)) return isPlainView(source, depth) ? KIND.view : undefined;
  if (errorClassOf(source) !== undefined) return KIND.error;
  // Deeper than this is a subclass, and its class would be lost.
  return depth === 2 ? builtInKind(source) : undefined;
}

function builtInKind(source: object): Kind | undefined {
  const builtIn = BUILT_INS.get(tagOf(source));
  try {
    builtIn?.slot(source);
    return builtIn?.kind;
  } catch {
    // It has the tag but not the slot.
    return undefined;
  }
}

/** A view that is no subclass, or a Buffer, whose one method more or less is no loss. Never one on shared memory. */
function isPlainView(view: ArrayBufferView, depth: number): boolean {
  if (tagOf(view.buffer) !== 'ArrayBuffer') return false;
  const name = typedArrayName(view);
  if (name === undefined) return depth === 2;
  if (!VIEW_CLASSES.has(name)) return false;
  return depth === 3 || (depth === 4 && name === 'Uint8Array' && hasOwn(getPrototypeOf(view), 'readUInt8'));
}

/** Name of the built-in class an Error is or derives from; undefined for what is no Error. */
export function errorClassOf(source: object): string | undefined {
  for (let at = getPrototypeOf(source); at !== null; at = getPrototypeOf(at)) {
    const own = ERROR_NAMES.get(at);
    if (own !== undefined) return own;
    // Built-in prototypes own both; classes that derive from them seldom own a message, and DOMException a getter.
    const name = hasOwn(at, 'message') ? getOwnPropertyDescriptor(at, 'name')?.value : undefined;
    if (ERROR_CLASSES.has(name)) return name;
  }
  return undefined;
}

/** Why an object without a kind is refused. */
export function refusal(source: object): string {
  const tag = tagOf(source);
  if (tag === 'SharedArrayBuffer' || (isView(source) && tagOf(source.buffer) !== 'ArrayBuffer')) {
    return 'shared memory cannot be stored';
  }
  if (tag === 'Promise') return 'a Promise cannot be stored, await it first';
  const owner = typeof source.constructor === 'function' ? source.constructor.name : '';
  const name = owner === '' || owner === 'Object' ? tag : owner;
  if (name === 'Object') return 'objects with a prototype of their own cannot be stored';
  if (BUILT_INS.has(name)) return `a proxy or an imitation of a ${name} cannot be stored`;
  return `instances of ${name} cannot be stored, only plain objects and built-in data types`;
}
