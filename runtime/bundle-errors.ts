/**
 * What can be wrong with a user's module of workflows or of activities, and how it is said.
 *
 * Owns: WorkflowBundleError, how a place in the user's sources is named, and the list of modules that workflow code
 * may not import, with the advice for each.
 * Does not own: running esbuild and finding those imports (runtime/bundle.ts, runtime/bundle-activities.ts).
 *
 * The list serves D5: code that reads a disk, a socket, a clock or a random source other than the workflow's own
 * would not do the same again on replay.
 */
import { isBuiltin } from 'node:module';
import path from 'node:path';
import type { Message, Metafile } from 'esbuild';

/** One thing to mend, at one place of the user's sources. */
export interface BundleProblem {
  /**
   * Relative to the working directory when it lies inside, else to the entry's folder; or `node_modules/…`. For a
   * problem of the entry as a whole, the path as it was given.
   */
  file: string;
  /** Counted from 1; 0 when the problem concerns the file as a whole. */
  line: number;
  /** Counted from 1, as editors do; 0 when the problem concerns the file as a whole. */
  column: number;
  text: string;
}

/**
 * The workflows module, or that of the activities, is missing, does not compile, cannot be evaluated, imports what workflow
 * code may not import, or exports no functions. Nothing was loaded; the caller mends the sources and bundles again.
 */
export class WorkflowBundleError extends Error {
  override readonly name = 'WorkflowBundleError';

  constructor(
    /** The path that was given, also when it is that of the activities. */
    readonly workflowsPath: string,
    readonly problems: readonly BundleProblem[],
    options?: ErrorOptions,
    what: 'workflows' | 'activities' = 'workflows',
  ) {
    super(describe(workflowsPath, problems, what), options);
  }
}

function describe(workflowsPath: string, problems: readonly BundleProblem[], what: string): string {
  const subject = `Cannot bundle the ${what} of '${workflowsPath}'`;
  const told = problems.map(({ file, line, column, text }) => {
    if (line > 0) return `${file}:${line}:${column}: ${text}`;
    return file === workflowsPath ? text : `${file}: ${text}`;
  });
  return told.length === 1 ? `${subject}: ${told[0]}` : [`${subject}:`, ...told].join('\n  ');
}

/* ---------------------------------------------------------------------------------------------- places */

/** `file` as a person in the working directory would write it, with forward slashes on every platform. */
export function displayPath(file: string, folder: string): string {
  const fromHere = path.relative(process.cwd(), file);
  const isInside = fromHere !== '..' && !fromHere.startsWith(`..${path.sep}`) && !path.isAbsolute(fromHere);
  const shown = (isInside ? fromHere : path.relative(folder, file)).replaceAll(path.sep, '/');
  const packages = shown.indexOf('node_modules/');
  return packages === -1 ? shown : shown.slice(packages);
}

/**
 * esbuild's messages as problems, ordered by place. With the metafile, a problem inside a package also tells through
 * which files the package came in.
 */
export function toProblems(
  messages: readonly Message[],
  entry: string,
  metafile?: Metafile,
): BundleProblem[] {
  const folder = path.dirname(entry);
  const importers = metafile && importersFrom(path.basename(entry), metafile);
  return messages.map((message) => toProblem(message, entry, folder, importers)).sort(byPlace);
}

function byPlace(a: BundleProblem, b: BundleProblem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

function toProblem(
  { location, text }: Message,
  entry: string,
  folder: string,
  importers?: Importers,
): BundleProblem {
  const said = inUsersWords(text);
  if (!location) return { file: displayPath(entry, folder), line: 0, column: 0, text: said };
  // esbuild counts bytes, editors count UTF-16 units.
  const before = Buffer.from(location.lineText).subarray(0, location.column).toString();
  return {
    file: displayPath(path.resolve(folder, location.file), folder),
    line: location.line,
    column: before.length + 1,
    text: said + wayTo(location.file, folder, importers),
  };
}

function inUsersWords(text: string): string {
  if (!/top-level await/i.test(text)) return text;
  return 'top-level await is not possible in workflow code, whose modules are evaluated at once: await inside a workflow function';
}

/** For each input of a build, the one that imports it on a shortest way from the entry, which itself has none. */
type Importers = ReadonlyMap<string, string | undefined>;

function importersFrom(entry: string, metafile: Metafile): Importers {
  const importers = new Map<string, string | undefined>([[entry, undefined]]);
  // A map also yields what is added while it is walked: this is a breadth-first search.
  for (const at of importers.keys()) {
    for (const imported of metafile.inputs[at]?.imports ?? []) {
      if (!imported.external && !importers.has(imported.path)) importers.set(imported.path, at);
    }
  }
  return importers;
}

/** How a package's file that breaks the rules came into the bundle: its importers, back to the entry. */
function wayTo(input: string, folder: string, importers: Importers | undefined): string {
  if (!input.includes('node_modules/')) return '';
  const way: string[] = [];
  for (let at = importers?.get(input); at !== undefined; at = importers?.get(at)) {
    way.push(`imported by ${displayPath(path.resolve(folder, at), folder)}`);
  }
  return way.length === 0 ? '' : ` (${way.join(', ')})`;
}

/* ---------------------------------------------------------------------------------------------- refusals */

/** What to do instead of importing a built-in; every other built-in is for activities. */
const INSTEAD_OF_BUILTIN = new Map([
  ['crypto', "use uuid4() of 'signalbox/workflow', or call it from an activity"],
  ['timers', "use sleep() or condition() of 'signalbox/workflow'"],
  ['perf_hooks', 'use Date.now(), which is the time of the turn'],
]);

/** Temporal's packages that work from outside a workflow. Its other packages are left to be bundled. */
const TEMPORAL_HOST = /^@temporalio\/(activity|client|cloud|core-bridge|testing|worker)(\/|$)/;

/**
 * Native or thread-bound packages that every installation of Signalbox brings along, so that an editor's automatic
 * import can reach them. Other packages of that kind show by the built-ins they import.
 */
const NATIVE = /^(esbuild|lmdb|msgpackr-extract|piscina)(\/|$)/;

/** Why workflow code may not import `specifier`, with what to do instead; undefined when it may. */
export function refusalOf(specifier: string): string | undefined {
  const why = reasonAgainst(specifier);
  return why && `workflow code cannot import '${specifier}', ${why}`;
}

function reasonAgainst(specifier: string): string | undefined {
  if (isBuiltin(specifier) || specifier.startsWith('node:')) {
    return `a built-in module of Node: ${insteadOfBuiltin(specifier)}`;
  }
  if (/^signalbox\/activity(\/|$)/.test(specifier) || /^@temporalio\/activity(\/|$)/.test(specifier)) {
    return 'which works inside activities only: call activities through proxyActivities(), and use `import type` for their types';
  }
  if (/^signalbox(\/|$)/.test(specifier) || TEMPORAL_HOST.test(specifier)) {
    return "which works from outside a workflow: use 'signalbox/workflow', call it from an activity, or use `import type` for types";
  }
  if (/^@temporalio\/(common|workflow)\//.test(specifier)) {
    return "an inner file of Temporal's SDK: import from 'signalbox/workflow' instead";
  }
  if (/^(https?:)?\/\//.test(specifier)) return 'an address: install what it stands for as a package';
  if (NATIVE.test(specifier) || specifier.endsWith('.node'))
    return 'which is native code: call it from an activity';
  return undefined;
}

function insteadOfBuiltin(specifier: string): string {
  const [name = ''] = specifier.replace(/^node:/, '').split('/');
  return INSTEAD_OF_BUILTIN.get(name) ?? 'call it from an activity';
}
