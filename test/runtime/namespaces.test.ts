/** Several namespaces in one store (namespaces.ts): separate ids, which calls are refused, each with its retention. */
import { expect } from 'chai';
import {
  type Client,
  NamespaceNotFoundError,
  WithStartWorkflowOperation,
  type WorkflowClient,
  WorkflowNotFoundError,
} from '../../runtime/client/index.js';
import { ConfigurationError, type NamespaceOptions, Runtime } from '../../runtime/index.js';
import { noUnhandledRejections } from '../support/faulty.js';
import {
  eventually,
  ManualClock,
  rejection,
  TestRuntime,
  type TestRuntimeOptions,
} from '../support/runtime.js';

const HOUR = 3_600_000;

describe('namespaces', () => {
  noUnhandledRejections();
  let clock: ManualClock;
  let test: TestRuntime;
  const open = async (options: Partial<TestRuntimeOptions>): Promise<void> => {
    clock = new ManualClock();
    test = await TestRuntime.open({ workflows: 'updates', clock, ...options });
  };
  afterEach(() => test.close());

  const of = (namespace: string): WorkflowClient => test.runtime.clientFor(namespace).workflow;
  const start = (client: WorkflowClient, workflowId: string, more = {}) =>
    client.start('adds', { workflowId, args: [], ...more });

  it('the same id in two: two executions, each with its own messages, history, end and reuse', async () => {
    await open({ namespaces: { other: {} } });
    const here = await start(test.client, 'one');
    const there = await start(of('other'), 'one');
    await here.executeUpdate('add', { args: [1], updateId: 'u' });
    await there.executeUpdate('add', { args: [10], updateId: 'u' });
    await here.signalWithOptions('finish', { requestId: 'r' });
    expect(await here.result()).to.equal(1);
    expect(await there.query('total')).to.equal(10);
    expect((await here.fetchHistory()).events).to.have.length.above(
      (await there.fetchHistory()).events.length,
    );
    const again = await start(of('other'), 'one', { workflowIdConflictPolicy: 'USE_EXISTING' });
    expect(again.firstExecutionRunId).to.equal(there.firstExecutionRunId);
    expect(await there.signalWithOptions('finish', { requestId: 'r' })).to.deep.equal({ duplicate: false });
    expect(await there.result()).to.equal(10);
  });

  it('reopened, and crashed: each id is found where it was started', async () => {
    await open({ namespaces: { other: {} } });
    await start(test.client, 'one');
    await start(of('other'), 'one');
    await of('other')
      .getHandle('one')
      .executeUpdate('add', { args: [7] });
    for (const again of [() => test.reopen(), () => test.crash(), () => test.reopen()]) {
      await again();
      expect(await test.client.getHandle('one').query('total')).to.equal(0);
      expect(await of('other').getHandle('one').query('total')).to.equal(7);
    }
  });

  it('withOptions({ namespace }): the same as clientFor', async () => {
    await open({ namespaces: { other: {} } });
    await start(of('other'), 'one');
    const client = test.client.withOptions({ namespace: 'other' });
    expect((await client.getHandle('one').describe()).workflowId).to.equal('one');
  });

  it('the namespace of the client: is there without being declared, and may be declared for its retention', async () => {
    await open({ namespace: 'mine', namespaces: { other: {} } });
    await start(test.client, 'one');
    expect(await of('mine').getHandle('one').query('total')).to.equal(0);
    expect(await rejection(of('default').getHandle('one').query('total'))).to.be.instanceOf(
      NamespaceNotFoundError,
    );
  });

  it('the run id of an execution in another namespace: is not found here', async () => {
    await open({ namespaces: { other: {} } });
    const { firstExecutionRunId } = await start(of('other'), 'one');
    const error = await rejection(test.client.getHandle('one', firstExecutionRunId).describe());
    expect(error).to.be.instanceOf(WorkflowNotFoundError);
    expect(error.message).to.equal('workflow not found for ID: one');
  });

  it('not declared: every call is refused with its name, and nothing is done', async () => {
    await open({ namespaces: { other: {} } });
    await start(test.client, 'one');
    const { journalSeq } = test.runtime.metrics();
    const client: Client = test.runtime.clientFor('nowhere');
    const { workflow } = client;
    const handle = workflow.getHandle('one');
    const options = { workflowId: 'one', args: [] };
    const operation = () =>
      new WithStartWorkflowOperation('adds', { ...options, workflowIdConflictPolicy: 'USE_EXISTING' });
    const calls: Record<string, () => Promise<unknown>> = {
      start: () => workflow.start('adds', options),
      execute: () => workflow.execute('adds', options),
      signalWithStart: () => workflow.signalWithStart('adds', { ...options, signal: 'finish' }),
      executeUpdateWithStart: () =>
        workflow.executeUpdateWithStart('add', { args: [1], startWorkflowOperation: operation() }),
      'with a deadline': () => workflow.withDeadline(clock.now() + HOUR, () => handle.describe()),
      'result by id': () => workflow.result('one'),
      signal: () => handle.signal('finish'),
      signalWithOptions: () => handle.signalWithOptions('finish', { requestId: 'r' }),
      query: () => handle.query('total'),
      watch: () => handle.watch('total')[Symbol.asyncIterator]().next(),
      executeUpdate: () => handle.executeUpdate('add', { args: [1] }),
      startUpdate: () => handle.startUpdate('add', { args: [1], waitForStage: 'ACCEPTED' }),
      'result of an update': () => handle.getUpdateHandle('u').result(),
      result: () => handle.result(),
      describe: () => handle.describe(),
      fetchHistory: () => handle.fetchHistory(),
      cancel: () => handle.cancel(),
      terminate: () => handle.terminate(),
    };
    for (const [name, call] of Object.entries(calls)) {
      const error = await rejection(call());
      expect(error, name).to.be.instanceOf(NamespaceNotFoundError);
      expect(error, name).to.include({
        name: 'NamespaceNotFoundError',
        message: "Namespace not found: 'nowhere'",
        namespace: 'nowhere',
      });
    }
    expect(test.runtime.metrics().journalSeq).to.equal(journalSeq);
    expect(await test.client.getHandle('one').query('total')).to.equal(0);
  });

  it('not declared any more: calls are refused, what runs goes on, and nothing of it is removed', async () => {
    await open({ namespaces: { other: { retention: HOUR } } });
    const handle = await start(of('other'), 'one');
    const slow = await handle.startUpdate('addSlowly', {
      args: [3],
      waitForStage: 'ACCEPTED',
      updateId: 'slow',
    });
    await start(of('other'), 'closed');
    await of('other').getHandle('closed').signal('finish');
    await of('other').getHandle('closed').result();
    await test.reopen({ namespaces: {} });
    expect(await rejection(of('other').getHandle('one').query('total'))).to.be.instanceOf(
      NamespaceNotFoundError,
    );
    const before = test.runtime.metrics().journalSeq;
    clock.advance(60_000);
    await eventually(() => test.runtime.metrics().journalSeq > before);
    clock.advance(5 * HOUR);
    await test.reopen({ namespaces: { other: {} } });
    expect(await of('other').getHandle('one').getUpdateHandle(slow.updateId).result()).to.equal(3);
    const { closeTime } = await of('other').getHandle('closed').describe();
    expect(closeTime).to.be.instanceOf(Date);
    expect(test.runtime.metrics().runsRemoved).to.equal(0);
  });

  it('each its own retention: one forgets, the other keeps', async () => {
    await open({ namespaces: { forgetful: { retention: '1 hour' } } });
    for (const client of [test.client, of('forgetful')]) {
      const handle = await start(client, 'one');
      await handle.signal('finish');
      await handle.result();
    }
    clock.advance(HOUR);
    await eventually(() => {
      clock.advance(5);
      return test.runtime.metrics().runsRemoved === 1;
    });
    expect(await rejection(of('forgetful').getHandle('one').describe())).to.be.instanceOf(
      WorkflowNotFoundError,
    );
    expect(await test.client.getHandle('one').result()).to.equal(0);
  });
});

