/** One round of one system in a process of its own (main.mjs): opens it, measures, closes it, tells what came out. */
import { parseArgs } from 'node:util';
import { measureRound } from './work.mjs';

/** @type {Record<string, () => Promise<{ open(folder: string): Promise<import('./work.mjs').System> }>>} */
const SYSTEMS = {
  Signalbox: () => import('./signalbox.mjs'),
  Restate: () => import('./restate.mjs'),
  'DBOS on PostgreSQL': () => import('./dbos.mjs'),
};

/** Long enough for every pace; a system that does not answer must not keep its server up for ever. */
const ROUND_MS_MAX = 10 * 60_000;
setTimeout(() => process.exit(1), ROUND_MS_MAX).unref();

const { positionals } = parseArgs({ allowPositionals: true });
const [name = '', folder = '', warmupMs, measureMs] = positionals;
const system = await (await SYSTEMS[name]?.())?.open(folder);
if (system === undefined) throw new Error(`There is no system '${name}'`);
try {
  const round = await measureRound(system, { warmupMs: Number(warmupMs), measureMs: Number(measureMs) });
  await new Promise((resolve) => process.send?.(round, resolve));
} finally {
  await system.close();
}
// Some libraries keep timers and connections for as long as their process lives.
process.exit(0);
