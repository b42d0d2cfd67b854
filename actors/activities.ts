/**
 * Activities as workflow code sees them: proxies that schedule, promises that settle when the host reports.
 *
 * Owns: proxyActivities, scheduleActivity, the pending activities of one activation, what cancelling does (9.6, 9.7).
 * Does not own: running activities, retries, timeouts (runtime/activities/).
 */
import type {
  ActivityCancellation,
  ActivityResolvedInput,
  RetryPolicy as StoredRetryPolicy,
} from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { mutableActivation } from './current.js';
import { type Duration, msToNumber, optionalMs, timeoutMs } from './duration.js';
import { ActivityFailure, CancelledFailure, fromFailure } from './failures.js';
import { checkOptions, type OptionNames, oneOf, requireArgs } from './options.js';
import { decodePayload, encodePayload } from './payloads.js';
import { CancellationScope } from './scopes.js';

/** How failed attempts are repeated. */
export interface RetryPolicy {
  /** Factor between delays. Default 2, at least 1. */
  backoffCoefficient?: number;
  /** First delay. Default 1 second. */
  initialInterval?: Duration;
  /**
   * Attempts in all; absent or Infinity: without limit. With 1, an activity runs at most once.
   *
   * An activity's attempt that a crash or close() of the runtime interrupts is one of them: it has timed out, and the next
   * one begins when the store is opened, at once. Without a limit that is only so for an attempt that has reported a
   * heartbeat; another begins again under the same number. With a limit, that an attempt begins has to be on disk first.
   */
  maximumAttempts?: number;
  /** Longest delay. Default 100 x initialInterval. */
  maximumInterval?: Duration;
  /** Types of ApplicationFailure (class names of plain errors) that end the retries. */
  nonRetryableErrorTypes?: string[];
}

const RETRY_POLICY: OptionNames<keyof RetryPolicy> = {
  backoffCoefficient: true,
  initialInterval: true,
  maximumAttempts: true,
  maximumInterval: true,
  nonRetryableErrorTypes: true,
};

export const ActivityCancellationType = {
  TRY_CANCEL: 'TRY_CANCEL',
  WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED',
  ABANDON: 'ABANDON',
} as const;
export type ActivityCancellationType = ActivityCancellation;

export interface ActivityOptions {
  /** Default: the activity's sequence number. */
  activityId?: string;
  /** Time for everything, retries included. This or startToCloseTimeout is required. */
  scheduleToCloseTimeout?: Duration;
  /** Time that an attempt may wait for a free place. */
  scheduleToStartTimeout?: Duration;
  /** Time for one attempt. */
  startToCloseTimeout?: Duration;
  /** Longest silence between two heartbeats. */
  heartbeatTimeout?: Duration;
  taskQueue?: string;
  retry?: RetryPolicy;
  /** Default TRY_CANCEL (as Temporal behaves, semantics.md 9.7). */
  cancellationType?: ActivityCancellationType;
  summary?: string;
}

const ACTIVITY_OPTIONS: OptionNames<keyof ActivityOptions> = {
  activityId: true,
  scheduleToCloseTimeout: true,
  scheduleToStartTimeout: true,
  startToCloseTimeout: true,
  heartbeatTimeout: true,
  taskQueue: true,
  retry: true,
  cancellationType: true,
  summary: true,
  allowEagerDispatch: false,
  versioningIntent: false,
  priority: false,
  eventGroups: false,
  activityTypeInfo: false,
};

export type ActivityFunction<P extends any[] = any[], R = any> = (...args: P) => Promise<R>;
export type UntypedActivities = Record<string, ActivityFunction>;

/** The proxied form: each function of A, returning a promise of what it returns. */
export type ActivityInterfaceFor<A> = {
  [K in keyof A]: A[K] extends (...args: infer P) => infer R ? (...args: P) => Promise<Awaited<R>> : never;
};

