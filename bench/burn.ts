/** How long the burner computes (workflows.ts): it cannot look at a clock, so its rounds are counted beforehand. */
import type { WorkflowHandle } from '../runtime/client/index.js';
import { type burner, increment } from './workflows.js';

/** Far above what a call takes otherwise. */
const TRIAL_MS = 50;
/** The loop is not compiled at first. */
const TRIALS = 6;

/** Rounds of the burner's loop that take so many ms of its thread. */
export async function roundsFor(handle: WorkflowHandle<typeof burner>, ms: number): Promise<number> {
  let rounds = 1_000_000;
  for (let trial = 0; trial < TRIALS; trial++) {
    const begun = performance.now();
    await handle.executeUpdate(increment, { args: [rounds] });
    rounds = Math.round((rounds * TRIAL_MS) / (performance.now() - begun));
  }
  return Math.round((rounds * ms) / TRIAL_MS);
}
