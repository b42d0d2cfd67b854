/**
 * Instrumented code does outside of read-only runs exactly what the code did before (invariants I1 and I2 of
 * instrument.ts), and inside of them is caught wherever it changes something.
 */
import { createRequire } from 'node:module';
import vm from 'node:vm';
import { parse } from 'acorn';
import { expect } from 'chai';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import { columnFinder } from '../../actors/sandbox/columns.js';
import {
  type InstrumentOptions,
  instrument,
  instrumentReadOnly,
  READ_ONLY_NAME,
} from '../../actors/sandbox/instrument.js';
import { createReadOnly, type ReadOnlyRuntime } from '../../actors/sandbox/read-only.js';

const require = createRequire(import.meta.url);

/** Without guards on built-ins, which would be this process's own. */
const readOnly: ReadOnlyRuntime = createReadOnly();

type Body = (...args: unknown[]) => unknown;

function compile(code: string, parameters: readonly string[] = [], isStrict = false): Body {
  const names = [...parameters, READ_ONLY_NAME].join(', ');
  const source = `(function (${names}) {${isStrict ? '"use strict";' : ''}${code}\n})`;
  return vm.runInThisContext(source) as Body;
}

/** What a function body gives, or the class of what it throws. */
async function result(code: string, isStrict: boolean): Promise<unknown> {
  try {
    const body = compile(code, ['log'], isStrict);
    const log: unknown[] = [];
    const value: unknown = await body((...items: unknown[]) => log.push(...items), readOnly);
    return { value, log };
  } catch (error) {
    return { threw: (error as Error).name, message: (error as Error).message?.replaceAll(/__ro\$\S*/g, '') };
  }
}

function linesOf(code: string): number {
  return code.split('\n').length;
}

// ---------------------------------------------------------------------------------------------------------------

