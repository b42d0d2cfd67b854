import { expect } from 'chai';
import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '../../runtime/client/index.js';
import { type Picture, picturedStore, storeFrom } from '../support/pictures.js';
import { eventTypes, eventually, type Handle, rejection, TASK, TestRuntime } from '../support/runtime.js';

// semantics.md 2.11, 9.6
describe('messages from workflow to workflow', () => {
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'externals', threads: 2 });
  });
  after(() => runtime.close());

  const statusOf = async (handle: Handle): Promise<string> => (await handle.describe()).status.name;
  const notesOf = (handle: Handle) => handle.query<unknown[]>('notes');
  const send = async (...args: unknown[]): Promise<unknown> => (await runtime.start('sender', args)).result();

  describe('signals', () => {
    it('signal: in the history of both, and handled by the other', async () => {
      const target = await runtime.start('target');
      const sender = await runtime.start('sender', ['signal', target.workflowId]);
      expect(await sender.result()).to.equal('done');
      expect(await notesOf(target)).to.deep.equal([1]);
      expect(await eventTypes(sender)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'SignalExternalWorkflowExecutionInitiated',
        'ExternalWorkflowExecutionSignaled',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
      const { events } = await target.fetchHistory();
      const signalled = events.find(
        ({ eventType }) => eventType === 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED',
      ) as any;
      const { runId } = await sender.describe();
      expect(signalled.workflowExecutionSignaledEventAttributes).to.deep.include({
        signalName: 'note',
        externalWorkflowExecution: { workflowId: sender.workflowId, runId },
      });
    });

    it('many from one workflow: arrive in the order in which they were sent, each once', async () => {
      const target = await runtime.start('target');
      const sender = await runtime.start('many', [target.workflowId, 60]);
      expect(await sender.result()).to.equal(60);
      const numbers = Array.from({ length: 60 }, (_, i) => i);
      const kept = (await notesOf(target)) as number[];
      expect([...kept].sort((a, b) => a - b)).to.deep.equal(numbers);
      for (const isUpdate of [true, false]) {
        const some = kept.filter((number) => (number % 3 === 2) === isUpdate);
        expect(some).to.deep.equal([...some].sort((a, b) => a - b));
      }
    });

    it('from many to one: each arrives once', async () => {
      const target = await runtime.start('target');
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => send('signal', target.workflowId, undefined, i)),
      );
      const kept = (await notesOf(target)) as number[];
      expect(kept.sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 20 }, (_, i) => i));
    });

    it('two that answer each other: both come to their end', async () => {
      const [one, two] = [runtime.newId(), runtime.newId()];
      const first = await runtime.client.start('player', { workflowId: one, args: [two, false, 20] });
      const second = await runtime.client.start('player', { workflowId: two, args: [one, true, 20] });
      expect([await first.result(), await second.result()].sort()).to.deep.equal([19, 20]);
    });

    it('to itself: handled', async () => {
      expect(await (await runtime.start('soliloquist')).result()).to.deep.equal(['to myself']);
    });

    it('handle of one run: that run, or nobody', async () => {
      const target = await runtime.start('target');
      const { runId } = await target.describe();
      expect(await send('signal', target.workflowId, runId)).to.equal('done');
      expect(await send('signal', target.workflowId, '00000000-0000-0000-0000-000000000000')).to.match(
        /not found$/,
      );
      await target.signal('again');
      await eventually(async () => (await target.describe()).runId !== runId);
      expect(await send('signal', target.workflowId, runId)).to.match(/not found$/);
      expect(await send('signal', target.workflowId)).to.equal('done');
      expect(await notesOf(target)).to.deep.equal([1, 1]);
    });
  });

  describe('what is not there', () => {
    const WAYS: [string, string][] = [
      ['signal', 'ApplicationFailure: Unable to signal external workflow because it was not found'],
      ['cancel', 'ApplicationFailure: Unable to cancel external workflow because not found'],
    ];
    for (const [way, message] of WAYS) {
      it(`${way} to an unknown id: fails, and the history says so`, async () => {
        const sender = await runtime.start('sender', [way, 'nobody']);
        expect(await sender.result()).to.equal(message);
        const failed = (await eventTypes(sender)).filter((type) => type.endsWith('Failed'));
        expect(failed).to.deep.equal([
          way === 'signal'
            ? 'SignalExternalWorkflowExecutionFailed'
            : 'RequestCancelExternalWorkflowExecutionFailed',
        ]);
      });

      it(`${way} to a closed execution: fails`, async () => {
        const target = await runtime.start('target');
        await target.signal('finish');
        expect(await send(way, target.workflowId)).to.equal(message);
      });
    }

    it('update to an unknown id or a closed execution: fails', async () => {
      expect(await send('update', 'nobody')).to.equal(
        'ApplicationFailure: Unable to update external workflow because workflow not found for ID: nobody',
      );
      const target = await runtime.start('target');
      await target.signal('finish');
      expect(await send('update', target.workflowId)).to.equal(
        'ApplicationFailure: Unable to update external workflow because workflow execution already completed',
      );
    });
  });

  it('cancel: the other is asked to, and the sender hears that it was', async () => {
    const target = await runtime.start('target');
    const sender = await runtime.start('sender', ['cancel', target.workflowId]);
    expect(await sender.result()).to.equal('done');
    await target.result().catch(() => undefined);
    expect(await statusOf(target)).to.equal('CANCELLED');
    expect(await eventTypes(sender)).to.deep.equal([
      'WorkflowExecutionStarted',
      ...TASK,
      'RequestCancelExternalWorkflowExecutionInitiated',
      'ExternalWorkflowExecutionCancelRequested',
      ...TASK,
      'WorkflowExecutionCompleted',
    ]);
    const { events } = await target.fetchHistory();
    expect(events.map(({ eventType }) => eventType)).to.include(
      'EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED',
    );
  });

  describe('updates', () => {
    it('executeUpdate: the handler’s result', async () => {
      const target = await runtime.start('target');
      expect(await send('update', target.workflowId, undefined, 'x')).to.equal(1);
      expect(await notesOf(target)).to.deep.equal(['x']);
      expect(await eventTypes(target)).to.include('WorkflowExecutionUpdateCompleted');
    });

    it('validator that rejects: its failure, and no trace at the target', async () => {
      const target = await runtime.start('target');
      await notesOf(target);
      const before = await eventTypes(target);
      expect(await send('update', target.workflowId, undefined, 'refused')).to.equal(
        'ApplicationFailure: not that',
      );
      expect(await eventTypes(target)).to.deep.equal(before);
    });

    it('handler that fails: its failure, whole', async () => {
      const target = await runtime.start('target');
      const sender = await runtime.start('relies', [target.workflowId, 'break']);
      const error = (await rejection(sender.result())) as WorkflowFailedError;
      expect(error).to.be.instanceOf(WorkflowFailedError);
      expect(error.cause).to.deep.include({ name: 'ApplicationFailure', message: 'broke', type: 'Broken' });
      expect((error.cause as unknown as { details: unknown }).details).to.deep.equal([1, 2]);
    });

    it('no handler: says so', async () => {
      const target = await runtime.start('target');
      expect(await send('unknown update', target.workflowId)).to.equal(
        'ApplicationFailure: No registered handler for update: nobody knows',
      );
    });

    it('same id twice: handled once, both get the one outcome', async () => {
      const target = await runtime.start('target');
      expect(await send('same id', target.workflowId)).to.deep.equal([1, 1]);
      expect(await send('same id', target.workflowId)).to.deep.equal([1, 1]);
      expect(await target.executeUpdate('put', { args: [9], updateId: 'the same' })).to.equal(1);
      expect(await notesOf(target)).to.have.length(1);
    });

    it('update handler that updates another: the first caller gets the last one’s result', async () => {
      const target = await runtime.start('target');
      const relay = await runtime.start('relay');
      expect(await relay.executeUpdate('relay', { args: [target.workflowId, 'x'] })).to.equal(1);
      const refused = await rejection(relay.executeUpdate('relay', { args: [target.workflowId, 'refused'] }));
      expect(refused).to.be.instanceOf(WorkflowUpdateFailedError);
      expect((refused as Error).cause).to.include({ message: 'not that' });
    });

    it('startUpdate: resolves while the handler runs, result() when it is done', async () => {
      const target = await runtime.start('target');
      const starter = await runtime.start('starter', [target.workflowId]);
      await eventually(() => starter.query<boolean>('accepted'));
      await starter.signal('go');
      await target.signal('open');
      const { runId } = await starter.describe();
      expect(await starter.result()).to.deep.equal({ updateId: `${runId}/1`, result: 'slow x' });
      expect(await notesOf(target)).to.deep.equal(['x']);
    });

    for (const how of ['reopen', 'crash'] as const) {
      it(`${how} while the handler runs: its result comes all the same`, async () => {
        const target = await runtime.start('target');
        const starter = await runtime.start('starter', [target.workflowId]);
        const waiter = await runtime.start('waiter', [target.workflowId]);
        await eventually(() => starter.query<boolean>('accepted'));
        await eventually(async () => (await notesOf(target)).length === 2);
        await runtime[how]();
        await runtime.again(starter).signal('go');
        await runtime.again(target).signal('open');
        expect(await runtime.again(starter).result()).to.have.property('result', 'slow x');
        expect(await runtime.again(waiter).result()).to.equal('slow x');
        expect(await notesOf(runtime.again(target))).to.deep.equal(['x', 'x']);
      });
    }

    it('target that ends while the handler runs: the sender hears that it did', async () => {
      const target = await runtime.start('target');
      const waiter = await runtime.start('waiter', [target.workflowId]);
      await eventually(async () => (await notesOf(target)).length === 1);
      await target.signal('finish');
      expect(await waiter.result()).to.equal(
        'ApplicationFailure: Workflow Update failed because the Workflow completed before the Update completed.',
      );
    });

    it('target that continues as new before it takes the update: the next run takes it', async () => {
      const target = await runtime.start('target');
      await Promise.all([target.signal('again'), send('update', target.workflowId, undefined, 'x')]);
      expect(await notesOf(target)).to.deep.equal(['x']);
    });

    it('scope that is cancelled: the sender goes on, and the update does too', async () => {
      const target = await runtime.start('target');
      const sender = await runtime.start('impatient', [target.workflowId]);
      await eventually(async () => (await notesOf(target)).length === 1);
      await sender.signal('enough');
      expect(await sender.result()).to.equal('CancelledFailure: Cancellation scope cancelled');
      await target.signal('open');
      await eventually(async () => (await eventTypes(target)).includes('WorkflowExecutionUpdateCompleted'));
    });
  });

  describe('signal-with-start', () => {
    const signalAndStart = async (options: object, times?: number) =>
      (await (await runtime.start('signalsAndStarts', [options, times])).result()) as unknown[];

    it('id that is free: started and signalled, then only signalled', async () => {
      const workflowId = runtime.newId();
      const answers = await signalAndStart({ workflowId }, 3);
      const target = runtime.client.getHandle(workflowId);
      const { runId, parentExecution } = await target.describe();
      expect(answers).to.deep.equal(Array(3).fill({ workflowId, signaledRunId: runId }));
      expect(await notesOf(target)).to.deep.equal(['started', 0, 1, 2]);
      expect(parentExecution).to.equal(undefined);
      expect((await eventTypes(target)).slice(0, 2)).to.deep.equal([
        'WorkflowExecutionStarted',
        'WorkflowExecutionSignaled',
      ]);
    });

    it('conflict policies: FAIL refuses, TERMINATE_EXISTING begins anew', async () => {
      const target = await runtime.start('target');
      const { workflowId } = target;
      const { runId } = await target.describe();
      expect(await signalAndStart({ workflowId, workflowIdConflictPolicy: 'FAIL' })).to.deep.equal([
        'WorkflowExecutionAlreadyStartedError: Workflow execution already started',
      ]);
      expect(await notesOf(target)).to.deep.equal([]);
      const [answer] = await signalAndStart({ workflowId, workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
      expect((answer as { signaledRunId: string }).signaledRunId).to.not.equal(runId);
      expect(await notesOf(runtime.client.getHandle(workflowId))).to.deep.equal(['started', 0]);
    });

    it('closed id that the reuse policy protects: refused', async () => {
      const target = await runtime.start('target');
      await target.signal('finish');
      await target.result();
      const options = { workflowId: target.workflowId, workflowIdReusePolicy: 'REJECT_DUPLICATE' };
      expect(await signalAndStart(options)).to.deep.equal([
        'WorkflowExecutionAlreadyStartedError: Workflow execution already started',
      ]);
    });

    it('workflow type that there is not: fails, and says which there are', async () => {
      const sender = await runtime.start('startsUnknown', [runtime.newId()]);
      expect(await sender.result()).to.match(
        /^ApplicationFailure: Workflow type 'nobody' is not registered\. Registered workflow types: .*target/,
      );
    });

    it('memo: is the new workflow’s', async () => {
      const workflowId = runtime.newId();
      await signalAndStart({ workflowId, memo: { a: 1 } });
      expect((await runtime.client.getHandle(workflowId).describe()).memo).to.deep.equal({ a: 1 });
    });
  });

  it('reopen: the histories of sender and target are the same, and so are their answers', async () => {
    const workflowId = runtime.newId();
    const sender = await runtime.start('everything', [workflowId]);
    expect(await sender.result()).to.equal('slow d');
    const target = runtime.client.getHandle(workflowId);
    const before = [
      await target.result(),
      (await sender.fetchHistory()).events,
      (await target.fetchHistory()).events,
    ];
    await runtime.reopen();
    const after = [
      await runtime.again(target).result(),
      (await runtime.again(sender).fetchHistory()).events,
      (await runtime.again(target).fetchHistory()).events,
    ];
    expect(after).to.deep.equal(before);
    expect(before[0]).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
  });
});

