/**
 * What log lines say about failures.
 *
 * Owns: the attributes that lines of the runtime have in common: `error` is the message, `causes` those of what led to it,
 * `stack` where it was thrown.
 * Does not own: when a line is written (activation.ts, runtime/host.ts, runtime/activities/runner.ts).
 */
import type { Failure } from '../codec/failure.js';

export function failureAttributes(failure: Failure): Record<string, unknown> {
  return { error: failure.message, ...whyAndWhere(failure) };
}

/** Without the message, for a line that has it in its own text. */
export function whyAndWhere(failure: Failure): Record<string, unknown> {
  const causes = causesOf(failure);
  return {
    ...(causes.length > 0 && { causes }),
    ...(hasStack(failure) && { stack: failure.stackTrace }),
  };
}

function causesOf({ cause }: Failure): string[] {
  return cause === undefined ? [] : [cause.message, ...causesOf(cause)];
}

/** The user's code says that it is nothing to be alarmed at. */
export function isBenign({ info }: Failure): boolean {
  return info?.kind === 'application' && info.category === 'BENIGN';
}

/** A limit is not thrown by any code that somebody could look at. */
function hasStack({ stackTrace, info }: Failure): boolean {
  return info?.kind !== 'timeout' && stackTrace !== undefined && /\n\s+at /.test(stackTrace);
}