/** Function bodies, evaluated before and after, in sloppy and strict mode. All return what there is to compare. */
const corpus: Record<string, string[]> = {
  scopes: [
    'var x = 1; { let x = 2; { x++; } } return x;',
    'let f; { let x = 1; f = () => ++x; } f(); return f();',
    'const fs = []; for (let i = 0; i < 3; i++) fs.push(() => i++); return [fs[0](), fs[0](), fs[1](), fs[2]()];',
    'const fs = []; for (var i = 0; i < 3; i++) fs.push(() => i++); return [fs[0](), fs[0](), fs[1]()];',
    'const fs = []; for (const k in { a: 1, b: 2 }) fs.push(() => k); return fs.map((f) => f());',
    'const fs = []; for (let [k, v] of Object.entries({ a: 1 })) fs.push(() => (v += 1) + k); return fs[0]();',
    'function f() { return typeof g; function g() {} } return f();',
    'return typeof later; function later() {}',
    'x = 5; var x; return x;',
    'try { y; } catch (e) { return e.name; } let y = 1;',
    'try { y = 1; } catch (e) { return e.name; } let y = 2; return y;',
    'const f = () => { z = 1; }; try { f(); } catch (e) { return e.name; } let z;',
    'const c = 1; try { c = 2; } catch (e) { return [e.name, c]; }',
    'const c = 1; const f = () => { c++; }; try { f(); } catch (e) { return [e.name, c]; }',
    'const f = function me() { try { me = 1; } catch (e) { return e.name; } return typeof me; }; return f();',
    'const f = function me() { const g = () => { try { me = 1; } catch (e) { return e.name; } return typeof me; }; return g(); }; return f();',
    'class A { static set() { try { A = 1; } catch (e) { return e.name; } } } return A.set();',
    'class A {} const f = () => { A = 1; }; f(); return A;',
    'let e = 1; try { throw 2; } catch (e) { e = 3; (() => { e++; })(); log(e); } return e;',
    'try { throw { a: 1 }; } catch ({ a, b = () => a++ }) { b(); return a; }',
    'var a = 1; function f(a, b = () => a++) { var a; b(); return [a, b()]; } return [f(5), a];',
    'var a = 1; function f(b = () => a++) { var a = 10; b(); return a; } return [f(), a];',
    'function f(a, { b, c = a++ } = { b: 1 }, ...rest) { const g = () => { a++; b++; rest = [a, b, c]; }; g(); return rest; } return f(1, undefined, 3);',
    'function f() { arguments[0] = 9; return [arguments.length, arguments[0]]; } return f(1, 2);',
    'function f(x) { const g = () => { arguments[0] = 3; }; g(); return arguments[0]; } return f(1);',
    'switch (1) { case 0: let q; case 1: q = 5; (() => { q++; })(); return q; }',
    'switch (2) { case 1: let x = 1; break; case 2: { let x = 3; x++; return x; } }',
    '{ function g() { return 1; } } return typeof g;',
    'let n = 0; { function n2() { n++; } n2(); } return n;',
    'let x = 1; function f() { { function x() {} } try { x = 2; } catch {} return typeof x; } return [f(), x];',
    'lbl: for (let i = 0; ; i++) { for (;;) { if (i > 2) break lbl; continue lbl; } } return 1;',
    'a: { b: { break a; } return 1; } return 2;',
    'let i = 0; do i++; while (i < 3)\nreturn i;',
    'var f = 1; if (true) { f = 2; } return f;',
    'let x = 0; x = x + (x = 5) + x; return x;',
    'let v = 1; const f = (v) => { v = 2; return v; }; return [f(3), v];',
    'const { a, ...rest } = { a: 1, b: 2 }; let g = () => { g = null; return rest; }; return [a, g(), g];',
    'return ((a, b) => { a = b; return () => a++; })(1, 2)();',
    'const make = x => y => z => { x++; y++; z++; return [x, y, z]; }; const m = make(1)(2); m(3); return m(3);',
    'const a = x => ({ x, up: () => x++ }); const o = a(1); o.up(); return [o.x, o.up()];',
    'const f = x /* => */ => /* => */ (() => ++x); return f(1)();',
    'const f = (x // => \n) =>\n (\n() => x++); const g = f(3); g(); return g();',
    'const f = async x => { const g = () => x++; g(); return x; }; return f(1);',
    'const f = async (x) => (() => ++x)(); return f(1);',
    'const f = async x => await (() => ++x)(); return f(1);',
    'const f = (...xs) => () => { xs = [...xs, 1]; return xs; }; return f(1)();',
  ],
  writes: [
    'const o = { a: { b: 1 } }; o.a.b += 2; o["a"].b **= 2; o.a["c"] ??= 5; o.a.d &&= 1; o.a.b ||= 9; return o;',
    'const o = {}; const r = (o.x = o.y = 3); return [o, r];',
    'const o = { n: 1 }; return [o.n++, ++o.n, o.n--, --o.n, -o.n, delete o.n, "n" in o];',
    'const log2 = []; const f = () => (log2.push("obj"), {}), k = () => (log2.push("key"), "k"), v = () => (log2.push("value"), 1); f()[k()] = v(); f()[k()] += v(); f()[k()]++; delete f()[k()]; return log2;',
    'let o = { o: 1 }; o.x = o = { p: 1 }; return o;',
    'let a = 1, b = 2; [a, b] = [b, a]; return [a, b];',
    'let a, b, r; ({ a, b: [b = 4], ...r } = { a: 1, b: [], c: 3 }); return [a, b, r];',
    'const o = {}; [o.a, [o.b = 2, ...o.c], { d: o.d, ...o.e }] = [1, [undefined, 3, 4], { d: 5, x: 6 }]; return o;',
    'const o = { l: [] }; for (o.x of [1, 2]) o.l.push(o.x); for (o.k in { p: 1 }) ; return o;',
    'let x; for ([x] of [[1], [2]]) ; for ({ x = 7 } of [{}]) ; return x;',
    'let x = 0; for (x of [1, 2]) { if (x === 2) break; } return x;',
    'let x; (x) = 1; ((x)) += 2; (x)++; const o = {}; (o.a) = 4; ((o.a))++; (o).b = 1; return [x, o];',
    'const o = { a: 1 }; return [delete o.a, delete (o).b, delete o?.c, delete o?.["d"], delete (o?.e)];',
    'const o = null; return [delete o?.a, delete o?.a.b, delete o?.a().b, o?.x.y.push(1)];',
    'const o = { f() { return this.g; }, g: { h: 1 } }; return [delete o?.f().h, o.g];',
    'const o = { a: {} }; return [delete o?.a.b.c];',
    'const o = { a: { l: [1], f() { return this.l; } } }; o.a?.l.push(2); o?.a.f?.().push(3); o.b?.l.push(4); o.a.g?.(); (o?.a).l.push(5); (o?.a.f)().push(6); return o.a.l;',
    'const a = [3, 1, 2]; a.length = 2; a[5] = 1; a[a.length] = 7; return [a, a.length];',
    'const a = [1, 2]; let i = 0; a[i++] = i; a[i++] += i; return [a, i];',
    'const f = () => {}; f.x = 1; f.x++; return f.x;',
    'const s = "str"; try { s.x = 1; } catch (e) { return e.name; } return s.x;',
    'try { null.x = 1; } catch (e) { return e.name; }',
    'try { undefined.x++; } catch (e) { return e.name; }',
    'const o = Object.freeze({ a: 1 }); try { o.a = 2; } catch (e) { return e.name; } return o.a;',
    'let f; f = () => {}; let g; g ??= function () {}; let h; (h = class {}); let k; k ||= class { static n = 1; }; return [f.name, g.name, h.name, k.name];',
    'let f; const set = () => { f = () => {}; }; set(); let g; const set2 = () => { g ??= () => {}; }; set2(); const o = {}; o.h = () => {}; o.i ??= class {}; return [f.name, g.name, o.h.name, o.i.name];',
    'let f, g; const set = () => { [f = () => {}] = []; ({ g = class {} } = {}); }; set(); return [f.name, g.name];',
    'const o = { set x(v) { this.y = v; }, get x() { return this.y; } }; o.x = 1; o.x += 2; return o.y;',
    'const o = {}; o.__proto__ = { z: 1 }; return [o.z, Object.keys(o)];',
    'let n = 0; const o = { get p() { n++; return o; } }; o.p.q = 1; o.p.p.q++; o.p.q ??= 5; return [n, o.q];',
    'let x = 1; x ||= 2; x &&= 3; x ??= 4; const f = () => { x &&= 0; x ||= 7; x ??= 8; }; f(); return x;',
    'const o = { a: 0, b: null }; let n = 0; const v = () => ++n; o.a ||= v(); o.a ||= v(); o.b ??= v(); o.b &&= v(); return [o, n];',
    'let u; (function () { u = 1, u++; })(); return u;',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code with a template in it
    'const t = (s, ...v) => s.raw.join("|") + v; const o = { x: 1 }; return t`a${o.x = 2}b\\n${o.x++}c`;',
    'const o = {}; o.re = /[/"\'`]}{/g; o.s = "a.b = c; // no"; o.n = 1_000_000; return [String(o.re), o.s, o.n];',
    'var o = { a: 1 }; if (o) o.a = 2; else o.a = 3\nfor (;;) { o.b = 1; break }\nwhile (o.c = o.a-- > 0) ;\nreturn o;',
    'const o = { i: 0 }; for (o.i = 0; o.i < 3; o.i++) ; return o.i;',
    'const a = [1, 2, 3]; const [x, ...y] = a; const [z] = new Set(a); let p, q; [p, q = p] = a; return [x, y, z, p, q, Math.max(...a), [...a, ...new Set(a)]];',
    'const o = { ...{ a: 1 }, ...null, b: [...[1]] }; return o;',
    'return [1, 2, 3].map(function (x) { return this.k * x; }, { k: 2 });',
    'const x = { y: 1 }; return typeof x.y++ + void x.y-- + x.y;',
    'const C = function () { this.a = 1; }; const o = { C }; return [new o.C().a, new (o.D = C)().a, new C().a++];',
  ],
  semicolons: [
    'let x = 1\nlet o = {}\no.a = 1\no.b = o.a\n;[o.c] = [3]\no.d = () => 1\no.e = 2\nx++\no.f = x\nreturn o.e + x',
    'let o = { f() { return this } }\nlet g = o.f\no.a = 1\nconst h = function () {}\no.b = 2\nif (o) o.c = 1\nelse o.c = 2\no.d = 3\ndo o.e = 4\nwhile (false) o.g = 5\nreturn [o.a, o.b, o.c, o.d, o.e, o.g]',
    'let o = {}\nvar i = 0\ni\n++\ni\no.a = i\nreturn o',
    'function f() { return\no.x = 1 }\nvar o = {}\nf()\nreturn o',
    'let l = []\nlet x = l\nl.push(1)\nl.push(2)\nthrow_: { l.push(3) }\nreturn l.length',
    '"use strict"\nlet o = {}\no.a = 1\nreturn (function () { "use strict"\no.b = 1\nlet n = 0\nconst up = () => n++\nup()\nreturn [o, n, this === undefined] })()',
    'switch (1) { case 1: let o = {}\no.a = 1\no.b = 2\nreturn o }',
    'class A { static o = {}\nstatic { this.o.a = 1\nthis.o.b = 2 }\nx = 1\n;["y"] = 2 }\nreturn [A.o, new A().y]',
  ],
  functions: [
    'return [((a, b = 1, ...c) => 0).length, (function (a, b) {}).length, (function* (a, b) {}).length, (function* (a, b = 1, c) {}).length, (function* (...a) {}).length, (function* g() {}).name];',
    'const o = { m(a) { a++; return () => ++a; }, get g() { let n = 1; return () => ++n; }, async am(a) { const f = () => ++a; return f(); }, ["c" + 1](x) { return (() => x++)(); } }; return Promise.all([o.m(1)(), o.g(), o.am(1), o.c1(4), o.m.name, o.am.length]);',
    'function f() { return new.target === undefined; } return [f(), new (class { constructor() { this.t = new.target !== undefined; } })().t];',
    'const add = (a) => (b) => a + b; return add(1)(2);',
    'const f = function () { return this; }; const o = { f }; return [o.f() === o, (0, o.f)() === o, (o.f)() === o, o?.f() === o, (o?.f)() === o];',
    'const list = []; const o = { push(x) { this.last = x; return list.push(x); } }; o.push(1); o["push"](2); const { push } = o; try { push(3); } catch (e) { log(e.name); } return [o.last, list];',
    'return Array.prototype.slice.call([1, 2, 3], 1).concat(Reflect.apply(Math.max, null, [1, 5]));',
    'const m = new Map([[1, { n: 0 }]]); m.get(1).n++; m.set(2, m.size).set(3, 4).delete(1); return [...m];',
    'function Old(n) { this.n = n; } Old.prototype.up = function () { this.n++; return this; }; Old.prototype.constructor = Old; return [new Old(1).up().n, new Old(2) instanceof Old];',
    'function A() { if (!(this instanceof A)) return new A(); this.x = 1; } return A().x;',
    'const memo = (f) => { const c = {}; return (k) => (k in c ? c[k] : (c[k] = f(k))); }; const sq = memo((n) => n * n); return [sq(3), sq(3)];',
    'const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2)); return fib(15);',
    'return (function f(n) { if (n === 0) return 0; let x = n; return ((y) => (x = y))(x) + f(n - 1); })(20);',
    'return [..."abc"].reduce((all, c, i) => { all[c] = i; return all; }, {});',
    'const re = /(\\d)/g; const out = []; let m; while ((m = re.exec("a1b2"))) out.push(m[1], re.lastIndex); return [out, /x/.test("x"), "a-b".replace(/-/, "+"), "aXbX".replaceAll("X", "y"), "abc".match(/b/).index];',
  ],
  classes: [
    'class A { #p = 1; static #s = 2; x = this.#p; get p() { return this.#p; } set p(v) { this.#p = v; } #m() { return this.#p++; } m() { return this.#m(); } static s() { return A.#s++; } has(o) { return #p in o; } } const a = new A(); a.p = 5; a.m(); return [a.p, a.x, A.s(), A.s(), a.has(a), a.has({})];',
    'class A { #a = 0; #b = 0; swap(o) { [this.#a, o.#b] = [1, 2]; ({ x: this.#b, ...o.#a } = { x: 3, y: 4 }); for (this.#a of [7]) ; return [this.#a, this.#b, o.#a, o.#b]; } } return new A().swap(new A());',
    'class A { #v; get #acc() { return this.#v; } set #acc(x) { this.#v = x * 2; } run() { this.#acc = 2; this.#acc += 1; this.#acc++; this.#v ??= 1; this.#v &&= this.#v + 1; return this.#v; } } return new A().run();',
    'class A { #m() {} run() { try { this.#m = 1; } catch (e) { return e.name; } } } return new A().run();',
    'class A { #p; static run(o) { try { o.#p = 1; } catch (e) { return e.name; } } } return A.run({});',
    'class B { set x(v) { this._x = v; } get x() { return this._x; } } class A extends B { run() { super.x = 4; super.x += 1; super["y"] = 2; [super.z] = [3]; for (super.w of [1]) ; return [this._x, this.y, this.z, this.w]; } } return new A().run();',
    'class A { constructor() { this.n = 1; const f = () => { this.n++; }; f(); this.list = []; this.list.push(this.n); } } return new A();',
    'class A { constructor(o) { if (o) return o; this.a = 1; } } class B extends A { b = 2; constructor(o) { super(o); this.c = 3; } } return [new B(), new B({ z: 1 }), new A(null)];',
    'class A extends Array { add(x) { this.push(x); this.last = x; return this; } } const a = new A().add(1); return [a.length, a.last, a instanceof Array];',
    'let n = 0; class A { id = ++n; static count = n++; static { let k = 1; (() => { k++; n += k; })(); } ["k" + n] = n; static [n++] = 1; } return [new A(), n, A.count];',
    'const K = class Named { static self = Named; static m() { return Named.self === K; } }; return [K.name, K.m()];',
    'class A { static async *g() { yield 1; } *h() { yield this.x; } x = 5; static #q = 1; static q() { return ++A.#q; } } return (async () => { const out = [...new A().h()]; for await (const v of A.g()) out.push(v); return [out, A.q()]; })();',
    'class A { "use strict"; constructor() { this.x = () => (this.y = 1); } } const a = new A(); a.x(); return a.y;',
    'const mix = (B) => class extends B { #n = 1; up() { return ++this.#n + (super.up?.() ?? 0); } }; return new (mix(mix(Object)))().up();',
    'class A { accessor = 1; static = 2; get = 3; set = 4; async = 5; } return new A();',
    'class A { f = () => { this.v = 1; return this; }; } return new A().f().v;',
    'class E extends Error { constructor(m, o) { super(m); this.name = "E"; Object.assign(this, o); } } try { throw new E("x", { code: 1 }); } catch (e) { return [e.name, e.code, e.message, e instanceof E, typeof e.stack]; }',
  ],
  generators: [
    'function* g(a, b) { const x = yield a; const y = yield x + b; return [x, y, arguments.length]; } const i = g(1, 2, 3); return [i.next(9), i.next(10), i.next(11), i.next()];',
    'function* g() { try { yield 1; yield 2; } catch (e) { yield "caught " + e; } finally { log("finally"); yield 3; } } const i = g(); return [i.next(), i.throw("x"), i.next(), i.next(), i.next()];',
    'function* g() { try { yield 1; } finally { log("f"); } } for (const x of g()) break; const [a] = g(); const i = g(); return [i.return(4), i.next(), a];',
    'function* inner() { const x = yield "i"; return x; } function* outer() { const r = yield* inner(); yield r; yield* [1, 2]; yield* "ab"; return yield* inner(); } const i = outer(); return [i.next(), i.next("X"), i.next(), i.next(), i.next(), i.next(), i.next(), i.next("r")];',
    'function* g() { yield* { [Symbol.iterator]() { return { next: (v) => (log("next", v), { value: v, done: v === 3 }), return: (v) => (log("return", v), { value: "R", done: true }) }; } }; } const i = g(); return [i.next(1), i.next(2), i.return(7)];',
    'function* g() { try { yield* { [Symbol.iterator]: () => ({ next: () => ({ value: 1, done: false }) }) }; } catch (e) { log(e.name); } } const i = g(); i.next(); return i.throw(new Error("x"));',
    'function* g() { yield* null; } try { g().next(); } catch (e) { return e.name; }',
    'function* g() { yield* 5; } try { g().next(); } catch (e) { return e.name; }',
    'function* g() { const a = [yield, yield]; return (yield) ? yield a : -(yield); } const i = g(); return [i.next(), i.next(1), i.next(2), i.next(true), i.next(5), i.next()];',
    'function* g() { let n = 0; const up = () => n++; while (n < 3) { up(); yield n; } } return [...g()];',
    'function* g(n, { m } = { m: 1 }, ...rest) { const up = () => { n++; m++; rest.push(n); }; up(); yield [n, m, rest]; } return [...g(1, undefined, 5)];',
    'function* g(x = log("default"), ...r) { log("body"); } const i = g(); log("made"); i.next(); return 1;',
    'function* g(a, a2 = () => a++, ...rest) { a2(); yield [a, rest]; } return [...g(1, undefined, 2)];',
    'function* g(...xs) { var xs; yield xs; } return [...g(1, 2)];',
    'function* g(...xs) { xs = xs.map((x) => x + 1); const f = () => { xs = [...xs, 0]; }; f(); yield* xs; } return [...g(1, 2)];',
    'function* g(a,) { yield a; } return [...g(1)];',
    'const o = { *g(/* ) */ a /* , */) { yield a; }, *[Symbol.iterator]() { yield* this.g(1); } }; return [...o];',
    'const g = function* () { yield 1; }; return [Object.getPrototypeOf(g) === Object.getPrototypeOf(function* () {}), g().toString(), g.prototype !== undefined, typeof g().next];',
    'function* g() { "use strict"; yield this === undefined; } return [...g()];',
    'function* w(n) { if (n) { yield* w(n - 1); yield n; } } return [...w(30)].length;',
    'function* g() { yield\nlog("x")\nyield 1 }\nreturn [...g()]',
    'function* g() { const o = {}; o.a = yield 1; o.b ??= yield 2; [o.c = yield 3] = []; return o; } const i = g(); i.next(); i.next("a"); i.next("b"); return i.next("c");',
  ],
  async: [
    'const t = async (n) => { log(n + 1); await null; log(n + 2); await 0; log(n + 3); }; const p = t(10); const q = t(20); Promise.resolve().then(() => log("m1")).then(() => log("m2")).then(() => log("m3")); log("sync"); return Promise.all([p, q]).then(() => 1);',
    'const f = async () => { const x = await (log("a"), Promise.resolve(5)); return x + (await 1); }; return f();',
    'const f = async () => { try { await Promise.reject(new TypeError("x")); } catch (e) { return e.name; } finally { log("f"); } }; return f();',
    'const f = async () => { const o = {}; o.x = await 1; o.y = o.x + (await 2); o[await "z"] = 3; return o; }; return f();',
    'const f = async () => { const out = []; for await (const x of [1, Promise.resolve(2)]) out.push(x); for await (const x of (async function* () { yield 3; yield* [4]; })()) out.push(x); return out; }; return f();',
    'const f = async () => (-(await 1)) ** 2; try { return await_(); } catch { return f(); } ',
    'const f = async (x) => { const g = async () => { x++; await null; x++; }; await Promise.all([g(), g()]); return x; }; return f(0);',
    'const f = async () => { await null; log("f"); }; const g = async () => { await f(); log("g"); }; const h = async () => { await (async () => {})(); log("h"); }; return Promise.all([g(), h()]).then(() => 0);',
    'async function* g() { const x = yield 1; log(x); try { yield 2; } finally { log("end"); } } const f = async () => { const i = g(); return [await i.next(), await i.next("x"), await i.return(3)]; }; return f();',
    'const thenable = { then(r) { log("then"); r(7); } }; const f = async () => [await thenable, await thenable]; return f();',
    'return (async () => { for (let i = 0; i < 3; i++) { await null; log(i); } return await new Promise((r) => r(1)); })();',
    'const o = { async m() { return await this.n; }, n: 4 }; return o.m();',
  ],
};

