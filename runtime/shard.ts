/**
 * The loop of a pool thread: batches in, turns, batches out.
 *
 *   batch -> for each envelope: into its run's mailbox (a query first lets that mailbox run)
 *         -> for each mailbox: one turn -> its journal entry
 *         -> result: frames, replies, failed turns
 *
 * Owns: the activations of this thread, their mailboxes during a batch, the making of journal entries, replay.
 * Does not own: how the thread gets batches (worker.ts), what is durable when (committer.ts), which runs live here
 * (the host decides and sends their history first).
 *
 * D3: a run's envelopes are handled in batch order, one turn at a time. D5: replay compares each command with the
 * recorded one. D7: whatever a run throws ends its own turn, never the batch.
 *
 * The file is long because a turn, its failure and its replay change the same few things about a run.
 */
import v8 from 'node:v8';
import type { Activation } from '../actors/activation.js';
import type { Batch, BatchResult, Envelope, Reply, TurnFailure, WorkflowLog } from '../codec/envelope.js';
import type { Failure } from '../codec/failure.js';
import { eventCount } from '../codec/history-event.js';
import {
  type Command,
  FrameWriter,
  frames,
  type Input,
  isNotable,
  type JournalEntry,
  packEntry,
  type StartInfo,
  type TurnFailureCause,
  unpackEntry,
} from '../codec/journal-entry.js';
import { encodePayload } from '../codec/payload.js';
import { elapsedMs } from './clock.js';
import type { Sandbox } from './realm.js';
import { compareCommands } from './replay.js';
import { captureWaits } from './stack-capture.js';
import { Stopwatch } from './stopwatch.js';
import type { TurnMarker } from './turn-marker.js';
import { updateAnswers } from './update-answers.js';

const BATCHES_PER_HEAP_LOOK = 64;

interface Actor {
  runNo: number;
  activation: Activation;
  /** History events and bytes so far. */
  events: number;
  bytes: number;
  /** Durable inputs that no turn has taken yet: what a failed turn left behind. */
  waiting: Input[];
  /** The batch in which the last turn ran; what shows its state must wait until that batch is durable (D4). */
  turnBatch: number;
  /** At least one turn has succeeded. */
  turned: boolean;
  /** The history says that the turn failed: that it succeeds now must be in there too, even if nothing came of it. */
  failing: boolean;
  closed: boolean;
}

/** Why a run has no activation: its turn failed, or its history does not replay. */
interface Loss {
  cause: TurnFailureCause;
  failure: Failure;
  /** The history says already that the turn fails. */
  noted: boolean;
  /** The batch in which the run was ended from outside since. */
  endedIn?: number;
}

/** A run's messages of the batch at hand; none when a turn is due without any: the first, or one tried again. */
interface Mailbox {
  runNo: number;
  inputs: Input[];
  /** Envelope index of each input. */
  at: number[];
}

type QueryEnvelope = Extract<Envelope, { kind: 'query' }>;

export class Shard {
  readonly #sandbox: Sandbox;
  readonly #marker: TurnMarker;
  readonly #actors = new Map<number, Actor>();
  /** Runs whose activation was lost, with the reason: they do nothing until the host lets them recover. */
  readonly #lost = new Map<number, Loss>();
  /**
   * A new Map for each batch: V8 links the table of one that is cleared to the next table, so that those of old batches, which
   * nobody has any more, would keep the messages of new ones until a full collection.
   */
  #mailboxes = new Map<number, Mailbox>();
  readonly #writer = new FrameWriter();
  #batch!: Batch;
  #replies: Reply[] = [];
  #failures: TurnFailure[] = [];
  #dropped: number[] = [];
  #logs: WorkflowLog[] = [];
  #heap = 0;
  #replayMode: 'replay' | 'query' = 'replay';
  #stopwatch = new Stopwatch();
  /** A query was answered since promise jobs were run last: it may have settled a promise that was there before. */
  #undrained = false;

  constructor(sandbox: Sandbox, marker: TurnMarker) {
    this.#sandbox = sandbox;
    this.#marker = marker;
  }

