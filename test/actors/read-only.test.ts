/**
 * Read-only runs (D6): what a query handler may not do is caught, named and undone; what it may do is answered.
 *
 * Workflow code is instrumented and evaluated as in a workflow thread: in a bare vm context, in which read-only.ts was
 * evaluated before it.
 */
import { types } from 'node:util';
import vm from 'node:vm';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import { instrumentReadOnly, READ_ONLY_NAME } from '../../actors/sandbox/instrument.js';
import type { ReadOnlyOutcome, ReadOnlyRunOptions, ReadOnlyRuntime } from '../../actors/sandbox/read-only.js';

// ---------------------------------------------------------------------------------------------------------------
// A sandbox, and a workflow in it

const realmCode = buildSync({
  entryPoints: [new URL('../../actors/sandbox/read-only.js', import.meta.url).pathname],
  bundle: true,
  write: false,
  format: 'iife',
  globalName: 'realm',
  // As if the realm's library used built-ins while a handler runs (R4).
  footer: {
    js: `
      realm.trustedLog = [];
      realm.trustedMap = new Map();
      realm.trusted = (value) => { realm.trustedLog.push(value); realm.trustedMap.set(value, value); return realm.trustedLog.length; };
    `,
  },
}).outputFiles[0]!.text;

interface Sandbox {
  context: vm.Context;
  readOnly: ReadOnlyRuntime;
}

function createSandbox(): Sandbox {
  const context = vm.createContext(
    {},
    { microtaskMode: 'afterEvaluate', codeGeneration: { strings: false, wasm: false } },
  );
  vm.runInContext(realmCode, context, { filename: 'realm.js' });
  const readOnly = vm.runInContext(
    'realm.readOnly = realm.createReadOnly(); realm.readOnly.installBuiltinGuards(globalThis); realm.readOnly',
    context,
  ) as ReadOnlyRuntime;
  return { context, readOnly };
}

interface Workflow {
  /** What the test calls, after any number of runs of it in normal mode. */
  query: () => unknown;
  /** Everything that is workflow state. */
  state: () => unknown[];
  /** Changes to make in normal mode. */
  change: () => void;
}

const shared = createSandbox();

/** The module's line numbers begin at 1, and name the place. */
function load(
  code: string,
  { context, readOnly } = shared,
  locate = (line: number) => `workflow.ts:${line}`,
): Workflow {
  const instrumented = instrumentReadOnly(code, { locate });
  const source = `(function (exports, trusted, ${READ_ONLY_NAME}) {"use strict";${instrumented}\n})`;
  const factory = new vm.Script(source, { filename: 'workflows.js' }).runInContext(context);
  const module = { state: () => [], change: () => undefined } as unknown as Workflow;
  factory(module, vm.runInContext('realm.trusted', context), readOnly);
  return module;
}

function ask<T, C = T>(
  workflow: { query: () => unknown },
  options?: ReadOnlyRunOptions<T, C>,
  { readOnly } = shared,
): ReadOnlyOutcome<C> {
  return readOnly.runReadOnly(workflow.query as () => T, options);
}

/** An answer as plain data of the host, so that it can be compared. */
function plain(outcome: ReadOnlyOutcome<unknown>): unknown {
  if (outcome.kind === 'threw') return outcome;
  return JSON.parse(JSON.stringify(outcome));
}

/** The lines of a table and their cells. */
function rows(table: string): string[][] {
  const lines = table.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => line.split(/ \|(?: |$)/).map((cell) => cell.trim()));
}

// ---------------------------------------------------------------------------------------------------------------
// A picture of state: identities, key order, attributes, hidden contents

const ids = new WeakMap<object, number>();
let lastId = 0;

function picture(roots: unknown[]): string {
  const lines: string[] = [];
  const seen = new Set<object>();
  const show = (value: unknown): string => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
      return Object.is(value, -0) ? '-0' : `${typeof value} ${String(value)}`;
    }
    if (!ids.has(value)) ids.set(value, ++lastId);
    const id = `#${ids.get(value)}`;
    if (!seen.has(value)) {
      seen.add(value);
      lines.push(`${id}: ${contents(value, show)}`);
    }
    return id;
  };
  return [...roots.map(show), ...lines].join('\n');
}

function contents(value: object, show: (value: unknown) => string): string {
  const prototype = Object.getPrototypeOf(value) as object | null;
  const isBuiltIn =
    prototype !== null && /native code/.test(Function.prototype.toString.call(prototype.constructor));
  const properties = Reflect.ownKeys(value).map((key) => {
    const { value: held, get, set, ...flags } = Object.getOwnPropertyDescriptor(value, key)!;
    return `${String(key)}=${show(held)},${show(get)},${show(set)},${JSON.stringify(flags)}`;
  });
  const all = [isBuiltIn ? '' : show(prototype), String(Object.isExtensible(value)), ...properties];
  if (types.isMap(value))
    Map.prototype.forEach.call(value, (item, key) => all.push(`${show(key)}=>${show(item)}`));
  if (types.isSet(value)) Set.prototype.forEach.call(value, (item) => all.push(show(item)));
  if (types.isDate(value)) all.push(String(Date.prototype.getTime.call(value)));
  if (types.isArrayBuffer(value)) all.push(String(new Uint8Array(value)));
  if (types.isDataView(value)) all.push(show(value.buffer));
  return all.join(' ');
}

// ---------------------------------------------------------------------------------------------------------------

/**
 * One case a line: its name, state that the workflow declares, what the handler does, a part of what the report says, and
 * further roots of the state. `damaged`: the state cannot be put back.
 */
