/**
 * Failures as data: the stored and sent form of every error that crosses a border (thread, store, process).
 *
 * Owns: the Failure shape. The error classes and the conversion both ways are in actors/failures.ts, which runs in
 * the workflow sandbox and on the host alike.
 */
import type { Payload, RetryState } from './journal-entry.js';

export type TimeoutKind = 'START_TO_CLOSE' | 'SCHEDULE_TO_START' | 'SCHEDULE_TO_CLOSE' | 'HEARTBEAT';

/** What kind of failure it is, with only that kind's fields. Absent: a plain error, known by message and stack. */
export type FailureInfo =
  | {
      kind: 'application';
      type?: string | undefined;
      nonRetryable?: boolean | undefined;
      /** Encoded list of details. */
      details?: Payload | undefined;
      /** ms */
      nextRetryDelay?: number | undefined;
      category?: 'BENIGN' | undefined;
    }
  | { kind: 'timeout'; timeoutType: TimeoutKind; lastHeartbeatDetails?: Payload | undefined }
  | { kind: 'cancelled'; details?: Payload | undefined }
  | { kind: 'terminated' }
  | { kind: 'server'; nonRetryable: boolean }
  | {
      kind: 'activity';
      activityType: string;
      activityId?: string | undefined;
      retryState: RetryState;
      identity?: string | undefined;
    }
  | {
      kind: 'childWorkflow';
      namespace?: string | undefined;
      workflowId: string;
      runId?: string | undefined;
      workflowType: string;
      retryState: RetryState;
    };

export interface Failure {
  message: string;
  source?: string | undefined;
  stackTrace?: string | undefined;
  cause?: Failure | undefined;
  info?: FailureInfo | undefined;
}
