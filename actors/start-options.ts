/**
 * What a workflow may say about another workflow that it starts: as a child, by signal-with-start, or as its own next run.
 *
 * Owns: the options that these have in common, their stored form, and the checks on them. Whatever is wrong with them
 * throws in the workflow that gave them, before anything is asked for: the target would have nobody to tell.
 * Does not own: what only one of them has (children.ts, externals.ts, continue-as-new.ts), what the host makes of it.
 */
import type { Payload, RetryPolicy as StoredRetryPolicy } from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { compileRetryPolicy, type RetryPolicy } from './activities.js';
import { WorkflowIdReusePolicy } from './definitions.js';
import { type Duration, timeoutMs } from './duration.js';
import { type OptionNames, oneOf, requireArgs } from './options.js';
import { encodePayload } from './payloads.js';
import { utf8 } from './random.js';

/** Bytes of a workflow or run id in UTF-8. The host's setting identifierBytesMax may be lower, never higher. */
const ID_BYTES_MAX = 1_000;

export interface CommonStartOptions {
  /** Default: the task queue of the workflow that starts it. */
  taskQueue?: string;
  /** What to do when a closed execution has the same id. Default ALLOW_DUPLICATE. */
  workflowIdReusePolicy?: WorkflowIdReusePolicy;
  /** How the whole workflow is repeated when it fails. Default: not at all. */
  retry?: RetryPolicy;
  /** For all runs together, retries and continue-as-new included. Default: no limit. */
  workflowExecutionTimeout?: Duration;
  /** For one run. Default: no limit. */
  workflowRunTimeout?: Duration;
  /** Kept for Temporal: the runtime's own limit on a turn applies. */
  workflowTaskTimeout?: Duration;
  memo?: Record<string, unknown>;
  searchAttributes?: Record<string, unknown>;
}

export const COMMON_START_OPTIONS: OptionNames<keyof CommonStartOptions> = {
  taskQueue: true,
  workflowIdReusePolicy: true,
  retry: true,
  workflowExecutionTimeout: true,
  workflowRunTimeout: true,
  workflowTaskTimeout: true,
  memo: true,
  searchAttributes: true,
  typedSearchAttributes: false,
  staticSummary: false,
  staticDetails: false,
  priority: false,
  typeInfo: false,
  cronSchedule:
    'let the workflow begin its next run itself, with makeContinueAsNewFunc({ backoffStartInterval }), or start it from a schedule of your own',
};

/** The stored form, as it lies in startChild and signalWithStart commands. */
export interface StartFields {
  taskQueue: string;
  workflowIdReusePolicy: WorkflowIdReusePolicy | undefined;
  retry: StoredRetryPolicy | undefined;
  executionTimeoutMs: number | undefined;
  runTimeoutMs: number | undefined;
  taskTimeoutMs: number | undefined;
  memo: Payload | undefined;
  searchAttributes: Payload | undefined;
}

/**
 * @throws TypeError for a duration or retry policy that makes no sense, ValueError for an unknown policy,
 *   PayloadEncodeError for a memo or search attribute that cannot be stored
 */
export function startFields(activation: Activation, options: CommonStartOptions): StartFields {
  const { workflowIdReusePolicy } = options;
  return {
    taskQueue: options.taskQueue ?? activation.info.taskQueue,
    workflowIdReusePolicy:
      workflowIdReusePolicy && oneOf(WorkflowIdReusePolicy, workflowIdReusePolicy, 'workflowIdReusePolicy'),
    retry: compileRetryPolicy(options.retry),
    executionTimeoutMs: timeoutMs(options.workflowExecutionTimeout, 'workflowExecutionTimeout'),
    runTimeoutMs: timeoutMs(options.workflowRunTimeout, 'workflowRunTimeout'),
    taskTimeoutMs: timeoutMs(options.workflowTaskTimeout, 'workflowTaskTimeout'),
    memo: encodeRecord(options.memo, 'memo'),
    searchAttributes: encodeRecord(options.searchAttributes, 'searchAttributes'),
  };
}

export function encodeRecord(value: Record<string, unknown> | undefined, what: string): Payload | undefined {
  return value && encodePayload(value, what);
}

/** The argument list, encoded. @throws TypeError when it is no list, PayloadEncodeError when it cannot be stored */
export function encodeArgs(args: readonly unknown[] | undefined, what: string): Payload {
  if (args !== undefined) requireArgs(args, what);
  return encodePayload(args ?? [], what);
}

/** @throws TypeError unless it is text of 1 to 1,000 bytes in UTF-8 */
export function requireId(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '')
    throw new TypeError(`${what} must be text, and not empty, got ${value === '' ? "''" : typeof value}`);
  // A character takes three bytes at most, so what is short need not be measured.
  const bytes = value.length * 3 <= ID_BYTES_MAX ? 0 : utf8(value).length;
  if (bytes > ID_BYTES_MAX)
    throw new TypeError(`${what} is too long: ${bytes} bytes, the limit is ${ID_BYTES_MAX}`);
  return value;
}
