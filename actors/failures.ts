/**
 * The failure classes and their conversion to and from stored form.
 *
 * Owns: every class a workflow, an activity or a caller may catch as a *failure* (something that happened to a
 * workflow or activity), `toFailure` and `fromFailure`.
 * Does not own: errors of client calls (runtime/client/errors.ts), the stored shape (codec/failure.ts).
 *
 * The same source runs on the host and inside the sandbox, so there are two copies of each class. `instanceof` looks
 * at a registered symbol instead of the prototype chain and therefore holds across copies and realms
 * (semantics.md section 11).
 */
import type { Failure, FailureInfo, TimeoutKind } from '../codec/failure.js';
import type { Payload, RetryState } from '../codec/journal-entry.js';
import { type Duration, msToNumber } from './duration.js';
import { decodePayload, encodePayload } from './payloads.js';

/** Gives a class its `name` and an `instanceof` that holds across realms. */
export function namedError<T extends abstract new (...args: any[]) => Error>(cls: T, name: string): void {
  const brand = Symbol.for(`__temporal_is${name}`);
  const proto = cls.prototype as object;
  Object.defineProperty(proto, 'name', { value: name, enumerable: true, configurable: true, writable: true });
  Object.defineProperty(proto, brand, { value: true, configurable: true });
  Object.defineProperty(cls, Symbol.hasInstance, {
    // A subclass that user code derives has no brand of its own and is checked by its prototype, as usual.
    value: function hasInstance(this: { prototype: object }, value: unknown): boolean {
      if (this !== (cls as unknown))
        return Object.prototype.isPrototypeOf.call(this.prototype, value as object);
      return (
        typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true
      );
    },
  });
}

/** Base of all failures. One that escapes the main function or a handler is final, never retried as a bug would be. */
export class TemporalFailure extends Error {
  /** The stored form this object came from, if it came from one; encoding it again gives the same. */
  failure?: Failure;
  override readonly cause: Error | undefined;
  constructor(message?: string | null, cause?: Error) {
    super(message ?? undefined);
    this.cause = cause;
  }
}
namedError(TemporalFailure, 'TemporalFailure');

export const ApplicationFailureCategory = { BENIGN: 'BENIGN' } as const;
export type ApplicationFailureCategory = 'BENIGN';

export interface ApplicationFailureOptions {
  message?: string;
  /** Matched against `nonRetryableErrorTypes` of retry policies. */
  type?: string;
  nonRetryable?: boolean;
  details?: unknown[];
  /** Overrides the retry policy's next delay. */
  nextRetryDelay?: Duration;
  cause?: Error;
  category?: ApplicationFailureCategory;
}

/** The failure for users to throw: it fails the workflow, update or activity it escapes from. */
export class ApplicationFailure extends TemporalFailure {
  constructor(
    message?: string | null,
    readonly type?: string | null,
    readonly nonRetryable?: boolean | null,
    readonly details?: unknown[] | null,
    cause?: Error,
    readonly nextRetryDelay?: Duration | null,
    readonly category?: ApplicationFailureCategory | null,
  ) {
    super(message, cause);
  }

  static create(options: ApplicationFailureOptions): ApplicationFailure {
    const { message, type, nonRetryable = false, details, nextRetryDelay, cause, category } = options;
    return new ApplicationFailure(message, type, nonRetryable, details, cause, nextRetryDelay, category);
  }

  /** A failure that retries may mend. */
  static retryable(message?: string | null, type?: string | null, ...details: unknown[]): ApplicationFailure {
    return new ApplicationFailure(message, type ?? 'Error', false, details);
  }

  /** A failure that no retry can mend. */
  static nonRetryable(
    message?: string | null,
    type?: string | null,
    ...details: unknown[]
  ): ApplicationFailure {
    return new ApplicationFailure(message, type ?? 'Error', true, details);
  }

  /** Wraps any error; its class name becomes the type. */
  static fromError(
    error: Error | ApplicationFailure,
    overrides: ApplicationFailureOptions = {},
  ): ApplicationFailure {
    const failure = new ApplicationFailure(
      overrides.message ?? error.message,
      overrides.type ?? error.constructor?.name ?? error.name,
      overrides.nonRetryable ?? false,
      overrides.details,
      overrides.cause ?? (error.cause as Error | undefined),
      overrides.nextRetryDelay,
      overrides.category,
    );
    if (error.stack !== undefined) failure.stack = error.stack;
    return failure;
  }
}
namedError(ApplicationFailure, 'ApplicationFailure');

/** A workflow, activity, timer or scope was cancelled. */
export class CancelledFailure extends TemporalFailure {
  constructor(
    message?: string | null,
    readonly details: unknown[] = [],
    cause?: Error,
  ) {
    super(message, cause);
  }
}
namedError(CancelledFailure, 'CancelledFailure');

