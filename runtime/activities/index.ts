export { ApplicationFailure, ApplicationFailureCategory, CancelledFailure } from '../../actors/failures.js';
export {
  type ActivityInfo,
  activityInfo,
  Context,
  cancellationSignal,
  cancelled,
  heartbeat,
  log,
  sleep,
} from './context.js';
