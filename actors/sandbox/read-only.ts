/**
 * Read-only runs: query handlers and update validators run against live workflow state and leave it as it was (D6).
 *
 * Owns: the runtime half of the guard, which instrumented code calls (actors/sandbox/instrument.ts writes those calls): the
 * undo log of a run, the guards on the realm's mutating built-ins, and the verdict on a run.
 * Does not own: rewriting code (instrument.ts), what the authoring API refuses (current.ts), encoding answers.
 * Evaluated inside the workflow realm, before user code: it imports nothing and keeps the built-ins it uses.
 *
 *                     on = run id                                     on = 0
 *     runReadOnly --> handler, capture --> undo in reverse order --+--> nothing touched ---------------> ok | threw
 *                        |                                         +--> touched: the same once more ---> ok | threw
 *                        +-- violate() throws -------------------------------------------------------> violation
 *
 * A write needs to be undone only on an object that existed before the run; which those are is found by running twice.
 * State is the same before both runs and handlers are deterministic (D5), so an object that both runs touch is an old
 * one, and what a run made itself is a new object each time. Handlers that touch nothing, or only what is known to be
 * theirs, run once.
 *
 * Invariants:
 *   R1  Every change is logged before it is made; undoing the log backwards restores values, identity and key order.
 *   R2  Whatever cannot be undone is not done: it is put off (await), refused (an old generator's next), pretended
 *       (freeze), or, in the few cases where that is known too late, reported as `undone: false`.
 *   R3  Outside of runs, `on` is 0, and each guard is one load and one comparison.
 *   R4  Trusted code of the realm, which is not instrumented, may change its own state during a run: a built-in counts
 *       only when the user's code called it. It may not use generators there.
 *
 * Not covered: a thenable of the user's that a promise is resolved with in a run is called after it; built-in iterators of
 * the workflow that go to Array.from, a collection's constructor or `yield*` are advanced; so is lastIndex where a regular
 * expression is matched by none of its usual methods; names given to typed arrays stay; objects of another realm have
 * methods of their own, which have no guards.
 *
 * The file is long because built-ins are many. It reads in this order: what is seen of it, snapshots, the log of a run, what is
 * pretended or asked instead of done, the guard itself, the table of built-ins.
 */

// ---------------------------------------------------------------------------------------------------------------
// What instrumented code sees

/** The calls that instrumented code makes. All but `on` do nothing, or return their first argument, outside of runs. */
export interface ReadOnlyHooks {
  /** 0, or the id of the read-only run under way. */
  on: number;
  /** Before a property of the object is written. Returns what to write to. */
  touch<T>(object: T, location: string): T;
  /** As touch, for writes that may not happen: only a property that really differs in the end is a violation. */
  touchMaybe<T>(object: T, location: string): T;
  /** Before a private field is written. `key` names the field where its class exists once, and is empty elsewhere. */
  field<T>(
    object: T,
    key: string,
    get: (object: T) => unknown,
    set: (object: T, value: unknown) => void,
    location: string,
  ): T;
  /** Before a variable is written whose function was called before the run began. */
  variable(name: string, get: () => unknown, set: (value: unknown) => void, location: string): void;
  /** As variable, for writes that may not happen. */
  variableMaybe(name: string, get: () => unknown, set: (value: unknown) => void, location: string): void;
  /** The object was made during this run. */
  own<T>(object: T): T;
  /** A method that may be a mutating built-in is about to be called on the object. */
  mark<T>(object: T, location: string): T;
  /** As mark, where the object cannot be named. */
  here(location: string): void;
  /** The object is about to be iterated, or its `next` called. */
  iterate<T>(object: T, location: string): T;
  /** The object, if it is a regular expression, is about to be matched. */
  regex<T>(object: T, location: string): T;
  /** Takes the place of what is awaited. */
  never(location: string): Promise<never>;
  /** Takes the place of what `for await` iterates. */
  neverEach(location: string): AsyncIterable<never>;
  /** What a generator is resumed with to be asked when it was made. */
  readonly probe: unknown;
  /** True while a generator is asked that may not have begun. */
  probing: boolean;
  /** The answer of a generator that was made in run `token`; it then waits as before. */
  answer(token: number): Iterable<unknown>;
  /** The arguments from `from` on. */
  rest(args: ArrayLike<unknown>, from: number): unknown[];
  /** What `yield*` delegates to, able to answer. */
  delegate(source: Iterable<unknown>, token: number): Iterable<unknown>;
}

// ---------------------------------------------------------------------------------------------------------------
// What the runtime sees

export interface ReadOnlyRunOptions<T, C> {
  /** Takes what is needed of the result while it is whole; part of the run. */
  capture?: (value: T) => C;
  /** Called before each of the one or two runs, to put random streams and the like back. Not part of the run. */
  beforeEachRun?: () => void;
}

export interface ReadOnlyViolationOutcome {
  kind: 'violation';
  /** What the handler tried to do, e.g. "write the variable `count`". */
  what: string;
  /** Where, as the instrumenter's `locate` calls it. */
  location: string;
  /** False when a change could not be taken back: the activation must be dropped and recovered by replay. */
  undone: boolean;
}

export type ReadOnlyOutcome<T> =
  | { kind: 'ok'; value: T }
  | { kind: 'threw'; error: unknown }
  | ReadOnlyViolationOutcome;

export interface ReadOnlyRuntime extends ReadOnlyHooks {
  /** Wraps the realm's mutating built-ins. Called once, before user code is evaluated. */
  installBuiltinGuards(global: object): void;
  /** Runs a handler, once or twice, and leaves all state as it was. Not to be nested. */
  runReadOnly<T, C = T>(run: () => T, options?: ReadOnlyRunOptions<T, C>): ReadOnlyOutcome<C>;
  /** Notes a violation in the run under way, and throws it. For API functions that a query may not call. */
  violate(what: string, location: string): never;
  /**
   * Ends a run that was cut off from outside (a vm timeout), for which no `finally` ran, and undoes what it did.
   * Returns false when something could not be undone.
   */
  abandon(): boolean;
}

/** Thrown into the handler. The run's outcome is `violation` whether the handler catches it or not. */
export class ReadOnlyViolation extends Error {
  readonly what: string;
  readonly location: string;

  constructor(what: string, location: string) {
    super(`Not allowed in a query handler or update validator: ${what} (${location})`);
    this.what = what;
    this.location = location;
  }
}
Object.defineProperty(ReadOnlyViolation.prototype, 'name', {
  value: 'ReadOnlyViolation',
  writable: true,
  configurable: true,
});

/**
 * Whether an error is a ReadOnlyViolation of this or another realm. An async function that nobody awaits turns the throw
 * into an unhandled rejection, which the host can tell by this to be no fault of the workflow.
 */
export function isReadOnlyViolation(error: unknown): boolean {
  return isObject(error) && (error as Partial<Error>).name === 'ReadOnlyViolation' && 'location' in error;
}

export function createReadOnly(): ReadOnlyRuntime {
  return new Guard();
}

/** Changes one run may log: enough for any sane handler, and bounds the memory of one that is not (D8). */
const CHANGES_MAX = 250_000;

// ---------------------------------------------------------------------------------------------------------------
// Built-ins as they are before the guards, and collections that the guards do not see

const {
  apply,
  construct,
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  isExtensible,
  ownKeys,
  setPrototypeOf,
} = Reflect;
const { create, freeze, hasOwn, is, isFrozen, isSealed } = Object;
const { isArray } = Array;
const NativeError = Error;
const NativePromise = Promise;
const NativeProxy = Proxy;
const Bytes = Uint8Array;
const arrayPrototype = Array.prototype;
const { slice } = arrayPrototype;
const typedArrayPrototype = getPrototypeOf(Bytes.prototype)!;
const generatorPrototype = getPrototypeOf(function* () {}.prototype)!;
const asyncGeneratorPrototype = getPrototypeOf(async function* () {}.prototype)!;
const generatorNext = (generatorPrototype as Generator).next;
const promiseThen = NativePromise.prototype.then;
const { captureStackTrace } = NativeError;