interface PendingActivity {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  stop: (() => void) | undefined;
  type: string;
  id: string;
}

/** The activities of one activation that have not settled. */
export class Activities {
  readonly #activation: Activation;
  readonly #pending = new Map<number, PendingActivity>();

  constructor(activation: Activation) {
    this.#activation = activation;
  }

  schedule(type: string, args: unknown[], options: ActivityOptions): Promise<unknown> {
    const fields = activityFields(options);
    const { cancellationType } = fields;
    const scope = CancellationScope.current();
    const seq = this.#activation.nextSeq('activity');
    const id = options.activityId ?? String(seq);
    return new Promise((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.onCancel(reject);
        return;
      }
      const stop = scope.cancellable ? scope.onCancel(() => this.#cancel(seq, cancellationType)) : undefined;
      this.#activation.command({
        kind: 'scheduleActivity',
        seq,
        activityId: id,
        activityType: type,
        args: encodePayload(args, `activity ${type} arguments`),
        taskQueue: options.taskQueue ?? this.#activation.info.taskQueue,
        ...fields,
      });
      this.#pending.set(seq, { resolve, reject, stop, type, id });
    });
  }

  /** A result for an activity that was cancelled and given up in the meantime is ignored. */
  resolve({ seq, outcome }: ActivityResolvedInput): void {
    const activity = this.#take(seq);
    if (activity === undefined) return;
    if (outcome.status === 'completed') {
      activity.resolve(decodePayload(outcome.result));
      return;
    }
    const message = {
      failed: 'Activity task failed',
      timedOut: 'Activity task timed out',
      cancelled: 'Activity cancelled',
    }[outcome.status];
    const retryState = outcome.status === 'cancelled' ? 'CANCEL_REQUESTED' : outcome.retryState;
    activity.reject(
      new ActivityFailure(
        message,
        activity.type,
        activity.id,
        retryState,
        undefined,
        fromFailure(outcome.failure),
      ),
    );
  }

  #cancel(seq: number, type: ActivityCancellation): void {
    if (!this.#pending.has(seq)) return;
    const unsent = this.#activation.retract(
      (command) => command.kind === 'scheduleActivity' && command.seq === seq,
    );
    if (!unsent && type !== 'ABANDON') this.#activation.command({ kind: 'cancelActivity', seq });
    if (!unsent && type === 'WAIT_CANCELLATION_COMPLETED') return;
    // Not waiting for the activity: it is settled in a further step of the same turn (semantics.md 9.8).
    this.#activation.afterDrain(() => {
      const activity = this.#take(seq);
      const cause = new CancelledFailure('Activity cancelled');
      activity?.reject(
        new ActivityFailure(
          'Activity cancelled',
          activity.type,
          activity.id,
          'CANCEL_REQUESTED',
          undefined,
          cause,
        ),
      );
    });
  }

  #take(seq: number): PendingActivity | undefined {
    const activity = this.#pending.get(seq);
    this.#pending.delete(seq);
    activity?.stop?.();
    return activity;
  }
}

/**
 * Typed functions that schedule activities with these options.
 * @throws TypeError or ValueError for options that make no sense
 */
export function proxyActivities<A = UntypedActivities>(options: ActivityOptions): ActivityInterfaceFor<A> {
  if (options === undefined || options === null) throw new TypeError('options must be defined');
  checkOptions(options, ACTIVITY_OPTIONS, 'ActivityOptions');
  activityFields(options);
  return new Proxy({} as ActivityInterfaceFor<A>, {
    get(_, type) {
      if (typeof type !== 'string')
        throw new TypeError(`Only strings are supported for Activity types, got: ${String(type)}`);
      // A promise-like check (await proxy) must not schedule an activity called "then".
      if (type === 'then') return undefined;
      const call = (...args: unknown[]) =>
        mutableActivation('scheduleActivity(...)').activities.schedule(type, args, options);
      call.executeWithOptions = (overrides: ActivityOptions, args: unknown[]) => {
        checkOptions(overrides ?? {}, ACTIVITY_OPTIONS, 'ActivityOptions');
        return scheduleActivity(type, args, { ...options, ...overrides });
      };
      return call;
    },
  });
}

