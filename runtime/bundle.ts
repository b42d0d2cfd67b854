/**
 * Turns a user's workflows module, in TypeScript or JavaScript, into one script that a thread can evaluate.
 *
 *     workflowsPath -> findEntry -> esbuild (plugin: borders) -> acorn -> WorkflowBundle
 *                          |              |                        |
 *                          +--------------+---- problems ----------+--> WorkflowBundleError
 *
 * Owns: finding the entry, the border between workflow code and everything else (`signalbox/workflow` stays a
 * require, modules of the host are refused, and so is what the authoring API does not have), and the names the module exports.
 * Does not own: evaluating the script (actors/sandbox), which modules are refused (runtime/bundle-errors.ts), or the way back
 * to the user's line (runtime/source-places.ts).
 *
 * The same sources give the same script, byte for byte: executions that are recovered later run what ran before (D5).
 * The script names no folder but those between the entry and what it imports.
 */
import { createHash } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AnyNode, type CallExpression, type Program, parse } from 'acorn';
import {
  type BuildFailure,
  type BuildResult,
  build,
  type Message,
  type Metafile,
  type Plugin,
} from 'esbuild';
import { type BundleProblem, refusalOf, toProblems, WorkflowBundleError } from './bundle-errors.js';
import { unprovidedUses } from './library-uses.js';
import { placeFinder } from './source-places.js';
import { visit } from './syntax-tree.js';

export { type BundleProblem, WorkflowBundleError } from './bundle-errors.js';
export { createLocator } from './source-places.js';

export interface WorkflowBundle {
  /**
   * The body of a CommonJS module, for a function with the parameters `exports`, `require` and `module`, in strict mode.
   * It assigns `module.exports` or, for an ES module, `module.getters`: a function for each export that returns it. It
   * requires nothing but `signalbox/workflow`.
   */
  code: string;
  /** Source map of `code` as JSON, for createLocator. It holds the entry's folder, but no source text. */
  sourceMap: string;
  /** Names the module exports, functions and others; undefined where only evaluation can tell (CommonJS). */
  exportNames: string[] | undefined;
  /** Absolute paths of the sources, sorted: what to watch for changes. */
  inputs: string[];
  /** SHA-256 of `code` in hex. */
  hash: string;
  /** What the compiler found odd in the user's own sources, though it compiles. */
  warnings: BundleProblem[];
}

/** What the script requires instead of bundling it; the sandbox answers it with the activation's own library. */
const WORKFLOW_LIBRARY = 'signalbox/workflow';
const WORKFLOW_LIBRARY_NAMES = new Set([WORKFLOW_LIBRARY, '@temporalio/workflow', '@temporalio/common']);

const EXTENSIONS = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs'];

/** Users of NodeNext resolution name the file that the compiler would write; these are the ones it is written from. */
const TYPESCRIPT_OF = new Map([
  ['.js', ['.ts', '.tsx']],
  ['.mjs', ['.mts']],
  ['.cjs', ['.cts']],
]);

/**
 * Bundles the module that `workflowsPath` names: a path (relative to the working directory, or absolute) or a `file:`
 * URL, of a file, of a file less its extension, or of a folder with an index file. A `.js` path whose file is missing
 * stands for the `.ts` file beside it.
 *
 * @throws WorkflowBundleError, with every problem found: the module is missing, does not compile, imports a built-in
 *   or a module of the host (one problem per importing file and module), or exports nothing.
 */
export async function bundleWorkflows(options: { workflowsPath: string }): Promise<WorkflowBundle> {
  const { workflowsPath } = options;
  const entry = await findEntry(workflowsPath);
  const { code: compiled, sourceMap, metafile, warnings } = await compile(workflowsPath, entry);
  const program = parseStrictly(workflowsPath, compiled, sourceMap);
  refuseUnprovided(workflowsPath, program, sourceMap);
  const exportNames = findExportNames(program, metafile.inputs[path.basename(entry)]?.format);
  if (exportNames?.length === 0) throw failure(workflowsPath, 'exports no workflow functions');
  const named = dropNeedlessNames(compiled, program);
  const code = requireDirectly(exportNames === undefined ? named : exportDirectly(named, program));
  const hash = createHash('sha256').update(code).digest('hex');
  return { code, sourceMap, exportNames, inputs: inputFiles(metafile, path.dirname(entry)), hash, warnings };
}

