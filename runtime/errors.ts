/**
 * Errors of the runtime itself, as opposed to those of client calls (client/errors.ts) and of the store (store/errors.ts).
 */

/** An option of Runtime.open is wrong. Says which, what it was, and what it should be. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}

/** Something that cannot happen did: a bug in the runtime. The thread or run concerned is recovered from the journal. */
export class InvariantError extends Error {
  override name = 'InvariantError';
}
