/** The host's side of a thread: what it sends when, and what it tells when (thread.ts). */
import { expect } from 'chai';
import { GrpcStatus, WorkflowFailedError, WorkflowNotFoundError } from '../../runtime/client/index.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { type Faulty, noUnhandledRejections, openFaulty, refusal } from '../support/faulty.js';
import { eventTypes, eventually, type Handle, ManualClock, rejection } from '../support/runtime.js';
import { ThreadKiller } from '../support/threads.js';

const list = (handle: Handle) => handle.query('list');

describe('thread', () => {
  noUnhandledRejections();
  const opened: Faulty[] = [];
  afterEach(async () => {
    for (const { plan, test } of opened.splice(0)) {
      plan.release();
      await test.close();
    }
  });
  async function faulty(options: Parameters<typeof openFaulty>[0] = {}): Promise<Faulty> {
    const made = await openFaulty(options);
    opened.push(made);
    return made;
  }

  /** What has been answered so far, in that order. */
  function listener(): { heard: string[]; note(name: string, call: Promise<unknown>): Promise<void> } {
    const heard: string[] = [];
    return {
      heard,
      note: async (name, call) => {
        const value = await call;
        heard.push(value === undefined ? name : `${name}: ${JSON.stringify(value)}`);
      },
    };
  }

  describe('output gate (D4)', () => {
    for (const threads of [1, 2]) {
      it(`a commit is held, ${threads} threads: what depends on it waits, all else is answered, then replies come in order`, async () => {
        const { test, plan } = await faulty({ threads });
        const handle = await test.start('collector');
        const others = [await test.start('collector', ['other']), await test.start('collector', ['another'])];
        const { writes } = plan;
        plan.hold();
        const { heard, note } = listener();
        const calls = [
          note('signal', handle.signal('add', 1)),
          note('update', handle.executeUpdate('put', { args: [2] })),
          note(
            'rejected',
            rejection(handle.executeUpdate('put', { args: [-1] })).then(({ name }) => name),
          ),
          note('query', list(handle)),
        ];
        await eventually(() => plan.writes > writes);
        calls.push(note('later query', list(handle)), note('later signal', handle.signal('add', 3)));
        for (const other of others) expect(await list(other)).to.have.length(1);
        expect(await handle.describe()).to.include({ historyLength: 4 });
        expect(await eventTypes(handle)).to.have.length(4);
        expect(heard).to.deep.equal([]);
        plan.release();
        await Promise.all(calls);
        expect(heard).to.have.members([
          'signal',
          'update: 2',
          'rejected: "WorkflowUpdateFailedError"',
          'query: [1,2]',
          'later query: [1,2]',
          'later signal',
        ]);
        expect(heard.indexOf('later signal')).to.equal(5);
        expect(await list(handle)).to.deep.equal([1, 2, 3]);
      });
    }

    it('a commit reached the disk, its acknowledgement is held: nothing is told until it comes', async () => {
      const { test, plan, disk } = await faulty();
      const handle = await test.start('collector');
      const entries = disk.stats().entries;
      plan.hold('after');
      const { heard, note } = listener();
      const calls = [note('signal', handle.signal('add', 1)), note('query', list(handle))];
      await eventually(() => disk.stats().entries > entries);
      expect(await handle.fetchHistory())
        .to.have.property('events')
        .with.length(4);
      expect(heard).to.deep.equal([]);
      plan.release();
      await Promise.all(calls);
    });

    it('an activity of a turn whose commit is held: does not begin', async () => {
      let begun = 0;
      const double = async () => ++begun;
      const { test, plan } = await faulty({ activities: { double } });
      const handle = await test.start('collector');
      const { writes } = plan;
      plan.hold();
      const signal = handle.signal('call', 1);
      await eventually(() => plan.writes > writes);
      for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      expect(begun).to.equal(0);
      plan.release();
      await signal;
      await eventually(() => begun === 1);
    });
  });

  describe('a run whose activation is gone while its entries are on their way to disk (D5)', () => {
    it('its turn failed behind others that are not durable: it is rebuilt with all of them', async () => {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock });
      const handle = await test.start('collector');
      const bystander = await test.start('collector');
      const { writes } = plan;
      plan.hold();
      const calls = [handle.signal('add', 1)];
      await eventually(() => plan.writes > writes);
      calls.push(handle.signal('failUntil', clock.now() + 200));
      const query = list(handle);
      await eventually(() => test.logs.some(({ message }) => message.startsWith('Turn failed')));
      calls.push(handle.signal('add', 2));
      clock.advance(200);
      calls.push(handle.signal('add', 3));
      // The other run of the thread is not held up.
      expect(await list(bystander)).to.deep.equal([]);
      plan.release();
      await Promise.all(calls);
      expect(await query).to.deep.equal([1]);
      const seen = await eventually(async () => {
        const items = (await list(handle)) as unknown[];
        return items.length === 4 && items;
      });
      expect(seen).to.deep.equal([1, 'late enough', 2, 3]);
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(seen);
    });

    it('a signal is noted and the turn is tried again in the same batch: the turn takes the signal', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 200);
      const signal = handle.signal('add', 1);
      clock.advance(200);
      await signal;
      const seen = await eventually(async () => {
        const items = (await list(handle)) as unknown[];
        return items.length === 2 && items;
      });
      expect(seen).to.deep.equal(['late enough', 1]);
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(seen);
    });

    it('an update fails the turn: it is held, tried again with the turn, and answered once', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock });
      const handle = await test.start('collector');
      const update = handle.executeUpdate('putFailingUntil', { args: [clock.now() + 200] });
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 1);
      const behind = handle.executeUpdate('put', { args: [5] });
      clock.advance(200);
      expect(await update).to.equal(1);
      expect(await behind).to.equal(2);
      expect(await list(handle)).to.deep.equal(['late enough', 5]);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
    });

    it('a turn that fails, and the commit of that fails: the callers are refused, and the run goes on as if nothing had been sent', async () => {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock });
      const handle = await test.start('collector', ['kept']);
      plan.next({ kind: 'full' });
      const signal = handle.signal('failUntil', clock.now() + 3_600_000);
      const update = handle.executeUpdate('put', { args: [1] });
      await refusal(signal, GrpcStatus.RESOURCE_EXHAUSTED);
      clock.advance(200);
      // The update was in the turn and was only held back.
      expect(await update).to.equal(2);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
      await handle.signal('add', 'more');
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(['kept', 1, 'more']);
    });
  });

  describe('the end of a run from outside', () => {
    /** An execution that no thread holds. */
    async function passive(
      options: Parameters<typeof openFaulty>[0] = {},
    ): Promise<Faulty & { handle: Handle }> {
      const made = await faulty({ ...options, limits: { activationsPerThreadMax: 1, journalBytesMax: 1 } });
      const handle = await made.test.start('collector', [], { workflowRunTimeout: '1 minute' });
      await made.test.start('collector');
      await eventually(() => made.test.runtime.metrics().activations === 1);
      return { ...made, handle };
    }
    const ending = async (handle: Handle) =>
      (await eventTypes(handle)).filter((type) => /Terminated|TimedOut/.test(type));

    it('terminated twice at once while it is not in memory: ended once, the second call is told, a restart works', async () => {
      const { test, handle } = await passive();
      const [first, second] = await Promise.allSettled([handle.terminate('one'), handle.terminate('two')]);
      expect(first.status).to.equal('fulfilled');
      expect(second).to.have.property('reason').that.is.instanceOf(WorkflowNotFoundError);
      expect(await ending(handle)).to.deep.equal(['WorkflowExecutionTerminated']);
      await test.crash();
      expect(await rejection(test.again(handle).result())).to.have.property('message', 'one');
    });

    it('terminated, then signalled and asked, without awaiting: the signal is refused, the query too', async () => {
      const { handle } = await passive();
      const [first, ...rest] = await Promise.allSettled([
        handle.terminate('enough'),
        handle.signal('add', 1),
        handle.executeUpdate('put', { args: [1] }),
      ]);
      expect(first.status).to.equal('fulfilled');
      for (const call of rest)
        expect(call).to.have.property('reason').that.is.instanceOf(WorkflowNotFoundError);
      expect(await ending(handle)).to.deep.equal(['WorkflowExecutionTerminated']);
    });

    it('terminated and timed out at once: ended once', async () => {
      const clock = new ManualClock();
      const { test, handle } = await passive({ clock });
      const terminated = handle.terminate('enough');
      clock.advance(60_000);
      await terminated;
      await eventually(() => test.runtime.metrics().queuedMessages === 0);
      expect(await ending(handle)).to.deep.equal(['WorkflowExecutionTerminated']);
      await test.reopen();
      expect(await rejection(test.again(handle).result())).to.have.property('message', 'enough');
      expect(test.logs.filter(({ level }) => level === 'ERROR')).to.deep.equal([]);
    });

    it('the commit of it fails: it is still open, and can be terminated again', async () => {
      const { handle, plan } = await passive();
      plan.full = true;
      await refusal(handle.terminate('one'), GrpcStatus.RESOURCE_EXHAUSTED);
      plan.full = false;
      await handle.signal('add', 1);
      await handle.terminate('two');
      const error = await rejection(handle.result());
      expect(error).to.be.instanceOf(WorkflowFailedError).with.property('message', 'two');
    });

    it('twice, right behind what makes its turn fail, and a signal after it: ended once, and nothing stands behind that', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock });
      const handle = await test.start('collector');
      const [failing, first, ...rest] = await Promise.allSettled([
        handle.signal('failUntil', clock.now() + 3_600_000),
        handle.terminate('one'),
        handle.terminate('two'),
        handle.signal('add', 1),
      ]);
      for (const { status } of [failing, first]) expect(status).to.equal('fulfilled');
      for (const call of rest)
        expect(call).to.have.property('reason').that.is.instanceOf(WorkflowNotFoundError);
      expect((await eventTypes(handle)).at(-1)).to.equal('WorkflowExecutionTerminated');
      expect(await ending(handle)).to.have.length(1);
      expect(test.logs.filter(({ message }) => message.startsWith('Runtime:'))).to.deep.equal([]);
    });

    it('of a run whose turn fails, with signals and updates that wait: it ends, they are told, nothing is tried again', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 3_600_000);
      const update = handle.executeUpdate('put', { args: [1] });
      await handle.terminate('enough');
      expect(await rejection(update)).to.be.instanceOf(WorkflowNotFoundError);
      clock.advance(3_600_000);
      await test.reopen();
      expect(await rejection(test.again(handle).result())).to.have.property('message', 'enough');
      expect(await ending(test.again(handle))).to.deep.equal(['WorkflowExecutionTerminated']);
    });
  });

  describe('messages that were on their way when a turn failed', () => {
    const limits = { batchMessagesMax: 1, turnRetryMsMin: 3_600_000 };

    /** A signal that fails until the clock is turned, and what was sent behind it before anybody knew that it fails. */
    async function behind(send: (handle: Handle) => Promise<unknown>[]) {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock, limits });
      const handle = await test.start('collector');
      const { writes } = plan;
      plan.hold();
      const calls = [handle.signal('failUntil', clock.now() + 1_000), ...send(handle)];
      await eventually(() => plan.writes > writes);
      // Too little for the turn to be tried again for its own sake.
      clock.advance(1_000);
      plan.release();
      return { test, handle, clock, calls };
    }

    it('a signal, and time has mended the turn: it succeeds with that, and an update that waited goes on at once', async () => {
      const { test, handle, calls } = await behind((to) => [
        to.executeUpdate('put', { args: [1] }),
        to.signal('add', 2),
      ]);
      await Promise.all(calls);
      expect(await list(handle)).to.deep.equal(['late enough', 2, 1]);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
      await test.crash();
      expect(await list(test.again(handle))).to.deep.equal(['late enough', 2, 1]);
    });

    it('a signal that mends the turn, and the commit of that fails: the turn is tried again, although nothing more comes', async () => {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock, limits });
      const handle = await test.start('collector');
      const { writes } = plan;
      plan.hold().at(writes + 2, { kind: 'full' });
      const failing = handle.signal('failUntil', clock.now() + 1_000);
      const mending = refusal(handle.signal('add', 2), GrpcStatus.RESOURCE_EXHAUSTED);
      await eventually(() => plan.writes > writes);
      clock.advance(1_000);
      plan.release();
      await Promise.all([failing, mending]);
      expect((await handle.describe()).pendingTurn).to.not.equal(undefined);
      clock.advance(limits.turnRetryMsMin);
      await eventually(async () => (await handle.describe()).pendingTurn === undefined);
      expect(await list(handle)).to.deep.equal(['late enough']);
    });

    /** A run that has acknowledged what no turn has taken, after a crash. */
    async function untaken() {
      const clock = new ManualClock();
      const { test, plan } = await faulty({ clock, limits: { ...limits, turnRetryMsMin: 100 } });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 100);
      await handle.signal('add', 1);
      const { writes } = plan;
      plan.hold();
      // The turn that is tried again takes both; what comes while it is under way is left to the next.
      clock.advance(100);
      const left = handle.signal('add', 2);
      await eventually(() => plan.writes > writes);
      plan.release();
      await left;
      await test.crash();
      return test.again(handle);
    }

    it('what was acknowledged before a crash, and not taken by a turn: the first query after it shows it', async () => {
      expect(await list(await untaken())).to.deep.equal(['late enough', 1, 2]);
    });

    it('the same, and nobody asks: a turn takes it at once', async () => {
      const handle = await untaken();
      await eventually(async () => (await eventTypes(handle)).at(-1) === 'WorkflowTaskCompleted');
    });
  });

  describe('a turn that fails because of an update', () => {
    it('which is given up: that the turn succeeds now is in the history, and shows after a crash', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock, limits: { updateTurnAttemptsMax: 1 } });
      const handle = await test.start('collector', ['kept']);
      const error = await rejection(
        handle.executeUpdate('putFailingUntil', { args: [clock.now() + 3_600_000] }),
      );
      expect(error.cause).to.have.property('code', GrpcStatus.FAILED_PRECONDITION);
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 1);
      await eventually(async () => {
        clock.advance(1_000);
        return (await handle.describe()).pendingTurn === undefined;
      });
      expect((await eventTypes(handle)).slice(-4)).to.deep.equal([
        'WorkflowTaskFailed',
        'WorkflowTaskScheduled',
        'WorkflowTaskStarted',
        'WorkflowTaskCompleted',
      ]);
      await test.crash();
      expect((await test.again(handle).describe()).pendingTurn).to.equal(undefined);
      await test.again(handle).signal('add', 1);
      expect(await list(test.again(handle))).to.deep.equal(['kept', 1]);
    });

    it('that fails again with what came meanwhile: describe() says so, and the history once', async () => {
      const clock = new ManualClock();
      const { test } = await faulty({ clock, limits: { turnRetryMsMin: 1_000, turnRetryMsMax: 1_000 } });
      const handle = await test.start('collector');
      await handle.signal('failUntil', clock.now() + 1_000);
      const later = handle.signal('failUntil', clock.now() + 3_600_000);
      await later;
      clock.advance(1_000);
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 2);
      clock.advance(1_000);
      await eventually(async () => (await handle.describe()).pendingTurn?.attempt === 3);
      expect((await eventTypes(handle)).filter((type) => type === 'WorkflowTaskFailed')).to.have.length(1);
      await test.crash();
      expect((await test.again(handle).describe()).pendingTurn).to.include({ message: 'too early' });
    });
  });

  it('a thread ends while it has nothing to do: its runs are brought back, whatever is sent to them next', async () => {
    const killer = new ThreadKiller();
    try {
      const { test } = await faulty({ limits: { turnRetryMsMin: 60_000 } });
      const [one, two] = [await test.start('collector', [1]), await test.start('collector', [2])];
      for (const ask of [() => list(one), () => one.executeUpdate('put', { args: [3] })]) {
        await list(two);
        expect(await killer.kill(0)).to.be.a('number');
        await ask();
      }
      expect(await list(one)).to.deep.equal([1, 3]);
      expect(await list(two)).to.deep.equal([2]);
      expect(await eventTypes(one)).to.not.include('WorkflowTaskFailed');
    } finally {
      killer.restore();
    }
  });

  describe('a thread that is blocked (D7)', () => {
    const limits = { turnMsMax: 300, turnRetryMsMin: 60_000 };

    it('the others of its thread lose nothing; the offender is told of by describe(), and can be ended', async () => {
      const { test } = await faulty({ limits });
      const bad = await test.start('blocks', ['when told']);
      const good = await test.start('collector');
      const calls = [
        good.signal('add', 1),
        bad.signal('block'),
        good.signal('add', 2),
        good.executeUpdate('put', { args: [3] }),
      ];
      await Promise.all(calls);
      expect(await list(good)).to.deep.equal([1, 2, 3]);
      const { pendingTurn } = await bad.describe();
      expect(pendingTurn).to.include({ cause: 'TURN_TIMEOUT', attempt: 1 });
      expect(pendingTurn?.message).to.match(
        /blocked its thread for longer than 300 ms \(limits\.turnMsMax\)/,
      );
      expect(await bad.query('innocent')).to.equal('fine');
      await bad.terminate('enough');
      await test.crash();
      expect(await list(test.again(good))).to.deep.equal([1, 2, 3]);
      expect(await eventTypes(test.again(bad))).to.include.members([
        'WorkflowExecutionSignaled',
        'WorkflowTaskFailed',
        'WorkflowExecutionTerminated',
      ]);
    });

    it('by a query: that query is refused, messages around it have their effect', async () => {
      const { test } = await faulty({ limits });
      const bad = await test.start('blocks', ['when told']);
      const good = await test.start('collector');
      const [query, signal] = await Promise.allSettled([
        bad.query('blockingQuery'),
        good.signal('add', 1),
        bad.query('innocent'),
      ]);
      expect(signal.status).to.equal('fulfilled');
      expect(query)
        .to.have.property('reason')
        .with.property('message')
        .that.matches(/Query 'blockingQuery'.*blocked its thread/);
      expect(await bad.query('innocent')).to.equal('fine');
      expect((await bad.describe()).pendingTurn).to.equal(undefined);
    });

    it('by a first turn, and the commit of that fails: the start is refused and its id is free', async () => {
      const disk = openMemoryStore({ durability: 'commit' });
      const plan = new FaultPlan();
      const { test } = await faulty({ limits, store: faultyStore(disk, plan) });
      plan.full = true;
      await refusal(
        test.client.start('blocks', { workflowId: 'id', args: ['at once'] }),
        GrpcStatus.RESOURCE_EXHAUSTED,
      );
      plan.full = false;
      const again = await test.client.start('collector', { workflowId: 'id', args: [1] });
      expect(await list(again)).to.deep.equal([1]);
      await test.crash();
      expect(await test.client.getHandle('id').query('list')).to.deep.equal([1]);
    });

    it('by a first turn: the start is durable, and what was sent behind it is kept', async () => {
      const { test } = await faulty({ limits });
      const start = test.client.start('blocks', { workflowId: 'id', args: ['at once'] });
      const signal = test.client.getHandle('id').signal('anything');
      const handle = await start;
      await signal;
      expect(await eventTypes(handle)).to.deep.equal([
        'WorkflowExecutionStarted',
        'WorkflowTaskScheduled',
        'WorkflowTaskStarted',
        'WorkflowTaskFailed',
        'WorkflowExecutionSignaled',
      ]);
      expect(await rejection(handle.query('innocent')))
        .to.have.property('message')
        .that.matches(/first turn of workflow id fails/);
    });
  });
});
