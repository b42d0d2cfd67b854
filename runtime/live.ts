/**
 * A run that something is going on with: the host's volatile side of it, gone when the process is.
 *
 * Owns: whether a thread holds its activation, what is held back while its turn is tried again, who waits for it.
 * Does not own: anything durable (run.ts).
 */
import type { Envelope } from '../codec/envelope.js';
import type { Failure } from '../codec/failure.js';
import type { Input, Payload, StartInfo } from '../codec/journal-entry.js';
import type { UpdateOutcome } from '../codec/run-record.js';
import type { Run } from './run.js';
import { SparseMap, SparseSet } from './sparse.js';
import type { Expectation } from './turn-times.js';
import type { Topic } from './watch.js';

/** What became of one envelope. */
export type Outcome =
  /** It is on disk, together with the turn that it caused. */
  | { kind: 'durable' }
  | { kind: 'answer'; result: Payload }
  | { kind: 'failure'; failure: Failure }
  | { kind: 'closed' }
  /** It had no effect and may be sent again. */
  | { kind: 'error'; error: Error };

/** What a message counts for the limits beside its arguments. */
export const ENVELOPE_BYTES = 64;

/** An envelope on its way to a thread, and who wants to know what became of it. */
export interface Item {
  live: Live;
  envelope: Envelope;
  /** Size for the queue's limit. */
  bytes: number;
  settle: ((outcome: Outcome) => void) | undefined;
  /** Of a start: its update, as the message that it becomes when the first turn fails. */
  update?: Item | undefined;
}

export type UpdateStage = 'admitted' | 'accepted' | 'completed';

/** An update that callers wait for. */
export interface UpdateCall {
  stage: UpdateStage;
  outcome: UpdateOutcome | undefined;
  error: Error | undefined;
  waiters: { stage: UpdateStage; wake: () => void }[];
  /** The run that has it; undefined for one that is over. Before it is accepted, a continued run hands it to the next. */
  live: Live | undefined;
}

/** A turn that failed, between its failure and the next success. */
export interface TurnRetry {
  /** Failed attempts. */
  attempt: number;
  nextAt: number;
  /** What went wrong last. */
  message: string;
  stop: () => void;
  /** Something was noted for the run since then; a turn must take it when this attempt succeeds. */
  noted: boolean;
}

export class Live {
  readonly run: Run;
  /** The start is durable. Until then nobody may be told that the run exists. */
  started: Promise<void> = Promise.resolve();
  /** While the start is not durable: the run in memory that was the latest of the workflow id before. */
  before: Live | undefined;
  /** The start did not become durable: the run never existed, and whatever was sent to it fails with this. */
  gone: Error | undefined;
  /** Its thread holds the activation, or will when it has handled what was sent. */
  active = false;
  /** Newest batch of its thread that may have made entries of it. */
  batch = 0;
  /** Newest batch with anything for it. */
  usedIn = 0;
  /** Batch with a note that ends the run, sent while there was no activation to refuse what follows. */
  endBatch = 0;
  /** Items queued or in flight; a run with any is not passivated. */
  pending = 0;
  /** Messages that have come and are not settled, held ones too, and their size: what the run has of its thread's queue. */
  queued = 0;
  queuedBytes = 0;
  /** What one message is expected to take in the thread; undefined as long as nothing was slow there (turn-times.ts). */
  expectation: Expectation | undefined;
  /** Failed attempts of the turn at hand; undefined while turns succeed. */
  retry: TurnRetry | undefined;
  /** The turn that was put off is under way, or has been tried: from now on messages go straight to it. */
  roused = false;
  /** Messages that wait for the turn that is tried again, or for its time. */
  held: Item[] = [];
  readonly updates = new SparseMap<string, UpdateCall>();
  /** The run before this one, as long as messages are under way to it that will come here. */
  follows: Live | undefined;
  followedBy: Live | undefined;
  /** Messages that wait behind those, whatever becomes of the turns that these make. */
  behind: Item[] = [];
  readonly closeWaiters = new SparseSet<() => void>();
  /** What is watched of it, by question; undefined while nothing is (watch.ts). */
  watched: Map<string, Topic> | undefined;

  constructor(run: Run) {
    this.run = run;
  }

  /** Nothing volatile would be lost if the host forgot this run. */
  get idle(): boolean {
    return (
      !this.active &&
      this.pending === 0 &&
      this.retry === undefined &&
      this.held.length === 0 &&
      this.behind.length === 0 &&
      this.updates.size === 0 &&
      this.closeWaiters.size === 0 &&
      this.watched === undefined &&
      // Whoever runs an activity holds on to its run.
      this.run.activities.size === 0 &&
      // And whoever asks something of another run.
      this.run.outbox.size === 0 &&
      this.follows === undefined &&
      this.followedBy === undefined &&
      !this.run.dirty
    );
  }
}

/** Number of the run that asked for it (deliveries.ts). A run that follows another is asked for by that one's end. */
export function senderOf(envelope: Envelope): number | undefined {
  if (envelope.kind === 'input') return senderOfInput(envelope.input);
  if (envelope.kind === 'start') return senderOfStart(envelope.info, envelope.inputs);
  const noted = envelope.kind === 'note' ? envelope.entry : undefined;
  if (noted?.kind === 'started') return senderOfStart(noted.info, []);
  return noted?.kind === 'received' ? senderOfInput(noted.inputs[0]) : undefined;
}

function senderOfStart(info: StartInfo, inputs: readonly Input[]): number | undefined {
  return info.continuedFromRunId === undefined ? (info.parent?.runNo ?? senderOfInput(inputs[0])) : undefined;
}

function senderOfInput(input: Input | undefined): number | undefined {
  return input !== undefined && 'sender' in input ? input.sender?.runNo : undefined;
}