/** Schedules one activity by type name. */
export function scheduleActivity<R>(
  activityType: string,
  args: unknown[],
  options: ActivityOptions,
): Promise<R> {
  const activation = mutableActivation('scheduleActivity(...)');
  if (options === undefined) throw new TypeError('Got empty activity options');
  checkOptions(options, ACTIVITY_OPTIONS, 'ActivityOptions');
  requireArgs(args, `arguments of activity ${activityType}`);
  return activation.activities.schedule(activityType, args, options) as Promise<R>;
}

/** What becomes of the options in the command. @throws TypeError or ValueError for values that make no sense */
function activityFields(options: ActivityOptions) {
  const scheduleToCloseMs = timeoutMs(options.scheduleToCloseTimeout, 'scheduleToCloseTimeout');
  const startToCloseMs = timeoutMs(options.startToCloseTimeout, 'startToCloseTimeout');
  if (scheduleToCloseMs === undefined && startToCloseMs === undefined)
    throw new TypeError('Required either scheduleToCloseTimeout or startToCloseTimeout');
  return {
    scheduleToCloseMs,
    scheduleToStartMs: timeoutMs(options.scheduleToStartTimeout, 'scheduleToStartTimeout'),
    startToCloseMs,
    heartbeatMs: timeoutMs(options.heartbeatTimeout, 'heartbeatTimeout'),
    retry: compileRetryPolicy(options.retry),
    cancellationType: oneOf(
      ActivityCancellationType,
      options.cancellationType ?? 'TRY_CANCEL',
      'cancellationType',
    ),
  };
}

/** @throws ValueError-like TypeErrors on values that make no sense, so that a typo fails at once and not after a retry. */
export function compileRetryPolicy(policy: RetryPolicy | undefined): StoredRetryPolicy | undefined {
  if (policy === undefined || policy === null) return undefined;
  checkOptions(policy, RETRY_POLICY, 'RetryPolicy');
  const { backoffCoefficient, maximumAttempts, nonRetryableErrorTypes } = policy;
  const initialInterval = optionalMs(policy.initialInterval);
  const maximumInterval = optionalMs(policy.maximumInterval);
  if (backoffCoefficient !== undefined && backoffCoefficient <= 0) {
    throw new TypeError('RetryPolicy.backoffCoefficient must be greater than 0');
  }
  if (maximumAttempts !== undefined && maximumAttempts !== Number.POSITIVE_INFINITY) {
    if (maximumAttempts <= 0) throw new TypeError('RetryPolicy.maximumAttempts must be a positive integer');
    if (!Number.isInteger(maximumAttempts))
      throw new TypeError('RetryPolicy.maximumAttempts must be an integer');
  }
  if (initialInterval !== undefined && initialInterval <= 0)
    throw new TypeError('RetryPolicy.initialInterval cannot be 0 or negative');
  if (maximumInterval !== undefined && maximumInterval <= 0)
    throw new TypeError('RetryPolicy.maximumInterval cannot be less than or equal to 0');
  if (nonRetryableErrorTypes !== undefined)
    requireArgs(nonRetryableErrorTypes, 'RetryPolicy.nonRetryableErrorTypes');
  if (maximumInterval !== undefined && maximumInterval < (initialInterval ?? msToNumber('1s'))) {
    throw new TypeError('RetryPolicy.maximumInterval cannot be less than its initialInterval');
  }
  return {
    initialInterval,
    maximumInterval,
    backoffCoefficient,
    maximumAttempts: maximumAttempts === Number.POSITIVE_INFINITY ? undefined : maximumAttempts,
    nonRetryableErrorTypes,
  };
}
