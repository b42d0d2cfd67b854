/**
 * `signalbox/activity`: what an activity function can know and say while it runs.
 *
 * Owns: Context, found through the async call path of the attempt. Names and shapes are Temporal's.
 * Does not own: running attempts (runner.ts).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type Duration, msToNumber } from '../../actors/duration.js';
import { CancelledFailure, IllegalStateError } from '../../actors/failures.js';

export interface ActivityInfo {
  readonly activityId: string;
  readonly activityType: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly taskQueue: string;
  readonly activityNamespace: string;
  readonly workflowNamespace: string;
  readonly workflowType: string;
  readonly workflowExecution: { readonly workflowId: string; readonly runId: string };
  /** Epoch ms. */
  readonly scheduledTimestampMs: number;
  readonly currentAttemptScheduledTimestampMs: number;
  readonly startToCloseTimeoutMs?: number | undefined;
  readonly scheduleToCloseTimeoutMs?: number | undefined;
  readonly heartbeatTimeoutMs?: number | undefined;
  /** What the attempt before reported last. */
  readonly heartbeatDetails: unknown;
  readonly isLocal: false;
}

export type ActivityLog = (
  level: 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR',
  message: string,
  attributes?: Record<string, unknown>,
) => void;

const storage = new AsyncLocalStorage<Context>();

export class Context {
  readonly info: ActivityInfo;
  /** Aborted when the activity is cancelled, times out, or the runtime closes. */
  readonly cancellationSignal: AbortSignal;
  /** Rejects with a CancelledFailure when the signal is aborted. */
  readonly cancelled: Promise<never>;
  readonly log: Record<
    'trace' | 'debug' | 'info' | 'warn' | 'error',
    (message: string, attributes?: Record<string, unknown>) => void
  >;
  readonly #beat: (details: unknown) => void;

  constructor(info: ActivityInfo, signal: AbortSignal, beat: (details: unknown) => void, log: ActivityLog) {
    this.info = info;
    this.cancellationSignal = signal;
    this.#beat = beat;
    this.cancelled = new Promise<never>((_, reject) => {
      const fail = () => reject(new CancelledFailure(String(signal.reason ?? 'CANCELLED')));
      if (signal.aborted) fail();
      else signal.addEventListener('abort', fail, { once: true });
    });
    // Nobody has to wait for it.
    this.cancelled.catch(() => undefined);
    const line =
      (level: Parameters<ActivityLog>[0]) => (message: string, attributes?: Record<string, unknown>) =>
        log(level, message, attributes);
    this.log = {
      trace: line('TRACE'),
      debug: line('DEBUG'),
      info: line('INFO'),
      warn: line('WARN'),
      error: line('ERROR'),
    };
  }

  /** @throws IllegalStateError outside an activity */
  static current(): Context {
    const context = storage.getStore();
    if (context === undefined)
      throw new IllegalStateError(
        'Activity context not initialized: Context.current() only works inside an activity',
      );
    return context;
  }

  /** Runs fn as the body of an attempt. */
  static run<T>(context: Context, fn: () => T): T {
    return storage.run(context, fn);
  }

  /** Shows that the attempt is alive; the next attempt can read `details`. Starts the heartbeat timeout anew. */
  heartbeat(details?: unknown): void {
    this.#beat(details);
  }

  /** Waits; rejects with a CancelledFailure when the activity is cancelled. */
  sleep(ms: Duration): Promise<void> {
    let timer: NodeJS.Timeout;
    const waited = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, msToNumber(ms));
    });
    return Promise.race([waited, this.cancelled]).finally(() => clearTimeout(timer));
  }
}

export function activityInfo(): ActivityInfo {
  return Context.current().info;
}

export function heartbeat(details?: unknown): void {
  Context.current().heartbeat(details);
}

export function sleep(ms: Duration): Promise<void> {
  return Context.current().sleep(ms);
}

export function cancelled(): Promise<never> {
  return Context.current().cancelled;
}

export function cancellationSignal(): AbortSignal {
  return Context.current().cancellationSignal;
}

/** Logs with the activity's ids. */
export const log = {
  trace: (message: string, attributes?: Record<string, unknown>) =>
    Context.current().log.trace(message, attributes),
  debug: (message: string, attributes?: Record<string, unknown>) =>
    Context.current().log.debug(message, attributes),
  info: (message: string, attributes?: Record<string, unknown>) =>
    Context.current().log.info(message, attributes),
  warn: (message: string, attributes?: Record<string, unknown>) =>
    Context.current().log.warn(message, attributes),
  error: (message: string, attributes?: Record<string, unknown>) =>
    Context.current().log.error(message, attributes),
};
