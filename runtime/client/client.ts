/** The client: what an embedder calls workflows with. `runtime.client` is one. */
import type { WorkflowClient } from './workflow-client.js';

export class Client {
  constructor(readonly workflow: WorkflowClient) {}

  /** Calls made inside `fn` are given up at the deadline (epoch ms or Date). See WorkflowClient.withDeadline. */
  withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R> {
    return this.workflow.withDeadline(deadline, fn);
  }

  /** Calls made inside `fn` are given up when the signal is aborted. See WorkflowClient.withAbortSignal. */
  withAbortSignal<R>(signal: AbortSignal, fn: () => Promise<R>): Promise<R> {
    return this.workflow.withAbortSignal(signal, fn);
  }
}
