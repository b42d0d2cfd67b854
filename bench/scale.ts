/**
 * Scale: a store with very many open executions (`--executions N`).
 *
 *   fill -> SIGKILL -> ask, ask ... -> signal -> close it properly -> ask, ask ...
 *
 * Owns: the order of the child processes, what is compared with what. Does not own: what a child does (scale-child.ts).
 *
 * The executions are made through the public API, 1,000 starts under way at once: about a minute and a half for a million.
 * Signals to 100 of the many are compared with signals to 100 that are alone in a store of their own, by turns in one process.
 * Signals to any of the many, taken by chance, nearly always meet an execution that has to be recovered first.
 */
import type { Bench, Workload } from './bench.js';
import { runChild } from './child.js';
import { figuresOf } from './figure.js';
import type { Row } from './report.js';
import { type Answer, FEW, type Order, type Round } from './scale-child.js';

const ASKS = { quick: 2, full: 5 };
const ROUNDS = { quick: 9, full: 15 };
const MEASURE_MS = 1_000;
const ANSWER_MS_MAX = 3_000;
const MEMORY_MIB_MAX = 1_024;
const COST_MAX = 1.2;
const PASSIVATED_BYTES_MAX = 100;
const MiB = 2 ** 20;
const figure = figuresOf('scale');

export const scale: Workload = {
  name: 'scale',
  onlyWhenNamed: true,
  async run(bench) {
    const { executions } = bench;
    const folder = bench.folder('scale');
    const filled = await child({ kind: 'fill', folder, executions }, ['--expose-gc']);
    const killed = await askAll(bench, folder, 'kill -9');
    const rounds = bench.quick ? ROUNDS.quick : ROUNDS.full;
    const fewFolder = bench.folder('scale-few');
    const signalled = await child({
      kind: 'signal',
      folder,
      executions,
      fewFolder,
      rounds,
      measureMs: MEASURE_MS,
    });
    await child({ kind: 'close', folder });
    const closed = await askAll(bench, folder, 'close');
    return [...fillRows(filled), ...killed, ...closed, ...signalRows(signalled, executions)];
  },
};

function fillRows({ startsPerSecond = Number.NaN, footprint }: Answer): Row[] {
  const { threadHeap = Number.NaN, host = Number.NaN } = footprint ?? {};
  return [
    figure('executions started', [startsPerSecond], 'per second'),
    figure('passivated execution: host and thread', [threadHeap + host], 'bytes', PASSIVATED_BYTES_MAX),
  ];
}

async function askAll(bench: Bench, folder: string, after: string): Promise<Row[]> {
  const answers: Answer[] = [];
  while (answers.length < (bench.quick ? ASKS.quick : ASKS.full))
    answers.push(await child({ kind: 'ask', folder, executions: bench.executions }));
  const pick = (value: (answer: Answer) => number | undefined) =>
    answers.map((answer) => value(answer) ?? Number.NaN);
  const of = `${bench.executions.toLocaleString('en-US')} open executions, after ${after}`;
  return [
    figure(
      `${of}: Runtime.open`,
      pick(({ openMs }) => openMs),
      'ms',
    ),
    figure(
      `${of}: from the start of Runtime.open to the first answer`,
      pick(({ answerMs }) => answerMs),
      'ms',
      ANSWER_MS_MAX,
    ),
    figure(
      `${of}: largest resident set until then`,
      pick(({ memory }) => memory && memory.residentMost / MiB),
      'MiB',
      MEMORY_MIB_MAX,
    ),
  ];
}

function signalRows({ rounds = [], memory }: Answer, executions: number): Row[] {
  const pick = (value: (round: Round) => number) => rounds.map(value);
  const many = executions.toLocaleString('en-US');
  return [
    figure(
      `signals to ${FEW} of ${FEW}`,
      pick(({ allOfFew }) => allOfFew),
      'per second',
    ),
    figure(
      `signals to ${FEW} of ${many}`,
      pick(({ someOfMany }) => someOfMany),
      'per second',
    ),
    figure(
      'cost of such a signal, against the line before the last',
      pick(({ allOfFew, someOfMany }) => allOfFew / someOfMany),
      'x',
      COST_MAX,
    ),
    figure(
      `signals to any of ${many}, each recovered first`,
      pick(({ anyOfMany }) => anyOfMany),
      'per second',
    ),
    figure('largest resident set of that process', [(memory?.residentMost ?? Number.NaN) / MiB], 'MiB'),
    figure(
      'of it at the end, without pages of the data file',
      [(memory?.own ?? Number.NaN) / MiB],
      'MiB',
      MEMORY_MIB_MAX,
    ),
  ];
}

function child(order: Order, execArgv: string[] = []): Promise<Answer> {
  return runChild<Order, Answer>(new URL('./scale-child.js', import.meta.url), order, execArgv);
}