function methodOf<A extends unknown[], R>(
  prototype: object,
  name: PropertyKey,
): (self: unknown, ...args: A) => R {
  const method = (prototype as Record<PropertyKey, unknown>)[name] as () => R;
  return (self, ...args) => apply(method, self, args) as R;
}

function getterOf<R>(prototype: object, name: PropertyKey): (self: unknown) => R {
  const get = getOwnPropertyDescriptor(prototype, name)!.get!;
  return (self) => apply(get, self, []) as R;
}

const mapForEach = methodOf<[(value: unknown, key: unknown) => void], void>(Map.prototype, 'forEach');
const mapClear = methodOf<[], void>(Map.prototype, 'clear');
const mapSet = methodOf<[unknown, unknown], void>(Map.prototype, 'set');
const setForEach = methodOf<[(value: unknown) => void], void>(Set.prototype, 'forEach');
const setClear = methodOf<[], void>(Set.prototype, 'clear');
const setAdd = methodOf<[unknown], void>(Set.prototype, 'add');
const dateTime = methodOf<[], number>(Date.prototype, 'getTime');
const setDateTime = methodOf<[number], number>(Date.prototype, 'setTime');
const weakMapHas = methodOf<[unknown], boolean>(WeakMap.prototype, 'has');
const weakMapGet = methodOf<[unknown], unknown>(WeakMap.prototype, 'get');
const weakMapSet = methodOf<[unknown, unknown], void>(WeakMap.prototype, 'set');
const weakMapDelete = methodOf<[unknown], boolean>(WeakMap.prototype, 'delete');
const weakSetHas = methodOf<[unknown], boolean>(WeakSet.prototype, 'has');
const weakSetAdd = methodOf<[unknown], void>(WeakSet.prototype, 'add');
const weakSetDelete = methodOf<[unknown], boolean>(WeakSet.prototype, 'delete');
const setBytes = methodOf<[Uint8Array], void>(typedArrayPrototype, 'set');
const typedArrayName = getterOf<string | undefined>(typedArrayPrototype, Symbol.toStringTag);
const typedArrayBuffer = getterOf<ArrayBuffer>(typedArrayPrototype, 'buffer');
const dataViewBuffer = getterOf<ArrayBuffer>(DataView.prototype, 'buffer');
const bufferBytes = getterOf<number>(ArrayBuffer.prototype, 'byteLength');
const sharedBytes =
  typeof SharedArrayBuffer === 'undefined'
    ? undefined
    : getterOf<number>(SharedArrayBuffer.prototype, 'byteLength');
const copyOfBuffer = methodOf<[], ArrayBuffer>(ArrayBuffer.prototype, 'slice');
const regexSource = getterOf<string>(RegExp.prototype, 'source');
const compileRegex = methodOf<[string, string], void>(RegExp.prototype, 'compile');
const isGlobalRegex = getterOf<boolean>(RegExp.prototype, 'global');
const isStickyRegex = getterOf<boolean>(RegExp.prototype, 'sticky');

class OwnMap<K, V> extends Map<K, V> {}
class OwnSet<T> extends Set<T> {}
class OwnWeakMap<K extends object, V> extends WeakMap<K, V> {}
class OwnWeakSet<T extends object> extends WeakSet<T> {}

/** The log works while the guards are on; with methods of its own it does not log itself. */
function takeMethods(own: object, from: object): void {
  for (const name of ownKeys(from)) {
    if (name !== 'constructor') defineProperty(own, name, getOwnPropertyDescriptor(from, name)!);
  }
}
takeMethods(OwnMap.prototype, Map.prototype);
takeMethods(OwnSet.prototype, Set.prototype);
takeMethods(OwnWeakMap.prototype, WeakMap.prototype);
takeMethods(OwnWeakSet.prototype, WeakSet.prototype);

function isObject(value: unknown): value is object {
  return typeof value === 'object' ? value !== null : typeof value === 'function';
}

// ---------------------------------------------------------------------------------------------------------------
// Snapshots: each returns the function that puts the object back

/** `same`: there was nothing to put back. `damaged`: it could not be put back. */
type Verdict = 'same' | 'restored' | 'damaged';
type Restore = () => Verdict;
type Snapshot = (object: object) => Restore;
type WeakSnapshot = (collection: unknown, key: unknown) => Restore;

interface Shape {
  keys: PropertyKey[];
  descriptors: PropertyDescriptor[];
  prototype: object | null;
}

/** Arrays whose elements may be more than plain values, because something was defined on them. */
const irregularArrays = new OwnWeakSet<object>();

function isRegular(array: object): boolean {
  return !irregularArrays.has(array) && isExtensible(array);
}

function snapshotProperties(object: object): Restore {
  if (isArray(object) && isRegular(object)) return snapshotArray(object);
  const shape = shapeOf(object);
  return () => restoreShape(object, shape);
}

function shapeOf(object: object): Shape {
  const keys = ownKeys(object);
  return { keys, descriptors: descriptorsOf(object, keys), prototype: getPrototypeOf(object) };
}

function descriptorsOf(object: object, keys: readonly PropertyKey[]): PropertyDescriptor[] {
  const descriptors: PropertyDescriptor[] = [];
  for (let at = 0; at < keys.length; at++) descriptors[at] = getOwnPropertyDescriptor(object, keys[at]!)!;
  return descriptors;
}

function restoreShape(object: object, shape: Shape): Verdict {
  let verdict: Verdict = 'same';
  if (getPrototypeOf(object) !== shape.prototype) {
    if (!setPrototypeOf(object, shape.prototype)) return 'damaged';
    verdict = 'restored';
  }
  if (!hasKeys(object, shape.keys)) {
    removeFrom(object, shape.keys);
    verdict = 'restored';
  }
  for (let at = 0; at < shape.keys.length; at++) {
    if (isDescribed(object, shape.keys[at]!, shape.descriptors[at]!)) continue;
    if (!defineProperty(object, shape.keys[at]!, shape.descriptors[at]!)) return 'damaged';
    verdict = 'restored';
  }
  return verdict === 'same' || hasKeys(object, shape.keys) ? verdict : 'damaged';
}

function hasKeys(object: object, keys: readonly PropertyKey[]): boolean {
  const now = ownKeys(object);
  return now.length === keys.length && firstDifference(now, keys) === keys.length;
}

function firstDifference(now: readonly PropertyKey[], keys: readonly PropertyKey[]): number {
  let at = 0;
  while (at < keys.length && now[at] === keys[at]) at++;
  return at;
}

/** Takes away the keys that came, and all behind the first that went or moved, so that they come back in their order. */
function removeFrom(object: object, keys: readonly PropertyKey[]): void {
  const wanted = new OwnSet<PropertyKey>();
  for (let at = 0; at < keys.length; at++) wanted.add(keys[at]!);
  const came = ownKeys(object);
  for (let at = 0; at < came.length; at++) if (!wanted.has(came[at]!)) deleteProperty(object, came[at]!);
  const now = ownKeys(object);
  for (let at = firstDifference(now, keys); at < now.length; at++) deleteProperty(object, now[at]!);
}

function isDescribed(object: object, key: PropertyKey, before: PropertyDescriptor): boolean {
  const now = getOwnPropertyDescriptor(object, key);
  return (
    now !== undefined &&
    is(now.value, before.value) &&
    now.get === before.get &&
    now.set === before.set &&
    now.writable === before.writable &&
    now.enumerable === before.enumerable &&
    now.configurable === before.configurable
  );
}

/** Beyond this share of holes an array is kept by its keys. */
const HOLES_MAX = 32;

/** Regular arrays, which are nearly all, are kept as a copy of their elements: a descriptor costs 100 times as much. */
function snapshotArray(array: unknown[]): Restore {
  const keys = ownKeys(array);
  // `length` is as old as the array, so it is the first key that is no index.
  const indices = keys.lastIndexOf('length');
  const shape = { keys: keys.slice(indices + 1), prototype: getPrototypeOf(array) };
  if (array.length > 2 * indices + HOLES_MAX) {
    const sparse = shapeOf(array);
    return () => restoreShape(array, sparse);
  }
  const elements = copyOf(array);
  const named = { ...shape, descriptors: descriptorsOf(array, shape.keys) };
  return () => restoreArray(array, elements, named);
}

