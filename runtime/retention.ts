/**
 * Retention: closed runs leave the store when their namespace's retention has passed since they closed.
 *
 *   closed --compactor--> record, rows, and its key among the ended --(retention passed, journal trimmed, nobody uses it)-->
 *     fits into a write:      record, ways to find it, rows                 --> gone
 *     too large for a write:  record, ways to find it, first rows | mark    --> rows, rows, ... last rows with the mark --> gone
 *
 * Owns: which runs go and when, in writes of bounded size with pauses between them, and going on after a crash.
 * Does not own: the key among the ended (compactor.ts writes it with the record), what rows a run has (codec/keys.ts).
 *
 * - Ended runs are ordered by namespace and close time, whether or not their namespace has a retention: nothing is scanned,
 *   and a retention that is set or changed later goes for all that closed before.
 * - A run is findable or not: its record and all ways to find it go in one write, and from before that write nobody is given
 *   the run (Runs.hide). What a large run leaves behind stands under a mark, and is swept by whoever opens the store.
 * - No journal value has an entry of a run that is removed, so recovery never meets one. Hence the order: compact, trim,
 *   remove. When the newest value, which is never trimmed, is what holds a run, an empty one is put after it.
 * - Run numbers are not given again (keys.highestRun): a due key that outlived its run finds nobody.
 * - A run with which something goes on is left for the next pass, and so is one that took what another run asked of it and
 *   that one does not know yet: it would ask again (D2). So is one whose last answer a watch has not given: an iterator that
 *   is neither read nor ended keeps one run, and there are at most limits.watchesMax. An activation that is only kept for the next query is let go.
 * - Request ids and update outcomes, which the runs of a chain share, go with its last run (D2).
 */
import {
  after,
  endOf,
  historyOfRun,
  keys,
  readEnded,
  readNumber,
  rowsOfChain,
  rowsOfRun,
  type Span,
  startOf,
} from '../codec/keys.js';
import { unpackRunRecord } from '../codec/packed/run-record.js';
import { followingRunId, type RunRecord } from '../codec/run-record.js';
import type { Clock } from './clock.js';
import type { Committer } from './committer.js';
import type { Compactor } from './compactor.js';
import type { Limits } from './limits.js';
import type { Live } from './live.js';
import type { Namespaces } from './namespaces.js';
import { packNumber, type Runs, unpackNumber } from './runs.js';
import type { Store, WriteOp } from './store/store.js';

/** Shortest time between two passes: a run that ends each moment must not make a pass of its own. */
const PASS_MS_MIN = 1_000;
/** A pass that failed, because the disk is full for example, is made again after this time. */
const FAILED_MS = 60_000;

interface Parts {
  store: Store;
  runs: Runs;
  committer: Committer;
  compactor: Compactor;
  clock: Clock;
  limits: Pick<Limits, 'retentionRowsMax' | 'retentionBytesMax' | 'retentionPauseMsMin'>;
  namespaces: Namespaces;
  /** Lets go of the activation of a run. Returns false when there is none, or it is needed. */
  passivate: (live: Live) => boolean;
  /** Numbers of runs that took what another run asked of them, while that one does not know it (deliveries.ts). */
  awaited: () => Iterable<number>;
  /** Numbers of runs, and of chains, of which a reader has not seen the last (watch.ts). */
  unread: () => Kept;
  onError: (error: Error) => void;
}

/** Runs that somebody still needs, and chains whose last run somebody does. */
interface Kept {
  runs: ReadonlySet<number>;
  chains: ReadonlySet<number>;
}

/** What one write removes. */
interface Slice {
  ops: WriteOp[];
  bytes: number;
  runs: number[];
  /** A run of which rows are left, and the chain that goes with it (0: none). */
  large: { runNo: number; chainNo: number } | undefined;
  /** Some could not go yet, because the journal has entries of them or an activation was kept. */
  inJournal: boolean;
  released: boolean;
  /** Where to go on among the ended; undefined at the end. */
  next: Uint8Array | undefined;
}