  run(batch: Batch): BatchResult {
    this.#batch = batch;
    this.#stopwatch = new Stopwatch();
    this.#replies = [];
    this.#failures = [];
    this.#dropped = [];
    this.#logs = [];
    for (const [at, envelope] of batch.envelopes.entries()) this.#take(envelope, at);
    for (const mailbox of this.#mailboxes.values()) this.#timedTurn(mailbox);
    this.#mailboxes = new Map();
    if (this.#undrained) this.#forgetLeftovers();
    this.#marker.idle();
    return {
      no: batch.no,
      journal: this.#writer.take(),
      replies: this.#replies,
      failures: this.#failures,
      dropped: this.#dropped,
      logs: this.#logs,
      heapBytes: this.#heapBytes(),
      ...this.#stopwatch.stop(),
    };
  }

  /** Asking costs some microseconds, and memory does not change that fast. */
  #heapBytes(): number {
    if (this.#batch.no % BATCHES_PER_HEAP_LOOK === 1) this.#heap = v8.getHeapStatistics().used_heap_size;
    return this.#heap;
  }

  #take(envelope: Envelope, at: number): void {
    switch (envelope.kind) {
      case 'start': {
        const { info } = envelope;
        if (info.startDelayMs !== undefined) return this.#startLater(envelope);
        const activation = this.#sandbox.realm.createActivation(info, this.#sandbox.load);
        this.#hold(info.runNo, activation);
        this.#journalStart(info);
        const mailbox = this.#mailbox(info.runNo);
        for (const input of envelope.inputs) {
          mailbox.inputs.push(input);
          mailbox.at.push(at);
        }
        return;
      }
      case 'input': {
        const mailbox = this.#mailbox(envelope.runNo);
        mailbox.inputs.push(envelope.input);
        mailbox.at.push(at);
        return;
      }
      case 'query':
        return this.#timedQuery(envelope, at);
      case 'recover':
        return this.#recover(envelope.runNo, envelope.frames);
      case 'retry':
        this.#mailbox(envelope.runNo);
        return;
      case 'note':
        return this.#note(envelope.runNo, envelope.entry, at);
      case 'drop':
        return this.#drop(envelope.runNo);
    }
  }

  /**
   * The actor lets go of its activation, because V8 may keep the actor until a full collection: in a table that the Map has
   * outgrown (see #mailboxes), or because it put it among old objects when it was made.
   */
  #drop(runNo: number): void {
    const actor: { activation: Activation | undefined } | undefined = this.#actors.get(runNo);
    if (actor !== undefined) actor.activation = undefined;
    this.#actors.delete(runNo);
    this.#lost.delete(runNo);
  }

