/**
 * What an embedder may register as activities.
 *
 * Owns: refusing what would register nothing, and names that two would have.
 * Does not own: running them (runner.ts, pool.ts). Values that are no functions are left out, as on Temporal.
 */
import { kindOf } from '../../actors/options.js';
import { ConfigurationError } from '../errors.js';
import type { ActivityExecutor } from './attempt.js';

/** @throws ConfigurationError for what is no object of functions */
export function checkActivities(activities: unknown): void {
  if (typeof activities !== 'object' || activities === null || Array.isArray(activities))
    throw new ConfigurationError(`activities must be an object of functions, got ${kindOf(activities)}`);
  if (!Object.hasOwn(activities, 'then') && typeof (activities as { then?: unknown }).then === 'function')
    throw new ConfigurationError('activities must be an object of functions, got a promise: await it first');
  const values = Object.values(activities);
  if (values.some((value) => typeof value === 'function')) return;
  const [inherited] = inheritedFunctions(activities);
  if (inherited !== undefined)
    throw new ConfigurationError(
      `activities must be an object of functions, and this one's are on its class, as ${inherited} is: those are not ` +
        `registered. Pass an object that has them, such as { ${inherited}: (...args) => instance.${inherited}(...args) }`,
    );
  if (values.length > 0)
    throw new ConfigurationError(
      `activities must be an object of functions, and this one has none: ${Object.keys(activities).join(', ')}`,
    );
}

/** Names of the methods of an object's class and of those it extends. */
function inheritedFunctions(object: object): string[] {
  const names: string[] = [];
  let prototype = Object.getPrototypeOf(object);
  // The last is Object's own, which every object has.
  while (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype)))
      if (name !== 'constructor' && typeof value === 'function') names.push(name);
    prototype = Object.getPrototypeOf(prototype);
  }
  return names;
}

/** @throws ConfigurationError when two have an activity of the same name: only one of them would ever run */
export function refuseSharedNames(executors: readonly ActivityExecutor[]): void {
  const [host, threads] = executors;
  const shared = threads?.types.find((type) => host!.types.includes(type));
  if (shared !== undefined)
    throw new ConfigurationError(
      `activities and the module of activitiesPath both have an activity called '${shared}': leave one of them out`,
    );
}
