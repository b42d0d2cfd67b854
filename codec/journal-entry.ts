/**
 * Journal entries: everything that happened to a workflow execution, in the form that is stored.
 *
 * Owns: the closed unions Input (what goes into a turn), Command (what comes out) and JournalEntry, and the frames in
 * which entries of many runs lie side by side in one journal value.
 * Does not own: their packed form (packed/entry.ts), keys (keys.ts), user values (payload.ts; they appear here as opaque
 * bytes), the Temporal view of them (history-event.ts).
 *
 * D1, D5: an entry holds all that replay needs and nothing that can be derived.
 * An entry is packed once, in the thread that produced it, and never re-packed: the compactor moves frames as bytes.
 */
import type { Failure } from './failure.js';
import { packEntry } from './packed/entry.js';

export { packEntry, unpackEntry } from './packed/entry.js';

/** An encoded user value or argument list (see payload.ts). */
export type Payload = Uint8Array;

/** String to payload, as in Temporal's headers. Absent when empty. */
export type Headers = Readonly<Record<string, Payload>>;

// ---------------------------------------------------------------------------------------------------------------
// Inputs: what a turn is given. All but 'start' and 'deliver' may be sent by the host; order is mailbox order.

/** The workflow that sent a message. Per sender and number it takes effect once, also across a crash between the two (D2). */
export interface Sender {
  workflowId: string;
  runId: string;
  runNo: number;
  /** Number of the command among the sender's external ones. */
  seq: number;
}

export interface SignalInput {
  kind: 'signal';
  name: string;
  /** Encoded argument list. */
  args: Payload;
  /** Only when the caller named one; it de-duplicates (D2). */
  requestId?: string | undefined;
  identity?: string | undefined;
  headers?: Headers | undefined;
  /** Only when a workflow sent it. */
  sender?: Sender | undefined;
}

export interface UpdateInput {
  kind: 'update';
  id: string;
  /** True when the client made the id up, so nobody else can send it again. */
  generated?: boolean | undefined;
  name: string;
  args: Payload;
  identity?: string | undefined;
  headers?: Headers | undefined;
  sender?: Sender | undefined;
}

export interface TimerFiredInput {
  kind: 'timerFired';
  seq: number;
}

export type ActivityOutcome =
  | { status: 'completed'; result: Payload }
  | { status: 'failed'; failure: Failure; retryState: RetryState }
  | { status: 'timedOut'; failure: Failure; retryState: RetryState }
  | { status: 'cancelled'; failure: Failure };

export type RetryState =
  | 'IN_PROGRESS'
  | 'NON_RETRYABLE_FAILURE'
  | 'TIMEOUT'
  | 'MAXIMUM_ATTEMPTS_REACHED'
  | 'RETRY_POLICY_NOT_SET'
  | 'INTERNAL_SERVER_ERROR'
  | 'CANCEL_REQUESTED';

export interface ActivityResolvedInput {
  kind: 'activityResolved';
  seq: number;
  attempt: number;
  /** Epoch ms at which the last attempt began. */
  startedAt: number;
  outcome: ActivityOutcome;
}

export interface CancelInput {
  kind: 'cancel';
  reason?: string | undefined;
  identity?: string | undefined;
  sender?: Sender | undefined;
}

export interface ChildStartedInput {
  kind: 'childStarted';
  seq: number;
  runId: string;
}

export interface ChildStartFailedInput {
  kind: 'childStartFailed';
  seq: number;
  cause: 'WORKFLOW_ALREADY_EXISTS' | 'NAMESPACE_NOT_FOUND';
}

export type ChildOutcome =
  | { status: 'completed'; result: Payload }
  | { status: 'failed'; failure: Failure; retryState: RetryState }
  | { status: 'cancelled'; failure: Failure }
  | { status: 'terminated'; failure: Failure }
  | { status: 'timedOut'; failure: Failure };

export interface ChildClosedInput {
  kind: 'childClosed';
  seq: number;
  outcome: ChildOutcome;
}

/**
 * The answer to a command that addresses another workflow: a failure, a result, or nothing but "done". The result is that
 * of an update, or, for signalWithStart, the id of the run that was signalled.
 */
export interface ExternalResolvedInput {
  kind: 'externalResolved';
  seq: number;
  failure?: Failure | undefined;
  result?: Payload | undefined;
}

