/**
 * How long callers wait: deadlines and abort signals that hold for every client call made inside a function.
 *
 * Owns: which limits hold on an async call path, giving a call up when one is reached, and the error that says whether
 * the call had been sent by then. Does not own: what a call that was sent still does; nothing is taken back from the runtime.
 *
 * A call leaves nothing behind: its timer and its listeners go when it settles. Outside of such a function a call
 * costs nothing more than the look whether there is one.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Clock, LONGEST_TIMER_MS } from '../clock.js';
import { type OnGivenUp, UNSENT } from '../service.js';
import { GrpcStatus, RpcError } from './errors.js';

interface Limits {
  /** Epoch ms; Infinity for none. */
  deadline: number;
  signals: readonly AbortSignal[];
}

const NONE: Limits = { deadline: Number.POSITIVE_INFINITY, signals: [] };

export class CallContext {
  readonly #clock: Clock;
  readonly #storage = new AsyncLocalStorage<Limits>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws TypeError for a deadline that is neither epoch ms nor a Date */
  async withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R> {
    const at = deadline instanceof Date ? deadline.getTime() : deadline;
    if (typeof at !== 'number' || Number.isNaN(at))
      throw new TypeError(`A deadline must be a Date or a number of epoch ms, got ${String(deadline)}`);
    const outer = this.#storage.getStore() ?? NONE;
    return this.#storage.run({ ...outer, deadline: Math.min(outer.deadline, at) }, fn);
  }

  /** @throws TypeError for what is no AbortSignal */
  async withAbortSignal<R>(signal: AbortSignal, fn: () => Promise<R>): Promise<R> {
    if (!(signal instanceof AbortSignal))
      throw new TypeError(`Expected an AbortSignal, got ${signal === null ? 'null' : typeof signal}`);
    const outer = this.#storage.getStore() ?? NONE;
    return this.#storage.run({ ...outer, signals: [...outer.signals, signal] }, fn);
  }

  /**
   * Makes a call, or gives it up when a limit is reached first. `late` says what may still come of it when it was sent;
   * what the call hands to `onGivenUp` is then done.
   * @throws RpcError with DEADLINE_EXCEEDED or CANCELLED; whatever the call throws
   */
  call<T>(send: (onGivenUp?: OnGivenUp) => Promise<T>, late: () => string): Promise<T> {
    const limits = this.#storage.getStore();
    return limits === undefined ? send() : this.#limited(limits, send, late);
  }

  /** The limits that hold here, for calls that belong together and are made later: one signal for all, and call(). */
  captured(): { signal: AbortSignal | undefined; call: CallContext['call'] } {
    const limits = this.#storage.getStore();
    if (limits === undefined) return { signal: undefined, call: (send) => send() };
    const { signals } = limits;
    return {
      signal: signals.length === 0 ? undefined : AbortSignal.any([...signals]),
      call: (send, late) => this.#limited(limits, send, late),
    };
  }

  #limited<T>(
    { deadline, signals }: Limits,
    send: (onGivenUp: OnGivenUp) => Promise<T>,
    late: () => string,
  ): Promise<T> {
    const aborted = signals.find((signal) => signal.aborted);
    if (aborted !== undefined) return Promise.reject(abortedError(aborted, BEFORE));
    if (this.#clock.now() >= deadline) return Promise.reject(deadlineError(deadline, BEFORE));
    return new Promise<T>((resolve, reject) => {
      let forget: () => unknown = () => undefined;
      const answer = send((given) => {
        forget = given;
      });
      const stops: (() => void)[] = [];
      const settled = () => {
        for (const stop of stops) stop();
      };
      const giveUp = (error: (when: string) => RpcError) => {
        settled();
        const what = late();
        const unsent = forget() === UNSENT;
        reject(error(unsent ? WITHOUT_ROOM : `while it waited for its answer: ${what}`));
      };
      for (const signal of signals)
        stops.push(onAbort(signal, () => giveUp((when) => abortedError(signal, when))));
      stops.push(this.#at(deadline, () => giveUp((when) => deadlineError(deadline, when))));
      answer.finally(settled).then(resolve, reject);
    });
  }

  /** Calls back at a time, however far it is. Returns how to call it off. */
  #at(time: number, callback: () => void): () => void {
    if (time === Number.POSITIVE_INFINITY) return () => undefined;
    let stop: () => void = () => undefined;
    const wait = (): void => {
      const ms = time - this.#clock.now();
      if (ms <= 0) callback();
      else stop = this.#clock.after(Math.min(ms, LONGEST_TIMER_MS), wait);
    };
    wait();
    return () => stop();
  }
}

const BEFORE = 'before it was sent: nothing was done';
const WITHOUT_ROOM = 'while it waited for room: it was not sent, and nothing was done';

function onAbort(signal: AbortSignal, listener: () => void): () => void {
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

function abortedError({ reason }: AbortSignal, when: string): RpcError {
  return new RpcError(GrpcStatus.CANCELLED, `The call was aborted ${when}`, { cause: reason });
}

function deadlineError(deadline: number, when: string): RpcError {
  const time = new Date(deadline);
  const text = Number.isNaN(time.getTime()) ? String(deadline) : time.toISOString();
  return new RpcError(GrpcStatus.DEADLINE_EXCEEDED, `The deadline of the call (${text}) passed ${when}`);
}
