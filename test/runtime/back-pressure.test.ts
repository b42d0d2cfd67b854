/** Calls that wait for room instead of being refused (whenFull: 'wait'): order, limits, and ways to stop waiting. */
import { expect } from 'chai';
import { GrpcStatus, RpcError, ServiceError, type WorkflowClient } from '../../runtime/client/index.js';
import { ConfigurationError, Runtime } from '../../runtime/index.js';
import { type Faulty, noUnhandledRejections, openFaulty, refusal } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, rejection } from '../support/runtime.js';

const list = (handle: Handle) => handle.query('list');
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

describe('back-pressure', () => {
  noUnhandledRejections();
  const opened: Faulty[] = [];
  afterEach(async () => {
    for (const { plan, test } of opened.splice(0)) {
      plan.release();
      await test.close();
    }
  });
  /** A runtime whose calls wait, and whose disk stands still from full() on with as many signals as fit. */
  async function open(options: Parameters<typeof openFaulty>[0] = {}) {
    const made = await openFaulty({ whenFull: 'wait', limits: { queuedMessagesMax: 5 }, ...options });
    opened.push(made);
    return made;
  }
  function full({ plan }: Faulty, handle: Handle, count = 5): Promise<void>[] {
    plan.hold();
    return numbers(count).map((n) => handle.signal('add', n));
  }
  const waiting = ({ test }: Faulty) => test.runtime.metrics().callsWaiting;
  /** The cause of what a call was rejected with, which was in no case done. */
  async function undone(call: Promise<unknown>, code: GrpcStatus): Promise<string> {
    const error = await rejection(call);
    expect(error, error.stack).to.be.instanceOf(ServiceError);
    expect(error.cause).to.be.instanceOf(RpcError).with.property('code', code);
    expect((error.cause as Error).message).to.match(/nothing was done/i);
    return (error.cause as Error).message;
  }

  it('many more signals than may be queued: all are taken, in order', async () => {
    const made = await open();
    const handle = await made.test.start('collector');
    const calls = full(made, handle, 200);
    expect(waiting(made)).to.equal(195);
    made.plan.release();
    await Promise.all(calls);
    expect(await list(handle)).to.deep.equal(numbers(200));
    expect(waiting(made)).to.equal(0);
  });

  it('small messages behind one that is too large for what is left: none overtakes it', async () => {
    const made = await open({ limits: { queuedBytesMax: 10_000 } });
    const handle = await made.test.start('collector');
    made.plan.hold();
    const sizes = [8_000, 8_000, 1, 2, 9_000, 3];
    const calls = sizes.map((size) => handle.signal('add', 'x'.repeat(size)));
    expect(waiting(made)).to.equal(5);
    made.plan.release();
    await Promise.all(calls);
    expect(((await list(handle)) as string[]).map(({ length }) => length)).to.deep.equal(sizes);
  });

  it('calls of all kinds to one execution: keep their order, so a query sees what was sent before it and an update its signals', async () => {
    const made = await open();
    const handle = await made.test.start('collector');
    const signals = full(made, handle);
    const calls = [
      handle.executeUpdate('put', { args: [5] }),
      list(handle),
      handle.signalWithOptions('add', { args: [6], requestId: 'r' }),
      handle.startUpdate('put', { args: [7], waitForStage: 'ACCEPTED' }).then((update) => update.result()),
      list(handle),
      handle.terminate('enough'),
    ];
    expect(waiting(made)).to.equal(6);
    made.plan.release();
    await Promise.all(signals);
    expect(await Promise.all(calls)).to.deep.equal([
      6,
      numbers(6),
      { duplicate: false },
      8,
      numbers(8),
      undefined,
    ]);
  });

  for (const threads of [1, 2]) {
    it(`a start waits, ${threads} threads: what is sent to it without awaiting it waits behind it, its result too`, async () => {
      const made = await open({ threads });
      const fillers = [await made.test.start('collector'), await made.test.start('collector')];
      const signals = fillers.flatMap((filler) => full(made, filler));
      const { client } = made.test;
      const start = client.start('collector', { workflowId: 'late', args: ['first'] });
      const handle = client.getHandle('late');
      const calls = [handle.signal('add', 1), list(handle)];
      const known = rejection(client.start('collector', { workflowId: 'late' }));
      calls.push(handle.terminate('over'));
      const result = rejection(handle.result());
      expect(waiting(made)).to.be.at.least(6);
      made.plan.release();
      await Promise.all([start, ...signals]);
      expect((await Promise.all(calls))[1]).to.deep.equal(['first', 1]);
      expect(await result).to.have.property('message', 'over');
      expect(await known).to.have.property('name', 'WorkflowExecutionAlreadyStartedError');
    });
  }

  it('one execution with many callers, another with one: they take turns', async () => {
    const made = await open();
    const [busy, quiet] = [await made.test.start('collector'), await made.test.start('collector')];
    const heard: string[] = [];
    const calls = full(made, busy, 100).map((call, n) => call.then(() => heard.push(`busy ${n}`)));
    calls.push(quiet.signal('add', 1).then(() => heard.push('quiet')));
    made.plan.release();
    await Promise.all(calls);
    // Five went at once, and of the next five one is the other's.
    expect(heard.indexOf('quiet')).to.be.below(10);
    expect(await list(busy)).to.deep.equal(numbers(100));
  });

  it('the deadline passes: the call says that nothing was done, it never is, and those behind it go on', async () => {
    const clock = new ManualClock();
    const made = await open({ clock });
    const handle = await made.test.start('collector');
    const signals = full(made, handle);
    const { client } = made.test;
    const limited = client.withDeadline(clock.now() + 1_000, () => handle.signal('add', 'late'));
    const update = client.withDeadline(clock.now() + 1_000, () =>
      handle.executeUpdate('put', { args: [99] }),
    );
    const behind = handle.signal('add', 'behind');
    clock.advance(999);
    expect(waiting(made)).to.equal(3);
    clock.advance(1);
    expect(await undone(limited, GrpcStatus.DEADLINE_EXCEEDED)).to.match(/while it waited for room/);
    expect((await rejection(update)).cause)
      .to.have.property('message')
      .that.matches(/nothing was done/);
    expect(waiting(made)).to.equal(1);
    made.plan.release();
    await Promise.all([...signals, behind]);
    expect(await list(handle)).to.deep.equal([...numbers(5), 'behind']);
  });

  it('the deadline passes after the call had its turn: it says that it may still be delivered, and it is', async () => {
    const clock = new ManualClock();
    const made = await open({ clock });
    const handle = await made.test.start('collector');
    const signals = full(made, handle);
    const call = made.test.client.withDeadline(clock.now() + 1_000, () => handle.signal('add', 'late'));
    made.plan.release();
    await signals[0];
    await eventually(() => waiting(made) === 0);
    made.plan.hold();
    const outcome = call.then(
      () => 'in time',
      (error: Error) => (error.cause as Error).message,
    );
    clock.advance(1_000);
    made.plan.release();
    await Promise.all(signals);
    expect(await outcome).to.match(/in time|may still be delivered/);
    expect(await list(handle)).to.deep.equal([...numbers(5), 'late']);
  });

  it('aborted while it waits: rejected at once, never done', async () => {
    const made = await open();
    const handle = await made.test.start('collector');
    const signals = full(made, handle);
    const controller = new AbortController();
    const { client } = made.test;
    const call = client.withAbortSignal(controller.signal, () =>
      client.start('collector', { workflowId: 'never' }),
    );
    await Promise.resolve();
    expect(waiting(made)).to.equal(1);
    controller.abort();
    expect(await undone(call, GrpcStatus.CANCELLED)).to.match(/aborted while it waited for room/);
    expect(waiting(made)).to.equal(0);
    made.plan.release();
    await Promise.all(signals);
    expect(await rejection(client.getHandle('never').describe())).to.have.property(
      'name',
      'WorkflowNotFoundError',
    );
  });

  it('a large call is given up: the small ones behind it find room without anything else happening', async () => {
    const made = await open({ limits: { queuedBytesMax: 10_000 } });
    const handle = await made.test.start('collector');
    made.plan.hold();
    const first = handle.signal('add', 'x'.repeat(5_000));
    const controller = new AbortController();
    const large = made.test.client.withAbortSignal(controller.signal, () =>
      handle.signal('add', 'y'.repeat(8_000)),
    );
    const small = handle.signal('add', 'small');
    expect(waiting(made)).to.equal(2);
    controller.abort();
    await undone(large, GrpcStatus.CANCELLED);
    await eventually(() => waiting(made) === 0);
    made.plan.release();
    await Promise.all([first, small]);
    expect(await list(handle)).to.have.length(2);
  });

  it('the runtime is closed: whoever waits is told at once, what was taken is kept, and nothing else was done', async () => {
    const made = await open();
    const handle = await made.test.start('collector');
    const taken = full(made, handle);
    const rest = numbers(20, 5).map((n) => handle.signal('add', n));
    const closing = made.test.reopen();
    for (const call of rest) {
      const error = await rejection(call);
      expect(error.cause).to.have.property('code', GrpcStatus.UNAVAILABLE);
    }
    made.plan.release();
    await Promise.all(taken);
    await closing;
    expect(await list(made.test.again(handle))).to.deep.equal(numbers(5));
  });

  it('more than may wait, by number and by bytes: refused, to be sent again', async () => {
    const limits = { queuedMessagesMax: 5, waitingMessagesMax: 3, waitingBytesMax: 20_000 };
    const made = await open({ limits });
    const handle = await made.test.start('collector');
    const calls = full(made, handle, 7);
    const { message } = await refusal(
      handle.signal('add', 'z'.repeat(30_000)),
      GrpcStatus.RESOURCE_EXHAUSTED,
    );
    expect(message).to.match(/limits\.waitingBytesMax: 20000\)\. Nothing was done/);
    calls.push(handle.signal('add', 7));
    const many = await refusal(handle.signal('add', 8), GrpcStatus.RESOURCE_EXHAUSTED);
    expect(many.message).to.match(/Too many calls wait for room already \(limits\.waitingMessagesMax: 3\)/);
    made.plan.release();
    await Promise.all(calls);
    expect(await list(handle)).to.deep.equal(numbers(8));
  });

  it('a client that does not wait beside one that does: refused as long as others wait, so it never overtakes them', async () => {
    const made = await open({ whenFull: 'error' });
    const handle = await made.test.start('collector');
    const patient: WorkflowClient = made.test.client.withOptions({ whenFull: 'wait' });
    const calls = full(made, handle);
    calls.push(...numbers(3, 5).map((n) => patient.getHandle(handle.workflowId).signal('add', n)));
    await refusal(handle.signal('add', 'overtaking'), GrpcStatus.RESOURCE_EXHAUSTED);
    made.plan.release();
    await Promise.all(calls);
    await handle.signal('add', 8);
    expect(await list(handle)).to.deep.equal(numbers(9));
  });

  it('a small call of a client that does not wait, behind a large one that does: refused although it would fit', async () => {
    const made = await open({ whenFull: 'error', limits: { queuedBytesMax: 10_000 } });
    const handle = await made.test.start('collector');
    const patient = made.test.client.withOptions({ whenFull: 'wait' }).getHandle(handle.workflowId);
    made.plan.hold();
    const calls = [handle.signal('add', 'x'.repeat(5_000)), patient.signal('add', 'y'.repeat(8_000))];
    await refusal(handle.signal('add', 'overtaking'), GrpcStatus.RESOURCE_EXHAUSTED);
    made.plan.release();
    await Promise.all(calls);
    await handle.signal('add', 'in time');
    expect(await list(handle)).to.have.length(3);
  });

  it('the commit of what is queued fails: those are told, those that waited go on, and each has happened once or not at all', async () => {
    const made = await open();
    const handle = await made.test.start('collector');
    made.plan.next({ kind: 'full' });
    const calls = numbers(50).map((n) => handle.signal('add', n));
    const settled = await Promise.allSettled(calls);
    const taken = settled.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []));
    expect(taken.length).to.be.within(1, 49);
    expect(await list(handle)).to.deep.equal(taken);
    await made.test.crash();
    expect(await list(made.test.again(handle))).to.deep.equal(taken);
  });

  it('a start that terminates the open execution, with room for one message only: both happen, or neither', async () => {
    const made = await open({ whenFull: 'error', limits: { queuedMessagesMax: 1 } });
    const options = { workflowId: 'one', workflowIdConflictPolicy: 'TERMINATE_EXISTING' } as const;
    const { client } = made.test;
    const first = await client.start('collector', options);
    made.plan.hold();
    const restart = client.start('collector', options);
    // It has the room as soon as the termination is durable.
    const rival = client.withOptions({ whenFull: 'wait' }).start('collector', { workflowId: 'rival' });
    expect(waiting(made)).to.equal(1);
    made.plan.release();
    const [started] = await Promise.all([restart, rival]);
    expect((await started.describe()).status.name).to.equal('RUNNING');
    expect(started.firstExecutionRunId).to.not.equal(first.firstExecutionRunId);
  });

  for (const policy of [
    { workflowIdConflictPolicy: 'TERMINATE_EXISTING' },
    { workflowIdReusePolicy: 'TERMINATE_IF_RUNNING' },
  ] as const)
    for (const where of ['the open run is', 'the next run begins'] as const)
      it(`${Object.values(policy)[0]}, and no room where ${where}: the start is not refused`, async () => {
        const made = await open({ threads: 2 });
        const { client } = made.test;
        const first = await client.start('collector', { workflowId: 'one' });
        // The next run is on the thread of the second.
        const others = [await made.test.start('collector'), await made.test.start('collector')] as const;
        const signals = full(made, others[where === 'the open run is' ? 1 : 0], 10);
        const restart = client.start('collector', { workflowId: 'one', args: ['anew'], ...policy });
        made.plan.release();
        await Promise.all(signals);
        expect(await list(await restart)).to.deep.equal(['anew']);
        expect((await first.describe()).runId).to.equal((await restart).firstExecutionRunId);
      });

  it('the run that a start found open ends first, and others wait for room: the start is not refused, and begins the next', async () => {
    const made = await open({ limits: { queuedMessagesMax: 5, batchMessagesMax: 1 } });
    const { client } = made.test;
    const [one, other] = [
      await client.start('collector', { workflowId: 'one' }),
      await made.test.start('collector'),
    ];
    const finished = full(made, one, 0).concat(one.signal('finish'));
    const signalled = client.signalWithStart('collector', {
      workflowId: 'one',
      signal: 'add',
      signalArgs: ['x'],
    });
    const signals = numbers(30).map((n) => other.signal('add', n));
    expect(waiting(made)).to.equal(27);
    made.plan.release();
    await Promise.all([...finished, ...signals]);
    expect(await list((await signalled) as unknown as Handle)).to.deep.equal(['x']);
    expect((await signalled).signaledRunId).to.not.equal(one.firstExecutionRunId);
  });

  it('a value that is neither: refused where it is given', async () => {
    const wrong = 'later' as 'wait';
    expect(await rejection(Runtime.open({ whenFull: wrong })))
      .to.be.instanceOf(ConfigurationError)
      .with.property('message', "whenFull must be 'error' or 'wait', got 'later'");
    const { test } = await open();
    expect(() => test.client.withOptions({ whenFull: wrong })).to.throw(
      TypeError,
      /whenFull must be one of error, wait/,
    );
  });
});
