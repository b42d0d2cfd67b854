/**
 * Continue-as-new: a run ends and the next one of the same workflow begins, with arguments and an empty history.
 *
 * Owns: continueAsNew, makeContinueAsNewFunc, and the error by which they leave the workflow's code (semantics.md 10).
 * Does not own: how the run closes (activation.ts), which signals go along (handlers.ts), the next run (the host).
 *
 * What is left out is the next run's as it was this one's, which the host sees to: it is not in the command.
 */
import type { ContinueAsNewCommand } from '../codec/journal-entry.js';
import type { Activation } from './activation.js';
import { compileRetryPolicy, type RetryPolicy } from './activities.js';
import { asyncContext, currentActivation, mutableActivation } from './current.js';
import type { Workflow } from './definitions.js';
import { type Duration, optionalMs, timeoutMs } from './duration.js';
import { ApplicationFailure, namedError } from './failures.js';
import { checkOptions, type OptionNames } from './options.js';
import { encodeArgs, encodeRecord, requireId } from './start-options.js';

/** Carries the command out of the main function or a signal handler. Whoever catches it must throw it again. */
export class ContinueAsNew extends Error {
  constructor(readonly command: ContinueAsNewCommand) {
    super('Workflow continued as new');
  }
}
namedError(ContinueAsNew, 'ContinueAsNew');

export interface ContinueAsNewOptions {
  /** Default: this workflow's type. */
  workflowType?: string;
  /** Default: this workflow's task queue. */
  taskQueue?: string;
  /** For the next run. Default: as this run's. */
  workflowRunTimeout?: Duration;
  workflowTaskTimeout?: Duration;
  /** How long the next run waits before its first turn. Default: not at all. */
  backoffStartInterval?: Duration;
  /** Default: the memo that this run was started with. */
  memo?: Record<string, unknown>;
  /** Default: this run's, as they are now. */
  searchAttributes?: Record<string, unknown>;
  /** Default: this workflow's. */
  retry?: RetryPolicy;
}

const OPTIONS: OptionNames<keyof ContinueAsNewOptions> = {
  workflowType: true,
  taskQueue: true,
  workflowRunTimeout: true,
  workflowTaskTimeout: true,
  backoffStartInterval: true,
  memo: true,
  searchAttributes: true,
  retry: true,
  typedSearchAttributes: false,
  versioningIntent: false,
  initialVersioningBehavior: false,
  typeInfo: false,
  eventGroups: false,
};

/**
 * Ends this run and begins the next, with these arguments. Never returns: it throws ContinueAsNew, which has to leave
 * the main function or the signal handler that called it. Signals that no handler took go to the next run.
 * @throws ApplicationFailure of type ContinueAsNewNotAllowed in an update handler: it would leave the update without an
 *   outcome
 */
export function continueAsNew<F extends Workflow>(...args: Parameters<F>): Promise<never> {
  return makeContinueAsNewFunc<F>()(...args);
}

/**
 * continueAsNew with options.
 * @throws TypeError for an option that there is not; as continueAsNew, when what it returns is called
 */
export function makeContinueAsNewFunc<F extends Workflow>(
  options: ContinueAsNewOptions = {},
): (...args: Parameters<F>) => Promise<never> {
  currentActivation('continueAsNew(...) and Workflow.makeContinueAsNewFunc(...)');
  checkOptions(options, OPTIONS, 'ContinueAsNewOptions');
  return (...args) => leave(mutableActivation('continueAsNew(...)'), options, args);
}

async function leave({ info }: Activation, options: ContinueAsNewOptions, args: unknown[]): Promise<never> {
  const { update } = asyncContext.frame ?? {};
  if (update !== undefined) throw refuseInUpdate(update.name);
  const workflowType = requireId(
    options.workflowType ?? info.workflowType,
    'ContinueAsNewOptions.workflowType',
  );
  throw new ContinueAsNew({
    kind: 'continueAsNew',
    workflowType,
    taskQueue: options.taskQueue ?? info.taskQueue,
    args: encodeArgs(args, `arguments of workflow ${workflowType}`),
    runTimeoutMs: timeoutMs(options.workflowRunTimeout, 'workflowRunTimeout'),
    taskTimeoutMs: timeoutMs(options.workflowTaskTimeout, 'workflowTaskTimeout'),
    backoffMs: optionalMs(options.backoffStartInterval),
    memo: encodeRecord(options.memo, 'memo'),
    searchAttributes: encodeRecord(options.searchAttributes, 'searchAttributes'),
    retry: compileRetryPolicy(options.retry),
  });
}

/** What an update handler fails with that wants the workflow to continue as new. */
export function refuseInUpdate(updateName: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `Continue-as-New is not supported within update handlers, and the handler of update '${updateName}' called it. ` +
      'Let the main function do it, after `await condition(allHandlersFinished)`.',
    'ContinueAsNewNotAllowed',
  );
}
