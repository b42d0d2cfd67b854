/**
 * `signalbox/activity`, as users import it.
 *
 * Import it where the activities are defined, not inside one: attempts that had begun before the first import are not known
 * to `Context.current()`, and fail with IllegalStateError when they ask.
 */
import { followCallPaths } from './context.js';

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

followCallPaths();