function copyOf(array: readonly unknown[]): unknown[] {
  const copy: unknown[] = [];
  copy.length = array.length;
  for (let at = 0; at < array.length; at++) {
    const value = array[at];
    if (value !== undefined || hasOwn(array, at)) copy[at] = value;
  }
  return copy;
}

function restoreArray(array: unknown[], elements: readonly unknown[], named: Shape): Verdict {
  if (!isRegular(array) || named.keys.length > 0 || ownKeys(array).at(-1) !== 'length') {
    return restoreShape(array, withElements(elements, named));
  }
  let verdict: Verdict = 'same';
  if (getPrototypeOf(array) !== named.prototype) {
    setPrototypeOf(array, named.prototype);
    verdict = 'restored';
  }
  if (array.length !== elements.length) {
    array.length = elements.length;
    verdict = 'restored';
  }
  return restoreElements(array, elements) ? 'restored' : verdict;
}

/** True when an element had to be put back. */
function restoreElements(array: unknown[], elements: readonly unknown[]): boolean {
  let differed = false;
  for (let at = 0; at < elements.length; at++) {
    const value = elements[at];
    const isThere = value !== undefined || hasOwn(elements, at);
    if (is(array[at], value) && (value !== undefined || hasOwn(array, at) === isThere)) continue;
    if (isThere) array[at] = value;
    else deleteProperty(array, at);
    differed = true;
  }
  return differed;
}

/** The shape that a copy of elements stands for. */
function withElements(elements: readonly unknown[], named: Shape): Shape {
  const shape = shapeOf(elements);
  return {
    keys: [...shape.keys, ...named.keys],
    descriptors: [...shape.descriptors, ...named.descriptors],
    prototype: named.prototype,
  };
}

/** Appending is by far the most frequent change, and takes no copy to undo. */
function snapshotLength(array: unknown[]): Restore {
  const before = array.length;
  return () => {
    if (array.length === before) return 'same';
    array.length = before;
    return 'restored';
  };
}

/** Map and Set through two functions each, a Set being a Map of its members to themselves. */
function snapshotEntries(
  collection: object,
  forEach: (self: unknown, see: (value: unknown, key: unknown) => void) => void,
  putBack: (keys: readonly unknown[], values: readonly unknown[]) => void,
): Restore {
  const keys: unknown[] = [];
  const values: unknown[] = [];
  forEach(collection, (value, key) => {
    keys[keys.length] = key;
    values[values.length] = value;
  });
  return () => {
    let at = 0;
    let differs = false;
    forEach(collection, (value, key) => {
      differs ||= at >= keys.length || !is(key, keys[at]) || !is(value, values[at]);
      at++;
    });
    if (!differs && at === keys.length) return 'same';
    putBack(keys, values);
    return 'restored';
  };
}

function snapshotMap(map: object): Restore {
  return snapshotEntries(map, mapForEach, (keys, values) => {
    mapClear(map);
    for (let at = 0; at < keys.length; at++) mapSet(map, keys[at], values[at]);
  });
}

function snapshotSet(set: object): Restore {
  return snapshotEntries(set, setForEach as typeof mapForEach, (keys) => {
    setClear(set);
    for (let at = 0; at < keys.length; at++) setAdd(set, keys[at]);
  });
}

function snapshotDate(date: object): Restore {
  const before = dateTime(date);
  return () => {
    if (is(dateTime(date), before)) return 'same';
    setDateTime(date, before);
    return 'restored';
  };
}

/** ES2024, in some of the Node.js versions this package runs on. */
interface Resizable {
  resize?: (bytes: number) => void;
}
const { resize } = ArrayBuffer.prototype as Resizable;

/** Throws for what is neither an ArrayBuffer nor a SharedArrayBuffer. */
function snapshotBytes(buffer: object): Restore {
  // Looking into a buffer that was detached would throw.
  const before = bytesOf(buffer) === 0 ? new Bytes(0) : new Bytes(new Bytes(buffer as ArrayBuffer));
  return () => {
    const isResized = bytesOf(buffer) !== before.length;
    if (isResized) apply(resize!, buffer, [before.length]);
    if (before.length === 0) return isResized ? 'restored' : 'same';
    const now = new Bytes(buffer as ArrayBuffer);
    let at = 0;
    while (at < before.length && now[at] === before[at]) at++;
    if (at === before.length && !isResized) return 'same';
    setBytes(now, before);
    return 'restored';
  };
}

function bytesOf(buffer: object): number {
  return buffer instanceof ArrayBuffer || sharedBytes === undefined
    ? bufferBytes(buffer)
    : sharedBytes(buffer);
}

/** What `compile` changes, beside lastIndex, which is a property. */
function snapshotRegex(regex: object): Restore {
  const source = regexSource(regex);
  const flags = (regex as RegExp).flags;
  return () => {
    if (regexSource(regex) === source && (regex as RegExp).flags === flags) return 'same';
    compileRegex(regex, source, flags);
    return 'restored';
  };
}

function snapshotWeakEntry(map: unknown, key: unknown): Restore {
  const had = weakMapHas(map, key);
  const before = weakMapGet(map, key);
  return () => {
    if (weakMapHas(map, key) === had && is(weakMapGet(map, key), before)) return 'same';
    if (had) weakMapSet(map, key, before);
    else weakMapDelete(map, key);
    return 'restored';
  };
}

function snapshotWeakMember(set: unknown, member: unknown): Restore {
  const had = weakSetHas(set, member);
  return () => {
    if (weakSetHas(set, member) === had) return 'same';
    if (had) weakSetAdd(set, member);
    else weakSetDelete(set, member);
    return 'restored';
  };
}

/** The memory behind a view or buffer; undefined for anything else. */
function memoryOf(object: unknown): object | undefined {
  if (!isObject(object)) return undefined;
  if (typedArrayName(object) !== undefined) return typedArrayBuffer(object);
  if (ArrayBuffer.isView(object)) return dataViewBuffer(object);
  return object;
}

// ---------------------------------------------------------------------------------------------------------------
// The log of one run

/** An object that a run is about to change. */
class Subject {
  readonly object: object;
  action: string;
  location: string;
  /** To touch it is a violation, whether or not it differs in the end. */
  strict: boolean;
  /** Which snapshots there are. */
  parts = 0;
  verdict: Verdict = 'same';
  #fields: OwnSet<string> | undefined;

  constructor(object: object, action: string, location: string, strict: boolean) {
    this.object = object;
    this.action = action;
    this.location = location;
    this.strict = strict;
  }

  /** Whether a private field was not logged yet. */
  isFirst(field: string): boolean {
    this.#fields ??= new OwnSet();
    if (this.#fields.has(field)) return false;
    this.#fields.add(field);
    return true;
  }

  /** The first touch that could be a violation is the one to report. */
  touchAgain(action: string, location: string, strict: boolean): void {
    if (!strict || isLibrary(location) || (this.strict && !isLibrary(this.location))) return;
    this.action = action;
    this.location = location;
    this.strict = strict;
  }

  /** Whether a handler may not do this to an object that is not its own. */
  get isForbidden(): boolean {
    if (this.verdict === 'damaged') return true;
    return !isLibrary(this.location) && (this.strict || this.verdict !== 'same');
  }
}

const PROPERTIES = 1;
const LENGTH = 2;
const CONTENT = 4;

/**
 * Packages memoize, and a memo is not workflow state: what they and the bundler's helpers write is undone like all
 * else, and is no violation.
 */
function isLibrary(location: string): boolean {
  return (
    location === '' ||
    location.startsWith('<') ||
    location.startsWith('node_modules/') ||
    location.includes('/node_modules/')
  );
}

interface Change {
  /** Undefined for a variable. */
  subject: Subject | undefined;
  restore: Restore;
  /** For a variable that may not have been written: what to report if it was. */
  suspicion: Violation | undefined;
}

interface Violation {
  what: string;
  location: string;
}

type Ended = { kind: 'ok'; value: unknown } | { kind: 'threw'; error: unknown };

class Run {
  readonly subjects = new OwnMap<object, Subject>();
  readonly changes: Change[] = [];
  /** Objects that the instrumented code is known to have made in this run. */
  readonly own = new OwnSet<object>();
  /** The one noted last: loops that fill an array note it every time. */
  lastOwn: object | undefined;
  /** Receivers of calls in instrumented code that may be mutating built-ins, with the place of the call. */
  readonly marks = new OwnMap<object, string>();
  /** Generators that were made in this run, or have ended. */
  readonly generators = new OwnSet<object>();
  /** Objects that count as frozen, sealed or not extensible. */
  readonly closed = new OwnMap<object, Closing>();
  violation: Violation | undefined;
  capturing = false;
  place = '';
  undone = true;