export class Retention {
  readonly #parts: Parts;
  readonly #retentions: readonly (readonly [namespace: string, ms: number])[];
  /** Earliest close time by namespace of runs that may not be among the ended in the store yet. */
  #unsaved = new Map<string, number>();
  #removed = 0;
  #wakeAt = Number.POSITIVE_INFINITY;
  #notBefore = 0;
  #stop: () => void = () => undefined;
  #pass: Promise<void> | undefined;
  #endPause: () => void = () => undefined;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#retentions = [...parts.namespaces].flatMap(([namespace, { retentionMs }]) =>
      retentionMs === undefined ? [] : [[namespace, retentionMs] as const],
    );
  }

  /** Runs removed since the store was opened. */
  get removed(): number {
    return this.#removed;
  }

  /** @param recovered runs of which the journal has entries */
  start(recovered: readonly Live[]): void {
    for (const live of recovered) this.#note(live);
    this.#arm(this.#parts.clock.now());
  }

  /** The run has closed, durably. */
  closed(live: Live): void {
    const at = this.#note(live);
    if (at !== undefined) this.#arm(at);
  }

  /** Begins no further write. Resolves when the one under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop();
    this.#endPause();
    await this.#pass;
  }

  /** Returns when the run is to be removed, if ever. */
  #note({ run }: Live): number | undefined {
    const { namespace } = run.info;
    const retentionMs = this.#parts.namespaces.get(namespace)?.retentionMs;
    if (run.closeTime === undefined || retentionMs === undefined) return undefined;
    this.#unsaved.set(namespace, Math.min(run.closeTime, this.#unsaved.get(namespace) ?? run.closeTime));
    return run.closeTime + retentionMs;
  }

  // ----- when --------------------------------------------------------------------------------------------------

  /** The next pass begins at this time, or when one is due already, before. */
  #arm(due: number): void {
    const at = Math.max(due, this.#notBefore);
    if (this.#closed || this.#pass !== undefined || at >= this.#wakeAt) return;
    this.#stop();
    this.#wakeAt = at;
    this.#stop = this.#parts.clock.after(at - this.#parts.clock.now(), () => this.#wake());
  }

  #wake(): void {
    const { clock, onError } = this.#parts;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#pass = this.#removeAllDue()
      .then(() => {
        this.#notBefore = clock.now() + PASS_MS_MIN;
        return this.#nextDue();
      })
      .catch((error) => {
        onError(error as Error);
        this.#notBefore = clock.now() + FAILED_MS;
        return this.#notBefore;
      })
      .then((due) => {
        this.#pass = undefined;
        this.#arm(due);
      });
  }

  #nextDue(): number {
    if (this.#closed) return Number.POSITIVE_INFINITY;
    return Math.min(
      ...this.#retentions.map(
        ([namespace, ms]) => ms + Math.min(this.#earliest(namespace), this.#unsavedIn(namespace)),
      ),
    );
  }

  /** Close time of the run among the ended that closed first. */
  #earliest(namespace: string): number {
    const [from, to] = endedUntil(namespace, Number.MAX_SAFE_INTEGER - 1);
    for (const [key] of this.#parts.store.range(from, to, { limit: 1 })) return readEnded(key).closeTime;
    return Number.POSITIVE_INFINITY;
  }

  #unsavedIn(namespace: string): number {
    return this.#unsaved.get(namespace) ?? Number.POSITIVE_INFINITY;
  }

  // ----- one pass ----------------------------------------------------------------------------------------------

  async #removeAllDue(): Promise<void> {
    await this.#sweepMarked();
    for (const [namespace, ms] of this.#retentions) {
      const until = this.#parts.clock.now() - ms;
      if (until < 0 || this.#closed) continue;
      if (this.#unsavedIn(namespace) <= until) await this.#compact();
      const left = await this.#removeUntil(namespace, until);
      if (left.inJournal) await this.#trimJournal();
      if (left.released) await this.#pause();
      if (left.inJournal || left.released) await this.#removeUntil(namespace, until);
    }
  }

  /** Returns what stood in the way of some. */
  async #removeUntil(namespace: string, until: number): Promise<Pick<Slice, 'inJournal' | 'released'>> {
    const [from, to] = endedUntil(namespace, until);
    const left = { inJournal: false, released: false };
    // A closed run takes nothing more, and whoever begins to look at it now does so at once: this can only become less.
    const { runs, chains } = this.#parts.unread();
    const kept = { runs: new Set([...this.#parts.awaited(), ...runs]), chains };
    for (let at: Uint8Array | undefined = from; at !== undefined && !this.#closed; ) {
      const slice = this.#slice(at, to, kept);
      await this.#remove(slice);
      if (slice.large !== undefined) await this.#sweep(slice.large);
      left.inJournal ||= slice.inJournal;
      left.released ||= slice.released;
      at = slice.next;
    }
    return left;
  }

  /** Runs that fit into one write, or the first part of one that does not. */
  #slice(from: Uint8Array, to: Uint8Array, kept: Kept): Slice {
    const { store } = this.#parts;
    const slice = newSlice();
    const trimmed = this.#trimmed();
    let looked = 0;
    for (const [key] of store.range(from, to)) {
      // Those that stay cost a look too, and nobody else runs meanwhile.
      if (++looked > this.#parts.limits.retentionRowsMax || !this.#take(key, trimmed, kept, slice)) {
        slice.next = key;
        break;
      }
      if (slice.large !== undefined) {
        slice.next = after(key);
        break;
      }
    }
    return slice;
  }

  /** Adds a run to the slice, if it may go at all. Returns false when there is no room left for it. */
  #take(ended: Uint8Array, trimmed: number, kept: Kept, slice: Slice): boolean {
    const { store } = this.#parts;
    const { runNo } = readEnded(ended);
    if (kept.runs.has(runNo) || this.#inUse(runNo, slice)) return true;
    const value = store.get(keys.run(runNo));
    if (value === undefined) {
      slice.ops.push(remove(ended));
      return true;
    }
    const record = unpackRunRecord(value);
    const endsChain = followingRunId(record.outcome) === undefined;
    if (endsChain && kept.chains.has(record.info.firstRunNo)) return true;
    if (record.through > trimmed) {
      slice.inJournal = true;
      return true;
    }
    const chainNo = endsChain ? record.info.firstRunNo : 0;
    const part = newSlice();
    part.ops.push(remove(ended), remove(keys.run(runNo)), ...this.#waysTo(record));
    const whole = this.#gather([...rowsOf(record), ...chainRows(chainNo)], part, slice);
    if (!whole && slice.ops.length > 0) return false;
    if (!whole) {
      part.ops.push({ kind: 'put', key: keys.removed(runNo), value: packNumber(chainNo) });
      slice.large = { runNo, chainNo };
    }
    slice.ops.push(...part.ops);
    slice.bytes += part.bytes;
    slice.runs.push(runNo);
    return true;
  }

  /** Something goes on with the run. An activation that is only kept for the next query is let go. */
  #inUse(runNo: number, slice: Slice): boolean {
    const live = this.#parts.runs.peek(runNo);
    if (live === undefined || (live.idle && !this.#parts.compactor.holds(live))) return false;
    if (this.#parts.passivate(live)) slice.released = true;
    return true;
  }

  #waysTo({ info: { runNo, runId, namespace, workflowId } }: RunRecord): WriteOp[] {
    const latest = keys.workflow(namespace, workflowId);
    const value = this.#parts.store.get(latest);
    // One that began since is on its way to this row.
    const latestNo = this.#parts.runs.peekLatest(namespace, workflowId)?.run.runNo ?? runNo;
    const isLatest = value !== undefined && unpackNumber(value) === runNo && latestNo === runNo;
    return isLatest ? [remove(keys.runId(runId)), remove(latest)] : [remove(keys.runId(runId))];
  }

  /** Removes rows for as long as there is room, also for what is in `beside`. Returns whether these were all. */
  #gather(spans: readonly Span[], slice: Slice, beside?: Slice): boolean {
    const { store, limits } = this.#parts;
    for (const [from, to] of spans) {
      for (const [key, value] of store.range(from, to)) {
        const full =
          slice.ops.length + (beside?.ops.length ?? 0) >= limits.retentionRowsMax ||
          slice.bytes + (beside?.bytes ?? 0) >= limits.retentionBytesMax;
        if (full) return false;
        slice.ops.push(remove(key));
        slice.bytes += value.length;
      }
    }
    return true;
  }

  async #remove({ ops, runs: removed }: Slice): Promise<void> {
    const { store, runs } = this.#parts;
    if (ops.length === 0) return;
    for (const runNo of removed) runs.hide(runNo);
    try {
      const highest: WriteOp = { kind: 'put', key: keys.highestRun(), value: packNumber(runs.lastNo) };
      await store.write([...ops, highest]);
      this.#removed += removed.length;
    } finally {
      for (const runNo of removed) runs.unhide(runNo);
    }
    await this.#pause();
  }

  // ----- what large runs leave behind ----------------------------------------------------------------------------

  /** Marks of a process that did not come to the end. */
  async #sweepMarked(): Promise<void> {
    for (const [key, value] of this.#parts.store.range(startOf('g'), endOf('g')))
      await this.#sweep({ runNo: readNumber(key, 0), chainNo: unpackNumber(value) });
  }

  async #sweep({ runNo, chainNo }: { runNo: number; chainNo: number }): Promise<void> {
    const spans = [...rowsOfRun(runNo), ...chainRows(chainNo)];
    for (let all = false; !all && !this.#closed; ) {
      const slice = newSlice();
      all = this.#gather(spans, slice);
      if (all) slice.ops.push(remove(keys.removed(runNo)));
      await this.#parts.store.write(slice.ops);
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.#parts.clock.after(this.#parts.limits.retentionPauseMsMin, resolve);
      this.#endPause = () => {
        stop();
        resolve();
      };
    });
  }

  // ----- before a run can go -------------------------------------------------------------------------------------

  /** Number of the journal value below the oldest one that is there: entries up to it are in records and history only. */
  #trimmed(): number {
    for (const [key] of this.#parts.store.range(startOf('j'), endOf('j'), { limit: 1, keysOnly: true }))
      return readNumber(key, 0) - 1;
    return Number.POSITIVE_INFINITY;
  }

  /** Brings everything that is durable now into records and history. */
  async #compact(): Promise<void> {
    const { compactor } = this.#parts;
    const noted = this.#unsaved;
    this.#unsaved = new Map();
    try {
      // One under way may have begun before the last of them closed.
      if (compactor.running) await compactor.run();
      await compactor.run();
    } catch (error) {
      for (const [namespace, at] of noted)
        this.#unsaved.set(namespace, Math.min(at, this.#unsavedIn(namespace)));
      throw error;
    }
  }

  /** Removes all journal values of now: the newest of them is not the newest any more. */
  async #trimJournal(): Promise<void> {
    const { committer } = this.#parts;
    committer.append(
      new Uint8Array(),
      () => undefined,
      () => undefined,
    );
    await committer.settled();
    await this.#compact();
  }
}

function newSlice(): Slice {
  return {
    ops: [],
    bytes: 0,
    runs: [],
    large: undefined,
    inJournal: false,
    released: false,
    next: undefined,
  };
}

/** Runs among the ended that closed at this time or before. */
function endedUntil(namespace: string, closeTime: number): Span {
  return [keys.ended(namespace, 0, 0), keys.ended(namespace, closeTime + 1, 0)];
}

/** Its activities went when it closed, and if it never asked anything of another run, there is only its history. */
function rowsOf({ info: { runNo }, outboxNo }: RunRecord): Span[] {
  return outboxNo === 0 ? [historyOfRun(runNo)] : rowsOfRun(runNo);
}

function chainRows(chainNo: number): Span[] {
  return chainNo === 0 ? [] : rowsOfChain(chainNo);
}

function remove(key: Uint8Array): WriteOp {
  return { kind: 'remove', key };
}