describe('instrument: outside of read-only runs', () => {
  for (const [subject, snippets] of Object.entries(corpus)) {
    snippets.forEach((code, index) => {
      it(`${subject} ${index + 1} -> the same result`, async () => {
        const instrumented = instrumentReadOnly(code);
        expect(linesOf(instrumented)).to.equal(linesOf(code));
        for (const isStrict of [false, true]) {
          const expected = await result(code, isStrict);
          expect(expected).not.to.have.property('threw', 'SyntaxError');
          expect(await result(instrumented, isStrict), instrumented).to.deep.equal(expected);
        }
      });
    });
  }

  it('sloppy code: with, duplicate parameters, implicit globals -> the same result', async () => {
    const snippets = [
      'const o = { a: 1 }; with (o) { a = 2; a++; var b = a; (() => { a += 5; })(); } return [o, b];',
      'function f(a, a) { a++; return (() => a++)(); } return f(1, 2);',
      'function* g(a, a) { yield a; arguments[1] = 5; yield a; } return [...g(1, 2)];',
      'function f(a) { arguments[0] = 5; const g = () => { a++; }; g(); return [a, arguments[0]]; } return f(1);',
      'implicit = 1; const f = () => { implicit++; }; f(); const v = implicit; delete globalThis.implicit; return v;',
      'implicit2 = 1; const f = () => delete implicit2; return [f(), typeof implicit2];',
      'var yield_ = 1, await = 2, let = 3, async = 4, of = [5]; let = 6; await++; async.x = 1; for (var x of of) ; return [let, await, x];',
      'for (var i = 5 in {}) ; return i;',
      '{ function f() { return 1; } f = 2; } return typeof f;',
      'if (true) function f() { return 1; } return typeof f;',
      'function f() { this.leaked = 1; } const o = { f }; o.f(); return o.leaked;',
    ];
    for (const code of snippets)
      expect(await result(instrumentReadOnly(code), false), code).to.deep.equal(await result(code, false));
  });

  it('code at the top -> is left alone, as it runs before any handler', () => {
    const code = 'let n = 0; n++; exports.x = n; const o = {}; o.a = 1; [n] = [2];';
    expect(instrumentReadOnly(code)).to.equal(code);
  });

  it('code without writes -> is left alone', () => {
    const code =
      'function f(a, b) { const c = a + b; let d = c; d++; return [c, d, { c, ...a }].map((x) => x * 2); }';
    expect(instrumentReadOnly(code)).to.equal(code);
  });

  it('name of the runtime in the code -> error', () => {
    expect(() => instrumentReadOnly(`const ${READ_ONLY_NAME} = 1;`)).to.throw(/must not use names/);
  });

  it('code that does not parse -> SyntaxError', () => {
    expect(() => instrumentReadOnly('let let = 1;')).to.throw(SyntaxError);
  });

  it('places -> are asked for by line and column of the code', () => {
    const asked: string[] = [];
    const locate: NonNullable<InstrumentOptions['locate']> = (line, column) => {
      asked.push(`${line}:${column}`);
      return 'a "quoted"\nplace';
    };
    const instrumented = instrumentReadOnly('const f = (o) => {\n  o.x = 1;\n\n    o.l.push(2);\n};', {
      locate,
    });
    expect(asked).to.deep.equal(['2:2', '4:4']);
    expect(instrumented).to.contain(String.raw`"a \"quoted\"\nplace"`);
    parse(instrumented, { ecmaVersion: 'latest' });
  });
});