export type Input =
  | SignalInput
  | UpdateInput
  | TimerFiredInput
  | ActivityResolvedInput
  | CancelInput
  | ChildStartedInput
  | ChildStartFailedInput
  | ChildClosedInput
  | ExternalResolvedInput;

// ---------------------------------------------------------------------------------------------------------------
// Commands: what a turn asks for, in the order in which workflow code asked.

export interface RetryPolicy {
  /** ms. Default 1,000. */
  initialInterval?: number | undefined;
  /** Default 2. */
  backoffCoefficient?: number | undefined;
  /** ms. Default 100 x initialInterval. */
  maximumInterval?: number | undefined;
  /** 0 or absent: without limit. */
  maximumAttempts?: number | undefined;
  nonRetryableErrorTypes?: readonly string[] | undefined;
}

export type ActivityCancellation = 'TRY_CANCEL' | 'WAIT_CANCELLATION_COMPLETED' | 'ABANDON';

export interface ScheduleActivityCommand {
  kind: 'scheduleActivity';
  seq: number;
  activityId: string;
  activityType: string;
  args: Payload;
  taskQueue: string;
  /** ms; at least one of scheduleToClose and startToClose is there. */
  scheduleToCloseMs?: number | undefined;
  scheduleToStartMs?: number | undefined;
  startToCloseMs?: number | undefined;
  heartbeatMs?: number | undefined;
  retry?: RetryPolicy | undefined;
  cancellationType: ActivityCancellation;
  headers?: Headers | undefined;
}

export interface StartChildCommand {
  kind: 'startChild';
  seq: number;
  workflowId: string;
  workflowType: string;
  args: Payload;
  taskQueue: string;
  parentClosePolicy: 'TERMINATE' | 'ABANDON' | 'REQUEST_CANCEL';
  workflowIdReusePolicy?: string | undefined;
  retry?: RetryPolicy | undefined;
  executionTimeoutMs?: number | undefined;
  runTimeoutMs?: number | undefined;
  taskTimeoutMs?: number | undefined;
  memo?: Payload | undefined;
  searchAttributes?: Payload | undefined;
  headers?: Headers | undefined;
}

/** A command that addresses another workflow and is answered by an externalResolved input. */
export type ExternalCommand = Extract<
  Command,
  { kind: 'signalExternal' | 'cancelExternal' | 'updateExternal' | 'signalWithStart' }
>;

export interface ContinueAsNewCommand {
  kind: 'continueAsNew';
  workflowType: string;
  taskQueue: string;
  args: Payload;
  runTimeoutMs?: number | undefined;
  taskTimeoutMs?: number | undefined;
  backoffMs?: number | undefined;
  memo?: Payload | undefined;
  searchAttributes?: Payload | undefined;
  retry?: RetryPolicy | undefined;
  headers?: Headers | undefined;
  /** Signals that no handler had taken: they are the next run's. */
  signals?: readonly SignalInput[] | undefined;
}

/** Beyond Temporal: signals the open execution of an id, or starts one and signals it, as one step. */
export interface SignalWithStartCommand {
  kind: 'signalWithStart';
  seq: number;
  workflowId: string;
  workflowType: string;
  args: Payload;
  taskQueue: string;
  signalName: string;
  signalArgs: Payload;
  workflowIdReusePolicy?: string | undefined;
  workflowIdConflictPolicy?: string | undefined;
  retry?: RetryPolicy | undefined;
  executionTimeoutMs?: number | undefined;
  runTimeoutMs?: number | undefined;
  taskTimeoutMs?: number | undefined;
  memo?: Payload | undefined;
  searchAttributes?: Payload | undefined;
  headers?: Headers | undefined;
}

/** Whom a workflow addresses outside itself. childOnly: the target must be the sender's own child. */
export interface ExternalTarget {
  workflowId: string;
  runId?: string | undefined;
  childOnly?: boolean | undefined;
}

