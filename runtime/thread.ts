/**
 * The host's side of one pool thread: what waits for it, what it is doing, and what comes of it.
 *
 *   enqueue -> queue --(thread idle)--> batch -> pool.run -> result -> committer -> outcomes
 *               ^ ^                                  |
 *               | +---------- thread died -----------+   (all but the run that killed it are sent again)
 *               +---- a run whose activation is gone waits until what it did last is durable ----+
 *
 * One batch is in the thread at a time; while it is, messages gather, so batches are as large as the load makes them and
 * an idle thread gets a message at once, without a timer. The commit of a batch overlaps with the next batch's turns.
 * Runs take turns in a batch, and what takes long or is large goes by itself (queue.ts).
 *
 * Owns: the bound of the queue, batches, the output gate of this thread, which runs are active here and passivation.
 * The file is long because what may be sent, what may be told, and what becomes of both when a thread or a commit fails
 * are decided from the same few variables.
 * Does not own: group commit (committer.ts), applying entries (run.ts), what to do about effects (the host).
 *
 * D3: envelopes of a run leave in the order in which they were enqueued. D4: an outcome is told only when the batch it
 * depends on is durable. D7: a run that ends its thread is singled out; everyone else's messages are sent again.
 */
import { type BatchResult, type Envelope, packBatch, type Reply, unpackResult } from '../codec/envelope.js';
import type { Failure } from '../codec/failure.js';
import {
  type Frame,
  frames,
  type JournalEntry,
  type TurnFailureCause,
  unpackEntry,
} from '../codec/journal-entry.js';
import { type Clock, elapsedMs } from './clock.js';
import type { Committer } from './committer.js';
import { InvariantError } from './errors.js';
import { LARGE_BYTES, type LargeWrites } from './large-writes.js';
import type { Limits } from './limits.js';
import { type Item, type Live, type Outcome, senderOf } from './live.js';
import { type Pool, ThreadDiedError } from './pool.js';
import { type BatchKind, MessageQueue } from './queue.js';
import type { Effect } from './run.js';
import { isStackTraceQuery } from './stack-trace.js';
import { TurnTimes } from './turn-times.js';

/** What a thread asks of the host. */
export interface ThreadHost {
  live(runNo: number): Live | undefined;
  /** The run's history: chunks of frames, oldest first. */
  historyOf(live: Live): Uint8Array[];
  /** An entry of a run is durable and applied; `bytes` is its size in the journal. */
  applied(live: Live, bytes: number, effects: Effect[]): void;
  /** The start of a run did not become durable: it never existed. */
  startFailed(live: Live, error: Error): void;
  /** A turn of the run failed; its updates are in live.held. */
  turnFailed(live: Live, cause: TurnFailureCause, failure: Failure): void;
  /** A run whose turn had failed took messages again. */
  turnSucceeded(live: Live): void;
  log(live: Live, line: BatchResult['logs'][number]): void;
  /** What was sent for the run came to nothing, because the disk failed. */
  lost(live: Live, error: Error): void;
  /** Before lost(), when a run has sent it: that one sends it again. */
  withdraw(live: Live, senderRunNo: number, error: Error): void;
  /** Nothing is queued or under way for the run any more. */
  quiet(live: Live): void;
  /** The run left memory. */
  passivated(live: Live): void;
  /** There is more room in the queue of this thread than before. */
  roomMade(slot: number): void;
  /** Something broke that must not: told, then the thread goes on. */
  broken(error: Error): void;
}

interface Parts {
  slot: number;
  pool: Pool;
  committer: Committer;
  clock: Clock;
  limits: Limits;
  largeWrites: LargeWrites;
  host: ThreadHost;
}

interface SentBatch {
  no: number;
  /** Undefined: nothing could go. */
  kind: BatchKind | undefined;
  items: Item[];
  envelopes: Envelope[];
  /** Maps an envelope's place in the batch to its item: recoveries are put in between. */
  index: (Item | undefined)[];
}

type Phase = 'idle' | 'busy' | 'recovering' | 'closed';

