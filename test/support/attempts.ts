/**
 * Activity attempts that wait for the test.
 *
 * Owns: which attempts began, and letting them go on one by one.
 */
import { Context } from '../../runtime/activities/index.js';
import { eventually } from './runtime.js';

/** Attempts that wait until the test lets them go on, by the name that the test gave the activity. */
export class Attempts {
  readonly #waiting: {
    name: string;
    resolve: (value: unknown) => void;
    reject: (error: Error) => void;
    context: Context;
  }[] = [];
  begun: string[] = [];

  wait(name: string): Promise<unknown> {
    const context = Context.current();
    this.begun.push(`${name} ${context.info.attempt}`);
    return new Promise((resolve, reject) => this.#waiting.push({ name, resolve, reject, context }));
  }

  /** The oldest attempt of the activity that waits. */
  async next(name: string) {
    return eventually(() => {
      const at = this.#waiting.findIndex((waiting) => waiting.name === name);
      return at >= 0 && this.#waiting.splice(at, 1)[0];
    });
  }
}
