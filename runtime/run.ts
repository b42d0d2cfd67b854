/**
 * A run as the host knows it: everything about a workflow execution that does not need its activation.
 *
 * Owns: applying journal entries to that knowledge. The same function serves entries that have just become durable and
 * entries read back from the journal when the store is opened, so both give the same.
 * Does not own: where runs are found (runs.ts), what is done about them (effects are returned, not performed).
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
  StartInfo,
  TurnFailureCause,
} from '../codec/journal-entry.js';
import type { ActivityRecord, RunInfo, RunOutcome, RunRecord, UpdateOutcome } from '../codec/run-record.js';
import { InvariantError } from './errors.js';

/** What the host must do now that an entry is durable. */
export type Effect =
  | { kind: 'timer'; seq: number; due: number }
  | { kind: 'activity'; seq: number }
  | { kind: 'activityCancel'; seq: number; activity: ActivityRecord }
  | { kind: 'updateAccepted'; id: string }
  | { kind: 'updateDone'; id: string; outcome: UpdateOutcome }
  | { kind: 'suspended' }
  | { kind: 'closed' };

export interface Suspension {
  cause: TurnFailureCause;
  failure: Failure;
  /** Epoch ms of the first failure of the streak. */
  since: number;
  /** Failed attempts in this process. */
  attempt: number;
  /** Epoch ms of the next attempt. */
  nextAt: number;
}

/** Differences to what the store holds, gathered until the compactor writes them. */
export interface Unsaved {
  /** Frames since the last save, oldest first, with the journal value each lies in. */
  frames: { seq: number; bytes: Uint8Array }[];
  timersRemoved: { seq: number; due: number }[];
  activitiesRemoved: number[];
  activitiesChanged: Set<number>;
  outcomes: Map<string, UpdateOutcome>;
  requests: Set<string>;
  /** The run is not yet in the store at all. */
  isNew: boolean;
  /** History chunks of writes that failed, and that may be in the store all the same. */
  stale: number[];
}

