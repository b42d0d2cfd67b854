/**
 * The host: takes requests, finds the run, hands messages to its thread, and acts on what became durable.
 *
 *   request -> run (runs.ts) -> thread (thread.ts) -> ... durable ... -> applied() -> whoever waits, timers, activities
 *
 * Owns: admission of every request, de-duplication (D2), who is told what and when, turns that are tried again.
 * The file is long because it is the catalogue of requests: each with its admission and its outcome side by side.
 * Does not own: batching (thread.ts), group commit (committer.ts), the state of a run (run.ts).
 *
 * Every admission is synchronous up to the thread's queue, so that calls made without awaiting keep their order (D3).
 * D8: what a thread's queue has no room for is refused before it is taken on.
 */

import { WorkflowExecutionAlreadyStartedError } from '../actors/failures.js';
import type { WorkflowLog } from '../codec/envelope.js';
import { expandHistory, type HistoryEvent } from '../codec/history-event.js';
import {
  type ActivityOutcome,
  frames,
  type Input,
  type JournalEntry,
  type Payload,
  type SignalInput,
  type StartInfo,
  unpackEntry,
} from '../codec/journal-entry.js';
import { keys } from '../codec/keys.js';
import { decodePayload } from '../codec/payload.js';
import { type RunOutcome, type UpdateOutcome, unpackUpdateOutcome } from '../codec/run-record.js';
import { type ActivityExecutor, ActivityRunner } from './activities/runner.js';
import { Agenda, type Due } from './agenda.js';
import {
  GrpcStatus,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  WorkflowNotFoundError,
} from './client/errors.js';
import type { Clock } from './clock.js';
import { Committer } from './committer.js';
import { Compactor } from './compactor.js';
import { describeRun, STATUS_CODES, statusOf } from './describe.js';
import type { Limits } from './limits.js';
import type { Item, Live, Outcome, UpdateCall } from './live.js';
import type { Logger, LogLevel } from './logger.js';
import type { Pool } from './pool.js';
import type { Effect } from './run.js';
import { newRunId } from './run-id.js';
import { Runs } from './runs.js';
import type {
  Description,
  QueryReject,
  StartAnswer,
  StartRequest,
  Target,
  UpdateRequest,
  UpdateTicket,
  WorkflowService,
} from './service.js';
import type { Store } from './store/store.js';
import { Thread, type ThreadHost } from './thread.js';
import { AcceptedUpdateCompletedWorkflow } from './update-failures.js';

/** How soon something that a failed commit undid is tried again, ms. */
const REDELIVER_MS = 250;
const ENVELOPE_BYTES = 64;
const DEFAULT_TASK_TIMEOUT_MS = 10_000;

export interface HostParts {
  store: Store;
  pool: Pool;
  threads: number;
  workflowTypes: readonly string[];
  executors: readonly ActivityExecutor[];
  limits: Limits;
  clock: Clock;
  logger: Logger;
}

