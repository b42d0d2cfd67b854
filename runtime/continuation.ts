/**
 * The run after a run: what continue-as-new makes of the one before.
 *
 * Owns: what the next run takes over and what it does not (semantics.md 10.2), and its id.
 * Does not own: when it starts (deliveries.ts).
 */
import { createHash } from 'node:crypto';
import type { ContinueAsNewCommand, StartInfo } from '../codec/journal-entry.js';
import type { RunInfo } from '../codec/run-record.js';

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

export function continuedInfo(
  before: RunInfo,
  command: ContinueAsNewCommand,
  { runNo, now }: { runNo: number; now: number },
): StartInfo {
  const runId = nextRunId(before.runId);
  return {
    ...before,
    runNo,
    runId,
    originalRunId: runId,
    continuedFromRunId: before.runId,
    chainStartTime: before.chainStartTime ?? before.startTime,
    workflowType: command.workflowType,
    taskQueue: command.taskQueue,
    args: command.args,
    startTime: now,
    attempt: 1,
    runTimeoutMs: command.runTimeoutMs ?? before.runTimeoutMs,
    taskTimeoutMs: command.taskTimeoutMs ?? before.taskTimeoutMs,
    startDelayMs: command.backoffMs,
    retry: command.retry ?? before.retry,
    memo: command.memo ?? before.memo,
    searchAttributes: command.searchAttributes ?? before.searchAttributes,
    headers: command.headers,
  };
}
