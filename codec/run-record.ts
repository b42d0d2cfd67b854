/**
 * The run record: what the store keeps about a run beside its history, so that it can be found, described and woken
 * without reading that history.
 *
 * Owns: its shape and packed form. Everything in it is derived from the run's journal entries up to `through`; what came
 * after that stands in the journal and is applied when the store is opened.
 */
import { Packr } from 'msgpackr';
import type { Failure } from './failure.js';
import type {
  Payload,
  RetryState,
  ScheduleActivityCommand,
  StartInfo,
  TurnFailureCause,
} from './journal-entry.js';

/** A start without its arguments, which only the history keeps. */
export type RunInfo = Omit<StartInfo, 'args'>;

export type RunOutcome =
  | { status: 'completed'; result: Payload }
  | { status: 'failed'; failure: Failure }
  | { status: 'cancelled' }
  | { status: 'terminated'; reason?: string | undefined }
  | { status: 'timedOut'; retryState: RetryState }
  | { status: 'continuedAsNew'; newRunId: string };

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
  heartbeat?: Payload | undefined;
  cancelRequested: boolean;
}

export type UpdateOutcome = { result: Payload } | { failure: Failure };

const packr = new Packr({ useRecords: false });

export const packRunRecord = (record: RunRecord): Uint8Array => packr.pack(record);
export const unpackRunRecord = (bytes: Uint8Array): RunRecord => packr.unpack(bytes) as RunRecord;
export const packActivityRecord = (record: ActivityRecord): Uint8Array => packr.pack(record);
export const unpackActivityRecord = (bytes: Uint8Array): ActivityRecord =>
  packr.unpack(bytes) as ActivityRecord;
export const packUpdateOutcome = (outcome: UpdateOutcome): Uint8Array => packr.pack(outcome);
export const unpackUpdateOutcome = (bytes: Uint8Array): UpdateOutcome => packr.unpack(bytes) as UpdateOutcome;
