/**
 * A run as the host knows it: everything about a workflow execution that does not need its activation.
 *
 * Owns: applying journal entries to that knowledge. The same function serves entries that have just become durable and
 * entries read back from the journal when the store is opened, so both give the same.
 * The file is long because what an entry changes is one table, with a row for each kind of entry, input and command.
 * Does not own: where runs are found (runs.ts), what is done about them (effects are returned, not performed), how what
 * changed is written (unsaved.ts, compactor.ts).
 *
 * D1, D4: only durable entries are applied, so nothing here ever shows what could still be lost.
 */
import { type ExecutionEvent, type ExecutionState, executionTable } from '../actors/lifecycles/execution.js';
import { next } from '../actors/lifecycles/table.js';
import type { Failure } from '../codec/failure.js';
import type {
  Command,
  Frame,
  Input,
  JournalEntry,
  RetryState,
  StartInfo,
  TurnFailureCause,
} from '../codec/journal-entry.js';
import type { DeliveryKind } from '../codec/keys.js';
import {
  type ActivityRecord,
  type ChildRecord,
  followingRunId,
  type OutboxItem,
  type RunInfo,
  type RunOutcome,
  type RunRecord,
  type UpdateOutcome,
} from '../codec/run-record.js';
import { nextRunId, retryOf } from './continuation.js';
import { InvariantError } from './errors.js';
import { Outbox } from './outbox.js';
import { SparseMap } from './sparse.js';
import { type Delivery, emptyUnsaved, putBack, type Unsaved } from './unsaved.js';
import { AcceptedUpdateCompletedWorkflow } from './update-failures.js';

/** What the host must do now that an entry is durable. */
export type Effect =
  | { kind: 'timer'; seq: number; due: number }
  | { kind: 'activity'; seq: number }
  | { kind: 'activityCancel'; seq: number; activity: ActivityRecord }
  | { kind: 'updateAccepted'; id: string }
  | { kind: 'updateDone'; id: string; outcome: UpdateOutcome }
  | { kind: 'suspended' }
  /** Something is in the outbox. */
  | { kind: 'outbox'; item: OutboxItem }
  /** What another run asked for is here now. */
  | { kind: 'delivered'; delivery: Delivery }
  /** The run knows what became of something that it asked for. */
  | { kind: 'settled'; deliveryKind: DeliveryKind; seq: number }
  | { kind: 'closed' };

export interface Suspension {
  cause: TurnFailureCause;
  failure: Failure;
  /** Epoch ms of the first failure of the streak. */
  since: number;
}

export class Run {
  readonly info: RunInfo;
  state: ExecutionState = executionTable.initial;
  outcome: RunOutcome | undefined;
  closeTime: number | undefined;
  suspension: Suspension | undefined;
  /** A turn has succeeded, so there is state to ask for. */
  turned = false;
  events = 0;
  bytes = 0;
  lastTime: number;
  /** Journal value of the last entry in the store's history. */
  through = 0;
  /** Pending timers by sequence number; saved: the store has its due key. */
  readonly timers = new SparseMap<number, { due: number; saved: boolean }>();
  readonly activities = new SparseMap<number, ActivityRecord>();
  /** Accepted, unfinished updates; true when the caller chose the id. */
  readonly updates = new SparseMap<string, boolean>();
  /** Updates that the run has accepted, as far as it was looked at their turns (limits.updatesTotalMax). */
  updatesAccepted = 0;
  /** Children that have not closed. */
  readonly children = new SparseMap<number, ChildRecord>();
  readonly outbox: Outbox;
  /** Durable inputs that no turn has taken. */
  waiting = 0;
  unsaved: Unsaved;
  /** What the compactor is writing right now. */
  saving: Unsaved | undefined;

  constructor(info: StartInfo | RunInfo, isNew: boolean, outbox = new Outbox()) {
    // Only the history keeps the arguments. A copy without them would be ten times slower to make.
    this.info = { ...info, args: undefined } as RunInfo & { args: undefined };
    this.lastTime = info.startTime;
    this.unsaved = emptyUnsaved(isNew);
    this.outbox = outbox;
  }