  clear(): void {
    if (this.changes.length > 0) this.changes.length = 0;
    for (const collection of [this.subjects, this.own, this.marks, this.generators, this.closed]) {
      if (collection.size > 0) collection.clear();
    }
    this.lastOwn = undefined;
    this.violation = undefined;
    this.capturing = false;
    this.place = '';
    this.undone = true;
  }

  note(object: object, action: string, location: string, strict: boolean): Subject {
    const known = this.subjects.get(object);
    if (known !== undefined) {
      known.touchAgain(action, location, strict);
      return known;
    }
    const subject = new Subject(object, action, location, strict);
    this.subjects.set(object, subject);
    return subject;
  }

  log(subject: Subject | undefined, restore: Restore, suspicion?: Violation): void {
    this.changes[this.changes.length] = { subject, restore, suspicion };
  }

  /** Backwards. With `spare`, changes to objects that the run made itself stay: they may be part of what it threw. */
  undo(spare?: (object: object) => boolean): void {
    for (let at = this.changes.length - 1; at >= 0; at--) {
      const { subject, restore, suspicion } = this.changes[at]!;
      if (subject !== undefined && spare?.(subject.object)) continue;
      const verdict = attempt(restore);
      if (subject !== undefined) subject.verdict = worse(subject.verdict, verdict);
      else if (verdict === 'damaged') this.undone = false;
      if (verdict !== 'same') this.violation ??= suspicion;
    }
  }

  /** Whether both runs touched things in the same places, as deterministic runs do. */
  resembles(other: Run): boolean {
    if (this.subjects.size !== other.subjects.size) return false;
    const others = other.subjects.values();
    for (const { location } of this.subjects.values())
      if (others.next().value?.location !== location) return false;
    return true;
  }
}

function attempt(restore: Restore): Verdict {
  try {
    return restore();
  } catch {
    return 'damaged';
  }
}

function worse(a: Verdict, b: Verdict): Verdict {
  if (a === 'damaged' || b === 'damaged') return 'damaged';
  return a === 'same' ? b : a;
}

/** How an object is called in a report: by its class, found without running any of the user's code. */
function nameOf(object: object): string {
  if (typeof object === 'function') return 'a function';
  const prototype = getPrototypeOf(object);
  const maker: unknown =
    prototype === null ? undefined : getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  const name: unknown =
    typeof maker === 'function' ? getOwnPropertyDescriptor(maker, 'name')?.value : undefined;
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
}

// ---------------------------------------------------------------------------------------------------------------
// Freezing cannot be undone, so in a run it is only pretended

type Closing = 'frozen' | 'sealed' | 'closed';
const CLOSINGS: readonly Closing[] = ['closed', 'sealed', 'frozen'];

function isAtLeast(closing: Closing | undefined, wanted: Closing): boolean {
  return closing !== undefined && CLOSINGS.indexOf(closing) >= CLOSINGS.indexOf(wanted);
}

function isReally(object: object, closing: Closing): boolean {
  if (closing === 'closed') return !isExtensible(object);
  return closing === 'sealed' ? isSealed(object) : isFrozen(object);
}

/** Writing to this fails, or does nothing in sloppy code, just as it would with the object itself frozen. */
function frozenCopyOf(object: object): object {
  const copy = isArray(object) ? [] : create(null);
  for (const key of ownKeys(object)) defineProperty(copy, key, getOwnPropertyDescriptor(object, key)!);
  setPrototypeOf(copy, getPrototypeOf(object));
  return freeze(copy);
}

const DESCRIPTOR_FIELDS = ['enumerable', 'configurable', 'value', 'writable', 'get', 'set'] as const;

/** A definition that can be taken back: nothing becomes unconfigurable or, beyond recall, read-only. */
function reversible(object: object, key: PropertyKey, wanted: unknown): unknown {
  if (!isObject(wanted)) return wanted;
  const definition: Record<string, unknown> = create(null);
  for (const name of DESCRIPTOR_FIELDS)
    if (name in wanted) definition[name] = (wanted as Record<string, unknown>)[name];
  const before = getOwnPropertyDescriptor(object, key);
  if (before === undefined || before.configurable) definition.configurable = true;
  else if (before.writable && definition.writable === false) delete definition.writable;
  return definition;
}

function reversibleAll(object: object, definitions: object): object {
  const all: Record<PropertyKey, unknown> = create(null);
  for (const key of ownKeys(definitions)) {
    if (!getOwnPropertyDescriptor(definitions, key)?.enumerable) continue;
    all[key] = reversible(object, key, (definitions as Record<PropertyKey, unknown>)[key]);
  }
  return all;
}

// ---------------------------------------------------------------------------------------------------------------
// Whose code called a built-in

interface Caller {
  script: string;
  line: number;
  column: number;
}

/** Native frames between a guard and the code that caused the call, as in `list.forEach(set.add, set)`. */
const FRAMES_MAX = 10;

/** The code nearest above `guard` on the stack; undefined when the realm does not tell. */
function callerOf(guard: Function): Caller | undefined {
  const { prepareStackTrace, stackTraceLimit } = NativeError;
  try {
    NativeError.prepareStackTrace = (_error, sites) => sites;
    NativeError.stackTraceLimit = FRAMES_MAX;
    const holder: { stack?: NodeJS.CallSite[] } = {};
    captureStackTrace(holder, guard);
    const site = holder.stack?.find((each) => typeof each.getFileName() === 'string');
    if (site === undefined) return undefined;
    return {
      script: site.getFileName() as string,
      line: site.getLineNumber() ?? 0,
      column: site.getColumnNumber() ?? 0,
    };
  } catch {
    return undefined;
  } finally {
    restoreErrorSettings(prepareStackTrace, stackTraceLimit);
  }
}

function restoreErrorSettings(prepareStackTrace: typeof NativeError.prepareStackTrace, limit: number): void {
  try {
    NativeError.prepareStackTrace = prepareStackTrace;
    NativeError.stackTraceLimit = limit;
  } catch {
    // Someone froze Error: then nothing was changed above either.
  }
}

// Errors may be closed for new properties later, and callerOf needs this one.
if (!hasOwn(NativeError, 'prepareStackTrace')) {
  defineProperty(NativeError, 'prepareStackTrace', { value: undefined, writable: true, configurable: true });
}

/** The script that this module is part of, with all other trusted code of the realm. */
const trustedScript = (function ownScript() {
  return (function within() {
    return callerOf(within)?.script;
  })();
})();

// ---------------------------------------------------------------------------------------------------------------
// Generators can be asked when they were made

const PROBE = freeze({ probe: 'when were you made?' });

class Answer {
  readonly token: number;

