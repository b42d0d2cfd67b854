/**
 * What users import of a context (`signalbox/activity`): with it, async call paths begin to be followed.
 *
 * Import it where the activities are defined, not inside one: attempts that had begun before the first import are not known
 * to `Context.current()`, and fail with IllegalStateError when they ask.
 *
 * Owns: nothing but that beginning. Does not own: contexts, and why they are not followed from the start (context.ts).
 */
import { followCallPaths } from './context.js';

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