// ---------------------------------------------------------------------------------------------------------------

/** Small programs: functions in functions that write each other's variables, in all the ways there are. */
function programs(): fc.Arbitrary<string> {
  const variable = fc.constantFrom('a', 'b', 'c', 'd');
  const { statements } = fc.letrec<{ statements: string; statement: string; expression: string }>((tie) => ({
    expression: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.nat(9).map(String),
      variable,
      fc.tuple(variable, tie('expression')).map(([v, e]) => `(${v} = ${e})`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `(${v} += ${e})`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `(${v} ??= ${e})`),
      variable.map((v) => `${v}++`),
      fc.tuple(variable, variable).map(([v, w]) => `([${v}, ${w}] = [${w}, ${v}], ${v})`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `(o.${v} = ${e})`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `((${v}) => ${e})(${v})`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `((${v} = ${e}) => () => ${v}++)()()`),
      tie('statements').map((body) => `(() => { ${body} return a; })()`),
      fc
        .tuple(variable, tie('statements'))
        .map(([v, body]) => `[...(function* (${v}) { ${body} yield ${v}; })(1)][0]`),
    ),
    statement: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      tie('expression').map((e) => `${e};`),
      fc
        .tuple(fc.constantFrom('let', 'var', 'const'), variable, tie('expression'))
        .map(([k, v, e]) =>
          k === 'var' ? `var ${v} = ${e};` : `{ ${k} ${v} = ${e}; try { ${v}++; } catch {} }`,
        ),
      fc
        .tuple(variable, tie('statements'))
        .map(([v, body]) => `for (let ${v} = 0, left = 3; ${v} < 2 && left-- > 0; ${v}++) { ${body} }`),
      fc.tuple(variable, tie('statements')).map(([v, body]) => `for (const ${v} of [1, 2]) { ${body} }`),
      fc.tuple(variable, tie('expression')).map(([v, e]) => `for (${v} of [${e}]) ;`),
      fc.tuple(variable, tie('statements')).map(([v, body]) => `try { throw 1; } catch (${v}) { ${body} }`),
      fc.tuple(variable, tie('statements')).map(([v, body]) => `(function f(${v}) { ${body} })(2);`),
      fc
        .tuple(variable, tie('statements'))
        .map(
          ([v, body]) =>
            `{ class K { ${v} = 1; static { ${body} } up() { this.${v}++; return this; } } new K().up(); }`,
        ),
      tie('statements').map((body) => `{ ${body} }`),
    ),
    statements: fc.array(tie('statement'), { maxLength: 3 }).map((all) => all.join(' ')),
  }));
  return statements.filter(parses);
}

