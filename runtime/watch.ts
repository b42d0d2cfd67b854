/**
 * Watches: the answer of a query, and again whenever a turn has changed it.
 *
 *   new --next()--> watching --its run closes, final answer given---------------> over
 *                   |      ^                                                       ^
 *                   |      +-- the next run is there --+                           |
 *                   +-- run continued as new --> following                         |
 *   return(), abort, an error of the query, the runtime closes: from anywhere -----+
 *
 * A watch pulls. What becomes durable only marks its run as changed; the query is asked when a reader wants more than it
 * has seen. So a slow reader gets the latest answer and costs nothing meanwhile, and nothing is ever asked at intervals.
 *
 * Owns: who watches what, one answer per question and run shared by all who watch it, how a watch ends.
 * Does not own: asking (the host's usual way to a query, output gate included), encoding (client/watch.ts).
 *
 * D4: an answer is what a query would give at that moment. D8: limits.watchesMax; a watch keeps the answer that its reader
 * has and shares the newest, and at most one query per question is under way.
 */
import type { Payload } from '../codec/journal-entry.js';
import { followingRunId, type RunInfo, type RunOutcome } from '../codec/run-record.js';
import { GrpcStatus, QueryRejectedError, RpcError, WorkflowNotFoundError } from './client/errors.js';
import type { Live } from './live.js';
import type { QueryReject, Target } from './service.js';

/** How soon it is tried again what a failed commit undid, ms. */
const AGAIN_MS = 250;

export interface WatchRequest {
  target: Target;
  name: string;
  args: Payload;
  reject: QueryReject;
  /** Ends the watch; whoever waits for its next answer gets an error with CANCELLED. */
  signal?: AbortSignal | undefined;
}

/** What watches ask of the host. */
export interface WatchHost {
  /** @throws what a query of that target would */
  find(target: Target): Live;
  /** Asks the run, however many messages wait: how many may ask is limited here. */
  ask(target: Target, name: string, args: Payload, reject: QueryReject): Promise<Payload>;
  /** Nobody watches the run any more. */
  unwatched(live: Live): void;
  /** Calls back later. Returns how to call it off. */
  after(ms: number, callback: () => void): () => void;
}

/** All watches of a runtime. */
export class Watches {
  readonly #host: WatchHost;
  readonly #most: number;
  readonly #open = new Set<Watch>();

  constructor(host: WatchHost, watchesMax: number) {
    this.#host = host;
    this.#most = watchesMax;
  }

  /** Those that have begun and are not over. */
  get size(): number {
    return this.#open.size;
  }

  /** Nothing is done, and nothing held, before its first next(). */
  open(request: WatchRequest): Watch {
    return new Watch(request, this.#host, {
      begun: (watch) => {
        if (this.#open.size >= this.#most) throw tooMany(this.#most);
        this.#open.add(watch);
      },
      over: (watch) => this.#open.delete(watch),
    });
  }

  /** Something of a watched run became durable, its end perhaps. */
  applied(live: Live): void {
    const topics = [...(live.watched?.values() ?? [])];
    if (live.run.closed) live.watched = undefined;
    for (const topic of topics) topic.applied(live.run.outcome);
  }

  /** The start of a watched run did not become durable. */
  lost(live: Live, error: Error): void {
    const topics = [...(live.watched?.values() ?? [])];
    live.watched = undefined;
    // The run that a run continues as is begun again until it is durable.
    const { runId, continuedFromRunId } = live.run.info;
    for (const topic of topics) topic.lost(continuedFromRunId === undefined ? error : { runId });
  }