/** Cause of a terminated workflow's failure. */
export class TerminatedFailure extends TemporalFailure {}
namedError(TerminatedFailure, 'TerminatedFailure');

export const TimeoutType = {
  START_TO_CLOSE: 'START_TO_CLOSE',
  SCHEDULE_TO_START: 'SCHEDULE_TO_START',
  SCHEDULE_TO_CLOSE: 'SCHEDULE_TO_CLOSE',
  HEARTBEAT: 'HEARTBEAT',
} as const;
export type TimeoutType = TimeoutKind;

/** An activity or workflow ran out of one of its times. */
export class TimeoutFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    readonly lastHeartbeatDetails: unknown,
    readonly timeoutType: TimeoutType,
  ) {
    super(message);
  }
}
namedError(TimeoutFailure, 'TimeoutFailure');

/** A failure that comes from the runtime rather than from user code. */
export class ServerFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    readonly nonRetryable: boolean,
    cause?: Error,
  ) {
    super(message, cause);
  }
}
namedError(ServerFailure, 'ServerFailure');

/** What a workflow sees when an activity did not succeed; the reason is in `cause`. */
export class ActivityFailure extends TemporalFailure {
  constructor(
    message: string | undefined,
    readonly activityType: string,
    readonly activityId: string | undefined,
    readonly retryState: RetryState,
    readonly identity: string | undefined,
    cause?: Error,
  ) {
    super(message, cause);
  }
}
namedError(ActivityFailure, 'ActivityFailure');

/** What a workflow sees when a child workflow did not succeed; the reason is in `cause`. */
export class ChildWorkflowFailure extends TemporalFailure {
  constructor(
    readonly namespace: string | undefined,
    readonly execution: { workflowId: string; runId?: string | undefined },
    readonly workflowType: string,
    readonly retryState: RetryState,
    cause?: Error,
  ) {
    super('Child Workflow execution failed', cause);
  }
}
namedError(ChildWorkflowFailure, 'ChildWorkflowFailure');

/** The workflow id is taken: by an open execution, or by a closed one that the reuse policy protects. */
export class WorkflowExecutionAlreadyStartedError extends TemporalFailure {
  constructor(
    message: string,
    readonly workflowId: string,
    readonly workflowType: string,
  ) {
    super(message);
  }
}
namedError(WorkflowExecutionAlreadyStartedError, 'WorkflowExecutionAlreadyStartedError');

/** An API was used where it has no meaning, such as a workflow API outside a workflow. */
export class IllegalStateError extends Error {}
namedError(IllegalStateError, 'IllegalStateError');

/** A value is not one of those allowed. */
export class ValueError extends Error {}
namedError(ValueError, 'ValueError');

/** Workflow code did something that cannot be replayed, or replay gave other commands than the journal holds (D5). */
export class DeterminismViolationError extends Error {}
namedError(DeterminismViolationError, 'DeterminismViolationError');

/** True for a cancellation, or for an activity or child workflow that failed because of one. */
export function isCancellation(error: unknown): boolean {
  if (error instanceof CancelledFailure) return true;
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) {
    return error.cause instanceof CancelledFailure;
  }
  return false;
}

/** The message of the innermost cause. */
export function rootCause(error: unknown): string | undefined {
  if (error instanceof TemporalFailure) return error.cause ? rootCause(error.cause) : error.message;
  return error instanceof Error || isErrorLike(error)
    ? error.message
    : typeof error === 'string'
      ? error
      : undefined;
}

const NOT_AN_ERROR =
  ' [A non-Error value was thrown from your code. We recommend throwing Error objects so that we can provide a stack trace]';

function isErrorLike(value: unknown): value is Error {
  return typeof value === 'object' && value !== null && typeof (value as Error).message === 'string';
}

/** Makes anything thrown a TemporalFailure; at the border of a workflow or activity every other error is an ApplicationFailure. */
export function ensureTemporalFailure(error: unknown): TemporalFailure {
  if (error instanceof TemporalFailure) return error;
  if (isErrorLike(error)) return ApplicationFailure.fromError(error);
  return new ApplicationFailure(describeNonError(error));
}

function describeNonError(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // Cyclic or exotic values have no JSON; their String form has to do.
  }
  return (text ?? String(value)) + NOT_AN_ERROR;
}

// ---------------------------------------------------------------------------------------------------------------
// To stored form

