/**
 * Rewrites bundled workflow code so that query handlers and update validators cannot change workflow state (D6).
 *
 * Owns: finding every place in the code that changes state, and what is written there. What those calls do is in
 * actors/sandbox/read-only.ts; the code reaches it as READ_ONLY_NAME, a parameter of the function around it.
 * Does not own: bundling, source maps (`locate` is given), evaluating the code.
 * Called by: the host, once per bundle.
 *
 *     a.b = v                 (__ro$.on?__ro$.touch(a,"x.ts:1"):a).b = v
 *     f().b = v               (__ro$.touch((f()),"x.ts:1")).b = v
 *     outer = v               (__ro$.on!==__ro$1&&__ro$.variable("outer",()=>outer,…,"x.ts:1"),outer = v)
 *     list.push(v)            (__ro$.on?__ro$.mark(list,"x.ts:1"):list).push(v)
 *     await p                 await (__ro$.on?__ro$.never("x.ts:1"):(p))
 *     yield v                 ((__ro$v=yield v)===__ro$.probe?yield*__ro$.answer(__ro$2):__ro$v)
 *
 * `__ro$1` is a token: a constant that a function takes at its entry, the id of the run it was called in. Variables of a
 * function that was called in this run are the run's own; of any other function, they are workflow state.
 *
 * Invariants:
 *   I1  Outside of runs the code does what it did: same values, order, names, ticks. Each place costs one load and one
 *       comparison.
 *   I2  Lines stay; text is only inserted, and never a line break.
 *   I3  What is not instrumented cannot change state, or is caught by the guards on built-ins (read-only.ts). `eval` is
 *       not looked into: the sandbox refuses it.
 *
 * One file, because each kind of place is a few lines and all share the scopes.
 */
import {
  type AnyNode,
  type ArrowFunctionExpression,
  type AssignmentExpression,
  type CallExpression,
  type CatchClause,
  type ChainExpression,
  type ClassBody,
  type Expression,
  type ForInStatement,
  type ForOfStatement,
  type ForStatement,
  type FunctionExpression,
  type Identifier,
  type MemberExpression,
  type MethodDefinition,
  type Pattern,
  type PropertyDefinition,
  parse,
  type StaticBlock,
  type SwitchStatement,
  type VariableDeclaration,
  type VariableDeclarator,
  type WithStatement,
  type YieldExpression,
} from 'acorn';
import MagicString from 'magic-string';
import type { ReadOnlyHooks } from './read-only.js';

/** Under this name the code finds its ReadOnlyRuntime. No other name in the code may begin like this. */
export const READ_ONLY_NAME = '__ro$';

export interface InstrumentOptions {
  /**
   * Names a place for reports, from its line (from 1) and column (from 0) in the code. What begins with `node_modules/`
   * or `<`, or is empty, is a package or the bundler's own code, whose writes are undone without being violations.
   */
  locate?: (line: number, column: number) => string;
}

/**
 * @param code the body of a function, such as esbuild's output in format `cjs`
 * @throws SyntaxError when it does not parse, Error when it uses a name that begins with READ_ONLY_NAME
 */
export function instrumentReadOnly(code: string, options: InstrumentOptions = {}): string {
  return instrument(code, options).code;
}

export interface Instrumented {
  code: string;
  /** The way back to the columns of the given code, for columnFinder (columns.ts), in a form that threads can be sent. */
  insertions: Int32Array;
}

/** As instrumentReadOnly, with the way back. */
export function instrument(code: string, options: InstrumentOptions = {}): Instrumented {
  if (code.includes(READ_ONLY_NAME))
    throw new Error(`Workflow code must not use names that begin with ${READ_ONLY_NAME}`);
  const instrumenter = new Instrumenter(code, options.locate ?? ((line, column) => `${line}:${column}`));
  const instrumented = instrumenter.run();
  return { code: instrumented, insertions: insertionsOf(code, instrumenter.inserted) };
}

// ---------------------------------------------------------------------------------------------------------------
// Names whose calls may change what they are called on

const MUTATORS = new Set([
  ...['push', 'pop', 'shift', 'unshift', 'splice', 'sort', 'reverse', 'fill', 'copyWithin'],
  ...['set', 'add', 'delete', 'clear', 'resize', 'grow', 'compile', 'transfer', 'transferToFixedLength'],
  ...[
    'then',
    'catch',
    'finally',
    'return',
    'throw',
    'getOrInsert',
    'getOrInsertComputed',
    '__defineGetter__',
    '__defineSetter__',
  ],
  ...['Date', 'FullYear', 'Hours', 'Milliseconds', 'Minutes', 'Month', 'Seconds'].flatMap((part) => [
    `set${part}`,
    `setUTC${part}`,
  ]),
  ...['setTime', 'setYear', 'setInt8', 'setUint8', 'setInt16', 'setUint16', 'setInt32', 'setUint32'],
  ...['setFloat16', 'setFloat32', 'setFloat64', 'setBigInt64', 'setBigUint64', 'setFromBase64', 'setFromHex'],
]);

/** Those that change their first argument, as properties of the namespaces. */
const ARGUMENT_MUTATORS = new Map([
  [
    'Object',
    new Set([
      'assign',
      'defineProperty',
      'defineProperties',
      'setPrototypeOf',
      'freeze',
      'seal',
      'preventExtensions',
    ]),
  ],
  ['Reflect', new Set(['set', 'defineProperty', 'deleteProperty', 'setPrototypeOf', 'preventExtensions'])],
  ['Atomics', new Set(['add', 'and', 'compareExchange', 'exchange', 'or', 'store', 'sub', 'xor'])],
  ['Error', new Set(['captureStackTrace'])],
]);

/**
 * Methods of a regular expression, and of a string with a regular expression for its first argument. These are looked after
 * here only: with any change to RegExp.prototype, V8 takes ten times as long to replace and split.
 */
