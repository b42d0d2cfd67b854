/**
 * Timers and conditions: how workflow code waits.
 *
 * Owns: sleep, condition, and what cancelling them does (semantics.md 1.4, 1.5, 9.6).
 * Does not own: when a timer is due; that is the host's (runtime/timers.ts), which sends a timerFired input.
 */
import type { Activation } from './activation.js';
import { mutableActivation } from './current.js';
import { type Duration, msToNumber } from './duration.js';
import { CancellationScope } from './scopes.js';

export interface TimerOptions {
  /** A short text for people who read the history. */
  summary?: string;
}

interface PendingTimer {
  resolve: () => void;
  reject: (error: Error) => void;
  stop: (() => void) | undefined;
}

/** The timers of one activation that have not fired. */
export class Timers {
  readonly #activation: Activation;
  readonly #pending = new Map<number, PendingTimer>();

  constructor(activation: Activation) {
    this.#activation = activation;
  }

  get size(): number {
    return this.#pending.size;
  }

  start(scope: CancellationScope, ms: number, options?: TimerOptions): Promise<void> {
    const seq = this.#activation.nextSeq('timer');
    return new Promise<void>((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.onCancel(reject);
        return;
      }
      const stop = scope.cancellable ? scope.onCancel((error) => this.#cancel(seq, error)) : undefined;
      this.#activation.command({ kind: 'startTimer', seq, ms: Math.max(1, ms), summary: options?.summary });
      this.#pending.set(seq, { resolve, reject, stop });
    });
  }

  /** A timer that is gone already (cancelled in the meantime) is no error: the input was under way. */
  fire(seq: number): void {
    const timer = this.#pending.get(seq);
    this.#pending.delete(seq);
    timer?.stop?.();
    timer?.resolve();
  }

  #cancel(seq: number, error: Error): void {
    const timer = this.#pending.get(seq);
    if (!this.#pending.delete(seq)) return;
    this.#activation.retract((command) => command.kind === 'startTimer' && command.seq === seq) ||
      this.#activation.command({ kind: 'cancelTimer', seq });
    timer?.reject(error);
  }
}

/** A durable timer: fires after `ms` (number of ms or text such as '10 seconds'), also across restarts. At least 1 ms. */
export function sleep(ms: Duration, options?: TimerOptions): Promise<void> {
  const activation = mutableActivation('sleep(...)');
  return activation.timers.start(CancellationScope.current(), msToNumber(ms), options);
}

/**
 * Waits until `fn` returns true. It is called after every message and whenever workflow code has run, so it must be
 * quick and change nothing.
 * With a timeout: true when the condition came true, false when the time was up first.
 */
export function condition(fn: () => boolean, timeout: Duration, options?: TimerOptions): Promise<boolean>;
export function condition(fn: () => boolean): Promise<void>;
export function condition(
  fn: () => boolean,
  timeout?: Duration,
  options?: TimerOptions,
): Promise<boolean | void> {
  const activation = mutableActivation('condition(...)');
  // Temporal's SDK marks this case in the history, because it once meant something else; its worker expects the mark.
  if (timeout === 0 || timeout === '0') activation.markPatch('__sdk_internal_patch_number:1');
  if (typeof timeout === 'number' || typeof timeout === 'string')
    return conditionWithTimeout(fn, timeout, options);
  return waitFor(activation, fn);
}

async function conditionWithTimeout(
  fn: () => boolean,
  timeout: Duration,
  options?: TimerOptions,
): Promise<boolean> {
  return CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    try {
      return await Promise.race([
        sleep(timeout, options).then(() => false),
        waitFor(mutableActivation('condition(...)'), fn).then(() => true),
      ]);
    } finally {
      // Whichever lost is still pending; cancelling the scope takes back the timer or the predicate.
      scope.cancel();
    }
  });
}

function waitFor(activation: Activation, fn: () => boolean): Promise<void> {
  const scope = CancellationScope.current();
  const seq = activation.nextSeq('condition');
  return new Promise<void>((resolve, reject) => {
    if (scope.consideredCancelled) {
      scope.onCancel(reject);
      return;
    }
    // A condition that already holds is resolved at once and never registered.
    if (fn()) {
      resolve();
      return;
    }
    const stop = scope.cancellable
      ? scope.onCancel((error) => {
          activation.conditions.delete(seq);
          reject(error);
        })
      : undefined;
    activation.conditions.set(seq, {
      fn,
      resolve: () => {
        stop?.();
        resolve();
      },
    });
  });
}
