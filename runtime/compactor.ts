/**
 * The compactor: moves what the journal holds into per-run places and then trims the journal.
 *
 *   journal values 1..n --> history chunks, run records, due times, pending activities, outcomes --> values 1..n removed
 *
 * Owns: when this happens and in which slices. A slice is one write and holds all of a run's changes, so a run is
 * either wholly moved or not at all; values are removed only when every run in them was moved. Only history that is too
 * long for one write goes ahead of the rest, chunk by chunk, since everybody's commits wait behind a write.
 * A crash in between repeats work: the record's `through` says what is already there, and chunks beyond it do not count.
 * Does not own: what is in a record (run.ts).
 */
import { keys, startOf } from '../codec/keys.js';
import { packRunRecord } from '../codec/packed/run-record.js';
import { packActivityRecord, packOutboxItem, packUpdateOutcome } from '../codec/run-record.js';
import type { Committer } from './committer.js';
import type { LargeWrites } from './large-writes.js';
import type { Live } from './live.js';
import type { Run } from './run.js';
import { packNumber, type Runs } from './runs.js';
import type { Store, WriteOp } from './store/store.js';
import { CHUNK_BYTES_LEAST, type Delivery, type Unsaved } from './unsaved.js';

/** What one write holds while the compactor keeps pace; more when it falls behind, so that it catches up. */
const SLICE_BYTES = 256 * 1024;
const SLICE_RUNS = 256;
/** A chunk of history is at most about as large as a slice, and smaller than the journal may become. */
const CHUNKS_PER_JOURNAL = 64;
/** One write of the trim. Its removals are looked up and packed in one go, about 2 us each. */
const TRIM_ROWS = 128;
/**
 * A run that the store lacks some of stays in memory, about 1.8 KiB, so as many bytes of journal as this stand for one run at least.
 * More would have runs written again for every few messages where many take turns.
 */
const BYTES_PER_RUN = 256;
/**
 * Of one that has ended nothing more will come to write: the sooner it goes, the less the garbage collector has to move. These
 * begin a compaction, but it keeps its pace.
 */
const BYTES_PER_ENDED_RUN = 8_192;
/** With so many times what begins a compaction it lets nobody go before it. */
const HURRIED_LOAD = 2;
/** Fewer runs than this begin no compaction, however small the journal may be. */
const RUNS_LEAST = 256;

export class Compactor {
  readonly #store: Store;
  readonly #runs: Runs;
  readonly #committer: Committer;
  readonly #largeWrites: LargeWrites;
  readonly #journalBytesMax: number;
  readonly #chunkBytes: number;
  readonly #onError: (error: Error) => void;
  #dirty = new Set<Live>();
  /** Those of them that have ended, but for what a failed write left: when there is such, bytes alone count. */
  readonly #ended = new Set<Live>();
  /** Bytes of frames that stand in the journal only. */
  #bytes = 0;
  /** As many there were when a compaction failed; the next begins when there are enough beside them. */
  #bytesLeft = 0;
  #running: Promise<void> | undefined;
  #finishing = false;
  /** Where the journal begins at the earliest. To read from its very beginning would meet all that was removed and that the data file still has. */
  #journalFrom: Uint8Array = startOf('j');