const emptyUnsaved = (isNew: boolean): Unsaved => ({
  frames: [],
  timersRemoved: [],
  activitiesRemoved: [],
  activitiesChanged: new Set(),
  outcomes: new Map(),
  requests: new Set(),
  isNew,
  stale: [],
});

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
  readonly timers = new Map<number, { due: number; saved: boolean }>();
  readonly activities = new Map<number, ActivityRecord>();
  /** Accepted, unfinished updates; true when the caller chose the id. */
  readonly updates = new Map<string, boolean>();
  /** Durable inputs that no turn has taken. */
  waiting = 0;
  unsaved: Unsaved;
  /** What the compactor is writing right now. */
  saving: Unsaved | undefined;

  constructor(info: StartInfo | RunInfo, isNew: boolean) {
    const { args: _, ...rest } = info as StartInfo;
    this.info = rest;
    this.lastTime = info.startTime;
    this.unsaved = emptyUnsaved(isNew);
  }

  static fromRecord(record: RunRecord, activities: Iterable<readonly [number, ActivityRecord]>): Run {
    const run = new Run(record.info, false);
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
    if (record.suspended !== undefined) run.suspension = { ...record.suspended, attempt: 1, nextAt: 0 };
    return run;
  }

  toRecord(through: number): RunRecord {
    const { suspension } = this;
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
      suspended: suspension && {
        cause: suspension.cause,
        failure: suspension.failure,
        since: suspension.since,
      },
    };
  }

  get runNo(): number {
    return this.info.runNo;
  }

  /** A turn is due although no message says so: one failed, or left inputs behind. */
  get needsTurn(): boolean {
    return !this.closed && (this.suspension !== undefined || this.waiting > 0);
  }

  get closed(): boolean {
    return this.outcome !== undefined;
  }

  /** Epoch ms at which the run is timed out, if it has such a limit. */
  get timeoutAt(): number | undefined {
    const { runTimeoutMs, executionTimeoutMs, startTime } = this.info;
    const ms = Math.min(
      runTimeoutMs ?? Number.POSITIVE_INFINITY,
      executionTimeoutMs ?? Number.POSITIVE_INFINITY,
    );
    return ms === Number.POSITIVE_INFINITY ? undefined : instant(startTime + ms);
  }

  get dirty(): boolean {
    return this.unsaved.frames.length > 0 || this.saving !== undefined;
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
    const { saving: old, unsaved } = this;
    if (old === undefined) return;
    this.saving = undefined;
    unsaved.frames.unshift(...old.frames);
    unsaved.timersRemoved.unshift(...old.timersRemoved);
    unsaved.activitiesRemoved.unshift(...old.activitiesRemoved);
    for (const seq of old.activitiesChanged) if (this.activities.has(seq)) unsaved.activitiesChanged.add(seq);
    for (const [id, outcome] of old.outcomes)
      if (!unsaved.outcomes.has(id)) unsaved.outcomes.set(id, outcome);
    for (const id of old.requests) unsaved.requests.add(id);
    for (const timer of this.timers.values()) timer.saved = false;
    unsaved.isNew = old.isNew;
    unsaved.stale = [...old.stale, through];
  }

  /** Notes a durable frame. The entry itself is applied only if it is notable. */
  append(frame: Frame, seq: number): void {
    this.events += frame.events;
    this.bytes += frame.bodyLength;
    this.unsaved.frames.push({ seq, bytes: frame.bytes });
  }

  apply(entry: JournalEntry): Effect[] {
    const effects: Effect[] = [];
    this.lastTime = Math.max(this.lastTime, entry.time);
    switch (entry.kind) {
      case 'started':
        break;
      case 'turn':
        if (this.state === 'suspended') this.#step('retryTurn');
        this.suspension = undefined;
        this.turned = true;
        this.waiting -= entry.taken;
        for (const input of entry.inputs) this.#input(input);
        for (const command of entry.commands) this.#command(command, entry, effects);
        break;
      case 'received':
        this.waiting += entry.inputs.length;
        for (const input of entry.inputs) this.#input(input);
        break;
      case 'turnFailed':
        this.#suspend(entry, effects);
        break;
      case 'activityRetry':
        this.#retryActivity(entry);
        break;
      case 'terminated':
        this.#close('terminated', { status: 'terminated', reason: entry.reason }, entry.time, effects);
        break;
      case 'timedOut':
        this.#close('timedOut', { status: 'timedOut', retryState: entry.retryState }, entry.time, effects);
        break;
    }
    return effects;
  }

  #step(event: ExecutionEvent): void {
    this.state = next(executionTable, this.state, event);
  }

  #suspend(entry: Extract<JournalEntry, { kind: 'turnFailed' }>, effects: Effect[]): void {
    if (this.state !== 'suspended') this.#step('turnFailed');
    const { cause, failure, time } = entry;
    this.suspension = {
      cause,
      failure,
      since: time,
      attempt: this.suspension?.attempt ?? 1,
      nextAt: this.suspension?.nextAt ?? 0,
    };
    effects.push({ kind: 'suspended' });
  }

  #input(input: Input): void {
    switch (input.kind) {
      case 'signal':
        if (input.requestId !== undefined) this.unsaved.requests.add(input.requestId);
        return;
      case 'timerFired':
        return this.#dropTimer(input.seq);
      case 'activityResolved':
        return this.#dropActivity(input.seq);
      default:
        return;
    }
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
          // A copy: the entry's bytes lie in a journal value, which the activity would keep in memory as a whole.
          command: { ...command, args: new Uint8Array(command.args) },
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
        return this.#close(
          'failWorkflow',
          { status: 'failed', failure: command.failure },
          entry.time,
          effects,
        );
      case 'cancelWorkflow':
        return this.#close('cancelWorkflow', { status: 'cancelled' }, entry.time, effects);
      case 'patch':
      case 'upsertMemo':
      case 'upsertSearchAttributes':
        return;
      case 'startChild':
      case 'cancelChild':
      case 'signalExternal':
      case 'cancelSignalExternal':
      case 'cancelExternal':
      case 'updateExternal':
      case 'signalWithStart':
      case 'continueAsNew':
        throw new InvariantError(
          `Command '${command.kind}' of run ${this.info.runId} is not known to this version`,
        );
    }
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
    effects.push({ kind: 'closed' });
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
    this.unsaved.activitiesRemoved.push(seq);
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
      heartbeat,
    });
  }
}

/** The last instant that a Date can hold. */
const LATEST_MS = 8.64e15;

/** A time at which something is due, as a key of the store can hold it: whole, not earlier than asked for. */
function instant(ms: number): number {
  return Math.min(Math.ceil(ms), LATEST_MS);
}
