/**
 * What the service answers, as callers know it: values, and errors of client/errors.ts.
 *
 * Owns: which failure becomes which error class (semantics.md section 11). Does not own: making calls (workflow-client.ts).
 */
import {
  CancelledFailure,
  fromFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowExecutionAlreadyStartedError,
} from '../../actors/failures.js';
import type { Payload } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';
import type { RunOutcome, UpdateOutcome } from '../../codec/run-record.js';
import type { Description } from '../service.js';
import {
  GrpcStatus,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  WorkflowContinuedAsNewError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from './errors.js';
import type { WorkflowExecutionDescription } from './types.js';

/** The value of a completed run, or the error that tells how it ended otherwise. */
export function valueOf(outcome: RunOutcome): unknown {
  switch (outcome.status) {
    case 'continuedAsNew':
      throw new WorkflowContinuedAsNewError('Workflow execution continued as new', outcome.newRunId);
    case 'completed':
      return decodePayload(outcome.result);
    case 'failed':
      throw new WorkflowFailedError(
        'Workflow execution failed',
        fromFailure(outcome.failure),
        outcome.retryState,
      );
    case 'cancelled':
      throw new WorkflowFailedError(
        'Workflow execution cancelled',
        new CancelledFailure('Workflow canceled'),
        'NON_RETRYABLE_FAILURE',
      );
    case 'terminated': {
      const text = outcome.reason || 'Workflow execution terminated';
      throw new WorkflowFailedError(text, new TerminatedFailure(text), 'NON_RETRYABLE_FAILURE');
    }
    case 'timedOut':
      throw new WorkflowFailedError(
        'Workflow execution timed out',
        new TimeoutFailure('Workflow execution timed out', undefined, 'START_TO_CLOSE'),
        outcome.retryState,
      );
  }
}

/** @throws WorkflowUpdateFailedError when the update was rejected or failed */
export function updateValueOf(outcome: UpdateOutcome): unknown {
  if ('failure' in outcome)
    throw new WorkflowUpdateFailedError('Workflow Update failed', fromFailure(outcome.failure));
  return decodePayload(outcome.result);
}

export function descriptionOf(raw: Description): WorkflowExecutionDescription {
  const record = (payload: Payload | undefined) =>
    payload === undefined ? {} : (decodePayload(payload) as Record<string, unknown>);
  return { ...raw, memo: record(raw.memo), searchAttributes: record(raw.searchAttributes) };
}

/** Errors that have a class of their own pass; the others become the cause of a ServiceError. */
export function rethrow(fallback: string): (error: unknown) => never {
  return (error) => {
    const known =
      error instanceof WorkflowNotFoundError ||
      error instanceof WorkflowExecutionAlreadyStartedError ||
      error instanceof QueryNotRegisteredError ||
      error instanceof QueryRejectedError;
    if (known || !(error instanceof RpcError)) throw error;
    throw new ServiceError(`${fallback}: ${error.message}`, { cause: error });
  };
}

/** The same for updates, whose callers can tell from the class that the update itself may go on. */
export function rethrowUpdate(fallback = 'Workflow Update failed'): (error: unknown) => never {
  return (error) => {
    const code = error instanceof RpcError ? error.code : undefined;
    if (code === GrpcStatus.DEADLINE_EXCEEDED || code === GrpcStatus.CANCELLED) {
      const text = `Workflow Update call timed out or was cancelled: ${(error as Error).message}`;
      throw new WorkflowUpdateRPCTimeoutOrCancelledError(text, { cause: error });
    }
    return rethrow(fallback)(error);
  };
}

/** Of both parts of an update-with-start: what the request itself is refused for comes as it is (semantics.md 4.3). */
export function rethrowWithStart(error: unknown): never {
  const code = error instanceof RpcError ? error.code : undefined;
  if (code === GrpcStatus.INVALID_ARGUMENT || code === GrpcStatus.RESOURCE_EXHAUSTED) throw error;
  return rethrowUpdate('Update-With-Start failed')(error);
}
