/**
 * Deliveries: does what runs ask of other runs, each thing once (D2), also across a crash between the two.
 *
 *   item in the sender's outbox (durable) -> message to the target, which carries the sender and its number
 *     -> durable there: `delivered` -> answer to the sender -> durable there: `settled`, the item is gone
 *
 *   crash before `delivered`: the item is done again.   crash after it: the target's record of sender and number says so.
 *
 * Owns: doing each kind of item, again after a failure or a restart; which items were taken by whom and are not settled.
 * Does not own: what is in an outbox (run.ts), the requests themselves and their order (host.ts).
 *
 * Everything up to the target's queue is synchronous, in the order in which the commands were given: a signal sent after
 * a child was started reaches it (D3). What has to be done again goes before what the run asks for meanwhile; what it has sent
 * to the same run since, and is still on its way, is done again with it (host.ts, withdraw).
 *
 * D8: nothing here waits in a queue of its own; an outbox is as large as its workflow made it.
 */
import { WorkflowExecutionAlreadyStartedError } from '../actors/failures.js';
import type { Failure } from '../codec/failure.js';
import type {
  ChildOutcome,
  ExternalCommand,
  ExternalTarget,
  Input,
  Sender,
  StartChildCommand,
} from '../codec/journal-entry.js';
import { type DeliveryKind, endOf, keys, startOf } from '../codec/keys.js';
import { encodePayload } from '../codec/payload.js';
import { followingRunId, type NextRun, type OutboxItem, type RunOutcome } from '../codec/run-record.js';
import { GrpcStatus, RpcError, WorkflowNotFoundError } from './client/errors.js';
import type { Clock } from './clock.js';
import type { Live } from './live.js';
import { unpackNumber } from './runs.js';
import type {
  ConflictPolicy,
  ReusePolicy,
  StartAnswer,
  StartRequest,
  Target,
  UpdateRequest,
  UpdateTicket,
} from './service.js';
import type { Store } from './store/store.js';
import type { Delivery } from './unsaved.js';

/** How soon something that failed is tried again, ms. */
const AGAIN_MS = 250;

/** Numbers of messages begin at 1. A cancel of a child has none: that it comes twice does no harm. */
const UNNUMBERED = 0;

/** A start that a workflow asks for. */
export interface WorkflowStart extends StartRequest {
  parent?: { live: Live; seq: number } | undefined;
}

/** What is asked of the host: requests as clients make them, but not refused when queues are full. */
export interface DeliveryHost {
  readonly closing: boolean;
  live(runNo: number): Live | undefined;
  latest(namespace: string, workflowId: string): Live | undefined;
  startFor(start: WorkflowStart): Promise<StartAnswer>;
  sendFor(target: Target, input: Exclude<Input, { kind: 'update' }>): Promise<void>;
  updateFor(target: Target, request: UpdateRequest): UpdateTicket;
  terminate(target: Target, reason: string | undefined, details: undefined): Promise<void>;
  /** Starts the run that follows this one, if it is not there yet. Resolves when it is durable. */
  continueRun(live: Live, next: NextRun): Promise<void>;
  /** Gives the run an input until it is durable or the run has closed. */
  answer(runNo: number, input: Exclude<Input, { kind: 'update' }>, done: () => void): void;
  /** Something about the run changed that no entry tells of. */
  changed(live: Live): void;
  broken(error: Error): void;
}

export class Deliveries {
  readonly #host: DeliveryHost;
  readonly #store: Store;
  readonly #clock: Clock;
  /** Number of the run that took it, by sender, kind and number; until the sender knows. */
  readonly #taken = new Map<string, number>();
  /** Children whose parent is being told that they started, each with what it is to be told when it has heard that. */
  readonly #startTold = new Map<string, (() => void)[]>();
  /** What came to nothing and is tried again, by the run that asks, and what that asked for since (D3). */
  readonly #waiting = new Map<Live, Set<OutboxItem>>();

  constructor(host: DeliveryHost, store: Store, clock: Clock) {
    this.#host = host;
    this.#store = store;
    this.#clock = clock;
  }

  /** The target has it, durably. */
  delivered({ senderRunNo, kind, seq }: Delivery, runNo: number): void {
    if (kind === 'message' && seq === UNNUMBERED) return;
    this.#taken.set(`${senderRunNo} ${kind} ${seq}`, runNo);
  }

  /** The sender knows, durably. */
  settled(senderRunNo: number, kind: DeliveryKind, seq: number): void {
    this.#taken.delete(`${senderRunNo} ${kind} ${seq}`);
    if (kind === 'child') this.#startTold.delete(`${senderRunNo} ${seq}`);
  }

