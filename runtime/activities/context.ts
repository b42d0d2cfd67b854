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
  /** What the attempt before reported last; after a crash, what was on disk of that. */
  readonly heartbeatDetails: unknown;
  readonly isLocal: false;
}

export type ActivityLog = (
  level: 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR',
  message: string,
  attributes?: Record<string, unknown>,
) => void;

const storage = new AsyncLocalStorage<Context>();

/** What a Context tells of its attempt; asked when its function asks. */
export interface ContextSource {
  readonly info: ActivityInfo;
  readonly cancellationSignal: AbortSignal;
  beat(details: unknown): void;
  log: ActivityLog;
}

type LogMethod = (message: string, attributes?: Record<string, unknown>) => void;

export class Context {
  readonly #source: ContextSource;
  #info: ActivityInfo | undefined;
  #cancelled: Promise<never> | undefined;
  #log: Record<'trace' | 'debug' | 'info' | 'warn' | 'error', LogMethod> | undefined;

  /** Made by the runtime, for each attempt. */
  constructor(source: ContextSource) {
    this.#source = source;
  }

  get info(): ActivityInfo {
    this.#info ??= this.#source.info;
    return this.#info;
  }

  /** Aborted when the activity is cancelled, times out, or the runtime closes. */
  get cancellationSignal(): AbortSignal {
    return this.#source.cancellationSignal;
  }

  /** Rejects with a CancelledFailure when the signal is aborted. */
  get cancelled(): Promise<never> {
    this.#cancelled ??= rejectedBy(this.cancellationSignal);
    return this.#cancelled;
  }

  get log(): Record<'trace' | 'debug' | 'info' | 'warn' | 'error', LogMethod> {
    const line =
      (level: Parameters<ActivityLog>[0]): LogMethod =>
      (message, attributes) =>
        this.#source.log(level, message, attributes);
    this.#log ??= {
      trace: line('TRACE'),
      debug: line('DEBUG'),
      info: line('INFO'),
      warn: line('WARN'),
      error: line('ERROR'),
    };
    return this.#log;
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

  /**
   * Shows that the attempt is alive; the next attempt can read `details`. Starts the heartbeat timeout anew.
   *
   * For the case of a crash details go to disk as often as Temporal's SDK sends them: the first at once, then the newest
   * after 0.8 of the heartbeat timeout (30 s without one, at most 60 s), and those of running attempts when the runtime
   * closes. An attempt that has reported any counts, when it is interrupted, as one that timed out.
   */
  heartbeat(details?: unknown): void {
    this.#source.beat(details);
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

function rejectedBy(signal: AbortSignal): Promise<never> {
  const cancelled = new Promise<never>((_, reject) => {
    const fail = () => reject(new CancelledFailure(String(signal.reason ?? 'CANCELLED')));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
  // Nobody has to wait for it.
  cancelled.catch(() => undefined);
  return cancelled;
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