const caught = rows(`
  assignment to a variable of the workflow function | let count = 1; | count = 2; | count | count
  increment of a variable | let count = 1; | return ++count; | count | count
  compound assignment to a variable | let count = 1; | count += 5; | count | count
  ||= to a variable | let count = 0; | count ||= 2; | count | count
  ??= of a function to a variable | let f; | f ??= () => 1; | f | f
  destructuring to a variable | let a = 1, b = 2; | [a, b] = [b, a]; | a | a, b
  object destructuring with a default to a variable | let a = 1; | ({ a = 7 } = {}); | a | a
  loop head that writes a variable | let a = 1; | for (a of [5, 6]) ; | a | a
  for-in head that writes a variable | let a = 1; | for (a in { x: 1 }) ; | a | a
  write to a parameter of the workflow function |  | input = 3; | input | input
  write to a catch parameter | let f; try { throw 1; } catch (e) { f = () => e++; f.get = () => e; } | f(); | e | f.get()
  write to a loop variable of a closure | const fs = []; for (let i = 0; i < 3; i++) fs.push({ up: () => i++, get: () => i }); | fs[1].up(); | i | ...fs.map((f) => f.get())
  write to a variable of an earlier call | const make = (n) => ({ up: () => n++, get: () => n }); const c = make(1); | c.up(); | n | c.get()
  write from an arrow function within a handler | let n = 0; | [1, 2].forEach((x) => { n += x; }); | n | n
  write from a class field initializer | let n = 0; class C { id = ++n; } | return new C().id; | n | n
  write from a getter | let n = 0; const o = { get x() { return n++; } }; | return o.x; | n | n
  write from a toJSON that the answer is encoded with | let n = 0; | return { toJSON() { return n++; } }; | n | n
  property set | const s = { a: 1 }; | s.a = 2; | property of an object | s
  new property | const s = { a: 1 }; | s.b = 2; | property | s
  nested property set | const s = { a: { b: { c: 1 } } }; | s.a.b.c++; | property | s
  set through an alias | const s = { a: { b: 1 } }; | const { a } = s; a.b = 2; | property | s
  set through a parameter | const s = { a: 1 }; const set = (o) => { o.a = 2; }; | set(s); | property | s
  set through a getter that gives state | const s = { a: 1 }; const f = () => s; | f().a = 2; | property | s
  delete | const s = { a: 1, b: 2, c: 3 }; | delete s.b; | property | s
  delete in an optional chain | const s = { a: { b: 1 } }; | delete s?.a.b; | property | s
  delete of a call in an optional chain | const s = { f: () => s.a, a: { b: 1 } }; | delete s?.f().b; | property | s
  delete and set again, which changes key order | const s = { a: 1, b: 2 }; | const { a } = s; delete s.a; s.a = a; | property | s
  destructuring swap of elements | const s = [1, 2]; | [s[0], s[1]] = [s[1], s[0]]; | an Array | s
  rest pattern into a property | const s = {}; | ({ ...s.rest } = { a: 1 }); | property | s
  loop head that writes a property | const s = {}; | for (s.x of [1, 2]) ; | property | s
  ??= to a missing property | const s = {}; | return (s.cache ??= 1); | property | s
  ||= through a call | const s = {}; const f = () => s; | f().x ||= 1; | property | s
  memo in a getter | class M { get x() { this._x ??= 1; return this._x; } } const s = new M(); | return s.x; | a M | s
  method that writes this | class C { n = 0; up() { this.n++; } } const s = new C(); | s.up(); | a C | s
  class setter | class C { set x(v) { this.y = v; } } const s = new C(); | s.x = 2; | a C | s
  super property | class B {} class C extends B { up() { super.n = 1; } } const s = new C(); | s.up(); | a C | s
  static property | class C { static n = 0; } | C.n++; | a function | C
  prototype of a class | class C {} | C.prototype.x = 1; | property | C
  property of a function | const f = () => 1; | f.calls = 1; | a function | f
  prototype set by __proto__ | const s = {}; | s.__proto__ = { x: 1 }; | property | s
  property of a built-in prototype |  | Array.prototype.extra = 1; | property | Array.prototype.extra
  property of the global object |  | globalThis.leak = 1; | global object | globalThis.leak
  accessor property | let n = 0; const s = { get x() { return n; }, set x(v) {} }; | s.x = 1; | property | s
  symbol property | const k = Symbol("k"); const s = { [k]: 1 }; | s[k] = 2; | property | s
  property of the object that a constructor returns | const one = {}; class B { constructor() { return one; } } class C extends B { constructor() { super(); this.n = 1; } } | new C(); | property | one
  object literal of an earlier call | const make = () => { const o = {}; return { set: () => { o.x = 1; }, o }; }; const m = make(); | m.set(); | property | m.o
  property behind a proxy | const t = { a: 1 }; const s = new Proxy(t, {}); | s.a = 2; | property | t
  property behind a proxy with a trap | const t = { a: 1 }; const s = new Proxy(t, { set(t, k, v) { t[k] = v; return true; } }); | s.a = 2; | property | t
  property behind a revocable proxy | const t = { a: 1 }; const { proxy } = Proxy.revocable(t, {}); | proxy.a = 2; | property | t
  private field | class C { #n = 1; up() { this.#n = 2; } get n() { return this.#n; } } const s = new C(); | s.up(); | private field of a C | s.n
  private field by ++ | class C { #n = 1; up() { this.#n++; } get n() { return this.#n; } } const s = new C(); | s.up(); s.up(); | private field | s.n
  private field by ??= | class C { #n; up() { this.#n ??= 3; } get n() { return this.#n; } } const s = new C(); | s.up(); | private field | s.n
  private field by destructuring | class C { #n; up() { [this.#n] = [3]; } get n() { return this.#n; } } const s = new C(); | s.up(); | private field | s.n
  private field of another object | class C { #n = 0; up(o) { o.#n = 3; } get n() { return this.#n; } } const s = new C(); | new C().up(s); | private field | s.n
  private field of the result of a call | class C { #n = 0; me() { return this; } up() { this.me().#n = 3; } get n() { return this.#n; } } const s = new C(); | s.up(); | private field | s.n
  static private field | class C { static #n = 0; static up() { C.#n++; } static get n() { return C.#n; } } | C.up(); | private field | C.n
  private field behind a private setter | class C { #n = 0; set #m(v) { this.#n = v; } up() { this.#m = 3; } get n() { return this.#n; } } const s = new C(); | s.up(); | private field | s.n
  private fields of one name in two classes of one factory | const mix = (B) => class extends B { #n = 0; up() { super.up?.(); this.#n++; } get n() { return [this.#n, super.n]; } }; const s = new (mix(mix(Object)))(); | s.up(); | private field | String(s.n)
  array index | const s = [1, 2]; | s[1] = 5; | an Array | s
  array index beyond the end | const s = [1, 2]; | s[5] = 5; | an Array | s
  array length | const s = [1, 2]; | s.length = 0; | an Array | s
  push | const s = [1, 2]; | s.push(3); | an Array | s
  push then sort then push | const s = [3, 1]; | s.push(2); s.sort(); s.push(7); | an Array | s
  pop | const s = [1, 2]; | return s.pop(); | an Array | s
  shift | const s = [1, 2]; | s.shift(); | an Array | s
  unshift | const s = [1, 2]; | s.unshift(0); | an Array | s
  splice | const s = [1, 2, 3]; | s.splice(1, 1); | an Array | s
  sort | const s = [3, 1, 2]; | return s.sort(); | an Array | s
  sort through map | const s = { list: [3, 1, 2] }; | return s.list.sort((a, b) => a - b).map((x) => x); | an Array | s
  reverse | const s = [3, 1, 2]; | s.reverse(); | an Array | s
  fill | const s = [1, 2]; | s.fill(0); | an Array | s
  copyWithin | const s = [1, 2, 3]; | s.copyWithin(0, 1); | an Array | s
  push on an array with holes and names | const s = [1, , 3, undefined]; s.name = "x"; | s.push(1); s.name = "y"; s[1] = 2; | an Array | s
  sparse array | const s = []; s[100000] = 1; | s[5] = 2; s.pop(); | an Array | s
  array with an accessor | const s = [1, 2, 3]; Object.defineProperty(s, 1, { get: () => 7, configurable: true }); | s.length = 0; | an Array | s
  array subclass | class L extends Array { add(x) { this.push(x); } } const s = L.from([1]); | s.add(2); | a L | s
  push in an optional chain | const s = { a: { list: [] } }; | s?.a.list.push(1); | an Array | s
  push by call | const s = []; | Array.prototype.push.call(s, 1); | an Array | s
  push by apply | const s = []; const { push } = Array.prototype; | push.apply(s, [1]); | an Array | s
  push by a bound function | const s = []; const push = s.push.bind(s); | push(1); | an Array | s
  push by Reflect.apply | const s = []; | Reflect.apply([].push, s, [1]); | an Array | s
  push by a computed name | const s = []; const name = "push"; | s[name](1); | an Array | s
  Set.add as a callback | const s = new Set(); | [1, 2].forEach(s.add, s); | a Set | s
  Map.set | const s = new Map([[1, 2]]); | s.set(3, 4); | a Map | s
  Map.set of a present key | const s = new Map([[1, 2], [3, 4]]); | s.set(1, 9); | a Map | s
  Map.delete | const s = new Map([[1, 2], [3, 4]]); | s.delete(1); s.set(1, 2); | a Map | s
  Map.clear | const s = new Map([[1, 2]]); | s.clear(); | a Map | s
  Map subclass | class M extends Map {} const s = new M([[1, 2]]); | s.set(3, 4); | a M | s
  Set.add | const s = new Set([1]); | s.add(2); | a Set | s
  Set.delete | const s = new Set([1, 2]); | s.delete(1); | a Set | s
  Set.clear | const s = new Set([1, 2]); | s.clear(); | a Set | s
  WeakMap.set | const k = {}; const s = new WeakMap([[k, 1]]); | s.set(k, 2); | a WeakMap | s.get(k)
  WeakMap.set of a new key | const k = {}; const s = new WeakMap(); | s.set(k, 2); | a WeakMap | s.has(k)
  WeakMap.delete | const k = {}; const s = new WeakMap([[k, 1]]); | s.delete(k); | a WeakMap | s.get(k)
  WeakSet.add | const k = {}; const s = new WeakSet(); | s.add(k); | a WeakSet | s.has(k)
  Date.setTime | const s = new Date(5); | s.setTime(9); | a Date | s
  Date.setHours | const s = new Date(5); | s.setHours(9); | a Date | s
  typed array element | const s = new Uint8Array([1, 2]); | s[0] = 9; | an ArrayBuffer | s.buffer
  typed array set | const s = new Uint8Array([1, 2]); | s.set([9]); | an ArrayBuffer | s.buffer
  typed array fill | const s = new Float64Array(3); | s.fill(1); | an ArrayBuffer | s.buffer
  typed array sort | const s = new Int16Array([3, 1]); | s.sort(); | an ArrayBuffer | s.buffer
  new view of old bytes | const s = new ArrayBuffer(4); | new Uint8Array(s)[1] = 7; | an ArrayBuffer | s
  DataView | const s = new DataView(new ArrayBuffer(4)); | s.setInt16(0, 7); | an ArrayBuffer | s
  Atomics | const s = new Int32Array(2); | Atomics.add(s, 0, 5); | an ArrayBuffer | s.buffer
  ArrayBuffer.resize | const s = new ArrayBuffer(4, { maxByteLength: 8 }); new Uint8Array(s).fill(3); | s.resize(2); | an ArrayBuffer | s
  lastIndex left by exec | const s = /a/g; | return s.exec("aa") !== null; | a RegExp | s
  lastIndex left by test | const s = /a/y; | s.test("aa"); | a RegExp | s
  lastIndex reset by replace | const s = /a/g; s.lastIndex = 1; | "aa".replace(s, "b"); | a RegExp | s
  Object.assign | const s = { a: 1 }; | Object.assign(s, { b: 2 }); | property | s
  Object.defineProperty | const s = { a: 1 }; | Object.defineProperty(s, "b", { value: 1 }); | property | s
  Object.defineProperty that makes a property read-only | const s = { a: 1 }; Object.defineProperty(s, "b", { value: 1, writable: true }); | Object.defineProperty(s, "b", { writable: false }); | property | s
  Object.defineProperties | const s = { a: 1 }; | Object.defineProperties(s, { b: { value: 1 }, a: { enumerable: false } }); | property | s
  Object.setPrototypeOf | const s = { a: 1 }; | Object.setPrototypeOf(s, { b: 1 }); | property | s
  Object.freeze | const s = { a: 1 }; | Object.freeze(s); | frozen | s
  Object.seal | const s = { a: 1 }; | Object.seal(s); | sealed | s
  Object.preventExtensions | const s = [1]; | Object.preventExtensions(s); | extensible | s
  Object.freeze taken from Object | const { freeze } = Object; const s = { a: 1 }; | freeze(s); | frozen | s
  Object.freeze as a callback | const s = [{ a: 1 }]; | s.forEach(Object.freeze); | frozen | s
  __defineGetter__ | const s = { a: 1 }; | s.__defineGetter__("a", () => 2); | property | s
  Reflect.set | const s = { a: 1 }; | Reflect.set(s, "a", 2); | property | s
  Reflect.set with a receiver | const s = { a: 1 }; | Reflect.set({}, "a", 2, s); | property | s
  Reflect.defineProperty | const s = { a: 1 }; | Reflect.defineProperty(s, "a", { value: 2 }); | property | s
  Reflect.deleteProperty | const s = { a: 1 }; | Reflect.deleteProperty(s, "a"); | property | s
  Reflect.setPrototypeOf | const s = { a: 1 }; | Reflect.setPrototypeOf(s, null); | property | s
  the setter of __proto__, taken | const s = { a: 1 }; const { set } = Object.getOwnPropertyDescriptor(Object.prototype, '__proto__'); | set.call(s, { b: 1 }); | property | s
  push behind a proxy | const t = [1]; const s = new Proxy(t, {}); | s.push(2); | an Array | t
  freeze of a proxy | const t = { a: 1 }; const s = new Proxy(t, {}); | Object.freeze(s); | frozen | t
  RegExp.compile | const s = /a/; | s.compile('b', 'g'); | a RegExp | String(s)
  Reflect.preventExtensions | const s = { a: 1 }; | Reflect.preventExtensions(s); | extensible | s
  Error.captureStackTrace | const s = { a: 1 }; | Error.captureStackTrace(s); | property | s
  await | let n = 0; | return (async () => { await null; n = 1; })(); | await | n
  for await | let n = 0; | return (async () => { for await (const x of [1]) n = x; })(); | await | n
  promise.then | let n = 0; const p = Promise.resolve(); | p.then(() => { n = 1; }); | promise | n
  promise.finally | let n = 0; const p = Promise.resolve(); | p.finally(() => { n = 1; }); | promise | n
  Promise.all | const p = Promise.resolve(); | return Promise.all([p]); | promise |
  async function that writes | let n = 0; | return (async () => { n = 1; })(); | n | n
  async generator | let n = 0; const g = (async function* () { yield n++; })(); | g.next(); | async generator | n
  generator that has begun | const g = (function* () { yield 1; yield 2; })(); g.next(); | return g.next().value; | generator |
  generator that has not begun | const g = (function* () { yield 1; yield 2; })(); | return g.next().value; | generator |
  generator by for-of | const g = (function* () { yield 1; yield 2; })(); | for (const x of g) return x; | generator |
  generator by spread | const g = (function* (...xs) { yield* xs; })(1, 2); g.next(); | return [...g]; | generator |
  generator by return | const g = (function* () { yield 1; yield 2; })(); g.next(); | g.return(); | generator |
  built-in iterator by next | const g = [1, 2].values(); | return g.next().value; | advance |  | damaged
  built-in iterator by for-of | const g = new Map([[1, 2]]).entries(); | for (const x of g) return x; | advance |  | damaged
  built-in iterator by spread | const g = new Set([1]).values(); | return [...g]; | advance |  | damaged
  built-in iterator by destructuring | const g = "abc"[Symbol.iterator](); | const [a] = g; return a; | advance |  | damaged
  violation that the handler catches | let n = 0; | try { n = 1; } catch { return "caught"; } | n | n
  change before an error | const s = [1]; | s.push(2); throw new Error("after"); | an Array | s
  many kinds in one handler | const s = { list: [1], map: new Map(), date: new Date(1) }; | s.list.push(s.map.set(s, 1).size); s.date.setTime(9); s.list = []; s.list.push(1); | a Map | s
  delete from an object that takes no new properties | const s = Object.preventExtensions({ a: 1 }); | delete s.a; | property |  | damaged
`);

