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

import { whyAndWhere } from '../actors/failure-attributes.js';
import { WorkflowExecutionAlreadyStartedError } from '../actors/failures.js';
import type { WorkflowLog } from '../codec/envelope.js';
import type { Failure } from '../codec/failure.js';
import { expandHistory, type HistoryEvent } from '../codec/history-event.js';
import {
  type ActivityOutcome,
  frames,
  type Input,
  type JournalEntry,
  type Payload,
  type SignalInput,
  type StartInfo,
  type UpdateInput,
  unpackEntry,
} from '../codec/journal-entry.js';
import { keys } from '../codec/keys.js';
import { decodePayload } from '../codec/payload.js';
import {
  followingRunId,
  type NextRun,
  type RunOutcome,
  type UpdateOutcome,
  unpackUpdateOutcome,
} from '../codec/run-record.js';
import type { ActivityExecutor } from './activities/attempt.js';
import { ActivityRunner } from './activities/runner.js';
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
import { nextRunInfo } from './continuation.js';
import { Deliveries, type DeliveryHost, type WorkflowStart } from './deliveries.js';
import { describeRun, STATUS_CODES, statusOf } from './describe.js';
import { InvariantError } from './errors.js';
import { LargeWrites } from './large-writes.js';
import type { Limits } from './limits.js';
import { ENVELOPE_BYTES, type Item, type Live, type Outcome, senderOf, type UpdateCall } from './live.js';
import type { Logger, LogLevel } from './logger.js';
import type { Namespaces } from './namespaces.js';
import { PatientService, type Slots } from './patient.js';
import type { Pool } from './pool.js';
import { Retention } from './retention.js';
import type { Effect } from './run.js';
import { newRunId } from './run-id.js';
import { Runs } from './runs.js';
import type {
  ConflictPolicy,
  Description,
  OnGivenUp,
  QueryReject,
  StartAnswer,
  StartRequest,
  Target,
  UpdateRequest,
  UpdateTicket,
  WorkflowService,
} from './service.js';
import { isStackTraceQuery, type StackTraces } from './stack-trace.js';
import type { Store } from './store/store.js';
import { Thread, type ThreadHost } from './thread.js';
import { AcceptedUpdateCompletedWorkflow } from './update-failures.js';
import { WaitingRoom } from './waiting-room.js';
import { type Watch, Watches, type WatchRequest } from './watch.js';

/** How soon something that a failed commit undid is tried again, ms. */
const REDELIVER_MS = 250;
const DEFAULT_TASK_TIMEOUT_MS = 10_000;

/** Whether there must be room for a message. What workflows send has its limits elsewhere, and what was taken on once stays. */
type Limit = 'limited' | 'unlimited';

export interface HostParts {
  store: Store;
  pool: Pool;
  threads: number;
  workflowTypes: readonly string[];
  executors: readonly ActivityExecutor[];
  limits: Limits;
  namespaces: Namespaces;
  clock: Clock;
  logger: Logger;
  stackTraces: StackTraces;
}

export class Host implements WorkflowService, ThreadHost, DeliveryHost, Slots {
  readonly #parts: HostParts;
  readonly #runs: Runs;
  readonly #committer: Committer;
  readonly #compactor: Compactor;
  readonly #threads: Thread[];
  readonly #agenda: Agenda;
  readonly #activities: ActivityRunner;
  readonly #deliveries: Deliveries;
  readonly #watches: Watches;
  readonly #retention: Retention;
  readonly #waiting: WaitingRoom;
  /** Signals with a request id that are on their way, by chain and id, so that a second one can wait for the first. */
  readonly #requests = new Map<string, Promise<unknown>>();
  /** Timers that fired and activities that ended, while the news is on its way to a turn. */
  readonly #underWay = new Set<string>();
  #closing = false;

