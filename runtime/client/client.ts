/** The client: what an embedder calls workflows with. `runtime.client` is one. */
import type { WorkflowClient } from './workflow-client.js';

export class Client {
  constructor(readonly workflow: WorkflowClient) {}
}
