/**
 * A process for strace: makes one call of each kind, and says `ASK kind` before and `ACK kind` after it.
 *
 *      node crash-trace.js <folder>
 *
 * Nothing else goes on meanwhile, so a flush between the two words is the call's own.
 */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Runtime } from '../../runtime/index.js';

const WORKFLOWS = fileURLToPath(new URL('../../../test/fixtures/crash/workflows.ts', import.meta.url));

/** Lets what a call left behind (a timer, a result on its way to the disk) come to its end. */
const PAUSE_MS = 200;

const say = (text: string) => writeSync(1, `${text}\n`);

async function traced(kind: string, call: () => Promise<unknown>): Promise<void> {
  await sleep(PAUSE_MS);
  say(`ASK ${kind}`);
  await call();
  say(`ACK ${kind}`);
}

const runtime = await Runtime.open({
  path: process.argv[2]!,
  workflowsPath: WORKFLOWS,
  activities: {
    async double(n: number) {
      say('ACK activity start');
      return 2 * n;
    },
  },
  threads: 1,
  durability: 'flush',
});
const client = runtime.client.workflow;
const account = client.getHandle('account');
const [cancelled, terminated] = [client.getHandle('cancelled'), client.getHandle('terminated')];

await traced('start', () => client.start('account', { workflowId: 'account', args: [] }));
await traced('signal', () => account.signal('signal', 1));
await traced('signal with a request id', () =>
  account.signalWithOptions('signalOnce', { args: [2], requestId: 'r2' }),
);
await traced('signalWithStart', () =>
  client.signalWithStart('account', { workflowId: 'other', args: [], signal: 'signal', signalArgs: [3] }),
);
await traced('update accepted', () =>
  account.startUpdate('fetch', { args: [4, 1], updateId: 'u4', waitForStage: 'ACCEPTED' }),
);
await traced('update completed', () => account.executeUpdate('add', { args: [5], updateId: 'u5' }));
await sleep(PAUSE_MS);
say('ASK activity start');
await account.executeUpdate('fetch', { args: [6, 1], updateId: 'u6' });
await traced('query', () => account.query('position'));
await traced('query of a signal on its way', () => {
  void account.signal('signal', 7);
  return account.query('position');
});
await traced('update result by id', () => account.getUpdateHandle('u5').result());
await client.start('waiter', { workflowId: 'cancelled', args: [2] });
await traced('cancel', () => cancelled.cancel());
await client.start('waiter', { workflowId: 'terminated', args: [4] });
await traced('terminate', () => terminated.terminate());
const result = account.result();
await traced('completion', () => {
  void account.signal('finish');
  return result;
});
await runtime.close();
