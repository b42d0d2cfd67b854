/**
 * The way back from the workflow script to the user's sources.
 *
 * Owns: reading the bundle's source map, and how places are named. Does not own: making the map (bundle.ts).
 */
import { readFile } from 'node:fs/promises';
import { SourceMap, type SourceMapPayload } from 'node:module';
import path from 'node:path';
import { type BundleProblem, displayPath } from './bundle-errors.js';

/** File, line and column, the last two from 1, as in BundleProblem. */
export type SourcePlace = Omit<BundleProblem, 'text'>;

/**
 * Maps a position of WorkflowBundle.code, its line counted from 1 and its column from 0, to `file:line` of the user's
 * sources. Files are named as in BundleProblem. A position that belongs to no source, such as esbuild's own helpers, is
 * given as `<bundle>:line`.
 */
export function createLocator(sourceMap: string): (line: number, column: number) => string {
  const find = placeFinder(sourceMap);
  return (line, column) => {
    const place = find(line, column) ?? { file: '<bundle>', line };
    return `${place.file}:${place.line}`;
  };
}

/** The same with the column, and undefined for a position that belongs to no source. */
export function placeFinder(sourceMap: string): (line: number, column: number) => SourcePlace | undefined {
  const payload = JSON.parse(sourceMap) as SourceMapPayload;
  const map = new SourceMap(payload);
  return (line, column) => {
    const found = map.findEntry(line - 1, column);
    if (!('originalSource' in found) || found.originalSource === undefined) return undefined;
    const file = sourceName(found.originalSource, payload.sourceRoot);
    return { file, line: found.originalLine + 1, column: found.originalColumn + 1 };
  };
}

/** The texts of files (absolute paths), by the names that places have. */
export async function readSources(
  files: readonly string[],
  sourceMap: string,
): Promise<ReadonlyMap<string, string>> {
  const folder = (JSON.parse(sourceMap) as SourceMapPayload).sourceRoot;
  const texts = files.map(async (file) => [displayPath(file, folder), await readFile(file, 'utf8')] as const);
  return new Map(await Promise.all(texts));
}

function sourceName(source: string, folder: string): string {
  // A package built by another bundler may bring a map whose sources are names, not files: webpack://x/y.ts.
  return /^[a-z][\w+.-]+:\/\//i.test(source) ? source : displayPath(path.resolve(folder, source), folder);
}
