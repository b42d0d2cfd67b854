/**
 * The directory of runs: by number, by run id, and the latest run of a workflow id.
 *
 * Owns: which runs are in the host's memory, loading the others from the store when asked for, numbering new ones.
 * Does not own: what happens to a run (run.ts), moving its entries into the store (compactor.ts), removing it (retention.ts).
 *
 * A run is kept while something goes on with it or the store lacks some of it; otherwise the store is its only place.
 */
import { type Frame, frames, type StartInfo, unpackEntry } from '../codec/journal-entry.js';
import { endOf, keys, readNumber, startOf } from '../codec/keys.js';
import { unpackRunRecord } from '../codec/packed/run-record.js';
import { type OutboxItem, unpackActivityRecord, unpackOutboxItem } from '../codec/run-record.js';
import { InvariantError } from './errors.js';
import { journalValues } from './journal.js';
import { Live } from './live.js';
import { Run } from './run.js';
import type { Store } from './store/store.js';
import { CHUNK_BYTES_LEAST, type Delivery } from './unsaved.js';

/** Runs that were loaded and may have become idle since (D8). */
const VISITED_MAX = 1_024;

export class Runs {
  readonly #store: Store;
  readonly #byNo = new Map<number, Live>();
  /** Latest run by namespace and workflow id, for runs in memory. */
  readonly #latest = new Map<string, Live>();
  readonly #byRunId = new Map<string, Live>();
  /** Runs loaded because somebody asked for them, oldest first. Nothing may come of it, so they are looked at again. */
  readonly #visited: Live[] = [];
  /** Runs that are being removed; nobody finds them any more. */
  readonly #hidden = new Set<number>();
  #lastNo = 0;

  constructor(store: Store) {
    this.#store = store;
    for (const [key] of store.range(startOf('r'), endOf('r'), { reverse: true, limit: 1 }))
      this.#lastNo = readNumber(key, 0);
    // The run with the highest number may have been removed. Numbers are never given twice: rows of it may be left.
    const highest = store.get(keys.highestRun());
    if (highest !== undefined) this.#lastNo = Math.max(this.#lastNo, unpackNumber(highest));
  }

  get inMemory(): number {
    return this.#byNo.size;
  }

  all(): Iterable<Live> {
    return this.#byNo.values();
  }

  nextNo(): number {
    return ++this.#lastNo;
  }

  /** The highest number given so far. */
  get lastNo(): number {
    return this.#lastNo;
  }

  get(runNo: number): Live | undefined {
    return this.#byNo.get(runNo) ?? this.#load(runNo);
  }

  /** Only if it is in memory. */
  peek(runNo: number): Live | undefined {
    return this.#byNo.get(runNo);
  }

  latest(namespace: string, workflowId: string): Live | undefined {
    const key = idKey(namespace, workflowId);
    const inMemory = this.#latest.get(key);
    if (inMemory !== undefined) return inMemory;
    const value = this.#store.get(keys.workflow(namespace, workflowId));
    const live = value === undefined ? undefined : this.get(unpackNumber(value));
    // The next message for it need not ask the store again: that costs as much as all else that is done to find a run.
    if (live !== undefined) this.#latest.set(key, live);
    return live;
  }

  /** Only if it is known in memory. */
  peekLatest(namespace: string, workflowId: string): Live | undefined {
    return this.#latest.get(idKey(namespace, workflowId));
  }

  byRunId(runId: string): Live | undefined {
    const inMemory = this.#byRunId.get(runId);
    if (inMemory !== undefined) return inMemory;
    const value = this.#store.get(keys.runId(runId));
    return value === undefined ? undefined : this.get(unpackNumber(value));
  }

  /** Only if it is in memory. */
  peekRunId(runId: string): Live | undefined {
    return this.#byRunId.get(runId);
  }

  /** A run that is about to start. It becomes the latest of its workflow id at once. */
  admit(info: StartInfo): Live {
    const live = new Live(new Run(info, true));
    const key = idKey(info.namespace, info.workflowId);
    live.before = this.#latest.get(key);
    this.#keep(live);
    this.#latest.set(key, live);
    return live;
  }