describe('read-only run: what changes workflow state', () => {
  for (const [name, state = '', does = '', what = '', roots = '', damaged] of caught) {
    const undone = damaged === undefined;
    it(`${name} -> violation with place, state as before`, () => {
      // The handler is on line 3.
      const workflow = load(
        `function main(input) { ${state}\n exports.state = () => [${roots}];\n exports.query = () => { ${does} };\n} main(1);`,
      );
      const before = picture(workflow.state());
      for (const again of undone ? [1, 2] : [1]) {
        const outcome = ask(workflow, { capture: (value) => JSON.stringify(value) });
        expect(outcome, `run ${again}`).to.include({ kind: 'violation', undone });
        const { what: found, location } = outcome as { what: string; location: string };
        expect(found).to.contain(what);
        // A built-in that nobody called by name is placed in the script, which has the same lines.
        expect(location).to.match(/^(workflow\.ts|workflows\.js):(1|3)\b/);
        if (undone) expect(picture(workflow.state())).to.equal(before);
      }
    });
  }

  it('module-level variable -> violation', () => {
    const workflow = load('let count = 0;\nexports.query = () => count++;\nexports.state = () => [count];');
    expect(ask(workflow)).to.deep.include({
      kind: 'violation',
      what: 'write the variable `count`',
      location: 'workflow.ts:2',
    });
    expect(workflow.state()).to.deep.equal([0]);
  });

  it('undeclared variable -> violation', () => {
    const workflow = load('exports.query = () => { undeclared = 1; };');
    expect(ask(workflow)).to.include({ kind: 'violation', location: 'workflow.ts:1' });
  });

  it('generator of the workflow -> goes on where it was', () => {
    const workflow = load(`
      const log = [];
      function* inner() { try { log.push(yield 'a'); log.push(yield 'b'); } finally { log.push('end'); } }
      function* outer(x, ...rest) { const got = yield* inner(); log.push(got); yield* [1, 2, 3]; return x; }
      const started = outer('x'), fresh = inner();
      exports.change = () => { started.next('ignored'); };
      exports.query = () => started.next('from query');
      exports.other = () => fresh.return('from query');
      exports.rest = () => { const seen = [started.next('one').value, started.next('two').value, ...started, ...fresh]; return JSON.stringify([seen, log]); };
    `) as Workflow & { other: () => unknown; rest: () => string };
    expect(ask(workflow)).to.include({ kind: 'violation', undone: true });
    workflow.change();
    expect(ask(workflow)).to.include({ kind: 'violation', undone: true });
    expect(ask({ query: workflow.other })).to.include({ kind: 'violation', undone: true });
    expect(ask(workflow)).to.include({ kind: 'violation', undone: true });
    expect(JSON.parse(workflow.rest())).to.deep.equal([
      ['b', 1, 2, 3, 'a', 'b'],
      ['one', 'two', 'end', null, null, null, 'end'],
    ]);
  });

  it('handler that awaits -> nothing of it runs later, and no rejection goes unhandled', async () => {
    const { context } = shared;
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      const workflow = load(`
        const log = [];
        exports.query = async () => { try { await 1; log.push('after'); } finally { log.push('finally'); } };
        exports.other = () => { exports.query(); return 'sync'; };
        exports.throws = async () => { throw new Error('x'); };
        exports.state = () => log;
      `) as Workflow & { other: () => unknown; throws: () => unknown };
      expect(ask(workflow)).to.include({ kind: 'violation', what: 'await' });
      expect(ask({ query: workflow.other })).to.include({ kind: 'violation', what: 'await' });
      expect(ask({ query: workflow.throws }, { capture: () => 1 })).to.deep.equal({ kind: 'ok', value: 1 });
      vm.runInContext('0', context);
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(workflow.state()).to.have.length(0);
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});

// ---------------------------------------------------------------------------------------------------------------

const STATE = `
  const s = { b: 2, a: 1, list: [3, 1, 2], nested: { deep: [{ n: 1 }] }, map: new Map([['x', 1]]), set: new Set([1, 2]), text: 'a1b22', date: new Date(5), bytes: new Uint8Array([3, 1]) };
`;

/** One case a line: its name, what the handler does, and its answer. */
const innocent = rows(String.raw`
  object spread | return { ...s.nested, x: 1 }; | {"deep":[{"n":1}],"x":1}
  Object.fromEntries | return Object.fromEntries(Object.entries({ a: s.a })); | {"a":1}
  rest destructuring | const { a, list, ...rest } = s; return Object.keys(rest); | ["b","nested","map","set","text","date","bytes"]
  array destructuring | const [x, ...more] = s.list; return [x, more]; | [3,[1,2]]
  generator | function* g() { const x = yield* [1, 2]; yield x; yield 3; } return [...g()].length; | 4
  generator with state | function* ids() { let n = 0; for (;;) yield n++; } const g = ids(); g.next(); g.next(); return g.next().value; | 2
  recursive generator | function* walk(n) { if (n > 0) { yield n; yield* walk(n - 1); } } return [...walk(4)]; | [4,3,2,1]
  generator that is left early | function* g() { try { yield 1; yield 2; } finally { s.b; } } for (const x of g()) return x; | 1
  padStart | return "7".padStart(3, "0"); | "007"
  replace | return s.text.replace(/\d+/g, "#"); | "a#b#"
  replace with a function | let n = 0; return s.text.replace(/\d+/g, () => ++n); | "a1b2"
  match | return s.text.match(/\d+/g); | ["1","22"]
  matchAll | return [...s.text.matchAll(/\d/g)].map((m) => m.index); | [1,3,4]
  exec loop | const re = /\d/g; const out = []; let m; while ((m = re.exec(s.text)) !== null) out.push(m[0]); return out; | ["1","2","2"]
  split | return s.text.split(/\d+/); | ["a","b",""]
  Array.from | return Array.from(s.set, (x) => x * 2); | [2,4]
  Array.from of a length | return Array.from({ length: 3 }, (_, i) => i); | [0,1,2]
  Object.assign to a new object | return Object.keys(Object.assign({}, s)).length; | 9
  Object.assign to a copy | const copy = { ...s.nested }; Object.assign(copy, { x: 1 }); return copy; | {"deep":[{"n":1}],"x":1}
  freeze of a new object | return Object.freeze({ a: s.a }); | {"a":1}
  freeze of a local | const o = { a: 1 }; Object.freeze(o); return [Object.isFrozen(o), Object.isSealed(o), Object.isExtensible(o)]; | [true,true,false]
  freeze in a function | const make = (x) => { Object.freeze(x); return x; }; const o = make({ a: 1 }); try { o.a = 2; } catch (e) { return [e.name, o.a]; } | ["TypeError",1]
  deep freeze of a copy | const deep = (o) => { for (const v of Object.values(o)) if (typeof v === "object") deep(v); return Object.freeze(o); }; return deep(JSON.parse(JSON.stringify(s.nested))); | {"deep":[{"n":1}]}
  local push and sort | const out = []; for (const x of s.list) out.push(x * 2); out.sort((a, b) => a - b); return out; | [2,4,6]
  local array of a helper | const add = (to, x) => { to.push(x); return to; }; return add(add([], 1), 2); | [1,2]
  sort of a copy | return [...s.list].sort(); | [1,2,3]
  sort of a slice | return s.list.slice().sort().reverse(); | [3,2,1]
  local Map and Set | const m = new Map(s.map); m.set("y", 2); m.delete("x"); const t = new Set(s.set); t.add(9); return [[...m], [...t]]; | [[["y",2]],[1,2,9]]
  local WeakMap | const w = new WeakMap(); const k = {}; w.set(k, 1).set(s, 2); return [w.get(k), w.get(s)]; | [1,2]
  local Date | const d = new Date(s.date); d.setFullYear(1999); return [d.getFullYear(), s.date.getTime()]; | [1999,5]
  local typed array | const b = new Uint8Array(s.bytes); b[0] = 9; b.sort(); return [...b, ...s.bytes]; | [1,9,3,1]
  closure that counts | let n = 0; s.list.forEach((x) => { n += x; }); return n; | 6
  closure that fills an object | const by = {}; s.list.forEach((x) => { by[x] = (by[x] ?? 0) + 1; }); return by; | {"1":1,"2":1,"3":1}
  closures that count apart | const make = () => { let n = 0; return () => ++n; }; const a = make(), b = make(); a(); a(); return [a(), b()]; | [3,1]
  parameter that is reassigned | const f = (x = 1) => { x += 1; const g = () => { x *= 2; }; g(); return x; }; return f(2); | 6
  parameter that a default changes | const f = (x, g = () => x++) => { g(); return x; }; return f(2); | 3
  arrow function of one expression | const f = (x) => [() => ++x, () => x]; const [up, get] = f(1); up(); return get(); | 2
  reduce | return s.list.reduce((all, x) => { all[x] = true; return all; }, {}); | {"1":true,"2":true,"3":true}
  class instance | class C { n = 0; list = []; up() { this.n++; this.list.push(this.n); return this; } } return new C().up().up(); | {"n":2,"list":[1,2]}
  class instance of the workflow’s class | return new Counter().up().up().n; | 2
  derived class | class D extends Counter { m = 1; constructor() { super(); this.m++; this.up(); } } return new D(); | {"m":2}
  private fields | class C { #n = 1; up() { this.#n *= 2; return this; } get n() { return this.#n; } } return new C().up().up().n; | 4
  error class | class E extends Error { constructor(m) { super(m); this.name = "E"; this.code = 1; } } try { throw new E("x"); } catch (e) { return [e.name, e.code, e instanceof E]; } | ["E",1,true]
  JSON | return JSON.parse(JSON.stringify(s.nested), (k, v) => (typeof v === "number" ? v + 1 : v)); | {"deep":[{"n":2}]}
  try and finally | let log = ""; try { null.x; } catch (e) { log += "c"; } finally { log += "f"; } return log; | "cf"
  labelled loops | let n = 0; outer: for (const x of s.list) { for (const y of s.list) { if (y === 2) continue outer; if (x === 2) break outer; n++; } } return n; | 4
  structured sort key | return s.list.toSorted?.() ?? [...s.list].sort(); | [1,2,3]
  Object.groupBy | return Object.groupBy ? Object.groupBy(s.list, (x) => (x > 1 ? "big" : "small")) : { big: [3, 2], small: [1] }; | {"big":[3,2],"small":[1]}
  logical assignment that writes nothing | s.a ??= 9; s.nested.deep ||= []; return s.a; | 1
  logical assignment to a variable that writes nothing | memo ??= 9; memo ||= 8; return memo; | 5
  memo that is filled | return full.x; | 7
  loop that writes no variable | for (memo of []) ; return memo; | 5
  global regular expression used up | const out = []; let m; while ((m = RE.exec(s.text))) out.push(m[0]); return out.concat(s.text.replace(RE, "-")); | ["1","2","2","a-b--"]
  arguments object | function f() { arguments[0] = 5; return arguments[0]; } return f(1); | 5
  iterator protocol by hand | const it = s.list[Symbol.iterator](); it.next(); return it.next().value; | 1
  iterator of its own | const it = { n: 0, next() { return this.n < 3 ? { value: this.n++, done: false } : { value: undefined, done: true }; }, [Symbol.iterator]() { return this; } }; return [...it]; | [0,1,2]
  Object.create and defineProperty | const o = Object.create({ x: 1 }); Object.defineProperty(o, "y", { value: 2, enumerable: true }); return [o.x, o.y, Object.keys(o)]; | [1,2,["y"]]
  class with static state of its own | class C { static n = 0; static { this.n += 1; } static up() { return ++C.n; } } C.up(); return C.up(); | 3
  proxy | const target = {}; const p = new Proxy(target, { set(t, k, v) { t[k] = v * 2; return true; } }); p.x = 4; return target; | {"x":8}
  proxy that keeps writes apart | const over = {}; const p = new Proxy(s, { set(t, k, v) { over[k] = v; return true; } }); p.a = 4; return [over, s.a]; | [{"a":4},1]
  setter of an object of its own | const o = { _x: 1, set x(v) { this._x = v; } }; o.x = 5; return o._x; | 5
  destructuring into its own object | const o = {}; [o.a, ...o.rest] = s.list; ({ b: o.b } = s); return o; | {"a":3,"rest":[1,2],"b":2}
  comma and conditional receivers | const o = { x: 0 }, p = { x: 0 }; (s.a, o).x = 1; (s.a ? o : p).x++; return [o.x, p.x]; | [2,0]
  built-in on an object of another class | const tries = [() => Map.prototype.set.call(s, 1, 2), () => Date.prototype.setTime.call(s, 1), () => WeakMap.prototype.set.call(s, s, 1), () => Set.prototype.add.call(s.map, 1)]; return tries.map((f) => { try { f(); } catch (e) { return e.name; } }); | ["TypeError","TypeError","TypeError","TypeError"]
  trusted code | trusted(1); return trusted(2) > 1; | true
  promise that nobody waits for | const p = Promise.resolve(1); return p instanceof Promise; | true
  transfer of its own buffer | const b = new ArrayBuffer(2); new Uint8Array(b)[0] = 4; const c = b.transfer ? b.transfer() : b.slice(0); return new Uint8Array(c)[0]; | 4
  Reflect on its own object | const o = { a: 1, b: 2 }; Reflect.set(o, "a", 3); Reflect.deleteProperty(o, "b"); Reflect.preventExtensions(o); return [o, Reflect.isExtensible(o)]; | [{"a":3},false]
`);

describe('read-only run: what leaves workflow state alone', () => {
  for (const [name, code = '', json = ''] of innocent) {
    const answer: unknown = JSON.parse(json);
    it(`${name} -> answered`, () => {
      const workflow = load(`
        class Counter { #n = 0; up() { this.#n++; return this; } get n() { return this.#n; } }
        const RE = /\\d/g;
        function main() {
          ${STATE}
          let memo = 5;
          const full = { _x: 7, get x() { return (this._x ??= 1); } };
          exports.state = () => [s, memo, full, RE];
          exports.query = () => { ${code} };
        }
        main();
      `);
      const before = picture(workflow.state());
      expect(plain(ask(workflow))).to.deep.equal({ kind: 'ok', value: answer });
      expect(picture(workflow.state())).to.equal(before);
      // And the code does the same where it may change state.
      expect(JSON.parse(JSON.stringify(workflow.query()))).to.deep.equal(answer);
    });
  }

  it('error that the handler throws -> threw, with what it holds whole', () => {
    const workflow = load(`
      function add(list, x) { list.push(x); }
      exports.query = () => { const problems = []; add(problems, 'a'); add(problems, 'b'); const e = new Error('invalid'); Object.assign(e, { problems }); throw e; };
    `);
    const outcome = ask(workflow) as { kind: string; error: Error & { problems: string[] } };
    expect(outcome.kind).to.equal('threw');
    expect(outcome.error.message).to.equal('invalid');
    expect([...outcome.error.problems]).to.deep.equal(['a', 'b']);
  });

  it('handler that touches nothing -> runs once', () => {
    let runs = 0;
    const workflow = load(
      'const s = [2, 1]; exports.query = () => { const out = []; for (const x of s) out.push(x); return out.sort(); };',
    );
    expect(plain(ask(workflow, { beforeEachRun: () => runs++ }))).to.deep.equal({
      kind: 'ok',
      value: [1, 2],
    });
    expect(runs).to.equal(1);
  });

  it('handler that touches objects of its own -> runs twice, and captures while they are whole', () => {
    let runs = 0;
    const workflow = load(
      'const add = (l, x) => { l.push(x); return l; }; exports.query = () => add([], 1);',
    );
    const outcome = ask(workflow, { beforeEachRun: () => runs++, capture: (value) => JSON.stringify(value) });
    expect(outcome).to.deep.equal({ kind: 'ok', value: '[1]' });
    expect(runs).to.equal(2);
  });

  it('capture that throws -> threw', () => {
    const workflow = load('exports.query = () => 1;');
    const error = new Error('cannot encode');
    const capture = () => {
      throw error;
    };
    expect(ask(workflow, { capture })).to.deep.equal({ kind: 'threw', error });
  });
});

// ---------------------------------------------------------------------------------------------------------------

describe('read-only run: packages', () => {
  const inPackage = (line: number) => (line === 1 ? 'node_modules/memo/index.js:1' : `workflow.ts:${line}`);

  it('memo of a package -> undone, no violation', () => {
    const workflow = load(
      `const cache = new Map(); let hits = 0; const last = {}; class K { #n = 0; up() { return ++this.#n; } } const k = new K(); const memo = (key) => { hits++; last.key = key; k.up(); if (!cache.has(key)) cache.set(key, { key }); return [cache.get(key).key, hits]; };
       exports.query = () => memo('x');
       exports.state = () => [cache, hits, last];
       exports.change = () => k.up();`,
      shared,
      inPackage,
    ) as Workflow & { change: () => number };
    const before = picture(workflow.state());
    expect(plain(ask(workflow))).to.deep.equal({ kind: 'ok', value: ['x', 1] });
    expect(plain(ask(workflow))).to.deep.equal({ kind: 'ok', value: ['x', 1] });
    expect(picture(workflow.state())).to.equal(before);
    expect(workflow.change()).to.equal(1);
  });

  it('object that a package and then the handler change -> violation of the handler', () => {
    const workflow = load(
      `const s = {}; const lib = (o) => { o.x = 1; };
       exports.query = () => {
         lib(s);
         s.y = 2;
       };
       exports.state = () => [s];`,
      shared,
      inPackage,
    );
    expect(ask(workflow)).to.include({ kind: 'violation', location: 'workflow.ts:4' });
    expect(workflow.state()[0]).to.deep.equal({});
  });

  for (const location of ['node_modules/zod/x.js:3', '../../node_modules/zod/x.js:3', '<bundle>:3', '']) {
    it(`variable written at '${location}' -> undone, no violation`, () => {
      const workflow = load(
        'let n = 1; exports.query = () => ++n; exports.state = () => [n];',
        shared,
        () => location,
      );
      expect(ask(workflow)).to.deep.equal({ kind: 'ok', value: 2 });
      expect(workflow.state()).to.deep.equal([1]);
    });
  }
});

// ---------------------------------------------------------------------------------------------------------------

describe('read-only runtime', () => {
  it('trusted code that changes its own state during a run -> is let through, and keeps it', () => {
    const sandbox = createSandbox();
    const workflow = load('exports.query = () => trusted("x");', sandbox);
    expect(ask(workflow, {}, sandbox)).to.deep.equal({ kind: 'ok', value: 1 });
    expect(ask(workflow, {}, sandbox)).to.deep.equal({ kind: 'ok', value: 2 });
    expect(vm.runInContext('realm.trustedMap.size', sandbox.context)).to.equal(1);
  });

  it('run that a time limit cuts off -> abandon undoes it', () => {
    const sandbox = createSandbox();
    const workflow = load(
      'const s = [1]; exports.query = () => { s.push(2); for (;;) ; }; exports.state = () => [...s]; exports.change = () => s.push(3);',
      sandbox,
    );
    Object.assign(sandbox.context, { cut: () => ask(workflow, {}, sandbox) });
    expect(() => vm.runInContext('cut()', sandbox.context, { timeout: 20 })).to.throw(/timed out/);
    expect(sandbox.readOnly.abandon()).to.equal(true);
    expect(sandbox.readOnly.on).to.equal(0);
    expect(workflow.state()).to.deep.equal([1]);
    workflow.change();
    expect(workflow.state()).to.deep.equal([1, 3]);
  });

  it('run within a run -> refused', () => {
    const workflow = load('exports.query = () => exports.inner();') as Workflow & { inner: () => void };
    workflow.inner = () => ask(workflow);
    expect(ask(workflow)).to.have.nested.property('error.message', 'A read-only run is under way');
  });

  it('API that refuses in a run -> violation, also when it is caught', () => {
    const workflow = load(
      'exports.query = () => { try { exports.api(); } catch { return 1; } };',
    ) as Workflow & { api: () => void };
    workflow.api = () => shared.readOnly.violate('start a timer', 'workflow.ts:9');
    expect(ask(workflow)).to.deep.equal({
      kind: 'violation',
      what: 'start a timer',
      location: 'workflow.ts:9',
      undone: true,
    });
  });

  it('more changes than the limit -> violation, state as before', () => {
    const workflow = load(
      'const s = []; const set = (o) => { o.x = 1; }; exports.query = () => { for (let i = 0; i < 300000; i++) set({}); }; exports.state = () => s;',
    );
    expect(ask(workflow)).to.include({ kind: 'violation', what: 'make more changes than can be undone' });
  });

  it('guarded built-ins -> look like the built-ins they replace', () => {
    const pristine = vm.createContext({});
    const describeAll = `JSON.stringify([Array.prototype, Map.prototype, Set.prototype, WeakMap.prototype, Date.prototype, Object, Reflect,
      Object.getPrototypeOf(Uint8Array.prototype), DataView.prototype, Promise.prototype, Object.getPrototypeOf(function* () {}.prototype), Atomics, globalThis.Proxy]
      .map((holder) => Reflect.ownKeys(holder).map((key) => { const d = Object.getOwnPropertyDescriptor(holder, key); let isNew = null;
        if (typeof d.value === 'function' && key !== 'constructor') { try { Reflect.construct(Object, [], d.value); isNew = true; } catch { isNew = false; } }
        return [String(key), d.enumerable, d.writable, d.configurable, typeof d.value === 'function' ? [d.value.name, d.value.length, isNew, Object.hasOwn(d.value, 'prototype')] : 0]; })))`;
    expect(JSON.parse(vm.runInContext(describeAll, shared.context))).to.deep.equal(
      JSON.parse(vm.runInContext(describeAll, pristine)),
    );
  });

  it('namespaces that were frozen before -> are guarded all the same', () => {
    const context = vm.createContext({});
    vm.runInContext(realmCode, context);
    const readOnly = vm.runInContext(
      'Object.freeze(Reflect); Object.preventExtensions(Error); Object.preventExtensions(Array.prototype); const r = realm.createReadOnly(); r.installBuiltinGuards(globalThis); r',
      context,
    ) as ReadOnlyRuntime;
    const sandbox = { context, readOnly };
    const workflow = load(
      'const s = {}; exports.query = () => Reflect.set(s, "x", 1); exports.state = () => [s];',
      sandbox,
    );
    expect(ask(workflow, {}, sandbox)).to.include({ kind: 'violation', location: 'workflow.ts:1' });
    expect(vm.runInContext('Object.isFrozen(Reflect) && Reflect[Symbol.toStringTag]', context)).to.equal(
      'Reflect',
    );
  });
});

// ---------------------------------------------------------------------------------------------------------------

describe('read-only run: generators of the workflow', () => {
  const code = `
    exports.make = (log) => {
      function* inner(n) { try { while (n-- > 0) log.push('inner', yield n); } catch (e) { log.push('caught', e); yield e; } finally { log.push('inner end'); } return 'r'; }
      function* outer() { try { const x = yield 1; log.push(x); log.push(yield* inner(2)); yield* [8, 9]; yield yield x; } finally { yield 'last'; } }
      return outer();
    };
    exports.query = () => {};`;
  type Step = ['next' | 'return' | 'throw', number];
  const steps = fc.array(
    fc.tuple(
      fc.constantFrom('next' as const, 'next' as const, 'return' as const, 'throw' as const),
      fc.nat(9),
    ),
    { maxLength: 12 },
  );

  function trace(chosen: Step[], isAsked: boolean): unknown[] {
    const workflow = load(code) as Workflow & {
      make: (log: unknown[]) => Generator<unknown, unknown, number>;
    };
    const log: unknown[] = [];
    const generator = workflow.make(log);
    let isDone = false;
    for (const [method, value] of chosen) {
      if (isAsked) {
        const asked = log.length;
        const outcome = shared.readOnly.runReadOnly(() => generator[method](value));
        expect(outcome.kind).to.equal(!isDone ? 'violation' : method === 'throw' ? 'threw' : 'ok');
        expect(log).to.have.length(asked);
      }
      try {
        const result = generator[method](value);
        isDone = result.done === true;
        log.push({ ...result });
      } catch (error) {
        isDone = true;
        log.push(`threw ${String(error)}`);
      }
    }
    return log;
  }

  it('asked at any time -> goes on as if nothing had happened', () => {
    fc.assert(
      fc.property(steps, (chosen) => {
        expect(trace(chosen, true)).to.deep.equal(trace(chosen, false));
      }),
      { numRuns: 300 },
    );
  });
});

// ---------------------------------------------------------------------------------------------------------------

/** Random programs of a handler over random state: always undone, and violations exactly where state would differ or is tried. */
describe('read-only run: any sequence of changes', () => {
  const targets = ['s', 's.list', 's.map', 's.set', 's.inner', 's.inner.list', 'own', 'own.list'];
  const steps = [
    ['$.push(1)', 'list'],
    ['$.pop()', 'list'],
    ['$.reverse()', 'list'],
    ['$.length = 1', 'list'],
    ['$.splice(0, 1, 7, 8)', 'list'],
    ['$[2] = 5', 'list'],
    ['$.x = 5', 'list'],
    ['$.set(1, 2)', 'map'],
    ['$.delete("a")', 'map'],
    ['$.clear()', 'map'],
    ['$.add(7)', 'set'],
    ['$.delete(1)', 'set'],
    ['$.a = 3', ''],
    ['delete $.a', ''],
    ['$.b = $.a', ''],
    ['Object.assign($, { c: 1, a: 4 })', ''],
    ['Object.defineProperty($, "d", { get: () => 1 })', ''],
    ['Object.setPrototypeOf($, null)', ''],
    ['Object.freeze($)', ''],
    ['$[1] = 1', ''],
  ] as const;
  const step = fc
    .tuple(fc.constantFrom(...targets), fc.constantFrom(...steps))
    .filter(([target, [, kind]]) => (kind === '' ? !/list|map|set/.test(target) : target.endsWith(kind)))
    .map(([target, [does]]) => ({
      isOwn: target.startsWith('own'),
      text: `try { ${does.replaceAll('$', target)}; } catch {}`,
    }));

  it('-> state as before, and a violation exactly when one is to state', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (chosen) => {
        const workflow = load(`
          const make = () => ({ a: 1, list: [1, 2, 3], map: new Map([['a', 1], ['b', 2]]), set: new Set([1, 2]), inner: { z: 1, a: 2, list: [4, , 6] }, b: 2 });
          const s = make();
          exports.query = () => { const own = make(); ${chosen.map(({ text }) => text).join(' ')} };
          exports.state = () => [s, s.list, s.map, s.set, s.inner, s.inner.list];
        `);
        const before = picture(workflow.state());
        const outcome = ask(workflow);
        expect(picture(workflow.state())).to.equal(before);
        expect(outcome.kind).to.equal(chosen.every(({ isOwn }) => isOwn) ? 'ok' : 'violation');
      }),
      { numRuns: 400 },
    );
  });
});
