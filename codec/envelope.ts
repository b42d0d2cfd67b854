/**
 * What crosses the border between the host and a pool thread: one batch of envelopes there, one result back.
 *
 * Owns: both shapes and their packed forms. A batch and a result each travel as one transferred ArrayBuffer.
 * Does not own: what a thread does with them (runtime/shard.ts), who sends them (runtime/thread.ts).
 */
import type { Failure } from './failure.js';
import type { Input, JournalEntry, Payload, StartInfo, TurnFailureCause } from './journal-entry.js';
import { ByteReader, ByteWriter } from './packed/bytes.js';
import { entry, failure, input, startInfo, turnFailureCause } from './packed/entry.js';
import { bytes, flag, list, number, oneOf, struct, text, uint, variant } from './packed/schema.js';

/** A message with its address. Envelopes of one run are handled in the order of the batch (D3). */
export type Envelope =
  /** A new run, with the messages that share its first turn. If that turn is put off (startDelayMs), only they are noted. */
  | { kind: 'start'; info: StartInfo; inputs: Input[] }
  | { kind: 'input'; runNo: number; input: Input }
  /** With frames, the run's history: the query is about a replay of it, and not about the activation that the thread holds. */
  | { kind: 'query'; runNo: number; name: string; args: Payload; frames?: Uint8Array[] | undefined }
  /** Rebuild the activation by replay. Comes before anything else for a run that the thread does not hold. */
  | { kind: 'recover'; runNo: number; frames: Uint8Array[] }
  /**
   * Try the turn again that failed, with what stands in the mailbox and what follows in this batch; or for the first
   * time, when it was put off until now or the end of the process came before it.
   */
  | { kind: 'retry'; runNo: number }
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
  /** The result is to say how long queries took too, not only turns. */
  timed: boolean;
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
  /** How long the batch took, ms. */
  ms: number;
  /** Runs whose messages took any time to speak of. */
  times: RunTime[];
}

/** How long the messages of one run took in a batch. */
export interface RunTime {
  runNo: number;
  ms: number;
  messages: number;
}

// ---------------------------------------------------------------------------------------------------------------
// Packed forms. They live as long as a batch is under way, so nothing about them is stored.

const inputs = list(input);

const batch = struct<Batch>({
  no: uint,
  now: number,
  timed: flag,
  envelopes: list(
    variant<Envelope, 'kind'>('kind', {
      start: [0, { info: startInfo, inputs }],
      input: [1, { runNo: uint, input }],
      query: [2, { runNo: uint, name: text, args: bytes, frames: list(bytes) }],
      recover: [3, { runNo: uint, frames: list(bytes) }],
      retry: [4, { runNo: uint }],
      note: [5, { runNo: uint, entry }],
      drop: [6, { runNo: uint }],
    }),
  ),
});

const result = struct<Omit<BatchResult, 'journal'>>({
  no: uint,
  replies: list(
    variant<Reply, 'kind'>('kind', {
      answer: [0, { at: uint, after: uint, result: bytes }],
      failure: [1, { at: uint, after: uint, failure }],
      closed: [2, { at: uint, after: uint }],
    }),
  ),
  failures: list(struct<TurnFailure>({ runNo: uint, cause: turnFailureCause, failure, updates: list(uint) })),
  dropped: list(uint),
  logs: list(
    struct<WorkflowLog>({
      runNo: uint,
      level: oneOf<WorkflowLog['level']>({ TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4 }),
      message: text,
      attributes: bytes,
    }),
  ),
  heapBytes: number,
  ms: number,
  times: list(struct<RunTime>({ runNo: uint, ms: number, messages: uint })),
});

const writer = new ByteWriter();

/** A copy with a buffer of its own, which can be transferred. */
function ownBuffer(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const own = new Uint8Array(packed.length);
  own.set(packed);
  return own;
}

export function packBatch(value: Batch): Uint8Array<ArrayBuffer> {
  batch.write(writer.begin(), value);
  return ownBuffer(writer.view);
}

/** Payloads and frames are views into `packed`. */
export function unpackBatch(packed: Uint8Array): Batch {
  return batch.read(new ByteReader(packed));
}

/** The journal first: it is taken from there as it came. */
export function packResult(value: BatchResult): Uint8Array<ArrayBuffer> {
  writer.begin().data(value.journal);
  result.write(writer, value);
  return ownBuffer(writer.view);
}

/** Journal and payloads are views into `packed`. */
export function unpackResult(packed: Uint8Array): BatchResult {
  const from = new ByteReader(packed);
  const journal = from.data();
  return Object.assign(result.read(from), { journal });
}
