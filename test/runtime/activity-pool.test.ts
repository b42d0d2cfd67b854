/** Attempts in threads (activities/pool.ts), as far as it takes more than a workflow to see it. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { encodePayload } from '../../codec/payload.js';
import type { ActivityExecutor } from '../../runtime/activities/attempt.js';
import { type ActivityInfo, Context } from '../../runtime/activities/context.js';
import { activityPool } from '../../runtime/activities/pool.js';
import { withDefaults } from '../../runtime/limits.js';
import { eventually, fixture } from '../support/runtime.js';

describe('activity pool', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-'));
  let pool: ActivityExecutor;
  before(async () => {
    pool = await activityPool(fixture('threaded-activities'), withDefaults({}));
  });
  after(async () => {
    await pool.close();
    rmSync(folder, { recursive: true });
  });

  it('cancelled while heartbeats have come that nobody has taken: they are taken first', async () => {
    const [when, then] = [path.join(folder, 'when'), path.join(folder, 'then')];
    const beats: unknown[] = [];
    const abort = new AbortController();
    const context = new Context({
      info: {} as ActivityInfo,
      cancellationSignal: abort.signal,
      beat: (details) => void beats.push(details),
      log: () => undefined,
    });
    pool.run('threadedBeatsOnDemand', encodePayload([when, then]), context).catch(() => undefined);
    await eventually(() => beats.length > 0);
    writeFileSync(when, '');
    while (!existsSync(then));
    abort.abort('WORKER_SHUTDOWN');
    expect(beats).to.deep.equal(['here', 1, 2]);
  });
});