  constructor(parts: {
    store: Store;
    runs: Runs;
    committer: Committer;
    largeWrites: LargeWrites;
    journalBytesMax: number;
    onError: (error: Error) => void;
  }) {
    this.#store = parts.store;
    this.#runs = parts.runs;
    this.#committer = parts.committer;
    this.#largeWrites = parts.largeWrites;
    this.#journalBytesMax = parts.journalBytesMax;
    this.#chunkBytes = Math.min(
      SLICE_BYTES,
      Math.max(CHUNK_BYTES_LEAST, parts.journalBytesMax / CHUNKS_PER_JOURNAL),
    );
    this.#onError = parts.onError;
  }

  get unsavedBytes(): number {
    return this.#bytes;
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** The run is going to be written. */
  holds(live: Live): boolean {
    return this.#dirty.has(live);
  }

  /** Durable frames of this run now stand in the journal only. */
  noted(live: Live, bytes: number): void {
    this.#dirty.add(live);
    if (live.run.closed) this.#ended.add(live);
    this.#bytes += bytes;
    if (this.#running === undefined && this.#isDue) this.run().catch(this.#onError);
  }

  get #isDue(): boolean {
    if (this.#bytesLeft > 0) return this.#bytes - this.#bytesLeft >= this.#journalBytesMax / 2;
    const endedMost = Math.max(RUNS_LEAST, this.#journalBytesMax / 2 / BYTES_PER_ENDED_RUN);
    return this.#load >= 1 || this.#ended.size >= endedMost;
  }

  /** 1 when there is as much to move as begins a compaction, in bytes or in runs. */
  get #load(): number {
    const most = this.#journalBytesMax / 2;
    return Math.max(this.#bytes / most, this.#dirty.size / Math.max(RUNS_LEAST, most / BYTES_PER_RUN));
  }

  /** Moves all that was durable when it began. Joins a compaction under way. */
  run(): Promise<void> {
    // Not at once: a run may be noted in the middle of a journal value of which more entries are its own, and a run's
    // record must hold all or nothing of a value.
    this.#running ??= Promise.resolve()
      .then(() => this.#compact())
      .finally(() => {
        this.#running = undefined;
      })
      .then(() => {
        // What came meanwhile may be as much again, and nothing more need come.
        if (this.#isDue) this.run().catch(this.#onError);
      });
    return this.#running;
  }

  /** As run, and none is under way afterwards if nothing more comes. */
  async finish(): Promise<void> {
    this.#finishing = true;
    try {
      do await this.run();
      while (this.running);
    } finally {
      this.#finishing = false;
    }
  }

  #write(ops: readonly WriteOp[]): Promise<void> {
    const bytes = ops.reduce((sum, op) => sum + (op.kind === 'put' ? op.value.length : 0), 0);
    const hurries = () => this.#finishing || this.#load > HURRIED_LOAD;
    return this.#largeWrites.compaction(bytes, () => this.#store.write(ops), hurries);
  }

  async #compact(): Promise<void> {
    const through = this.#committer.durableSeq;
    const runs = [...this.#dirty];
    try {
      for (let at = 0; at < runs.length; ) at = await this.#saveSlice(runs, at);
      await this.#trim(through);
      this.#bytesLeft = 0;
    } catch (error) {
      this.#bytesLeft = this.#bytes;
      throw error;
    }
  }

  /** Saves some of the runs, from `at` on, in one write. Returns where to go on. */
  async #saveSlice(runs: readonly Live[], at: number): Promise<number> {
    const slice: { live: Live; through: number }[] = [];
    const ops: WriteOp[] = [];
    let bytes = 0;
    let end = at;
    // 1 while there is no more than began the compaction: commits and slices take turns, so slices must not be smaller.
    const pace = Math.max(1, this.#load) ** 2;
    for (; end < runs.length && slice.length < SLICE_RUNS * pace && bytes < SLICE_BYTES * pace; end++) {
      const live = runs[end]!;
      if (isLong(live.run.unsaved, this.#chunkBytes * pace)) {
        // What is in the slice is of this moment, and would not be any more.
        if (slice.length > 0) break;
        await this.#saveAhead(live.run, this.#chunkBytes * pace);
      }
      this.#dirty.delete(live);
      this.#ended.delete(live);
      const unsaved = live.run.beginSave();
      const through = unsaved.frames.at(-1)?.seq ?? live.run.through;
      slice.push({ live, through });
      const isLatest = unsaved.isNew && this.#runs.isLatest(live);
      bytes += save(
        live.run,
        unsaved,
        through,
        { isLatest, isAwaited: (delivery) => this.#runs.isAwaited(delivery) },
        ops,
      );
    }
    try {
      await this.#write(ops);
    } catch (error) {
      for (const { live, through } of slice) live.run.saveFailed(through);
      // Before those that were noted meanwhile: a run must not be written later than the one that it continued as.
      this.#dirty = new Set([...slice.map(({ live }) => live), ...this.#dirty]);
      throw error;
    }
    this.#bytes -= bytes;
    for (const { live, through } of slice) {
      live.run.saved(through);
      this.#runs.forget(live);
    }
    return end;
  }

  /** Writes history chunks of a run until what is left is no longer than one. */
  async #saveAhead({ runNo, unsaved }: Run, most: number): Promise<void> {
    while (isLong(unsaved, most)) {
      const { frames, ahead, stale } = unsaved;
      const chunk = nextChunk(frames, ahead.frames, most);
      const end = ahead.frames + chunk.length;
      // What is left came in one journal value.
      if (end === frames.length) return;
      const { seq } = chunk.at(-1)!;
      const value = concat(chunk.map(({ bytes }) => bytes));
      try {
        await this.#write([...removals(runNo, stale), { kind: 'put', key: keys.history(runNo, seq), value }]);
      } catch (error) {
        unsaved.stale = [...stale, seq];
        throw error;
      }
      unsaved.stale = [];
      unsaved.ahead = { frames: end, bytes: ahead.bytes + value.length };
    }
  }

  /** The newest value stays, so that the numbering goes on from it when the store is opened again. */
  async #trim(through: number): Promise<void> {
    for (;;) {
      const ops: WriteOp[] = [];
      const some = { limit: TRIM_ROWS, keysOnly: true };
      for (const [key] of this.#store.range(this.#journalFrom, keys.journal(through), some))
        ops.push({ kind: 'remove', key });
      const last = ops.at(-1);
      if (last === undefined) return;
      await this.#store.write(ops);
      this.#journalFrom = last.key;
    }
  }
}

/**
 * Adds what changed about the run to the write. Returns its size in bytes.
 * @param isAwaited the sender does not know yet that this run has what it asked for
 */
function save(
  run: Run,
  unsaved: Unsaved,
  through: number,
  { isLatest, isAwaited }: { isLatest: boolean; isAwaited: (delivery: Delivery) => boolean },
  ops: WriteOp[],
): number {
  const { runNo, runId, namespace, workflowId, firstRunNo } = run.info;
  const put = (key: Uint8Array, value: Uint8Array) => ops.push({ kind: 'put', key, value });
  ops.push(...removals(runNo, unsaved.stale));
  if (unsaved.isNew) put(keys.runId(runId), packNumber(runNo));
  if (isLatest) put(keys.workflow(namespace, workflowId), packNumber(runNo));
  for (const { seq, due } of unsaved.timersRemoved)
    ops.push({ kind: 'remove', key: keys.due(due, runNo, 'timer', seq) });
  for (const [seq, timer] of run.timers) {
    if (timer.saved) continue;
    timer.saved = true;
    put(keys.due(timer.due, runNo, 'timer', seq), EMPTY);
  }
  for (const seq of unsaved.activitiesRemoved) ops.push({ kind: 'remove', key: keys.activity(runNo, seq) });
  for (const seq of unsaved.activitiesChanged) {
    const activity = run.activities.get(seq);
    if (activity === undefined) continue;
    put(keys.activity(runNo, seq), packActivityRecord(activity));
    // An attempt may be hours away. The key goes when it has been looked at.
    if (activity.attempt > 1) put(keys.due(activity.nextAt, runNo, 'activity', seq), EMPTY);
  }
  for (const [id, outcome] of unsaved.outcomes) put(keys.update(firstRunNo, id), packUpdateOutcome(outcome));
  for (const id of unsaved.requests) put(keys.request(firstRunNo, id), EMPTY);
  for (const no of unsaved.outboxRemoved) ops.push({ kind: 'remove', key: keys.outbox(runNo, no) });
  for (const { no, item } of run.outbox.takeUnsaved()) put(keys.outbox(runNo, no), packOutboxItem(item));
  for (const delivery of unsaved.deliveries)
    if (isAwaited(delivery)) put(deliveryKey(delivery), packNumber(runNo));
  for (const { kind, seq } of unsaved.settled)
    ops.push({ kind: 'remove', key: deliveryKey({ senderRunNo: runNo, kind, seq }) });
  const chunk = concat(unsaved.frames.slice(unsaved.ahead.frames).map(({ bytes }) => bytes));
  if (chunk.length > 0) put(keys.history(runNo, through), chunk);
  put(keys.run(runNo), packRunRecord(run.toRecord(through)));
  if (run.closeTime !== undefined) put(keys.ended(namespace, run.closeTime, runNo), EMPTY);
  if (run.needsTurn) put(keys.due(run.suspension?.since ?? run.lastTime, runNo, 'turnRetry', 0), EMPTY);
  const timeoutAt = run.timeoutAt;
  if (run.delayed && !run.closed) put(keys.due(run.firstTurnAt, runNo, 'firstTurn', 0), EMPTY);
  if (timeoutAt !== undefined && run.closed)
    ops.push({ kind: 'remove', key: keys.due(timeoutAt, runNo, 'runTimeout', 0) });
  else if (timeoutAt !== undefined && unsaved.isNew) put(keys.due(timeoutAt, runNo, 'runTimeout', 0), EMPTY);
  return unsaved.bytes;
}

function isLong({ bytes, ahead }: Unsaved, most: number): boolean {
  return bytes - ahead.bytes > most;
}

/** The frames of whole journal values, from `at` on, until there are so many bytes. */
function nextChunk(frames: Unsaved['frames'], at: number, most: number): Unsaved['frames'] {
  let bytes = 0;
  let end = at;
  while (end < frames.length && (bytes < most || frames[end]!.seq === frames[end - 1]!.seq))
    bytes += frames[end++]!.bytes.length;
  return frames.slice(at, end);
}

function removals(runNo: number, stale: readonly number[]): WriteOp[] {
  return stale.map((seq) => ({ kind: 'remove', key: keys.history(runNo, seq) }));
}

const deliveryKey = ({ senderRunNo, kind, seq }: Delivery) => keys.delivery(senderRunNo, kind, seq);

const EMPTY = new Uint8Array();

function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
