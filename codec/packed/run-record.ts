/**
 * Run records as they are packed: one schema.
 *
 * Owns: the stored form. Fields stand in this order, new ones go to the end; a code is given once and for ever.
 * Does not own: what a record means (run-record.ts), how a schema becomes bytes (schema.ts).
 *
 * One record is written for each run that starts or changes between two compactions, so it is packed like a journal entry
 * and not as a map with names, which took four times the bytes and the time.
 */
import type { ChildRecord, RunInfo, RunOutcome, RunRecord } from '../run-record.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { failure, retryState, startInfo, turnFailureCause } from './entry.js';
import { bytes, type Codec, flag, list, number, oneOf, pair, struct, text, uint, variant } from './schema.js';

const outcome = variant<RunOutcome, 'status'>('status', {
  completed: [0, { result: bytes }],
  failed: [1, { failure, retryState, newRunId: text }],
  cancelled: [2, {}],
  terminated: [3, { reason: text }],
  timedOut: [4, { retryState, newRunId: text }],
  continuedAsNew: [5, { newRunId: text }],
});

const child = struct<ChildRecord>({
  workflowId: text,
  workflowType: text,
  runId: text,
  parentClosePolicy: oneOf<ChildRecord['parentClosePolicy']>({ TERMINATE: 0, ABANDON: 1, REQUEST_CANCEL: 2 }),
});

const runRecord = struct<RunRecord>({
  // Without arguments, and what is undefined takes no place.
  info: startInfo as Codec<RunInfo>,
  state: text,
  outcome,
  closeTime: number,
  turned: flag,
  waiting: uint,
  events: uint,
  bytes: uint,
  lastTime: number,
  through: uint,
  timers: list(pair(uint, number)),
  updates: list(text),
  children: list(pair(uint, child)),
  outboxNo: uint,
  updatesAccepted: uint,
  suspended: struct<NonNullable<RunRecord['suspended']>>({ cause: turnFailureCause, failure, since: number }),
});

const writer = new ByteWriter();

/** Bytes of their own, which later calls do not touch. */
export function packRunRecord(record: RunRecord): Uint8Array {
  runRecord.write(writer.begin(), record);
  return writer.view.slice();
}

/** Payloads are views into `packed`. */
export function unpackRunRecord(packed: Uint8Array): RunRecord {
  return runRecord.read(new ByteReader(packed));
}
