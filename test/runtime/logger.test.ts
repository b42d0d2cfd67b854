/** The default logger (logger.ts), and what the runtime and its workflows log, as somebody sees it who looks at the process. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { ApplicationFailure, cancelled } from '../../runtime/activities/index.js';
import { DefaultLogger } from '../../runtime/logger.js';
import { repository } from '../support/repository.js';
import {
  eventually,
  fixture,
  type Handle,
  type LogLine,
  ManualClock,
  rejection,
  TestRuntime,
} from '../support/runtime.js';

const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[([A-Z]+)\] (.*?)(?: (\{"workflowId".*\}))?$/;

describe('default logger', () => {
  let stdout: string;
  let lines: { level: string; message: string; attributes: Record<string, unknown> }[];
  before(async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'signalbox-logger-'));
    try {
      const child = path.join(repository, 'dist', 'test', 'support', 'logging-child.js');
      const output = await promisify(execFile)(process.execPath, [child, fixture('logs'), folder]);
      stdout = output.stdout;
      lines = output.stderr
        .trimEnd()
        .split('\n')
        .map((line) => {
          const [, level, message, attributes = '{}'] = LINE.exec(line) ?? [];
          expect(level, line).to.be.a('string');
          return { level: level!, message: message!, attributes: JSON.parse(attributes) };
        });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('lines: go to standard error, from INFO on, each once also across a replay', () => {
    expect(lines.map(({ level, message }) => `${level} ${message}`)).to.deep.equal([
      'INFO at level info',
      'WARN at level warn',
      'ERROR at level error',
      'INFO on the console {"a":[1]}',
      'INFO before the reopen',
      'WARN asked',
      'INFO after the reopen',
    ]);
  });

  it('standard output: is left to the embedder', () => {
    expect(stdout).to.match(/^runId [0-9a-f-]{36}\n$/);
  });

  it('attributes: workflow id, run id and type, then those of the call', () => {
    const [, runId] = /^runId (.*)$/m.exec(stdout)!;
    const own = { workflowId: 'the workflow', runId, workflowType: 'logs' };
    for (const { message, attributes } of lines) {
      expect(attributes, message).to.deep.equal(/ the reopen$/.test(message) ? { ...own, said: '1n' } : own);
    }
  });
});

describe('what the runtime logs', () => {
  const clock = new ManualClock();
  let failing = true;
  const activities = {
    works: async () => 'done',
    throws: async () => {
      throw new Error('no connection', { cause: new Error('refused') });
    },
    worksInTheEnd: async () => {
      if (failing) throw new Error('not yet');
    },
    isBenign: async () => {
      throw ApplicationFailure.create({ message: 'as usual', category: 'BENIGN' });
    },
    hangs: () => new Promise(() => undefined),
    untilCancelled: () => cancelled(),
    aborts: async () => {
      // As fetch does, given the signal.
      await cancelled().catch(() => undefined);
      throw new DOMException('aborted', 'AbortError');
    },
  };
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({
      workflows: 'logs',
      activities,
      clock,
      limits: { turnRetryMsMin: 1_000, turnRetryMsMax: 4_000 },
    });
  });
  after(() => runtime.close());

  const linesOf = ({ workflowId }: Handle, message: string) =>
    runtime.logs.filter(
      (line) => line.attributes.workflowId === workflowId && line.message.startsWith(message),
    );
  const line = (handle: Handle, message: string) => eventually(() => linesOf(handle, message)[0]);
  const options = { startToCloseTimeout: '1 minute' };
  const once = { ...options, retry: { maximumAttempts: 1 } };

  describe('of activities', () => {
    it('attempt that fails: WARN with ids, error, causes, stack, and when it is tried again', async () => {
      failing = true;
      const handle = await runtime.start('calls', ['worksInTheEnd', options]);
      const { level, attributes } = await line(handle, 'Activity failed');
      expect(level).to.equal('WARN');
      const { stack, ...rest } = attributes;
      expect(rest).to.deep.equal({
        workflowId: handle.workflowId,
        runId: (await handle.describe()).runId,
        workflowType: 'calls',
        activityId: '1',
        activityType: 'worksInTheEnd',
        attempt: 1,
        error: 'not yet',
        willRetry: true,
        nextAttemptInMs: 1_000,
      });
      expect(stack).to.match(/^Error: not yet\n {4}at .*logger\.test/);
      expect(stack).to.not.match(/dist.runtime/);
      await eventually(() => clock.pending.includes(1_000));
      clock.advance(1_000);
      await eventually(() => linesOf(handle, 'Activity failed').length === 2);
      const [, { attributes: second }] = linesOf(handle, 'Activity failed') as [LogLine, LogLine];
      expect(second).to.include({ attempt: 2, nextAttemptInMs: 2_000 });
      failing = false;
      await eventually(() => clock.pending.includes(2_000));
      clock.advance(2_000);
      await handle.result();
      expect(linesOf(handle, 'Activity')).to.have.length(2);
    });

    it('activity that is not registered: WARN, each time', async () => {
      const handle = await runtime.start('calls', ['misspelt', options]);
      const { level, attributes } = await line(handle, 'Activity failed');
      expect(level).to.equal('WARN');
      expect(attributes).to.include({ activityType: 'misspelt', willRetry: true });
      expect(attributes.error).to.match(/^Activity function misspelt is not registered/);
      expect(attributes).to.not.have.property('stack');
      await handle.terminate();
    });

    it('last attempt: says that and why it is not tried again', async () => {
      const handle = await runtime.start('calls', ['throws', once]);
      await rejection(handle.result());
      expect((await line(handle, 'Activity failed')).attributes).to.include({
        willRetry: false,
        retryState: 'MAXIMUM_ATTEMPTS_REACHED',
      });
    });

    it('attempt that takes too long: WARN with the limit, without a stack', async () => {
      const handle = await runtime.start('calls', ['hangs', once]);
      await eventually(() => clock.pending.includes(60_000));
      clock.advance(60_000);
      const { level, attributes } = await line(handle, 'Activity failed');
      expect(level).to.equal('WARN');
      expect(attributes).to.include({ error: 'activity StartToClose timeout', willRetry: false });
      expect(attributes).to.not.have.property('stack');
    });

    it('benign failure: DEBUG', async () => {
      const handle = await runtime.start('calls', ['isBenign', once]);
      await rejection(handle.result());
      expect((await line(handle, 'Activity failed')).level).to.equal('DEBUG');
    });

    for (const type of ['untilCancelled', 'aborts'])
      it(`${type}, when it is cancelled: no failure, but a DEBUG line`, async () => {
        const handle = await runtime.start('cancels', [type]);
        await eventually(() => runtime.runtime.metrics().activitiesRunning > 0);
        await handle.signal('go');
        await handle.result();
        expect((await line(handle, 'Activity completed as cancelled')).level).to.equal('DEBUG');
        expect(linesOf(handle, 'Activity failed')).to.deep.equal([]);
      });

    it('attempt that succeeds: nothing', async () => {
      const handle = await runtime.start('calls', ['works', options]);
      await handle.result();
      expect(runtime.messages(handle.workflowId)).to.deep.equal(['Workflow started', 'Workflow completed']);
    });
  });

  describe('of workflows', () => {
    it('failure: WARN with the messages of all causes', async () => {
      const handle = await runtime.start('calls', ['throws', once]);
      await rejection(handle.result());
      const { level, attributes } = await line(handle, 'Workflow failed');
      expect(level).to.equal('WARN');
      expect(attributes).to.deep.include({
        error: 'Activity task failed',
        causes: ['no connection', 'refused'],
      });
    });

    it('benign failure: DEBUG', async () => {
      const handle = await runtime.start('fails', ['BENIGN']);
      await rejection(handle.result());
      expect((await line(handle, 'Workflow failed')).level).to.equal('DEBUG');
    });

    it('execution that takes too long: WARN', async () => {
      const handle = await runtime.start('waitsForEver', [], { workflowRunTimeout: '1 hour' });
      await handle.query('__stack_trace');
      clock.advance(3_600_000);
      await rejection(handle.result());
      const { level, attributes } = await line(handle, 'Workflow timed out');
      expect(level).to.equal('WARN');
      expect(attributes).to.include({ workflowType: 'waitsForEver', retryState: 'TIMEOUT' });
    });
  });

  describe('of turns that fail', () => {
    it('attempts 1, 2, 4, 8 ...: ERROR with stack and causes; those between: DEBUG', async () => {
      const handle = await runtime.start('stumbles');
      const seen = () => linesOf(handle, 'Turn failed, will be tried again: stumbled');
      for (let attempt = 1; attempt < 9; attempt++) {
        await eventually(() => seen().length === attempt);
        clock.advance(4_000);
      }
      await eventually(() => seen().length === 9);
      expect(seen().map(({ level }) => level)).to.deep.equal([
        ...['ERROR', 'ERROR', 'DEBUG', 'ERROR', 'DEBUG', 'DEBUG', 'DEBUG', 'ERROR', 'DEBUG'],
      ]);
      const { stack, ...rest } = seen()[1]!.attributes;
      expect(rest).to.deep.include({
        cause: 'WORKFLOW_WORKER_UNHANDLED_FAILURE',
        attempt: 2,
        nextAttemptInMs: 2_000,
        causes: ['a stone'],
      });
      expect(stack).to.match(/^Error: stumbled\n {4}at stumble /);
      await handle.terminate();
    });
  });

  describe('of errors and other things in attributes', () => {
    let handle: Handle;
    const attributes = async (message: string) =>
      (await line(handle, message)).attributes as Record<string, any>;
    before(async () => {
      handle = await runtime.start('logsErrors');
      await handle.result();
    });

    it('failure of an activity: arrives with its name, message, causes, stack and properties', async () => {
      const { orderId, err } = await attributes('activity failure');
      expect(orderId).to.equal('o1');
      expect(err).to.be.an.instanceOf(Error);
      expect(err).to.include({
        name: 'ActivityFailure',
        message: 'Activity task failed',
        activityType: 'throws',
        retryState: 'MAXIMUM_ATTEMPTS_REACHED',
      });
      expect(err.cause).to.include({ name: 'ApplicationFailure', message: 'no connection' });
      expect(err.cause.stack).to.match(/logger\.test/);
      expect(err.cause.cause).to.include({ message: 'refused' });
    });

    it('plain error: arrives as one, also as a nested value', async () => {
      const { err } = await attributes('plain error');
      expect(err).to.be.an.instanceOf(RangeError);
      expect(err).to.include({ message: 'too far' });
      expect(err.cause).to.include({ message: 'a way' });
      const { orderId, all } = await attributes('nested');
      expect(orderId).to.equal('o1');
      expect(all.err).to.include({ name: 'ActivityFailure' });
      expect(all.list[0]).to.equal(1);
      expect(all.list[1]).to.include({ message: 'in a list' });
    });

    it('what cannot be stored: a text that says so in its place; the rest arrives as it was', async () => {
      const told = (path: string) =>
        `[could not be stored: Cannot store ${path}: instances of Order cannot be stored, only plain objects and built-in data types]`;
      const { orderId, order, done, tags, nested, knot } = await attributes('with an instance');
      expect({ orderId, order, tags, nested }).to.deep.equal({
        orderId: 'o1',
        order: told('order'),
        tags: new Map([['a', 1]]),
        nested: { order: told('order'), n: 1 },
      });
      expect(done).to.equal('[could not be stored: Cannot store done: functions cannot be stored]');
      expect(knot).to.match(/^\[could not be stored: .*instances of Order/);
      const { err } = await attributes('error with an instance');
      expect(err).to.include({ message: 'late', n: 1, order: told('err.order') });
      expect(await attributes('with a getter')).to.include({
        orderId: 'o1',
      });
    });
  });
});

describe('stacks of workflow code', () => {
  const clock = new ManualClock();
  let runtime: TestRuntime;
  let sources: string[];
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'logs', clock });
    sources = (await readFile(fixture('logs'), 'utf8')).split('\n');
  });
  after(() => runtime.close());

  /** `name (test/fixtures/workflows/logs.ts:line` of the line that ends with the comment. */
  const at = (name: string, comment: string) =>
    `${name} (test/fixtures/workflows/logs.ts:${sources.findIndex((line) => line.endsWith(`// ${comment}`)) + 1}`;
  /** Frames without their columns. */
  const framesOf = (stack: unknown) =>
    [...String(stack).matchAll(/^ {4}at (.*):\d+\)$/gm)].map(([, frame]) => frame);
  const linesIn = (stack: unknown) => String(stack).split('\n').length;
  async function begun(how: string): Promise<Handle> {
    const handle = await runtime.start('failsDeep', [how]);
    await handle.query('__stack_trace');
    clock.advance(1);
    return handle;
  }
  const deep = () => [at('deepFail', 'deep'), at('async failsDeep', 'calls')];

  it('failure: by the places of the sources, and no others, for the caller, in the history and in the log', async () => {
    const handle = await begun('failure');
    const { cause } = (await rejection(handle.result())) as Error;
    const { events } = await handle.fetchHistory();
    const failed: any = events.at(-1);
    const line = runtime.logs.find(({ message }) => message === 'Workflow failed')!;
    const { failure } = failed.workflowExecutionFailedEventAttributes;
    for (const stack of [(cause as Error).stack, failure.stackTrace, line.attributes.stack]) {
      expect(framesOf(stack)).to.deep.equal(deep());
      expect(linesIn(stack)).to.equal(3);
    }
  });

  it('columns: are those of the sources too, also behind instrumented code', async () => {
    const handle = await begun('failure');
    const { cause } = (await rejection(handle.result())) as { cause: Error };
    const text = sources.find((line) => line.endsWith('// deep'))!;
    expect(cause.stack).to.include(`:${text.indexOf('create(') + 1})`);
  });

  it('turn that fails: the same in its history event, with the cause, and in the log', async () => {
    const handle = await begun('turn');
    const line = await eventually(() =>
      runtime.logs.find(({ message }) => message === 'Turn failed, will be tried again: a turn'),
    );
    expect(framesOf(line.attributes.stack)).to.deep.equal([at('failsDeep', 'throws')]);
    const { events } = await handle.fetchHistory();
    const failed: any = events.find(({ eventType }) => eventType.endsWith('WORKFLOW_TASK_FAILED'));
    const { failure } = failed.workflowTaskFailedEventAttributes;
    expect(failure.stackTrace).to.equal(line.attributes.stack);
    expect(framesOf(failure.cause.stackTrace)).to.deep.equal(deep());
    await handle.terminate();
  });

  it('errors that a workflow logs, or writes to the console: the same', async () => {
    const handle = await begun('log');
    await handle.result();
    const [printed] = runtime.logs.filter(({ message }) => message.startsWith('ApplicationFailure: deep'));
    expect(framesOf(printed?.message)).to.deep.equal(deep());
    const { error, nested } = runtime.logs.find(({ message }) => message === 'caught')!.attributes as any;
    expect(framesOf(error.stack)).to.deep.equal(deep());
    expect(framesOf(nested.error.stack)).to.deep.equal(deep());
  });
});