export class Host implements WorkflowService, ThreadHost {
  readonly #parts: HostParts;
  readonly #runs: Runs;
  readonly #committer: Committer;
  readonly #compactor: Compactor;
  readonly #threads: Thread[];
  readonly #agenda: Agenda;
  readonly #activities: ActivityRunner;
  /** Timers that fired and activities that ended, while the news is on its way to a turn. */
  readonly #underWay = new Set<string>();
  #closing = false;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { store, limits, clock, pool } = parts;
    this.#runs = new Runs(store);
    const { lastSeq, recovered } = this.#runs.recover();
    this.#committer = new Committer(store, lastSeq, limits.journalBytesMax / 2);
    const onError = (error: Error) => this.broken(error);
    this.#compactor = new Compactor({
      store,
      runs: this.#runs,
      committer: this.#committer,
      journalBytesMax: limits.journalBytesMax,
      onError,
    });
    this.#threads = Array.from(
      { length: parts.threads },
      (_, slot) => new Thread({ slot, pool, committer: this.#committer, clock, limits, host: this }),
    );
    this.#agenda = new Agenda({
      clock,
      store,
      wake: (due) => this.#wake(due),
      isSettled: (due) => this.#isSettled(due),
      beforeScan: () => this.#compactor.run(),
      onError,
    });
    this.#activities = new ActivityRunner({
      executors: parts.executors,
      clock,
      activitiesMax: limits.activitiesMax,
      host: {
        resolved: (...args) => this.#activityResolved(...args),
        retrying: (live, entry, done) => this.#activityRetrying(live.run.runNo, entry, done),
        dueAt: (live, seq, at) => this.#agenda.add({ at, runNo: live.run.runNo, kind: 'activity', seq }),
        log: (live, level, message, attributes) => this.#log(level, message, { ...ids(live), ...attributes }),
      },
    });
    this.#resume(recovered);
  }

  /** Takes up what was going on when the store was closed, or the process died. */
  #resume(recovered: readonly Live[]): void {
    for (const live of recovered) {
      this.#compactor.noted(
        live,
        live.run.unsaved.frames.reduce((sum, { bytes }) => sum + bytes.length, 0),
      );
      for (const [seq, { due }] of live.run.timers)
        this.#agenda.add({ at: due, runNo: live.run.runNo, kind: 'timer', seq });
      if (live.run.needsTurn) this.#retryLater(live, live.run.suspension?.failure.message ?? INTERRUPTED);
      this.#addRunTimeout(live);
    }
    this.#agenda.start();
    // Activities are found through their own keys, so that only runs that wait for one are loaded.
    const waiting = new Set(recovered);
    for (const runNo of this.#runs.withActivities()) {
      const live = this.#runs.get(runNo);
      if (live !== undefined) waiting.add(live);
    }
    for (const live of waiting)
      for (const seq of live.run.activities.keys()) this.#activities.ready(live, seq);
  }

  // ----- start -------------------------------------------------------------------------------------------------

  async start(request: StartRequest): Promise<StartAnswer> {
    return this.#admitStart(request);
  }

  #admitStart(request: StartRequest): Promise<StartAnswer> {
    this.#refuseWhenClosing();
    this.#knownType(request.workflowType);
    const existing = this.#runs.latest(request.namespace, request.workflowId);
    if (existing !== undefined && !existing.run.closed) return this.#conflict(existing, request);
    if (existing !== undefined) this.#checkReuse(existing, request);
    return this.#startNew(request);
  }

  #knownType(type: string): void {
    const { workflowTypes } = this.#parts;
    if (workflowTypes.includes(type) || workflowTypes.includes('default')) return;
    const list =
      workflowTypes.length === 0 ? 'none: Runtime.open was given no workflowsPath' : workflowTypes.join(', ');
    throw new RpcError(
      GrpcStatus.INVALID_ARGUMENT,
      `Workflow type '${type}' is not registered. Registered workflow types: ${list}`,
    );
  }

  async #conflict(existing: Live, request: StartRequest): Promise<StartAnswer> {
    const { runId } = existing.run.info;
    const policy =
      request.reusePolicy === 'TERMINATE_IF_RUNNING' ? 'TERMINATE_EXISTING' : request.conflictPolicy;
    if (policy === 'USE_EXISTING') {
      const signalled =
        request.signal === undefined ? undefined : this.signal({ ...request, runId }, request.signal);
      await Promise.all([existing.started, signalled]);
      return { runId, started: false };
    }
    if (policy === 'TERMINATE_EXISTING') {
      await this.terminate(
        { ...request, runId },
        'TerminateIfRunning WorkflowIdReusePolicy Policy',
        undefined,
      ).catch((error) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      });
      return this.#admitStart(request);
    }
    // Not told before that start is durable (D4): if it is lost, the id is free.
    await existing.started.catch(() => undefined);
    if (existing.gone !== undefined) return this.#admitStart(request);
    throw alreadyStarted(request);
  }

  #checkReuse(existing: Live, request: StartRequest): void {
    const ended = existing.run.outcome?.status;
    if (request.reusePolicy === 'REJECT_DUPLICATE') throw alreadyStarted(request);
    const wentWell = ended === 'completed' || ended === 'continuedAsNew';
    if (request.reusePolicy === 'ALLOW_DUPLICATE_FAILED_ONLY' && wentWell) throw alreadyStarted(request);
  }

  #startNew(request: StartRequest): Promise<StartAnswer> {
    const runNo = this.#runs.nextNo();
    const thread = this.#threadOf(runNo);
    const bytes = ENVELOPE_BYTES + request.args.length + (request.signal?.args.length ?? 0);
    this.#requireRoom(thread, bytes);
    const now = this.#parts.clock.now();
    const info = startInfo(request, runNo, newRunId(now), now);
    const live = this.#runs.admit(info);
    const inputs = request.signal === undefined ? [] : [request.signal];
    live.started = new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) =>
        outcome.kind === 'error' ? reject(unavailable(outcome.error)) : resolve();
      thread.enqueue({ live, envelope: { kind: 'start', info, inputs }, bytes, settle });
    });
    // Others may wait for it too, or nobody; the caller of start hears of a failure in any case.
    live.started.catch(() => undefined);
    this.#addRunTimeout(live);
    return live.started.then(() => ({ runId: info.runId, started: true }));
  }

  #addRunTimeout(live: Live): void {
    const { runNo, timeoutAt } = live.run;
    if (timeoutAt !== undefined) this.#agenda.add({ at: timeoutAt, runNo, kind: 'runTimeout', seq: 0 });
  }

  // ----- signals, cancel, terminate ----------------------------------------------------------------------------

  signal(target: Target, input: SignalInput): Promise<{ duplicate: boolean }> {
    return attempt(() => {
      const live = this.#open(target);
      if (input.requestId === undefined) return this.#message(target, live, input).then(notADuplicate);
      return this.#signalOnce(target, live, input, input.requestId);
    });
  }

  /** The first signal with a request id takes effect; the others hear what became of it. */
  #signalOnce(
    target: Target,
    live: Live,
    input: SignalInput,
    requestId: string,
  ): Promise<{ duplicate: boolean }> {
    const underWay = live.requests.get(requestId);
    if (underWay !== undefined) return underWay.then(() => ({ duplicate: true }));
    const { run } = live;
    if (
      run.hasUnsavedRequest(requestId) ||
      this.#parts.store.get(keys.request(run.info.firstRunNo, requestId)) !== undefined
    ) {
      return Promise.resolve({ duplicate: true });
    }
    const sent = this.#message(target, live, input);
    live.requests.set(requestId, sent);
    return sent.then(() => ({ duplicate: false })).finally(() => live.requests.delete(requestId));
  }

  cancel(target: Target, reason: string | undefined): Promise<void> {
    return attempt(() => this.#message(target, this.#open(target), { kind: 'cancel', reason }));
  }

  terminate(target: Target, reason: string | undefined, details: Payload | undefined): Promise<void> {
    return attempt(() => {
      const live = this.#open(target);
      const entry: JournalEntry = { kind: 'terminated', time: this.#parts.clock.now(), reason, details };
      return this.#promise(target, live, { kind: 'note', runNo: live.run.runNo, entry }, ENVELOPE_BYTES);
    });
  }

  /** Into the mailbox, or, while the run's turn is failing, into the journal to wait for it. */
  #message(target: Target, live: Live, input: Exclude<Input, { kind: 'update' }>): Promise<void> {
    const { runNo } = live.run;
    const bytes = ENVELOPE_BYTES + ('args' in input ? input.args.length : 0);
    if (live.retry === undefined) return this.#promise(target, live, { kind: 'input', runNo, input }, bytes);
    live.retry.noted = true;
    const entry: JournalEntry = { kind: 'received', time: this.#parts.clock.now(), inputs: [input] };
    return this.#promise(target, live, { kind: 'note', runNo, entry }, bytes);
  }

  #promise(target: Target, live: Live, envelope: Item['envelope'], bytes: number): Promise<void> {
    const thread = this.#threadOf(live.run.runNo);
    this.#requireRoom(thread, bytes);
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) => {
        if (outcome.kind === 'durable') resolve();
        else if (outcome.kind === 'error') reject(unavailable(outcome.error));
        else reject(new WorkflowNotFoundError(COMPLETED, target.workflowId, target.runId));
      };
      thread.enqueue({ live, envelope, bytes, settle });
    });
  }

  // ----- queries -----------------------------------------------------------------------------------------------

  query(target: Target, name: string, args: Payload, reject: QueryReject): Promise<Payload> {
    return attempt(() => {
      const live = this.#find(target);
      this.#checkQuery(live, reject);
      const thread = this.#threadOf(live.run.runNo);
      const bytes = ENVELOPE_BYTES + args.length;
      this.#requireRoom(thread, bytes);
      return new Promise((resolve, refuse) => {
        const settle = (outcome: Outcome) => {
          if (outcome.kind === 'answer') resolve(outcome.result);
          else if (outcome.kind === 'failure')
            refuse(new QueryNotRegisteredError(outcome.failure.message, GrpcStatus.INVALID_ARGUMENT));
          else
            refuse(
              unavailable(outcome.kind === 'error' ? outcome.error : new Error('The query was not answered')),
            );
        };
        thread.enqueue({
          live,
          envelope: { kind: 'query', runNo: live.run.runNo, name, args },
          bytes,
          settle,
        });
      });
    });
  }

  #checkQuery(live: Live, reject: QueryReject): void {
    const { run } = live;
    const status = statusOf(run);
    const unclean = status !== 'RUNNING' && status !== 'COMPLETED' && status !== 'CONTINUED_AS_NEW';
    if (
      (reject === 'NOT_OPEN' && run.closed) ||
      (reject === 'NOT_COMPLETED_CLEANLY' && unclean) ||
      status === 'TERMINATED'
    ) {
      throw new QueryRejectedError(STATUS_CODES[status]);
    }
    if (live.retry !== undefined && !run.turned) {
      const text = `The first turn of workflow ${run.info.workflowId} fails, so there is nothing to ask yet: ${live.retry.message}`;
      throw new RpcError(GrpcStatus.FAILED_PRECONDITION, text);
    }
  }

  // ----- updates -----------------------------------------------------------------------------------------------

  update(target: Target, request: UpdateRequest): UpdateTicket {
    this.#refuseWhenClosing();
    const live = this.#find(target);
    const known = this.#knownUpdate(live, request.id, request.generated);
    if (known !== undefined) return ticket(live, known);
    if (live.run.closed) throw new WorkflowNotFoundError(COMPLETED, target.workflowId, target.runId);
    const thread = this.#threadOf(live.run.runNo);
    const bytes = ENVELOPE_BYTES + request.args.length;
    this.#requireRoom(thread, bytes);
    this.#requireUpdateRoom(live);
    const call: UpdateCall = { stage: 'admitted', outcome: undefined, error: undefined, waiters: [] };
    live.updates.set(request.id, call);
    const input: Input = { kind: 'update', ...request, generated: request.generated || undefined };
    const settle = (outcome: Outcome) => this.#updateSettled(target, live, request.id, call, outcome);
    const item: Item = { live, envelope: { kind: 'input', runNo: live.run.runNo, input }, bytes, settle };
    if (live.retry === undefined) thread.enqueue(item);
    else thread.hold(item);
    return ticket(live, call);
  }

  #requireUpdateRoom(live: Live): void {
    const { updatesInFlightMax } = this.#parts.limits;
    if (live.updates.size < updatesInFlightMax) return;
    const text = `limit on number of concurrent in-flight updates has been reached (${updatesInFlightMax})`;
    throw new RpcError(GrpcStatus.RESOURCE_EXHAUSTED, text);
  }

  /** Acceptance and completion are told by what the journal holds (applied), or at once by the turn that did both. */
  #updateSettled(target: Target, live: Live, id: string, call: UpdateCall, outcome: Outcome): void {
    if (outcome.kind === 'durable') return;
    live.updates.delete(id);
    if (outcome.kind === 'answer') call.outcome = { result: outcome.result };
    else if (outcome.kind === 'failure') call.outcome = { failure: outcome.failure };
    else if (outcome.kind === 'error') call.error = unavailable(outcome.error);
    else
      call.error = new WorkflowNotFoundError(
        'update aborted by closing workflow',
        target.workflowId,
        target.runId,
      );
    call.stage = 'completed';
    wake(call);
  }

  async findUpdate(target: Target, updateId: string): Promise<UpdateTicket> {
    const live = this.#find(target);
    const known = this.#knownUpdate(live, updateId, false) ?? this.#searchHistory(live, updateId);
    if (known === undefined) {
      throw new WorkflowNotFoundError(
        `update ${updateId} not found in workflow ${target.workflowId}`,
        target.workflowId,
        target.runId,
      );
    }
    return ticket(live, known);
  }

  #knownUpdate(live: Live, id: string, generated: boolean): UpdateCall | undefined {
    const waitedFor = live.updates.get(id);
    if (waitedFor !== undefined || generated) return waitedFor;
    const { run } = live;
    const outcome = run.unsavedOutcome(id) ?? this.#storedOutcome(run.runNo, id);
    if (outcome !== undefined) return done(outcome);
    if (!run.updates.has(id)) return undefined;
    if (run.closed) return done({ failure: AcceptedUpdateCompletedWorkflow() });
    // Accepted before the store was opened, and nobody has asked for it since.
    const call: UpdateCall = { stage: 'accepted', outcome: undefined, error: undefined, waiters: [] };
    live.updates.set(id, call);
    // It may be that nothing else wakes this run: its replay brings the handler back to where it waits.
    return call;
  }

  #storedOutcome(runNo: number, id: string): UpdateOutcome | undefined {
    const value = this.#parts.store.get(keys.update(runNo, id));
    return value === undefined ? undefined : unpackUpdateOutcome(value);
  }

  /** For ids that the client made up: they are not indexed, because nobody sends them twice. */
  #searchHistory(live: Live, id: string): UpdateCall | undefined {
    for (const entry of this.#entries(live)) {
      if (entry.kind !== 'turn') continue;
      for (const command of entry.commands) {
        if (command.kind !== 'completeUpdate' || command.id !== id) continue;
        return done(
          command.failure === undefined ? { result: command.result! } : { failure: command.failure },
        );
      }
    }
    return undefined;
  }

  // ----- looking at runs ---------------------------------------------------------------------------------------

  async result(target: Target): Promise<{ runId: string; outcome: RunOutcome }> {
    const live = this.#find(target);
    // Noted before anything is awaited, because it keeps the run in memory.
    const ended = live.run.closed
      ? undefined
      : new Promise<void>((resolve) => live.closeWaiters.add(resolve));
    await live.started;
    await ended;
    if (live.run.outcome === undefined) throw closed();
    return { runId: live.run.info.runId, outcome: live.run.outcome };
  }

  async describe(target: Target): Promise<Description> {
    const live = this.#find(target);
    await live.started;
    return describeRun(live);
  }

  async history(target: Target): Promise<HistoryEvent[]> {
    const live = this.#find(target);
    await live.started;
    return expandHistory(this.#entries(live));
  }

  *#entries(live: Live): Generator<JournalEntry> {
    for (const chunk of this.#runs.history(live)) {
      for (const frame of frames(chunk)) yield unpackEntry(frame.body, live.run.info.identity);
    }
  }

  #find(target: Target): Live {
    this.#refuseWhenClosing();
    const { namespace, workflowId, runId, firstExecutionRunId } = target;
    const live = runId === undefined ? this.#runs.latest(namespace, workflowId) : this.#runs.byRunId(runId);
    const info = live?.run.info;
    if (live === undefined || info?.workflowId !== workflowId || info.namespace !== namespace) {
      throw new WorkflowNotFoundError(`workflow not found for ID: ${workflowId}`, workflowId, runId);
    }
    if (firstExecutionRunId !== undefined && info.firstRunId !== firstExecutionRunId) {
      throw new WorkflowNotFoundError('workflow execution not found', workflowId, runId);
    }
    return live;
  }

  #open(target: Target): Live {
    const live = this.#find(target);
    if (live.run.closed) throw new WorkflowNotFoundError(COMPLETED, target.workflowId, target.runId);
    return live;
  }

  #threadOf(runNo: number): Thread {
    return this.#threads[runNo % this.#threads.length]!;
  }

  #requireRoom(thread: Thread, bytes: number): void {
    const limit = thread.limitAgainst(bytes);
    if (limit === undefined) return;
    const text = `Too many messages wait for a workflow thread or for the disk (limits.${limit}: ${this.#parts.limits[limit]}).`;
    throw new RpcError(
      GrpcStatus.RESOURCE_EXHAUSTED,
      `${text} Nothing was done; send it again later, or raise the limit`,
    );
  }

  #refuseWhenClosing(): void {
    if (this.#closing) throw closed();
  }

  // ----- what threads report (ThreadHost) ----------------------------------------------------------------------

  live(runNo: number): Live | undefined {
    return this.#runs.get(runNo);
  }

  /** As far as memory and store have it; both are read at once, so nothing can be moved in between. */
  historyOf(live: Live): Uint8Array[] {
    return this.#runs.history(live);
  }

  applied(live: Live, bytes: number, effects: Effect[]): void {
    live.before = undefined;
    this.#compactor.noted(live, bytes);
    for (const effect of effects) this.#perform(live, effect);
  }

  #perform(live: Live, effect: Effect): void {
    const { runNo } = live.run;
    switch (effect.kind) {
      case 'timer':
        return this.#agenda.add({ at: effect.due, runNo, kind: 'timer', seq: effect.seq });
      case 'activity':
        return this.#activities.ready(live, effect.seq);
      case 'activityCancel':
        return this.#activities.cancel(live, effect.seq, effect.activity);
      case 'updateAccepted':
        return this.#advance(live, effect.id, 'accepted', undefined);
      case 'updateDone':
        return this.#advance(live, effect.id, 'completed', effect.outcome);
      case 'suspended':
        return;
      case 'closed':
        return this.#closed(live);
    }
  }

  #advance(live: Live, id: string, stage: UpdateCall['stage'], outcome: UpdateOutcome | undefined): void {
    const call = live.updates.get(id);
    if (call === undefined) return;
    call.stage = stage;
    call.outcome = outcome;
    if (outcome !== undefined) live.updates.delete(id);
    wake(call);
  }

  #closed(live: Live): void {
    for (const [id, call] of live.updates) {
      if (call.stage !== 'accepted') continue;
      this.#advance(live, id, 'completed', { failure: AcceptedUpdateCompletedWorkflow() });
    }
    live.retry?.stop();
    live.retry = undefined;
    this.#release(live);
    for (const resolve of live.closeWaiters) resolve();
    live.closeWaiters.clear();
  }

  startFailed(live: Live, error: Error): void {
    live.gone = error;
    live.retry?.stop();
    live.retry = undefined;
    this.#release(live);
    this.#runs.discard(live);
  }

  turnFailed(live: Live, cause: string, message: string): void {
    const attempt = (live.retry?.attempt ?? 0) + 1;
    this.#log(attempt === 1 ? 'ERROR' : 'DEBUG', `Turn failed, will be tried again: ${message}`, {
      ...ids(live),
      cause,
      attempt,
    });
    this.#retryLater(live, message);
  }

  turnSucceeded(live: Live): void {
    const { retry } = live;
    if (!retry?.trying) return;
    live.retry = undefined;
    if (retry.noted) this.#enqueueRetry(live);
    this.#release(live);
  }

  /** What was held back for the run goes on its way. */
  #release(live: Live): void {
    this.#threadOf(live.run.runNo).release(live);
  }

  #retryLater(live: Live, message: string): void {
    const { turnRetryMsMin, turnRetryMsMax } = this.#parts.limits;
    const attempt = (live.retry?.attempt ?? 0) + 1;
    const delay = Math.min(turnRetryMsMax, turnRetryMsMin * 2 ** (attempt - 1));
    live.retry?.stop();
    const stop = this.#parts.clock.after(delay, () => this.#retry(live));
    live.retry = {
      attempt,
      nextAt: this.#parts.clock.now() + delay,
      message,
      stop,
      trying: false,
      noted: false,
    };
  }

  #retry(live: Live): void {
    if (this.#closing || live.retry === undefined || live.run.closed) return;
    live.retry.trying = true;
    this.#enqueueRetry(live);
    this.#release(live);
  }

  /** A turn with what stands in the mailbox. */
  #enqueueRetry(live: Live): void {
    const { runNo } = live.run;
    const settle = (outcome: Outcome) => {
      if (outcome.kind === 'error' && live.gone === undefined) this.#retryLater(live, outcome.error.message);
    };
    this.#threadOf(runNo).enqueue({ live, envelope: { kind: 'retry', runNo }, bytes: 0, settle });
  }

  log(live: Live, line: WorkflowLog): void {
    const attributes =
      line.attributes === undefined ? {} : (decodePayload(line.attributes) as Record<string, unknown>);
    this.#log(line.level, line.message, { ...ids(live), ...attributes });
  }

  /** A logger of the embedder that throws must not take a batch along. */
  #log(level: LogLevel, message: string, attributes: Record<string, unknown>): void {
    try {
      this.#parts.logger.log(level, message, attributes);
    } catch {
      // There is nobody left to tell.
    }
  }

  passivated(live: Live): void {
    this.#runs.forget(live);
  }

  broken(error: Error): void {
    this.#log('ERROR', `Runtime: ${error.message}`, { error: error.stack ?? String(error) });
  }

  // ----- what the runtime itself sends -------------------------------------------------------------------------

  #wake({ runNo, kind, seq, at }: Due): boolean {
    if (this.#closing) return true;
    const live = this.#runs.get(runNo);
    if (live === undefined || live.run.closed) return false;
    if (kind === 'timer') return this.#fire(live, seq);
    if (kind === 'activity') return this.#tryActivity(live, seq, at);
    if (kind === 'turnRetry' && live.run.needsTurn && live.retry === undefined) {
      this.#retryLater(live, live.run.suspension?.failure.message ?? INTERRUPTED);
    }
    if (kind === 'runTimeout') {
      const entry: JournalEntry = { kind: 'timedOut', time: this.#parts.clock.now(), retryState: 'TIMEOUT' };
      this.#deliver(
        runNo,
        () => ({ kind: 'note', runNo, entry }),
        ENVELOPE_BYTES,
        () => undefined,
      );
    }
    return kind !== 'turnRetry' || live.run.needsTurn;
  }

  #isSettled({ runNo, kind, seq, at }: Due): boolean {
    const run = this.#runs.peek(runNo)?.run;
    if (run === undefined) return false;
    if (kind === 'timer') return !run.timers.has(seq);
    if (kind === 'activity') return run.activities.get(seq)?.nextAt !== at;
    return run.closed;
  }

  #fire(live: Live, seq: number): boolean {
    const { runNo, timers } = live.run;
    const key = `timer ${runNo} ${seq}`;
    if (!timers.has(seq)) return false;
    if (this.#underWay.has(key)) return true;
    this.#underWay.add(key);
    this.#deliverInput(runNo, { kind: 'timerFired', seq }, ENVELOPE_BYTES, () => this.#underWay.delete(key));
    return true;
  }

  #tryActivity(live: Live, seq: number, at: number): boolean {
    if (live.run.activities.get(seq)?.nextAt !== at) return false;
    const { runNo } = live.run;
    const moving = this.#underWay.has(endKey(runNo, seq)) || this.#underWay.has(retryKey(runNo, seq));
    if (!moving) this.#activities.ready(live, seq);
    return true;
  }

  #activityResolved(
    live: Live,
    seq: number,
    attemptNo: number,
    startedAt: number,
    outcome: ActivityOutcome,
  ): void {
    const { runNo } = live.run;
    const key = endKey(runNo, seq);
    // It ended, and is cancelled before that is durable: the end that came first counts.
    if (this.#underWay.has(key)) return;
    this.#underWay.add(key);
    const bytes = ENVELOPE_BYTES + (outcome.status === 'completed' ? outcome.result.length : 0);
    this.#deliverInput(
      runNo,
      { kind: 'activityResolved', seq, attempt: attemptNo, startedAt, outcome },
      bytes,
      () => this.#underWay.delete(key),
    );
  }

  #activityRetrying(
    runNo: number,
    entry: Extract<JournalEntry, { kind: 'activityRetry' }>,
    done: () => void,
  ): void {
    const key = retryKey(runNo, entry.seq);
    this.#underWay.add(key);
    this.#deliver(
      runNo,
      () => ({ kind: 'note', runNo, entry }),
      ENVELOPE_BYTES,
      () => {
        this.#underWay.delete(key);
        done();
      },
    );
  }

  #deliverInput(
    runNo: number,
    input: Exclude<Input, { kind: 'update' }>,
    bytes: number,
    done: () => void,
  ): void {
    const envelope = ({ retry }: Live): Item['envelope'] => {
      if (retry === undefined) return { kind: 'input', runNo, input };
      retry.noted = true;
      return {
        kind: 'note',
        runNo,
        entry: { kind: 'received', time: this.#parts.clock.now(), inputs: [input] },
      };
    };
    this.#deliver(runNo, envelope, bytes, done);
  }

  /** Sends until it is durable or has become pointless. The queue's limit is for callers, not for these. */
  #deliver(runNo: number, envelope: (live: Live) => Item['envelope'], bytes: number, done: () => void): void {
    // Looked up each time: between two attempts the run may have left memory, and its start may have been lost.
    const live = this.#runs.get(runNo);
    if (live === undefined || live.run.closed) return done();
    const settle = (outcome: Outcome) => {
      if (outcome.kind !== 'error') done();
      else if (!this.#closing)
        this.#parts.clock.after(REDELIVER_MS, () => this.#deliver(runNo, envelope, bytes, done));
    };
    this.#threadOf(runNo).enqueue({ live, envelope: envelope(live), bytes, settle });
  }

  // ----- the whole ---------------------------------------------------------------------------------------------

  metrics() {
    return {
      runsInMemory: this.#runs.inMemory,
      activations: this.#threads.reduce((sum, { activeRuns }) => sum + activeRuns, 0),
      queuedMessages: this.#threads.reduce((sum, { queued }) => sum + queued, 0),
      threadHeapBytes: this.#threads.map(({ heapBytes }) => heapBytes),
      journalSeq: this.#committer.durableSeq,
      journalBytesUnsaved: this.#compactor.unsavedBytes,
      timersDueSoon: this.#agenda.size,
      activitiesRunning: this.#activities.running,
      activitiesWaiting: this.#activities.waiting,
    };
  }

  /** Stops taking calls, lets turns under way finish and commits them. */
  async drain(): Promise<void> {
    this.#closing = true;
    this.#agenda.close();
    await this.#activities.close();
    for (const thread of this.#threads) await thread.drained();
    for (const live of this.#runs.all()) {
      live.retry?.stop();
      for (const call of live.updates.values()) {
        call.error ??= closed();
        call.stage = 'completed';
        wake(call);
      }
      for (const resolve of live.closeWaiters) resolve();
    }
    await this.#compactor.finish().catch((error) => this.broken(error));
    for (const thread of this.#threads) thread.close();
  }
}

const INTERRUPTED = 'The process ended before the turn could be tried again';
const COMPLETED = 'workflow execution already completed';

/** Synchronous refusals become rejections, so that a call fails in one way only. */
function attempt<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return fn();
  } catch (error) {
    return Promise.reject(error);
  }
}

