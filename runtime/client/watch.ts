/**
 * A watch as callers have it: decoded answers, and the client's errors.
 *
 * Owns: decoding. Does not own: when there is an answer (runtime/watch.ts).
 */
import type { Payload } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';

/** @param rethrow turns an error of the service into the one that callers know */
export function decodedWatch<Ret>(
  answers: AsyncIterableIterator<Payload>,
  rethrow: (error: unknown) => never,
): AsyncIterableIterator<Ret> {
  const end = async (): Promise<IteratorResult<Ret, undefined>> => {
    await answers.return?.();
    return { done: true, value: undefined };
  };
  return {
    async next() {
      const { done, value } = await answers.next().catch(rethrow);
      if (done === true) return { done, value: undefined };
      try {
        return { done: false, value: decodePayload(value) as Ret };
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
