// `npm start`: the greeting workflow on a real store, killed in the middle and started again.
//
// This process only watches. The workflow lives in a child process, which is killed with SIGKILL while an update runs;
// a second child opens the same folder and goes on from there.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure } from './measure.js';

const life = fileURLToPath(new URL('./life.js', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-greeting-'));
const say = (text: string) => console.log(text);

try {
  say(`\nSignalbox: a workflow as a durable actor. Its store is a folder: ${folder}\n`);
  say('── first process ─────────────────────────────────────────────────────────────────');
  const first = fork(life, ['first', folder]);
  await Promise.race([once(first, 'message'), endsWell(first)]);
  first.kill('SIGKILL');
  const [, signal] = await once(first, 'exit');
  say(`\n   ✗  kill -9 (${signal}) while the update waits for its activity\n`);

  say('── second process, same folder ───────────────────────────────────────────────────');
  const second = fork(life, ['second', folder]);
  await endsWell(second);

  say('\n── speed, on this machine, every signal and update on disk before it is acknowledged ──');
  say(`   ${await measure()}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Resolves when the child ends well. */
async function endsWell(child: ReturnType<typeof fork>): Promise<void> {
  const [code, signal] = await once(child, 'exit');
  if (code !== 0) throw new Error(`The child process ended with ${signal ?? `code ${code}`}`);
}
