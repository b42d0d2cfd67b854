/**
 * The logger port. The default writes lines to standard error, from INFO on.
 */
import { inspect, types } from 'node:util';

export type LogLevel = 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';

export interface Logger {
  log(level: LogLevel, message: string, attributes?: Record<string, unknown>): void;
}

const LEVELS: readonly LogLevel[] = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'];

export class DefaultLogger implements Logger {
  readonly #least: number;

  constructor(readonly level: LogLevel = 'INFO') {
    this.#least = LEVELS.indexOf(level);
  }

  log(level: LogLevel, message: string, attributes?: Record<string, unknown>): void {
    if (LEVELS.indexOf(level) < this.#least) return;
    const rest =
      attributes === undefined || Object.keys(attributes).length === 0 ? '' : ` ${show(attributes)}`;
    process.stderr.write(`${new Date().toISOString()} [${level}] ${message}${rest}\n`);
  }
}

function show(attributes: Record<string, unknown>): string {
  try {
    return JSON.stringify(attributes, printable);
  } catch {
    return showPiecewise(attributes);
  }
}

/** One of them has no JSON: it refers to itself, or a getter of it throws. The others have. */
function showPiecewise(attributes: Record<string, unknown>): string {
  const parts = Object.keys(attributes).flatMap((name) => {
    const text = showOne(attributes, name);
    return text === undefined ? [] : [`${JSON.stringify(name)}:${text}`];
  });
  return `{${parts.join(',')}}`;
}

function showOne(attributes: Record<string, unknown>, name: string): string | undefined {
  let value: unknown;
  try {
    value = attributes[name];
    return JSON.stringify(value, printable);
  } catch (error) {
    return JSON.stringify(value === undefined ? notShown(error) : shown(value));
  }
}

function notShown(error: unknown): string {
  return `[could not be shown: ${String(error)}]`;
}

/** For what JSON passes over in silence: errors, Maps and the like look empty, bytes like objects with many names. */
function printable(_: string, value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return `${value}n`;
    case 'function':
    case 'symbol':
      return shown(value);
    case 'object':
      return value === null || Array.isArray(value) || isTold(value) ? value : shown(value);
    default:
      return value;
  }
}

/** JSON says what is in it. */
function isTold(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  return !types.isNativeError(value) && !ArrayBuffer.isView(value) && Object.keys(value).length > 0;
}

/** A value as text in one line, but for the stacks of errors. */
export function shown(value: unknown): string {
  try {
    return inspect(value, { depth: 4, breakLength: Number.POSITIVE_INFINITY });
  } catch (error) {
    return notShown(error);
  }
}
