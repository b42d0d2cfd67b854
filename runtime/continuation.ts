/**
 * The run after a run: what continue-as-new, and a retry policy, make of the one before.
 *
 * Owns: whether a failed run is tried again, what the next run takes over and what it does not (semantics.md 10.2), its id.
 * Does not own: when it starts (deliveries.ts).
 */
import { createHash } from 'node:crypto';
import type { Failure } from '../codec/failure.js';
import type { ContinueAsNewCommand, Payload, StartInfo } from '../codec/journal-entry.js';
import type { NextRun, RunInfo } from '../codec/run-record.js';
import { afterFailure, type RetryDecision } from './activities/retry.js';

/**
 * Follows from the id of the run before, so that whoever reads that run's end in the journal knows the next one, and a
 * crash between the two makes no second one. The first 48 bits, its time, are those of the run before.
 */
export function nextRunId(runId: string): string {
  const hex = createHash('sha256').update(`next run after ${runId}`).digest('hex');
  const time = /^[0-9a-f]{8}-[0-9a-f]{4}-/.exec(runId)?.[0] ?? `${hex.slice(0, 8)}-${hex.slice(8, 12)}-`;
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return `${time}7${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Without a retry policy a run is not tried again. */
export function retryOf(info: RunInfo, failure: Failure, now: number): RetryDecision {
  const { retry, attempt, executionTimeoutMs, startTime, chainStartTime } = info;
  if (retry === undefined) return { retry: false, state: 'RETRY_POLICY_NOT_SET' };
  const since = now - (chainStartTime ?? startTime);
  return afterFailure({ retry, scheduleToCloseMs: executionTimeoutMs }, attempt, failure, since);
}

interface Identity {
  runNo: number;
  /** Epoch ms. */
  now: number;
}

/** @param args arguments of the run before */
export function nextRunInfo(
  before: RunInfo,
  next: NextRun,
  args: () => Payload,
  identity: Identity,
): StartInfo {
  if (next.reason === 'continueAsNew') return continuedInfo(before, next.command, identity);
  return {
    ...inChain(before, identity),
    args: args(),
    attempt: before.attempt + 1,
    startDelayMs: next.delayMs,
    lastFailure: next.failure,
  };
}

function inChain(before: RunInfo, { runNo, now }: Identity): RunInfo {
  const runId = nextRunId(before.runId);
  return {
    ...before,
    runNo,
    runId,
    originalRunId: runId,
    continuedFromRunId: before.runId,
    chainStartTime: before.chainStartTime ?? before.startTime,
    startTime: now,
  };
}

function continuedInfo(before: RunInfo, command: ContinueAsNewCommand, identity: Identity): StartInfo {
  return {
    ...inChain(before, identity),
    workflowType: command.workflowType,
    taskQueue: command.taskQueue,
    args: command.args,
    attempt: 1,
    lastFailure: undefined,
    runTimeoutMs: command.runTimeoutMs ?? before.runTimeoutMs,
    taskTimeoutMs: command.taskTimeoutMs ?? before.taskTimeoutMs,
    startDelayMs: command.backoffMs,
    retry: command.retry ?? before.retry,
    memo: command.memo ?? before.memo,
    searchAttributes: command.searchAttributes ?? before.searchAttributes,
    headers: command.headers,
  };
}
