/**
 * The logger port. The default writes lines to standard error, from INFO on.
 */

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
    return JSON.stringify(attributes, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  } catch {
    // Cyclic attributes have no JSON; the keys still say something.
    return `{${Object.keys(attributes).join(', ')}}`;
  }
}
