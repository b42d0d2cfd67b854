/** D1, D2, D5: kill -9 under load, again and again, on one store. `npm run test:crash` does more of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { crash } from './harness.js';

const KILLS = 25;

describe('kill -9 under load', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'signalbox-crash-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it(`runtime: killed ${KILLS} times, also while it recovers -> nothing acknowledged is lost, nothing happens twice`, async function () {
    this.timeout(600_000);
    const seed = Number(process.env.SIGNALBOX_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 32));
    console.log(`        seed ${seed} (again with SIGNALBOX_CRASH_SEED=${seed})`);
    const { lost, duplicated, wrong, ...counts } = await crash({ kills: KILLS, seed, folder });
    console.log(
      `        ${counts.acknowledged} calls acknowledged, ${counts.executions} executions, ${counts.killsInRecovery} kills during recovery`,
    );
    expect({ lost, duplicated, wrong }).to.deep.equal({ lost: [], duplicated: [], wrong: [] });
    expect(counts.kills).to.equal(KILLS);
    expect(counts.acknowledged).to.be.greaterThan(KILLS);
  });
});