// D1, D2: whenever the process dies, each message takes effect once.
describe('messages from workflow to workflow: crash after any write', () => {
  let pictures: Picture[] = [];

  before(async () => {
    const taken = picturedStore();
    const runtime = await TestRuntime.open({
      workflows: 'externals',
      store: taken.store,
      limits: { journalBytesMax: 1_024 },
    });
    const sender = await runtime.start('everything', ['target'], { workflowId: 'sender' });
    expect(await sender.result()).to.equal('slow d');
    await runtime.close();
    pictures = taken.pictures;
  });

  it('any picture of the store: both come to the same end, with nothing lost and nothing twice', async () => {
    expect(pictures).to.have.length.above(10);
    let ended = 0;
    for (const picture of pictures) {
      const runtime = await TestRuntime.open({ workflows: 'externals', store: await storeFrom(picture) });
      try {
        const sender = runtime.client.getHandle('sender');
        const known = await sender.describe().then(
          () => true,
          (error) => !(error instanceof WorkflowNotFoundError),
        );
        if (!known) continue;
        expect(await sender.result()).to.equal('slow d');
        const kept = (await runtime.client.getHandle('target').result()) as string[];
        expect([...kept].sort()).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
        ended += 1;
      } finally {
        await runtime.close();
      }
    }
    expect(ended).to.be.above(10);
  });
});
