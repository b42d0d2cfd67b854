/** What follows a failed attempt of an activity (activities/retry.ts): every rule as a row. */
import { expect } from 'chai';
import type { Failure } from '../../codec/failure.js';
import type { RetryPolicy, ScheduleActivityCommand } from '../../codec/journal-entry.js';
import { afterFailure, type RetryDecision } from '../../runtime/activities/retry.js';

const command = (retry?: RetryPolicy, scheduleToCloseMs?: number): ScheduleActivityCommand => ({
  kind: 'scheduleActivity',
  seq: 1,
  activityId: '1',
  activityType: 'work',
  args: new Uint8Array(),
  taskQueue: 'default',
  cancellationType: 'TRY_CANCEL',
  retry,
  scheduleToCloseMs,
});

type Info = NonNullable<Failure['info']>;
const failure = (info?: Info): Failure => ({ message: 'no', info });
const application = (more: Partial<Extract<Info, { kind: 'application' }>> = {}): Failure =>
  failure({ kind: 'application', type: 'Trouble', ...more });
const timeout = (timeoutType: Extract<Info, { kind: 'timeout' }>['timeoutType']): Failure =>
  failure({ kind: 'timeout', timeoutType });
const again = (delayMs: number): RetryDecision => ({ retry: true, delayMs });
const final = (state: Extract<RetryDecision, { retry: false }>['state']): RetryDecision => ({
  retry: false,
  state,
});

interface Row {
  name: string;
  retry?: RetryPolicy;
  scheduleToCloseMs?: number;
  attempt?: number;
  failure?: Failure;
  since?: number;
  pauseMs?: number;
  expected: RetryDecision;
}

const ROWS: Row[] = [
  { name: 'no policy, first attempt', expected: again(1_000) },
  { name: 'no policy, second attempt: twice as long', attempt: 2, expected: again(2_000) },
  {
    name: 'no policy, any number of attempts: at most a hundred times the first delay',
    attempt: 1_000,
    expected: again(100_000),
  },
  { name: 'a plain error without kind', failure: failure(), expected: again(1_000) },
  { name: 'own first delay', retry: { initialInterval: 30 }, expected: again(30) },
  {
    name: 'own first delay sets the longest too',
    retry: { initialInterval: 30 },
    attempt: 50,
    expected: again(3_000),
  },
  { name: 'own coefficient', retry: { backoffCoefficient: 3 }, attempt: 3, expected: again(9_000) },
  {
    name: 'coefficient 1: always the same',
    retry: { backoffCoefficient: 1 },
    attempt: 9,
    expected: again(1_000),
  },
  { name: 'own longest delay', retry: { maximumInterval: 1_500 }, attempt: 2, expected: again(1_500) },
  { name: 'fewer attempts than allowed', retry: { maximumAttempts: 2 }, expected: again(1_000) },
  {
    name: 'as many attempts as allowed',
    retry: { maximumAttempts: 2 },
    attempt: 2,
    expected: final('MAXIMUM_ATTEMPTS_REACHED'),
  },
  { name: 'one attempt allowed', retry: { maximumAttempts: 1 }, expected: final('MAXIMUM_ATTEMPTS_REACHED') },
  {
    name: 'maximumAttempts 0: no limit',
    retry: { maximumAttempts: 0 },
    attempt: 99,
    expected: again(100_000),
  },
  {
    name: 'the failure says that no retry helps',
    failure: application({ nonRetryable: true }),
    expected: final('NON_RETRYABLE_FAILURE'),
  },
  {
    name: 'its type is one that is not retried',
    retry: { nonRetryableErrorTypes: ['Trouble'] },
    failure: application(),
    expected: final('NON_RETRYABLE_FAILURE'),
  },
  {
    name: 'another type is not retried',
    retry: { nonRetryableErrorTypes: ['Other'] },
    failure: application(),
    expected: again(1_000),
  },
  {
    name: 'the failure brings its own delay',
    retry: { initialInterval: 5 },
    failure: application({ nextRetryDelay: 77 }),
    attempt: 9,
    expected: again(77),
  },
  { name: 'its own delay of 0', failure: application({ nextRetryDelay: 0 }), expected: again(0) },
  {
    name: 'its own delay does not outdo nonRetryable',
    failure: application({ nextRetryDelay: 77, nonRetryable: true }),
    expected: final('NON_RETRYABLE_FAILURE'),
  },
  { name: 'an attempt took too long', failure: timeout('START_TO_CLOSE'), expected: again(1_000) },
  { name: 'no heartbeat came', failure: timeout('HEARTBEAT'), expected: again(1_000) },
  {
    name: 'the whole took too long',
    failure: timeout('SCHEDULE_TO_CLOSE'),
    expected: final('NON_RETRYABLE_FAILURE'),
  },
  {
    name: 'it did not begin in time',
    failure: timeout('SCHEDULE_TO_START'),
    expected: final('NON_RETRYABLE_FAILURE'),
  },
  { name: 'cancelled', failure: failure({ kind: 'cancelled' }), expected: final('NON_RETRYABLE_FAILURE') },
  { name: 'terminated', failure: failure({ kind: 'terminated' }), expected: final('NON_RETRYABLE_FAILURE') },
  {
    name: 'the next attempt would begin just in time',
    scheduleToCloseMs: 5_000,
    since: 3_999,
    expected: again(1_000),
  },
  {
    name: 'the next attempt would begin too late',
    scheduleToCloseMs: 5_000,
    since: 4_000,
    expected: final('TIMEOUT'),
  },
  {
    name: 'no delay, just in time',
    scheduleToCloseMs: 5_000,
    since: 4_999,
    pauseMs: 0,
    expected: again(0),
  },
  {
    name: 'no delay, too late',
    scheduleToCloseMs: 5_000,
    since: 5_000,
    pauseMs: 0,
    expected: final('TIMEOUT'),
  },
];

describe('retry of activities', () => {
  for (const {
    name,
    retry,
    scheduleToCloseMs,
    attempt = 1,
    failure: failed = application(),
    since = 0,
    pauseMs,
    expected,
  } of ROWS) {
    it(`${name} -> ${expected.retry ? `again in ${expected.delayMs} ms` : expected.state}`, () => {
      const scheduled = command(retry, scheduleToCloseMs);
      expect(afterFailure(scheduled, attempt, failed, since, pauseMs)).to.deep.equal(expected);
    });
  }
});