/** The generator does not know which names may be declared where. */
function parses(body: string): boolean {
  try {
    parse(`'use strict'; let a, b, c, d, o; () => { ${body} }`, { ecmaVersion: 'latest' });
    return true;
  } catch {
    return false;
  }
}

describe('instrument: the way back', () => {
  const code = [
    'let n = 0; const o = { list: [], inner: {} };',
    "n++; n += f('m1'); o.list.push(f('m2')); o.inner.x = f('m3'); delete o.inner.x; f('m4');",
    "async function g() { o.a = await f('m5'); for (const x of o.list) { n = x; f('m6'); } return f('m7'); }",
    '',
    "g(f('m8'), (o.b ??= f('m9')), ([n] = [f('m10')]));",
  ].join('\n');
  const lines = code.split('\n');

  it('columns: of what was not inserted are those of the given code, in every line', () => {
    const { code: instrumented, insertions } = instrument(code);
    const columnOf = columnFinder(insertions);
    expect(instrumented).to.have.length.above(code.length + 100);
    for (const [at, line] of instrumented.split('\n').entries()) {
      const marks = [...line.matchAll(/'m\d+'/g)];
      expect(marks).to.have.length([...lines[at]!.matchAll(/'m\d+'/g)].length);
      for (const { 0: mark, index } of marks)
        expect(columnOf(at + 1, index), mark).to.equal(lines[at]!.indexOf(mark));
    }
  });

  it('columns in the midst of what was inserted: are of what stands right behind it', () => {
    const { code: instrumented, insertions } = instrument('(o) => { o.x = 1; }');
    const columnOf = columnFinder(insertions);
    const inserted = instrumented.indexOf(READ_ONLY_NAME);
    expect(inserted).to.be.above(9);
    expect(columnOf(1, inserted)).to.equal(9);
    expect(columnOf(1, inserted + 3)).to.equal(9);
  });
});