/** An error about the module as a whole. */
function failure(workflowsPath: string, text: string, cause?: unknown): WorkflowBundleError {
  const problem = { file: workflowsPath, line: 0, column: 0, text };
  return new WorkflowBundleError(workflowsPath, [problem], cause === undefined ? undefined : { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/* ---------------------------------------------------------------------------------------------- the entry */

async function findEntry(workflowsPath: string): Promise<string> {
  for (const candidate of candidatesFor(toPath(workflowsPath))) {
    if (!(await isFile(workflowsPath, candidate))) continue;
    if (!EXTENSIONS.includes(path.extname(candidate))) {
      throw failure(
        workflowsPath,
        `is not a workflows module, whose extension is one of ${EXTENSIONS.join(' ')}`,
      );
    }
    // esbuild names sources by their real path, which must be comparable with the entry's folder.
    return realpath(candidate);
  }
  const tried = `with or without ${EXTENSIONS.join(' ')}`;
  throw failure(
    workflowsPath,
    `there is no such file, ${tried}, nor a folder of that name with an index file`,
  );
}

function toPath(workflowsPath: string): string {
  try {
    return workflowsPath.startsWith('file:') ? fileURLToPath(workflowsPath) : path.resolve(workflowsPath);
  } catch (cause) {
    throw failure(workflowsPath, messageOf(cause), cause);
  }
}

function candidatesFor(wanted: string): string[] {
  const extension = path.extname(wanted);
  const stem = wanted.slice(0, wanted.length - extension.length);
  return [
    wanted,
    ...(TYPESCRIPT_OF.get(extension) ?? []).map((typescript) => stem + typescript),
    ...EXTENSIONS.map((added) => wanted + added),
    ...EXTENSIONS.map((added) => path.join(wanted, `index${added}`)),
  ];
}

async function isFile(workflowsPath: string, candidate: string): Promise<boolean> {
  try {
    return (await stat(candidate)).isFile();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw failure(workflowsPath, `cannot be read: ${messageOf(cause)}`, cause);
  }
}

/* ---------------------------------------------------------------------------------------------- compiling */

type Compiled = Pick<WorkflowBundle, 'code' | 'sourceMap' | 'warnings'> & { metafile: Metafile };

async function compile(workflowsPath: string, entry: string): Promise<Compiled> {
  const { outputFiles, metafile, warnings } = await runEsbuild(workflowsPath, entry);
  const refusals = warnings.filter(isRefusal);
  if (refusals.length > 0)
    throw new WorkflowBundleError(workflowsPath, toProblems(refusals, entry, metafile));
  const textOf = (extension: string) => outputFiles.find((file) => file.path.endsWith(extension))?.text ?? '';
  // An executable entry's first line would be in the middle of a line once the script is inside a function.
  const code = textOf('.js').replace(/^#!.*/, (hashbang) => ' '.repeat(hashbang.length));
  return { code, sourceMap: textOf('.map'), metafile, warnings: toProblems(warnings, entry) };
}

const OUTPUT = 'workflow-bundle.js';

type Result = BuildResult<{ metafile: true; write: false }>;

async function runEsbuild(workflowsPath: string, entry: string): Promise<Result> {
  const folder = path.dirname(entry);
  try {
    return await build({
      entryPoints: [entry],
      // Every name in the output is relative to this folder, so that the script does not depend on where it lies.
      absWorkingDir: folder,
      // Nothing is written; an entry that happens to have this name is not in danger.
      outfile: path.join(folder, OUTPUT),
      write: false,
      bundle: true,
      format: 'cjs',
      target: 'node20',
      // Neither Node nor a browser: the sandbox has the language, and no platform's own modules or globals.
      platform: 'neutral',
      mainFields: ['module', 'main'],
      // esbuild adds `import` or `require`, whichever the importing file uses, and `default`.
      conditions: ['workflow'],
      // The sandbox has no module loader; an import() of a bundled module becomes a promise of it.
      supported: { 'dynamic-import': false },
      // Many packages ask for this, and the sandbox has no `process`. A constant: the host's environment must not
      // decide which path a replay takes.
      define: { 'process.env.NODE_ENV': '"production"' },
      // Bundling renames functions that share a name, but a function's name is its workflow type.
      keepNames: true,
      legalComments: 'none',
      sourcemap: 'external',
      sourcesContent: false,
      sourceRoot: folder,
      metafile: true,
      logLevel: 'silent',
      logLimit: 0,
      plugins: [borders],
    });
  } catch (cause) {
    if (!isBuildFailure(cause)) throw failure(workflowsPath, messageOf(cause), cause);
    const messages = [...cause.errors, ...cause.warnings.filter(isRefusal)];
    throw new WorkflowBundleError(workflowsPath, toProblems(messages, entry), { cause });
  }
}

const BORDERS = 'signalbox-borders';

/**
 * Decides what becomes of an import that is not a file of the user's own. A refusal is a warning to esbuild, which
 * gives it the place of the import and goes on, so that all of them are found, and the way to each is known.
 */
const borders: Plugin = {
  name: BORDERS,
  setup(plugin) {
    plugin.onResolve({ filter: /^([^./]|\/\/)|\.node$/ }, ({ path: specifier }) => {
      if (WORKFLOW_LIBRARY_NAMES.has(specifier)) return { path: WORKFLOW_LIBRARY, external: true };
      const text = refusalOf(specifier);
      return text === undefined ? undefined : { path: specifier, external: true, warnings: [{ text }] };
    });
  },
};

function isRefusal(message: Message): boolean {
  return message.pluginName === BORDERS;
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && 'warnings' in error;
}

function inputFiles(metafile: Metafile, folder: string): string[] {
  // `<data:…>` and names with a namespace, such as `(disabled):x`, stand for no file.
  const files = Object.keys(metafile.inputs).filter((input) => !/^[<(]|^[\w-]{2,}:/.test(input));
  return files.map((input) => path.resolve(folder, input)).sort();
}

/* ---------------------------------------------------------------------------------------------- the script */

/** esbuild's output is sloppy code where a package is; the sandbox evaluates all of it in strict mode. */
const STRICT = '"use strict";';

function parseStrictly(workflowsPath: string, code: string, sourceMap: string): Program {
  try {
    return parse(STRICT + code, {
      ecmaVersion: 'latest',
      sourceType: 'script',
      allowReturnOutsideFunction: true,
      locations: true,
    });
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new WorkflowBundleError(workflowsPath, [problemOf(cause, workflowsPath, sourceMap)], { cause });
  }
}

function problemOf(error: SyntaxError, workflowsPath: string, sourceMap: string): BundleProblem {
  const { loc } = error as SyntaxError & { loc: { line: number; column: number } };
  const column = loc.line === 1 ? loc.column - STRICT.length : loc.column;
  const origin = placeFinder(sourceMap)(loc.line, column) ?? { file: workflowsPath, line: 0, column: 0 };
  return {
    ...origin,
    text: `does not compile in strict mode: ${error.message.replace(/ \(\d+:\d+\)$/, '')}`,
  };
}

/** It would be undefined, and found out by the first turn that gets there, again and again. */
function refuseUnprovided(workflowsPath: string, program: Program, sourceMap: string): void {
  const find = placeFinder(sourceMap);
  const problems = unprovidedUses(program).map(({ name, line, column }) => ({
    ...(find(line, line === 1 ? column - STRICT.length : column) ?? {
      file: workflowsPath,
      line: 0,
      column: 0,
    }),
    text: `'${WORKFLOW_LIBRARY}' does not provide '${name}'`,
  }));
  if (problems.length > 0) throw new WorkflowBundleError(workflowsPath, problems);
}

/**
 * What the entry exports. esbuild's metafile names exports for its 'esm' format only, so they are read from the object
 * that the script hands to its `__export` helper. Undefined for a CommonJS entry, and for one that re-exports all of a
 * module whose names are known at evaluation only.
 */
function findExportNames(program: Program, entryFormat: 'cjs' | 'esm' | undefined): string[] | undefined {
  if (entryFormat === 'cjs') return undefined;
  const namespace = exportedNamespace(program);
  let names: string[] | undefined = [];
  visit(program, undefined, (node) => {
    if (node.type !== 'CallExpression' || node.callee.type !== 'Identifier') return;
    const [target, getters] = node.arguments;
    if (target?.type !== 'Identifier' || target.name !== namespace) return;
    if (isHelper('__reExport', node.callee.name)) names = undefined;
    if (isHelper('__export', node.callee.name) && getters) names &&= keysOf(getters);
  });
  return names;
}

/** The `x` of the script's `module.exports = __toCommonJS(x)`, which is missing where there is nothing to export. */
function exportedNamespace(program: Program): string | undefined {
  for (const statement of program.body) {
    if (statement.type !== 'ExpressionStatement') continue;
    const value =
      statement.expression.type === 'AssignmentExpression' ? statement.expression.right : undefined;
    if (value?.type !== 'CallExpression' || value.callee.type !== 'Identifier') continue;
    const [namespace] = value.arguments;
    if (isHelper('__toCommonJS', value.callee.name) && namespace?.type === 'Identifier')
      return namespace.name;
  }
  return undefined;
}

/** esbuild appends a number to a helper whose name the user's code has taken. */
function isHelper(helper: string, name: string): boolean {
  return name.startsWith(helper) && /^\d*$/.test(name.slice(helper.length));
}

function keysOf(object: AnyNode): string[] {
  if (object.type !== 'ObjectExpression') return [];
  return object.properties.flatMap((property) =>
    property.type === 'Property' ? (plainKey(property) ?? []) : [],
  );
}

/**
 * `import * as wf` makes esbuild copy every export of the authoring API into a new object, for each execution. The API is a
 * frozen object that needs no copy: taking it as it is halves the memory of an idle execution. Blanks keep the columns.
 */
function requireDirectly(code: string): string {
  return code.replace(/__toESM\((require\("signalbox\/workflow"\))(?:, 1)?\)/g, (whole, required: string) =>
    required.padEnd(whole.length),
  );
}

/**
 * esbuild defines the entry's exports on an object, and then all of them again on another, as accessors: a third of the work
 * of a short execution, which asks for one of them. The functions that it makes accessors of will do. Where the object is
 * used for anything else, as by a module that imports itself, nothing is changed. Lines stay.
 */
function exportDirectly(code: string, program: Program): string {
  const namespace = exportedNamespace(program);
  let uses = 0;
  visit(program, undefined, (node) => {
    if (node.type === 'Identifier' && node.name === namespace) uses++;
  });
  const define = new RegExp(`^__export\\(${namespace}, (?=\\{$)`, 'm');
  const assign = new RegExp(`^module\\.exports = __toCommonJS\\(${namespace}\\);$`, 'm');
  // Declared, defined, assigned.
  if (uses !== 3 || !define.test(code) || !assign.test(code)) return code;
  return code.replace(define, 'module.getters = (').replace(assign, '');
}

type Range = readonly [start: number, end: number];

/**
 * Blanks each call of esbuild's `__name` helper that gives a function the name it has anyhow, which is nearly all of
 * them. What stays are the functions and classes that bundling renamed. The helper is a defineProperty: run for every
 * closure made in a turn it would be slow, and in a query's handler it would look like a change of state (D6).
 * Blanks keep every other character where the source map says it is.
 */
function dropNeedlessNames(code: string, program: Program): string {
  const helper = nameHelperOf(program);
  if (helper === undefined) return code;
  const text = STRICT + code;
  const needless: Range[] = [];
  visit(program, undefined, (node, parent) => needless.push(...needlessRanges(node, parent, helper, text)));
  needless.sort(([a], [b]) => a - b);
  const kept: string[] = [];
  let at = STRICT.length;
  for (const [start, end] of needless) {
    kept.push(text.slice(at, start), text.slice(start, end).replace(/[^\n]/g, ' '));
    at = end;
  }
  return kept.join('') + text.slice(at);
}

function needlessRanges(node: AnyNode, parent: AnyNode | undefined, helper: string, text: string): Range[] {
  switch (node.type) {
    case 'Program':
    case 'BlockStatement':
      return needlessStatements(node.body, helper).map(({ start, end }) => [start, end]);
    case 'ClassDeclaration':
    case 'ClassExpression': {
      const name = node.id?.name ?? boundName(node, parent);
      const blocks = node.body.body.filter((member) => member.type === 'StaticBlock');
      return blocks.filter(({ body }) => isNaming(body, helper, name)).map(({ start, end }) => [start, end]);
    }
    case 'CallExpression':
      return needlessWrapping(node, parent, helper, text);
    default:
      return [];
  }
}

/** The name under which the script declares esbuild's helper, which comes before all of the user's code. */
function nameHelperOf(program: Program): string | undefined {
  for (const statement of program.body) {
    if (statement.type !== 'VariableDeclaration') continue;
    const id = statement.declarations[0]?.id;
    if (id?.type === 'Identifier' && isHelper('__name', id.name)) return id.name;
  }
  return undefined;
}

/** `__name(target, 'name')`, taken apart. */
function nameCall(node: CallExpression, helper: string) {
  if (node.callee.type !== 'Identifier' || node.callee.name !== helper) return undefined;
  const [target, name] = node.arguments;
  if (!target || name?.type !== 'Literal') return undefined;
  return { target, name: String(name.value), nameStart: name.start };
}

/** The statements `__name(f, 'f')` that stand beside `function f`. */
function needlessStatements(body: readonly AnyNode[], helper: string): AnyNode[] {
  const declared = new Set(
    body.map((statement) => statement.type === 'FunctionDeclaration' && statement.id?.name),
  );
  return body.filter((statement) => {
    if (statement.type !== 'ExpressionStatement' || statement.expression.type !== 'CallExpression')
      return false;
    const named = nameCall(statement.expression, helper);
    return (
      named?.target.type === 'Identifier' && named.target.name === named.name && declared.has(named.name)
    );
  });
}

/** What surrounds the function in `const f = __name(() => …, 'f')`. */
function needlessWrapping(
  call: CallExpression,
  parent: AnyNode | undefined,
  helper: string,
  text: string,
): Range[] {
  const named = nameCall(call, helper);
  if (named?.target.type !== 'FunctionExpression' && named?.target.type !== 'ArrowFunctionExpression')
    return [];
  if (named.name !== (named.target.id?.name ?? boundName(call, parent))) return [];
  // The parentheses stay, the call's own and any around the function: a function in parentheses still takes the name
  // of what it is assigned to.
  return [
    [call.callee.start, call.callee.end],
    [text.lastIndexOf(',', named.nameStart), call.end - 1],
  ];
}

/** Whether a static block does nothing but name its class what it is named anyhow. */
function isNaming(body: readonly AnyNode[], helper: string, className: string | undefined): boolean {
  const [statement] = body;
  if (body.length !== 1 || statement?.type !== 'ExpressionStatement') return false;
  if (statement.expression.type !== 'CallExpression') return false;
  const named = nameCall(statement.expression, helper);
  return named?.target.type === 'ThisExpression' && named.name === className;
}

/** The name that an anonymous function or class takes from the place it stands in (ECMAScript's NamedEvaluation). */
function boundName(node: AnyNode, parent: AnyNode | undefined): string | undefined {
  switch (parent?.type) {
    case 'VariableDeclarator':
      return parent.init === node && parent.id.type === 'Identifier' ? parent.id.name : undefined;
    case 'AssignmentExpression':
      // Not `+=`: of the operators, those that may store the function itself.
      if (!/^(\?\?|&&|\|\|)?=$/.test(parent.operator)) return undefined;
      return parent.left.type === 'Identifier' ? parent.left.name : undefined;
    case 'AssignmentPattern':
      return parent.right === node && parent.left.type === 'Identifier' ? parent.left.name : undefined;
    case 'Property':
    case 'PropertyDefinition':
      return parent.value === node ? plainKey(parent) : undefined;
    default:
      return undefined;
  }
}

/** A key that is written out, except `__proto__`, which names nothing. */
function plainKey(property: { computed: boolean; key: AnyNode }): string | undefined {
  if (property.computed) return undefined;
  const { key } = property;
  const name = key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : undefined;
  return name === '__proto__' ? undefined : name;
}
