/** Opening and closing (runtime.ts): order, what a close does to calls in flight, what it leaves behind in the process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { GrpcStatus, RpcError } from '../../runtime/client/index.js';
import { Runtime } from '../../runtime/index.js';
import { noUnhandledRejections, openFaulty } from '../support/faulty.js';
import { eventually, fixture, rejection, TestRuntime } from '../support/runtime.js';
import { temporaryFolders } from '../support/store-folder.js';

const workflowsPath = fixture('../bad/collector');
const INDEX = new URL('../../runtime/index.js', import.meta.url).href;

/** Runs a script in a process of its own until that ends by itself. Returns what it wrote and how it ended. */
async function script(body: string): Promise<{ said: string; code: unknown }> {
  const text = `import { Runtime } from ${JSON.stringify(INDEX)};
    process.on('unhandledRejection', (error) => console.log('UNHANDLED', error));
    const workflowsPath = ${JSON.stringify(workflowsPath)};
    ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => void (said += data));
  const [code, signal] = await once(child, 'close');
  return { said: said.trim(), code: signal ?? code };
}

describe('runtime', () => {
  noUnhandledRejections();
  const folder = temporaryFolders();

  describe('the process', () => {
    it('after close(): Node exits by itself', async () => {
      const where = JSON.stringify(folder());
      const { said, code } = await script(`
        const runtime = await Runtime.open({ path: ${where}, workflowsPath, threads: 2, activitiesPath: ${JSON.stringify(workflowsPath)} , activities: { double: () => 1 } });
        const handle = await runtime.client.workflow.start('collector', { workflowId: 'id' });
        await handle.signal('sleep', 3_600_000);
        await handle.signal('call', 1);
        await runtime.close();
        console.log('closed');`);
      expect({ said, code }).to.deep.equal({ said: 'closed', code: 0 });
    });

    it('open and waiting for a timer, with nothing else to do: stays alive until it is closed', async () => {
      const { said, code } = await script(`
        const activities = { double: (n) => { console.log('slept', n); runtime.close().then(() => console.log('closed')); } };
        const runtime = await Runtime.open({ workflowsPath, threads: 1, activities });
        await runtime.client.workflow.start('sleepsThenCalls', { workflowId: 'id', args: [300] });`);
      expect({ said, code }).to.deep.equal({ said: 'slept 300\nclosed', code: 0 });
    });

    it('an opening that failed: Node exits by itself', async () => {
      const where = folder();
      const holder = await Runtime.open({ path: where, workflowsPath, threads: 1 });
      const { said, code } = await script(`
        const options = { path: ${JSON.stringify(where)}, workflowsPath, threads: 1, activitiesPath: ${JSON.stringify(workflowsPath)} };
        await Runtime.open(options).catch((error) => console.log(error.name));`);
      expect({ said, code }).to.deep.equal({ said: 'StoreLockedError', code: 0 });
      await holder.close();
    });

    it('calls that nobody awaits, refused because of a close: no unhandled rejection but those calls themselves', async () => {
      const { said, code } = await script(`
        const activities = { double: () => new Promise(() => undefined) };
        const runtime = await Runtime.open({ workflowsPath, threads: 1, activities });
        const handle = await runtime.client.workflow.start('collector', { workflowId: 'id' });
        const update = handle.startUpdate('putDoubled', { args: [1], waitForStage: 'ACCEPTED' });
        const started = await update;
        void handle.result().catch(() => console.log('result refused'));
        await runtime.close();
        void handle.signal('add', 1).catch(() => console.log('signal refused'));`);
      expect({ said, code }).to.deep.equal({ said: 'result refused\nsignal refused', code: 0 });
    });
  });

  describe('close()', () => {
    it('twice, and at once: one close, both resolve', async () => {
      const runtime = await Runtime.open({ workflowsPath, threads: 1 });
      const [first, second] = [runtime.close(), runtime.close()];
      expect(first).to.equal(second);
      await first;
      await runtime.close();
    });

    it('with calls of every kind in flight: each is acknowledged and there after a reopen, or refused and not there', async () => {
      const test = await TestRuntime.open({ workflows: '../bad/collector', threads: 2 });
      const handles = await Promise.all([1, 2, 3].map((n) => test.start('collector', [n])));
      const calls: { name: string; at: number; done: Promise<boolean> }[] = [];
      const ask = (at: number, name: string, call: Promise<unknown>): void =>
        void calls.push({
          name,
          at,
          done: call.then(
            () => true,
            () => false,
          ),
        });
      const askAll = (round: string): void => {
        for (const [at, handle] of handles.entries()) {
          ask(at, `${round} signal`, handle.signal('add', `${round} signal`));
          ask(
            at,
            `${round} once`,
            handle.signalWithOptions('add', { args: [`${round} once`], requestId: round }),
          );
          void handle.result().catch(() => undefined);
          void handle.query('list').catch(() => undefined);
        }
      };
      askAll('before');
      await Promise.resolve();
      const reopened = test.reopen();
      askAll('behind');
      await reopened;
      const lists = await Promise.all(handles.map((handle) => test.again(handle).query('list')));
      for (const { name, at, done } of calls) {
        expect(
          (lists[at] as unknown[]).filter((item) => item === name),
          name,
        ).to.have.length((await done) ? 1 : 0);
      }
      const acknowledged = await Promise.all(calls.map(({ done }) => done));
      expect(acknowledged).to.include(true).and.include(false);
      await test.close();
    });

    it('while an update is waited for: the call is refused; after a reopen the update goes on', async () => {
      const answers: ((n: number) => void)[] = [];
      const double = () => new Promise<number>((resolve) => void answers.push(resolve));
      const test = await TestRuntime.open({ workflows: '../bad/collector', activities: { double } });
      const handle = await test.start('collector');
      const started = await handle.startUpdate('putDoubled', {
        args: [1],
        updateId: 'u',
        waitForStage: 'ACCEPTED',
      });
      const result = rejection(started.result());
      const reopened = test.reopen();
      expect((await result).message).to.match(/The runtime is closed: open it again/);
      await reopened;
      const again = test.again(handle).getUpdateHandle('u').result();
      const answer = await eventually(() => answers[1]);
      answer(7);
      expect(await again).to.equal(1);
      await test.close();
    });

    it('afterwards: every call is refused with UNAVAILABLE, none hangs', async () => {
      const test = await TestRuntime.open({ workflows: '../bad/collector' });
      const handle = await test.start('collector');
      await test.close();
      const calls: (() => Promise<unknown>)[] = [
        () => test.client.start('collector', { workflowId: 'other' }),
        () => handle.signal('add', 1),
        () => handle.query('list'),
        () => handle.executeUpdate('put', { args: [1] }),
        () => handle.getUpdateHandle('u').result(),
        () => handle.result(),
        () => handle.describe(),
        () => handle.fetchHistory(),
        () => handle.cancel(),
        () => handle.terminate(),
      ];
      for (const call of calls) {
        const error = await rejection(Promise.resolve().then(call));
        expect(error.cause, error.stack)
          .to.be.instanceOf(RpcError)
          .with.property('code', GrpcStatus.UNAVAILABLE);
        expect(error.message).to.match(/The runtime is closed: open it again with Runtime\.open/);
      }
    });

    it('while the disk is full: closes, and what was acknowledged is there', async () => {
      const { test, plan } = await openFaulty();
      const handle = await test.start('collector');
      await handle.signal('add', 1);
      plan.full = true;
      const signal = handle.signal('add', 2).then(
        () => 'there',
        () => 'refused',
      );
      const closed = test.reopen();
      expect(await signal).to.equal('refused');
      await closed;
      plan.full = false;
      expect(await test.again(handle).query('list')).to.deep.equal([1]);
      await test.close();
    });

    it('while a turn blocks: ends that turn first, and closes', async () => {
      const test = await TestRuntime.open({ workflows: '../bad/collector', limits: { turnMsMax: 200 } });
      const handle = await test.start('blocks', ['when told']);
      const signal = handle.signal('block');
      await test.close();
      await signal;
    });
  });

  it('two runtimes in one process: know nothing of each other', async () => {
    const runtimes = await Promise.all([1, 2].map(() => Runtime.open({ workflowsPath, threads: 1 })));
    const handles = await Promise.all(
      runtimes.map(({ client }, n) => client.workflow.start('collector', { workflowId: 'same', args: [n] })),
    );
    expect(await Promise.all(handles.map((handle) => handle.query('list')))).to.deep.equal([[0], [1]]);
    await Promise.all(runtimes.map((runtime) => runtime.close()));
  });
});