export type Command =
  | { kind: 'startTimer'; seq: number; ms: number; summary?: string | undefined }
  | { kind: 'cancelTimer'; seq: number }
  | ScheduleActivityCommand
  | { kind: 'cancelActivity'; seq: number }
  | StartChildCommand
  | { kind: 'cancelChild'; seq: number; workflowId: string; reason?: string | undefined }
  | {
      kind: 'signalExternal';
      seq: number;
      target: ExternalTarget;
      name: string;
      args: Payload;
      headers?: Headers | undefined;
    }
  | { kind: 'cancelSignalExternal'; seq: number }
  | { kind: 'cancelExternal'; seq: number; target: ExternalTarget; reason?: string | undefined }
  | {
      kind: 'updateExternal';
      seq: number;
      target: ExternalTarget;
      updateId: string;
      name: string;
      args: Payload;
      /** What is waited for. At 'accepted' an answer without result and failure says that the update is under way. */
      stage: 'accepted' | 'completed';
      headers?: Headers | undefined;
    }
  | SignalWithStartCommand
  | { kind: 'acceptUpdate'; id: string }
  | { kind: 'completeUpdate'; id: string; result?: Payload | undefined; failure?: Failure | undefined }
  | { kind: 'patch'; id: string; deprecated: boolean }
  | { kind: 'upsertMemo'; memo: Payload }
  | { kind: 'upsertSearchAttributes'; attributes: Payload }
  | { kind: 'completeWorkflow'; result: Payload }
  | { kind: 'failWorkflow'; failure: Failure }
  | { kind: 'cancelWorkflow' }
  | ContinueAsNewCommand;

export type TerminalCommand = Extract<
  Command,
  { kind: 'completeWorkflow' | 'failWorkflow' | 'cancelWorkflow' | 'continueAsNew' }
>;

export function isTerminal(command: Command): command is TerminalCommand {
  return (
    command.kind === 'completeWorkflow' ||
    command.kind === 'failWorkflow' ||
    command.kind === 'cancelWorkflow' ||
    command.kind === 'continueAsNew'
  );
}

// ---------------------------------------------------------------------------------------------------------------
// Entries

/** What is fixed when a run begins. Times are epoch ms, durations ms. */
export interface StartInfo {
  runNo: number;
  namespace: string;
  workflowId: string;
  runId: string;
  /** First run of the continue-as-new chain. */
  firstRunId: string;
  firstRunNo: number;
  /** Epoch ms at which the chain began, when this is not its first run: the execution timeout counts from there. */
  chainStartTime?: number | undefined;
  /** Seeds Math.random and uuid4; stays the same when the run is reset. */
  originalRunId: string;
  continuedFromRunId?: string | undefined;
  workflowType: string;
  taskQueue: string;
  args: Payload;
  startTime: number;
  identity?: string | undefined;
  attempt: number;
  executionTimeoutMs?: number | undefined;
  runTimeoutMs?: number | undefined;
  /** Limit of one turn as Temporal names it; kept for the history, the runtime's own limit is in limits.ts. */
  taskTimeoutMs: number;
  startDelayMs?: number | undefined;
  retry?: RetryPolicy | undefined;
  cronSchedule?: string | undefined;
  memo?: Payload | undefined;
  searchAttributes?: Payload | undefined;
  headers?: Headers | undefined;
  parent?: { namespace: string; workflowId: string; runId: string; runNo: number; seq: number } | undefined;
  root?: { workflowId: string; runId: string } | undefined;
  lastResult?: Payload | undefined;
  lastFailure?: Failure | undefined;
  requestId?: string | undefined;
}

export type JournalEntry =
  /** The run exists. Always its first entry. */
  | { kind: 'started'; time: number; info: StartInfo }
  /**
   * One turn: `taken` inputs that stood durable in the mailbox (from 'received' entries, oldest first), then
   * `inputs`, gave `commands`. The first turn of a run is the one that starts the main function.
   */
  | { kind: 'turn'; time: number; taken: number; inputs: Input[]; commands: Command[] }
  /** Inputs made durable while no turn could take them; they wait in the mailbox, in this order. */
  | { kind: 'received'; time: number; inputs: Input[] }
  /** A turn failed (workflow code threw something that is not a failure, or blocked). Only the first of a streak. */
  | { kind: 'turnFailed'; time: number; cause: TurnFailureCause; failure: Failure }
  /** An activity attempt failed and the next one begins at `nextAt`. Not an event; keeps attempts counted over a crash. */
  | {
      kind: 'activityRetry';
      time: number;
      seq: number;
      attempt: number;
      nextAt: number;
      failure: Failure;
      heartbeat?: Payload | undefined;
    }
  /**
   * An activity attempt begins, or goes on and has reported `heartbeat`. Not an event; lets a later process know that this
   * attempt was interrupted. Not written for every attempt (runtime/activities/).
   */
  | { kind: 'activityStarted'; time: number; seq: number; attempt: number; heartbeat?: Payload | undefined }
  /** The host closed the run. */
  | {
      kind: 'terminated';
      time: number;
      reason?: string | undefined;
      identity?: string | undefined;
      details?: Payload | undefined;
    }
  | { kind: 'timedOut'; time: number; retryState: RetryState };

