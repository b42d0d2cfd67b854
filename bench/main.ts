/**
 * `npm run bench`: all workloads, or some, beside their floors. `npm run bench -- --help` lists the options.
 *
 * Owns: options, order, progress on stderr, cleaning up. The tables go to stdout and, with the JSON, to bench/results/.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { openFolders, type Workload } from './bench.js';
import { writeCharts } from './charts.js';
import { disk } from './disk.js';
import { fairness } from './fairness.js';
import { Floors } from './floors.js';
import { growth } from './growth.js';
import { hot } from './hot.js';
import { longrun } from './longrun.js';
import { machine } from './machine.js';
import { many } from './many.js';
import { FULL, QUICK } from './measure.js';
import { memory } from './memory.js';
import { overload } from './overload.js';
import { profileStages } from './profile.js';
import { query } from './query.js';
import { recovery } from './recovery.js';
import { json, markdown, type Report, type Row, writeReadme, writeResults } from './report.js';
import { scale } from './scale.js';
import { signal } from './signal.js';
import { threads } from './threads.js';
import { update } from './update.js';
import { workflow } from './workflow.js';

const WORKLOADS: readonly Workload[] = [
  signal,
  update,
  query,
  hot,
  many,
  workflow,
  recovery,
  memory,
  threads,
  fairness,
  overload,
  scale,
  growth,
  disk,
  longrun,
];
const FLOORS = 'floors';

const USAGE = `
npm run bench                        a few minutes, medians of 3 repetitions
npm run bench -- --quick             under a minute, one repetition
                 --only NAME         one workload, or floors; may be given several times. There are:
                                     ${[FLOORS, ...namesOf(false)].join(', ')};
                                     only when named, because they take minutes: ${namesOf(true).join(', ')}
                 --executions N      how many open executions scale makes, default 1,000,000
                 --minutes M         how long longrun runs, default 20
                 --json FILE         the JSON also to FILE
                 --write-readme      the tables also into bench/README.md
                 --profile           no measurements, but where the time of a message goes
`;

const options = parsed();

if (options.help) process.stdout.write(USAGE.trimStart());
else if (options.profile) await profile(options.quick);
else await measureAll();

function namesOf(onlyWhenNamed: boolean): string[] {
  return WORKLOADS.filter((workload) => (workload.onlyWhenNamed ?? false) === onlyWhenNamed).map(
    ({ name }) => name,
  );
}

function parsed() {
  try {
    const options = parseOptions();
    const names: readonly string[] = [FLOORS, ...WORKLOADS.map(({ name }) => name)];
    const unknown = options.only?.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new Error(`There is no workload '${unknown}'`);
    sizesOf(options);
    return options;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

function parseOptions() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      json: { type: 'string' },
      'write-readme': { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      executions: { type: 'string', default: '1000000' },
      minutes: { type: 'string', default: '20' },
    },
  });
  return values;
}

async function measureAll(): Promise<void> {
  const report = await bench(options.quick, options.only);
  process.stdout.write(`${markdown(report)}\n`);
  writeResults(report);
  writeCharts(report);
  if (options.json !== undefined) writeFileSync(options.json, json(report));
  if (options['write-readme']) writeReadme(report);
}

async function profile(quick: boolean): Promise<void> {
  const pace = quick ? QUICK : FULL;
  const folders = openFolders();
  const floors = new Floors(folders.folder(FLOORS));
  try {
    const stages = await profileStages(
      { quick, pace, floors, ...sizesOf(options), folder: folders.folder },
      pace.measureMs,
    );
    process.stdout.write(`${stages}\n`);
  } finally {
    await floors.close();
    folders.remove();
  }
}

async function bench(quick: boolean, only: readonly string[] | undefined): Promise<Report> {
  const wanted = (name: string, onlyWhenNamed = false) => only?.includes(name) ?? !onlyWhenNamed;
  const begun = performance.now();
  const onMachine = machine();
  const pace = quick ? QUICK : FULL;
  const folders = openFolders();
  const interrupted = (): never => {
    folders.remove();
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  const floors = new Floors(folders.folder(FLOORS));
  try {
    const floorRows = wanted(FLOORS) ? await timed(FLOORS, () => floors.table(pace.measureMs / 2)) : [];
    const rows: Row[] = [];
    for (const { name, onlyWhenNamed, run } of WORKLOADS) {
      if (!wanted(name, onlyWhenNamed)) continue;
      const given = { quick, pace, floors, ...sizesOf(options), folder: folders.folder };
      rows.push(...(await timed(name, () => run(given))));
    }
    return {
      schema: 1,
      when: new Date().toISOString(),
      seconds: (performance.now() - begun) / 1_000,
      quick,
      pace,
      durability: 'flush',
      threads: Math.max(1, availableParallelism() - 1),
      machine: onMachine,
      floors: floorRows,
      rows,
    };
  } finally {
    await floors.close();
    folders.remove();
    process.off('SIGINT', interrupted);
  }
}

/** @throws Error for what is no number, or too small a one */
function sizesOf(given: { executions: string; minutes: string }): { executions: number; minutes: number } {
  const number = (name: 'executions' | 'minutes', least: number): number => {
    const value = Number(given[name]);
    if (value >= least) return value;
    throw new Error(`--${name} must be a number of at least ${least}, got '${given[name]}'`);
  };
  return { executions: Math.floor(number('executions', 50_000)), minutes: number('minutes', 1) };
}

async function timed<T>(name: string, fn: () => Promise<T>): Promise<T> {
  process.stderr.write(`${name} ... `);
  const begun = performance.now();
  const result = await fn();
  process.stderr.write(`${((performance.now() - begun) / 1_000).toFixed(1)} s\n`);
  return result;
}
