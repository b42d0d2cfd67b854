import { expect } from 'chai';
import { QueryNotRegisteredError } from '../../runtime/client/index.js';
import {
  eventTypes,
  eventually,
  type Handle,
  ManualClock,
  rejection,
  TestRuntime,
} from '../support/runtime.js';

// semantics.md 13
describe('workflow isolation', () => {
  let runtime: TestRuntime;
  const clock = new ManualClock();
  before(async () => {
    // One thread, so that all executions share what can be shared.
    runtime = await TestRuntime.open({ workflows: 'isolation', clock });
  });
  after(() => runtime.close());

  describe('between executions of one thread', () => {
    it('whatever one leaves behind: another does not see it', async () => {
      const tracks = (await (await runtime.start('tracks')).result()) as string[];
      const seen: string[] = [];
      for (const track of tracks) {
        await (await runtime.start('leaves', [track])).result();
        if (await (await runtime.start('looks', [track])).result()) seen.push(track);
      }
      expect(seen).to.deep.equal([]);
      expect(tracks.length).to.be.greaterThan(25);
    });

    for (const track of [
      'module variable',
      'module map',
      'exported object',
      'global property',
      'global property through globalThis',
    ]) {
      it(`${track}: the execution itself sees what it did`, async () => {
        expect(await (await runtime.start('leaves', [track])).result()).to.equal(true);
      });
    }

    for (const track of [
      'Array.prototype.left',
      'Array.prototype.map',
      'Math.max',
      'replaced global, by name',
      'library function',
    ]) {
      it(`${track}: cannot be changed, and says so`, async () => {
        expect(await (await runtime.start('leaves', [track])).result()).to.equal('TypeError');
      });
    }

    it('what people usually do to their own objects: works although the built-ins are closed', async () => {
      expect(await (await runtime.start('usualTricks')).result()).to.deep.equal({
        name: 'NamedError',
        isNamed: true,
        plain: ['my own', 'a value', 1],
        error: ['my error', 'changed'],
        derived: ['derived', 'old', true],
        fn: 'my function',
        stack: 3,
        counter: 0,
        generator: [7],
        polyfill: 'mine',
        date: 5,
      });
    });
  });

  describe('surroundings', () => {
    it('Node and the means to make code from text: not there', async () => {
      const found = (await (await runtime.start('surroundings')).result()) as Record<string, string>;
      for (const name of [
        'process',
        'Buffer',
        'global',
        'fetch',
        'setInterval',
        'setImmediate',
        'performance',
        'crypto',
        'require',
      ]) {
        expect(found[name], name).to.equal('undefined');
      }
      for (const name of [
        'eval',
        'Function',
        'function constructor',
        'URL constructor',
        'TextEncoder constructor',
        'AbortController constructor',
      ]) {
        expect(found[name], name).to.match(/^EvalError: Code generation from strings disallowed/);
      }
      for (const name of ['WeakRef', 'FinalizationRegistry']) {
        expect(found[name], name).to.match(
          new RegExp(`^DeterminismViolationError: ${name} cannot be used in workflows`),
        );
      }
    });

    it('values: are instances of the classes that the workflow knows, wherever they come from', async () => {
      const values = {
        date: new Date(1),
        map: new Map([[1, 2]]),
        set: new Set([1]),
        bytes: Uint8Array.of(1),
        floats: Float64Array.of(0.5),
        buffer: new ArrayBuffer(2),
        list: [1],
        plain: { a: 1 },
        error: new RangeError('r'),
        regexp: /a/g,
      };
      const handle = await runtime.start('classes', [values], { memo: { date: new Date(2) } });
      expect(await handle.query('classes of a query', values)).to.deep.equal([]);
      await handle.executeUpdate('values', { args: [values] });
      await handle.signal('values', values);
      expect(await handle.result()).to.deep.equal([]);
    });

    it('URL, TextEncoder and AbortController: do what they do elsewhere', async () => {
      expect(await (await runtime.start('webClasses')).result()).to.deep.equal({
        href: 'http://user:pass@host:81/path?q=1&r=%C3%BC#other',
        text: 'http://user:pass@host:81/path?q=1&r=%C3%BC#other',
        json: '{"url":"http://user:pass@host:81/path?q=1&r=%C3%BC#other"}',
        host: ['host:81', '81', '/path', 'http://host:81', 'user'],
        q: '1',
        parsed: [true, false],
        relative: 'http://h/b',
        params: ['a=3', true, ['a'], ['3'], { a: '3' }, 1],
        fromObject: 'x=1',
        fromParams: 'a=3',
        seen: [['a', '3'], 'heard', 'heard too'],
        abort: [false, true, 'why'],
        encoded: [97, 195, 188],
        into: [{ read: 1, written: 1 }, 97, 0],
        decoded: 'aü',
        fatal: 'true TypeError',
        names: ['URL', 'URLSearchParams', 'TextEncoder', 'TextDecoder', 'AbortController'],
        tags: ['[object URL]', true, true],
      });
    });
  });

  describe('time and chance', () => {
    interface Look {
      now: number;
      date: number;
      text: string;
      random: number;
      id: string;
    }

    it('Date within a turn: stands still; over turns: goes with the clock', async () => {
      const handle = await runtime.start('clockAndChance');
      const began = clock.now();
      clock.advance(1234);
      await handle.signal('look');
      const looks = (await handle.query('seen')) as Look[];
      expect(looks.map(({ now }) => now - began)).to.deep.equal([0, 1234, 1234]);
      for (const { now, date, text } of looks) {
        expect(date).to.equal(now);
        expect(text).to.equal(new Date(now).toString());
      }
    });

    it('date formats that are given no date: say the time of the turn', async () => {
      const own = await TestRuntime.open({
        workflows: 'isolation',
        clock: new ManualClock(Date.UTC(2031, 1, 3, 4, 5, 6)),
      });
      const [now, epoch] = ['03/02/2031, 04:05:06', '01/01/1970, 00:00:00'];
      expect(await (await own.start('formatsDates')).result()).to.deep.equal([now, now, now, epoch, epoch]);
      await own.close();
    });

    it('a clock that is set back: time in the workflow does not go back', async () => {
      const handle = await runtime.start('clockAndChance');
      const began = clock.now();
      clock.set(began - 5000);
      await handle.signal('look');
      clock.set(began);
      const looks = (await handle.query('seen')) as Look[];
      expect(looks.map(({ now }) => now - began)).to.deep.equal([0, 0, 0]);
    });

    it('random numbers: differ between executions and draws, and come again on replay', async () => {
      const [one, two] = [await runtime.start('clockAndChance'), await runtime.start('clockAndChance')];
      await one.signal('look');
      await two.signal('look');
      const looks = [...((await one.query('seen')) as Look[]), ...((await two.query('seen')) as Look[])];
      expect(new Set(looks.map(({ random }) => random)).size).to.equal(6);
      expect(new Set(looks.map(({ id }) => id)).size).to.equal(6);
      for (const { random, id } of looks) {
        expect(random).to.be.within(0, 1);
        expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      }
      await runtime.crash();
      expect([
        ...((await runtime.again(one).query('seen')) as Look[]),
        ...((await runtime.again(two).query('seen')) as Look[]),
      ]).to.deep.equal(looks);
      // And the sequence goes on from there.
      await runtime.again(one).signal('look');
      expect(
        new Set(((await runtime.again(one).query('seen')) as Look[]).map(({ random }) => random)).size,
      ).to.equal(5);
    });
  });

  describe('logs', () => {
    it('log and console: go to the logger, with the level and the ids of the execution', async () => {
      const handle = await runtime.start('logs');
      await handle.executeUpdate('update', { updateId: 'u1' });
      const lines = runtime.logs.filter(({ attributes }) => attributes.workflowId === handle.workflowId);
      expect(lines.map(({ level, message }) => `${level} ${message.split('\n')[0]}`)).to.deep.equal([
        'DEBUG Workflow started',
        'INFO started',
        'INFO from the console {"a":1} 2',
        'WARN careful',
        'ERROR Error: wrong',
        'WARN in an update',
      ]);
      const { runId } = await handle.describe();
      expect(lines[1]?.attributes).to.deep.equal({
        workflowId: handle.workflowId,
        runId,
        workflowType: 'logs',
        some: 'attribute',
        date: new Date(0),
      });
      expect(lines.at(-1)?.attributes).to.include({ updateId: 'u1', updateName: 'update' });
    });

    it('replay: silent; what comes after it and queries are not', async () => {
      const handle = await runtime.start('logs');
      await runtime.crash();
      runtime.logs.length = 0;
      await runtime.again(handle).query('query');
      await runtime.again(handle).signal('finish');
      expect(runtime.messages(handle.workflowId)).to.deep.equal([
        'in a query',
        'finishing',
        'Workflow completed',
      ]);
    });
  });

  describe('unhandled rejections', () => {
    it('rejection that nobody handles: fails the turn of its own execution, no other', async () => {
      const [culprit, neighbour] = await Promise.all([
        runtime.start('forgetsARejection', ['later']),
        runtime.start('clockAndChance'),
      ]);
      clock.advance(10);
      await neighbour.signal('look');
      const turn = await eventually(async () => (await culprit.describe()).pendingTurn);
      expect(turn.message).to.equal('nobody handles this');
      expect((await neighbour.describe()).pendingTurn).to.equal(undefined);
    });

    it('rejection that is handled before the turn ends: nothing happens', async () => {
      expect(await (await runtime.start('handlesInTime')).result()).to.equal('handled');
    });
  });
});

