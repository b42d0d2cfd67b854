import { expect } from 'chai';
import { WorkflowFailedError, WorkflowNotFoundError } from '../../runtime/client/index.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import type { Store } from '../../runtime/store/store.js';
import { type Picture, picturedStore, storeFrom } from '../support/pictures.js';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  TASK,
  TestRuntime,
} from '../support/runtime.js';

// semantics.md 9.6, 9.7; history-events.md 4
describe('child workflows', () => {
  const clock = new ManualClock();
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'children', clock });
  });
  after(() => runtime.close());

  const statusOf = async (handle: Handle): Promise<string> => (await handle.describe()).status.name;

  /** Once the parent has started it. */
  async function childOf(workflowId: string): Promise<Handle> {
    const handle = runtime.client.getHandle(workflowId);
    await eventually(() =>
      handle.describe().then(
        () => true,
        () => false,
      ),
    );
    return handle;
  }

  /** What the client is told about a failed or cancelled workflow. */
  async function failureOf(handle: Handle): Promise<WorkflowFailedError> {
    const error = await rejection(handle.result());
    expect(error).to.be.instanceOf(WorkflowFailedError);
    return error as WorkflowFailedError;
  }

  it('the disk is full when the parent is told of the start, and the child ends meanwhile: the parent is told of both, in order', async () => {
    const plan = new FaultPlan();
    const wrap = (store: Store) => faultyStore(store, plan);
    const own = await TestRuntime.open({ workflows: 'children', clock, wrap });
    const { writes } = plan;
    // The parent's start, the child's, and that the parent hears of it.
    plan.at(writes + 3, { kind: 'full' });
    const parent = await own.start('starts', ['child']);
    await eventually(() => plan.writes === writes + 3);
    await own.client.getHandle('child').signal('finish', 'done');
    clock.advance(250);
    expect(await parent.result()).to.equal('done');
    const told = (await eventTypes(parent)).filter((type) => type.startsWith('ChildWorkflowExecution'));
    expect(told).to.deep.equal(['ChildWorkflowExecutionStarted', 'ChildWorkflowExecutionCompleted']);
    await own.close();
  });

  describe('start and result', () => {
    it('executeChild: the child runs, and its parent gets what it returned', async () => {
      const workflowId = runtime.newId();
      const parent = await runtime.start('executes', ['quick', { workflowId, args: [{ a: 1 }] }]);
      expect(await parent.result()).to.deep.equal({ value: { a: 1 } });
      const child = runtime.client.getHandle(workflowId);
      expect(await child.result()).to.deep.equal({ a: 1 });
      expect(await child.describe()).to.deep.include({
        type: 'quick',
        parentExecution: { workflowId: parent.workflowId, runId: (await parent.describe()).runId },
      });
    });

    it('histories: the child in that of its parent, the parent in that of its child', async () => {
      const workflowId = runtime.newId();
      const parent = await runtime.start('executes', ['collector', { workflowId }]);
      const child = await childOf(workflowId);
      await child.signal('finish', 'x');
      await parent.result();
      expect(await eventTypes(parent)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'StartChildWorkflowExecutionInitiated',
        'ChildWorkflowExecutionStarted',
        ...TASK,
        'ChildWorkflowExecutionCompleted',
        ...TASK,
        'WorkflowExecutionCompleted',
      ]);
      const { events } = await child.fetchHistory();
      const { runId } = await parent.describe();
      const started = events[0] as unknown as { workflowExecutionStartedEventAttributes: object };
      expect(started.workflowExecutionStartedEventAttributes).to.deep.include({
        parentWorkflowNamespace: 'default',
        parentWorkflowExecution: { workflowId: parent.workflowId, runId },
        rootWorkflowExecution: { workflowId: parent.workflowId, runId },
      });
    });

    it('family of three generations: each knows its parent, and all know the root', async () => {
      const top = await runtime.start('grandparent');
      const { runId } = await top.describe();
      const root = { workflowId: top.workflowId, runId };
      const middle = runtime.client.getHandle(`${top.workflowId}/child`);
      const result = (await top.result()) as unknown[];
      expect(result).to.deep.equal([
        { workflowId: middle.workflowId, parent: { ...root, namespace: 'default' }, root },
        {
          workflowId: `${middle.workflowId}/child`,
          parent: {
            workflowId: middle.workflowId,
            runId: (await middle.describe()).runId,
            namespace: 'default',
          },
          root,
        },
      ]);
    });

    it('signals behind the start, by id and by handle: all reach the child, in order', async () => {
      const parent = await runtime.start('startsAndSignals', [runtime.newId()]);
      expect(await parent.result()).to.deep.equal(['early', 1, 2, 3]);
    });

    it('id of an open execution: the parent hears that it is taken, and the other is left alone', async () => {
      const other = await runtime.start('collector');
      const parent = await runtime.start('executes', ['quick', { workflowId: other.workflowId }]);
      expect(await parent.result()).to.deep.equal({
        text: 'WorkflowExecutionAlreadyStartedError: Workflow execution already started',
      });
      expect(await statusOf(other)).to.equal('RUNNING');
      expect(await eventTypes(parent)).to.include('StartChildWorkflowExecutionFailed');
    });

    it('id of a closed execution: taken again, unless the reuse policy refuses', async () => {
      const workflowId = runtime.newId();
      const execute = async (workflowIdReusePolicy?: string): Promise<unknown> => {
        const options = { workflowId, args: [1], workflowIdReusePolicy };
        return (await runtime.start('executes', ['quick', options])).result();
      };
      expect(await execute()).to.deep.equal({ value: 1 });
      expect(await execute()).to.deep.equal({ value: 1 });
      for (const policy of ['REJECT_DUPLICATE', 'ALLOW_DUPLICATE_FAILED_ONLY'])
        expect(await execute(policy))
          .to.have.property('text')
          .that.matches(/already started$/);
    });

    it('memo and timeouts: are the child’s', async () => {
      const workflowId = runtime.newId();
      await runtime.start('executes', [
        'collector',
        { workflowId, memo: { a: 1 }, workflowRunTimeout: '1 day' },
      ]);
      const child = await childOf(workflowId);
      expect((await child.describe()).memo).to.deep.equal({ a: 1 });
      const { events } = await child.fetchHistory();
      expect(events[0]).to.have.nested.property(
        'workflowExecutionStartedEventAttributes.workflowRunTimeout',
        '86400s',
      );
    });
  });

  describe('ends that are not success', () => {
    /** Lets the child end, and gives what its parent says of it. */
    async function endedBy(end: (child: Handle) => Promise<unknown>): Promise<unknown> {
      const workflowId = runtime.newId();
      const parent = await runtime.start('executes', ['collector', { workflowId }]);
      const child = await childOf(workflowId);
      const { runId } = await child.describe();
      await end(child);
      const told = (await parent.result()) as { execution: unknown };
      expect(told.execution).to.deep.equal({ workflowId, runId });
      return told;
    }
    const failure = {
      text: 'ChildWorkflowFailure: Child Workflow execution failed',
      workflowType: 'collector',
    };

    it('child fails: ApplicationFailure', async () => {
      expect(await endedBy((child) => child.signal('fail', 'as asked'))).to.deep.include({
        ...failure,
        retryState: 'RETRY_POLICY_NOT_SET',
        cause: { text: 'ApplicationFailure: as asked' },
      });
    });

    it('child is cancelled: CancelledFailure', async () => {
      expect(await endedBy((child) => child.cancel())).to.deep.include({
        ...failure,
        retryState: 'NON_RETRYABLE_FAILURE',
        cause: { text: 'CancelledFailure: Workflow canceled' },
      });
    });

    it('child is terminated: TerminatedFailure with the reason', async () => {
      expect(await endedBy((child) => child.terminate('enough'))).to.deep.include({
        ...failure,
        retryState: 'NON_RETRYABLE_FAILURE',
        cause: { text: 'TerminatedFailure: enough' },
      });
    });

    it('child times out: TimeoutFailure', async () => {
      const options = { workflowId: runtime.newId(), workflowRunTimeout: '1 minute' };
      const parent = await runtime.start('executes', ['collector', options]);
      await childOf(options.workflowId);
      clock.advance(60_000);
      expect(await parent.result()).to.deep.include({
        ...failure,
        retryState: 'TIMEOUT',
        cause: { text: 'TimeoutFailure: Workflow execution timed out' },
      });
    });

    it('failure that the parent lets out: reaches the client whole', async () => {
      const parent = await runtime.start('relies', ['fails', { workflowId: runtime.newId() }]);
      const error = await failureOf(parent);
      expect(error.cause).to.include({
        name: 'ChildWorkflowFailure',
        message: 'Child Workflow execution failed',
      });
      expect(error.cause?.cause).to.deep.include({
        name: 'ApplicationFailure',
        message: 'broken',
        type: 'Broken',
      });
      expect((error.cause?.cause as { details?: unknown }).details).to.deep.equal([{ at: 1 }]);
    });

    it('child with a retry policy: its parent waits for the last attempt', async () => {
      const options = { workflowId: runtime.newId(), retry: { initialInterval: 1_000, maximumAttempts: 5 } };
      const parent = await runtime.start('executes', ['flaky', options]);
      const child = await childOf(options.workflowId);
      for (const attempt of [2, 3]) {
        await eventually(async () => {
          const { events } = await child.fetchHistory();
          const attributes = (events[0] as any).workflowExecutionStartedEventAttributes;
          return attributes.attempt === attempt;
        });
        clock.advance(10_000);
      }
      expect(await parent.result()).to.deep.equal({ value: 3 });
    });
  });

  describe('parent close policy', () => {
    const ENDS = ['completes', 'fails', 'continues as new', 'is cancelled', 'is terminated'];
    const POLICIES = [
      [undefined, 'TERMINATED'],
      ['TERMINATE', 'TERMINATED'],
      ['ABANDON', 'RUNNING'],
      ['REQUEST_CANCEL', 'CANCELLED'],
    ] as const;
    for (const how of ENDS) {
      for (const [policy, status] of POLICIES) {
        it(`parent ${how}, policy ${policy ?? 'not given'}: the child is ${status}`, async () => {
          const childId = runtime.newId();
          const parent = await runtime.start('leaves', [how, childId, policy]);
          const child = await childOf(childId);
          if (how === 'is cancelled') await parent.cancel();
          if (how === 'is terminated') await parent.terminate();
          if (how === 'continues as new')
            await eventually(async () => (await parent.describe()).runId !== parent.runId);
          else await parent.result().catch(() => undefined);
          if (status === 'RUNNING') {
            await child.signal('note', 1);
            expect(await statusOf(child)).to.equal('RUNNING');
            await child.terminate();
          } else await eventually(async () => (await statusOf(child)) === status);
          if (how === 'continues as new') await parent.terminate();
        });
      }
    }

    it('child that its parent’s end terminates: its own client is told why', async () => {
      const childId = runtime.newId();
      await runtime.start('leaves', ['completes', childId, 'TERMINATE']);
      const error = await failureOf(await childOf(childId));
      expect(error.cause).to.include({ name: 'TerminatedFailure', message: 'by parent close policy' });
    });

    it('grandchildren: go the same way', async () => {
      const workflowId = runtime.newId();
      const childId = `${workflowId}/child`;
      const top = await runtime.start(
        'relies',
        ['leaves', { workflowId: childId, args: ['waits', `${childId}/child`] }],
        {
          workflowId,
        },
      );
      const grandchild = await childOf(`${childId}/child`);
      await top.terminate();
      await eventually(async () => (await statusOf(grandchild)) === 'TERMINATED');
    });
  });

  describe('cancellation', () => {
    it('request to the parent: is the child’s too, and both end as cancelled', async () => {
      const workflowId = runtime.newId();
      const parent = await runtime.start('relies', ['collector', { workflowId }]);
      const child = await childOf(workflowId);
      await parent.cancel();
      expect((await failureOf(parent)).message).to.equal('Workflow execution cancelled');
      expect(await statusOf(child)).to.equal('CANCELLED');
      expect(await eventTypes(child)).to.include('WorkflowExecutionCancelRequested');
      expect(await eventTypes(parent)).to.deep.equal([
        'WorkflowExecutionStarted',
        ...TASK,
        'StartChildWorkflowExecutionInitiated',
        'ChildWorkflowExecutionStarted',
        ...TASK,
        'WorkflowExecutionCancelRequested',
        ...TASK,
        'RequestCancelExternalWorkflowExecutionInitiated',
        'ChildWorkflowExecutionCanceled',
        ...TASK,
        'WorkflowExecutionCanceled',
      ]);
    });

    for (const type of ['WAIT_CANCELLATION_COMPLETED', 'WAIT_CANCELLATION_REQUESTED']) {
      it(`${type}: the parent waits until the child is done with it`, async () => {
        const childId = runtime.newId();
        const parent = await runtime.start('cancelsChild', [childId, type]);
        const child = await childOf(childId);
        await parent.signal('go');
        await eventually(async () => (await eventTypes(child)).includes('TimerStarted'));
        expect(await statusOf(parent)).to.equal('RUNNING');
        clock.advance(60_000);
        expect(await parent.result()).to.deep.include({
          cause: { text: 'CancelledFailure: Workflow canceled' },
        });
        expect(await statusOf(child)).to.equal('CANCELLED');
      });
    }

    it('TRY_CANCEL: the parent goes on at once, the child hears of it', async () => {
      const childId = runtime.newId();
      const parent = await runtime.start('relies', [
        'cancelsChild',
        { workflowId: runtime.newId(), args: [childId, 'TRY_CANCEL'] },
      ]);
      const child = await childOf(childId);
      const middle = runtime.client.getHandle((await child.describe()).parentExecution!.workflowId);
      await middle.signal('go');
      expect(await parent.result()).to.deep.include({
        cause: { text: 'CancelledFailure: Child Workflow execution cancelled' },
      });
      expect(await eventTypes(child)).to.include('WorkflowExecutionCancelRequested');
    });

    it('ABANDON: the parent goes on at once, the child hears nothing of it', async () => {
      const childId = runtime.newId();
      const parent = await runtime.start('cancelsChild', [childId, 'ABANDON']);
      const child = await childOf(childId);
      await parent.signal('go');
      expect(await parent.result()).to.deep.include({
        cause: { text: 'CancelledFailure: Child Workflow execution cancelled' },
      });
      expect(await eventTypes(child)).to.not.include('WorkflowExecutionCancelRequested');
    });
  });

  describe('messages', () => {
    it('updates and signals to a child: answered, rejected, and too late', async () => {
      const parent = await runtime.start('converses', [runtime.newId()]);
      for (let i = 0; i < 2; i++) {
        await eventually(() => clock.pending.includes(1) || clock.pending.includes(0));
        clock.advance(1);
      }
      expect(await parent.result()).to.deep.equal([
        1,
        2,
        'ApplicationFailure: less than nothing',
        'bye',
        'ApplicationFailure: Unable to signal external workflow because it was not found',
        'ApplicationFailure: Unable to update external workflow because workflow execution already completed',
      ]);
    });

    it('child that continues as new: stays the same child, and its last run gives the result', async () => {
      const childId = runtime.newId();
      const parent = await runtime.start('executes', ['collector', { workflowId: childId }]);
      const child = await childOf(childId);
      const { runId } = await child.describe();
      await child.signal('note', 'first');
      await child.signal('again');
      await child.signal('note', 'second');
      expect((await child.describe()).runId).to.not.equal(runId);
      await child.signal('finish', undefined);
      expect(await parent.result()).to.deep.equal({ value: ['first', 'again', 'second'] });
      expect((await eventTypes(parent)).filter((type) => type.startsWith('ChildWorkflow'))).to.deep.equal([
        'ChildWorkflowExecutionStarted',
        'ChildWorkflowExecutionCompleted',
      ]);
    });
  });

  describe('over a restart', () => {
    for (const how of ['reopen', 'crash'] as const) {
      it(`${how} while the child runs: its parent hears of the end, and the history does not change`, async () => {
        const childId = runtime.newId();
        const parent = await runtime.start('executes', ['collector', { workflowId: childId }]);
        const child = await childOf(childId);
        await child.signal('note', 1);
        await eventually(async () => (await eventTypes(parent)).at(-1) === 'WorkflowTaskCompleted');
        const before = (await parent.fetchHistory()).events;
        await runtime[how]();
        expect((await runtime.again(parent).fetchHistory()).events).to.deep.equal(before);
        await runtime.again(child).signal('finish', undefined);
        expect(await runtime.again(parent).result()).to.deep.equal({ value: [1] });
      });
    }
  });

  it('closed parent: nothing more to do for it after a restart', async () => {
    const childId = runtime.newId();
    const parent = await runtime.start('leaves', ['completes', childId, 'ABANDON']);
    await parent.result();
    await runtime.crash();
    const child = await childOf(childId);
    await child.signal('finish', 'alone');
    expect(await child.result()).to.equal('alone');
    expect(await rejection(runtime.again(parent).signal('x'))).to.be.instanceOf(WorkflowNotFoundError);
  });
});