describe('namespaces that make no sense', () => {
  const BAD: [string, unknown, RegExp][] = [
    ['not an object', 'other', /namespaces must be an object with a namespace as each key/],
    ['a list', ['other'], /namespaces must be an object with a namespace as each key/],
    ['an empty name', { '': {} }, /A name in namespaces must be a text that is not empty/],
    ['a name with NUL', { 'a\0b': {} }, /A name in namespaces must not have the character NUL in it/],
    [
      'a name that no key can hold',
      { ['x'.repeat(901)]: {} },
      /A name in namespaces must have at most 900 bytes/,
    ],
    [
      'a duration instead of options',
      { other: '3 days' },
      /namespaces\['other'\] must be an object, such as/,
    ],
    ['an option that there is not', { other: { retentoin: 1 } }, /has no option called 'retentoin'/],
    [
      'a text that is no duration',
      { other: { retention: 'long' } },
      /namespaces\['other'\]\.retention: Invalid duration/,
    ],
    ['no time at all', { other: { retention: 0 } }, /retention must be longer than 0 ms and finite, got 0/],
    ['less than none', { other: { retention: -1 } }, /retention must be longer than 0 ms/],
    [
      'not a number',
      { other: { retention: Number.NaN } },
      /namespaces\['other'\]\.retention: Invalid duration/,
    ],
    [
      'for ever',
      { other: { retention: Number.POSITIVE_INFINITY } },
      /Leave it out to keep closed executions for ever/,
    ],
  ];
  for (const [name, namespaces, message] of BAD) {
    it(`${name}: refused before anything is opened`, async () => {
      const error = await rejection(
        Runtime.open({ namespaces: namespaces as Record<string, NamespaceOptions> }),
      );
      expect(error).to.be.instanceOf(ConfigurationError);
      expect(error.message).to.match(message);
    });
  }
});
