/** Trigger: a promise that is settled from outside, and rejected when the scope it was made in is cancelled. */
import { CancellationScope } from './scopes.js';

export class Trigger<T> implements PromiseLike<T> {
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason?: unknown) => void;
  readonly #promise: Promise<T>;

  constructor() {
    let resolve!: (value: T | PromiseLike<T>) => void;
    let reject!: (reason?: unknown) => void;
    this.#promise = new Promise<T>((a, b) => {
      resolve = a;
      reject = b;
    });
    this.resolve = resolve;
    this.reject = reject;
    const scope = CancellationScope.current();
    if (scope.cancellable) scope.onCancel(reject);
    // A trigger that is cancelled while nobody waits for it is not an unhandled rejection.
    this.#promise.catch(() => undefined);
  }

  // biome-ignore lint/suspicious/noThenProperty: a trigger is awaited like a promise.
  then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(fulfilled, rejected);
  }
}
