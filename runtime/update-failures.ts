/** What the caller of an update is told when the workflow ends first (semantics.md 3.5). */
import type { Failure } from '../codec/failure.js';

export function AcceptedUpdateCompletedWorkflow(): Failure {
  return {
    message: 'Workflow Update failed because the Workflow completed before the Update completed.',
    source: 'Server',
    info: { kind: 'application', type: 'AcceptedUpdateCompletedWorkflow', nonRetryable: true },
  };
}
