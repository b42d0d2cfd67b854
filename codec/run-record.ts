/**
 * The run record: what the store keeps about a run beside its history, so that it can be found, described and woken
 * without reading that history.
 *
 * Owns: its shape, and the shape and packed form of what the store keeps beside it: activities, outbox items, outcomes.
 * Does not own: its packed form (packed/run-record.ts).
 *
 * Everything in it is derived from the run's journal entries up to `through`; what came after that stands in the journal and
 * is applied when the store is opened.
 */
import { Packr } from 'msgpackr';
import type { Failure } from './failure.js';
import type {
  ContinueAsNewCommand,
  ExternalCommand,
  Payload,
  RetryState,
  ScheduleActivityCommand,
  StartChildCommand,
  StartInfo,
  TurnFailureCause,
} from './journal-entry.js';

/** A start without its arguments, which only the history keeps. */
export type RunInfo = Omit<StartInfo, 'args'>;

export type RunOutcome =
  | { status: 'completed'; result: Payload }
  /** newRunId: the run that tries again. */
  | { status: 'failed'; failure: Failure; retryState: RetryState; newRunId?: string | undefined }
  | { status: 'cancelled' }
  | { status: 'terminated'; reason?: string | undefined }
  | { status: 'timedOut'; retryState: RetryState; newRunId?: string | undefined }
  | { status: 'continuedAsNew'; newRunId: string };

/** Id of the run that follows a closed one. */
export function followingRunId(outcome: RunOutcome | undefined): string | undefined {
  return outcome !== undefined && 'newRunId' in outcome ? outcome.newRunId : undefined;
}

export interface RunRecord {
  info: RunInfo;
  /** State of the execution chart (actors/lifecycles/execution.ts). */
  state: string;
  outcome?: RunOutcome | undefined;
  closeTime?: number | undefined;
  /** At least one turn has succeeded. */
  turned: boolean;
  /** Durable inputs that no turn has taken. */
  waiting: number;
  events: number;
  bytes: number;
  /** Time of the last entry. */
  lastTime: number;
  /** Journal value up to which this record and the history chunks are complete. */
  through: number;
  /** Due time by timer sequence number. */
  timers: [seq: number, due: number][];
  /** Accepted, unfinished updates. */
  updates: string[];
  /** Children that have not closed, by sequence number. */
  children: [seq: number, child: ChildRecord][];
  /** How many items the run has put into its outbox. */
  outboxNo: number;
  /** Updates that the run has accepted, as far as they were counted. */
  updatesAccepted: number;
  suspended?: { cause: TurnFailureCause; failure: Failure; since: number } | undefined;
}

/** An activity that has not settled. */
export interface ActivityRecord {
  command: ScheduleActivityCommand;
  scheduledAt: number;
  /** Number of the attempt that runs or comes next, from 1. */
  attempt: number;
  /** Epoch ms; the next attempt does not begin before. */
  nextAt: number;
  lastFailure?: Failure | undefined;
  /** What was reported last, as far as it was noted. */
  heartbeat?: Payload | undefined;
  /** Epoch ms at which that attempt began, if that was noted. If nobody runs it, it was interrupted. */
  begunAt?: number | undefined;
  cancelRequested: boolean;
}

export type ParentClosePolicy = StartChildCommand['parentClosePolicy'];

/** A child that was asked for and has not closed. */
export interface ChildRecord {
  workflowId: string;
  workflowType: string;
  /** Once it has started. */
  runId?: string | undefined;
  parentClosePolicy: ParentClosePolicy;
}

/**
 * Something that a run asks of another run. It is in the journal with the turn that asked, and in the run's outbox until
 * it is done; after a crash it is done again, and whoever it is for knows by sender and number that it was (D2).
 */
export type OutboxItem =
  | { kind: 'startChild'; seq: number; command: StartChildCommand }
  | { kind: 'external'; seq: number; command: ExternalCommand }
  | { kind: 'cancelChild'; seq: number; workflowId: string; reason?: string | undefined }
  /** The run has closed, and its child is to be ended. */
  | { kind: 'closeChild'; seq: number; workflowId: string; policy: Exclude<ParentClosePolicy, 'ABANDON'> }
  /** The run has closed, and its parent is to hear how. */
  | { kind: 'tellParent'; seq: number }
  /** The run has closed, and the next one of its chain is to start. */
  | { kind: 'continue'; seq: number; next: NextRun };

/** Why a run is followed by another, and what that one gets from it. */
export type NextRun =
  | { reason: 'continueAsNew'; command: ContinueAsNewCommand }
  /** The run failed, and its retry policy says that it is tried again after a while. */
  | { reason: 'retry'; delayMs: number; failure: Failure };

export type UpdateOutcome = { result: Payload } | { failure: Failure };

const packr = new Packr({ useRecords: false });

export const packActivityRecord = (record: ActivityRecord): Uint8Array => packr.pack(record);
export const unpackActivityRecord = (bytes: Uint8Array): ActivityRecord =>
  packr.unpack(bytes) as ActivityRecord;
export const packOutboxItem = (item: OutboxItem): Uint8Array => packr.pack(item);
export const unpackOutboxItem = (bytes: Uint8Array): OutboxItem => packr.unpack(bytes) as OutboxItem;
export const packUpdateOutcome = (outcome: UpdateOutcome): Uint8Array => packr.pack(outcome);
export const unpackUpdateOutcome = (bytes: Uint8Array): UpdateOutcome => packr.unpack(bytes) as UpdateOutcome;
