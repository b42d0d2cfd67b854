/**
 * What crosses the border between the host and a pool thread: one batch of envelopes there, one result back.
 *
 * Owns: both shapes and their packed forms. A batch and a result each travel as one transferred ArrayBuffer.
 * Does not own: what a thread does with them (runtime/shard.ts), who sends them (runtime/thread.ts).
 */
import { Packr } from 'msgpackr';
import type { Failure } from './failure.js';
import type { Input, JournalEntry, Payload, StartInfo, TurnFailureCause } from './journal-entry.js';

/** A message with its address. Envelopes of one run are handled in the order of the batch (D3). */
export type Envelope =
  /** A new run, with the messages that share its first turn. If that turn is put off (startDelayMs), only they are noted. */
  | { kind: 'start'; info: StartInfo; inputs: Input[] }
  | { kind: 'input'; runNo: number; input: Input }
  | { kind: 'query'; runNo: number; name: string; args: Payload }
  /** Rebuild the activation by replay. Comes before anything else for a run that the thread does not hold. */
  | { kind: 'recover'; runNo: number; frames: Uint8Array[] }
  /**
   * Try the turn again that failed, with what stands in the mailbox and what follows in this batch; or, when it is the
   * first one and was put off until now, for the first time.
   */
  | { kind: 'retry'; runNo: number; first?: boolean | undefined }
  /**
   * An entry that the host makes and the thread puts in its place among the run's own: the thread is the only writer of
   * a run's entries, so that no two can be out of order. Answered 'closed' when the run has ended before.
   */
  | { kind: 'note'; runNo: number; entry: JournalEntry }
  /** Passivation: forget the activation. */
  | { kind: 'drop'; runNo: number };

export interface Batch {
  /** Counts from 1 per thread. */
  no: number;
  /** Epoch ms: the time of every turn of this batch. */
  now: number;
  envelopes: Envelope[];
}

/** An answer to the envelope at index `at`; it may leave once the batch `after` of this thread is durable (D4). */
export type Reply = { at: number; after: number } & (
  | { kind: 'answer'; result: Payload }
  | { kind: 'failure'; failure: Failure }
  /** The run had ended before this message's turn. */
  | { kind: 'closed' }
);

/** A turn failed: its activation is gone, its inputs but the updates are in the journal as received. */
export interface TurnFailure {
  runNo: number;
  cause: TurnFailureCause;
  failure: Failure;
  /** Indexes of the updates that were in the turn; the host holds them until the turn is tried again. */
  updates: number[];
}

export interface WorkflowLog {
  runNo: number;
  level: 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  message: string;
  /** Encoded record of attributes. */
  attributes?: Payload | undefined;
}

export interface BatchResult {
  no: number;
  /** Frames to append to the journal; empty when nothing happened that must be kept. */
  journal: Uint8Array;
  replies: Reply[];
  failures: TurnFailure[];
  /** Runs whose activation is gone although no turn of theirs failed. */
  dropped: number[];
  logs: WorkflowLog[];
  /** Bytes of heap the thread uses, for passivation by bytes. */
  heapBytes: number;
}

const packr = new Packr({ useRecords: false });

function ownBuffer(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const own = new Uint8Array(bytes.length);
  own.set(bytes);
  return own;
}

export function packBatch(batch: Batch): Uint8Array<ArrayBuffer> {
  return ownBuffer(packr.pack(batch));
}

export function unpackBatch(bytes: Uint8Array): Batch {
  return packr.unpack(bytes) as Batch;
}

/** u32 journal length | journal | rest: the journal is appended as it came, without a copy through the packer. */
export function packResult(result: BatchResult): Uint8Array<ArrayBuffer> {
  const { journal, ...rest } = result;
  const packed = packr.pack(rest);
  const bytes = new Uint8Array(4 + journal.length + packed.length);
  new DataView(bytes.buffer).setUint32(0, journal.length);
  bytes.set(journal, 4);
  bytes.set(packed, 4 + journal.length);
  return bytes;
}

export function unpackResult(bytes: Uint8Array): BatchResult {
  const journalEnd = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const rest = packr.unpack(bytes.subarray(journalEnd)) as Omit<BatchResult, 'journal'>;
  return { ...rest, journal: bytes.subarray(4, journalEnd) };
}