describe('instrument: random programs', () => {
  it('outside of read-only runs -> the same result', () => {
    const run = (code: string): string => {
      try {
        return JSON.stringify(compile(code)(readOnly));
      } catch (error) {
        return (error as Error).name;
      }
    };
    fc.assert(
      fc.property(programs(), (body) => {
        const code = `let a = 1, b = 2, c = 3, d; const o = { a: 0 }; const step = () => { ${body} }; step(); return [a, b, c, d, o];`;
        expect(run(instrumentReadOnly(code))).to.equal(run(code));
      }),
      { numRuns: 1500 },
    );
  });

  it('in a read-only run -> state as before, and an answer only if the handler changes none', () => {
    fc.assert(
      fc.property(programs(), (body) => {
        const code = `
          const main = () => {
            let a = 1, b = 2, c = 3, d; const o = { a: 0 };
            const state = () => JSON.stringify([a, b, c, d, o]);
            const handler = () => { ${body} return a; };
            return { state, handler };
          };
          return main();`;
        const load = () =>
          compile(instrumentReadOnly(code), [], true)(readOnly) as {
            state: () => string;
            handler: () => unknown;
          };
        const watched = load();
        const before = watched.state();
        const outcome = readOnly.runReadOnly(watched.handler);
        expect(watched.state()).to.equal(before);
        if (outcome.kind !== 'ok') return;
        const free = load();
        expect(free.handler()).to.deep.equal(outcome.value);
        expect(free.state()).to.equal(before);
      }),
      { numRuns: 1500 },
    );
  });
});

