/** Durations as users write them: a number of ms, or a string such as '1500 ms', '2 hours' (package ms). */
import ms, { type StringValue } from 'ms';

export type Duration = StringValue | number;

/** Milliseconds of a duration. Throws TypeError on text that is not a duration. */
export function msToNumber(value: Duration): number {
  if (typeof value === 'number') {
    if (Number.isNaN(value)) throw new TypeError('Invalid duration: NaN');
    return value;
  }
  const parsed = typeof value === 'string' && value.length > 0 ? ms(value) : undefined;
  if (parsed === undefined || Number.isNaN(parsed)) {
    throw new TypeError(
      `Invalid duration string: ${JSON.stringify(value)}. Use a number of ms or text like '10 seconds'`,
    );
  }
  return parsed;
}

export function optionalMs(value: Duration | undefined | null): number | undefined {
  return value === undefined || value === null ? undefined : msToNumber(value);
}

/** Milliseconds of a time limit; 0 is none, as it is to Temporal's server. @throws TypeError for a negative one */
export function timeoutMs(value: Duration | undefined | null, what: string): number | undefined {
  const ms = optionalMs(value);
  if (ms !== undefined && ms < 0) throw new TypeError(`${what} must not be negative, got ${value}`);
  return ms === 0 ? undefined : ms;
}
