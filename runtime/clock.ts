/**
 * The clock port: the only place where the host reads the time or waits for it.
 *
 * Owns: the interface and its real form. Tests use a form that they turn by hand (test/support).
 */

export interface Clock {
  /** Epoch ms. */
  now(): number;
  /** Calls back once, not before `ms` from now. Returns how to call it off. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** Node's longest timer; longer waits are cut and begun again by whoever waits. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), LONGEST_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** For what is about the machine and not about workflows, so that it goes on under a clock that stands still. */
export function realPause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** For how long something took: ms since some moment, whatever is done to the system's time meanwhile. */
export function elapsedMs(): number {
  return performance.now();
}