  constructor(token: number) {
    this.token = token;
  }
}

/** Delegated to by a generator that is asked; ends with whatever the generator is then really resumed with. */
function answering(token: number): Iterable<unknown> & Iterator<unknown> {
  let asked = false;
  return {
    [Symbol.iterator]() {
      return this;
    },
    next(value?: unknown) {
      if (asked && value !== PROBE) return { value, done: true };
      asked = true;
      return { value: new Answer(token), done: false };
    },
    return: (value?: unknown) => ({ value, done: true }),
    throw(error: unknown) {
      throw error;
    },
  };
}

/** An iterator that a generator delegates to: a question for the generator goes no further. */
class Delegate {
  readonly #inner: Iterator<unknown>;
  readonly #next: unknown;
  readonly #token: number;

  constructor(inner: Iterator<unknown>, token: number) {
    if (!isObject(inner)) throw new TypeError(`Result of the Symbol.iterator method is not an object`);
    this.#inner = inner;
    this.#next = inner.next;
    this.#token = token;
  }

  next(value?: unknown): IteratorResult<unknown> {
    if (value === PROBE) return { value: new Answer(this.#token), done: false };
    return apply(this.#next as Iterator<unknown>['next'], this.#inner, [value]) as IteratorResult<unknown>;
  }

  get return(): ((value?: unknown) => IteratorResult<unknown>) | undefined {
    const inner = this.#inner;
    const method = inner.return;
    return method === undefined || method === null ? undefined : (value) => apply(method, inner, [value]);
  }

  get throw(): ((error?: unknown) => IteratorResult<unknown>) | undefined {
    const inner = this.#inner;
    const method = inner.throw;
    return method === undefined || method === null ? undefined : (error) => apply(method, inner, [error]);
  }
}

function isGenerator(value: unknown): value is Generator {
  if (!isObject(value)) return false;
  const prototype = getPrototypeOf(value);
  return prototype !== null && getPrototypeOf(prototype) === generatorPrototype;
}

/** The classes of built-in iterators, which can be neither asked nor put back. */
const iteratorPrototypes = new OwnSet<object | null>();
for (const iterator of [
  [][Symbol.iterator](),
  ''[Symbol.iterator](),
  new Map().entries(),
  new Set().values(),
  ''.matchAll(/x/g),
  ...iteratorHelpers(),
]) {
  iteratorPrototypes.add(getPrototypeOf(iterator));
}

/** ES2025: the iterators of Iterator.prototype.map and Iterator.from. */
function iteratorHelpers(): object[] {
  const { Iterator: helpers } = globalThis as unknown as {
    Iterator?: { from?: (source: object) => { map(fn: () => void): object } };
  };
  if (helpers?.from === undefined) return [];
  const wrapped = helpers.from({ next: () => ({ done: true, value: undefined }) });
  return [wrapped, wrapped.map(() => undefined)];
}

// ---------------------------------------------------------------------------------------------------------------
// The guard

/** Proxies of the realm: a write to one lands on its target, unless its handler says otherwise. */
const proxyTargets = new OwnWeakMap<object, object>();

class Guard implements ReadOnlyRuntime {
  on = 0;
  probing = false;
  readonly probe: unknown = PROBE;
  #runs = 0;
  #global: object | undefined;
  /** State of trusted code, which it changed itself in a run. Asking the stack again each time would cost microseconds. */
  readonly #trusted = new OwnWeakSet<object>();
  #run = new Run();
  /** The run before this one, while a handler runs for the second time. */
  #before: Run | undefined;
  /** Empty, kept for the next second run. */
  #spare = new Run();

  // ----- a run -------------------------------------------------------------------------------------------------

  runReadOnly<T, C = T>(run: () => T, options: ReadOnlyRunOptions<T, C> = {}): ReadOnlyOutcome<C> {
    if (this.on !== 0) throw new Error('A read-only run is under way');
    try {
      const ended = this.#once(run, options);
      const first = this.#run;
      first.undo();
      if (first.violation !== undefined) return violationOf(first.violation, isUndone(first));
      if (!needsSecond(first, ended)) return ended as ReadOnlyOutcome<C>;
      return this.#again(first, run, options) as ReadOnlyOutcome<C>;
    } finally {
      this.#run.clear();
    }
  }

  #again<T, C>(first: Run, run: () => T, options: ReadOnlyRunOptions<T, C>): ReadOnlyOutcome<unknown> {
    const second = this.#spare;
    this.#before = first;
    this.#run = second;
    try {
      const ended = this.#once(run, options);
      second.undo(second.resembles(first) ? (object) => !first.subjects.has(object) : undefined);
      return judge(first, second) ?? ended;
    } finally {
      this.#before = undefined;
      this.#run = first;
      second.clear();
    }
  }

  #once<T, C>(run: () => T, { capture, beforeEachRun }: ReadOnlyRunOptions<T, C>): Ended {
    beforeEachRun?.();
    this.on = ++this.#runs;
    try {
      const value = run();
      handleRejection(value);
      this.#run.capturing = true;
      return { kind: 'ok', value: capture === undefined ? value : capture(value) };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      this.on = 0;
    }
  }

  abandon(): boolean {
    if (this.on === 0) return true;
    this.on = 0;
    this.probing = false;
    this.#run.undo();
    const undone = isUndone(this.#run);
    this.#before = undefined;
    this.#run = new Run();
    this.#spare = new Run();
    return undone;
  }

  violate(what: string, location: string): never {
    this.#refuse(what, location);
    throw new ReadOnlyViolation(what, location);
  }

  /** Notes a violation without throwing. */
  #refuse(what: string, location: string): void {
    this.#run.violation ??= { what, location };
  }

  // ----- called by instrumented code ---------------------------------------------------------------------------

  touch<T>(object: T, location: string): T {
    if (this.on === 0 || !isObject(object)) return object;
    return this.#properties(object, location, true) as T;
  }

  touchMaybe<T>(object: T, location: string): T {
    if (this.on === 0 || !isObject(object)) return object;
    return this.#properties(object, location, false) as T;
  }

  field<T>(
    object: T,
    key: string,
    get: (object: T) => unknown,
    set: (object: T, value: unknown) => void,
    location: string,
  ): T {
    if (this.on === 0 || !isObject(object) || this.#run.own.has(object)) return object;
    let before: unknown;
    try {
      before = get(object);
    } catch {
      // The object has no such field, and the write is about to say so.
      return object;
    }
    const subject = this.#note(object, 'write a private field of', location, true);
    if (key !== '' && !subject.isFirst(key)) return object;
    this.#log(subject, () => {
      if (is(get(object), before)) return 'same';
      set(object, before);
      return 'restored';
    });
    return object;
  }

  variable(name: string, get: () => unknown, set: (value: unknown) => void, location: string): void {
    if (this.on === 0) return;
    if (!isLibrary(location)) this.violate(`write the variable \`${name}\``, location);
    this.#variable(get, set);
  }

  variableMaybe(name: string, get: () => unknown, set: (value: unknown) => void, location: string): void {
    if (this.on === 0) return;
    this.#variable(
      get,
      set,
      isLibrary(location) ? undefined : { what: `write the variable \`${name}\``, location },
    );
  }