  static fromRecord(
    record: RunRecord,
    activities: Iterable<readonly [number, ActivityRecord]>,
    outbox: Iterable<readonly [number, OutboxItem]> = [],
  ): Run {
    const run = new Run(record.info, false, new Outbox(record.outboxNo, outbox));
    run.state = record.state as ExecutionState;
    run.outcome = record.outcome;
    run.closeTime = record.closeTime;
    run.turned = record.turned;
    run.waiting = record.waiting;
    run.events = record.events;
    run.bytes = record.bytes;
    run.lastTime = record.lastTime;
    run.through = record.through;
    for (const [seq, due] of record.timers) run.timers.set(seq, { due, saved: true });
    for (const [seq, activity] of activities) run.activities.set(seq, activity);
    for (const id of record.updates) run.updates.set(id, true);
    run.updatesAccepted = record.updatesAccepted;
    for (const [seq, child] of record.children) run.children.set(seq, child);
    run.suspension = record.suspended;
    return run;
  }

  toRecord(through: number): RunRecord {
    return {
      info: this.info,
      state: this.state,
      outcome: this.outcome,
      closeTime: this.closeTime,
      turned: this.turned,
      waiting: this.waiting,
      events: this.events,
      bytes: this.bytes,
      lastTime: this.lastTime,
      through,
      timers: [...this.timers].map(([seq, { due }]) => [seq, due]),
      updates: [...this.updates.keys()],
      children: [...this.children],
      outboxNo: this.outbox.lastNo,
      updatesAccepted: this.updatesAccepted,
      suspended: this.suspension,
    };
  }

  get runNo(): number {
    return this.info.runNo;
  }

  /** A turn is due although no message says so: one failed, or left inputs behind. */
  get needsTurn(): boolean {
    return !this.closed && (this.suspension !== undefined || (this.waiting > 0 && !this.delayed));
  }

  /** The first turn waits for its time, or for a message. */
  get delayed(): boolean {
    return !this.turned && this.info.startDelayMs !== undefined;
  }

  /** A run that follows another waits for its time whatever is sent to it (a start that was put off does not). */
  get resting(): boolean {
    return this.delayed && this.info.continuedFromRunId !== undefined;
  }

  /** Epoch ms at which the first turn is due, if it was put off. */
  get firstTurnAt(): number {
    return instant(this.info.startTime + (this.info.startDelayMs ?? 0));
  }

  get closed(): boolean {
    return this.outcome !== undefined;
  }

  /** Epoch ms at which the run is timed out, if it has such a limit. */
  get timeoutAt(): number | undefined {
    const { runTimeoutMs, executionTimeoutMs, startTime, chainStartTime } = this.info;
    const at = Math.min(
      this.firstTurnAt + (runTimeoutMs ?? Number.POSITIVE_INFINITY),
      (chainStartTime ?? startTime) + (executionTimeoutMs ?? Number.POSITIVE_INFINITY),
    );
    return at === Number.POSITIVE_INFINITY ? undefined : instant(at);
  }

  get dirty(): boolean {
    const { frames, outboxRemoved } = this.unsaved;
    return frames.length > 0 || outboxRemoved.length > 0 || this.saving !== undefined;
  }

  /** Frames that the store's history does not have, oldest first. */
  *unsavedFrames(): Generator<Uint8Array> {
    for (const { bytes } of this.saving?.frames ?? []) yield bytes;
    for (const { bytes } of this.unsaved.frames) yield bytes;
  }

  /** The outcome of a completed update, as far as the store does not have it. */
  unsavedOutcome(updateId: string): UpdateOutcome | undefined {
    return this.unsaved.outcomes.get(updateId) ?? this.saving?.outcomes.get(updateId);
  }

  hasUnsavedRequest(requestId: string): boolean {
    return this.unsaved.requests.has(requestId) || (this.saving?.requests.has(requestId) ?? false);
  }

  beginSave(): Unsaved {
    this.saving = this.unsaved;
    this.unsaved = emptyUnsaved(false);
    return this.saving;
  }

  saved(through: number): void {
    this.saving = undefined;
    this.through = through;
  }

  /** Nobody knows whether the write happened: its differences stand again before those that came since. */
  saveFailed(through: number): void {
    if (this.saving === undefined) return;
    putBack(this.unsaved, this.saving, through);
    this.saving = undefined;
    for (const seq of this.unsaved.activitiesChanged)
      if (!this.activities.has(seq)) this.unsaved.activitiesChanged.delete(seq);
    for (const timer of this.timers.values()) timer.saved = false;
    this.outbox.saveFailed();
  }

  /**
   * Whether the entry in the frame says something that the host has to know. A turn of a suspended run ends its suspension, whatever
   * is in it. A limit on updates (`counted`) needs them counted.
   */
  isConcernedBy(frame: Frame, counted: boolean): boolean {
    return frame.notable || this.suspension !== undefined || counted;
  }

  /** Notes a durable frame. The entry itself is applied only if the run is concerned by it. */
  append(frame: Frame, seq: number): void {
    this.events += frame.events;
    this.bytes += frame.bodyLength;
    this.unsaved.frames.push({ seq, bytes: frame.bytes });
    this.unsaved.bytes += frame.bytes.length;
  }

