/**
 * The way back from a position in the script of a bundle to the user's line.
 *
 * Owns: reading the source map. Does not own: making it (bundle.ts), how files are called in errors (bundle-errors.ts).
 */
import { SourceMap, type SourceMapPayload } from 'node:module';
import path from 'node:path';
import { type BundleProblem, displayPath } from './bundle-errors.js';

/**
 * Maps a position of WorkflowBundle.code, its line counted from 1 and its column from 0, to `file:line` of the user's
 * sources. Files are named as in BundleProblem. A position that belongs to no source, such as esbuild's own helpers, is
 * given as `<bundle>:line`.
 */
export function createLocator(sourceMap: string): (line: number, column: number) => string {
  const find = originFinder(sourceMap);
  return (line, column) => {
    const origin = find(line, column) ?? { file: '<bundle>', line };
    return `${origin.file}:${origin.line}`;
  };
}

type Origin = Omit<BundleProblem, 'text'>;

/** Undefined for a position that belongs to no source. */
export function originFinder(sourceMap: string): (line: number, column: number) => Origin | undefined {
  const payload = JSON.parse(sourceMap) as SourceMapPayload;
  const map = new SourceMap(payload);
  return (line, column) => {
    const found = map.findEntry(line - 1, column);
    if (!('originalSource' in found) || found.originalSource === undefined) return undefined;
    const file = sourceName(found.originalSource, payload.sourceRoot);
    return { file, line: found.originalLine + 1, column: found.originalColumn + 1 };
  };
}

function sourceName(source: string, folder: string): string {
  // A package built by another bundler may bring a map whose sources are names, not files: webpack://x/y.ts.
  return /^[a-z][\w+.-]+:\/\//i.test(source) ? source : displayPath(path.resolve(folder, source), folder);
}