  #variable(get: () => unknown, set: (value: unknown) => void, suspicion?: Violation): void {
    let before: unknown;
    try {
      before = get();
    } catch {
      // Not declared yet, and the write is about to say so.
      return;
    }
    const restore = (): Verdict => {
      if (is(get(), before)) return 'same';
      set(before);
      return 'restored';
    };
    this.#log(undefined, restore, suspicion);
  }

  own<T>(object: T): T {
    if (this.on !== 0 && isObject(object) && object !== this.#run.lastOwn) {
      this.#run.lastOwn = object;
      this.#run.own.add(object);
    }
    return object;
  }

  mark<T>(object: T, location: string): T {
    if (this.on !== 0 && isObject(object)) this.#run.marks.set(object, location);
    return object;
  }

  here(location: string): void {
    if (this.on !== 0) this.#run.place = location;
  }

  iterate<T>(object: T, location: string): T {
    if (this.on === 0 || !isObject(object)) return object;
    if (isGenerator(object)) this.#run.marks.set(object, location);
    else if (iteratorPrototypes.has(getPrototypeOf(object))) this.#advance(object, location);
    return object;
  }

  /** A built-in iterator does not tell its age before it is too late, but the second run does not advance it again. */
  #advance(iterator: object, location: string): void {
    if (this.#before?.subjects.has(iterator)) {
      this.#run.undone = false;
      this.violate('advance an iterator of the workflow', location);
    }
    const subject = this.#note(iterator, 'advance', location, true);
    if ((subject.parts & CONTENT) !== 0) return;
    subject.parts |= CONTENT;
    this.#log(subject, () => 'damaged');
  }

  /** What matters of a match is where `lastIndex` is left; loops that run to their end leave it where it was. */
  regex<T>(object: T, location: string): T {
    if (this.on === 0 || !(object instanceof RegExp)) return object;
    if (isGlobalRegex(object) || isStickyRegex(object)) this.#properties(object, location, false);
    return object;
  }

  /** Throwing would make a rejection that nobody handles; a promise that stays as it is holds the function for ever. */
  never(location: string): Promise<never> {
    this.#refuse('await', location);
    return new NativePromise<never>(() => {});
  }

  neverEach(location: string): AsyncIterable<never> {
    const next = () => this.never(location);
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  answer(token: number): Iterable<unknown> {
    return answering(token);
  }

  rest(args: ArrayLike<unknown>, from: number): unknown[] {
    return apply(slice, args, [from]) as unknown[];
  }

  delegate(source: Iterable<unknown>, token: number): Iterable<unknown> {
    // A generator answers for itself, and is as old as the one that waits for it where it matters.
    if (isGenerator(source)) return source;
    return { [Symbol.iterator]: () => new Delegate(source[Symbol.iterator](), token) as Iterator<unknown> };
  }

  // ----- logging -----------------------------------------------------------------------------------------------

  #note(object: object, action: string, location: string, strict: boolean): Subject {
    if (object === this.#global) this.violate('change the global object', location);
    return this.#run.note(object, action, location, strict);
  }

  #log(subject: Subject | undefined, restore: Restore, suspicion?: Violation): void {
    if (this.#run.changes.length >= CHANGES_MAX)
      this.violate('make more changes than can be undone', subject?.location ?? '');
    this.#run.log(subject, restore, suspicion);
  }

  /** Before a property is written, defined or deleted. Returns what to do that to. */
  #properties(object: object, location: string, strict: boolean): object {
    const target = proxyTargets.get(object);
    if (target !== undefined) {
      // Its handler may write elsewhere, or nowhere.
      this.#properties(target, location, false);
      return object;
    }
    if (typedArrayName(object) !== undefined) {
      this.#content(typedArrayBuffer(object), location, snapshotBytes, strict);
      return object;
    }
    if (!this.#run.own.has(object))
      this.#snapshotOnce(object, 'write a property of', PROPERTIES, snapshotProperties, location, strict);
    return this.#run.closed.size > 0 && this.#run.closed.get(object) === 'frozen'
      ? frozenCopyOf(object)
      : object;
  }

  #content(object: object, location: string, snapshot: Snapshot, strict: boolean): void {
    if (!this.#run.own.has(object)) this.#snapshotOnce(object, 'change', CONTENT, snapshot, location, strict);
  }

  #snapshotOnce(
    object: object,
    action: string,
    part: number,
    snapshot: Snapshot,
    location: string,
    strict: boolean,
  ): void {
    const isKnown = ((this.#run.subjects.get(object)?.parts ?? 0) & part) !== 0;
    // First, because it throws for an object of another class, which is then not touched at all.
    const restore = isKnown ? undefined : snapshot(object);
    const subject = this.#note(object, action, location, strict);
    if (restore === undefined) return;
    subject.parts |= part;
    this.#log(subject, restore);
  }

  // ----- called by guarded built-ins ---------------------------------------------------------------------------

  /** Where the user's code called a built-in on the object; undefined if trusted code did. */
  #placeOf(object: object, guard: Function): string | undefined {
    const run = this.#run;
    const place = run.marks.get(object) ?? run.subjects.get(object)?.location;
    if (place !== undefined) return place;
    if (run.capturing || this.#trusted.has(object)) return undefined;
    const caller = callerOf(guard);
    if (caller?.script === trustedScript) {
      this.#trusted.add(object);
      return undefined;
    }
    if (run.place !== '') return run.place;
    return caller === undefined ? 'an unknown place' : `${caller.script}:${caller.line}:${caller.column}`;
  }

  guardProperties(object: unknown, guard: Function): unknown {
    if (!isObject(object) || (this.#run.own.has(object) && this.#run.closed.size === 0)) return object;
    const place = this.#placeOf(object, guard);
    return place === undefined ? object : this.#properties(object, place, true);
  }

  guardAppend(array: unknown, guard: Function): unknown {
    const { own, lastOwn, closed } = this.#run;
    if (closed.size === 0 && isObject(array) && (array === lastOwn || own.has(array))) return array;
    if (!isArray(array) || proxyTargets.has(array) || !isRegular(array) || closed.size > 0) {
      return this.guardProperties(array, guard);
    }
    const place = this.#placeOf(array, guard);
    if (place === undefined) return array;
    const subject = this.#note(array, 'change', place, true);
    if ((subject.parts & (PROPERTIES | LENGTH)) !== 0) return array;
    subject.parts |= LENGTH;
    this.#log(subject, snapshotLength(array));
    return array;
  }

  guardContent(object: unknown, snapshot: Snapshot, guard: Function, strict = true): void {
    if (!isObject(object) || this.#run.own.has(object)) return;
    const place = this.#placeOf(object, guard);
    if (place === undefined) return;
    try {
      this.#content(object, place, snapshot, strict);
    } catch (error) {
      // Not such an object, as the built-in is about to say.
      if (error instanceof ReadOnlyViolation) throw error;
    }
  }

  /** The place to report is that of the view, the object to keep is the memory behind it. */
  guardMemory(view: unknown, guard: Function): void {
    if (!isObject(view)) return;
    const place = this.#placeOf(view, guard);
    const memory = place === undefined ? undefined : memoryOf(view);
    if (memory === undefined) return;
    this.#run.marks.set(memory, place!);
    this.guardContent(memory, snapshotBytes, guard);
  }

  guardWeak(collection: unknown, guard: Function, restoring: () => Restore, strict: boolean): void {
    if (!isObject(collection) || this.#run.own.has(collection)) return;
    const place = this.#placeOf(collection, guard);
    if (place === undefined) return;
    let restore: Restore;
    try {
      restore = restoring();
    } catch {
      return;
    }
    this.#log(this.#note(collection, 'change', place, strict), restore);
  }

  /** True when the object now counts as closed; false leaves it to the built-in. */
  guardClosing(object: unknown, closing: Closing, guard: Function): boolean {
    if (!isObject(object) || typedArrayName(object) !== undefined || isReally(object, closing)) return false;
    const { closed, own } = this.#run;
    if (isAtLeast(closed.get(object), closing)) return true;
    const place = own.has(object) ? '' : this.#placeOf(object, guard);
    if (place === undefined) return false;
    const target = proxyTargets.get(object) ?? object;
    if (!own.has(object))
      this.#note(target, `make ${closing === 'closed' ? 'not extensible' : closing}`, place, true);
    closed.set(object, closing);
    return true;
  }

  /** Whether the object is closed that far, really or by pretence. */
  closingOf(object: object, closing: Closing): boolean {
    return isAtLeast(this.#run.closed.get(object), closing) || isReally(object, closing);
  }

  /** A promise to give the user's code instead of one that would run it later; undefined lets trusted code pass. */
  guardLater(object: unknown, what: string, guard: Function): Promise<never> | undefined {
    if (!isObject(object)) return undefined;
    const place = this.#placeOf(object, guard);
    if (place === undefined) return undefined;
    this.#refuse(what, place);
    return new NativePromise<never>(() => {});
  }

  /** Throws unless the generator was made in this run, or has ended. */
  guardGenerator(generator: unknown, guard: Function): void {
    if (this.probing || !isGenerator(generator) || this.#run.generators.has(generator)) return;
    const made = this.#whenMade(generator);
    if (made !== this.on) {
      const location = this.#run.marks.get(generator) ?? this.#placeOf(generator, guard) ?? '';
      this.violate('advance a generator of the workflow', location);
    }
    this.#run.generators.add(generator);
  }

  #whenMade(generator: Generator): number {
    let result: IteratorResult<unknown>;
    this.probing = true;
    try {
      result = apply(generatorNext, generator, [PROBE]) as IteratorResult<unknown>;
    } catch {
      // It is running, as the built-in is about to say.
      return this.on;
    } finally {
      this.probing = false;
    }
    if (result.done) return this.on;
    if (result.value instanceof Answer) return result.value.token;
    throw new Error('A generator that is not instrumented was used in a read-only run');
  }

  installBuiltinGuards(global: object): void {
    this.#global = global;
    replaceMethods(global, guardsFor(this));
    replaceProxy(global);
    replaceProtoSetter(this);
  }
}

function violationOf({ what, location }: Violation, undone: boolean): ReadOnlyViolationOutcome {
  return { kind: 'violation', what, location, undone };
}

/** Conservative: of a single run it is not known which damaged objects are its own. */
function isUndone(run: Run): boolean {
  if (!run.undone) return false;
  for (const { verdict } of run.subjects.values()) if (verdict === 'damaged') return false;
  return true;
}

/** Not when nothing was touched, nor when all that was touched may be: then it does not matter whose it is. */
function needsSecond(run: Run, ended: Ended): boolean {
  if (run.subjects.size === 0) return false;
  // What a handler threw may hold objects that it made and changed, which undoing emptied.
  if (ended.kind === 'threw') return true;
  for (const { location, verdict } of run.subjects.values()) {
    if (verdict === 'damaged' || !isLibrary(location)) return true;
  }
  return false;
}

/** The first thing that both runs did to an object which is not their own. */
function judge(first: Run, second: Run): ReadOnlyViolationOutcome | undefined {
  let undone = second.undone;
  let found = second.violation;
  for (const subject of second.subjects.values()) {
    const before = first.subjects.get(subject.object);
    if (before === undefined) continue;
    subject.verdict = worse(before.verdict, subject.verdict);
    if (subject.verdict === 'damaged') undone = false;
    if (subject.isForbidden)
      found ??= { what: `${subject.action} ${nameOf(subject.object)}`, location: subject.location };
  }
  return found === undefined ? undefined : violationOf(found, undone);
}

/** A handler that is async by mistake returns a promise that nobody will look at. */
function handleRejection(value: unknown): void {
  if (!isObject(value) || !(value instanceof NativePromise)) return;
  apply(promiseThen, value, [undefined, () => undefined]);
}

// ---------------------------------------------------------------------------------------------------------------
// Guards on built-ins

type Native = (...args: unknown[]) => unknown;
type Guarded = (this: unknown, ...args: any[]) => unknown;
/** Takes a built-in and gives the function that stands in its place. */
type Wrap = (native: Native) => Guarded;
/** What guards which methods of which holder; a holder or method that this version of Node.js lacks is passed over. */
type Guards = readonly (readonly [holder: object | undefined, names: readonly PropertyKey[], wrap: Wrap])[];

/*
 * The four ways in which a guard deals with a call during a run. They are methods of object literals because those are
 * no constructors, as built-ins are not. V8 forwards the arguments without making an array of them.
 */

/** Looks at the receiver and the first argument, and lets the call go on. */
function before(ro: Guard, look: (self: unknown, first: unknown, guard: Function) => void): Wrap {
  return (native) => {
    const { guard } = {
      guard(this: unknown, ...args: unknown[]): unknown {
        if (ro.on !== 0) look(this, args[0], guard);
        return apply(native, this, args);
      },
    };
    return guard;
  };
}

/** Says what the call is to be made on. */
function onReceiver(ro: Guard, take: (self: unknown, guard: Function) => unknown): Wrap {
  return (native) => {
    const { guard } = {
      guard(this: unknown, ...args: unknown[]): unknown {
        return apply(native, ro.on === 0 ? this : take(this, guard), args);
      },
    };
    return guard;
  };
}

/** Says what stands for the first argument; a built-in that returns its first argument still does. */
function onArgument(ro: Guard, take: (first: unknown, guard: Function) => unknown): Wrap {
  return (native) => {
    const { guard } = {
      guard(this: unknown, ...args: unknown[]): unknown {
        if (ro.on === 0) return apply(native, this, args);
        const [first, ...rest] = args;
        const taken = take(first, guard);
        const result = apply(native, this, [taken, ...rest]);
        return result === taken ? first : result;
      },
    };
    return guard;
  };
}

/** Answers the call itself, with the built-in at hand. */
function instead(
  ro: Guard,
  answer: (native: Native, guard: Function, self: unknown, args: unknown[]) => unknown,
): Wrap {
  return (native) => {
    const { guard } = {
      guard(this: unknown, ...args: unknown[]): unknown {
        return ro.on === 0 ? apply(native, this, args) : answer(native, guard, this, args);
      },
    };
    return guard;
  };
}

const ARRAY_WRITERS = ['pop', 'shift', 'unshift', 'splice', 'sort', 'reverse', 'fill', 'copyWithin'];
const TYPED_ARRAY_WRITERS = ['set', 'fill', 'sort', 'reverse', 'copyWithin'];
const ATOMIC_WRITERS = ['add', 'and', 'compareExchange', 'exchange', 'or', 'store', 'sub', 'xor'];

function guardsFor(ro: Guard): Guards {
  const appends = onReceiver(ro, (self, guard) => ro.guardAppend(self, guard));
  const writes = onReceiver(ro, (self, guard) => ro.guardProperties(self, guard));
  const changes = (snapshot: Snapshot, strict = true) =>
    before(ro, (self, _first, guard) => ro.guardContent(self, snapshot, guard, strict));
  const weakly = (snapshot: WeakSnapshot, strict = true) =>
    before(ro, (self, key, guard) => ro.guardWeak(self, guard, () => snapshot(self, key), strict));
  const remembers = before(ro, (self, _first, guard) => ro.guardMemory(self, guard));
  const advances = before(ro, (self, _first, guard) => ro.guardGenerator(self, guard));
  const runsLater = (what: string) =>
    instead(ro, (native, guard, self, args) => ro.guardLater(self, what, guard) ?? apply(native, self, args));
  return [
    [arrayPrototype, ['push'], appends],
    [arrayPrototype, ARRAY_WRITERS, writes],
    [Map.prototype, ['set', 'delete', 'clear'], changes(snapshotMap)],
    [Map.prototype, ['getOrInsert', 'getOrInsertComputed'], changes(snapshotMap, false)],
    [Set.prototype, ['add', 'delete', 'clear'], changes(snapshotSet)],
    [Date.prototype, settersOf(Date.prototype), changes(snapshotDate)],
    [RegExp.prototype, ['compile'], changes(snapshotRegex)],
    [WeakMap.prototype, ['set', 'delete'], weakly(snapshotWeakEntry)],
    [WeakMap.prototype, ['getOrInsert', 'getOrInsertComputed'], weakly(snapshotWeakEntry, false)],
    [WeakSet.prototype, ['add', 'delete'], weakly(snapshotWeakMember)],
    [typedArrayPrototype, TYPED_ARRAY_WRITERS, remembers],
    [Bytes.prototype, ['setFromBase64', 'setFromHex'], remembers],
    [DataView.prototype, settersOf(DataView.prototype), remembers],
    [ArrayBuffer.prototype, ['resize'], remembers],
    [ArrayBuffer.prototype, ['transfer', 'transferToFixedLength'], instead(ro, transferCopy)],
    [optional('SharedArrayBuffer')?.prototype, ['grow'], remembers],
    [optional('Atomics'), ATOMIC_WRITERS, before(ro, (_self, view, guard) => ro.guardMemory(view, guard))],
    ...propertyGuards(ro),
    [Object.prototype, ['__defineGetter__', '__defineSetter__'], noteArray('receiver', writes)],
    [NativeError, ['captureStackTrace'], instead(ro, (...call) => captureBelow(ro, ...call))],
    [NativePromise.prototype, ['then'], runsLater('use a promise')],
    [Array, ['fromAsync'], runsLater('use a promise')],
    [generatorPrototype, ['next', 'return', 'throw'], advances],
    [asyncGeneratorPrototype, ['next', 'return', 'throw'], runsLater('use an async generator')],
  ];

  /** A buffer that was transferred is lost for good, so a run gets a copy and leaves the buffer as it is. */
  function transferCopy(native: Native, guard: Function, self: unknown, args: unknown[]): unknown {
    ro.guardMemory(self, guard);
    return apply(native, copyOfBuffer(self), args);
  }
}

/** The functions of Object and Reflect. */
function propertyGuards(ro: Guard): Guards {
  const writes = onArgument(ro, (object, guard) => ro.guardProperties(object, guard));
  const itself = (object: unknown) => object;
  return [
    [Object, ['assign', 'setPrototypeOf'], writes],
    [Object, ['defineProperty'], defines(ro)],
    [Object, ['defineProperties'], definesAll(ro)],
    [Object, ['freeze'], closes(ro, 'frozen', itself)],
    [Object, ['seal'], closes(ro, 'sealed', itself)],
    [Object, ['preventExtensions'], closes(ro, 'closed', itself)],
    [Object, ['isFrozen'], tells(ro, 'frozen', true)],
    [Object, ['isSealed'], tells(ro, 'sealed', true)],
    [Object, ['isExtensible'], tells(ro, 'closed', false)],
    [Reflect, ['deleteProperty', 'setPrototypeOf'], writes],
    [Reflect, ['set'], setsReceiver(ro)],
    [Reflect, ['defineProperty'], defines(ro)],
    [Reflect, ['preventExtensions'], closes(ro, 'closed', () => true)],
    [Reflect, ['isExtensible'], tells(ro, 'closed', false)],
  ];
}

function settersOf(prototype: object): PropertyKey[] {
  return ownKeys(prototype).filter((name) => typeof name === 'string' && name.startsWith('set'));
}

/** A global that not every realm has. */
function optional(name: string): any {
  return (globalThis as Record<string, unknown>)[name];
}

/** Outside of runs too: what is defined on an array makes it irregular. */
function noteArray(which: 'receiver' | 'argument', wrap: Wrap): Wrap {
  return (native) => {
    const inner = wrap(native);
    const { guard } = {
      guard(this: unknown, ...args: unknown[]): unknown {
        const object = which === 'receiver' ? this : args[0];
        if (isArray(object)) irregularArrays.add(object);
        return apply(inner, this, args);
      },
    };
    return guard;
  };
}

function defines(ro: Guard): Wrap {
  const define = instead(ro, (native, guard, self, args) => {
    const [object, key, definition] = args;
    const written = ro.guardProperties(object, guard);
    if (!isObject(written)) return apply(native, self, args);
    const name = typeof key === 'symbol' ? key : `${key as string}`;
    const result = apply(native, self, [written, name, reversible(written, name, definition)]);
    return result === written ? object : result;
  });
  return noteArray('argument', define);
}

function definesAll(ro: Guard): Wrap {
  const define = instead(ro, (native, guard, self, args) => {
    const [object, definitions] = args;
    const written = ro.guardProperties(object, guard);
    if (!isObject(written) || !isObject(definitions)) return apply(native, self, args);
    apply(native, self, [written, reversibleAll(written, definitions)]);
    return object;
  });
  return noteArray('argument', define);
}

/** Reflect.set writes to the receiver, which need not be the object that is asked. */
function setsReceiver(ro: Guard): Wrap {
  return instead(ro, (native, guard, self, args) => {
    const [object, key, value] = args;
    const receiver = args.length > 3 ? args[3] : object;
    const written = ro.guardProperties(receiver, guard);
    return apply(native, self, [receiver === object ? written : object, key, value, written]);
  });
}

function closes(ro: Guard, closing: Closing, result: (object: unknown) => unknown): Wrap {
  return instead(ro, (native, guard, self, args) =>
    ro.guardClosing(args[0], closing, guard) ? result(args[0]) : apply(native, self, args),
  );
}

function tells(ro: Guard, closing: Closing, ifClosed: boolean): Wrap {
  return instead(ro, (native, _guard, self, args) => {
    const [object] = args;
    return isObject(object) ? ro.closingOf(object, closing) === ifClosed : apply(native, self, args);
  });
}

/** The guard's own frame is not to be seen in the trace. */
function captureBelow(ro: Guard, native: Native, guard: Function, self: unknown, args: unknown[]): unknown {
  const [object, above = guard] = args;
  return apply(native, self, [ro.guardProperties(object, guard), above]);
}

// ---------------------------------------------------------------------------------------------------------------
// Putting guards in place

type Replacements = OwnMap<PropertyKey, PropertyDescriptor>;

function replaceMethods(global: object, guards: Guards): void {
  const holders = new OwnMap<object, Replacements>();
  for (const [holder, names, wrap] of guards) {
    if (holder === undefined) continue;
    const replacements: Replacements = holders.get(holder) ?? new OwnMap();
    holders.set(holder, replacements);
    for (const name of names) addReplacement(replacements, holder, name, wrap);
  }
  for (const [holder, replacements] of holders) {
    if (isFrozen(holder)) replaceNamespace(global, holder, replacements);
    else for (const [name, descriptor] of replacements) defineProperty(holder, name, descriptor);
  }
}

function addReplacement(replacements: Replacements, holder: object, name: PropertyKey, wrap: Wrap): void {
  const descriptor = getOwnPropertyDescriptor(holder, name);
  if (typeof descriptor?.value !== 'function') return;
  replacements.set(name, { ...descriptor, value: disguise(wrap(descriptor.value), descriptor.value) });
}

function disguise(guard: Guarded, native: Native): Guarded {
  defineProperty(guard, 'length', { value: native.length, configurable: true });
  defineProperty(guard, 'name', { value: native.name, configurable: true });
  return guard;
}

/** A namespace such as Reflect that the sandbox froze already: the global gets one that is as frozen, and guarded. */
function replaceNamespace(global: object, holder: object, guarded: Replacements): void {
  const copy: object = create(getPrototypeOf(holder));
  for (const key of ownKeys(holder)) {
    defineProperty(copy, key, guarded.get(key) ?? getOwnPropertyDescriptor(holder, key)!);
  }
  for (const name of ownKeys(global)) {
    const descriptor = getOwnPropertyDescriptor(global, name)!;
    if (descriptor.value === holder) defineProperty(global, name, { ...descriptor, value: freeze(copy) });
  }
}

function replaceProtoSetter(ro: Guard): void {
  const descriptor = getOwnPropertyDescriptor(Object.prototype, '__proto__');
  const set = descriptor?.set as Native | undefined;
  if (set === undefined) return;
  const guarded = onReceiver(ro, (self, guard) => ro.guardProperties(self, guard))(set);
  defineProperty(Object.prototype, '__proto__', { ...descriptor, set: disguise(guarded, set) });
}

function replaceProxy(global: object): void {
  const descriptor = getOwnPropertyDescriptor(global, 'Proxy');
  if (descriptor === undefined) return;
  const value = new NativeProxy(NativeProxy, {
    construct(native, args) {
      const proxy: object = construct(native, args);
      proxyTargets.set(proxy, args[0]);
      return proxy;
    },
  });
  const revocable: Wrap = (native) => {
    const { guard } = {
      guard(target: object, handler: object): unknown {
        const made = native(target, handler) as { proxy: object };
        proxyTargets.set(made.proxy, target);
        return made;
      },
    };
    return guard;
  };
  replaceMethods(global, [[NativeProxy, ['revocable'], revocable]]);
  defineProperty(global, 'Proxy', { ...descriptor, value });
}