export class Thread {
  readonly #parts: Parts;
  readonly #queue: MessageQueue;
  readonly #times: TurnTimes;
  /** All that has been enqueued or held and is not settled, and its size: what the limits of the queue are about (D8). */
  #messages = 0;
  #bytes = 0;
  #phase: Phase = 'idle';
  /** When the thread would have been free for the next batch if nothing but its work took time; undefined: there was none to send. */
  #freeAt: number | undefined;
  #scheduled = false;
  #batchNo = 0;
  /** 0: none. */
  #batchInThread = 0;
  /** Newest batch whose frames are durable, or that had none. */
  #durableBatch = 0;
  /** Batches whose frames are on their way to disk, oldest first. */
  readonly #writing: number[] = [];
  /** Bytes of large messages by batch; batches that are over may still be here. */
  readonly #largeBytes = new Map<number, number>();
  /** Counts commits that failed; a result computed before the last failure is worth nothing. */
  #epoch = 0;
  #lastFailure = new Error('No commit has failed');
  /** Answers by the batch that must be durable before they are told (D4). */
  readonly #gated = new Map<number, { item: Item; outcome: Outcome }[]>();
  /** Least recently used first. */
  readonly #active = new Map<number, Live>();
  #deathsInARow = 0;
  #heapBytes = 0;
  #quiet: (() => void)[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#times = new TurnTimes(parts.limits.batchMsMax);
    this.#queue = new MessageQueue((item) => this.#share(item), parts.limits.batchMessagesMax);
    parts.largeWrites.join({ largeBytes: () => this.#largeUnderWay(), retry: () => this.#schedule() });
  }

  /** Its number. */
  get slot(): number {
    return this.#parts.slot;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Messages are queued or in the thread. */
  get busy(): boolean {
    return this.queued > 0 || this.#phase === 'busy' || this.#phase === 'recovering';
  }

  get activeRuns(): number {
    return this.#active.size;
  }

  get heapBytes(): number {
    return this.#heapBytes;
  }

  /** The limit that stands against one more message of this size. A message too large for it comes in when it is alone. */
  limitAgainst(bytes: number): 'queuedMessagesMax' | 'queuedBytesMax' | undefined {
    const { queuedMessagesMax, queuedBytesMax } = this.#parts.limits;
    if (this.#messages >= queuedMessagesMax) return 'queuedMessagesMax';
    return this.#messages > 0 && this.#bytes + bytes > queuedBytesMax ? 'queuedBytesMax' : undefined;
  }

  /** The run has its share of the queue already. One message it may always have. */
  exceedsShare({ queued, queuedBytes }: Live, bytes: number): boolean {
    const { queuedMessagesMax, queuedBytesMax, queuedPercentMax } = this.#parts.limits;
    if (queued === 0) return false;
    const share = queuedPercentMax / 100;
    return queued + 1 > Math.ceil(share * queuedMessagesMax) || queuedBytes + bytes > share * queuedBytesMax;
  }

  enqueue(item: Item): void {
    this.#count(item);
    item.live.pending++;
    this.#queue.push(item);
    this.#schedule();
  }

  /** Keeps a message of a run whose turn is failing, or that waits for its time, until release(). */
  hold(item: Item): void {
    this.#count(item);
    item.live.held.push(item);
  }

  /** Sends what was held for the run. */
  release(live: Live): void {
    live.pending += live.held.length;
    for (const item of live.held) this.#queue.push(item);
    live.held = [];
    this.#schedule();
  }

  /** Keeps a message behind those under way to the run before, until letIn(). */
  keepBehind(item: Item): void {
    this.#count(item);
    item.live.behind.push(item);
  }

  /** Sends or holds what waited behind those under way to the run before. */
  letIn(live: Live, place: (item: Item) => 'queue' | 'held'): void {
    for (const item of live.behind) {
      if (place(item) === 'held') live.held.push(item);
      else {
        live.pending++;
        this.#queue.push(item);
      }
    }
    live.behind = [];
    this.#schedule();
  }

  /** Gives up all that waits for the run without being queued. */
  refuseWaiting(live: Live, error: Error): void {
    const refused = [...live.held, ...live.behind];
    live.held = [];
    live.behind = [];
    live.pending += refused.length;
    for (const item of refused) this.#settle(item, { kind: 'error', error });
  }

  /** Gives up what another run has sent to this one and is not in the thread: it goes again behind what was sent before it (D3). */
  withdraw(live: Live, senderRunNo: number, error: Error): void {
    const isTheirs = ({ envelope }: Item) => senderOf(envelope) === senderRunNo;
    const queued = live.pending > 0 ? this.#queue.remove(live, isTheirs) : [];
    const waiting = [...live.held, ...live.behind].filter(isTheirs);
    if (waiting.length > 0) {
      live.held = live.held.filter((item) => !isTheirs(item));
      live.behind = live.behind.filter((item) => !isTheirs(item));
      live.pending += waiting.length;
    }
    for (const item of [...queued, ...waiting]) this.#settle(item, { kind: 'error', error });
    this.#tellQuiet();
  }

  /** Gives up the updates of clients that are held for the run: they had no effect. Workflows that sent one wait on. */
  refuseHeldUpdates(live: Live, error: Error): void {
    const refused = live.held.filter(({ envelope }) => isClientUpdate(envelope));
    live.held = live.held.filter(({ envelope }) => !isClientUpdate(envelope));
    live.pending += refused.length;
    for (const item of refused) this.#settle(item, { kind: 'error', error });
  }

  /** Resolves when nothing is queued, in flight or waiting for its commit. */
  async drained(): Promise<void> {
    do {
      while (this.busy) {
        await new Promise<void>((resolve) => this.#quiet.push(resolve));
      }
      // What becomes durable may send more: the end of a run lets go of what was held for it.
      await this.#parts.committer.settled();
    } while (this.queued > 0);
  }

  close(): void {
    this.#phase = 'closed';
  }

  /** Forgets a run's activation, if that loses nothing. */
  passivate(live: Live): boolean {
    if (!live.active || live.pending > 0) return false;
    this.#queue.push(this.#drop(live));
    this.#schedule();
    return true;
  }

  #drop(live: Live): Item {
    this.#deactivate(live);
    const item: Item = {
      live,
      envelope: { kind: 'drop', runNo: live.run.runNo },
      bytes: 0,
      settle: () => this.#parts.host.passivated(live),
    };
    this.#count(item);
    live.pending++;
    return item;
  }

  #count(item: Item): void {
    this.#messages++;
    this.#bytes += item.bytes;
    item.live.queued++;
    item.live.queuedBytes += item.bytes;
  }

  #uncount(item: Item): void {
    this.#messages--;
    this.#bytes -= item.bytes;
    item.live.queued--;
    item.live.queuedBytes -= item.bytes;
    this.#parts.host.roomMade(this.#parts.slot);
  }

  // ----- out ---------------------------------------------------------------------------------------------------

  /** Calls made without a pause between them travel together. */
  #schedule(): void {
    if (this.#phase !== 'idle' || this.#scheduled || this.queued === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#phase === 'idle' && this.queued > 0) void this.#send();
    });
  }

  async #send(): Promise<void> {
    const { pool, clock, slot } = this.#parts;
    this.#phase = 'busy';
    const epoch = this.#epoch;
    const begin = elapsedMs();
    if (this.#freeAt !== undefined) this.#times.learnWait(begin - this.#freeAt);
    this.#freeAt = undefined;
    const { no, kind, items, envelopes, index } = this.#nextBatch();
    if (items.length > 0) {
      try {
        const timed = this.#times.wanted;
        const now = clock.now();
        this.#batchInThread = no;
        const bytes = await pool.run(slot, packBatch({ no, now, timed, envelopes }));
        this.#batchInThread = 0;
        this.#deathsInARow = 0;
        const result = unpackResult(bytes);
        this.#times.learn(items, result, clock.now() - now);
        if (kind !== undefined) this.#queue.took(kind, result.ms);
        if (this.queued > 0) this.#freeAt = begin + result.ms;
        if (epoch === this.#epoch) this.#receive(items, index, result);
        else this.#discard(items, this.#lastFailure);
      } catch (error) {
        this.#batchInThread = 0;
        if (!(error instanceof ThreadDiedError)) this.#parts.host.broken(error as Error);
        if ((this.#phase as Phase) === 'closed') return;
        await this.#afterDeath(items, epoch, error instanceof ThreadDiedError ? error : undefined);
      }
    }
    if ((this.#phase as Phase) === 'closed') return;
    this.#phase = 'idle';
    this.#trim();
    this.#tellQuiet();
    // Nothing could go: what is there waits for a commit, which will look again.
    if (kind !== undefined) this.#schedule();
  }

  #tellQuiet(): void {
    if (!this.busy) for (const wake of this.#quiet.splice(0)) wake();
  }

  /** The messages that can go now; those of a run that must wait stay behind, in order. */
  #nextBatch(): SentBatch {
    const no = this.#batchNo + 1;
    const batch: SentBatch = { no, kind: undefined, items: [], envelopes: [], index: [] };
    const put = (item: Item): boolean => {
      if (this.#mustWait(item, no)) return false;
      this.#put(item, batch);
      return true;
    };
    batch.kind = this.#queue.take(put);
    if (batch.items.length > 0) this.#batchNo = no;
    return batch;
  }

  /** How much of a batch the message is expected to take: of its messages, its bytes or its time, whichever is most. */
  #share(item: Item): number {
    const { batchMessagesMax, batchBytesMax } = this.#parts.limits;
    const { live, envelope, bytes } = item;
    // A replay takes time as well, and more of it the longer the history is.
    const moved = !live.active && needsActivation(envelope) ? bytes + live.run.bytes : bytes;
    const ms = runsCode(envelope) ? this.#times.of(live) : 0;
    return Math.max(1 / batchMessagesMax, moved / batchBytesMax, ms / this.#times.batchMs);
  }

  /**
   * Nothing may be missing from what an activation is rebuilt from, and nothing may follow the end of a run. So a run
   * whose activation is gone waits for its own last entries, and one that is being ended from outside for its end.
   */
  #mustWait(item: Item, no: number): boolean {
    const { live, envelope } = item;
    if (isAboutHistory(envelope) && this.#isUnderWay(live.batch, no)) return true;
    if (this.#parts.largeWrites.mustWait(item.bytes)) return true;
    if (live.active && live.endBatch === 0) return false;
    if (this.#isUnderWay(live.endBatch, no)) return true;
    return !live.active && needsActivation(envelope) && this.#isUnderWay(live.batch, no);
  }

  /** Of batches that are being made, in the thread or on their way to disk. */
  #largeUnderWay(): number {
    let bytes = 0;
    for (const [batch, large] of this.#largeBytes) {
      if (batch === this.#batchInThread || this.#isUnderWay(batch, this.#batchNo + 1)) bytes += large;
      else this.#largeBytes.delete(batch);
    }
    return bytes;
  }

  /** The batch that is being made, or one whose frames are on their way to disk. */
  #isUnderWay(batch: number, no: number): boolean {
    return batch === no || batch >= (this.#writing[0] ?? Number.POSITIVE_INFINITY);
  }

  #put(item: Item, batch: SentBatch): void {
    const { live, envelope } = item;
    if (live.gone !== undefined && envelope.kind !== 'drop')
      return this.#settle(item, { kind: 'error', error: live.gone });
    if (live.run.closed && envelope.kind !== 'query' && envelope.kind !== 'drop')
      return this.#settle(item, { kind: 'closed' });
    // What it was to drop has ended with its thread, and the run has been brought back since, by a suspect.
    if (envelope.kind === 'drop' && live.active) return this.#settle(item, { kind: 'durable' });
    if (envelope.kind === 'note' && !live.active && ends(envelope.entry)) live.endBatch = batch.no;
    try {
      this.#activate(item, batch);
    } catch (error) {
      // The store cannot be read.
      return this.#settle(item, { kind: 'error', error: error as Error });
    }
    // A query may let a turn go first.
    if (envelope.kind !== 'drop') live.batch = batch.no;
    live.usedIn = batch.no;
    if (runsCode(envelope)) this.#parts.largeWrites.sent(item.bytes);
    if (item.bytes >= LARGE_BYTES)
      this.#largeBytes.set(batch.no, (this.#largeBytes.get(batch.no) ?? 0) + item.bytes);
    batch.items.push(item);
    batch.envelopes.push(envelope);
    batch.index.push(item);
  }

  /** The thread must hold the run before it gets a message for it. */
  #activate({ live, envelope }: Item, { envelopes, index }: SentBatch): void {
    const { runNo } = live.run;
    if (envelope.kind === 'drop' || isPutOff(envelope)) return;
    if (isAboutHistory(envelope)) {
      envelope.frames = this.#parts.host.historyOf(live);
      return;
    }
    if (!live.active && envelope.kind !== 'start') {
      // A note needs no activation; a run that is only being closed is not worth a replay.
      if (!needsActivation(envelope)) return;
      envelopes.push({ kind: 'recover', runNo, frames: this.#parts.host.historyOf(live) });
      index.push(undefined);
    }
    // One that this batch has moved to the end already stays where it is.
    if (live.active && live.usedIn === this.#batchNo + 1) return;
    live.active = true;
    this.#active.delete(runNo);
    this.#active.set(runNo, live);
  }

  // ----- back --------------------------------------------------------------------------------------------------

  #receive(items: Item[], index: readonly (Item | undefined)[], result: BatchResult): void {
    const { committer, host } = this.#parts;
    this.#heapBytes = result.heapBytes;
    const failed = new Set(result.failures.map(({ runNo }) => runNo));
    const answered = new Set<Item>();
    for (const reply of result.replies) {
      const item = index[reply.at];
      if (item === undefined || answered.has(item)) continue;
      answered.add(item);
      // A turn of this batch failed and took the activation along before the query was reached: it is asked again.
      const unreached =
        item.envelope.kind === 'query' && reply.kind === 'failure' && failed.has(item.envelope.runNo);
      if (unreached) this.#queue.unshift([item]);
      else this.#settleAfter(reply.after, item, outcomeOf(reply));
    }
    for (const failure of result.failures) this.#turnFailed(failure, index, answered);
    for (const runNo of result.dropped) {
      const live = host.live(runNo);
      if (live !== undefined) this.#deactivate(live);
    }
    for (const { envelope, live } of items) {
      // A message that was on its way when the turn failed is such a trial as well.
      if (live.retry === undefined || failed.has(live.run.runNo)) continue;
      if (envelope.kind === 'retry' || envelope.kind === 'input') host.turnSucceeded(live);
    }
    for (const line of result.logs) {
      const live = host.live(line.runNo);
      if (live !== undefined) host.log(live, line);
    }
    const rest = items.filter((item) => !answered.has(item));
    if (result.journal.length === 0) {
      for (const item of rest) this.#settle(item, { kind: 'durable' });
      return;
    }
    const epoch = this.#epoch;
    const elapsed = this.#largeBytes.has(result.no) ? this.#sinceNow() : undefined;
    this.#writing.push(result.no);
    committer.append(
      result.journal,
      (seq) => {
        if (elapsed !== undefined) this.#parts.largeWrites.written(elapsed());
        this.#durable(result, seq, rest);
      },
      (error) => this.#lost(epoch, result.no, rest, error),
    );
  }

  /** Tells how long ago this was, ms, by the runtime's clock or the real one, whichever says less: so nothing pauses under one that stands still. */
  #sinceNow(): () => number {
    const { clock } = this.#parts;
    const [now, real] = [clock.now(), elapsedMs()];
    return () => Math.min(clock.now() - now, elapsedMs() - real);
  }

  #durable(result: BatchResult, seq: number, rest: readonly Item[]): void {
    this.#written(result.no);
    const { host } = this.#parts;
    const ended: Live[] = [];
    for (const frame of frames(result.journal)) {
      try {
        const live = this.#apply(frame, seq);
        if (live.run.closed) ended.push(live);
      } catch (error) {
        host.broken(error as Error);
      }
    }
    for (const item of rest) this.#settle(item, { kind: 'durable' });
    // Nothing more will happen to these; whoever asks them something brings them back.
    for (const live of ended) this.passivate(live);
    for (const [no, answers] of this.#gated) {
      if (no > result.no) continue;
      this.#gated.delete(no);
      for (const { item, outcome } of answers) this.#settle(item, outcome);
    }
    this.#trim();
    this.#schedule();
  }

  /** The batch is on disk, or lost. */
  #written(no: number): void {
    this.#durableBatch = Math.max(this.#durableBatch, no);
    while (this.#writing.length > 0 && this.#writing[0]! <= no) this.#writing.shift();
  }

  #apply(frame: Frame, seq: number): Live {
    const { host, limits } = this.#parts;
    const live = host.live(frame.runNo);
    if (live === undefined)
      throw new InvariantError(`A durable entry belongs to run ${frame.runNo}, which is not known`);
    live.run.append(frame, seq);
    const counted = limits.updatesTotalMax !== Number.POSITIVE_INFINITY;
    const entry: JournalEntry | undefined = live.run.isConcernedBy(frame, counted)
      ? unpackEntry(frame.body, live.run.info.identity)
      : undefined;
    host.applied(live, frame.bytes.length, entry === undefined ? [] : live.run.apply(entry));
    return live;
  }

  #settleAfter(batch: number, item: Item, outcome: Outcome): void {
    if (batch <= this.#durableBatch) return this.#settle(item, outcome);
    const waiting = this.#gated.get(batch);
    if (waiting === undefined) this.#gated.set(batch, [{ item, outcome }]);
    else waiting.push({ item, outcome });
  }

  #settle(item: Item, outcome: Outcome): void {
    this.#uncount(item);
    item.live.pending--;
    item.settle?.(outcome);
    this.#look(item.live);
  }

  /** A run that has continued as new lets the next one go on once nothing is under way to it. */
  #look(live: Live): void {
    if (live.pending === 0 && live.followedBy !== undefined) this.#parts.host.quiet(live);
  }

  #turnFailed(
    failure: BatchResult['failures'][number],
    index: readonly (Item | undefined)[],
    answered: Set<Item>,
  ): void {
    const { host } = this.#parts;
    const live = host.live(failure.runNo);
    if (live === undefined) return;
    this.#deactivate(live);
    const items = failure.updates.map((at) => index[at]!);
    for (const item of items) if (item.envelope.kind === 'input') answered.add(item);
    this.#holdUpdates(live, items);
    host.turnFailed(live, failure.cause, failure.failure);
  }

  /**
   * Updates of a turn that failed wait for it to be tried again, and so do those behind them: what is held is what came
   * later still (D3).
   */
  #holdUpdates(live: Live, failed: readonly Item[]): void {
    const updates: Item[] = [];
    for (const item of failed) {
      // The start stands; only the update that came with it waits.
      if (item.update !== undefined) {
        this.#count(item.update);
        updates.push(item.update);
      }
      if (!isUpdate(item.envelope)) continue;
      live.pending--;
      updates.push(item);
    }
    if (live.pending > 0) {
      const behind = this.#queue.remove(live, ({ envelope }) => isUpdate(envelope));
      live.pending -= behind.length;
      updates.push(...behind);
    }
    live.held.unshift(...updates);
  }

  #deactivate(live: Live): void {
    live.active = false;
    this.#active.delete(live.run.runNo);
  }

  // ----- when things go wrong ----------------------------------------------------------------------------------

  /**
   * A commit failed. Every activation of this thread may show state that is lost, and so may everything it is computing
   * now: forget them all, they recover from what is durable.
   */
  #lost(epoch: number, no: number, rest: readonly Item[], error: Error): void {
    if (epoch === this.#epoch) {
      this.#epoch++;
      this.#lastFailure = error;
      this.#forgetAll();
    }
    this.#written(no);
    this.#discard(rest, error);
    // These answers show what is lost.
    const answers = [...this.#gated.values()].flat();
    this.#gated.clear();
    this.#discard(
      answers.map(({ item }) => item),
      error,
    );
  }

  #forgetAll(): void {
    const drops = [...this.#active.values()].map((live) => this.#drop(live));
    this.#queue.unshift(drops);
    this.#schedule();
  }

  #discard(items: readonly Item[], error: Error): void {
    const { host } = this.#parts;
    this.#forgetEnds(items);
    for (const item of items) {
      const { live, envelope } = item;
      const senderRunNo = senderOf(envelope);
      if (senderRunNo !== undefined) host.withdraw(live, senderRunNo, error);
      if (starts(envelope)) host.startFailed(live, error);
      this.#settle(item, { kind: 'error', error });
      host.lost(live, error);
    }
  }

  /** For the thread they are ended, also those that it knows of only because a turn of theirs failed, and that are not active. */
  #forgetEnds(lost: readonly Item[]): void {
    const isEnd = ({ live, envelope }: Item) =>
      !live.active && envelope.kind === 'note' && ends(envelope.entry);
    const drops = lost.filter(isEnd).map(({ live }) => this.#drop(live));
    if (drops.length === 0) return;
    this.#queue.unshift(drops);
    this.#schedule();
  }

  /** Everything the thread held is gone. What it was doing when it died is the first suspect. */
  async #afterDeath(items: Item[], epoch: number, death: ThreadDiedError | undefined): Promise<void> {
    this.#phase = 'recovering';
    // What the thread did before may still be on its way to disk, and recovery must see it.
    await this.#parts.committer.settled();
    for (const live of [...this.#active.values()]) this.#deactivate(live);
    if (epoch !== this.#epoch) return this.#discard(items, this.#lastFailure);
    const offender = this.#offender(items, death);
    this.#deathsInARow++;
    const again = items.flatMap((item) => this.#again(item, offender, death));
    if (offender === undefined) this.#queue.suspect(again);
    // Takes what must wait out of the queue.
    else this.#queue.unshift(this.#failOffender(items, offender, death).concat(again));
  }

  /** Nothing marked means that the thread died between turns; then messages are sent one at a time to find out. */
  #offender(items: readonly Item[], death: ThreadDiedError | undefined): Live | undefined {
    if (death !== undefined && death.mode !== 'idle') return this.#parts.host.live(death.runNo);
    if (items.length === 1 && this.#deathsInARow > 0) return items[0]!.live;
    return undefined;
  }

  /** The offender's own messages are not sent again as they were. */
  #again(item: Item, offender: Live | undefined, death: ThreadDiedError | undefined): Item[] {
    if (item.live !== offender) return [item];
    const { envelope } = item;
    if (death?.mode === 'query' && envelope.kind !== 'query') return [item];
    if ((death?.mode === 'query' || death?.mode === 'replay') && envelope.kind === 'query') {
      const message = death.blocked
        ? `Query '${envelope.name}' (or replaying its workflow) blocked its thread for longer than ${this.#parts.limits.turnMsMax} ms (limits.turnMsMax)`
        : `Query '${envelope.name}' ended its thread: ${String((death.cause as Error)?.message ?? death.cause)}`;
      this.#settle(item, { kind: 'failure', failure: { message, source: 'TypeScriptSDK' } });
      return [];
    }
    const { runNo } = offender.run;
    const time = this.#parts.clock.now();
    switch (envelope.kind) {
      case 'input':
        // It waits (failOffender).
        if (envelope.input.kind === 'update') return [];
        return [
          {
            ...item,
            envelope: { kind: 'note', runNo, entry: { kind: 'received', time, inputs: [envelope.input] } },
          },
        ];
      case 'retry':
      case 'drop':
        this.#uncount(item);
        item.live.pending--;
        this.#look(item.live);
        return [];
      case 'start':
        // Its notes stand before everything else of the batch (failOffender).
        return [];
      case 'query':
      case 'note':
      case 'recover':
        return [item];
    }
  }

  #failOffender(items: readonly Item[], offender: Live, death: ThreadDiedError | undefined): Item[] {
    // A run that is over has no turn that could fail.
    if (death?.mode === 'query' || offender.run.closed) return [];
    const { clock, limits, host } = this.#parts;
    const { runNo } = offender.run;
    const time = clock.now();
    const note = (entry: JournalEntry, settle?: Item['settle']): Item => {
      const item: Item = { live: offender, envelope: { kind: 'note', runNo, entry }, bytes: 0, settle };
      this.#count(item);
      offender.pending++;
      return item;
    };
    const cause: TurnFailureCause = death?.blocked ? 'TURN_TIMEOUT' : 'THREAD_DIED';
    const message = death?.blocked
      ? `The turn blocked its thread for longer than ${limits.turnMsMax} ms (limits.turnMsMax): look for an endless loop or heavy computation in workflow code`
      : `The thread died in this turn: ${String((death?.cause as Error)?.message ?? 'unknown')}`;
    const notes: Item[] = [];
    for (const item of items) {
      if (item.live !== offender || item.envelope.kind !== 'start') continue;
      const { info, inputs } = item.envelope;
      this.#uncount(item);
      item.live.pending--;
      notes.push(note({ kind: 'started', time, info }, item.settle));
      const received = inputs.filter((input) => input.kind !== 'update');
      if (received.length > 0) notes.push(note({ kind: 'received', time, inputs: received }));
    }
    this.#holdUpdates(
      offender,
      items.filter(({ live }) => live === offender),
    );
    const failure: Failure = { message, source: 'TypeScriptSDK' };
    if (offender.run.suspension === undefined) notes.push(note({ kind: 'turnFailed', time, cause, failure }));
    host.turnFailed(offender, cause, failure);
    return notes;
  }

  // ----- memory ------------------------------------------------------------------------------------------------

  /** Passivation: by count and by bytes, least recently used first. */
  #trim(): void {
    const { activationsPerThreadMax, heapBytesPerThreadMax } = this.#parts.limits;
    let excess = this.#active.size - activationsPerThreadMax;
    if (this.#heapBytes > heapBytesPerThreadMax) {
      excess = Math.max(excess, Math.ceil(this.#active.size / 4));
      this.#heapBytes = 0;
    }
    if (excess <= 0) return;
    for (const live of this.#active.values()) {
      if (excess <= 0) break;
      if (this.passivate(live)) excess--;
    }
  }
}