  /** Numbers of runs that took something, as long as the sender does not know. */
  *takers(): Generator<number> {
    yield* this.#taken.values();
    for (const [, value] of this.#store.range(startOf('x'), endOf('x'))) yield unpackNumber(value);
  }

  /** @param again it may have been done before, by this process or one before it */
  do(live: Live, item: OutboxItem, again: boolean): void {
    const waiting = this.#waiting.get(live);
    if (waiting !== undefined && keepsOrder(item)) waiting.add(item);
    else this.#do(live, item, again).catch((error) => this.#failed(live, item, error));
  }

  #do(live: Live, item: OutboxItem, again: boolean): Promise<void> {
    switch (item.kind) {
      case 'startChild':
        return this.#startChild(live, item.command, again);
      case 'external':
        return this.#external(live, item.command, again);
      case 'cancelChild':
        return this.#endChild(live, item, item.reason);
      case 'closeChild':
        return this.#endChild(live, item, 'by parent close policy', item.policy);
      case 'tellParent':
        return this.#tellParent(live);
      case 'continue':
        return this.#continue(live, item);
    }
  }

  /** What the disk or a full queue refused is tried again; what the runtime left undone at its end, when it opens again. */
  #failed(live: Live, item: OutboxItem, error: unknown): void {
    if (this.#host.closing || !live.run.outbox.has(item.kind, item.seq)) return;
    if (!(error instanceof RpcError && error.retryable)) this.#host.broken(error as Error);
    const waiting = this.#waiting.get(live);
    if (waiting !== undefined) return void waiting.add(item);
    this.#waiting.set(live, new Set([item]));
    this.#clock.after(AGAIN_MS, () => this.#doAgain(live));
  }

  /** In the order in which they were asked for. */
  #doAgain(live: Live): void {
    const waiting = this.#waiting.get(live)!;
    this.#waiting.delete(live);
    if (this.#host.closing) return;
    const items = [...live.run.outbox.items()].filter((item) => waiting.has(item));
    for (const item of items) this.do(live, item, true);
  }

