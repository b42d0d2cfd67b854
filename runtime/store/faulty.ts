/**
 * A store that fails on demand, around any other store. For tests of the whole runtime, in the product so that people
 * who embed Signalbox can use it in theirs.
 *
 * Owns: when a write fails, waits or is lost. Does not own: rows; what is read comes from the inner store untouched.
 *
 *                 before the commit                      after the commit
 *      write() --> [hold] [delay] [fail] --> inner.write --> [hold] [fail] --> promise settles
 *                        one write at a time, in call order
 *
 * It keeps the promises of the port (store.ts), also while it fails: a write that failed before the commit left
 * nothing, and after a StoreFailedError every later write is refused, as the store on disk does.
 */
import { StoreFailedError, StoreFullError } from './errors.js';
import { checkOps, type RangeOptions, type Row, type Store, type StoreStats, type WriteOp } from './store.js';

/** What happens to one write. `after` means that the write is in the store although its promise rejects. */
export type Fault = { kind: 'full' } | { kind: 'fail'; when: 'before' | 'after' };

type Gate =
  | { kind: 'open' }
  | { kind: 'held'; when: 'before' | 'after'; release: () => void; released: Promise<void> };

/** The script of a faulty store. An empty plan changes nothing. Can be changed at any time; it goes for what comes next. */
export class FaultPlan {
  /** While true, every write that puts something is refused with StoreFullError; removals go through. */
  full = false;
  /** Awaited before each write reaches the inner store: a timer, some turns, whatever the test injects. */
  delay: ((writeNumber: number) => Promise<void>) | undefined;
  readonly #faults = new Map<number, Fault>();
  #gate: Gate = { kind: 'open' };
  #writes = 0;
  #crashed = false;

  /** Writes begun so far. The next one has this number plus one. */
  get writes(): number {
    return this.#writes;
  }

  get crashed(): boolean {
    return this.#crashed;
  }

  /** Plans a fault for one write, counted from 1 since the plan was made. */
  at(writeNumber: number, fault: Fault): this {
    this.#faults.set(writeNumber, fault);
    return this;
  }

  /** Plans a fault for the next write that begins. */
  next(fault: Fault): this {
    return this.at(this.#writes + 1, fault);
  }

  /** From now on writes stop before they reach the store, or after it but unacknowledged, until release(). */
  hold(when: 'before' | 'after' = 'before'): this {
    this.release();
    const { promise, resolve } = deferred();
    this.#gate = { kind: 'held', when, release: resolve, released: promise };
    return this;
  }

  /** Lets held writes go on, and later ones pass. */
  release(): this {
    if (this.#gate.kind === 'held') this.#gate.release();
    this.#gate = { kind: 'open' };
    return this;
  }

  /**
   * As if the process were killed now: writes under way and later ones neither settle nor reach the inner store, which
   * stays open. Wrap it again to see what a restart finds.
   */
  crash(): this {
    this.#crashed = true;
    return this;
  }

  /** For the store: counts a write and tells its fault. */
  begin(): { number: number; fault: Fault | undefined } {
    this.#writes += 1;
    return { number: this.#writes, fault: this.#faults.get(this.#writes) };
  }

  /** For the store: waits while writes are held at this point. */
  async pass(when: 'before' | 'after'): Promise<void> {
    while (this.#gate.kind === 'held' && this.#gate.when === when) await this.#gate.released;
  }
}

export function faultyStore(inner: Store, plan: FaultPlan = new FaultPlan()): Store {
  return new FaultyStore(inner, plan);
}

const WHERE = 'a faulty store';

class FaultyStore implements Store {
  readonly #inner: Store;
  readonly #plan: FaultPlan;
  #tail: Promise<unknown> = Promise.resolve();
  #failed: StoreFailedError | undefined;
  #closed: Promise<void> | undefined;

  constructor(inner: Store, plan: FaultPlan) {
    this.#inner = inner;
    this.#plan = plan;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#inner.get(key);
  }

  range(from: Uint8Array, to: Uint8Array, options?: RangeOptions): Iterable<Row> {
    return this.#inner.range(from, to, options);
  }

  stats(): StoreStats {
    return this.#inner.stats();
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    // A closed store, and a bad key, are refused by the inner store in its own words and count as no write.
    if (this.#closed !== undefined) return this.#inner.write(ops);
    const written = this.#tail.then(() => this.#run(ops));
    this.#tail = written.catch(() => {});
    return written;
  }

  close(): Promise<void> {
    if (this.#plan.crashed) return Promise.resolve();
    this.#closed ??= this.#closeInner();
    return this.#closed;
  }

  async #closeInner(): Promise<void> {
    await this.#tail;
    await this.#inner.close();
  }

  async #run(ops: readonly WriteOp[]): Promise<void> {
    checkOps(ops);
    if (this.#failed !== undefined) throw this.#failed;
    const { number, fault } = this.#plan.begin();
    await this.#plan.delay?.(number);
    await this.#plan.pass('before');
    await this.#settleNeverAfterCrash();
    this.#failBefore(fault, ops);
    await this.#inner.write(ops);
    await this.#plan.pass('after');
    await this.#settleNeverAfterCrash();
    if (fault?.kind === 'fail') this.#fail('the write was made, its acknowledgement was lost (planned)');
  }

  #failBefore(fault: Fault | undefined, ops: readonly WriteOp[]): void {
    const full = fault?.kind === 'full' || (this.#plan.full && ops.some((op) => op.kind === 'put'));
    if (full) throw new StoreFullError(WHERE, 'the disk is full (planned)');
    if (fault?.kind === 'fail' && fault.when === 'before')
      this.#fail('the write did not reach the disk (planned)');
  }

  #fail(what: string): never {
    this.#failed = new StoreFailedError(WHERE, what);
    throw this.#failed;
  }

  #settleNeverAfterCrash(): Promise<void> {
    return this.#plan.crashed ? new Promise(() => {}) : Promise.resolve();
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
