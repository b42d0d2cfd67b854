/**
 * `npm run bench:peers`: the same work on Signalbox and on other systems, in the same run and in alternation.
 *
 *   npm run bench:peers                        3 rounds of each, some minutes
 *   npm run bench:peers -- --quick             one short round
 *   npm run bench:peers -- --peer Restate      one peer only; may be repeated
 *
 *   { Signalbox -> peer -> peer } x rounds, each in a process and a folder of its own -> medians -> table
 *
 * Owns: options, order, cleaning up. Only one system is up at a time, so none disturbs another.
 * Does not own: the work (work.mjs), the systems, the tables (report.mjs).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openFolders } from '../../dist/bench/bench.js';
import { machine } from '../../dist/bench/machine.js';
import { folderOfPrograms, POSTGRES_IS_MISSING } from './postgres.mjs';
import { writeReport } from './report.mjs';

const PEERS = ['Restate', 'DBOS on PostgreSQL'];
const FULL = { rounds: 3, warmupMs: 1_000, measureMs: 2_000 };
const QUICK = { rounds: 1, warmupMs: 500, measureMs: 700 };

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    peer: { type: 'string', multiple: true, default: PEERS },
  },
});
const unknown = options.peer.filter((name) => !PEERS.includes(name));
if (unknown.length > 0) throw new Error(`There is no peer '${unknown[0]}'. There are: ${PEERS.join(', ')}`);

const pace = options.quick ? QUICK : FULL;
const systems = ['Signalbox', ...options.peer.filter(available)];
const onMachine = machine();
const folders = openFolders();
process.once('SIGINT', () => {
  folders.remove();
  process.exit(130);
});
/** @type {Map<string, import('./work.mjs').Round[]>} */
const taken = new Map(systems.map((name) => [name, []]));
try {
  for (let round = 1; round <= pace.rounds; round++) {
    for (const name of systems) {
      process.stderr.write(`round ${round}, ${name} ... `);
      taken.get(name)?.push(await measure(name));
      process.stderr.write('done\n');
    }
  }
} finally {
  folders.remove();
}
process.stdout.write(writeReport({ when: new Date(), machine: onMachine, pace, taken }));

/**
 * @param {string} name
 * @returns {Promise<import('./work.mjs').Round>}
 */
async function measure(name) {
  const folder = folders.folder(name.replaceAll(' ', '-'));
  const args = [name, folder, String(pace.warmupMs), String(pace.measureMs)];
  const child = fork(fileURLToPath(new URL('./round.mjs', import.meta.url)), args, {
    // Not ours to mend: what the libraries of peers call.
    execArgv: ['--no-deprecation'],
  });
  const exited = once(child, 'exit');
  /** @type {import('./work.mjs').Round | undefined} */
  let round;
  child.on('message', (message) => {
    round = /** @type {import('./work.mjs').Round} */ (message);
  });
  const [code] = await exited;
  if (round === undefined || code !== 0) throw new Error(`The round of ${name} ended with ${code}`);
  return round;
}

/**
 * A peer that cannot be run is left out, and that is said.
 * @param {string} name
 */
function available(name) {
  if (name !== 'DBOS on PostgreSQL' || folderOfPrograms() !== undefined) return true;
  process.stderr.write(`${name} is left out: ${POSTGRES_IS_MISSING}\n`);
  return false;
}
