/**
 * The built-in queries that tell where an open execution waits (semantics.md 5.10).
 *
 * Owns: both answers, with places in the user's sources. What the thread gives are positions in the workflow script, which
 * is the bundle with more text in its lines.
 * Does not own: which stacks these are (stack-capture.ts), how the question reaches the thread (host.ts, thread.ts).
 */

import type {
  EnhancedStackTrace,
  StackTraceFileLocation,
  StackTraceFileSlice,
} from '../actors/built-in-queries.js';
import { ENHANCED_STACK_TRACE_QUERY, STACK_TRACE_QUERY } from '../actors/definitions.js';
import type { Payload } from '../codec/journal-entry.js';
import { decodePayload, encodePayload } from '../codec/payload.js';
import type { SourcePlace } from './source-places.js';
import type { ScriptFrame } from './stack-capture.js';

export function isStackTraceQuery(name: string): boolean {
  return name === STACK_TRACE_QUERY || name === ENHANCED_STACK_TRACE_QUERY;
}

export interface StackTraceParts {
  /** The place of a position in the workflow script (line from 1, column from 0), if it has one. */
  find(line: number, column: number): SourcePlace | undefined;
  /** Of this package. */
  version: string;
  /** Text by file name; undefined unless the answers are to have the sources in them. */
  sources: ReadonlyMap<string, string> | undefined;
}

interface NamedPlace extends SourcePlace {
  name: string | undefined;
  async: boolean;
}

export class StackTraces {
  readonly #parts: StackTraceParts;

  constructor(parts: StackTraceParts) {
    this.#parts = parts;
  }

  /** The answer to one of the two queries. @param found the thread's answer; undefined for an execution that has closed, in which nothing waits */
  answer(query: string, found: Payload | undefined): Payload {
    const stacks = found === undefined ? [] : (decodePayload(found) as ScriptFrame[][]);
    const places = stacks.map((frames) => this.#placesOf(frames)).filter((stack) => stack.length > 0);
    return encodePayload(query === STACK_TRACE_QUERY ? text(places) : this.#enhanced(places));
  }

  #placesOf(frames: readonly ScriptFrame[]): NamedPlace[] {
    return frames.flatMap(({ name, async, line, column }) => {
      const place = this.#parts.find(line, column);
      return place === undefined ? [] : [{ ...place, name, async }];
    });
  }

  #enhanced(stacks: readonly NamedPlace[][]): EnhancedStackTrace {
    const { version, sources } = this.#parts;
    const files = new Set(stacks.flat().map(({ file }) => file));
    const shown: Record<string, StackTraceFileSlice[]> = {};
    for (const file of files) {
      const content = sources?.get(file);
      if (content !== undefined) shown[file] = [{ line_offset: 0, content }];
    }
    return {
      sdk: { name: 'typescript', version },
      stacks: stacks.map((places) => ({ locations: places.map(location) })),
      sources: shown,
    };
  }
}

function location({ file, line, column, name }: NamedPlace): StackTraceFileLocation {
  return {
    file_path: file,
    line,
    column,
    ...(name !== undefined && { function_name: name }),
    internal_code: false,
  };
}

/** As V8 writes stacks. */
function text(stacks: readonly NamedPlace[][]): string {
  return stacks.map((places) => places.map(line).join('\n')).join('\n\n');
}

function line({ file, line, column, name, async }: NamedPlace): string {
  const place = `${file}:${line}:${column}`;
  const what = `${async ? 'async ' : ''}${name ?? ''}`.trimEnd();
  return `    at ${name === undefined ? `${what} ${place}`.trimStart() : `${what} (${place})`}`;
}
