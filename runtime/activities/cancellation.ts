/**
 * The cancellation of an attempt: asked for once, and heard of by whoever looks.
 *
 * Owns: the reason, and the AbortSignal that tells of it. The signal is made when somebody looks for the first time: most
 * activities never do, and a signal with its listeners costs more than all else that an attempt needs.
 * Does not own: when an attempt is cancelled (attempt.ts), what its function makes of it (context.ts).
 */
export class Cancellation {
  #reason: string | undefined;
  #controller: AbortController | undefined;

  /** Only the first reason counts. */
  request(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }
}
