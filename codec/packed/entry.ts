/**
 * Journal entries as they are packed: a schema for each kind of entry, input and command.
 *
 * Owns: the stored form. The types are in journal-entry.ts; a kind or field that is added there does not compile until it
 * has its place here. Fields stand in this order, new ones go to the end; a code is given once and for ever.
 * Does not own: how a schema becomes bytes (schema.ts), frames around entries (journal-entry.ts).
 */
import type { Failure, FailureInfo, TimeoutKind } from '../failure.js';
import type {
  ActivityOutcome,
  ChildOutcome,
  Command,
  ExternalTarget,
  Input,
  JournalEntry,
  RetryPolicy,
  RetryState,
  Sender,
  SignalInput,
  StartInfo,
  TurnFailureCause,
} from '../journal-entry.js';
import { ByteReader, ByteWriter } from './bytes.js';
import {
  bytes,
  type Codec,
  type Fields,
  flag,
  identity,
  knownId,
  lazily,
  list,
  newId,
  number,
  oneOf,
  record,
  struct,
  text,
  uint,
  variant,
} from './schema.js';

const headers = record(bytes);

/** Whether what failed is tried again, and if not, why. */
export const retryState = oneOf<RetryState>({
  IN_PROGRESS: 0,
  NON_RETRYABLE_FAILURE: 1,
  TIMEOUT: 2,
  MAXIMUM_ATTEMPTS_REACHED: 3,
  RETRY_POLICY_NOT_SET: 4,
  INTERNAL_SERVER_ERROR: 5,
  CANCEL_REQUESTED: 6,
});

const timeoutType = oneOf<TimeoutKind>({
  START_TO_CLOSE: 0,
  SCHEDULE_TO_START: 1,
  SCHEDULE_TO_CLOSE: 2,
  HEARTBEAT: 3,
});

const failureInfo = variant<FailureInfo, 'kind'>('kind', {
  application: [
    0,
    {
      type: text,
      nonRetryable: flag,
      details: bytes,
      nextRetryDelay: number,
      category: oneOf<'BENIGN'>({ BENIGN: 0 }),
    },
  ],
  timeout: [1, { timeoutType, lastHeartbeatDetails: bytes }],
  cancelled: [2, { details: bytes }],
  terminated: [3, {}],
  server: [4, { nonRetryable: flag }],
  activity: [5, { activityType: text, activityId: text, retryState, identity: text }],
  childWorkflow: [6, { namespace: text, workflowId: text, runId: text, workflowType: text, retryState }],
});

/** An error with its causes. */
export const failure: Codec<Failure> = struct<Failure>({
  message: text,
  source: text,
  stackTrace: text,
  cause: lazily(() => failure),
  info: failureInfo,
});

const retry = struct<RetryPolicy>({
  initialInterval: number,
  backoffCoefficient: number,
  maximumInterval: number,
  maximumAttempts: number,
  nonRetryableErrorTypes: list(text) as Codec<readonly string[]>,
});

const sender = struct<Sender>({ workflowId: text, runId: text, runNo: uint, seq: uint });

const activityOutcome = variant<ActivityOutcome, 'status'>('status', {
  completed: [0, { result: bytes }],
  failed: [1, { failure, retryState }],
  timedOut: [2, { failure, retryState }],
  cancelled: [3, { failure }],
});

const childOutcome = variant<ChildOutcome, 'status'>('status', {
  completed: [0, { result: bytes }],
  failed: [1, { failure, retryState }],
  cancelled: [2, { failure }],
  terminated: [3, { failure }],
  timedOut: [4, { failure }],
});

const signalFields: Fields<Omit<SignalInput, 'kind'>> = {
  name: text,
  args: bytes,
  identity,
  requestId: text,
  headers,
  sender,
};

/** What goes into a turn. */
export const input = variant<Input, 'kind'>('kind', {
  signal: [0, signalFields],
  update: [1, { id: newId, name: text, args: bytes, generated: flag, identity, headers, sender }],
  timerFired: [2, { seq: uint }],
  activityResolved: [3, { seq: uint, attempt: uint, startedAt: number, outcome: activityOutcome }],
  cancel: [4, { reason: text, identity, sender }],
  childStarted: [5, { seq: uint, runId: text }],
  childStartFailed: [
    6,
    {
      seq: uint,
      cause: oneOf<'WORKFLOW_ALREADY_EXISTS' | 'NAMESPACE_NOT_FOUND'>({
        WORKFLOW_ALREADY_EXISTS: 0,
        NAMESPACE_NOT_FOUND: 1,
      }),
    },
  ],
  childClosed: [7, { seq: uint, outcome: childOutcome }],
  externalResolved: [8, { seq: uint, failure, result: bytes }],
});

const target = struct<ExternalTarget>({ workflowId: text, runId: text, childOnly: flag });

/** What a run that another run begins is given, whatever the command. */
const begun = {
  retry,
  executionTimeoutMs: number,
  runTimeoutMs: number,
  taskTimeoutMs: number,
  memo: bytes,
  searchAttributes: bytes,
  headers,
};