  #startLater({ info, inputs }: Extract<Envelope, { kind: 'start' }>): void {
    this.#journalStart(info);
    if (inputs.length > 0) this.#journal(info.runNo, { kind: 'received', time: this.#batch.now, inputs });
  }

  #note(runNo: number, entry: JournalEntry, at: number): void {
    this.#turnNow(runNo);
    const actor = this.#actors.get(runNo);
    const loss = this.#lost.get(runNo);
    const endedIn = actor?.closed ? actor.turnBatch : loss?.endedIn;
    if (endedIn !== undefined) {
      this.#replies.push({ at, after: endedIn, kind: 'closed' });
      return;
    }
    this.#journal(runNo, entry);
    if (entry.kind === 'received') actor?.waiting.push(...entry.inputs);
    if (entry.kind !== 'terminated' && entry.kind !== 'timedOut') return;
    if (loss !== undefined) loss.endedIn = this.#batch.no;
    if (actor === undefined) return;
    actor.closed = true;
    actor.turnBatch = this.#batch.no;
  }

  /** Lets a run's mailbox run before what comes next in the batch. */
  #turnNow(runNo: number): void {
    const mailbox = this.#mailboxes.get(runNo);
    if (mailbox === undefined) return;
    this.#mailboxes.delete(runNo);
    this.#timedTurn(mailbox);
  }

  /** What was sent before a query is part of what it sees, even if the process ended before a turn could take it. */
  #catchUp(runNo: number): void {
    const actor = this.#actors.get(runNo);
    if (actor?.turned && actor.waiting.length > 0 && !actor.failing) this.#mailbox(runNo);
    this.#turnNow(runNo);
  }

  #hold(runNo: number, activation: Activation): Actor {
    const actor: Actor = {
      runNo,
      activation,
      events: 0,
      bytes: 0,
      waiting: [],
      turnBatch: 0,
      turned: false,
      failing: false,
      closed: false,
    };
    this.#actors.set(runNo, actor);
    return actor;
  }

  #mailbox(runNo: number): Mailbox {
    let mailbox = this.#mailboxes.get(runNo);
    if (mailbox === undefined) {
      mailbox = { runNo, inputs: [], at: [] };
      this.#mailboxes.set(runNo, mailbox);
    }
    return mailbox;
  }

  // ----- turns -------------------------------------------------------------------------------------------------

  #timedTurn(mailbox: Mailbox): void {
    const { runNo, inputs } = mailbox;
    // A start or another trial is a message as well.
    const messages = Math.max(1, inputs.length);
    const begin = elapsedMs();
    this.#turn(mailbox);
    this.#stopwatch.note(runNo, messages, elapsedMs() - begin);
  }

  #turn(mailbox: Mailbox): void {
    const { runNo, inputs, at } = mailbox;
    const actor = this.#actors.get(runNo);
    if (actor === undefined) {
      const loss = this.#lossOf(runNo);
      if (loss.endedIn !== undefined) return this.#refuseClosed(mailbox, loss.endedIn);
      return this.#failTurn(mailbox, loss);
    }
    if (actor.closed) return this.#refuseClosed(mailbox, actor.turnBatch);
    const taken = actor.waiting;
    this.#marker.turn(runNo);
    const outcome = this.#runTurn(
      actor,
      taken.length === 0 ? inputs : [...taken, ...inputs],
      this.#batch.now,
      false,
    );
    this.#takeLogs(actor);
    if (outcome.kind === 'failed')
      return this.#failTurn(mailbox, {
        cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE',
        failure: outcome.failure,
        noted: actor.failing,
      });
    if (outcome.worked || actor.failing) this.#journalTurn(actor, mailbox, outcome.inputs, outcome.commands);
    actor.closed = outcome.closed;
    for (const { id, failure } of outcome.rejected) {
      const index = inputs.findIndex((input) => input.kind === 'update' && input.id === id);
      this.#replies.push({ at: at[index]!, after: actor.turnBatch, kind: 'failure', failure });
    }
  }

  #journalTurn(actor: Actor, { runNo, inputs, at }: Mailbox, accepted: Input[], commands: Command[]): void {
    const taken = actor.waiting.length;
    actor.waiting = [];
    actor.failing = false;
    actor.turnBatch = this.#batch.no;
    const entry: Extract<JournalEntry, { kind: 'turn' }> = {
      kind: 'turn',
      time: actor.activation.now,
      taken,
      inputs: accepted.length === taken + inputs.length ? inputs : only(inputs, new Set(accepted)),
      commands,
    };
    // The first turn is notable whatever it holds: from then on there is state to ask for.
    const answers = actor.turned ? updateAnswers(entry, inputs, at, this.#batch.no) : undefined;
    this.#journal(runNo, entry, !actor.turned || (answers === undefined && isNotable(entry)));
    if (answers !== undefined) this.#replies.push(...answers);
  }

  #runTurn(actor: Actor, inputs: Input[], now: number, replaying: boolean) {
    const { activation } = actor;
    const { drain, takeUnhandled } = this.#sandbox;
    if (this.#undrained) this.#forgetLeftovers();
    const before = eventCount({
      kind: 'received',
      time: now,
      inputs: actor.waiting.length === 0 ? inputs : inputs.slice(actor.waiting.length),
    });
    activation.begin({
      now,
      inputs,
      historyLength: actor.events + before + 2,
      historySize: actor.bytes,
      replaying,
    });
    drain();
    while (activation.step()) drain();
    return activation.finish(takeUnhandled());
  }

  /** The run had ended when these came: too late for them, and known only here. */
  #refuseClosed({ at }: Mailbox, endedIn: number): void {
    for (const index of at) this.#replies.push({ at: index, after: endedIn, kind: 'closed' });
  }

  /**
   * The state after a failed turn is worthless, so the activation goes. What was sent is not lost: the inputs become
   * durable as received (updates stay with the host, which has promised nothing for them yet) and the turn is tried again.
   * What comes behind it in the same batch waits with it, and is no failure of its own.
   */
  #failTurn({ runNo, inputs, at }: Mailbox, { cause, failure, noted }: Loss): void {
    this.#actors.delete(runNo);
    this.#lost.set(runNo, { cause, failure, noted: true });
    const time = this.#batch.now;
    const received = inputs.filter((input) => input.kind !== 'update');
    if (received.length > 0) this.#journal(runNo, { kind: 'received', time, inputs: received });
    const updates = at.filter((_, i) => inputs[i]!.kind === 'update');
    const earlier = this.#failures.find((failed) => failed.runNo === runNo);
    if (earlier !== undefined) {
      earlier.updates.push(...updates);
      return;
    }
    if (!noted) this.#journal(runNo, { kind: 'turnFailed', time, cause, failure });
    this.#failures.push({ runNo, cause, failure, updates });
  }

  #lossOf(runNo: number): Loss {
    const failure = { message: `Run ${runNo} is not held by this thread` };
    return this.#lost.get(runNo) ?? { cause: 'NON_DETERMINISTIC_ERROR', failure, noted: false };
  }

  #journal(runNo: number, entry: JournalEntry, notable = isNotable(entry)): void {
    const events = eventCount(entry);
    const actor = this.#actors.get(runNo);
    const body = packEntry(entry, actor?.activation.info.identity);
    this.#writer.add(runNo, body, events, notable);
    if (actor === undefined) return;
    if (entry.kind === 'turn') actor.turned = true;
    actor.events += events;
    actor.bytes += body.length;
  }

  /** The host made the start, and learns nothing from its entry but that a child is there. */
  #journalStart(info: StartInfo): void {
    const entry: JournalEntry = { kind: 'started', time: this.#batch.now, info };
    this.#journal(info.runNo, entry, info.parent !== undefined);
  }

  #takeLogs({ runNo, activation }: Actor): void {
    if (activation.logs.length === 0) return;
    const { storedAttributes } = this.#sandbox.realm;
    for (const { level, message, attributes } of activation.takeLogs()) {
      this.#logs.push({ runNo, level, message, attributes: attributes && storedAttributes(attributes) });
    }
  }

  // ----- queries -----------------------------------------------------------------------------------------------

  #timedQuery(query: QueryEnvelope, at: number): void {
    if (!this.#batch.timed) return this.#query(query, at);
    const begin = elapsedMs();
    this.#query(query, at);
    this.#stopwatch.note(query.runNo, 1, elapsedMs() - begin);
  }

  #query({ runNo, name, args, frames }: QueryEnvelope, at: number): void {
    if (frames !== undefined) return this.#stacks(runNo, frames, at);
    this.#catchUp(runNo);
    const actor = this.#actors.get(runNo);
    if (actor === undefined) {
      this.#replies.push({ at, after: 0, kind: 'failure', failure: this.#lossOf(runNo).failure });
      return;
    }
    this.#marker.query(runNo);
    const promises = this.#sandbox.promises();
    const answer = actor.activation.query(name, args);
    // Draining costs more than a usual handler, which has nothing to do with promises.
    if (this.#sandbox.promises() !== promises) this.#forgetLeftovers();
    else this.#undrained = true;
    this.#takeLogs(actor);
    const after = actor.turnBatch;
    if (answer.ok) this.#replies.push({ at, after, kind: 'answer', result: answer.result });
    else this.#replies.push({ at, after, kind: 'failure', failure: answer.failure });
    if (!actor.activation.spoiled) return;
    this.#actors.delete(runNo);
    this.#dropped.push(runNo);
  }

  /** Where the run waits, seen in a replay beside the activation that the thread may hold. */
  #stacks(runNo: number, frames: Uint8Array[], at: number): void {
    const [actor, loss] = [this.#actors.get(runNo), this.#lost.get(runNo)];
    this.#replayMode = 'query';
    const stacks = captureWaits(() => this.#recover(runNo, frames));
    this.#replayMode = 'replay';
    const { closed = false } = this.#actors.get(runNo) ?? {};
    const failure = this.#lost.get(runNo)?.failure;
    this.#actors.delete(runNo);
    this.#lost.delete(runNo);
    if (actor !== undefined) this.#actors.set(runNo, actor);
    if (loss !== undefined) this.#lost.set(runNo, loss);
    if (failure !== undefined) this.#replies.push({ at, after: 0, kind: 'failure', failure });
    else this.#replies.push({ at, after: 0, kind: 'answer', result: encodePayload(closed ? [] : stacks) });
  }

  /** What a query handler left to be done later must not happen in somebody else's turn, nor its rejections be counted there. */
  #forgetLeftovers(): void {
    this.#undrained = false;
    this.#sandbox.drain();
    this.#sandbox.takeUnhandled();
  }

  // ----- recovery ----------------------------------------------------------------------------------------------

  #recover(runNo: number, chunks: Uint8Array[]): void {
    this.#lost.delete(runNo);
    try {
      for (const chunk of chunks) {
        for (const { body, events } of frames(chunk)) {
          const starter = this.#actors.get(runNo)?.activation.info.identity;
          this.#replay(runNo, unpackEntry(body, starter), events, body.length);
        }
      }
    } catch (error) {
      this.#actors.delete(runNo);
      this.#lost.set(runNo, {
        cause: 'NON_DETERMINISTIC_ERROR',
        failure: this.#sandbox.realm.toFailure(error),
        noted: endsFailing(chunks),
      });
    }
  }

  #replay(runNo: number, entry: JournalEntry, events: number, bytes: number): void {
    let actor = this.#actors.get(runNo);
    if (entry.kind === 'started') {
      actor = this.#hold(runNo, this.#sandbox.realm.createActivation(entry.info, this.#sandbox.load));
    }
    if (actor === undefined) throw new Error(`The history of run ${runNo} does not begin with its start`);
    if (entry.kind === 'turn') this.#replayTurn(actor, entry);
    if (entry.kind === 'received') actor.waiting.push(...entry.inputs);
    if (entry.kind === 'turnFailed') actor.failing = true;
    if (entry.kind === 'terminated' || entry.kind === 'timedOut') actor.closed = true;
    actor.events += events;
    actor.bytes += bytes;
  }

  #replayTurn(actor: Actor, entry: Extract<JournalEntry, { kind: 'turn' }>): void {
    const taken = actor.waiting.slice(0, entry.taken);
    actor.waiting = actor.waiting.slice(entry.taken);
    // A replay for a query that blocks is the query's failure, not the run's.
    this.#marker[this.#replayMode](actor.runNo);
    const waiting = actor.waiting;
    actor.waiting = taken;
    const outcome = this.#runTurn(actor, [...taken, ...entry.inputs], entry.time, true);
    actor.waiting = waiting;
    const produced: Command[] = outcome.kind === 'done' ? outcome.commands : [];
    const failure = outcome.kind === 'failed' ? outcome.failure : undefined;
    compareCommands({ recorded: entry.commands, produced, failure, events: actor.events, entry });
    actor.turned = true;
    actor.failing = false;
    actor.closed = outcome.kind === 'done' && outcome.closed;
  }
}

/** A history's last turn is one that failed. What cannot be read is passed over: it may be what makes the replay fail. */
function endsFailing(chunks: readonly Uint8Array[]): boolean {
  let failing = false;
  for (const chunk of chunks) {
    for (const { body } of frames(chunk)) {
      const kind = kindOf(body);
      if (kind === 'turn' || kind === 'turnFailed') failing = kind === 'turnFailed';
    }
  }
  return failing;
}

function kindOf(body: Uint8Array): JournalEntry['kind'] | undefined {
  try {
    return unpackEntry(body).kind;
  } catch {
    return undefined;
  }
}

function only(inputs: readonly Input[], accepted: ReadonlySet<Input>): Input[] {
  return inputs.filter((input) => accepted.has(input));
}