// D1, D2: whenever the process dies, each child is started once and gets each message once.
describe('child workflows: crash after any write', () => {
  let pictures: Picture[] = [];
  const expected = [
    ['a', 0, 'again', 'b'],
    ['a', 1, 'b'],
  ];
  const same = (results: unknown[]) => results.map((result) => new Set(result as unknown[]));

  before(async () => {
    const taken = picturedStore();
    const runtime = await TestRuntime.open({
      workflows: 'children',
      store: taken.store,
      limits: { journalBytesMax: 1_024 },
    });
    const parent = await runtime.start('manyChildren', ['c', 2], { workflowId: 'parent' });
    expect(same((await parent.result()) as unknown[])).to.deep.equal(same(expected));
    await runtime.close();
    pictures = taken.pictures;
  });

  it('any picture of the store: the family comes to the same end, with nothing lost and nothing twice', async () => {
    expect(pictures).to.have.length.above(10);
    let ended = 0;
    for (const picture of pictures) {
      const runtime = await TestRuntime.open({ workflows: 'children', store: await storeFrom(picture) });
      try {
        const parent = runtime.client.getHandle('parent');
        const known = await parent.describe().then(
          () => true,
          (error) => !(error instanceof WorkflowNotFoundError),
        );
        if (!known) continue;
        const results = (await parent.result()) as unknown[][];
        // Each note once: sets would hide a second one.
        expect(results.map(({ length }) => length)).to.deep.equal(expected.map(({ length }) => length));
        expect(same(results)).to.deep.equal(same(expected));
        ended += 1;
      } finally {
        await runtime.close();
      }
    }
    expect(ended).to.be.above(10);
  });
});