const command = variant<Command, 'kind'>('kind', {
  startTimer: [0, { seq: uint, ms: number, summary: text }],
  cancelTimer: [1, { seq: uint }],
  scheduleActivity: [
    2,
    {
      seq: uint,
      activityId: text,
      activityType: text,
      args: bytes,
      taskQueue: text,
      cancellationType: oneOf<'TRY_CANCEL' | 'WAIT_CANCELLATION_COMPLETED' | 'ABANDON'>({
        TRY_CANCEL: 0,
        WAIT_CANCELLATION_COMPLETED: 1,
        ABANDON: 2,
      }),
      startToCloseMs: number,
      scheduleToCloseMs: number,
      scheduleToStartMs: number,
      heartbeatMs: number,
      retry,
      headers,
    },
  ],
  cancelActivity: [3, { seq: uint }],
  startChild: [
    4,
    {
      seq: uint,
      workflowId: text,
      workflowType: text,
      args: bytes,
      taskQueue: text,
      parentClosePolicy: oneOf<'TERMINATE' | 'ABANDON' | 'REQUEST_CANCEL'>({
        TERMINATE: 0,
        ABANDON: 1,
        REQUEST_CANCEL: 2,
      }),
      workflowIdReusePolicy: text,
      ...begun,
    },
  ],
  cancelChild: [5, { seq: uint, workflowId: text, reason: text }],
  signalExternal: [6, { seq: uint, target, name: text, args: bytes, headers }],
  cancelSignalExternal: [7, { seq: uint }],
  cancelExternal: [8, { seq: uint, target, reason: text }],
  updateExternal: [
    9,
    {
      seq: uint,
      target,
      updateId: text,
      name: text,
      args: bytes,
      stage: oneOf<'accepted' | 'completed'>({ accepted: 0, completed: 1 }),
      headers,
    },
  ],
  signalWithStart: [
    10,
    {
      seq: uint,
      workflowId: text,
      workflowType: text,
      args: bytes,
      taskQueue: text,
      signalName: text,
      signalArgs: bytes,
      workflowIdReusePolicy: text,
      workflowIdConflictPolicy: text,
      ...begun,
    },
  ],
  acceptUpdate: [11, { id: knownId }],
  completeUpdate: [12, { id: knownId, result: bytes, failure }],
  patch: [13, { id: text, deprecated: flag }],
  upsertMemo: [14, { memo: bytes }],
  upsertSearchAttributes: [15, { attributes: bytes }],
  completeWorkflow: [16, { result: bytes }],
  failWorkflow: [17, { failure }],
  cancelWorkflow: [18, {}],
  continueAsNew: [
    19,
    {
      workflowType: text,
      taskQueue: text,
      args: bytes,
      runTimeoutMs: number,
      taskTimeoutMs: number,
      backoffMs: number,
      memo: bytes,
      searchAttributes: bytes,
      retry,
      headers,
      signals: list(struct<SignalInput>({ kind: oneOf<'signal'>({ signal: 0 }), ...signalFields })) as Codec<
        readonly SignalInput[]
      >,
    },
  ],
});

/** What is fixed when a run begins. */
export const startInfo = struct<StartInfo>({
  runNo: uint,
  namespace: text,
  workflowId: text,
  runId: newId,
  firstRunId: knownId,
  firstRunNo: uint,
  originalRunId: knownId,
  workflowType: text,
  taskQueue: text,
  args: bytes,
  startTime: number,
  attempt: uint,
  taskTimeoutMs: number,
  identity,
  continuedFromRunId: text,
  executionTimeoutMs: number,
  runTimeoutMs: number,
  startDelayMs: number,
  retry,
  cronSchedule: text,
  memo: bytes,
  searchAttributes: bytes,
  headers,
  parent: struct<NonNullable<StartInfo['parent']>>({
    namespace: text,
    workflowId: text,
    runId: text,
    runNo: uint,
    seq: uint,
  }),
  root: struct<NonNullable<StartInfo['root']>>({ workflowId: text, runId: text }),
  lastResult: bytes,
  lastFailure: failure,
  requestId: text,
  chainStartTime: number,
});

/** Why a turn failed. */
export const turnFailureCause = oneOf<TurnFailureCause>({
  WORKFLOW_WORKER_UNHANDLED_FAILURE: 0,
  NON_DETERMINISTIC_ERROR: 1,
  TURN_TIMEOUT: 2,
  THREAD_DIED: 3,
});

/** An entry within something else. By itself it is packed by packEntry. */
export const entry = variant<JournalEntry, 'kind'>('kind', {
  started: [0, { time: number, info: startInfo }],
  turn: [1, { time: number, taken: uint, inputs: list(input), commands: list(command) }],
  received: [2, { time: number, inputs: list(input) }],
  turnFailed: [3, { time: number, cause: turnFailureCause, failure }],
  activityRetry: [4, { time: number, seq: uint, attempt: uint, nextAt: number, failure, heartbeat: bytes }],
  terminated: [5, { time: number, reason: text, identity, details: bytes }],
  timedOut: [6, { time: number, retryState }],
  activityStarted: [7, { time: number, seq: uint, attempt: uint, heartbeat: bytes }],
});

const writer = new ByteWriter();

/**
 * Packs one entry. The result is a view that is only good until the next call.
 * @param starter identity that the run was started by: inputs of the same sender take one byte for it. Whoever unpacks
 * the entry must give the same. An entry that tells of the start does not use it.
 */
export function packEntry(value: JournalEntry, starter?: string): Uint8Array {
  entry.write(writer.begin(value.kind === 'started' ? undefined : starter), value);
  return writer.view;
}

/**
 * Payloads inside the entry are views into `packed`.
 * @throws Error for bytes that are no entry, or one of a kind that this version does not know
 */
export function unpackEntry(packed: Uint8Array, starter?: string): JournalEntry {
  return entry.read(new ByteReader(packed, starter));
}