  constructor(parts: HostParts) {
    this.#parts = parts;
    const { store, limits, clock, pool } = parts;
    this.#runs = new Runs(store);
    const { lastSeq, recovered } = this.#runs.recover(limits.updatesTotalMax !== Number.POSITIVE_INFINITY);
    this.#committer = new Committer(store, lastSeq, limits.journalBytesMax / 2);
    const onError = (error: Error) => this.broken(error);
    const largeWrites = new LargeWrites(limits.batchBytesMax);
    this.#compactor = new Compactor({
      store,
      runs: this.#runs,
      committer: this.#committer,
      largeWrites,
      journalBytesMax: limits.journalBytesMax,
      onError,
    });
    this.#threads = Array.from(
      { length: parts.threads },
      (_, slot) =>
        new Thread({ slot, pool, committer: this.#committer, clock, limits, largeWrites, host: this }),
    );
    const hasRoom = (slot: number, bytes: number) => this.#threads[slot]!.limitAgainst(bytes) === undefined;
    this.#waiting = new WaitingRoom({ threads: parts.threads, hasRoom }, limits);
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
        starting: ({ run: { runNo } }, entry, done) =>
          this.#deliver(runNo, { kind: 'note', runNo, entry }, ENVELOPE_BYTES, done),
        beating: (...args) => this.#activityBeating(...args),
        dueAt: (live, seq, at) => this.#agenda.add({ at, runNo: live.run.runNo, kind: 'activity', seq }),
        log: (live, level, message, attributes) => this.#log(level, message, { ...ids(live), ...attributes }),
      },
    });
    this.#deliveries = new Deliveries(this, store, clock);
    this.#watches = new Watches(
      {
        find: (target) => this.#find(target),
        ask: (target, name, args, reject) =>
          attempt(() => this.#ask(this.#asked(target, reject), name, args)),
        unwatched: (live) => this.#runs.forget(live),
        after: (ms, callback) => clock.after(ms, callback),
      },
      limits.watchesMax,
    );
    this.#retention = new Retention({
      ...parts,
      runs: this.#runs,
      committer: this.#committer,
      compactor: this.#compactor,
      passivate: (live) => this.#threadOf(live.run.runNo).passivate(live),
      awaited: () => this.#deliveries.takers(),
      unread: () => this.#watches.unread(),
      onError,
    });
    this.#resume(recovered);
  }

  /** Takes up what was going on when the store was closed, or the process died. */
  #resume(recovered: readonly Live[]): void {
    for (const live of recovered) {
      this.#compactor.noted(live, live.run.unsaved.bytes);
      for (const [seq, { due }] of live.run.timers)
        this.#agenda.add({ at: due, runNo: live.run.runNo, kind: 'timer', seq });
      if (live.run.needsTurn) this.#takeUp(live);
      this.#addTimes(live);
    }
    this.#agenda.start();
    this.#resumeDeliveries(recovered);
    this.#retention.start(recovered);
    // Activities are found through their own keys, so that only runs that wait for one are loaded.
    const waiting = new Set(recovered);
    for (const runNo of this.#runs.withActivities()) {
      const live = this.#runs.get(runNo);
      if (live !== undefined) waiting.add(live);
    }
    for (const live of waiting)
      for (const seq of live.run.activities.keys()) this.#activities.ready(live, seq);
  }

  /** Runs that were to follow others come first: nobody may find their workflow ids free. */
  #resumeDeliveries(recovered: readonly Live[]): void {
    const asking = new Set(recovered);
    for (const runNo of this.#runs.withOutbox()) {
      const live = this.#runs.get(runNo);
      if (live !== undefined) asking.add(live);
    }
    for (const { run } of recovered)
      for (const delivery of run.unsaved.deliveries)
        if (this.#runs.isAwaited(delivery)) this.#deliveries.delivered(delivery, run.runNo);
    const items = [...asking].flatMap((live) => [...live.run.outbox.items()].map((item) => ({ live, item })));
    const isNextRun = ({ item }: (typeof items)[number]) => item.kind === 'continue';
    for (const { live, item } of [...items.filter(isNextRun), ...items.filter((entry) => !isNextRun(entry))])
      this.#deliveries.do(live, item, true);
  }

  // ----- start -------------------------------------------------------------------------------------------------

  start(request: StartRequest): Promise<StartAnswer> {
    return attempt(() => {
      this.#refuseWhenClosing();
      this.#knownType(request.workflowType);
      return this.#admitStart(request, limitOf(request));
    });
  }

  /** The type of a child is looked for when its first turn runs, as on Temporal. */
  startFor(start: WorkflowStart): Promise<StartAnswer> {
    return start.parent === undefined
      ? this.start(start)
      : attempt(() => this.#admitStart(start, limitOf(start)));
  }

  #admitStart(request: WorkflowStart, limit: Limit): Promise<StartAnswer> {
    this.#refuseWhenClosing();
    const existing = this.#runs.latest(request.namespace, request.workflowId);
    if (existing !== undefined) refuseBetweenRuns(existing);
    const known = existing && request.update && this.#attachable(existing, request.update);
    if (known !== undefined) return this.#attach(existing!, known, request);
    if (existing !== undefined && !existing.run.closed) return this.#conflict(existing, request, limit);
    if (existing !== undefined) this.#checkReuse(existing, request);
    return this.#startNew(request, limit);
  }

  /** For a request whose run has ended or was lost meanwhile. It had room before, so none is asked for again. */
  #readmitStart(request: WorkflowStart): Promise<StartAnswer> {
    return this.#admitStart(request, 'unlimited');
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

  async #conflict(existing: Live, request: WorkflowStart, limit: Limit): Promise<StartAnswer> {
    const { runId } = existing.run.info;
    const policy = conflictPolicyOf(request);
    if (policy === 'USE_EXISTING') return this.#useExisting(existing, request, limit);
    if (policy === 'TERMINATE_EXISTING') {
      // What is terminated has to be followed: there must be room before. Calls that wait have waited for one thread's room.
      if (limit === 'limited' && !this.#waiting.isMaking)
        this.#requireRoom(this.#threadOf(this.#runs.lastNo + 1), startBytes(request));
      const reason = 'TerminateIfRunning WorkflowIdReusePolicy Policy';
      const terminated = await this.#terminate({ ...request, runId }, reason, undefined, limit).then(
        () => true,
        (error) => {
          if (!(error instanceof WorkflowNotFoundError)) throw error;
          return false;
        },
      );
      return this.#readmitStart(request).catch((error) => {
        throw terminated ? onlyTerminated(error, request) : error;
      });
    }
    // Not told before that start is durable (D4): if it is lost, the id is free.
    await existing.started.catch(() => undefined);
    if (existing.gone !== undefined) return this.#readmitStart(request);
    throw alreadyStarted(request);
  }

  /** The message of a start goes to the open run. If that ends before it comes, the request is admitted anew. */
  async #useExisting(existing: Live, request: WorkflowStart, limit: Limit): Promise<StartAnswer> {
    const { namespace, workflowId, signal } = request;
    const { runId, firstRunId } = existing.run.info;
    const target = { namespace, workflowId };
    const update = request.update && this.#admitUpdate(target, request.update, limit);
    try {
      const signalled = signal && this.#message(target, this.#open(target), signal, limit);
      const [, taker] = await Promise.all([existing.started, signalled, update?.reached('accepted')]);
      // It may have gone on to the run that the open one continued as.
      const takenBy = update?.runId ?? taker?.run.info.runId ?? runId;
      return { runId: takenBy, firstRunId, started: false, update };
    } catch (error) {
      if (!isEndedBefore(error, existing)) throw error;
      return this.#readmitStart(request);
    }
  }

  /** The update of the latest run that another with its id attaches to; of a run that has ended, only a completed one. */
  #attachable(live: Live, { id, generated }: UpdateRequest): UpdateCall | undefined {
    const known = this.#knownUpdate(live, id, generated);
    const unfinished = known?.stage !== 'completed' || live.run.updates.has(id);
    return live.run.closed && unfinished ? undefined : known;
  }

  async #attach(live: Live, known: UpdateCall, request: WorkflowStart): Promise<StartAnswer> {
    // Not told before the start is durable (D4): if that is lost, there is nothing to attach to.
    await live.started.catch(() => undefined);
    if (live.gone !== undefined) return this.#readmitStart(request);
    const update = ticket(live, known);
    try {
      await update.reached('accepted');
    } catch (error) {
      if (!isEndedBefore(error, live)) throw error;
      return this.#readmitStart(request);
    }
    const { runId, firstRunId } = live.run.info;
    return { runId, firstRunId, started: false, update };
  }

  #checkReuse(existing: Live, request: StartRequest): void {
    const ended = existing.run.outcome?.status;
    if (request.reusePolicy === 'REJECT_DUPLICATE') throw alreadyStarted(request);
    const wentWell = ended === 'completed' || ended === 'continuedAsNew';
    if (request.reusePolicy === 'ALLOW_DUPLICATE_FAILED_ONLY' && wentWell) throw alreadyStarted(request);
  }

  #startNew(request: WorkflowStart, limit: Limit): Promise<StartAnswer> {
    const runNo = this.#runs.nextNo();
    const { signal, update } = request;
    const bytes = startBytes(request);
    if (limit === 'limited') this.#requireRoom(this.#threadOf(runNo), bytes);
    const now = this.#parts.clock.now();
    const info = startInfo(request, runNo, newRunId(now), now);
    const live = this.#begin(info, signal === undefined ? [] : [signal], bytes, update);
    const call = update && live.updates.get(update.id);
    const { runId, firstRunId } = info;
    return live.started.then(() => ({
      runId,
      firstRunId,
      started: true,
      update: call && ticket(live, call),
    }));
  }

  /** From here on the run is the latest of its workflow id. */
  #begin(info: StartInfo, inputs: Input[], bytes: number, withUpdate?: UpdateRequest): Live {
    const live = this.#runs.admit(info);
    const { namespace, workflowId } = info;
    const update =
      withUpdate && this.#updateItem({ namespace, workflowId }, live, withUpdate, admitted(live));
    if (withUpdate !== undefined) inputs.push(updateInput(withUpdate));
    live.started = new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) => {
        if (outcome.kind === 'error') reject(unavailable(outcome.error));
        else resolve();
        // Its validator may have rejected it; the start stands all the same.
        update?.settle?.(outcome);
      };
      const envelope = { kind: 'start', info, inputs } as const;
      this.#threadOf(info.runNo).enqueue({ live, envelope, bytes, settle, update });
    });
    // Others may wait for it too, or nobody; the caller of start hears of a failure in any case.
    live.started.catch(nothing);
    this.#addTimes(live);
    return live;
  }

  #addTimes(live: Live): void {
    const { runNo, timeoutAt, delayed, firstTurnAt } = live.run;
    if (timeoutAt !== undefined) this.#agenda.add({ at: timeoutAt, runNo, kind: 'runTimeout', seq: 0 });
    if (delayed) this.#agenda.add({ at: firstTurnAt, runNo, kind: 'firstTurn', seq: 0 });
  }

  continueRun(live: Live, next: NextRun): Promise<void> {
    const begun = this.#successor(live) ?? this.#continue(live, next);
    return begun?.started ?? Promise.reject(closed());
  }

  #continue(live: Live, next: NextRun): Live | undefined {
    if (this.#closing) return undefined;
    const identity = { runNo: this.#runs.nextNo(), now: this.#parts.clock.now() };
    const info = nextRunInfo(live.run.info, next, () => this.#argsOf(live), identity);
    const signals = next.reason === 'continueAsNew' ? (next.command.signals ?? []) : [];
    const begun = this.#begin(info, [...signals], ENVELOPE_BYTES + info.args.length);
    if (live.pending > 0 || live.held.length > 0 || live.follows !== undefined) {
      live.followedBy = begun;
      begun.follows = live;
    }
    return begun;
  }

  /** Only the history keeps them. */
  #argsOf(live: Live): Payload {
    for (const entry of this.#entries(live)) if (entry.kind === 'started') return entry.info.args;
    throw new InvariantError(`The history of run ${live.run.info.runId} does not begin with its start`);
  }

  /** The run that a closed one goes on as. */
  #successor({ run }: Live): Live | undefined {
    const runId = followingRunId(run.outcome);
    return runId === undefined ? undefined : this.#runs.byRunId(runId);
  }

  /** All that was under way to this run has come by: what waits behind it for the next one goes after it. */
  quiet(live: Live): void {
    const next = live.followedBy;
    if (next === undefined || live.follows !== undefined) return;
    live.followedBy = undefined;
    this.#letIn(next);
    if (next.pending === 0) this.quiet(next);
  }

  #letIn(live: Live): void {
    live.follows = undefined;
    this.#threadOf(live.run.runNo).letIn(live, (item) => this.#place(item));
  }

  // ----- signals, cancel, terminate ----------------------------------------------------------------------------

  signal(target: Target, input: SignalInput): Promise<{ duplicate: boolean }> {
    return attempt(() => {
      const live = this.#open(target);
      if (input.requestId === undefined) return this.#message(target, live, input).then(notADuplicate);
      return this.#signalOnce(target, live, input, input.requestId);
    });
  }

  /** The first signal with a request id takes effect, in whichever run of the chain; the others hear what became of it. */
  #signalOnce(
    target: Target,
    live: Live,
    input: SignalInput,
    requestId: string,
  ): Promise<{ duplicate: boolean }> {
    const key = `${live.run.info.firstRunNo} ${requestId}`;
    const underWay = this.#requests.get(key);
    if (underWay !== undefined) return underWay.then(() => ({ duplicate: true }));
    for (const { run } of this.#chain(live))
      if (run.hasUnsavedRequest(requestId)) return Promise.resolve({ duplicate: true });
    if (this.#parts.store.get(keys.request(live.run.info.firstRunNo, requestId)) !== undefined)
      return Promise.resolve({ duplicate: true });
    const sent = this.#message(target, live, input);
    this.#requests.set(key, sent);
    return sent.then(() => ({ duplicate: false })).finally(() => this.#requests.delete(key));
  }

  /** The run, and those before it that are in memory: of the others the store knows everything. */
  *#chain(live: Live): Generator<Live> {
    for (let at: Live | undefined = live; at !== undefined; ) {
      yield at;
      const before: string | undefined = at.run.info.continuedFromRunId;
      at = before === undefined ? undefined : this.#runs.peekRunId(before);
    }
  }

  sendFor(target: Target, input: Exclude<Input, { kind: 'update' }>): Promise<void> {
    return attempt(() => this.#message(target, this.#open(target), input, 'unlimited').then(nothing));
  }

  cancel(target: Target, reason: string | undefined): Promise<void> {
    return attempt(() => this.#message(target, this.#open(target), { kind: 'cancel', reason }).then(nothing));
  }

  terminate(target: Target, reason: string | undefined, details: Payload | undefined): Promise<void> {
    return this.#terminate(target, reason, details, 'limited');
  }

  async #terminate(
    target: Target,
    reason: string | undefined,
    details: Payload | undefined,
    limit: Limit,
  ): Promise<void> {
    const entry: JournalEntry = { kind: 'terminated', time: this.#parts.clock.now(), reason, details };
    const send = (live: Live, sent?: 'again'): Promise<Live> =>
      this.#promise(target, live, { kind: 'note', runNo: live.run.runNo, entry }, ENVELOPE_BYTES, send, sent);
    const live = this.#open(target);
    if (limit === 'limited') this.#requireRoom(this.#threadOf(live.run.runNo), ENVELOPE_BYTES);
    await send(live);
  }

  /** Resolves to the run that took it. */
  #message(
    target: Target,
    live: Live,
    input: Exclude<Input, { kind: 'update' }>,
    limit: Limit = 'limited',
  ): Promise<Live> {
    const bytes = ENVELOPE_BYTES + ('args' in input ? input.args.length : 0);
    if (limit === 'limited' && input.kind === 'cancel')
      this.#requireRoom(this.#threadOf(live.run.runNo), bytes);
    else if (limit === 'limited') this.#requireRoomFor(live, bytes);
    const send = (to: Live, sent?: 'again'): Promise<Live> =>
      this.#promise(target, to, { kind: 'input', runNo: to.run.runNo, input }, bytes, send, sent);
    return send(live);
  }

  /** While the run's turn is failing, or it waits for its time: into the journal instead of the mailbox. */
  #received(live: Live, input: Exclude<Input, { kind: 'update' }>): Item['envelope'] {
    if (live.retry !== undefined) live.retry.noted = true;
    return {
      kind: 'note',
      runNo: live.run.runNo,
      entry: { kind: 'received', time: this.#parts.clock.now(), inputs: [input] },
    };
  }

  /** @param again sends it to the run that the addressed one has continued as */
  #promise(
    target: Target,
    live: Live,
    envelope: Item['envelope'],
    bytes: number,
    again: (next: Live, sent: 'again') => Promise<Live>,
    sent: 'again' | undefined,
  ): Promise<Live> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) => {
        if (outcome.kind === 'durable') return resolve(live);
        if (outcome.kind === 'error') return reject(unavailable(outcome.error));
        const next = this.#next(target, live);
        if (next === undefined) reject(this.#tooLate(target, live, COMPLETED, senderOf(envelope)));
        else again(next, 'again').then(resolve, reject);
      };
      this.#enqueue({ live, envelope, bytes, settle }, sent);
    });
  }

  /** Where a message goes that reached a run too late: on to the next one, unless that very run was meant. */
  #next(target: Target, live: Live): Live | undefined {
    return target.runId === undefined ? this.#successor(live) : undefined;
  }

  /** For a message that found its run closed, and no next one to go to. */
  #tooLate({ workflowId, runId }: Target, live: Live, text: string, senderRunNo: number | undefined): Error {
    const error = runId === undefined ? betweenRuns(live) : undefined;
    // A workflow sends it again. Not withdrawn at once, because the queue may be being taken from.
    if (error !== undefined && senderRunNo !== undefined)
      queueMicrotask(() => this.withdraw(live, senderRunNo, error));
    return error ?? new WorkflowNotFoundError(text, workflowId, runId);
  }

  /** Behind what is still under way to the run before (D3), unless it is part of that. */
  #enqueue(item: Item, sent?: 'again'): void {
    const { live } = item;
    if (live.follows === undefined || sent === 'again') this.#send(item);
    else this.#threadOf(live.run.runNo).keepBehind(item);
  }

  #send(item: Item): void {
    const thread = this.#threadOf(item.live.run.runNo);
    if (this.#place(item) === 'held') thread.hold(item);
    else thread.enqueue(item);
  }

  /** What can wait neither in the mailbox nor in the journal is held until there is a turn for it. */
  #place(item: Item): 'queue' | 'held' {
    const { live, envelope } = item;
    if (envelope.kind === 'query') return rests(live) ? 'held' : 'queue';
    if (envelope.kind !== 'input') return 'queue';
    if (envelope.input.kind === 'update') return live.retry === undefined ? 'queue' : 'held';
    if (live.retry !== undefined || rests(live)) item.envelope = this.#received(live, envelope.input);
    return 'queue';
  }

  // ----- queries -----------------------------------------------------------------------------------------------

  query(target: Target, name: string, args: Payload, reject: QueryReject): Promise<Payload> {
    return attempt(() => {
      const live = this.#asked(target, reject);
      this.#requireRoomFor(live, ENVELOPE_BYTES + args.length);
      return this.#ask(live, name, args);
    });
  }

  watch(request: WatchRequest): Watch {
    return this.#watches.open(request);
  }

  #asked(target: Target, reject: QueryReject): Live {
    const live = this.#find(target);
    this.#checkQuery(live, reject);
    return live;
  }

  #ask(live: Live, name: string, args: Payload): Promise<Payload> {
    return isStackTraceQuery(name) ? this.#askWhereItWaits(live, name) : this.#sendQuery(live, name, args);
  }

  async #askWhereItWaits(live: Live, name: string): Promise<Payload> {
    const found = live.run.closed ? undefined : await this.#sendQuery(live, name, new Uint8Array());
    return this.#parts.stackTraces.answer(name, found);
  }

  #sendQuery(live: Live, name: string, args: Payload): Promise<Payload> {
    const bytes = ENVELOPE_BYTES + args.length;
    return new Promise((resolve, refuse) => {
      const settle = (outcome: Outcome) => {
        if (outcome.kind === 'answer') resolve(outcome.result);
        else if (outcome.kind === 'failure')
          refuse(
            nothingToAsk(live) ??
              new QueryNotRegisteredError(outcome.failure.message, GrpcStatus.INVALID_ARGUMENT),
          );
        else
          refuse(
            unavailable(outcome.kind === 'error' ? outcome.error : new Error('The query was not answered')),
          );
      };
      this.#enqueue({ live, envelope: { kind: 'query', runNo: live.run.runNo, name, args }, bytes, settle });
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
    const early = nothingToAsk(live);
    if (early !== undefined) throw early;
  }

  // ----- updates -----------------------------------------------------------------------------------------------

  update(target: Target, request: UpdateRequest): UpdateTicket {
    return this.#admitUpdate(target, request, 'limited');
  }

  updateFor(target: Target, request: UpdateRequest): UpdateTicket {
    return this.#admitUpdate(target, request, 'unlimited');
  }

  #admitUpdate(target: Target, request: UpdateRequest, limit: Limit): UpdateTicket {
    this.#refuseWhenClosing();
    const live = this.#find(target);
    const known = this.#knownUpdate(live, request.id, request.generated);
    if (known !== undefined) return ticket(live, known);
    if (live.run.closed) throw new WorkflowNotFoundError(COMPLETED, target.workflowId, target.runId);
    const bytes = ENVELOPE_BYTES + request.args.length;
    if (limit === 'limited') this.#requireRoomFor(live, bytes);
    this.#requireUpdateRoom(live);
    const call = admitted(live);
    this.#sendUpdate(target, live, request, call);
    return ticket(live, call);
  }

  #sendUpdate(target: Target, live: Live, request: UpdateRequest, call: UpdateCall, sent?: 'again'): void {
    this.#enqueue(this.#updateItem(target, live, request, call), sent);
  }

  #updateItem(target: Target, live: Live, request: UpdateRequest, call: UpdateCall): Item {
    live.updates.set(request.id, call);
    call.live = live;
    return {
      live,
      envelope: { kind: 'input', runNo: live.run.runNo, input: updateInput(request) },
      bytes: ENVELOPE_BYTES + request.args.length,
      settle: (outcome) => this.#updateSettled(target, live, request, call, outcome),
    };
  }

  #requireUpdateRoom(live: Live): void {
    const { updatesInFlightMax, updatesTotalMax } = this.#parts.limits;
    if (live.updates.size >= updatesInFlightMax) {
      const text = `limit on number of concurrent in-flight updates has been reached (${updatesInFlightMax})`;
      throw new RpcError(GrpcStatus.RESOURCE_EXHAUSTED, text);
    }
    if (updatesTotalMax === Number.POSITIVE_INFINITY) return;
    // Those that may yet be accepted have their place too.
    const admitted = [...live.updates.values()].filter(({ stage }) => stage === 'admitted').length;
    if (live.run.updatesAccepted + admitted < updatesTotalMax) return;
    const text = `limit on number of total updates has been reached (${updatesTotalMax})`;
    throw new RpcError(GrpcStatus.FAILED_PRECONDITION, text);
  }

  /** Acceptance and completion are told by what the journal holds (applied), or at once by the turn that did both. */
  #updateSettled(
    target: Target,
    live: Live,
    request: UpdateRequest,
    call: UpdateCall,
    outcome: Outcome,
  ): void {
    if (outcome.kind === 'durable') return;
    live.updates.delete(request.id);
    const next = outcome.kind === 'closed' ? this.#next(target, live) : undefined;
    if (next !== undefined) return this.#sendUpdate(target, next, request, call, 'again');
    if (outcome.kind === 'answer') call.outcome = { result: outcome.result };
    else if (outcome.kind === 'failure') call.outcome = { failure: outcome.failure };
    else if (outcome.kind === 'error') call.error = unavailable(outcome.error);
    else
      call.error = this.#tooLate(target, live, 'update aborted by closing workflow', request.sender?.runNo);
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

  /** By this run, or by one before it: an update takes effect once in a chain (D2). */
  #knownUpdate(live: Live, id: string, generated: boolean): UpdateCall | undefined {
    const waitedFor = live.updates.get(id);
    if (waitedFor !== undefined || generated) return waitedFor;
    for (const { run, updates } of this.#chain(live)) {
      const call = updates.get(id);
      if (call !== undefined) return call;
      const outcome = run.unsavedOutcome(id);
      if (outcome !== undefined) return done(outcome);
    }
    const { run } = live;
    const outcome = this.#storedOutcome(run.info.firstRunNo, id);
    if (outcome !== undefined) return done(outcome);
    if (!run.updates.has(id)) return undefined;
    if (run.closed) return done({ failure: AcceptedUpdateCompletedWorkflow() });
    // Accepted before the store was opened, and nobody has asked for it since.
    const call: UpdateCall = { stage: 'accepted', outcome: undefined, error: undefined, waiters: [], live };
    live.updates.set(id, call);
    // It may be that nothing else wakes this run: its replay brings the handler back to where it waits.
    return call;
  }

  #storedOutcome(chainNo: number, id: string): UpdateOutcome | undefined {
    const value = this.#parts.store.get(keys.update(chainNo, id));
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

  async result(target: Target, onGivenUp?: OnGivenUp): Promise<{ runId: string; outcome: RunOutcome }> {
    const live = this.#find(target);
    // Noted before anything is awaited, because it keeps the run in memory.
    const ended = live.run.closed
      ? undefined
      : new Promise<void>((resolve) => {
          live.closeWaiters.add(resolve);
          onGivenUp?.(() => live.closeWaiters.delete(resolve));
        });
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
    return expandHistory(this.#entries(live), { nextRunId: followingRunId(live.run.outcome) });
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
    if (runId === undefined) refuseBetweenRuns(live);
    return live;
  }

  #open(target: Target): Live {
    const live = this.#find(target);
    if (live.run.closed) throw new WorkflowNotFoundError(COMPLETED, target.workflowId, target.runId);
    return live;
  }

  patient(): WorkflowService {
    return new PatientService(this, this.#waiting, this);
  }

  slotOf({ namespace, workflowId, runId }: Target): number | undefined {
    const live = runId === undefined ? this.#runs.latest(namespace, workflowId) : this.#runs.byRunId(runId);
    return live && this.#threadOf(live.run.runNo).slot;
  }

  slotOfStart(request: StartRequest): number {
    const existing = this.#runs.latest(request.namespace, request.workflowId);
    const goesToIt = existing !== undefined && !existing.run.closed && conflictPolicyOf(request) !== 'FAIL';
    return this.#threadOf(goesToIt ? existing.run.runNo : this.#runs.lastNo + 1).slot;
  }

  roomMade(slot: number): void {
    this.#waiting.roomMade(slot);
  }

  #threadOf(runNo: number): Thread {
    return this.#threads[runNo % this.#threads.length]!;
  }

  /**
   * Room in the run's share of the queue. Calls that wait for room take turns instead of having a share. Cancelling and terminating
   * need none: whoever floods a run must still be able to end it.
   */
  #requireRoomFor(live: Live, bytes: number): void {
    const thread = this.#threadOf(live.run.runNo);
    this.#requireRoom(thread, bytes);
    if (this.#waiting.isMaking || !thread.exceedsShare(live, bytes)) return;
    const { workflowId } = live.run.info;
    const share = `${this.#parts.limits.queuedPercentMax} % of queuedMessagesMax and queuedBytesMax`;
    throw new RpcError(
      GrpcStatus.RESOURCE_EXHAUSTED,
      `Too many messages to workflow '${workflowId}' wait for its thread or for the disk (limits.queuedPercentMax: ${share}). Nothing was done; send it again later, or raise the limit`,
    );
  }

  #requireRoom(thread: Thread, bytes: number): void {
    const promised = this.#waiting.isPromised(thread.slot) ? 'queuedMessagesMax' : undefined;
    const limit = thread.limitAgainst(bytes) ?? promised;
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

  latest(namespace: string, workflowId: string): Live | undefined {
    return this.#runs.latest(namespace, workflowId);
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** As far as memory and store have it; both are read at once, so nothing can be moved in between. */
  historyOf(live: Live): Uint8Array[] {
    return this.#runs.history(live);
  }

  applied(live: Live, bytes: number, effects: Effect[]): void {
    live.before = undefined;
    this.#compactor.noted(live, bytes);
    for (const effect of effects) this.#perform(live, effect);
    if (live.watched !== undefined) this.#watches.applied(live);
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
      case 'outbox':
        return this.#deliveries.do(live, effect.item, false);
      case 'delivered':
        return this.#deliveries.delivered(effect.delivery, runNo);
      case 'settled':
        return this.#deliveries.settled(runNo, effect.deliveryKind, effect.seq);
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
    // No code of its own runs that could say so.
    if (live.run.outcome?.status === 'timedOut') this.#logTimeout(live, live.run.outcome);
    for (const resolve of live.closeWaiters) resolve();
    live.closeWaiters.clear();
    this.#retention.closed(live);
  }

  #logTimeout(live: Live, { retryState, newRunId }: Extract<RunOutcome, { status: 'timedOut' }>): void {
    this.#log('WARN', 'Workflow timed out', {
      ...ids(live),
      retryState,
      ...(newRunId !== undefined && { newRunId }),
    });
  }

  startFailed(live: Live, error: Error): void {
    live.gone = error;
    live.retry?.stop();
    live.retry = undefined;
    this.#release(live);
    this.#letIn(live);
    this.#runs.discard(live);
    if (live.watched !== undefined) this.#watches.lost(live, unavailable(error));
  }

  turnFailed(live: Live, cause: string, failure: Failure): void {
    const { message } = failure;
    const attempt = (live.retry?.attempt ?? 0) + 1;
    // Ever more seldom, so that a workflow that is stuck is neither silent nor drowns the others.
    this.#log(isPowerOfTwo(attempt) ? 'ERROR' : 'DEBUG', `Turn failed, will be tried again: ${message}`, {
      ...ids(live),
      cause,
      attempt,
      nextAttemptInMs: this.#retryDelayMs(attempt),
      ...whyAndWhere(failure),
    });
    if (attempt >= this.#parts.limits.updateTurnAttemptsMax) this.#refuseUpdates(live, attempt, message);
    this.#retryLater(live, message);
  }

  /** What the sender sent later, to this run or to those that it follows or that follow it, must not come before it (D3). */
  withdraw(live: Live, senderRunNo: number, error: Error): void {
    let first = live;
    while (first.follows !== undefined) first = first.follows;
    for (let to: Live | undefined = first; to !== undefined; to = to.followedBy)
      this.#threadOf(to.run.runNo).withdraw(to, senderRunNo, error);
  }

  /** A turn that had mended a failing run is undone with what it had taken, and what it waited for is over. */
  lost(live: Live, error: Error): void {
    if (live.gone === undefined && live.retry === undefined && live.run.needsTurn)
      this.#retryLater(live, error.message);
  }

  /** One of them may be what makes the turn fail; without them the run goes on if it can. */
  #refuseUpdates(live: Live, attempt: number, message: string): void {
    const text =
      `The turn of workflow ${live.run.info.workflowId} that would take the update has failed ${attempt} times ` +
      `(limits.updateTurnAttemptsMax), so it was not accepted and had no effect. Send it again when the workflow is mended: ${message}`;
    const error = new RpcError(GrpcStatus.FAILED_PRECONDITION, text);
    this.#threadOf(live.run.runNo).refuseHeldUpdates(live, error);
  }

  turnSucceeded(live: Live): void {
    const { retry } = live;
    if (retry === undefined) return;
    retry.stop();
    live.retry = undefined;
    if (retry.noted) this.#enqueueRetry(live);
    this.#release(live);
  }

  /** What was held back for the run goes on its way. */
  #release(live: Live): void {
    this.#threadOf(live.run.runNo).release(live);
  }

  #retryLater(live: Live, message: string): void {
    live.roused = true;
    const attempt = (live.retry?.attempt ?? 0) + 1;
    const delay = this.#retryDelayMs(attempt);
    live.retry?.stop();
    const stop = this.#parts.clock.after(delay, () => this.#retry(live));
    const nextAt = this.#parts.clock.now() + delay;
    live.retry = { attempt, nextAt, message, stop, noted: false };
  }

  #retryDelayMs(attempt: number): number {
    const { turnRetryMsMin, turnRetryMsMax } = this.#parts.limits;
    return Math.min(turnRetryMsMax, turnRetryMsMin * 2 ** (attempt - 1));
  }

  /** Turns that the end of the process came before: at once, unless they had failed. */
  #takeUp(live: Live): void {
    const { suspension } = live.run;
    if (suspension !== undefined) return this.#retryLater(live, suspension.failure.message);
    const key = `turn ${live.run.runNo}`;
    if (this.#underWay.has(key)) return;
    this.#underWay.add(key);
    live.roused = true;
    this.#enqueueRetry(live, () => this.#underWay.delete(key));
  }

  #retry(live: Live): void {
    if (this.#closing || live.retry === undefined || live.run.closed) return;
    this.#enqueueRetry(live);
    this.#release(live);
  }

  /** A turn with what stands in the mailbox. */
  #enqueueRetry(live: Live, done: () => void = nothing): void {
    const { runNo } = live.run;
    const settle = (outcome: Outcome) => {
      done();
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
    if (kind === 'firstTurn') return this.#firstTurn(live);
    // Also when something is under way to the run: a query takes no turn, and nobody else would come for this one.
    if (kind === 'turnRetry' && live.run.needsTurn && live.retry === undefined) this.#takeUp(live);
    if (kind === 'runTimeout') {
      const entry: JournalEntry = { kind: 'timedOut', time: this.#parts.clock.now(), retryState: 'TIMEOUT' };
      this.#deliver(runNo, { kind: 'note', runNo, entry }, ENVELOPE_BYTES, nothing);
    }
    return kind !== 'turnRetry' || live.run.needsTurn;
  }

  /** Unless a message came first. */
  #firstTurn(live: Live): boolean {
    if (!live.run.delayed) return false;
    if (live.retry !== undefined) return true;
    live.roused = true;
    this.#enqueueRetry(live);
    this.#release(live);
    return true;
  }

  #isSettled({ runNo, kind, seq, at }: Due): boolean {
    const run = this.#runs.peek(runNo)?.run;
    if (run === undefined) return false;
    if (kind === 'timer') return !run.timers.has(seq);
    if (kind === 'activity') return run.activities.get(seq)?.nextAt !== at;
    if (kind === 'firstTurn') return !run.delayed;
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
    this.#deliver(runNo, { kind: 'note', runNo, entry }, ENVELOPE_BYTES, () => {
      this.#underWay.delete(key);
      done();
    });
  }

  /** Sent once only: when it fails, there may be newer details to send. */
  #activityBeating(
    live: Live,
    entry: Extract<JournalEntry, { kind: 'activityStarted' }>,
    done: (failed: boolean) => void,
  ): void {
    // A function goes on for a while when its workflow does not wait for it any more.
    if (!live.run.activities.has(entry.seq)) return done(false);
    const { runNo } = live.run;
    const bytes = ENVELOPE_BYTES + (entry.heartbeat?.length ?? 0);
    const settle = ({ kind }: Outcome) => done(kind === 'error');
    this.#send({ live, envelope: { kind: 'note', runNo, entry }, bytes, settle });
  }

  #deliverInput(
    runNo: number,
    input: Exclude<Input, { kind: 'update' }>,
    bytes: number,
    done: () => void,
  ): void {
    this.#deliver(runNo, { kind: 'input', runNo, input }, bytes, done);
  }

  answer(runNo: number, input: Exclude<Input, { kind: 'update' }>, done: () => void): void {
    const bytes = 'result' in input && input.result !== undefined ? input.result.length : 0;
    this.#deliverInput(runNo, input, ENVELOPE_BYTES + bytes, done);
  }

  changed(live: Live): void {
    this.#compactor.noted(live, 0);
  }

  /** Sends until it is durable or has become pointless. The queue's limit is for callers, not for these. */
  #deliver(runNo: number, envelope: Item['envelope'], bytes: number, done: () => void): void {
    // Looked up each time: between two attempts the run may have left memory, and its start may have been lost.
    const live = this.#runs.get(runNo);
    if (live === undefined || live.run.closed) return done();
    const settle = (outcome: Outcome) => {
      if (outcome.kind !== 'error') done();
      else if (!this.#closing)
        this.#parts.clock.after(REDELIVER_MS, () => this.#deliver(runNo, envelope, bytes, done));
    };
    this.#send({ live, envelope, bytes, settle });
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
      callsWaiting: this.#waiting.size,
      watches: this.#watches.size,
      runsRemoved: this.#retention.removed,
    };
  }

  /** Stops taking calls, lets turns under way finish and commits them. */
  async drain(): Promise<void> {
    this.#closing = true;
    this.#waiting.close(closed);
    this.#agenda.close();
    await this.#retention.close();
    await this.#activities.close();
    // What comes of the messages of one thread may be sent to another.
    do for (const thread of this.#threads) await thread.drained();
    while (this.#threads.some((thread) => thread.busy));
    this.#watches.close(closed);
    for (const live of this.#runs.all()) {
      live.retry?.stop();
      this.#threadOf(live.run.runNo).refuseWaiting(live, closed());
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

const COMPLETED = 'workflow execution already completed';

/** The run waits for its time, and what comes waits with it. */
function rests({ run, roused }: Live): boolean {
  return run.resting && !roused;
}

/** The next run of a continued one could not be begun yet, because the disk failed: its id is neither free nor answered for. */
function refuseBetweenRuns(live: Live): void {
  const error = betweenRuns(live);
  if (error !== undefined) throw error;
}

function betweenRuns({ run }: Live): RpcError | undefined {
  if (!run.outbox.has('continue', 0)) return undefined;
  const { workflowId } = run.info;
  return new RpcError(
    GrpcStatus.UNAVAILABLE,
    `Workflow ${workflowId} continues as new and its next run is not on the disk yet. Nothing was done; send it again`,
  );
}

function conflictPolicyOf({ reusePolicy, conflictPolicy }: StartRequest): ConflictPolicy {
  return reusePolicy === 'TERMINATE_IF_RUNNING' ? 'TERMINATE_EXISTING' : conflictPolicy;
}

/** The open run has been ended for a start, and then that came to nothing. */
function onlyTerminated(error: unknown, { workflowId }: StartRequest): unknown {
  if (!(error instanceof RpcError)) return error;
  const why = error.cause instanceof Error ? error.cause.message : error.message;
  const text = `The open run of workflow ${workflowId} was terminated, but the next one did not start. Send the start again: ${why}`;
  return new RpcError(error.code, text, { cause: error });
}

function limitOf({ parent, signal }: WorkflowStart): Limit {
  return parent === undefined && signal?.sender === undefined ? 'limited' : 'unlimited';
}

function startBytes({ args, signal, update }: WorkflowStart): number {
  return ENVELOPE_BYTES + args.length + (signal?.args.length ?? 0) + (update?.args.length ?? 0);
}

/** Such a run has no state yet to ask for, or ended before it had. */
function nothingToAsk({ run, retry }: Live): Error | undefined {
  if (run.turned) return undefined;
  const status = statusOf(run);
  if (status === 'TERMINATED') return new QueryRejectedError(STATUS_CODES[status]);
  const failure = retry?.message ?? run.suspension?.failure.message;
  if (failure === undefined) return undefined;
  const text = `The first turn of workflow ${run.info.workflowId} fails, so there is nothing to ask yet: ${failure}`;
  return new RpcError(GrpcStatus.FAILED_PRECONDITION, text);
}

/** The message was too late for the run. */
function isEndedBefore(error: unknown, { run }: Live): boolean {
  return error instanceof WorkflowNotFoundError && run.closed;
}

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

function isPowerOfTwo(n: number): boolean {
  return (n & (n - 1)) === 0;
}

const endKey = (runNo: number, seq: number): string => `activity end ${runNo} ${seq}`;
const retryKey = (runNo: number, seq: number): string => `activity retry ${runNo} ${seq}`;

function updateInput(request: UpdateRequest): UpdateInput {
  return { kind: 'update', ...request, generated: request.generated || undefined };
}

function admitted(live: Live): UpdateCall {
  return { stage: 'admitted', outcome: undefined, error: undefined, waiters: [], live };
}

function done(outcome: UpdateOutcome): UpdateCall {
  return { stage: 'completed', outcome, error: undefined, waiters: [], live: undefined };
}

const STAGES: readonly UpdateCall['stage'][] = ['admitted', 'accepted', 'completed'];
const reached = (call: UpdateCall, stage: UpdateCall['stage']) =>
  STAGES.indexOf(call.stage) >= STAGES.indexOf(stage);

const NOT_A_DUPLICATE = Object.freeze({ duplicate: false });
const notADuplicate = () => NOT_A_DUPLICATE;
const nothing = (): void => undefined;

function wake(call: UpdateCall): void {
  if (call.waiters.length === 0) return;
  const ready = call.waiters.filter(({ stage }) => reached(call, stage));
  call.waiters = call.waiters.filter(({ stage }) => !reached(call, stage));
  for (const waiter of ready) waiter.wake();
}

function settled(call: UpdateCall): Promise<UpdateOutcome | undefined> {
  return call.error === undefined ? Promise.resolve(call.outcome) : Promise.reject(call.error);
}

const ticket = (live: Live, call: UpdateCall): UpdateTicket => new Ticket(live, call);

/** A class, because an object with getters of its own costs more than all else that is done for an update here. */
class Ticket implements UpdateTicket {
  readonly #live: Live;
  readonly #call: UpdateCall;

  constructor(live: Live, call: UpdateCall) {
    this.#live = live;
    this.#call = call;
  }

  get runId(): string {
    return (this.#call.live ?? this.#live).run.info.runId;
  }

  get waitsFor(): string | undefined {
    const { retry } = this.#call.live ?? this.#live;
    if (reached(this.#call, 'accepted') || retry === undefined) return undefined;
    return `the turn that would take it fails and is tried again: ${retry.message}`;
  }

  reached(stage: 'accepted' | 'completed', onGivenUp?: OnGivenUp): Promise<UpdateOutcome | undefined> {
    const call = this.#call;
    if (reached(call, stage)) return settled(call);
    return new Promise((resolve, reject) => {
      const wake = () => (call.error === undefined ? resolve(call.outcome) : reject(call.error));
      const waiter = { stage, wake };
      call.waiters.push(waiter);
      onGivenUp?.(() => {
        call.waiters = call.waiters.filter((other) => other !== waiter);
      });
    });
  }
}

function startInfo(request: WorkflowStart, runNo: number, runId: string, now: number): StartInfo {
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
    // An update needs a turn, so it ends the delay as soon as it comes.
    startDelayMs: request.update === undefined ? request.startDelayMs || undefined : undefined,
    ...(request.parent && family(request.parent)),
  };
}

function family({ live, seq }: NonNullable<WorkflowStart['parent']>): Pick<StartInfo, 'parent' | 'root'> {
  const { namespace, workflowId, runId, runNo, root } = live.run.info;
  return { parent: { namespace, workflowId, runId, runNo, seq }, root: root ?? { workflowId, runId } };
}
