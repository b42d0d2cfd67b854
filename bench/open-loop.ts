/**
 * Open-loop load: calls are sent at a fixed rate, whatever becomes of those before them.
 *
 *   due time of call k = begin + k / rate      latency of call k = its answer - its due time
 *
 * Owns: when calls are sent, and latencies that count from the time at which a call was due. A sender that waits for its answer
 * before it goes on sends less while things are slow and so leaves out the latencies that matter (coordinated omission);
 * a call that is sent late here has waited all the same. Does not own: closed loops (measure.ts).
 *
 * Between two calls the loop looks at the clock again and again instead of sleeping: timers are a millisecond off, which is
 * more than a call takes. So the host's core is awake throughout, with and without other load.
 */
import { setImmediate as look } from 'node:timers/promises';

/**
 * Calls made in one go at most. A process that cannot make as many as are due would make all that are late at once, and hold
 * in memory what nobody has had a chance to settle.
 */
const BURST_MAX = 256;

/** Latencies in ms, sorted. */
export interface Latencies {
  values: Float64Array;
  /** Answers a second, until the last one. */
  perSecond: number;
  /** Calls a second that were made in fact: fewer than wanted where the process cannot make as many. */
  offeredPerSecond: number;
  /** Calls that failed; their latencies are not among the values. */
  failed: number;
}

export function percentile(values: Float64Array, share: number): number {
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN;
}

/**
 * Sends `perSecond` calls a second for so long, then waits for all answers. Failed calls are for `onError`.
 * @throws the first of their errors, when there is no `onError`
 */
export async function openLoop(
  perSecond: number,
  ms: number,
  call: (k: number) => Promise<unknown>,
  onError?: (error: unknown) => void,
): Promise<Latencies> {
  const most = Math.ceil((perSecond * ms) / 1_000);
  const values = new Float64Array(most);
  let answered = 0;
  let failed = 0;
  const begin = performance.now();
  let unheard: { error: unknown } | undefined;
  let left = most;
  let resolve: () => void;
  const over = new Promise<void>((done) => {
    resolve = done;
  });
  const send = (k: number): void => {
    const due = begin + (k * 1_000) / perSecond;
    call(k)
      .then(
        () => {
          values[answered++] = performance.now() - due;
        },
        (error) => {
          failed++;
          if (onError === undefined) unheard ??= { error };
          else onError(error);
        },
      )
      .finally(() => {
        if (--left === 0) resolve();
      });
  };
  for (let sent = 0; sent < most; await look()) {
    const due = Math.min(most, Math.floor(((performance.now() - begin) * perSecond) / 1_000) + 1);
    for (const until = Math.min(due, sent + BURST_MAX); sent < until; ) send(sent++);
  }
  const offeredPerSecond = (most * 1_000) / (performance.now() - begin);
  await over;
  if (unheard !== undefined) throw unheard.error;
  const seconds = (performance.now() - begin) / 1_000;
  return {
    values: values.subarray(0, answered).sort(),
    perSecond: answered / seconds,
    offeredPerSecond,
    failed,
  };
}