/** Never throws: details that cannot be stored are replaced by a note that says so. */
export function toFailure(error: unknown): Failure {
  if (error instanceof TemporalFailure && error.failure !== undefined) return error.failure;
  if (!isErrorLike(error)) return { message: describeNonError(error), source: 'TypeScriptSDK' };
  const failure: Failure = { message: String(error.message), source: 'TypeScriptSDK' };
  if (error.stack !== undefined) failure.stackTrace = stackOf(error);
  if (error.cause !== undefined && error.cause !== null) failure.cause = toFailure(error.cause);
  const info = infoOf(error);
  if (info !== undefined) failure.info = info;
  return failure;
}

/** The stack as a user is to see it; empty for an error without one. */
export function stackOf(error: Error): string {
  return showFrames(cutStack(String(error.stack ?? '')));
}

let showFrames = (stack: string): string => stack;

/** `show` leaves out what is none of the user's; in the sandbox it also gives places in the sources for those in the bundle. */
export function showFramesBy(show: (stack: string) => string): void {
  showFrames = show;
}

/** Frames of the runtime itself say nothing to a user. */
function cutStack(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/signalbox-realm|node:internal|node:vm/.test(line))
    .slice(0, 40)
    .join('\n');
}

function infoOf(error: Error): FailureInfo | undefined {
  if (error instanceof ApplicationFailure) {
    return {
      kind: 'application',
      type: error.type ?? undefined,
      nonRetryable: error.nonRetryable ?? false,
      details: encodeDetails(error.details),
      nextRetryDelay: error.nextRetryDelay == null ? undefined : msToNumber(error.nextRetryDelay),
      category: error.category ?? undefined,
    };
  }
  if (error instanceof CancelledFailure) return { kind: 'cancelled', details: encodeDetails(error.details) };
  if (error instanceof TimeoutFailure) {
    const details = error.lastHeartbeatDetails;
    return {
      kind: 'timeout',
      timeoutType: error.timeoutType,
      lastHeartbeatDetails: details === undefined ? undefined : encodeDetails([details]),
    };
  }
  if (error instanceof TerminatedFailure) return { kind: 'terminated' };
  if (error instanceof ServerFailure) return { kind: 'server', nonRetryable: error.nonRetryable };
  if (error instanceof ActivityFailure) {
    const { activityType, activityId, retryState, identity } = error;
    return { kind: 'activity', activityType, activityId, retryState, identity };
  }
  if (error instanceof ChildWorkflowFailure) {
    const { namespace, execution, workflowType, retryState } = error;
    return {
      kind: 'childWorkflow',
      namespace,
      workflowId: execution.workflowId,
      runId: execution.runId,
      workflowType,
      retryState,
    };
  }
  return undefined;
}

function encodeDetails(details: unknown[] | null | undefined): Payload | undefined {
  if (details == null || details.length === 0) return undefined;
  try {
    return encodePayload(details, 'details');
  } catch (error) {
    return encodePayload([`[details could not be stored: ${(error as Error).message}]`]);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// From stored form

export function fromFailure(failure: Failure): Error {
  const error = build(failure, failure.cause === undefined ? undefined : fromFailure(failure.cause));
  if (failure.stackTrace !== undefined) error.stack = failure.stackTrace;
  if (error instanceof TemporalFailure)
    Object.defineProperty(error, 'failure', { value: failure, enumerable: false, configurable: true });
  return error;
}

function build(failure: Failure, cause: Error | undefined): Error {
  const { message, info } = failure;
  switch (info?.kind) {
    case 'application':
      return new ApplicationFailure(
        message,
        info.type,
        info.nonRetryable ?? false,
        decodeDetails(info.details),
        cause,
        undefined,
        info.category,
      );
    case 'cancelled':
      return new CancelledFailure(message, decodeDetails(info.details) ?? [], cause);
    case 'timeout':
      return withCause(
        new TimeoutFailure(message, decodeDetails(info.lastHeartbeatDetails)?.[0], info.timeoutType),
        cause,
      );
    case 'terminated':
      return new TerminatedFailure(message, cause);
    case 'server':
      return new ServerFailure(message, info.nonRetryable, cause);
    case 'activity':
      return new ActivityFailure(
        message,
        info.activityType,
        info.activityId,
        info.retryState,
        info.identity,
        cause,
      );
    case 'childWorkflow':
      return new ChildWorkflowFailure(
        info.namespace,
        { workflowId: info.workflowId, runId: info.runId },
        info.workflowType,
        info.retryState,
        cause,
      );
    case undefined:
      return new TemporalFailure(message, cause);
  }
}

function withCause<E extends TemporalFailure>(error: E, cause: Error | undefined): E {
  if (cause !== undefined) (error as { cause: Error | undefined }).cause = cause;
  return error;
}

function decodeDetails(details: Payload | undefined): unknown[] | undefined {
  return details === undefined ? undefined : (decodePayload(details) as unknown[]);
}
