/**
 * Which execution is running, and in which cancellation scope and update.
 *
 * Owns: the two variables that make a free function such as `sleep()` know whose it is. The thread runs one turn at
 * a time (D3) and drains its microtasks before the next, so one variable names the activation; the frame follows the
 * async call path through a promise hook that the thread installs (runtime/realm.ts).
 * Does not own: what an activation or a scope is.
 */
import type { Activation } from './activation.js';
import { IllegalStateError } from './failures.js';
import type { CancellationScope } from './scopes.js';

export interface UpdateInfo {
  readonly id: string;
  readonly name: string;
}

/** What travels along an async call path. null stands for the root scope outside an update, the usual case. */
export interface Frame {
  readonly scope: CancellationScope | undefined;
  readonly update: UpdateInfo | undefined;
}

/** Shared with the promise hook, hence an object. */
export const asyncContext: { frame: Frame | null } = { frame: null };

let current: Activation | undefined;

export function setCurrent(activation: Activation | undefined): void {
  current = activation;
  asyncContext.frame = null;
}

export function maybeCurrent(): Activation | undefined {
  return current;
}

/** @throws IllegalStateError outside a workflow; `api` names what was called. */
export function currentActivation(api: string): Activation {
  if (current === undefined) {
    throw new IllegalStateError(`Workflow.${api} may only be used from a Workflow Execution.`);
  }
  return current;
}

/** For calls that change something: refused while a query or validator runs (D6). */
export function mutableActivation(api: string): Activation {
  const activation = currentActivation(api);
  activation.refuseReadOnly(`Workflow.${api}`);
  return activation;
}

export function withFrame<T>(frame: Frame | null, fn: () => T): T {
  const before = asyncContext.frame;
  asyncContext.frame = frame;
  try {
    return fn();
  } finally {
    asyncContext.frame = before;
  }
}
