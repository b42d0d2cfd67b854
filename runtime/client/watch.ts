/**
 * A watch as callers have it: decoded answers, and the client's errors.
 *
 * Owns: decoding. Does not own: when there is an answer (runtime/watch.ts).
 */
import type { Payload } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';

/** @param next how the next answer is asked for; after an error of it the watch is over */
export function decodedWatch<Ret>(
  answers: AsyncIterableIterator<Payload>,
  next: () => Promise<IteratorResult<Payload, undefined>>,
): AsyncIterableIterator<Ret> {
  let over = false;
  const end = async (): Promise<IteratorResult<Ret, undefined>> => {
    over = true;
    await answers.return?.();
    return { done: true, value: undefined };
  };
  return {
    async next() {
      if (over) return end();
      try {
        const { done, value } = await next();
        return done === true ? { done, value } : { done: false, value: decodePayload(value) as Ret };
      } catch (error) {
        // A loop does not end an iterator that threw.
        await end();
        throw error;
      }
    },
    return: end,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
