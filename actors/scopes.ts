/**
 * Cancellation scopes: a tree along which a cancel request travels to the operations that wait in it.
 *
 * Owns: the tree, the request, who hears of it and in which order (semantics.md section 9). A scope of a non-cancellable
 * parent is shielded. Requests travel through promise jobs: visible only after microtasks, never in the same call.
 * Does not own: what an operation does when it hears of a cancel (timers, activities ... do).
 *
 * Operations subscribe instead of chaining on one promise, so that a workflow that sleeps a million times in its root
 * scope does not leave a million reactions behind.
 */
import { asyncContext, currentActivation, mutableActivation, withFrame } from './current.js';
import { type Duration, msToNumber } from './duration.js';
import { CancelledFailure } from './failures.js';

export interface CancellationScopeOptions {
  /** Cancels the scope by itself after this time. */
  timeout?: Duration;
  /** False shields what is inside from requests to outer scopes. */
  cancellable: boolean;
  parent?: CancellationScope;
}

type Listener = (error: CancelledFailure) => void;

const ROOT = Symbol('root');

export class CancellationScope {
  readonly cancellable: boolean;
  readonly parent: CancellationScope | undefined;
  readonly timeout: number | undefined;
  #error: CancelledFailure | undefined;
  #listeners: Set<Listener> | undefined;
  #promise: Promise<never> | undefined;
  #reject: ((error: CancelledFailure) => void) | undefined;
  #unlink: (() => void) | undefined;
  #running = 0;

  constructor(options?: CancellationScopeOptions | typeof ROOT) {
    if (options === ROOT) {
      this.cancellable = true;
      return;
    }
    this.cancellable = options?.cancellable ?? true;
    this.timeout = options?.timeout === undefined ? undefined : msToNumber(options.timeout);
    this.parent = options?.parent ?? CancellationScope.current();
    this.#link();
  }

  /** The scope of the async call path that runs now; the workflow's root scope outside any other. */
  static current(): CancellationScope {
    return asyncContext.frame?.scope ?? currentActivation('CancellationScope.current(...)').rootScope;
  }

  static root(): CancellationScope {
    return new CancellationScope(ROOT);
  }

  static cancellable<T>(fn: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: true }).run(fn);
  }

  static nonCancellable<T>(fn: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: false }).run(fn);
  }

  static withTimeout<T>(timeout: Duration, fn: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: true, timeout }).run(fn);
  }

  /** True when a request reached this scope and it does not shield from it. */
  get consideredCancelled(): boolean {
    return this.cancellable && this.request !== undefined;
  }

  /** Rejects with a CancelledFailure when a cancel is requested; never resolves. */
  get cancelRequested(): Promise<never> {
    if (this.#promise === undefined) {
      this.#promise = new Promise<never>((_, reject) => {
        this.#reject = reject;
      });
      // Nobody has to listen: a request that no one awaits is not an unhandled rejection.
      this.#promise.catch(() => undefined);
      const request = this.request;
      if (request !== undefined) this.#reject?.(request);
      else this.#link();
    }
    return this.#promise;
  }

  /** The request that reached this scope, or undefined. A scope that is linked to its parent hears of one, others have to look. */
  get request(): CancelledFailure | undefined {
    if (this.#error !== undefined || this.#unlink !== undefined) return this.#error;
    return this.parent?.cancellable === true ? this.parent.request : undefined;
  }

  /** Runs fn in this scope; what it starts is cancelled with it. */
  run<T>(fn: () => Promise<T>): Promise<T> {
    const frame = { scope: this, update: asyncContext.frame?.update };
    return withFrame(frame, () => this.#run(fn));
  }

  async #run<T>(fn: () => Promise<T>): Promise<T> {
    this.#running++;
    const timer = this.timeout === undefined ? undefined : this.#startTimer(this.timeout);
    try {
      return await fn();
    } finally {
      this.#running--;
      timer?.cancel();
      this.#unlinkWhenIdle();
    }
  }

  #startTimer(ms: number): CancellationScope {
    const scope = new CancellationScope({ cancellable: true, parent: this });
    const { timers } = currentActivation('CancellationScope.withTimeout(...)');
    scope
      .run(() => timers.start(scope, ms))
      .then(
        () => this.cancel(),
        // The timer was cancelled because the work is done or the scope was cancelled otherwise.
        () => undefined,
      );
    return scope;
  }

  /** Requests cancellation. Only the first request has an effect. */
  cancel(): void {
    mutableActivation('CancellationScope.cancel(...)');
    this.reject(new CancelledFailure('Cancellation scope cancelled'));
  }

  /** Lets a request arrive here: listeners hear of it one promise job later, in the order in which they came. */
  reject(error: CancelledFailure): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#reject?.(error);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    for (const listener of listeners ?? []) void Promise.resolve().then(() => listener(error));
  }

  /** Calls back once when a request arrives (soon, if it already has). Returns how to stop listening. */
  onCancel(listener: Listener): () => void {
    const request = this.request;
    if (request !== undefined) {
      void Promise.resolve().then(() => listener(request));
      return () => undefined;
    }
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    this.#link();
    return () => {
      this.#listeners?.delete(listener);
      this.#unlinkWhenIdle();
    };
  }

  #link(): void {
    if (
      this.#unlink !== undefined ||
      this.parent === undefined ||
      !this.parent.cancellable ||
      this.parent.request !== undefined
    )
      return;
    this.#unlink = this.parent.onCancel((error) => this.reject(error));
  }

  /** A scope that nobody waits in needs to hear nothing, and must not keep itself alive in its parent. */
  #unlinkWhenIdle(): void {
    if (this.#running > 0 || (this.#listeners?.size ?? 0) > 0 || this.#promise !== undefined) return;
    this.#unlink?.();
    this.#unlink = undefined;
  }
}