describe('default logger: attributes', () => {
  const circular: Record<string, unknown> = { a: 1 };
  circular.self = circular;
  const throwing = {
    get thing() {
      throw new Error('not now');
    },
  };
  class Order {
    readonly id = 1;
  }
  const cases: [name: string, attributes: Record<string, unknown>, printed: string | RegExp][] = [
    ['plain', { id: 'w', n: 1, list: [1, null], none: undefined }, '{"id":"w","n":1,"list":[1,null]}'],
    ['bigint', { id: 'w', n: 1n }, '{"id":"w","n":"1n"}'],
    ['date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    [
      'error',
      { id: 'w', e: new Error('in act') },
      /^\{"id":"w","e":"Error: in act\\n {4}at .*logger\.test.*"\}$/,
    ],
    [
      'error in an object, with a cause',
      { e: { e: new TypeError('outer', { cause: new Error('inner') }) } },
      /TypeError: outer.*\[cause\]: Error: inner/,
    ],
    ['Map', { m: new Map([['a', 1]]), id: 'w' }, `{"m":"Map(1) { 'a' => 1 }","id":"w"}`],
    ['Set', { s: new Set([1]) }, '{"s":"Set(1) { 1 }"}'],
    ['bytes', { b: Uint8Array.of(1, 2) }, '{"b":"Uint8Array(2) [ 1, 2 ]"}'],
    ['instance', { o: new Order() }, '{"o":{"id":1}}'],
    ['function', { f: Math.max }, '{"f":"[Function: max]"}'],
    [
      'circular',
      { id: 'w', c: circular, n: 1 },
      '{"id":"w","c":"<ref *1> { a: 1, self: [Circular *1] }","n":1}',
    ],
    ['getter that throws', { id: 'w', t: throwing }, /^\{"id":"w","t":".*"\}$/],
    ['throws itself', throwing, '{"thing":"[could not be shown: Error: not now]"}'],
  ];
  for (const [name, attributes, printed] of cases)
    it(`${name}: is printed`, () => {
      const { write } = process.stderr;
      let text = '';
      process.stderr.write = (chunk) => (text += chunk) !== '';
      try {
        new DefaultLogger().log('INFO', 'message', attributes);
      } finally {
        process.stderr.write = write;
      }
      const rest = text.replace(/^\S+ \[INFO\] message /, '');
      expect(rest).to.match(/^[^\n]*\n$/);
      if (typeof printed === 'string') expect(rest).to.equal(`${printed}\n`);
      else expect(rest.trimEnd()).to.match(printed);
    });
});