const MATCHERS = new Set(['exec', 'test']);
const MATCHED_BY = new Set(['replace', 'replaceAll', 'match']);

/** Built-in classes and functions that return an object of their own making. */
const MAKERS = new Set(['Array', 'Map', 'Set', 'WeakMap', 'WeakSet', 'Date']);
const MAKING = new Map([
  ['Object', new Set(['create', 'keys', 'values', 'entries', 'fromEntries'])],
  ['Array', new Set(['from', 'of'])],
]);

// ---------------------------------------------------------------------------------------------------------------
// Scopes

/** What has variables and a time of being entered: a function, the program, a class's initializer or static block. */
interface Unit {
  readonly kind: 'program' | 'function' | 'arrow' | 'constructor' | 'initializer' | 'static';
  /** Generators that are not async. */
  readonly isGenerator: boolean;
  /** The name of the constant that holds the run it was entered in, once something asks for it. */
  token: string | undefined;
  /** While its parameters are visited: functions in there cannot see the token. */
  inParameters: boolean;
}

function newUnit(kind: Unit['kind'], isGenerator = false): Unit {
  return { kind, isGenerator, token: undefined, inParameters: false };
}

interface Variable {
  readonly scope: Scope;
  /** Writing to it throws, or does nothing. */
  readonly isConstant: boolean;
  /** What it is declared with, where that is all it can be while nothing else is written to it. */
  readonly init: Init | undefined;
  writes: number;
}

/** The value of a declaration, or one property of it. */
interface Init {
  readonly node: AnyNode;
  readonly property?: string | undefined;
}

class Scope {
  readonly unit: Unit;
  readonly #parent: Scope | undefined;
  readonly #variables = new Map<string, Variable>();
  /** Functions in blocks below, which sloppy code also finds here, and strict code does not. */
  readonly #blockFunctions = new Map<string, Variable>();

  constructor(unit: Unit, parent: Scope | undefined) {
    this.unit = unit;
    this.#parent = parent;
  }

  declare(name: string, isConstant = false, init?: Init): void {
    // A second declaration, or a parameter of the same name, gives it other values.
    const isOnly = !this.#variables.has(name) && !this.#isParameter(name);
    this.#variables.set(name, { scope: this, isConstant, init: isOnly ? init : undefined, writes: 0 });
  }

  declareBlockFunction(name: string): void {
    this.#blockFunctions.set(name, { scope: this, isConstant: false, init: undefined, writes: 0 });
  }

  has(name: string): boolean {
    return this.#variables.has(name);
  }

  find(name: string): Variable | undefined {
    let inBlock: Variable | undefined;
    for (let scope: Scope | undefined = this; scope !== undefined; scope = scope.#parent) {
      const variable = scope.#variables.get(name);
      if (variable !== undefined) return variable;
      inBlock ??= scope.#blockFunctions.get(name);
    }
    return inBlock;
  }

  #isParameter(name: string): boolean {
    return this.#parent?.unit === this.unit && this.#parent.#variables.has(name);
  }
}