// ---------------------------------------------------------------------------------------------------------------

function bundle(source: string): string {
  const { outputFiles } = buildSync({
    stdin: { contents: source, resolveDir: process.cwd() },
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}

function evaluate(code: string): Record<string, any> {
  const module = { exports: {} };
  compile(code, ['exports', 'require', 'module'], true)(module.exports, require, module, readOnly);
  return module.exports;
}

describe('instrument: packages', () => {
  const use: [name: string, source: string, use: (exported: Record<string, any>) => unknown][] = [
    [
      'ms',
      'export { default } from "ms";',
      ({ default: ms }) => [ms('2 days'), ms(60000), ms(2 * 3600000, { long: true })],
    ],
    [
      'acorn',
      'export * from "acorn";',
      ({ parse: parseIt }) =>
        JSON.stringify(
          parseIt(corpus.classes!.map((code) => `(function () { ${code} });`).join('\n'), {
            ecmaVersion: 'latest',
            locations: true,
          }),
        ),
    ],
    [
      'magic-string',
      'export { default } from "magic-string";',
      ({ default: Text }) => {
        const t = new Text('let x = 1;');
        t.overwrite(4, 5, 'answer');
        t.prepend('// a\n').appendLeft(10, '!');
        return [t.toString(), t.generateMap({ hires: true }).mappings];
      },
    ],
    [
      'fast-check',
      'export * from "fast-check";',
      (check) =>
        JSON.stringify(
          check.sample(
            check.record({
              a: check.array(check.string()),
              b: check.double(),
              c: check.uuid(),
              d: check.date(),
            }),
            { seed: 42, numRuns: 50 },
          ),
        ),
    ],
    [
      'async-mutex',
      'export * from "async-mutex";',
      async ({ Mutex }) => {
        const mutex = new Mutex();
        const log: number[] = [];
        await Promise.all(
          [1, 2, 3].map((n) =>
            mutex.runExclusive(async () => {
              log.push(n);
              await null;
              log.push(-n);
            }),
          ),
        );
        return log;
      },
    ],
    [
      'xstate',
      'export * from "xstate";',
      ({ createMachine, createActor, assign }) => {
        const actor = createActor(
          createMachine({
            context: { n: 0 },
            initial: 'a',
            states: {
              a: { on: { GO: { target: 'b', actions: assign({ n: ({ context }: any) => context.n + 1 }) } } },
              b: { after: { 1: 'a' }, on: { GO: 'a' } },
            },
          }),
        );
        actor.start();
        actor.send({ type: 'GO' });
        const { value, context } = actor.getSnapshot();
        actor.stop();
        return { value, context };
      },
    ],
    [
      'chai',
      'export * from "chai";',
      ({ expect: expectIt }) => {
        try {
          expectIt({ a: [1, { b: 2 }] }).to.deep.equal({ a: [1, { b: 3 }] });
        } catch (error) {
          return (error as Error).message;
        }
      },
    ],
    [
      'msgpackr',
      'export { Packr } from "msgpackr/index-no-eval";',
      ({ Packr }) => {
        const packr = new Packr({ structuredClone: true });
        return packr.unpack(packr.pack({ a: [1, 'x', new Date(5)], m: new Map([[1, new Set([2])]]) }));
      },
    ],
  ];

  for (const [name, source, work] of use) {
    it(`${name} -> works as before`, async () => {
      const code = bundle(source);
      const instrumented = instrumentReadOnly(code);
      expect(linesOf(instrumented)).to.equal(linesOf(code));
      const expected = await work(evaluate(code));
      expect(expected).to.not.equal(undefined);
      expect(await work(evaluate(instrumented))).to.deep.equal(expected);
    });
  }

  it('minified bundle -> works as before', () => {
    const { outputFiles } = buildSync({
      stdin: { contents: 'export * from "acorn";', resolveDir: process.cwd() },
      bundle: true,
      write: false,
      format: 'cjs',
      minify: true,
    });
    const { parse: parseIt } = evaluate(instrumentReadOnly(outputFiles[0]!.text)) as { parse: typeof parse };
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code with a template in it
    const program = 'let x = 1; function* g(a, ...b) { yield x?.y ?? `t${a}`; }';
    expect(JSON.stringify(parseIt(program, { ecmaVersion: 2022 }))).to.equal(
      JSON.stringify(parse(program, { ecmaVersion: 2022 })),
    );
  });

  it('handler that uses a package -> answered in a read-only run', () => {
    const { parse: parseIt } = evaluate(
      instrumentReadOnly(bundle('export * from "acorn";'), { locate: () => 'node_modules/acorn/acorn.mjs' }),
    );
    const outcome = readOnly.runReadOnly(() => parseIt('a = 1', { ecmaVersion: 2022 }).body.length);
    expect(outcome).to.deep.equal({ kind: 'ok', value: 1 });
  });
});
