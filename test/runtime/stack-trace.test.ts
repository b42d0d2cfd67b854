/** Stack trace queries (stack-trace.ts, stack-capture.ts): where an open execution waits, by the lines of its sources. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  type EnhancedStackTrace,
  enhancedStackTraceQuery,
  stackTraceQuery,
} from '../../actors/built-in-queries.js';
import { QueryNotRegisteredError, QueryRejectedError } from '../../runtime/client/index.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { eventually, fixture, type Handle, ManualClock, rejection, TestRuntime } from '../support/runtime.js';

const FILE = 'test/fixtures/workflows/stack-traces.ts';
const lines = readFileSync(fixture('stack-traces'), 'utf8').split('\n');

/** The line of the fixture that ends in this comment. */
function lineOf(comment: string): number {
  const line = 1 + lines.findIndex((text) => text.endsWith(`// ${comment}`));
  expect(line, comment).to.be.above(0);
  return line;
}

/** Each stack as the comments of its lines. */
function comments(trace: string): string[][] {
  if (trace === '') return [];
  return trace.split('\n\n').map((stack) =>
    stack.split('\n').map((frame) => {
      const [, line] = new RegExp(`^ {4}at .*${FILE}:(\\d+):\\d+\\)?$`).exec(frame) ?? [];
      expect(line, frame).to.be.a('string');
      return / \/\/ (.*)$/.exec(lines[Number(line) - 1]!)?.[1] ?? `line ${line}`;
    }),
  );
}