export type TurnFailureCause =
  | 'WORKFLOW_WORKER_UNHANDLED_FAILURE'
  | 'NON_DETERMINISTIC_ERROR'
  | 'TURN_TIMEOUT'
  | 'THREAD_DIED';

// ---------------------------------------------------------------------------------------------------------------
// Frames: one journal value is any number of them, end to end.
//
//   u32 body length | f64 run number | u32 events | u8 flags | body (a packed entry)
//
// The header says what the host must know about an entry on the way by, so that the body of an ordinary signal turn
// is never decoded outside the thread that ran it.

export const FRAME_HEADER_BYTES = 17;

/** The body holds something the host acts on (a start, timers, activities, updates, an end): it must decode it. */
export const FLAG_NOTABLE = 1;

export class Frame {
  readonly runNo: number;
  /** History events that this entry stands for. */
  readonly events: number;
  readonly notable: boolean;
  /** View of header and body, as stored. */
  readonly bytes: Uint8Array;

  constructor(runNo: number, events: number, notable: boolean, bytes: Uint8Array) {
    this.runNo = runNo;
    this.events = events;
    this.notable = notable;
    this.bytes = bytes;
  }

  /** View of the packed entry, made when it is asked for. */
  get body(): Uint8Array {
    return this.bytes.subarray(FRAME_HEADER_BYTES);
  }

  get bodyLength(): number {
    return this.bytes.length - FRAME_HEADER_BYTES;
  }
}

export function writeFrameHeader(
  view: DataView,
  at: number,
  bodyLength: number,
  runNo: number,
  events: number,
  flags: number,
): void {
  view.setUint32(at, bodyLength);
  view.setFloat64(at + 4, runNo);
  view.setUint32(at + 12, events);
  view.setUint8(at + 16, flags);
}

/** One frame as bytes of its own. */
export function frame(runNo: number, entry: JournalEntry, events: number, notable: boolean): Uint8Array {
  const body = packEntry(entry);
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  writeFrameHeader(new DataView(bytes.buffer), 0, body.length, runNo, events, notable ? FLAG_NOTABLE : 0);
  bytes.set(body, FRAME_HEADER_BYTES);
  return bytes;
}

/** Walks the frames of one value. Throws on a torn one: a length that runs past the end. */
export function* frames(value: Uint8Array): Generator<Frame> {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  for (let at = 0; at < value.length; ) {
    if (at + FRAME_HEADER_BYTES > value.length)
      throw new Error(`Torn journal frame at byte ${at} of ${value.length}`);
    const end = at + FRAME_HEADER_BYTES + view.getUint32(at);
    if (end > value.length) throw new Error(`Torn journal frame at byte ${at} of ${value.length}`);
    const notable = (view.getUint8(at + 16) & FLAG_NOTABLE) !== 0;
    yield new Frame(view.getFloat64(at + 4), view.getUint32(at + 12), notable, value.subarray(at, end));
    at = end;
  }
}

/** Collects frames of one batch in a buffer that is used again for the next. */
export class FrameWriter {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  add(runNo: number, body: Uint8Array, events: number, notable: boolean): void {
    const end = this.#length + FRAME_HEADER_BYTES + body.length;
    if (end > this.#bytes.length) this.#grow(end);
    writeFrameHeader(this.#view, this.#length, body.length, runNo, events, notable ? FLAG_NOTABLE : 0);
    this.#bytes.set(body, this.#length + FRAME_HEADER_BYTES);
    this.#length = end;
  }

  /** A view that is good until the next add. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** Whether the host must decode the entry on its way by. An ordinary signal turn is not notable. */
export function isNotable(entry: JournalEntry): boolean {
  if (entry.kind !== 'turn') return true;
  return (
    entry.commands.length > 0 ||
    entry.taken > 0 ||
    entry.inputs.some(
      (input) => input.kind !== 'signal' || input.requestId !== undefined || input.sender !== undefined,
    )
  );
}