  apply(entry: JournalEntry): Effect[] {
    const effects: Effect[] = [];
    this.lastTime = Math.max(this.lastTime, entry.time);
    switch (entry.kind) {
      case 'started':
        this.#startedAsChild(effects);
        break;
      case 'turn':
        if (this.state === 'suspended') this.#step('retryTurn');
        this.suspension = undefined;
        this.turned = true;
        this.waiting -= entry.taken;
        for (const input of entry.inputs) this.#input(input, effects);
        for (const command of entry.commands) this.#command(command, entry, effects);
        break;
      case 'received':
        this.waiting += entry.inputs.length;
        for (const input of entry.inputs) this.#input(input, effects);
        break;
      case 'turnFailed':
        this.#suspend(entry, effects);
        break;
      case 'activityRetry':
        this.#retryActivity(entry);
        break;
      case 'activityStarted':
        this.#startActivity(entry);
        break;
      case 'terminated':
        this.#close('terminated', { status: 'terminated', reason: entry.reason }, entry.time, effects);
        break;
      case 'timedOut':
        this.#timeOut(entry, effects);
        break;
    }
    return effects;
  }

  /** The run closed before it could hear what became of this. */
  forgetDelivery(kind: DeliveryKind, seq: number): void {
    this.unsaved.settled.push({ kind, seq });
    this.unsaved.forgotten.add(`${kind} ${seq}`);
  }

  /**
   * The run asks for something that it may not know to be done, now or after a crash: whoever has done it must still be able to tell.
   * What is being written right now counts as known: either all of that write is in the store or nothing.
   */
  awaits(kind: DeliveryKind, seq: number): boolean {
    const waits = this.outbox.has(kind === 'child' ? 'startChild' : 'external', seq);
    return waits || this.unsaved.forgotten.has(`${kind} ${seq}`);
  }

