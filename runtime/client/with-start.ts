/**
 * Update-with-start, the caller's side: a description of the start, and the promise of its handle (semantics.md section 4).
 *
 * Owns: that an operation is used once, and that nobody has to look at its handle. Does not own: the call (workflow-client.ts).
 */
import type { Workflow } from '../../actors/definitions.js';
import type {
  WorkflowHandleWithFirstExecutionRunId,
  WorkflowIdConflictPolicy,
  WorkflowStartOptions,
} from './types.js';

export type WithStartWorkflowOptions<W extends Workflow = Workflow> = WorkflowStartOptions<W> & {
  workflowIdConflictPolicy: WorkflowIdConflictPolicy;
};

/** How the client that runs an operation tells what came of its start. */
export interface StartSettlement<W extends Workflow> {
  resolve(handle: WorkflowHandleWithFirstExecutionRunId<W>): void;
  reject(error: unknown): void;
}

let take: <W extends Workflow>(operation: WithStartWorkflowOperation<W>) => StartSettlement<W>;

/** What to start when an update finds no open execution. For one call of startUpdateWithStart or executeUpdateWithStart. */
export class WithStartWorkflowOperation<W extends Workflow = Workflow> {
  readonly workflowTypeOrFunc: string | W;
  readonly options: WithStartWorkflowOptions<W>;
  readonly #handle: Promise<WorkflowHandleWithFirstExecutionRunId<W>>;
  #settlement: StartSettlement<W> | undefined;

  static {
    take = (operation) => operation.#take();
  }

  constructor(workflowTypeOrFunc: string | W, options: WithStartWorkflowOptions<W>) {
    this.workflowTypeOrFunc = workflowTypeOrFunc;
    this.options = options;
    this.#handle = new Promise((resolve, reject) => {
      this.#settlement = { resolve, reject };
    });
    // The caller hears of a failure from the update call in any case.
    this.#handle.catch(() => undefined);
  }

  /**
   * The execution that the update went to, once it is durable. Rejects with the error of the call when there is none; it
   * resolves also if the update itself is rejected later.
   */
  workflowHandle(): Promise<WorkflowHandleWithFirstExecutionRunId<W>> {
    return this.#handle;
  }

  #take(): StartSettlement<W> {
    const settlement = this.#settlement;
    if (settlement === undefined)
      throw new Error('This WithStartWorkflowOperation instance has already been executed.');
    this.#settlement = undefined;
    return settlement;
  }
}

/** @throws Error when the operation was used before; TypeError when it is none */
export function takeOperation<W extends Workflow>(
  operation: WithStartWorkflowOperation<W>,
): StartSettlement<W> {
  if (!(operation instanceof WithStartWorkflowOperation))
    throw new TypeError('startWorkflowOperation must be a WithStartWorkflowOperation');
  return take(operation);
}
