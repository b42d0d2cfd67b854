/**
 * The crash tests for as long as one likes: npm run test:crash -- --kills 500 --seed 7
 *
 * Ends with a line `N kills, N lost, N duplicated`, and with exit code 1 unless all is well. The folder of a run that
 * is not is kept.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { crash, isClean, type Summary } from './harness.js';

const KILLS_PER_LINE = 10;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);
if (!Number.isInteger(kills) || kills < 1 || !Number.isInteger(seed)) {
  console.error('Usage: npm run test:crash -- --kills <number> --seed <number>');
  process.exit(2);
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'signalbox-crash-'));
const shown = new Set<string>();
console.log(`seed ${seed}`);
const summary = await crash({ kills, seed, folder, progress });
report(summary);
console.log(`${counted(summary)}, all promises looked at three times`);
if (summary.wrong.length > 0) console.log(`${summary.wrong.length} wrong in another way`);
console.log(`${summary.kills} kills, ${summary.lost.length} lost, ${summary.duplicated.length} duplicated`);
if (isClean(summary)) rmSync(folder, { recursive: true, force: true });
else {
  console.log(`The store is kept in ${folder}`);
  process.exitCode = 1;
}

function progress(sofar: Summary): void {
  report(sofar);
  if (sofar.kills % KILLS_PER_LINE === 0) console.log(counted(sofar));
}

function counted({ kills: done, killsInRecovery, acknowledged, executions }: Summary): string {
  return `${done} kills (${killsInRecovery} during recovery), ${acknowledged} calls acknowledged, ${executions} executions`;
}

/** Each finding once, as soon as it is there. */
function report({ lost, duplicated, wrong }: Summary): void {
  for (const [kind, findings] of Object.entries({ lost, duplicated, wrong })) {
    for (const finding of findings) {
      if (shown.has(finding)) continue;
      shown.add(finding);
      console.log(`${kind}: ${finding}`);
    }
  }
}