  /**
   * What readers have not seen the last of, and must not lose (retention.ts): numbers of closed runs, and of chains whose
   * last run they are on their way to.
   */
  unread(): { runs: Set<number>; chains: Set<number> } {
    const unread = { runs: new Set<number>(), chains: new Set<number>() };
    for (const watch of this.#open) watch.noteUnread(unread);
    return unread;
  }

  /** The runtime closes: readers get the error. */
  close(error: () => Error): void {
    for (const watch of [...this.#open]) watch.end(error());
  }
}

interface Answer {
  bytes: Payload;
  /** What it shows: at least this many changes of the run. */
  changes: number;
}

/** One question about one run, for all who watch it. */
export class Topic {
  /** How often the run may have changed; not having been asked counts as one. */
  changes = 1;
  outcome: RunOutcome | undefined;
  readonly info: RunInfo;
  readonly #request: WatchRequest;
  readonly #host: WatchHost;
  readonly #watches = new Set<Watch>();
  #answer: Answer | undefined;
  #asking: Promise<Answer> | undefined;
  /** Nobody watches any more. */
  #left: () => void = () => undefined;

  constructor(request: Omit<WatchRequest, 'target'>, host: WatchHost, { run }: Live) {
    const { namespace, workflowId, runId } = run.info;
    this.#request = { ...request, target: { namespace, workflowId, runId } };
    this.#host = host;
    this.info = run.info;
    this.outcome = run.outcome;
  }

  /** The watch's place among those of the run; a new one for a question that nobody has asked yet. */
  static join(watch: Watch, live: Live, request: WatchRequest, host: WatchHost): Topic {
    const { run } = live;
    const { name, args, reject } = request;
    const key = `${reject} ${name}\0${Buffer.from(args).toString('latin1')}`;
    const topic = live.watched?.get(key) ?? new Topic({ name, args, reject }, host, live);
    topic.#watches.add(watch);
    // A run that has closed does not change any more: it need not know who looks at it.
    if (!run.closed) {
      live.watched ??= new Map();
      live.watched.set(key, topic);
      topic.#left = () => {
        live.watched?.delete(key);
        if (live.watched?.size !== 0) return;
        live.watched = undefined;
        host.unwatched(live);
      };
    }
    return topic;
  }

  leave(watch: Watch): void {
    this.#watches.delete(watch);
    if (this.#watches.size === 0 && this.outcome === undefined) this.#left();
  }

  applied(outcome: RunOutcome | undefined): void {
    this.changes++;
    this.outcome = outcome;
    for (const watch of this.#watches) watch.changed();
  }

  lost(what: Error | { runId: string }): void {
    for (const watch of [...this.#watches]) {
      if (what instanceof Error) watch.end(what);
      else watch.follow(what.runId);
    }
  }

  /** The newest answer. One that was asked for a moment ago may show less than all changes; whoever sees that asks again. */
  latest(): Promise<Answer> {
    if (this.#answer?.changes === this.changes) return Promise.resolve(this.#answer);
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<Answer> {
    const { changes } = this;
    const bytes = await this.#persist();
    const known = this.#answer?.bytes;
    // A copy: the answer lies among those of a whole batch, which it would keep in memory.
    const same = known !== undefined && equal(known, bytes);
    this.#answer = { bytes: same ? known : new Uint8Array(bytes), changes };
    return this.#answer;
  }

  /** A commit that fails takes answers along that showed its turns. They are asked for again as long as anyone waits. */
  async #persist(): Promise<Payload> {
    const { target, name, args, reject } = this.#request;
    for (;;) {
      try {
        return await this.#host.ask(target, name, args, reject);
      } catch (error) {
        if (this.#watches.size === 0 || !(error instanceof RpcError && error.retryable)) throw error;
      }
      await new Promise<void>((resolve) => void this.#host.after(AGAIN_MS, resolve));
    }
  }
}

type Phase =
  | { kind: 'new' }
  | { kind: 'watching'; topic: Topic; seen: number }
  | { kind: 'following'; runId: string; before: RunInfo }
  /** The error is thrown to the reader once. */
  | { kind: 'over'; error: Error | undefined };

/** One reader's watch. */
export class Watch implements AsyncIterableIterator<Payload> {
  readonly #request: WatchRequest;
  readonly #host: WatchHost;
  readonly #owner: { begun(watch: Watch): void; over(watch: Watch): void };
  #phase: Phase = { kind: 'new' };
  /** What the reader got last. */
  #given: Payload | undefined;
  /** Lets the reader look again, who waits for a change (or for an answer, which only the end cuts short). */
  #wake: ((why: 'changed' | 'moved') => void) | undefined;
  /** A reader may call next() again before the last call has settled: its calls are served one by one. */
  #calls: Promise<unknown> = Promise.resolve();
  readonly #abort = () => this.end(aborted(this.#request.signal));

  constructor(
    request: WatchRequest,
    host: WatchHost,
    owner: { begun(watch: Watch): void; over(watch: Watch): void },
  ) {
    this.#request = request;
    this.#host = host;
    this.#owner = owner;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Payload, undefined>> {
    const call = this.#calls.then(() => this.#next());
    this.#calls = call.catch(() => undefined);
    return call;
  }

  /** Ends the watch; also a next() that waits. */
  async return(): Promise<IteratorResult<Payload, undefined>> {
    this.end(undefined);
    return DONE;
  }

  /** @param error what the reader is to get instead of the end */
  end(error: Error | undefined): void {
    const before = this.#phase;
    if (before.kind === 'over') return;
    this.#phase = { kind: 'over', error };
    this.#request.signal?.removeEventListener('abort', this.#abort);
    if (before.kind === 'watching') before.topic.leave(this);
    this.#owner.over(this);
    this.#wake?.('moved');
  }

  changed(): void {
    this.#wake?.('changed');
  }

  /** Goes on with another run of the chain. */
  follow(runId: string): void {
    if (this.#phase.kind !== 'watching') return;
    const { topic } = this.#phase;
    topic.leave(this);
    this.#phase = { kind: 'following', runId, before: topic.info };
    this.#wake?.('moved');
  }

  noteUnread({ runs, chains }: { runs: Set<number>; chains: Set<number> }): void {
    const phase = this.#phase;
    if (phase.kind === 'following') chains.add(phase.before.firstRunNo);
    if (phase.kind !== 'watching' || phase.topic.outcome === undefined) return;
    const { topic, seen } = phase;
    if (this.#nextRunId(topic) !== undefined) chains.add(topic.info.firstRunNo);
    else if (seen < topic.changes) runs.add(topic.info.runNo);
  }

  /** The run to go on with when this one has closed, unless only this one was meant. */
  #nextRunId({ outcome }: Topic): string | undefined {
    return this.#request.target.runId === undefined ? followingRunId(outcome) : undefined;
  }

  async #next(): Promise<IteratorResult<Payload, undefined>> {
    try {
      for (;;) {
        const phase = this.#phase;
        if (phase.kind === 'over') return this.#finish(phase);
        const answer = await this.#step(phase);
        if (answer === undefined || this.#phase.kind === 'over') continue;
        this.#given = answer;
        return { done: false, value: answer };
      }
    } catch (error) {
      this.end(undefined);
      throw error;
    }
  }

  #finish(phase: Extract<Phase, { kind: 'over' }>): IteratorResult<Payload, undefined> {
    const { error } = phase;
    phase.error = undefined;
    if (error !== undefined) throw error;
    return DONE;
  }

  /** Gives an answer that differs from the last one, or nothing and then is to be called again. */
  async #step(phase: Exclude<Phase, { kind: 'over' }>): Promise<Payload | undefined> {
    switch (phase.kind) {
      case 'new':
        this.#begin();
        return undefined;
      case 'following':
        return this.#arrive(phase);
      case 'watching':
        return this.#look(phase);
    }
  }

  #begin(): void {
    const { target, signal } = this.#request;
    if (signal?.aborted) throw aborted(signal);
    const live = this.#host.find(target);
    this.#owner.begun(this);
    signal?.addEventListener('abort', this.#abort);
    this.#watch(live);
  }

  #watch(live: Live): void {
    this.#phase = { kind: 'watching', topic: Topic.join(this, live, this.#request, this.#host), seen: 0 };
  }

  /** The next run begins together with the end of the one before, unless a commit fails in between. */
  async #arrive({ runId, before }: Extract<Phase, { kind: 'following' }>): Promise<undefined> {
    const { namespace, workflowId } = this.#request.target;
    try {
      this.#watch(this.#host.find({ namespace, workflowId, runId }));
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
      const live = this.#lastOf(before);
      if (live === undefined) await this.#untilLater();
      else this.#watch(live);
    }
    return undefined;
  }

  /**
   * When the next run is not there: the last one of the chain, because those before it were removed (retention.ts), or
   * nothing, because the next one is still to begin.
   * @throws WorkflowNotFoundError when none of the chain is left
   */
  #lastOf(before: RunInfo): Live | undefined {
    const { namespace, workflowId, firstRunId } = before;
    try {
      const live = this.#host.find({ namespace, workflowId, firstExecutionRunId: firstRunId });
      return live.run.runNo > before.runNo ? live : undefined;
    } catch (error) {
      if (error instanceof RpcError && error.retryable) return undefined;
      throw error;
    }
  }

  async #look(phase: Extract<Phase, { kind: 'watching' }>): Promise<Payload | undefined> {
    const { topic } = phase;
    const { outcome } = topic;
    const nextRunId = this.#nextRunId(topic);
    if (nextRunId !== undefined) {
      this.follow(nextRunId);
    } else if (phase.seen < topic.changes) {
      return this.#ask(phase);
    } else if (outcome !== undefined) {
      this.end(undefined);
    } else {
      await this.#untilChanged();
    }
    return undefined;
  }

  async #ask(phase: Extract<Phase, { kind: 'watching' }>): Promise<Payload | undefined> {
    const answer = await this.#unlessMoved(phase.topic.latest()).catch((error) => {
      // A terminated run is not asked any more. What the reader has is the last that is known.
      if (!(error instanceof QueryRejectedError) || this.#given === undefined) throw error;
      this.end(undefined);
    });
    if (answer === undefined) return undefined;
    phase.seen = answer.changes;
    const isNews = this.#given === undefined || !equal(this.#given, answer.bytes);
    return isNews ? answer.bytes : undefined;
  }

  /** Waits for the promise, or, giving undefined, until the watch has another phase. */
  #unlessMoved<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = (why) => {
        if (why === 'moved') resolve(undefined);
      };
      promise.then(resolve, reject);
    });
  }

  /** Waits for a change of the run, or until the watch has another phase. */
  #untilChanged(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => resolve();
    });
  }

  #untilLater(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#host.after(AGAIN_MS, resolve);
      this.#wake = () => {
        stop();
        resolve();
      };
    });
  }
}

const DONE: IteratorResult<Payload, undefined> = { done: true, value: undefined };

function equal(a: Payload, b: Payload): boolean {
  return a === b || Buffer.compare(a, b) === 0;
}

function tooMany(watchesMax: number): RpcError {
  return new RpcError(
    GrpcStatus.RESOURCE_EXHAUSTED,
    `There are too many watches (limits.watchesMax: ${watchesMax}). End those that nobody reads (return(), or leave their loops), or raise the limit`,
  );
}

function aborted(signal: AbortSignal | undefined): RpcError {
  return new RpcError(GrpcStatus.CANCELLED, 'The watch was aborted', { cause: signal?.reason });
}
