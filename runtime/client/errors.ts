/**
 * Errors of client calls: classes, names and messages are those of Temporal's TypeScript client (semantics.md section 11).
 *
 * Owns: the catalogue. Where Temporal's error would carry a gRPC error, the same shape is here: an Error with `code`,
 * `details` and `metadata`, so that code which tells them apart keeps working.
 */
import { namedError, type WorkflowExecutionAlreadyStartedError } from '../../actors/failures.js';

/** The gRPC status codes that occur. */
export const GrpcStatus = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

/** The shape of a gRPC error, without gRPC. */
export class RpcError extends Error {
  override name = 'RpcError';
  readonly metadata: Record<string, unknown> = {};
  constructor(
    readonly code: GrpcStatus,
    readonly details: string,
    options?: { cause?: unknown },
  ) {
    super(details, options);
  }

  /** The call had no effect and may be made again. */
  get retryable(): boolean {
    return this.code === GrpcStatus.RESOURCE_EXHAUSTED || this.code === GrpcStatus.UNAVAILABLE;
  }
}

/** True for an Error with string `details` and object `metadata`. */
export function isGrpcServiceError(error: unknown): error is RpcError {
  const candidate = error as RpcError | undefined;
  return (
    error instanceof Error &&
    typeof candidate?.details === 'string' &&
    typeof candidate.metadata === 'object' &&
    candidate.metadata !== null
  );
}

function hasCode(error: unknown, code: GrpcStatus): boolean {
  if (isGrpcServiceError(error) && error.code === code) return true;
  return error instanceof Error && error.cause !== undefined && hasCode(error.cause, code);
}

/** CANCELLED anywhere in the chain of causes. */
export function isGrpcCancelledError(error: unknown): boolean {
  return hasCode(error, GrpcStatus.CANCELLED);
}

/** DEADLINE_EXCEEDED anywhere in the chain of causes. */
export function isGrpcDeadlineError(error: unknown): boolean {
  return hasCode(error, GrpcStatus.DEADLINE_EXCEEDED);
}

/** A call failed for a reason that has no class of its own; the cause has the gRPC code. */
export class ServiceError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}
namedError(ServiceError, 'ServiceError');

/** No such execution, or it has ended. */
export class WorkflowNotFoundError extends Error {
  constructor(
    message: string,
    readonly workflowId: string,
    readonly runId: string | undefined,
  ) {
    super(message);
  }
}
namedError(WorkflowNotFoundError, 'WorkflowNotFoundError');

/** result(): the workflow failed, was cancelled, terminated or timed out; the cause says which. */
export class WorkflowFailedError extends Error {
  constructor(
    message: string,
    override readonly cause: Error | undefined,
    readonly retryState: string,
  ) {
    super(message);
  }
}
namedError(WorkflowFailedError, 'WorkflowFailedError');

/** The update was rejected by its validator, or failed after it was accepted; the cause says why. */
export class WorkflowUpdateFailedError extends Error {
  constructor(
    message: string,
    override readonly cause: Error | undefined,
  ) {
    super(message);
  }
}
namedError(WorkflowUpdateFailedError, 'WorkflowUpdateFailedError');

/** The call was given up (deadline, abort); the update itself goes on. */
export class WorkflowUpdateRPCTimeoutOrCancelledError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}
namedError(WorkflowUpdateRPCTimeoutOrCancelledError, 'WorkflowUpdateRPCTimeoutOrCancelledError');

/** result() of a run that continued as new, when runs are not followed. */
export class WorkflowContinuedAsNewError extends Error {
  constructor(
    message: string,
    readonly newExecutionRunId: string,
  ) {
    super(message);
  }
}
namedError(WorkflowContinuedAsNewError, 'WorkflowExecutionContinuedAsNewError');

/** No handler for the query, or the handler threw. */
export class QueryNotRegisteredError extends Error {
  constructor(
    message: string,
    readonly code: GrpcStatus,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
namedError(QueryNotRegisteredError, 'QueryNotRegisteredError');

/** The state of the execution does not allow the query. */
export class QueryRejectedError extends Error {
  constructor(readonly status: number) {
    super('Query rejected');
  }
}
namedError(QueryRejectedError, 'QueryRejectedError');

export class NamespaceNotFoundError extends Error {
  constructor(readonly namespace: string) {
    super(`Namespace not found: '${namespace}'`);
  }
}
namedError(NamespaceNotFoundError, 'NamespaceNotFoundError');

export type { WorkflowExecutionAlreadyStartedError };
