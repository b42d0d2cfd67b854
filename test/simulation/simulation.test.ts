/**
 * D1 to D5 against a model: random steps, many at once, over a handful of executions, with crashes and reopenings.
 *
 * SIGNALBOX_SIMULATION_SEED repeats a run, SIGNALBOX_SIMULATION_STEPS makes it longer.
 */
import { expect } from 'chai';
import { noUnhandledRejections } from '../support/faulty.js';
import { type Report, type Setting, settingOf, shortened, simulate } from './simulation.js';
import { printed, type Step, stepsOf } from './steps.js';

const STEPS = Number(process.env.SIGNALBOX_SIMULATION_STEPS ?? 10_000);
const SHORTEN_MS = 30_000;
const LAST = 60;

describe('simulation', () => {
  noUnhandledRejections();

  it(`${STEPS} random steps, many at once, with crashes -> answers, lists and histories agree with the model`, async function () {
    this.timeout(300_000 + STEPS * 30);
    const seed = Number(process.env.SIGNALBOX_SIMULATION_SEED ?? Math.floor(Math.random() * 2 ** 32));
    print([`seed ${seed} (again with SIGNALBOX_SIMULATION_SEED=${seed})`]);
    const setting = settingOf(seed);
    print([JSON.stringify(setting)]);
    const report = await simulate(stepsOf(seed, STEPS), setting);
    if (report.troubles.length > 0) await tell(report, setting);
    expect(report.troubles).to.deep.equal([]);
    const { counts, executions } = report;
    const lost = Object.entries(counts)
      .filter(([what]) => what.endsWith('refused (disk full)'))
      .reduce((sum, [, count]) => sum + count, 0);
    print([
      `${executions} executions, ${counts.ok} calls did something, ${counts.openings} crashes and reopenings, ` +
        `${lost} calls refused by a full disk, ${counts['threads ended'] ?? 0} threads ended`,
    ]);
    if (STEPS >= 10_000) expect(counts).to.include.keys(SEEN);
    if (STEPS >= 10_000) expect(lost > 0).to.equal(setting.fills);
    if (STEPS >= 10_000) expect('threads ended' in counts).to.equal(setting.dies);
  });
});

/** What every run of this length comes across; otherwise it would prove little. */
const SEEN = [
  'duplicates',
  'unknown',
  'start refused (already started)',
  'signal refused (completed)',
  'update failed (Refused)',
  'update failed (Told)',
  'update failed (cancelled)',
  'update failed (AcceptedUpdateCompletedWorkflow)',
  'update refused (aborted)',
  'update refused (completed)',
  'query refused (query rejected)',
  'relays in order',
];

async function tell({ troubles, done }: Report, setting: Setting): Promise<void> {
  print([...troubles, `the last of ${done.length} steps:`]);
  printSteps(done.slice(-LAST));
  const few = await shortened(done, setting, troubles[0]!.split(':')[0]!, SHORTEN_MS);
  if (few.length === done.length) return print(['fewer steps did not fail: it depends on a race']);
  print([`${few.length} of them are enough:`]);
  printSteps(few.slice(-LAST));
}

function printSteps(steps: readonly Step[]): void {
  print(steps.map((step) => `  ${printed(step)}`));
}

function print(lines: string[]): void {
  for (const line of lines) console.log(`        ${line}`);
}