  #takenBy(senderRunNo: number, kind: DeliveryKind, seq: number): Live | undefined {
    const inMemory = this.#taken.get(`${senderRunNo} ${kind} ${seq}`);
    if (inMemory !== undefined) return this.#host.live(inMemory);
    const stored = this.#store.get(keys.delivery(senderRunNo, kind, seq));
    return stored === undefined ? undefined : this.#host.live(unpackNumber(stored));
  }

  /** The item is done, and there is no entry to say so. */
  #done(live: Live, kind: OutboxItem['kind'], seq: number): void {
    if (!live.run.outbox.has(kind, seq)) return;
    live.run.removeFromOutbox(kind, seq);
    this.#host.changed(live);
  }

  // ----- children ----------------------------------------------------------------------------------------------

  async #startChild(live: Live, command: StartChildCommand, again: boolean): Promise<void> {
    const { seq } = command;
    const { run } = live;
    const child = again ? this.#takenBy(run.runNo, 'child', seq) : undefined;
    if (child !== undefined) return this.#childStarted(live, command, child.run.info.runId);
    // A parent that has ended wants no children but those that are to outlive it.
    if (run.closed && command.parentClosePolicy !== 'ABANDON')
      return this.#forget(live, 'startChild', 'child', seq);
    try {
      const { runId } = await this.#host.startFor(childRequest(live, command));
      this.#childStarted(live, command, runId);
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      const input = { kind: 'childStartFailed', seq, cause: 'WORKFLOW_ALREADY_EXISTS' } as const;
      this.#host.answer(run.runNo, input, () => this.#forget(live, 'startChild', 'child', seq));
    }
  }

  #childStarted(live: Live, { seq, workflowId, parentClosePolicy }: StartChildCommand, runId: string): void {
    if (!live.run.closed) return this.#tellStart(live, seq, runId);
    this.#forget(live, 'startChild', 'child', seq);
    if (parentClosePolicy === 'ABANDON') return;
    const item = { kind: 'closeChild', seq, workflowId, policy: parentClosePolicy } as const;
    live.run.outbox.add(item);
    this.#host.changed(live);
    this.do(live, item, false);
  }

  /** Also by the child, when it ends before its parent has heard that it began. `then` comes when that is durable. */
  #tellStart(parent: Live, seq: number, runId: string, then?: () => void): void {
    const { runNo } = parent.run;
    const key = `${runNo} ${seq}`;
    const told = this.#startTold.get(key);
    if (told !== undefined) {
      if (then !== undefined) told.push(then);
      return;
    }
    const next = then === undefined ? [] : [then];
    this.#startTold.set(key, next);
    this.#host.answer(runNo, { kind: 'childStarted', seq, runId }, () => {
      this.#forget(parent, 'startChild', 'child', seq);
      for (const go of next) go();
    });
  }

  /** For an answer that the run did not live to hear. */
  #forget(live: Live, kind: OutboxItem['kind'], deliveryKind: DeliveryKind, seq: number): void {
    this.settled(live.run.runNo, deliveryKind, seq);
    if (!live.run.outbox.has(kind, seq)) return;
    live.run.forgetDelivery(deliveryKind, seq);
    this.#done(live, kind, seq);
  }

  async #endChild(
    live: Live,
    { kind, seq, workflowId }: Extract<OutboxItem, { kind: 'cancelChild' | 'closeChild' }>,
    reason: string | undefined,
    policy: 'TERMINATE' | 'REQUEST_CANCEL' = 'REQUEST_CANCEL',
  ): Promise<void> {
    const target = this.#child(live, workflowId, seq);
    // Its start is to be tried again, and so is this.
    if (target === undefined && live.run.outbox.has('startChild', seq))
      throw new RpcError(GrpcStatus.UNAVAILABLE, `The child ${workflowId} has not started yet`);
    try {
      if (target === undefined) {
        // It has ended, and another execution has its id.
      } else if (policy === 'TERMINATE') await this.#host.terminate(target, reason, undefined);
      else await this.#host.sendFor(target, { kind: 'cancel', reason, sender: senderOf(live, UNNUMBERED) });
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
    this.#done(live, kind, seq);
  }

  /** The open run of the id, if it is this child and not another execution. */
  #child(live: Live, workflowId: string, seq?: number): Target | undefined {
    const { namespace } = live.run.info;
    const parent = this.#host.latest(namespace, workflowId)?.run.info.parent;
    const isOurs = parent?.runNo === live.run.runNo && (seq === undefined || parent.seq === seq);
    return isOurs ? { namespace, workflowId } : undefined;
  }

  async #tellParent(live: Live): Promise<void> {
    const { parent, firstRunId } = live.run.info;
    const { outcome } = live.run;
    const told = () => this.#done(live, 'tellParent', 0);
    const parentLive = parent && this.#host.live(parent.runNo);
    const waits =
      parentLive !== undefined && !parentLive.run.closed && parentLive.run.children.has(parent!.seq);
    if (!waits || outcome === undefined || outcome.status === 'continuedAsNew' || followingRunId(outcome))
      return told();
    const { seq, runNo } = parent!;
    const tell = () =>
      this.#host.answer(runNo, { kind: 'childClosed', seq, outcome: childOutcome(outcome) }, told);
    // A child that is done before its parent heard of its start: both come, in this order, also when the first has to come again.
    if (parentLive.run.outbox.has('startChild', seq)) this.#tellStart(parentLive, seq, firstRunId, tell);
    else tell();
  }

  async #continue(live: Live, { next }: Extract<OutboxItem, { kind: 'continue' }>): Promise<void> {
    await this.#host.continueRun(live, next);
    this.#done(live, 'continue', 0);
  }

  // ----- messages ----------------------------------------------------------------------------------------------

  async #external(live: Live, command: ExternalCommand, again: boolean): Promise<void> {
    const { seq } = command;
    const { runNo } = live.run;
    const answer = (outcome: { failure?: Failure; result?: Uint8Array }) =>
      this.#host.answer(runNo, { kind: 'externalResolved', seq, ...outcome }, () =>
        this.#forget(live, 'external', 'message', seq),
      );
    try {
      answer(await this.#send(live, command, again ? this.#takenBy(runNo, 'message', seq) : undefined));
    } catch (error) {
      const failure = refusalOf(command, error);
      if (failure === undefined) throw error;
      answer({ failure });
    }
  }

  #send(
    live: Live,
    command: ExternalCommand,
    taken: Live | undefined,
  ): Promise<{ failure?: Failure; result?: Uint8Array }> {
    const sender = senderOf(live, command.seq);
    switch (command.kind) {
      case 'signalExternal': {
        const { name, args, headers } = command;
        return this.#once(taken, () =>
          this.#host.sendFor(this.#target(live, command.target), {
            kind: 'signal',
            name,
            args,
            headers,
            sender,
          }),
        );
      }
      case 'cancelExternal':
        return this.#once(taken, () =>
          this.#host.sendFor(this.#target(live, command.target), {
            kind: 'cancel',
            reason: command.reason,
            sender,
          }),
        );
      case 'updateExternal':
        return this.#update(live, command, taken);
      case 'signalWithStart':
        return this.#signalWithStart(live, command, taken);
    }
  }

  async #once(taken: Live | undefined, send: () => Promise<void>): Promise<object> {
    if (taken === undefined) await send();
    return {};
  }

  async #update(
    live: Live,
    command: Extract<ExternalCommand, { kind: 'updateExternal' }>,
    taken: Live | undefined,
  ): Promise<{ failure?: Failure; result?: Uint8Array }> {
    const { updateId, name, args, stage, headers, seq } = command;
    const target = taken === undefined ? this.#target(live, command.target) : targetOf(taken);
    const ticket = this.#host.updateFor(target, {
      id: updateId,
      generated: false,
      name,
      args,
      headers,
      sender: senderOf(live, seq),
    });
    return (await ticket.reached(stage)) ?? {};
  }

  async #signalWithStart(
    live: Live,
    command: Extract<ExternalCommand, { kind: 'signalWithStart' }>,
    taken: Live | undefined,
  ): Promise<{ result: Uint8Array }> {
    if (taken !== undefined) return { result: encodePayload(taken.run.info.runId) };
    const { signalName, signalArgs, seq, workflowIdConflictPolicy, ...options } = command;
    const { runId } = await this.#host.startFor({
      ...options,
      namespace: live.run.info.namespace,
      reusePolicy: (command.workflowIdReusePolicy ?? 'ALLOW_DUPLICATE') as ReusePolicy,
      conflictPolicy: (workflowIdConflictPolicy ?? 'USE_EXISTING') as ConflictPolicy,
      signal: { kind: 'signal', name: signalName, args: signalArgs, sender: senderOf(live, seq) },
    });
    return { result: encodePayload(runId) };
  }

  /** @throws WorkflowNotFoundError when only a child is meant and there is none of that id */
  #target(live: Live, { workflowId, runId, childOnly }: ExternalTarget): Target {
    if (!childOnly) return { namespace: live.run.info.namespace, workflowId, runId };
    const target = this.#child(live, workflowId);
    if (target === undefined) throw new WorkflowNotFoundError('no such child', workflowId, runId);
    return target;
  }
}