  /** The start did not become durable: whichever run was latest before is so again. */
  discard(live: Live): void {
    const { before, run } = live;
    this.#remove(live);
    // One that has left memory since is found through the store.
    if (before !== undefined && this.#byNo.get(before.run.runNo) === before)
      this.#latest.set(idKey(run.info.namespace, run.info.workflowId), before);
  }

  /** Of the runs of its workflow id whose start is durable, this is the last. */
  isLatest(live: Live): boolean {
    const latest = this.latest(live.run.info.namespace, live.run.info.workflowId);
    return latest === live || latest?.before === live;
  }

  /** The sender does not know yet that it was delivered. One that waits for something is in memory. */
  isAwaited({ senderRunNo, kind, seq }: Delivery): boolean {
    return this.peek(senderRunNo)?.run.awaits(kind, seq) ?? false;
  }

  /** Leaves the host's memory; the store has all of it. */
  forget(live: Live): void {
    if (!live.idle) return;
    this.#remove(live);
  }

  /** The run is about to be removed from the store: from here on it is not found, as if it had been. It must be idle. */
  hide(runNo: number): void {
    const live = this.#byNo.get(runNo);
    if (live !== undefined) this.#remove(live);
    this.#hidden.add(runNo);
  }

  /** The removal is over; whether the run is still there, the store says. */
  unhide(runNo: number): void {
    this.#hidden.delete(runNo);
  }

  /** Numbers of runs that the store knows to have unsettled activities. */
  withActivities(): Set<number> {
    const found = new Set<number>();
    for (const [key] of this.#store.range(startOf('a'), endOf('a'), { keysOnly: true }))
      found.add(readNumber(key, 0));
    return found;
  }

  /** Numbers of runs that the store knows to ask something of others. */
  withOutbox(): Set<number> {
    const found = new Set<number>();
    for (const [key] of this.#store.range(startOf('o'), endOf('o'), { keysOnly: true }))
      found.add(readNumber(key, 0));
    return found;
  }

  /** History of a run: what the store has, then what only the journal has. */
  history(live: Live): Uint8Array[] {
    const { run } = live;
    const chunks: Uint8Array[] = [];
    // Only up to what is known to be there: a write that failed may have left a chunk that the journal still has too.
    for (const [, value] of this.#store.range(
      keys.history(run.runNo, 0),
      keys.history(run.runNo, run.through + 1),
    ))
      chunks.push(value);
    chunks.push(...run.unsavedFrames());
    return chunks;
  }

  #load(runNo: number): Live | undefined {
    if (this.#hidden.has(runNo)) return undefined;
    const value = this.#store.get(keys.run(runNo));
    if (value === undefined) return undefined;
    const activities = [...this.#store.range(keys.activity(runNo, 0), keys.activity(runNo + 1, 0))];
    const record = unpackRunRecord(value);
    const run = Run.fromRecord(
      record,
      activities.map(([key, activity]) => [readNumber(key, 1), unpackActivityRecord(activity)] as const),
      record.outboxNo === 0 ? [] : this.#outbox(runNo),
    );
    const live = new Live(run);
    this.#keep(live);
    this.#visited.push(live);
    if (this.#visited.length > VISITED_MAX)
      for (const visited of this.#visited.splice(0, VISITED_MAX / 2)) this.forget(visited);
    return live;
  }

  #outbox(runNo: number): (readonly [number, OutboxItem])[] {
    const rows = [...this.#store.range(keys.outbox(runNo, 0), keys.outbox(runNo + 1, 0))];
    return rows.map(([key, item]) => [readNumber(key, 1), unpackOutboxItem(item)] as const);
  }

  #keep(live: Live): void {
    const { runNo, runId } = live.run.info;
    this.#byNo.set(runNo, live);
    this.#byRunId.set(runId, live);
    this.#lastNo = Math.max(this.#lastNo, runNo);
  }

  #remove(live: Live): void {
    const { runNo, runId, namespace, workflowId } = live.run.info;
    if (this.#byNo.get(runNo) !== live) return;
    this.#byNo.delete(runNo);
    this.#byRunId.delete(runId);
    const key = idKey(namespace, workflowId);
    if (this.#latest.get(key) === live) this.#latest.delete(key);
  }

  /** A run of which the store has no record. A later one of the same workflow id may have one: saving stopped half way. */
  #admitRecovered({ runNo, body }: Frame, seq: number): Live {
    const entry = unpackEntry(body);
    if (entry.kind !== 'started')
      throw new InvariantError(`Journal value ${seq} has an entry of run ${runNo}, which never started`);
    const { info } = entry;
    const latest = this.latest(info.namespace, info.workflowId);
    const live = this.admit(info);
    live.before = undefined;
    if (latest !== undefined && latest.run.runNo > info.runNo)
      this.#latest.set(idKey(info.namespace, info.workflowId), latest);
    return live;
  }

  /**
   * Applies the journal values that the store's records do not contain yet. Returns the number of the newest.
   * @param counted all updates are counted, because there is a limit on them
   * @throws InvariantError for an entry of a run of which there is neither record nor start.
   */
  recover(counted = false): { lastSeq: number; recovered: Live[] } {
    const recovered = new Set<Live>();
    let lastSeq = 0;
    for (const { seq, value } of journalValues(this.#store)) {
      lastSeq = seq;
      for (const frame of frames(value)) {
        const live = this.get(frame.runNo) ?? this.#admitRecovered(frame, seq);
        const { run } = live;
        if (seq <= run.through) continue;
        run.append(frame, seq);
        if (run.isConcernedBy(frame, counted)) run.apply(unpackEntry(frame.body, run.info.identity));
        recovered.add(live);
      }
    }
    for (const { run } of recovered) if (run.unsaved.bytes > CHUNK_BYTES_LEAST) this.#findAhead(run);
    return { lastSeq, recovered: [...recovered] };
  }

  /** The process may have ended when history chunks had gone ahead of the run's record: the journal has what is in them. */
  #findAhead({ runNo, through, unsaved }: Run): void {
    const [from, to] = [keys.history(runNo, through + 1), keys.run(runNo + 1)];
    for (const [key] of this.#store.range(from, to, { keysOnly: true }))
      unsaved.stale.push(readNumber(key, 1));
  }
}

function idKey(namespace: string, workflowId: string): string {
  return `${namespace}\0${workflowId}`;
}

export function packNumber(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

export function unpackNumber(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0);
}