  #step(event: ExecutionEvent): void {
    this.state = next(executionTable, this.state, event);
  }

  #suspend(entry: Extract<JournalEntry, { kind: 'turnFailed' }>, effects: Effect[]): void {
    if (this.state !== 'suspended') this.#step('turnFailed');
    const { cause, failure, time } = entry;
    this.suspension = { cause, failure, since: time };
    effects.push({ kind: 'suspended' });
  }

  /** The first run of a child's chain is what its parent asked for. */
  #startedAsChild(effects: Effect[]): void {
    const { parent, firstRunNo, runNo } = this.info;
    if (parent === undefined || firstRunNo !== runNo) return;
    this.#delivered({ senderRunNo: parent.runNo, kind: 'child', seq: parent.seq }, effects);
  }

  #delivered(delivery: Delivery, effects: Effect[]): void {
    this.unsaved.deliveries.push(delivery);
    effects.push({ kind: 'delivered', delivery });
  }

  #input(input: Input, effects: Effect[]): void {
    if ('sender' in input && input.sender !== undefined) {
      const { runNo, seq } = input.sender;
      this.#delivered({ senderRunNo: runNo, kind: 'message', seq }, effects);
    }
    switch (input.kind) {
      case 'signal':
        if (input.requestId !== undefined) this.unsaved.requests.add(input.requestId);
        return;
      case 'update':
      case 'cancel':
        return;
      case 'timerFired':
        return this.#dropTimer(input.seq);
      case 'activityResolved':
        return this.#dropActivity(input.seq);
      case 'childStarted': {
        const child = this.children.get(input.seq);
        if (child !== undefined) child.runId = input.runId;
        return this.#settled('startChild', 'child', input.seq, effects);
      }
      case 'childStartFailed':
        this.children.delete(input.seq);
        return this.#settled('startChild', 'child', input.seq, effects);
      case 'childClosed':
        this.children.delete(input.seq);
        return;
      case 'externalResolved':
        return this.#settled('external', 'message', input.seq, effects);
    }
  }

  /** What became of it is in the journal. */
  #settled(kind: OutboxItem['kind'], deliveryKind: DeliveryKind, seq: number, effects: Effect[]): void {
    this.removeFromOutbox(kind, seq);
    this.unsaved.settled.push({ kind: deliveryKind, seq });
    effects.push({ kind: 'settled', deliveryKind, seq });
  }

  #ask(item: OutboxItem, effects: Effect[]): void {
    this.outbox.add(item);
    effects.push({ kind: 'outbox', item });
  }

  /**
   * For items whose end leaves no entry. A crash before the next save brings them back; then they are done again and must
   * find that there is nothing left to do.
   */
  removeFromOutbox(kind: OutboxItem['kind'], seq: number): void {
    const no = this.outbox.remove(kind, seq);
    if (no !== undefined) this.unsaved.outboxRemoved.push(no);
  }

  #command(command: Command, entry: Extract<JournalEntry, { kind: 'turn' }>, effects: Effect[]): void {
    switch (command.kind) {
      case 'startTimer': {
        const due = instant(entry.time + command.ms);
        this.timers.set(command.seq, { due, saved: false });
        effects.push({ kind: 'timer', seq: command.seq, due });
        return;
      }
      case 'cancelTimer':
        return this.#dropTimer(command.seq);
      case 'scheduleActivity':
        this.#setActivity(command.seq, {
          command: owned(command),
          scheduledAt: entry.time,
          attempt: 1,
          nextAt: entry.time,
          cancelRequested: false,
        });
        effects.push({ kind: 'activity', seq: command.seq });
        return;
      case 'cancelActivity':
        return this.#cancelActivity(command.seq, effects);
      case 'acceptUpdate': {
        const input = entry.inputs.find(
          (candidate) => candidate.kind === 'update' && candidate.id === command.id,
        );
        this.updatesAccepted += 1;
        this.updates.set(command.id, input?.kind === 'update' && input.generated !== true);
        effects.push({ kind: 'updateAccepted', id: command.id });
        return;
      }
      case 'completeUpdate': {
        const outcome: UpdateOutcome =
          command.failure === undefined ? { result: command.result! } : { failure: command.failure };
        if (this.updates.get(command.id) === true) this.unsaved.outcomes.set(command.id, outcome);
        this.updates.delete(command.id);
        effects.push({ kind: 'updateDone', id: command.id, outcome });
        return;
      }
      case 'completeWorkflow':
        return this.#close(
          'completeWorkflow',
          { status: 'completed', result: command.result },
          entry.time,
          effects,
        );
      case 'failWorkflow':
        return this.#fail(command.failure, entry.time, effects);
      case 'cancelWorkflow':
        return this.#close('cancelWorkflow', { status: 'cancelled' }, entry.time, effects);
      case 'patch':
      case 'upsertMemo':
      case 'upsertSearchAttributes':
        return;
      case 'startChild': {
        const { seq, workflowId, workflowType, parentClosePolicy } = command;
        this.children.set(seq, { workflowId, workflowType, parentClosePolicy });
        return this.#ask({ kind: 'startChild', seq, command: owned(command) }, effects);
      }
      case 'cancelChild': {
        const { seq, workflowId, reason } = command;
        return this.#ask({ kind: 'cancelChild', seq, workflowId, reason }, effects);
      }
      case 'signalExternal':
      case 'cancelExternal':
      case 'updateExternal':
      case 'signalWithStart':
        return this.#ask({ kind: 'external', seq: command.seq, command: owned(command) }, effects);
      case 'cancelSignalExternal':
        // It is on its way by now; the workflow hears what became of it as of any other.
        return;
      case 'continueAsNew':
        this.#ask(
          { kind: 'continue', seq: 0, next: { reason: 'continueAsNew', command: owned(command) } },
          effects,
        );
        return this.#close(
          'continueAsNew',
          { status: 'continuedAsNew', newRunId: nextRunId(this.info.runId) },
          entry.time,
          effects,
        );
      default:
        throw new InvariantError(
          `Command '${(command as { kind: string }).kind}' of run ${this.info.runId} is not known to this version`,
        );
    }
  }

  #fail(failure: Failure, time: number, effects: Effect[]): void {
    const again = this.#tryAgain(failure, time, effects);
    this.#close('failWorkflow', { status: 'failed', failure, ...again }, time, effects);
  }

  /** What is tried again is a run that took too long, not a chain that did. */
  #timeOut({ time, retryState }: Extract<JournalEntry, { kind: 'timedOut' }>, effects: Effect[]): void {
    const failure: Failure = {
      message: 'Workflow execution timed out',
      info: { kind: 'timeout', timeoutType: 'START_TO_CLOSE' },
    };
    const again = this.info.retry === undefined ? { retryState } : this.#tryAgain(failure, time, effects);
    this.#close('timedOut', { status: 'timedOut', ...again }, time, effects);
  }

  #tryAgain(
    failure: Failure,
    time: number,
    effects: Effect[],
  ): { retryState: RetryState; newRunId?: string } {
    const decision = retryOf(this.info, failure, time);
    if (!decision.retry) return { retryState: decision.state };
    const { delayMs } = decision;
    this.#ask({ kind: 'continue', seq: 0, next: { reason: 'retry', delayMs, failure } }, effects);
    return { retryState: 'IN_PROGRESS', newRunId: nextRunId(this.info.runId) };
  }

  #close(event: ExecutionEvent, outcome: RunOutcome, time: number, effects: Effect[]): void {
    this.#step(event);
    this.outcome = outcome;
    this.closeTime = time;
    this.suspension = undefined;
    for (const seq of [...this.timers.keys()]) this.#dropTimer(seq);
    for (const [seq, activity] of [...this.activities]) {
      this.#dropActivity(seq);
      effects.push({ kind: 'activityCancel', seq, activity });
    }
    // Whoever sends one of these again, perhaps to a later run of the chain, hears what became of the first.
    for (const [id, chosen] of this.updates)
      if (chosen) this.unsaved.outcomes.set(id, { failure: AcceptedUpdateCompletedWorkflow() });
    this.#closeFamily(effects);
    effects.push({ kind: 'closed' });
  }

  /** Children go the way that their parent chose for them; its own parent hears of it, unless the chain goes on. */
  #closeFamily(effects: Effect[]): void {
    for (const [seq, { workflowId, parentClosePolicy }] of this.children) {
      // One whose start is still under way is seen to when it has started.
      if (parentClosePolicy === 'ABANDON' || this.outbox.has('startChild', seq)) continue;
      this.#ask({ kind: 'closeChild', seq, workflowId, policy: parentClosePolicy }, effects);
    }
    this.children.clear();
    if (this.info.parent !== undefined && followingRunId(this.outcome) === undefined)
      this.#ask({ kind: 'tellParent', seq: 0 }, effects);
  }

  #dropTimer(seq: number): void {
    const timer = this.timers.get(seq);
    if (timer === undefined) return;
    this.timers.delete(seq);
    if (timer.saved) this.unsaved.timersRemoved.push({ seq, due: timer.due });
  }

  #setActivity(seq: number, activity: ActivityRecord): void {
    this.activities.set(seq, activity);
    this.unsaved.activitiesChanged.add(seq);
  }

  #dropActivity(seq: number): void {
    if (!this.activities.delete(seq)) return;
    this.unsaved.activitiesChanged.delete(seq);
    // Of a run that no write has brought to the store, not even one that failed, there is nothing to remove.
    if (!this.unsaved.isNew || this.unsaved.stale.length > 0) this.unsaved.activitiesRemoved.push(seq);
  }

  #cancelActivity(seq: number, effects: Effect[]): void {
    const activity = this.activities.get(seq);
    if (activity === undefined) return;
    activity.cancelRequested = true;
    this.unsaved.activitiesChanged.add(seq);
    effects.push({ kind: 'activityCancel', seq, activity });
    // The workflow does not wait for this one: nobody is there to hear how it ends.
    if (activity.command.cancellationType === 'TRY_CANCEL') this.#dropActivity(seq);
  }

  #retryActivity(entry: Extract<JournalEntry, { kind: 'activityRetry' }>): void {
    const activity = this.activities.get(entry.seq);
    if (activity === undefined) return;
    const { attempt, nextAt, failure, heartbeat } = entry;
    this.#setActivity(entry.seq, {
      ...activity,
      attempt,
      nextAt: instant(nextAt),
      lastFailure: failure,
      heartbeat: heartbeat && new Uint8Array(heartbeat),
      begunAt: undefined,
    });
  }

  #startActivity({
    seq,
    attempt,
    time,
    heartbeat,
  }: Extract<JournalEntry, { kind: 'activityStarted' }>): void {
    const activity = this.activities.get(seq);
    // It may come late, when the next attempt is due.
    if (activity === undefined || activity.attempt !== attempt) return;
    this.#setActivity(seq, {
      ...activity,
      begunAt: activity.begunAt ?? time,
      heartbeat: heartbeat === undefined ? activity.heartbeat : new Uint8Array(heartbeat),
    });
  }
}

/** A copy of the command's own bytes: in an entry they are views of a journal value, which they would keep in memory whole. */
function owned<T extends object>(command: T): T {
  const copy = { ...command } as Record<string, unknown>;
  for (const name in copy) {
    const value = copy[name];
    if (value instanceof Uint8Array) copy[name] = new Uint8Array(value);
  }
  return copy as T;
}

/** The last instant that a Date can hold. */
const LATEST_MS = 8.64e15;

/** A time at which something is due, as a key of the store can hold it: whole, not earlier than asked for. */
function instant(ms: number): number {
  return Math.min(Math.ceil(ms), LATEST_MS);
}
