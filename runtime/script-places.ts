/**
 * Stacks of workflow code, by the places of the user's sources instead of those of the workflow script.
 *
 * Owns: the name of that script in stacks, rewriting them on the thread, and which frames are not shown. The source map is read when the first stack is
 * shown, so that it costs nothing where nothing fails.
 * Does not own: which errors are shown (actors/failures.ts), reading the map (source-places.ts).
 */
import { columnFinder } from '../actors/sandbox/columns.js';
import { placeFinder, type SourcePlace } from './source-places.js';

/** Under this name stacks show the user's code. */
export const WORKFLOW_SCRIPT = 'workflow-bundle.js';

export interface ScriptPlaces {
  /** Of the bundle. */
  sourceMap: string;
  /** What instrumenting it has inserted (actors/sandbox/columns.ts). */
  insertions: Int32Array;
}

/** The place of a position in the workflow script (line from 1, column from 0), if it has one. */
export type FindPlace = (line: number, column: number) => SourcePlace | undefined;

export function scriptPlaceFinder({ sourceMap, insertions }: ScriptPlaces): FindPlace {
  const find = placeFinder(sourceMap);
  const columnOf = columnFinder(insertions);
  return (line, column) => find(line, columnOf(line, column));
}

/** `    at name (workflow-bundle.js:1:2)`, also without a name and parentheses. */
const FRAME = new RegExp(`^(\\s+at (?:.* )?\\(?)${WORKFLOW_SCRIPT.replace('.', '\\.')}:(\\d+):(\\d+)(\\)?)$`);

/** Of this package, of its thread pool, and of what Node.js puts between. */
const OWN = [
  new URL('./', import.meta.url).href,
  new URL('../actors/', import.meta.url).href,
  '/piscina/',
  'node:async_hooks',
];

function isOwnFrame(line: string): boolean {
  return /^\s+at /.test(line) && OWN.some((part) => line.includes(part));
}

/** Leaves out the frames that say nothing to a user. */
export function withoutOwnFrames(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !isOwnFrame(line))
    .join('\n');
}

/** As withoutOwnFrames, and rewrites the frames of the workflow script. */
export function frameShower(places: ScriptPlaces): (stack: string) => string {
  let find: FindPlace | undefined;
  const shown = (line: string): string[] => {
    const [, before, row, column, after] = FRAME.exec(line) ?? [];
    if (row === undefined) return isOwnFrame(line) ? [] : [line];
    find ??= scriptPlaceFinder(places);
    const place = find(Number(row), Number(column) - 1);
    // A helper of the bundler has none.
    return place === undefined ? [] : [`${before}${place.file}:${place.line}:${place.column}${after ?? ''}`];
  };
  return (stack) => stack.split('\n').flatMap(shown).join('\n');
}
