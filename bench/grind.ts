/** Work for a processor and nothing else: what CPU-heavy turns do, and bare threads beside them (threads.ts). */

/** Some 0.2 ms on a processor of these years. */
const ROUNDS = 200_000;

/** A number that nobody can know without the work. */
export function grind(seed: number): number {
  let hash = seed | 0;
  for (let i = 0; i < ROUNDS; i++) hash = Math.imul(hash ^ i, 16_777_619);
  return hash;
}
