/**
 * Calls as the model knows them: when they were made, and what came of them.
 *
 * Owns: the closed union of outcomes, and reading one off an answer or an error.
 * Does not own: what outcome is right (model.ts).
 */
import { isCancellation } from '../../actors/failures.js';
import {
  GrpcStatus,
  isGrpcServiceError,
  QueryNotRegisteredError,
  QueryRejectedError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '../../runtime/client/index.js';
import type { CallStep } from './steps.js';

export type Outcome =
  /** start and signalWithStart: the run id; signal: whether it was a duplicate; update: a number; query: the list. */
  | { kind: 'ok'; value: unknown }
  /** Nothing was done. */
  | {
      kind: 'refused';
      why:
        | 'not found'
        | 'completed'
        | 'aborted'
        | 'already started'
        | 'query rejected'
        | 'turn fails'
        | 'disk full'
        | 'thread died';
    }
  /** An update's own failure: by its validator, by its handler, by cancellation, or by the end of its workflow. */
  | { kind: 'failed'; why: 'Refused' | 'Told' | 'Left' | 'cancelled' | 'AcceptedUpdateCompletedWorkflow' }
  /** The runtime was closed, or the process ended, before there was an answer. */
  | { kind: 'unknown' }
  | { kind: 'unexpected'; error: unknown };

export interface Call {
  no: number;
  step: CallStep;
  /** When it was made: in moments, of which each call and each answer has one of its own, and by the clock, ms. */
  issued: number;
  issuedAt: number;
  /** An update's acceptance, when it was waited for. */
  accepted?: { moment: number; runId: string };
  /** What a start began, or found: the first run of the chain. */
  firstRunId?: string;
  settled?: number;
  outcome?: Outcome;
}

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof WorkflowNotFoundError) return { kind: 'refused', why: notFound(error.message) };
  if (error instanceof WorkflowExecutionAlreadyStartedError)
    return { kind: 'refused', why: 'already started' };
  if (error instanceof QueryNotRegisteredError && /ended its thread/.test(error.message))
    return { kind: 'refused', why: 'thread died' };
  if (error instanceof QueryRejectedError) return { kind: 'refused', why: 'query rejected' };
  if (error instanceof WorkflowUpdateFailedError) {
    const { cause } = error;
    if (isCancellation(cause)) return { kind: 'failed', why: 'cancelled' };
    const why = (cause as { type?: string }).type;
    if (why === 'Refused' || why === 'Told' || why === 'Left' || why === 'AcceptedUpdateCompletedWorkflow')
      return { kind: 'failed', why };
  }
  // Those of update-with-start come as they are.
  const rpc = isGrpcServiceError(error) ? error : (error as Error).cause;
  if (isGrpcServiceError(rpc) && rpc.code === GrpcStatus.UNAVAILABLE) return { kind: 'unknown' };
  if (
    isGrpcServiceError(rpc) &&
    rpc.code === GrpcStatus.RESOURCE_EXHAUSTED &&
    /disk is full/.test(rpc.message)
  )
    return { kind: 'refused', why: 'disk full' };
  if (isGrpcServiceError(rpc) && rpc.code === GrpcStatus.FAILED_PRECONDITION)
    return { kind: 'refused', why: 'turn fails' };
  return { kind: 'unexpected', error };
}

function notFound(message: string): 'not found' | 'completed' | 'aborted' {
  if (message === 'workflow execution already completed') return 'completed';
  return message === 'update aborted by closing workflow' ? 'aborted' : 'not found';
}

/** The call was refused by no fault of its own: nothing was done, and it says nothing about the execution. */
export function wasLost(outcome: Outcome): boolean {
  return outcome.kind === 'refused' && (outcome.why === 'disk full' || outcome.why === 'thread died');
}

export function told(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'ok':
      return `answered ${JSON.stringify(outcome.value)}`;
    case 'refused':
    case 'failed':
      return `${outcome.kind} (${outcome.why})`;
    case 'unknown':
      return 'not answered';
    case 'unexpected':
      return `failed with ${outcome.error instanceof Error ? outcome.error.stack : String(outcome.error)}`;
  }
}