/** The statements directly inside one, where a `var` may hide. */
function innerStatements(node: AnyNode): readonly (AnyNode | null | undefined)[] {
  switch (node.type) {
    case 'BlockStatement':
      return node.body;
    case 'IfStatement':
      return [node.consequent, node.alternate];
    case 'ForStatement':
      return [node.init, node.body];
    case 'ForInStatement':
    case 'ForOfStatement':
      return [node.left, node.body];
    case 'WhileStatement':
    case 'DoWhileStatement':
    case 'LabeledStatement':
    case 'WithStatement':
      return [node.body];
    case 'TryStatement':
      return [node.block, node.handler?.body, node.finalizer];
    case 'SwitchStatement':
      return node.cases.flatMap((each) => each.consequent);
    default:
      return [];
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Small questions about nodes

type AnyFunctionNode = Extract<AnyNode, { params: unknown; generator: boolean }>;
type AnyClassNode = Extract<AnyNode, { body: ClassBody }>;

function isNode(value: unknown): value is AnyNode {
  return (
    typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
  );
}

/** The name of a property that is known without running the code. */
function propertyName(member: MemberExpression): string | undefined {
  const { property, computed } = member;
  if (!computed) return property.type === 'Identifier' ? property.name : undefined;
  return property.type === 'Literal' && typeof property.value === 'string' ? property.value : undefined;
}

/** Names and their properties only: may be written twice, since only one of the two is evaluated. */
function isChain(node: AnyNode, mayBeOptional = false): boolean {
  switch (node.type) {
    case 'Identifier':
    case 'ThisExpression':
      return true;
    case 'MemberExpression':
      if ((node.optional && !mayBeOptional) || !isChain(node.object, mayBeOptional)) return false;
      return !node.computed || node.property.type === 'Identifier' || node.property.type === 'Literal';
    default:
      return false;
  }
}

/** Whether a part of an optional chain may be skipped together with what follows it, which parentheses would prevent. */
function isSkippable(node: AnyNode): boolean {
  if (node.type === 'MemberExpression') return node.optional || isSkippable(node.object);
  if (node.type === 'CallExpression') return node.optional || isSkippable(node.callee);
  return false;
}

/** Whether a call in an optional chain may be to a mutating built-in on something that the chain may skip. */
function mutatesInside(node: AnyNode): boolean {
  if (node.type === 'MemberExpression') return mutatesInside(node.object);
  if (node.type !== 'CallExpression') return false;
  const { callee } = node;
  const name = callee.type === 'MemberExpression' ? propertyName(callee) : undefined;
  if (name !== undefined && MUTATORS.has(name) && isSkippable((callee as MemberExpression).object))
    return true;
  return mutatesInside(callee);
}

/** The variables and members that an assignment to a pattern writes. */
function leavesOf(
  pattern: Pattern,
  leaves: (Identifier | MemberExpression)[] = [],
): (Identifier | MemberExpression)[] {
  switch (pattern.type) {
    case 'Identifier':
    case 'MemberExpression':
      leaves.push(pattern);
      break;
    case 'ObjectPattern':
      for (const property of pattern.properties)
        leavesOf(property.type === 'RestElement' ? property.argument : property.value, leaves);
      break;
    case 'ArrayPattern':
      for (const element of pattern.elements) if (element !== null) leavesOf(element, leaves);
      break;
    case 'RestElement':
      leavesOf(pattern.argument, leaves);
      break;
    case 'AssignmentPattern':
      leavesOf(pattern.left, leaves);
      break;
  }
  return leaves;
}

function namesOf(pattern: Pattern): string[] {
  return leavesOf(pattern).map((leaf) => (leaf as Identifier).name);
}

/** The property that a pattern puts into a variable, where it is a plain one. */
function keyOf(name: string, pattern: Pattern): string {
  const properties = pattern.type === 'ObjectPattern' ? pattern.properties : [];
  for (const property of properties) {
    if (property.type === 'RestElement' || property.computed || property.key.type !== 'Identifier') continue;
    if (property.value.type === 'Identifier' && property.value.name === name) return property.key.name;
  }
  return '';
}

/** A parameter that runs no code when it is bound. */
function isSimple(parameter: Pattern): boolean {
  return parameter.type === 'Identifier' || parameter.type === 'RestElement';
}

function unlabelled(statement: AnyNode): AnyNode {
  return statement.type === 'LabeledStatement' ? unlabelled(statement.body) : statement;
}

/** Such a function or class takes its name from what it is assigned to. */
function isAnonymous(node: AnyNode): boolean {
  if (node.type === 'ArrowFunctionExpression') return true;
  return (node.type === 'FunctionExpression' || node.type === 'ClassExpression') && !node.id;
}

function isLogical({ operator }: AssignmentExpression): boolean {
  return operator === '??=' || operator === '||=' || operator === '&&=';
}

/** Whether what follows the statement could be taken for its continuation, were it to begin with a parenthesis. */
function mayContinue(statement: AnyNode, code: string): boolean {
  switch (statement.type) {
    case 'BlockStatement':
    case 'TryStatement':
    case 'SwitchStatement':
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return false;
    case 'IfStatement':
      return mayContinue(statement.alternate ?? statement.consequent, code);
    case 'ForStatement':
    case 'ForInStatement':
    case 'ForOfStatement':
    case 'WhileStatement':
    case 'LabeledStatement':
    case 'WithStatement':
      return mayContinue(statement.body, code);
    default:
      return code[statement.end - 1] !== ';';
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Places in the text

/** Tells the line and column of a position. */
function lineFinder(code: string): (position: number) => { line: number; column: number } {
  const starts = [0];
  for (let at = code.indexOf('\n'); at >= 0; at = code.indexOf('\n', at + 1)) starts.push(at + 1);
  return (position) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= position) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: position - starts[low]! };
  };
}

/** The position of the first of these texts, which nothing but spaces, parentheses, names and comments precedes. */
function findAfter(code: string, from: number, texts: readonly string[]): number {
  for (let at = from; at < code.length; at++) {
    if (texts.some((text) => code.startsWith(text, at))) return at;
    if (code.startsWith('//', at)) at = code.indexOf('\n', at);
    else if (code.startsWith('/*', at)) at = code.indexOf('*/', at) + 1;
    if (at < from) break;
  }
  throw new Error(`No ${texts.join(' or ')} after position ${from}`);
}

/** A text to insert: now, or once all is known. Outer ones come before inner ones. */
interface Insertion {
  readonly at: number;
  /** Belongs to what is left of it, such as a closing parenthesis. */
  readonly closes: boolean;
  readonly text: string | (() => string);
}

interface Inserted {
  readonly at: number;
  readonly length: number;
}

/** Line, column and length of each insertion, one after the other, as columns.ts reads them. */
function insertionsOf(code: string, inserted: readonly Inserted[]): Int32Array {
  const lineOf = lineFinder(code);
  return Int32Array.from(
    inserted.flatMap(({ at, length }) => {
      const { line, column } = lineOf(at);
      return [line, column, length];
    }),
  );
}

// ---------------------------------------------------------------------------------------------------------------
// What is inserted

type Hook = Exclude<keyof ReadOnlyHooks, 'on' | 'probe' | 'probing'>;

const RO = READ_ONLY_NAME;
const IS_ON = `${RO}.on`;
/** Names that inserted code declares. */
const VALUE = `${RO}v`;
const OBJECT = `${RO}o`;

function call(hook: Hook, ...args: string[]): string {
  return `${RO}.${hook}(${args.join(',')})`;
}

// ---------------------------------------------------------------------------------------------------------------
// The walk

class Instrumenter {
  readonly #code: string;
  readonly #lineOf: (position: number) => { line: number; column: number };
  readonly #locate: (line: number, column: number) => string;
  readonly #insertions: Insertion[] = [];
  /** What was inserted in the end. */
  readonly inserted: Inserted[] = [];
  #unit: Unit = newUnit('program');
  #scope = new Scope(this.#unit, undefined);
  /** Where the unit's `var` declarations go. */
  #varScope = this.#scope;
  /** The private names of the classes around, innermost last. */
  readonly #classes: PrivateNames[] = [];
  /** How many of each there are so far. */
  #tokens = 0;
  #keys = 0;
  /** How many of each are around. */
  #loops = 0;
  #withs = 0;

  constructor(code: string, locate: (line: number, column: number) => string) {
    this.#code = code;
    this.#lineOf = lineFinder(code);
    this.#locate = locate;
  }

  run(): string {
    const program = parse(this.#code, {
      ecmaVersion: 'latest',
      sourceType: 'script',
      allowReturnOutsideFunction: true,
      allowImportExportEverywhere: true,
      allowHashBang: true,
    });
    this.#declareBody(program.body);
    this.#visitList(program.body);
    return this.#text();
  }

  #text(): string {
    const text = new MagicString(this.#code);
    // Outer before inner: openings line up in that order, closings in the reverse.
    for (const { at, closes, text: inserted } of this.#insertions) {
      const content = typeof inserted === 'string' ? inserted : inserted();
      if (content === '') continue;
      if (closes) text.prependLeft(at, content);
      else text.appendRight(at, content);
      this.inserted.push({ at, length: content.length });
    }
    return text.toString();
  }

  #visit(node: AnyNode): void {
    switch (node.type) {
      case 'FunctionDeclaration':
      case 'FunctionExpression':
        this.#visitFunction(node, 'function');
        break;
      case 'ArrowFunctionExpression':
        this.#visitFunction(node, 'arrow');
        break;
      case 'ClassDeclaration':
      case 'ClassExpression':
        this.#visitClass(node);
        break;
      case 'BlockStatement':
        this.#visitBlock(node.body);
        break;
      case 'ForStatement':
        this.#visitFor(node);
        break;
      case 'ForInStatement':
      case 'ForOfStatement':
        this.#visitForEach(node);
        break;
      case 'WhileStatement':
      case 'DoWhileStatement':
        this.#inLoop(() => this.#visitChildren(node));
        break;
      case 'SwitchStatement':
        this.#visitSwitch(node);
        break;
      case 'CatchClause':
        this.#visitCatch(node);
        break;
      case 'WithStatement':
        this.#visitWith(node);
        break;
      case 'VariableDeclarator':
        this.#visitDeclarator(node);
        break;
      case 'AssignmentExpression':
        if (isLogical(node)) this.#visitLogicalAssignment(node);
        else this.#visitAssignment(node);
        break;
      case 'UpdateExpression':
        this.#precede(node, this.#checksFor(node.argument as Pattern, false));
        this.#visitTarget(node.argument as Pattern);
        break;
      case 'UnaryExpression':
        if (node.operator === 'delete') this.#visitDelete(node, node.argument);
        else this.#visit(node.argument);
        break;
      case 'AwaitExpression':
        if (!this.#isLoading)
          this.#wrap(node.argument, `(${IS_ON}?${call('never', this.#place(node))}:(`, '))');
        this.#visit(node.argument);
        break;
      case 'YieldExpression':
        this.#visitYield(node);
        break;
      case 'CallExpression':
        this.#markCall(node);
        this.#visitChildren(node);
        break;
      case 'ChainExpression':
        this.#markChain(node);
        this.#visitChildren(node);
        break;
      case 'ObjectExpression':
        // What is spread into an object is not iterated.
        for (const property of node.properties) {
          if (property.type === 'SpreadElement') this.#visit(property.argument);
          else this.#visitChildren(property);
        }
        break;
      case 'SpreadElement':
        this.#iterate(node.argument);
        this.#visit(node.argument);
        break;
      case 'ReturnStatement':
        this.#visitReturn(node.argument);
        break;
      default:
        this.#visitChildren(node);
    }
  }

  #visitChildren(node: AnyNode): void {
    for (const value of Object.values(node) as unknown[]) {
      if (Array.isArray(value)) {
        for (const child of value) if (isNode(child)) this.#visit(child);
      } else if (isNode(value)) {
        this.#visit(value);
      }
    }
  }

  #visitAll(nodes: readonly AnyNode[]): void {
    for (const node of nodes) this.#visit(node);
  }

  /** Code outside of functions runs once, before any handler can be called. */
  get #isLoading(): boolean {
    return this.#unit.kind === 'program';
  }

  // ----- inserting ---------------------------------------------------------------------------------------------

  #insert(at: number, closes: boolean, text: Insertion['text']): void {
    this.#insertions.push({ at, closes, text });
  }

  #wrap(node: { start: number; end: number }, open: Insertion['text'], close: Insertion['text']): void {
    this.#insert(node.start, false, open);
    this.#insert(node.end, true, close);
  }

  /** Puts checks before an expression. */
  #precede(node: AnyNode, checks: readonly string[]): void {
    if (checks.length > 0) this.#wrap(node, `(${checks.join(',')},`, ')');
  }

  /** Passes an expression through a hook: by name where it has one, which costs less, or else as an argument. */
  #pass(node: AnyNode, hook: Hook, ...args: string[]): void {
    if (this.#isFresh(node)) {
      if (hook === 'mark') this.#wrap(node, `${RO}.own(`, ')');
      return;
    }
    const text = this.#chainText(node);
    if (text === undefined) {
      this.#wrap(node, `${RO}.${hook}((`, `${[')', ...args].join(',')})`);
      return;
    }
    const choose = this.#choice(node, call(hook, text, ...args), hook === 'mark' ? call('own', text) : '');
    this.#wrap(
      node,
      () => choose() && `(${choose()}:`,
      () => choose() && ')',
    );
  }

  /**
   * When to use which of two calls: `passed`, or `owned` for an object that its function made itself, in this run. Known
   * once all writes to the variable that holds it are; empty for neither.
   */
  #choice(node: AnyNode, passed: string, owned: string): () => string {
    const always = `${IS_ON}?${passed}`;
    const fresh = this.#freshVariable(node);
    if (fresh === undefined) return () => always;
    const isHere = fresh.scope.unit === this.#unit;
    const token = isHere ? undefined : this.#tokenOf(fresh.scope.unit);
    return () => {
      if (fresh.writes > 0 || (!isHere && token === undefined)) return always;
      if (isHere) return owned && `${IS_ON}?${owned}`;
      return owned ? `${IS_ON}?${IS_ON}===${token}?${owned}:${passed}` : `${IS_ON}!==${token}?${passed}`;
    };
  }

  #place(node: { start: number }): string {
    const { line, column } = this.#lineOf(node.start);
    return JSON.stringify(this.#locate(line, column));
  }

  /** The text of an expression that may stand in the code twice. */
  #chainText(node: AnyNode, mayBeOptional = false): string | undefined {
    if (!isChain(node, mayBeOptional)) return undefined;
    const text = this.#code.slice(node.start, node.end);
    return /[\n\r\u2028\u2029/]/.test(text) ? undefined : text;
  }

  // ----- scopes ------------------------------------------------------------------------------------------------

  #inScope(visit: () => void, scope = new Scope(this.#unit, this.#scope)): void {
    const outer = this.#scope;
    this.#scope = scope;
    visit();
    this.#scope = outer;
  }

  #inUnit(unit: Unit, scope: Scope, visit: () => void): void {
    const outerUnit = this.#unit;
    const outerVarScope = this.#varScope;
    this.#unit = unit;
    this.#varScope = scope;
    // A function may run any number of times, as a loop's body does.
    this.#inLoop(() => this.#inScope(visit, scope));
    this.#unit = outerUnit;
    this.#varScope = outerVarScope;
  }

  #inLoop(visit: () => void): void {
    this.#loops++;
    visit();
    this.#loops--;
  }

  #declareVars(nodes: readonly (AnyNode | null | undefined)[]): void {
    for (const node of nodes) {
      if (!node) continue;
      if (node.type === 'VariableDeclaration' && node.kind === 'var') this.#declare(node);
      else this.#declareVars(innerStatements(node));
    }
  }

  #declareLexicals(statements: readonly AnyNode[]): void {
    for (const statement of statements) {
      const declaration = unlabelled(statement);
      if (declaration.type === 'VariableDeclaration' && declaration.kind !== 'var')
        this.#declare(declaration);
      if (declaration.type !== 'ClassDeclaration' && declaration.type !== 'FunctionDeclaration') continue;
      const { name } = declaration.id!;
      this.#scope.declare(name);
      if (declaration.type === 'FunctionDeclaration' && this.#scope !== this.#varScope)
        this.#varScope.declareBlockFunction(name);
    }
  }

  #declare({ kind, declarations }: VariableDeclaration): void {
    const scope = kind === 'var' ? this.#varScope : this.#scope;
    const isConstant = kind !== 'var' && kind !== 'let';
    for (const { id, init } of declarations) {
      if (id.type === 'Identifier') scope.declare(id.name, isConstant, init ? { node: init } : undefined);
      else
        for (const name of namesOf(id))
          scope.declare(name, isConstant, init ? { node: init, property: keyOf(name, id) } : undefined);
    }
  }

  /** Undefined where the token cannot be seen, or there is none. */
  #tokenOf(unit: Unit): string | undefined {
    if (unit.kind === 'program' || unit.kind === 'initializer' || unit.inParameters) return undefined;
    unit.token ??= `${RO}${++this.#tokens}`;
    return unit.token;
  }

  #isGlobal(node: AnyNode): node is Identifier {
    return node.type === 'Identifier' && this.#scope.find(node.name) === undefined;
  }

  /** The variable that the expression names, if it was declared as an object of its function's own making. */
  #freshVariable(node: AnyNode): Variable | undefined {
    if (node.type !== 'Identifier' || this.#withs > 0) return undefined;
    const variable = this.#scope.find(node.name);
    if (variable?.init === undefined || variable.init.property !== undefined) return undefined;
    return this.#isFresh(variable.init.node) ? variable : undefined;
  }

  /** Whether an expression gives a new object that nothing else refers to. */
  #isFresh(node: AnyNode): boolean {
    switch (node.type) {
      case 'ObjectExpression':
      case 'ArrayExpression':
        return true;
      case 'Literal':
        return node.regex !== undefined;
      case 'NewExpression':
        return this.#isGlobal(node.callee) && MAKERS.has(node.callee.name);
      case 'CallExpression':
        return node.callee.type === 'MemberExpression' && this.#isOneOf(MAKING, node.callee);
      default:
        return false;
    }
  }

  /** Whether a member such as `Object.keys` is in a table of them. */
  #isOneOf(table: ReadonlyMap<string, ReadonlySet<string>>, member: MemberExpression): boolean {
    const name = propertyName(member);
    return (
      name !== undefined && this.#isGlobal(member.object) && table.get(member.object.name)?.has(name) === true
    );
  }

  // ----- functions and classes ---------------------------------------------------------------------------------

  #visitFunction(node: AnyFunctionNode, kind: 'function' | 'arrow' | 'constructor'): void {
    const unit = newUnit(kind, node.generator && !node.async);
    const parameters = new Scope(
      unit,
      node.type === 'FunctionExpression' ? this.#withOwnName(node) : this.#scope,
    );
    for (const name of node.params.flatMap((each) => namesOf(each))) parameters.declare(name);
    if (kind !== 'arrow') parameters.declare('arguments');
    const body = new Scope(unit, parameters);
    this.#inUnit(unit, body, () => {
      if (node.body.type === 'BlockStatement') this.#declareBody(node.body.body);
      const entry = unit.isGenerator ? this.#holdToken(unit, node, body) : undefined;
      unit.inParameters = true;
      this.#inScope(() => this.#visitAll(node.params), parameters);
      unit.inParameters = false;
      this.#visitFunctionBody(unit, node, entry);
    });
  }

  /** A function expression's own name is a constant around it. */
  #withOwnName({ id }: FunctionExpression): Scope {
    if (!id) return this.#scope;
    const scope = new Scope(this.#unit, this.#scope);
    scope.declare(id.name, true);
    return scope;
  }

  #visitFunctionBody(unit: Unit, node: AnyFunctionNode, entry: string | undefined): void {
    if (node.body.type !== 'BlockStatement') {
      this.#giveBody(unit, node as ArrowFunctionExpression);
      this.#visit(node.body);
      return;
    }
    const directives = node.body.body.filter(
      (each) => each.type === 'ExpressionStatement' && each.directive !== undefined,
    );
    const separator = directives.length === 0 ? '' : ';';
    this.#insert(directives.at(-1)?.end ?? node.body.start + 1, true, () => {
      const text = entry ?? takeToken(unit);
      return text && separator + text;
    });
    this.#visitList(node.body.body);
  }

  #declareBody(body: readonly AnyNode[]): void {
    this.#declareVars(body);
    this.#declareLexicals(body);
  }

  /** Makes an arrow function's expression a body with a statement before it, if it needs a token. */
  #giveBody(unit: Unit, node: ArrowFunctionExpression): void {
    const arrow = findAfter(this.#code, node.params.at(-1)?.end ?? node.start, ['=>']);
    this.#insert(arrow + 2, true, () => (unit.token === undefined ? '' : `{${takeToken(unit)}return(`));
    this.#insert(node.end, true, () => (unit.token === undefined ? '' : ')}'));
  }

  /**
   * A generator's body begins to run when it is first advanced, so the token is taken by a parameter, behind all that a
   * caller can pass: the rest of the arguments, of which a property that does not exist is wanted. Where that would make
   * another function of it, the token is that of its beginning. Returns what the body does first.
   */
  #holdToken(unit: Unit, node: AnyFunctionNode, body: Scope): string {
    const token = this.#tokenOf(unit)!;
    const begin = `let ${VALUE};if(${RO}.probing)yield*${call('answer', token)};`;
    const held = `${token}=${IS_ON}`;
    const last = node.params.at(-1);
    if (!this.#canHold(node)) return takeToken(unit) + begin;
    if (last?.type === 'RestElement') {
      const { argument } = last;
      if (argument.type !== 'Identifier' || body.has(argument.name) || !node.params.every(isSimple))
        return takeToken(unit) + begin;
      // The array that the name stood for comes from `arguments` instead.
      this.#wrap(argument, '{', `:${OBJECT},${held}}`);
      return `let ${argument.name}=${call('rest', 'arguments', `${node.params.length - 1}`)};${begin}`;
    }
    this.#addParameter(node, `...{${held}}`);
    return begin;
  }

  /** Whether a parameter may be added: not where a directive wants simple ones, or `arguments` may depend on them. */
  #canHold(node: AnyFunctionNode): boolean {
    const names = node.params.flatMap((each) => namesOf(each));
    const isPlain =
      new Set(names).size === names.length &&
      !/\barguments\b|\beval\b/.test(this.#code.slice(node.start, node.end));
    return (
      isPlain &&
      node.body.type === 'BlockStatement' &&
      !node.body.body.some((each) => 'directive' in each && each.directive)
    );
  }

  #addParameter({ params, id, start }: AnyFunctionNode, parameter: string): void {
    const last = params.at(-1);
    if (last === undefined) {
      this.#insert(findAfter(this.#code, id?.end ?? start, ['(']) + 1, true, parameter);
      return;
    }
    const comma = findAfter(this.#code, last.end, [',', ')']);
    if (this.#code[comma] === ',') this.#insert(comma + 1, true, parameter);
    else this.#insert(last.end, true, `,${parameter}`);
  }

  #visitClass(node: AnyClassNode): void {
    const scope = new Scope(this.#unit, this.#scope);
    if (node.id) scope.declare(node.id.name, true);
    this.#inScope(() => {
      if (node.superClass) this.#visit(node.superClass);
      this.#classes.push(this.#privateNames(node));
      for (const member of node.body.body) this.#visitMember(member);
      this.#classes.pop();
    }, scope);
  }

  #visitMember(member: MethodDefinition | PropertyDefinition | StaticBlock): void {
    if (member.type !== 'StaticBlock' && member.computed) this.#visit(member.key);
    if (member.type === 'StaticBlock') this.#visitStaticBlock(member);
    else if (member.type === 'MethodDefinition')
      this.#visitFunction(member.value, member.kind === 'constructor' ? 'constructor' : 'function');
    else if (member.value) this.#visitInitializer(member.value);
  }

  #visitInitializer(value: Expression): void {
    const unit = newUnit('initializer');
    this.#inUnit(unit, new Scope(unit, this.#scope), () => this.#visit(value));
  }

  #visitStaticBlock(node: StaticBlock): void {
    const unit = newUnit('static');
    this.#inUnit(unit, new Scope(unit, this.#scope), () => {
      this.#insert(findAfter(this.#code, node.start, ['{']) + 1, true, () => takeToken(unit));
      this.#declareBody(node.body);
      this.#visitList(node.body);
    });
  }

  /** A field of a class that exists once is known by a key; of a class made many times, each may have one of that name. */
  #privateNames(node: AnyClassNode): PrivateNames {
    const names: PrivateNames = new Map();
    for (const member of node.body.body) {
      if (member.type === 'StaticBlock' || member.key.type !== 'PrivateIdentifier') continue;
      const isField = member.type === 'PropertyDefinition';
      names.set(
        member.key.name,
        isField ? (this.#loops > 0 ? '' : `#${member.key.name}:${++this.#keys}`) : undefined,
      );
    }
    return names;
  }

  /** A constructor may return an object of long ago, to which the classes that extend it then add their fields. */
  #visitReturn(argument: Expression | null | undefined): void {
    if (!argument) return;
    if (this.#unit.kind === 'constructor' && argument.type !== 'ThisExpression')
      this.#pass(argument, 'touchMaybe', this.#place(argument));
    this.#visit(argument);
  }

  // ----- statements --------------------------------------------------------------------------------------------

  /** Inserted text may begin with a parenthesis, so a statement that ends without a semicolon gets one. */
  #visitList(statements: readonly AnyNode[]): void {
    statements.forEach((statement, index) => {
      const before = statements[index - 1];
      const isExpression = statement.type === 'ExpressionStatement' && statement.directive === undefined;
      if (isExpression && before !== undefined && mayContinue(before, this.#code))
        this.#insert(statement.start, false, ';');
      this.#visit(statement);
    });
  }

  #visitBlock(body: readonly AnyNode[]): void {
    this.#inScope(() => {
      this.#declareLexicals(body);
      this.#visitList(body);
    });
  }

  #visitFor(node: ForStatement): void {
    this.#inScope(() => {
      if (node.init) this.#declareLexicals([node.init]);
      if (node.init) this.#visit(node.init);
      this.#inLoop(() => {
        for (const part of [node.test, node.update, node.body]) if (part) this.#visit(part);
      });
    });
  }

  #visitForEach(node: ForInStatement | ForOfStatement): void {
    this.#inScope(() => {
      const { left, right, body } = node;
      this.#declareLexicals([left]);
      if (node.type === 'ForOfStatement' && node.await) this.#putOff(right);
      if (left.type === 'VariableDeclaration') this.#visit(left);
      // The loop may write nothing, having nothing to go through.
      else this.#precede(right, this.#checksFor(left, true));
      if (node.type === 'ForOfStatement' && !node.await) this.#iterate(right);
      if (left.type !== 'VariableDeclaration') this.#visitTarget(left);
      this.#visit(right);
      this.#inLoop(() => this.#visit(body));
    });
  }

  #putOff(right: Expression): void {
    if (!this.#isLoading) this.#wrap(right, `(${IS_ON}?${call('neverEach', this.#place(right))}:(`, '))');
  }

  #visitSwitch(node: SwitchStatement): void {
    this.#visit(node.discriminant);
    this.#inScope(() => {
      this.#declareLexicals(node.cases.flatMap((each) => each.consequent));
      for (const { test, consequent } of node.cases) {
        if (test) this.#visit(test);
        this.#visitList(consequent);
      }
    });
  }

  #visitCatch({ param, body }: CatchClause): void {
    this.#inScope(() => {
      if (param) for (const name of namesOf(param)) this.#scope.declare(name);
      if (param) this.#visit(param);
      this.#visit(body);
    });
  }

  #visitWith(node: WithStatement): void {
    this.#visit(node.object);
    this.#withs++;
    this.#visit(node.body);
    this.#withs--;
  }

  #visitDeclarator({ id, init }: VariableDeclarator): void {
    if (init && id.type === 'ArrayPattern') this.#iterate(init);
    this.#visit(id);
    if (init) this.#visit(init);
  }

  // ----- writes ------------------------------------------------------------------------------------------------

  #visitAssignment(node: AssignmentExpression): void {
    const { left, right } = node;
    this.#precede(node, this.#checksFor(left, false));
    this.#visitTarget(left);
    if (left.type === 'ArrayPattern') this.#iterate(right);
    this.#visit(right);
  }

  /** It may write nothing; its right side is evaluated just before it does. */
  #visitLogicalAssignment(node: AssignmentExpression): void {
    const { left, right } = node;
    if (left.type === 'MemberExpression') {
      this.#visitLogicalMember(left, right);
    } else if (isAnonymous(right)) {
      // Anything beside the function would cost it its name.
      this.#precede(node, this.#checksFor(left, true));
    } else {
      this.#precede(right, this.#checksFor(left, false));
    }
    this.#visit(right);
  }

  #visitLogicalMember(left: MemberExpression, right: Expression): void {
    const text = this.#chainText(left.object);
    const isSuper = left.object.type === 'Super';
    if (!isSuper && (text === undefined || this.#isLoading)) {
      this.#visitWrittenMember(left, true);
      return;
    }
    if (isSuper) {
      this.#precede(right, this.#checksFor(left, false));
    } else if (!this.#ownsReceiver(left.object)) {
      const [hook, ...args] = this.#writeHook(left, false);
      if (hook !== undefined) this.#precede(right, [`${IS_ON}&&${call(hook, `${text}`, ...args)}`]);
    }
    if (left.computed) this.#visit(left.property);
  }

  /** What a member's receiver is passed through before the member is written: nothing for private accessors. */
  #writeHook(member: MemberExpression, isMaybe: boolean): [hook?: Hook, ...args: string[]] {
    if (member.property.type !== 'PrivateIdentifier')
      return [isMaybe ? 'touchMaybe' : 'touch', this.#place(member)];
    const { name } = member.property;
    const key = this.#classes.findLast((names) => names.has(name))?.get(name);
    if (key === undefined) return [];
    const get = `${OBJECT}=>${OBJECT}.#${name}`;
    const set = `(${OBJECT},${VALUE})=>{${OBJECT}.#${name}=${VALUE}}`;
    return ['field', JSON.stringify(key), get, set, this.#place(member)];
  }

  /** The object under construction is no state yet. */
  #ownsReceiver(object: AnyNode): boolean {
    return (
      (object.type === 'ThisExpression' || object.type === 'Super') &&
      ['constructor', 'initializer', 'static'].includes(this.#unit.kind)
    );
  }

  #visitWrittenMember(member: MemberExpression, isMaybe = false): void {
    const { object } = member;
    if (object.type !== 'Super') {
      const [hook, ...args] = this.#writeHook(member, isMaybe);
      if (hook !== undefined && !this.#isLoading && !this.#ownsReceiver(object))
        this.#pass(object, hook, ...args);
      this.#visit(object);
    }
    if (member.computed) this.#visit(member.property);
  }

  /** The parts of an assignment's left side, or of what stands for one. */
  #visitTarget(target: Pattern): void {
    switch (target.type) {
      case 'MemberExpression':
        this.#visitWrittenMember(target);
        break;
      case 'ObjectPattern':
        for (const property of target.properties) {
          if (property.type === 'Property' && property.computed) this.#visit(property.key);
          this.#visitTarget(property.type === 'Property' ? property.value : property.argument);
        }
        break;
      case 'ArrayPattern':
        for (const element of target.elements) if (element !== null) this.#visitTarget(element);
        break;
      case 'RestElement':
        this.#visitTarget(target.argument);
        break;
      case 'AssignmentPattern':
        this.#visitTarget(target.left);
        this.#visit(target.right);
        break;
    }
  }

  /** The checks to make before something is written to a target, for those parts that cannot be wrapped in place. */
  #checksFor(target: Pattern, isMaybe: boolean): string[] {
    const checks: string[] = [];
    for (const written of leavesOf(target)) {
      if (written.type === 'Identifier') checks.push(...this.#checkVariable(written, isMaybe));
      else if (written.object.type === 'Super' && !this.#isLoading && !this.#ownsReceiver(written.object)) {
        checks.push(`${IS_ON}&&${call(isMaybe ? 'touchMaybe' : 'touch', 'this', this.#place(written))}`);
      }
    }
    return checks;
  }

  #checkVariable({ name, start }: Identifier, isMaybe: boolean): string[] {
    const variable = this.#scope.find(name);
    if (variable !== undefined) variable.writes++;
    const unit = variable?.scope.unit;
    if (this.#withs === 0 && (this.#isLoading || variable?.isConstant || unit === this.#unit)) return [];
    const token = this.#withs > 0 || unit === undefined ? undefined : this.#tokenOf(unit);
    const isOn = token === undefined ? IS_ON : `${IS_ON}!==${token}`;
    const hook = isMaybe || this.#withs > 0 ? 'variableMaybe' : 'variable';
    // Between a function's parameters it cannot be told whose the variable is: it is undone, and not reported.
    const place = unit?.inParameters ? '""' : this.#place({ start });
    return [
      `${isOn}&&${call(hook, JSON.stringify(name), `()=>${name}`, `${VALUE}=>{${name}=${VALUE}}`, place)}`,
    ];
  }

  #visitDelete(node: AnyNode, argument: AnyNode): void {
    const deleted = argument.type === 'ChainExpression' ? argument.expression : argument;
    if (deleted.type === 'Identifier') this.#precede(node, this.#checksFor(deleted, true));
    if (deleted.type !== 'MemberExpression') this.#visit(argument);
    else if (this.#isLoading || !isSkippable(deleted.object)) this.#visitWrittenMember(deleted);
    else this.#visitSkippableDelete(node, deleted);
  }

  #visitSkippableDelete(node: AnyNode, { object, property, computed, start }: MemberExpression): void {
    const place = this.#place({ start });
    const text = this.#chainText(object, true);
    if (text !== undefined) this.#precede(node, [`${IS_ON}&&${call('touch', text, place)}`]);
    // Skips more than it did where the object is missing: true instead of a TypeError.
    else this.#wrap(object, `${RO}.touch((`, `),${place})?${computed ? '.' : ''}`);
    this.#visit(object);
    if (computed) this.#visit(property);
  }

  // ----- what would run later ----------------------------------------------------------------------------------

  /** Async generators need none of this: in a run, the guards on their methods let none begin. */
  #visitYield(node: YieldExpression): void {
    const { token, isGenerator } = this.#unit;
    if (isGenerator && node.delegate && node.argument)
      this.#wrap(node.argument, `${RO}.delegate((`, `),${token})`);
    if (isGenerator && !node.delegate) {
      this.#wrap(node, `((${VALUE}=`, `)===${RO}.probe?yield*${call('answer', `${token}`)}:${VALUE})`);
    }
    if (node.argument) this.#visit(node.argument);
  }

  // ----- calls -------------------------------------------------------------------------------------------------

  #markCall({ callee, arguments: args }: CallExpression): void {
    if (this.#isLoading) return;
    const [first] = args;
    if (callee.type === 'Identifier' && this.#isArgumentMutator(callee)) this.#markArgument(first);
    if (callee.type !== 'MemberExpression' || callee.object.type === 'Super') return;
    const { object } = callee;
    const name = propertyName(callee);
    if (name === undefined) return;
    if (this.#isOneOf(ARGUMENT_MUTATORS, callee)) this.#markArgument(first);
    else if (name === 'call' || name === 'apply') this.#markArgument(first);
    else if (MATCHED_BY.has(name) && first !== undefined && isChain(first))
      this.#pass(first, 'regex', this.#place(callee));
    if (isSkippable(object)) return;
    if (MUTATORS.has(name)) this.#pass(object, 'mark', this.#place(callee));
    else if (name === 'next') this.#pass(object, 'iterate', this.#place(callee));
    else if (MATCHERS.has(name)) this.#pass(object, 'regex', this.#place(callee));
  }

  #isArgumentMutator({ name }: Identifier): boolean {
    const init = this.#scope.find(name)?.init;
    if (init === undefined) return false;
    if (init.property === undefined)
      return init.node.type === 'MemberExpression' && this.#isOneOf(ARGUMENT_MUTATORS, init.node);
    return this.#isGlobal(init.node) && ARGUMENT_MUTATORS.get(init.node.name)?.has(init.property) === true;
  }

  #markArgument(argument: AnyNode | undefined): void {
    if (argument !== undefined && (isChain(argument) || this.#isFresh(argument)))
      this.#pass(argument, 'mark', this.#place(argument));
  }

  /** The receiver of a call further down an optional chain cannot be wrapped without ending the chain. */
  #markChain(chain: ChainExpression): void {
    if (this.#isLoading || chain.expression.type !== 'CallExpression' || !mutatesInside(chain.expression))
      return;
    this.#precede(chain, [`${IS_ON}&&${call('here', this.#place(chain))}`]);
  }

  /** Only what is held somewhere can have been made before the run. */
  #iterate(node: AnyNode): void {
    if (!this.#isLoading && node.type !== 'ThisExpression' && isChain(node))
      this.#pass(node, 'iterate', this.#place(node));
  }
}

/** Under which key the log knows each private field; undefined for private methods and accessors. */
type PrivateNames = Map<string, string | undefined>;

/** What a unit does first. */
function takeToken({ token }: Unit): string {
  return token === undefined ? '' : `const ${token}=${IS_ON};`;
}