describe('stack traces', () => {
  const clock = new ManualClock();
  let test: TestRuntime;
  const activities = { work: () => new Promise<void>(() => undefined) };
  before(async () => {
    test = await TestRuntime.open({ workflows: 'stack-traces', clock, activities });
  });
  after(() => test.close());

  const trace = (handle: Handle) => handle.query(stackTraceQuery);
  async function waiting(how: string): Promise<Handle> {
    const handle = await test.start('waits', [how]);
    await handle.signal('go');
    return handle;
  }

  describe('places', () => {
    it('condition in the main function: its line, column and function', async () => {
      const handle = await test.start('waits', ['sleep']);
      const line = lineOf('first');
      const column = lines[line - 1]!.indexOf('condition') + 1;
      expect(await trace(handle)).to.equal(`    at waits (${FILE}:${line}:${column})`);
    });

    const CALLS = ['calls a method', 'calls inner'];
    const ways: Record<string, string[][]> = {
      sleep: [['sleep', ...CALLS]],
      returned: [['returned', ...CALLS]],
      condition: [['condition', ...CALLS]],
      activity: [['activity', ...CALLS]],
      trigger: [['trigger', ...CALLS]],
      chained: [['chained', ...CALLS]],
      scope: [['scope', 'calls the scope', ...CALLS]],
      loop: [['after the loop', ...CALLS]],
      forgotten: [
        ['for ever', ...CALLS],
        ['forgotten', ...CALLS],
      ],
      mutation: [['late in its line', ...CALLS]],
    };
    for (const [how, stacks] of Object.entries(ways)) {
      it(`${how}: the line that waits, and those that wait for it`, async () => {
        const handle = await waiting(how);
        if (how === 'loop')
          await eventually(() => {
            clock.advance(1);
            return trace(handle).then((text) => text.includes(`:${lineOf('after the loop')}:`));
          });
        expect(comments(await trace(handle))).to.deep.equal(stacks);
      });
    }

    it('several waits at once: a stack for each', async () => {
      const stacks = comments(await trace(await waiting('all'))).map(([first]) => first);
      expect(stacks).to.include.members(['one of all', 'sleep', 'activity']);
    });

    it('wait for a lock of a package: shows the line that takes it', async () => {
      const text = await trace(await waiting('mutex'));
      expect(text).to.include(`${FILE}:${lineOf('mutex')}:`);
      expect(text).to.not.include(`${FILE}:${lineOf('mutex') - 1}:`);
    });

    it('column: is that of the source, however much instrumented code stands before it', async () => {
      const line = lineOf('late in its line');
      const column = lines[line - 1]!.indexOf('sleep') + 1;
      expect(await trace(await waiting('mutation'))).to.include(`${FILE}:${line}:${column})`);
    });

    it('handlers of signals and updates: their waits too', async () => {
      const handle = await test.start('handles');
      await handle.signal('go');
      await handle.startUpdate('put', { args: [], waitForStage: 'ACCEPTED' });
      expect(comments(await trace(handle))).to.have.deep.members([
        ['in main'],
        ['in the handler'],
        ['in the update'],
      ]);
    });

    it('signal sent just before, unawaited: its effect is seen', async () => {
      const handle = await test.start('waits', ['sleep']);
      const sent = handle.signal('go');
      const stacks = comments(await trace(handle));
      expect(stacks[0]![0]).to.equal('sleep');
      await sent;
    });

    it('after a reopen: the same', async () => {
      const own = await TestRuntime.open({ workflows: 'stack-traces', clock, activities });
      const handle = await own.start('waits', ['scope']);
      await handle.signal('go');
      const before = await trace(handle);
      await own.crash();
      expect(await trace(own.again(handle))).to.equal(before);
      await own.close();
    });
  });

  describe('enhanced', () => {
    it('data: the frames of the text', async () => {
      const handle = await waiting('sleep');
      const { sdk, stacks, sources } = await handle.query(enhancedStackTraceQuery);
      const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
      expect(sdk).to.deep.equal({ name: 'typescript', version });
      expect(sources).to.deep.equal({});
      const shown = stacks.map(({ locations }) =>
        locations.map(({ file_path, line, function_name, internal_code }) => [
          file_path,
          line,
          function_name,
          internal_code,
        ]),
      );
      expect(shown).to.deep.equal([
        [
          [FILE, lineOf('sleep'), 'go', false],
          [FILE, lineOf('calls a method'), 'inner', false],
          [FILE, lineOf('calls inner'), 'waits', false],
        ],
      ]);
    });

    it('showStackTraceSources: the text of the files that the stacks name', async () => {
      const own = await TestRuntime.open({ workflows: 'stack-traces', clock, showStackTraceSources: true });
      const handle = await own.start('waits', ['sleep']);
      const { sources } = (await handle.query('__enhanced_stack_trace')) as EnhancedStackTrace;
      expect(sources).to.deep.equal({ [FILE]: [{ line_offset: 0, content: lines.join('\n') }] });
      await own.close();
    });
  });

  describe('executions', () => {
    it('closed: nothing waits any more', async () => {
      const handle = await test.start('ends');
      await handle.result();
      expect(await trace(handle)).to.equal('');
      expect((await handle.query(enhancedStackTraceQuery)).stacks).to.deep.equal([]);
    });

    it('terminated: refused as any query', async () => {
      const handle = await test.start('handles');
      await handle.terminate();
      expect(await rejection(trace(handle))).to.be.instanceOf(QueryRejectedError);
    });

    it('query right after the start, unawaited: waits for the first turn', async () => {
      const workflowId = test.newId();
      const started = test.client.start('handles', { workflowId, args: [] });
      expect(comments(await trace(test.client.getHandle(workflowId)))).to.deep.equal([['in main']]);
      await started;
    });

    it('looking: adds nothing to the history, changes no state, costs the execution nothing', async () => {
      const handle = await waiting('sleep');
      const before = await handle.fetchHistory();
      const { activations } = test.runtime.metrics();
      for (let i = 0; i < 3; i++) await trace(handle);
      expect(await handle.fetchHistory()).to.deep.equal(before);
      expect(test.runtime.metrics().activations).to.equal(activations);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
      expect(test.messages(handle.workflowId)).to.deep.equal(['Workflow started']);
    });

    it('replay that blocks its thread: the query fails, the execution is not blamed', async () => {
      const own = await TestRuntime.open({ workflows: 'stack-traces', limits: { turnMsMax: 100 } });
      const handle = await own.start('blocksWhenReplayed');
      await eventually(async () =>
        (await handle.fetchHistory()).events.some((event) => /TIMER_FIRED/.test(event.eventType)),
      );
      const error = await rejection(trace(handle));
      expect(error).to.be.instanceOf(QueryNotRegisteredError);
      expect(error.message).to.match(/blocked its thread for longer than 100 ms/);
      expect((await handle.describe()).pendingTurn).to.equal(undefined);
      await handle.terminate();
      await own.close();
    });

    it('turn that is not durable yet: not shown before it is (D4)', async () => {
      const store = openMemoryStore({ durability: 'commit' });
      let holding: Promise<void> | undefined;
      let release = (): void => undefined;
      let held = 0;
      const own = await TestRuntime.open({
        workflows: 'stack-traces',
        clock,
        store: {
          get: (key) => store.get(key),
          range: (from, to, options) => store.range(from, to, options),
          stats: () => store.stats(),
          close: () => store.close(),
          async write(ops) {
            held += holding === undefined ? 0 : 1;
            await holding;
            return store.write(ops);
          },
        },
      });
      const handle = await own.start('waits', ['sleep']);
      const quiet = await own.start('handles');
      holding = new Promise((resolve) => {
        release = resolve;
      });
      const sent = handle.signal('go');
      await eventually(() => held > 0);
      let answered = false;
      const text = trace(handle).finally(() => {
        answered = true;
      });
      // Another execution, whose turns are durable, is not held up.
      expect(comments(await trace(quiet))).to.deep.equal([['in main']]);
      expect(answered).to.equal(false);
      holding = undefined;
      release();
      await sent;
      expect(comments(await text)[0]![0]).to.equal('sleep');
      await own.close();
    });
  });
});
