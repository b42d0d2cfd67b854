/**
 * The retry decision: what follows a failed attempt. A pure function, so that all its cases can be tested in a table.
 */
import type { Failure } from '../../codec/failure.js';
import type { RetryPolicy, RetryState, ScheduleActivityCommand } from '../../codec/journal-entry.js';

export type RetryDecision = { retry: true; delayMs: number } | { retry: false; state: RetryState };

const DEFAULT_INITIAL_MS = 1_000;
const DEFAULT_COEFFICIENT = 2;
const DEFAULT_MAXIMUM_FACTOR = 100;

/**
 * @param command what is tried: an activity, or, with the same rules, a run of a workflow
 * @param attempt the attempt that failed, from 1
 * @param sinceScheduledMs time since the activity was scheduled
 * @param pauseMs the delay, where the policy is not to say it
 */
export function afterFailure(
  command: Pick<ScheduleActivityCommand, 'retry' | 'scheduleToCloseMs'>,
  attempt: number,
  failure: Failure,
  sinceScheduledMs: number,
  pauseMs?: number,
): RetryDecision {
  const policy = command.retry ?? {};
  if (isFinal(failure, policy)) return { retry: false, state: 'NON_RETRYABLE_FAILURE' };
  if (policy.maximumAttempts && attempt >= policy.maximumAttempts)
    return { retry: false, state: 'MAXIMUM_ATTEMPTS_REACHED' };
  const delayMs = pauseMs ?? nextDelay(policy, attempt, failure);
  const limit = command.scheduleToCloseMs;
  if (limit !== undefined && sinceScheduledMs + delayMs >= limit) return { retry: false, state: 'TIMEOUT' };
  return { retry: true, delayMs };
}

function isFinal(failure: Failure, policy: RetryPolicy): boolean {
  const { info } = failure;
  if (info?.kind === 'application') {
    return (
      info.nonRetryable === true ||
      (info.type !== undefined && (policy.nonRetryableErrorTypes ?? []).includes(info.type))
    );
  }
  if (info?.kind === 'timeout')
    return info.timeoutType === 'SCHEDULE_TO_CLOSE' || info.timeoutType === 'SCHEDULE_TO_START';
  return info?.kind === 'cancelled' || info?.kind === 'terminated';
}

function nextDelay(policy: RetryPolicy, attempt: number, failure: Failure): number {
  if (failure.info?.kind === 'application' && failure.info.nextRetryDelay !== undefined)
    return failure.info.nextRetryDelay;
  const initial = policy.initialInterval ?? DEFAULT_INITIAL_MS;
  const longest = policy.maximumInterval ?? initial * DEFAULT_MAXIMUM_FACTOR;
  return Math.min(longest, initial * (policy.backoffCoefficient ?? DEFAULT_COEFFICIENT) ** (attempt - 1));
}
