/**
 * The tables of peers, as Markdown, and beside them all figures as JSON: bench/results/peers.md and peers.json.
 *
 * Owns: how figures are written, and what is said about what cannot be compared. Does not own: taking them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../../dist/bench/machine.js';
import { spread } from '../../dist/bench/measure.js';
import { CONCURRENCIES, ENTITIES, KINDS } from './work.mjs';

/** @type {Record<import('./work.mjs').Kind, string>} */
const NAMES = {
  signal: 'signal',
  update: 'update',
  query: 'query',
  workflow: 'start + step + result',
};

const OURS = 'Signalbox';

/** Said under every table: it belongs to the figures. */
const NOT_COMPARED = `What the figures do not compare:

- **Signalbox is embedded, the others are built to be shared.** Its caller, its host and its store are one process; a call is a function
  call. Restate's server takes calls over HTTP from any number of processes and calls services over HTTP; PostgreSQL serves any number of
  DBOS processes. Both cross a network interface, here loopback. How much of the
  difference that makes was not measured. It buys what Signalbox does not have: callers and workers in other processes, on other machines, in other languages.
- Replication, failover, more than one machine, and how rates grow with them: the others have it, Signalbox does not.
- Larger machines: server, service and caller of the others share these cores, where one would give each its own.
- The others tuned for this load by people who know them well: here they run at their defaults.
- What their queries promise differs: Restate writes each into its log; DBOS reads the last event from PostgreSQL; Signalbox asks the code.
- Memory, recovery after a crash, long histories, large payloads, power loss.`;

/**
 * @typedef {object} Taken
 * @property {Date} when
 * @property {import('../../dist/bench/machine.js').Machine} machine
 * @property {{ rounds: number, warmupMs: number, measureMs: number }} pace
 * @property {Map<string, import('./work.mjs').Round[]>} taken
 */

/**
 * Writes both files; answers with the Markdown.
 * @param {Taken} run
 */
export function writeReport(run) {
  const folder = path.join(ROOT, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const text = markdown(run);
  writeFileSync(path.join(folder, 'peers.md'), text);
  writeFileSync(
    path.join(folder, 'peers.json'),
    `${JSON.stringify({ ...run, taken: Object.fromEntries(run.taken) }, undefined, 2)}\n`,
  );
  return text;
}

/** @param {Taken} run */
function markdown(run) {
  const { cpu, cores, memoryGiB, loadAverage, system, node, commit } = run.machine;
  const { rounds, measureMs } = run.pace;
  return [
    `# Peers, ${run.when.toISOString().slice(0, 10)}`,
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, Node.js ${node}${commit === undefined ? '' : `, commit ${commit}`}.\n` +
      `${rounds === 1 ? 'One round' : `Medians (least to greatest) of ${rounds} rounds`}, ${measureMs} ms a figure, systems in alternation, one up at a time; ` +
      `load average at the beginning ${loadAverage}.\nMessages go to ${ENTITIES} entities in turn, each sender makes its next call when it has the ` +
      'answer to the one before. All rates are of messages that were applied and are durable; that nothing was lost is checked.',
    [...run.taken].map(([name, [round]]) => `- **${name}**: ${(round?.about ?? []).join('; ')}.`).join('\n'),
    '## Processed per second, best of all concurrencies',
    bestTable(run.taken),
    '## All figures',
    fullTable(run.taken),
    NOT_COMPARED,
    '',
  ].join('\n\n');
}

/** @param {Taken['taken']} taken */
function bestTable(taken) {
  const names = [...taken.keys()];
  const rows = names.map((name) => [name, ...KINDS.map((kind) => whole(best(taken, name, kind)))]);
  const ratios = names
    .filter((name) => name !== OURS)
    .map((name) => [
      `Signalbox / ${name}`,
      ...KINDS.map((kind) => times(best(taken, OURS, kind) / best(taken, name, kind))),
    ]);
  return table(['', ...KINDS.map((kind) => NAMES[kind])], [...rows, ...ratios]);
}

/** @param {Taken['taken']} taken */
function fullTable(taken) {
  const names = [...taken.keys()];
  const head = [
    'what',
    'concurrency',
    ...names.flatMap((name) => [`${name}, per second`, 'p50 ms', ...(name === OURS ? [] : ['ratio'])]),
  ];
  const rows = KINDS.flatMap((kind) =>
    CONCURRENCIES.map((concurrency) => [
      NAMES[kind],
      String(concurrency),
      ...names.flatMap((name) => cells(taken, name, kind, concurrency)),
    ]),
  );
  return table(head, rows);
}

/**
 * @param {Taken['taken']} taken
 * @param {string} name
 * @param {import('./work.mjs').Kind} kind
 * @param {number} concurrency
 */
function cells(taken, name, kind, concurrency) {
  const rate = of(taken, name, kind, concurrency, 'perSecond');
  const range = rate.min === rate.max ? '' : ` (${whole(rate.min)} to ${whole(rate.max)})`;
  const p50 = of(taken, name, kind, concurrency, 'p50').median;
  const ratio = of(taken, OURS, kind, concurrency, 'perSecond').median / rate.median;
  return [`${whole(rate.median)}${range}`, p50.toPrecision(3), ...(name === OURS ? [] : [times(ratio)])];
}

/**
 * @param {Taken['taken']} taken
 * @param {string} name
 * @param {import('./work.mjs').Kind} kind
 */
function best(taken, name, kind) {
  return Math.max(
    ...CONCURRENCIES.map((concurrency) => of(taken, name, kind, concurrency, 'perSecond').median),
  );
}

/**
 * @param {Taken['taken']} taken
 * @param {string} name
 * @param {import('./work.mjs').Kind} kind
 * @param {number} concurrency
 * @param {'perSecond' | 'p50' | 'p99'} what
 */
function of(taken, name, kind, concurrency, what) {
  const figures = (taken.get(name) ?? []).flatMap((round) => round.figures);
  return spread(
    figures
      .filter((each) => each.kind === kind && each.concurrency === concurrency)
      .map((each) => each[what]),
  );
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} body
 */
function table(head, body) {
  const line = (/** @type {readonly string[]} */ items) => `| ${items.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...body.map(line)].join(
    '\n',
  );
}

/** @param {number} value */
function whole(value) {
  return Math.round(value).toLocaleString('en-US');
}

/** @param {number} ratio */
function times(ratio) {
  return `x ${ratio < 10 ? ratio.toFixed(1) : whole(ratio)}`;
}
