export {
  extractWorkflowType,
  HandlerUnfinishedPolicy,
  type QueryDefinition,
  type SignalDefinition,
  type UpdateDefinition,
  type Workflow,
  type WorkflowResultType,
} from '../../actors/definitions.js';
export {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  IllegalStateError,
  rootCause,
  ServerFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
  ValueError,
  WorkflowExecutionAlreadyStartedError,
} from '../../actors/failures.js';
export type { HistoryEvent } from '../../codec/history-event.js';
export { PayloadEncodeError, PayloadTooLargeError } from '../../codec/payload.js';
export { Client } from './client.js';
export {
  GrpcStatus,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  WorkflowContinuedAsNewError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from './errors.js';
export {
  type GetWorkflowHandleOptions,
  QueryRejectCondition,
  type SignalOptions,
  type WithWorkflowArgs,
  type WorkflowExecutionDescription,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowHandleWithSignaledRunId,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  type WorkflowOptions,
  type WorkflowSignalWithStartOptions,
  type WorkflowStartOptions,
  type WorkflowUpdateHandle,
  type WorkflowUpdateOptions,
  WorkflowUpdateStage,
} from './types.js';
export { WorkflowClient, type WorkflowClientOptions } from './workflow-client.js';