function ids(live: Live): Record<string, unknown> {
  const { workflowId, runId, workflowType } = live.run.info;
  return { workflowId, runId, workflowType };
}

function alreadyStarted({ workflowId, workflowType }: StartRequest): Error {
  return new WorkflowExecutionAlreadyStartedError(
    'Workflow execution already started',
    workflowId,
    workflowType,
  );
}

function closed(): RpcError {
  return new RpcError(
    GrpcStatus.UNAVAILABLE,
    'The runtime is closed: open it again with Runtime.open and get a new client from it',
  );
}

function unavailable(cause: Error): RpcError {
  if (cause instanceof RpcError) return cause;
  if ((cause as { retryable?: boolean }).retryable === true) {
    return new RpcError(
      GrpcStatus.RESOURCE_EXHAUSTED,
      `Nothing was done, it can be sent again: ${cause.message}`,
      { cause },
    );
  }
  // A store that fails does not always know what reached the disk.
  const text = `It is not certain that anything was done. Ask when the runtime is open again, or send it again with the same id: ${cause.message}`;
  return new RpcError(GrpcStatus.UNAVAILABLE, text, { cause });
}

const endKey = (runNo: number, seq: number): string => `activity end ${runNo} ${seq}`;
const retryKey = (runNo: number, seq: number): string => `activity retry ${runNo} ${seq}`;

