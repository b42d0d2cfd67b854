/**
 * Every limit of the runtime: name with its unit last, why it is there, and what happens at it (D8).
 *
 * Owns: the defaults and the check of what a user sets. Does not own: enforcing them; each limit names who does.
 */
import { ConfigurationError } from './errors.js';

export interface Limits {
  /** Longest a turn or query may block its thread, ms. Then the thread is ended and the turn fails. (pool.ts) */
  turnMsMax: number;
  /** Largest encoded argument list, result or answer, bytes. Larger ones are refused. (client/workflow-client.ts, activities/) */
  payloadBytesMax: number;
  /** Messages that may wait for one thread or for their commit. More are refused with RESOURCE_EXHAUSTED. (thread.ts) */
  queuedMessagesMax: number;
  /** Bytes of messages that may wait for one thread or for their commit. More are refused with RESOURCE_EXHAUSTED. (thread.ts) */
  queuedBytesMax: number;
  /** Share of both that the messages of one run may have, percent, so that the others find room. More are refused with RESOURCE_EXHAUSTED, but for cancel and terminate, and calls that wait for room. (thread.ts) */
  queuedPercentMax: number;
  /** Calls that may wait until there is room (`whenFull: 'wait'`). More are refused with RESOURCE_EXHAUSTED. (waiting-room.ts) */
  waitingMessagesMax: number;
  /** Bytes of the messages of such calls. More are refused with RESOURCE_EXHAUSTED. (waiting-room.ts) */
  waitingBytesMax: number;
  /** Messages in one batch; bounds how long a batch keeps its thread. (thread.ts) */
  batchMessagesMax: number;
  /** Bytes of messages in one batch; a message that has as many goes by itself. Others wait for it to be moved and written. (thread.ts) */
  batchBytesMax: number;
  /** Time that the messages of one batch are expected to take, ms; one that is expected to take as long goes by itself. Up to twenty times as long while the host is busy. (turn-times.ts) */
  batchMsMax: number;
  /** Activations that a thread keeps in memory. The least recently used leave memory. (thread.ts) */
  activationsPerThreadMax: number;
  /** Heap of a thread, bytes. Above it activations leave memory, least recently used first. (thread.ts) */
  heapBytesPerThreadMax: number;
  /** Hard limit of a thread's heap, bytes. A thread that exceeds it dies; its executions recover. (pool.ts) */
  heapBytesPerThreadHard: number;
  /** Journal not yet moved to history, bytes; bounds memory, and the time to open after a crash. (compactor.ts) */
  journalBytesMax: number;
  /** Activity attempts that run at the same time. Others wait. (activities/) */
  activitiesMax: number;
  /** First and longest delay before a failed turn is tried again, ms. (host.ts) */
  turnRetryMsMin: number;
  turnRetryMsMax: number;
  /** Failed attempts of a turn after which the updates that wait for it are refused with FAILED_PRECONDITION. (host.ts) */
  updateTurnAttemptsMax: number;
  /** Longest workflow id, signal name or other identifier, bytes. Longer ones are refused. (client/workflow-client.ts) */
  identifierBytesMax: number;
  /** Updates of one execution that may be under way at once. Off (Infinity) by default; memory is bounded by the queue. (host.ts) */
  updatesInFlightMax: number;
  /** Updates that one run may accept in all (2,000 on Temporal); more get FAILED_PRECONDITION. Off (Infinity) and not counted by default. (host.ts) */
  updatesTotalMax: number;
  /** Watches that are open at once, each with an answer or two in memory. More are refused with RESOURCE_EXHAUSTED. (watch.ts) */
  watchesMax: number;
  /** Rows that one write of the removal of closed runs takes away; bounds how long it holds up other writes. (retention.ts) */
  retentionRowsMax: number;
  /** Bytes of the rows that one such write takes away, but never less than one row. (retention.ts) */
  retentionBytesMax: number;
  /** Shortest time between two such writes, ms; what others do comes in between. (retention.ts) */
  retentionPauseMsMin: number;
}

const MiB = 1024 * 1024;

export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({
  turnMsMax: 2_000,
  payloadBytesMax: 2 * MiB,
  queuedMessagesMax: 100_000,
  queuedBytesMax: 64 * MiB,
  queuedPercentMax: 90,
  waitingMessagesMax: 100_000,
  waitingBytesMax: 64 * MiB,
  batchMessagesMax: 1_024,
  batchBytesMax: MiB / 4,
  batchMsMax: 5,
  activationsPerThreadMax: 10_000,
  heapBytesPerThreadMax: 512 * MiB,
  heapBytesPerThreadHard: 1_536 * MiB,
  journalBytesMax: 16 * MiB,
  activitiesMax: 200,
  turnRetryMsMin: 200,
  turnRetryMsMax: 60_000,
  updateTurnAttemptsMax: 3,
  identifierBytesMax: 1_000,
  updatesInFlightMax: Number.POSITIVE_INFINITY,
  updatesTotalMax: Number.POSITIVE_INFINITY,
  watchesMax: 10_000,
  retentionRowsMax: 512,
  retentionBytesMax: 1 * MiB,
  retentionPauseMsMin: 5,
});

const BOUNDS: { readonly [name in keyof Limits]?: { least?: number; most?: number } } = {
  // A thread that has no room to start in takes the whole process along.
  heapBytesPerThreadHard: { least: 32 * MiB },
  queuedPercentMax: { most: 100 },
  // Identifiers are part of keys, and a key of the store has 1,978 bytes at most, also with a namespace in it.
  identifierBytesMax: { most: 1_000 },
};

/** @throws ConfigurationError for a limit that does not exist or is not a positive number. */
export function withDefaults(limits: Partial<Limits> = {}): Limits {
  if (typeof limits !== 'object' || limits === null)
    throw new ConfigurationError(`limits must be an object, got ${String(limits)}`);
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      throw new ConfigurationError(
        `There is no limit called '${name}'. The limits are: ${Object.keys(DEFAULT_LIMITS).join(', ')}`,
      );
    }
    if (typeof value !== 'number' || !(value > 0)) {
      throw new ConfigurationError(`limits.${name} must be a positive number, got ${String(value)}`);
    }
    const { least = 0, most = Number.POSITIVE_INFINITY } = BOUNDS[name as keyof Limits] ?? {};
    if (value < least) throw new ConfigurationError(`limits.${name} must be at least ${least}, got ${value}`);
    if (value > most) throw new ConfigurationError(`limits.${name} must be at most ${most}, got ${value}`);
  }
  return { ...DEFAULT_LIMITS, ...limits };
}