/** What is sent for a run that the thread does not hold, and can only be done by its activation. */
function needsActivation({ kind }: Envelope): boolean {
  return kind === 'input' || kind === 'query' || kind === 'retry';
}

function runsCode(envelope: Envelope): boolean {
  return envelope.kind === 'start' || needsActivation(envelope);
}

/** A query that is answered by a replay of its own: it waits until all that it is to show is durable. */
function isAboutHistory(envelope: Envelope): envelope is Extract<Envelope, { kind: 'query' }> {
  return envelope.kind === 'query' && isStackTraceQuery(envelope.name);
}

function isUpdate(envelope: Envelope): boolean {
  return envelope.kind === 'input' && envelope.input.kind === 'update';
}

function isClientUpdate(envelope: Envelope): boolean {
  return envelope.kind === 'input' && envelope.input.kind === 'update' && envelope.input.sender === undefined;
}

/** A start whose first turn comes later: until then there is nothing to hold. */
function isPutOff(envelope: Envelope): boolean {
  return envelope.kind === 'start' && envelope.info.startDelayMs !== undefined;
}

function ends(entry: JournalEntry): boolean {
  return entry.kind === 'terminated' || entry.kind === 'timedOut';
}

function starts(envelope: Envelope): boolean {
  return envelope.kind === 'start' || (envelope.kind === 'note' && envelope.entry.kind === 'started');
}

function outcomeOf(reply: Reply): Outcome {
  switch (reply.kind) {
    case 'answer':
      return { kind: 'answer', result: reply.result };
    case 'failure':
      return { kind: 'failure', failure: reply.failure };
    case 'closed':
      return { kind: 'closed' };
  }
}