function done(outcome: UpdateOutcome): UpdateCall {
  return { stage: 'completed', outcome, error: undefined, waiters: [] };
}

const STAGES: readonly UpdateCall['stage'][] = ['admitted', 'accepted', 'completed'];
const reached = (call: UpdateCall, stage: UpdateCall['stage']) =>
  STAGES.indexOf(call.stage) >= STAGES.indexOf(stage);

const NOT_A_DUPLICATE = Object.freeze({ duplicate: false });
const notADuplicate = () => NOT_A_DUPLICATE;

function wake(call: UpdateCall): void {
  if (call.waiters.length === 0) return;
  const ready = call.waiters.filter(({ stage }) => reached(call, stage));
  call.waiters = call.waiters.filter(({ stage }) => !reached(call, stage));
  for (const waiter of ready) waiter.wake();
}

function settled(call: UpdateCall): Promise<UpdateOutcome | undefined> {
  return call.error === undefined ? Promise.resolve(call.outcome) : Promise.reject(call.error);
}

function ticket(live: Live, call: UpdateCall): UpdateTicket {
  return {
    runId: live.run.info.runId,
    reached(stage) {
      if (reached(call, stage)) return settled(call);
      return new Promise((resolve, reject) => {
        const wake = () => (call.error === undefined ? resolve(call.outcome) : reject(call.error));
        call.waiters.push({ stage, wake });
      });
    },
  };
}

function startInfo(request: StartRequest, runNo: number, runId: string, now: number): StartInfo {
  return {
    runNo,
    namespace: request.namespace,
    workflowId: request.workflowId,
    runId,
    firstRunId: runId,
    firstRunNo: runNo,
    originalRunId: runId,
    workflowType: request.workflowType,
    taskQueue: request.taskQueue,
    args: request.args,
    startTime: now,
    identity: request.identity,
    attempt: 1,
    executionTimeoutMs: request.executionTimeoutMs,
    runTimeoutMs: request.runTimeoutMs,
    taskTimeoutMs: request.taskTimeoutMs ?? DEFAULT_TASK_TIMEOUT_MS,
    retry: request.retry,
    memo: request.memo,
    searchAttributes: request.searchAttributes,
    headers: request.headers,
  };
}
