/** Signalbox as a user opens it: everything at its default but where the store is. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { openRuntime, startCounters } from '../../dist/bench/bench.js';
import { add, increment, total } from '../../dist/bench/workflows.js';
import { ENTITIES } from './work.mjs';

/**
 * @param {string} folder
 * @returns {Promise<import('./work.mjs').System>}
 */
export async function open(folder) {
  const runtime = await openRuntime(folder);
  const handles = await startCounters(
    runtime,
    Array.from({ length: ENTITIES }, (_, entity) => `counter-${entity}`),
  );
  const threads = Math.max(1, availableParallelism() - 1);
  const { workflow } = runtime.client;
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return {
    about: [
      `signalbox ${version}`,
      "durability 'flush', the default: a signal is answered when it and its turn are on the disk (fdatasync), an update when " +
        'acceptance and result are; the caller, the host and ' +
        `${threads} workflow ${threads === 1 ? 'thread' : 'threads'}, as many as there are cores but one, in one process`,
    ],
    signalsAreOneWay: false,
    signal: (entity) => handle(entity).signal(add, 1),
    update: (entity) => handle(entity).executeUpdate(increment, { args: [1] }),
    query: (entity) => handle(entity).query(total),
    workflow: (k) => workflow.execute('step', { workflowId: `step-${k}`, args: [k] }),
    close: () => runtime.close(),
  };

  /** @param {number} entity */
  function handle(entity) {
    return /** @type {import('../../dist/bench/bench.js').Handle} */ (handles[entity]);
  }
}