// semantics.md 1, D5
describe('workflow replay', () => {
  describe('with changed code', () => {
    const clock = new ManualClock();
    const activities = { old: async () => new Promise(() => undefined), new: async () => 'new' };
    let runtime: TestRuntime;
    beforeEach(async () => {
      runtime = await TestRuntime.open({ workflows: 'determinism-before', clock, activities });
    });
    afterEach(() => runtime.close());

    const BOTH =
      'The workflow code changed in a way that its open executions do not allow, or it is not deterministic.';
    const changes: [type: string, message: string, prepare?: (handle: Handle) => Promise<unknown>][] = [
      [
        'sleepsFirst',
        'after history event 1 differs at command 1. Recorded: startTimer 1. Produced: scheduleActivity 1 new 1.',
      ],
      [
        'callsOld',
        'after history event 1 differs at command 1. Recorded: scheduleActivity 1 old 1. Produced: scheduleActivity 1 new 1.',
      ],
      [
        'hasHandler',
        'after history event 4 differs at command 1. Recorded: acceptUpdate u1. Produced: no command.',
        (handle) => handle.executeUpdate('update', { updateId: 'u1' }),
      ],
      [
        'waitsOn',
        'after history event 4 differs at command 1. Recorded: no command. Produced: completeWorkflow.',
        (handle) => handle.signal('step', 'start'),
      ],
      [
        'disappears',
        "after history event 1 differs at command 1. Recorded: no command. Produced: the turn failed: Failed to initialize workflow of type 'disappears': no such function is exported by the workflow bundle.",
      ],
    ];
    for (const [type, message, prepare] of changes) {
      it(`${type}: DeterminismViolationError that names event and commands; the old code goes on as if nothing had been`, async () => {
        const handle = await runtime.start(type);
        await prepare?.(handle);
        const before = await handle.fetchHistory();
        const state = await handle.query('state');

        await runtime.reopen({ workflows: 'determinism-after' });
        const text = `Nondeterminism: replay of the turn ${message} ${BOTH}`;
        const broken = runtime.again(handle);
        // A query needs the state, and there is none.
        const error = await rejection(broken.query('state'));
        expect(error).to.be.instanceOf(QueryNotRegisteredError);
        expect(error.message).to.equal(text);
        // A signal is taken all the same, and waits.
        await broken.signal('step', 'kept');
        const { status, pendingTurn } = await broken.describe();
        expect(status.name).to.equal('RUNNING');
        expect(pendingTurn).to.include({ cause: 'NON_DETERMINISTIC_ERROR', message: text });
        // Nothing of what was there has changed.
        const { events } = await broken.fetchHistory();
        expect(events.slice(0, before.events.length)).to.deep.equal(before.events);

        await runtime.reopen({ workflows: 'determinism-before' });
        const mended = runtime.again(handle);
        await eventually(() => clock.pending.length > 0 && (clock.advance(200), true));
        await eventually(async () => ((await mended.query('state')) as string[]).includes('kept'));
        expect(await mended.query('state')).to.deep.equal([...(state as string[]), 'kept']);
        expect((await mended.describe()).pendingTurn).to.equal(undefined);
      });
    }

    it('change that gives the same commands: goes on with the new code', async () => {
      const handle = await runtime.start('remains');
      await runtime.reopen({ workflows: 'determinism-after' });
      clock.advance(10);
      await eventually(async () => (await eventTypes(runtime.again(handle))).includes('TimerFired'));
      expect(await runtime.again(handle).query('state')).to.deep.equal(['slept, says the new code']);
    });

    it('closed execution whose code changed: its result and its history are there, only queries fail', async () => {
      const handle = await runtime.start('waitsOn');
      await handle.signal('step', 'start');
      await handle.signal('step', 'end');
      await handle.result();
      await runtime.reopen({ workflows: 'determinism-after' });
      expect(await runtime.again(handle).result()).to.deep.equal(['start', 'end']);
      expect((await runtime.again(handle).describe()).status.name).to.equal('COMPLETED');
      expect((await rejection(runtime.again(handle).query('state'))).message).to.match(/^Nondeterminism/);
    });
  });
});