/** The other kinds are about the run itself, and must not wait for what it sent. */
function keepsOrder({ kind }: OutboxItem): boolean {
  return kind !== 'continue' && kind !== 'tellParent';
}

function senderOf({ run }: Live, seq: number): Sender {
  const { workflowId, runId, runNo } = run.info;
  return { workflowId, runId, runNo, seq };
}

function targetOf({ run }: Live): Target {
  const { namespace, workflowId, runId } = run.info;
  return { namespace, workflowId, runId };
}

function childRequest(live: Live, command: StartChildCommand): WorkflowStart {
  const { seq, parentClosePolicy: _, workflowIdReusePolicy, ...options } = command;
  return {
    ...options,
    namespace: live.run.info.namespace,
    reusePolicy: (workflowIdReusePolicy ?? 'ALLOW_DUPLICATE') as ReusePolicy,
    conflictPolicy: 'FAIL',
    parent: { live, seq },
  };
}

/** The failure that a workflow hears of, or undefined for what is no answer: the disk failed, a queue is full. */
function refusalOf({ kind }: ExternalCommand, error: unknown): Failure | undefined {
  if (error instanceof WorkflowExecutionAlreadyStartedError)
    return applicationFailure(error.message, 'WorkflowExecutionAlreadyStarted');
  if (error instanceof WorkflowNotFoundError) return notFound(kind, error);
  if (error instanceof RpcError && !error.retryable) return applicationFailure(error.message, 'ServiceError');
  return undefined;
}

/** The texts for signals and cancels are those of Temporal's SDK, which users' code compares (semantics.md 2.11). */
function notFound(kind: ExternalCommand['kind'], error: WorkflowNotFoundError): Failure {
  const type = 'ExternalWorkflowExecutionNotFound';
  if (kind === 'cancelExternal')
    return applicationFailure('Unable to cancel external workflow because not found', type);
  if (kind === 'updateExternal')
    return applicationFailure(`Unable to update external workflow because ${error.message}`, type);
  return applicationFailure('Unable to signal external workflow because it was not found', type);
}

function applicationFailure(message: string, type: string): Failure {
  return { message, source: 'Server', info: { kind: 'application', type } };
}

function childOutcome(outcome: Exclude<RunOutcome, { status: 'continuedAsNew' }>): ChildOutcome {
  switch (outcome.status) {
    case 'completed':
      return outcome;
    case 'failed':
      return { status: 'failed', failure: outcome.failure, retryState: outcome.retryState };
    case 'cancelled':
      return { status: 'cancelled', failure: { message: 'Workflow canceled', info: { kind: 'cancelled' } } };
    case 'terminated': {
      const message = outcome.reason || 'Workflow execution terminated';
      return { status: 'terminated', failure: { message, info: { kind: 'terminated' } } };
    }
    case 'timedOut': {
      const info = { kind: 'timeout', timeoutType: 'START_TO_CLOSE' } as const;
      return { status: 'timedOut', failure: { message: 'Workflow execution timed out', info } };
    }
  }
}
