/**
 * Run records as they are packed.
 *
 * Owns: the stored form. The types are in ../run-record.ts; a field that is added there does not compile until it has its
 * place here. Fields stand in this order, new ones go to the end; a code is given once and for ever.
 * Does not own: how a schema becomes bytes (schema.ts).
 *
 * A million open executions have a million of these: names of fields would take two thirds of the space.
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
  parentClosePolicy: oneOf<ChildRecord['parentClosePolicy']>({
    TERMINATE: 0,
    ABANDON: 1,
    REQUEST_CANCEL: 2,
  }),
});

const record = struct<RunRecord>({
  // Without the arguments, which a start's information has and a record's has not.
  info: startInfo as Codec<RunInfo>,
  state: text,
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
  outcome,
  closeTime: number,
  suspended: struct<NonNullable<RunRecord['suspended']>>({ cause: turnFailureCause, failure, since: number }),
});

const writer = new ByteWriter();

export function packRunRecord(value: RunRecord): Uint8Array {
  record.write(writer.begin(), value);
  return writer.view.slice();
}

/**
 * Payloads inside the record are views into `packed`.
 * @throws Error for bytes that are no record, or one of a kind that this version does not know
 */
export function unpackRunRecord(packed: Uint8Array): RunRecord {
  return record.read(new ByteReader(packed));
}
