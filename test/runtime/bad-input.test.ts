/** Whatever is wrong with what it is given, the runtime says so in a typed error, and nothing is lost or stuck. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import {
  GrpcStatus,
  PayloadEncodeError,
  PayloadTooLargeError,
  QueryNotRegisteredError,
  QueryRejectedError,
  RpcError,
  ServiceError,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '../../runtime/client/index.js';
import {
  ConfigurationError,
  Runtime,
  type RuntimeOptions,
  StoreFormatError,
  StoreLockedError,
  StoreUnreadableError,
  WorkflowBundleError,
} from '../../runtime/index.js';
import { openLmdbStore } from '../../runtime/store/lmdb.js';
import { noUnhandledRejections } from '../support/faulty.js';
import { eventually, fixture, type Handle, rejection, TestRuntime } from '../support/runtime.js';
import { temporaryFolders } from '../support/store-folder.js';
import { children } from '../support/store-process.js';

type ErrorClass = abstract new (...args: any[]) => Error;

/** A gRPC error inside a ServiceError. */
async function serviceError(call: Promise<unknown>, code: GrpcStatus, text: RegExp): Promise<void> {
  const error = await rejection(call);
  expect(error).to.be.instanceOf(ServiceError);
  expect(error.cause).to.be.instanceOf(RpcError).with.property('code', code);
  expect(error.message).to.match(text);
}

const quiet = { log: () => undefined };
const workflowsPath = fixture('../bad/collector');

describe('bad input', () => {
  noUnhandledRejections();

  describe('the store folder', () => {
    const folder = temporaryFolders();
    const child = children();
    const open = (where: string) => Runtime.open({ path: where, workflowsPath, threads: 1, logger: quiet });

    it('open in this process: StoreLockedError with the process id; the first goes on, and once it is closed the folder is free', async () => {
      const where = folder();
      const first = await open(where);
      const error = await rejection(open(where));
      expect(error).to.be.instanceOf(StoreLockedError).with.property('pid', process.pid);
      expect(error.message).to.match(
        /already open in this process .* close that runtime, or open another folder/,
      );
      const handle = await first.client.workflow.start('collector', { workflowId: 'id', args: [1] });
      expect(await handle.query('list')).to.deep.equal([1]);
      await first.close();
      await (await open(where)).close();
    });

    it('open in another process: StoreLockedError with its process id; free when that process is killed', async () => {
      const where = folder();
      const holder = child(['hold', where]);
      await holder.heard(2);
      const error = await rejection(open(where));
      expect(error).to.be.instanceOf(StoreLockedError).with.property('pid', holder.process.pid);
      await holder.kill();
      await (await open(where)).close();
    });

    it('absent, and its parents too: made', async () => {
      await (await open(path.join(folder(), 'a', 'b', 'c'))).close();
    });

    it('a file, or below a file: StoreUnreadableError', async () => {
      const file = path.join(folder(), 'file');
      writeFileSync(file, 'text');
      for (const where of [file, path.join(file, 'below')]) {
        const error = await rejection(open(where));
        expect(error).to.be.instanceOf(StoreUnreadableError);
        expect(error.message).to.match(/it, or a part of its path, is a file/);
      }
    });

    it('of another program: StoreFormatError, nothing touched', async () => {
      const where = folder();
      writeFileSync(path.join(where, 'letter.doc'), 'Dear ...');
      const error = await rejection(open(where));
      expect(error).to.be.instanceOf(StoreFormatError);
      expect(error.message).to.match(/does not hold a Signalbox store .*letter\.doc/);
    });

    it('of a newer version: StoreFormatError with both numbers', async () => {
      const where = folder();
      await (await openLmdbStore({ path: where, durability: 'flush', format: 999 })).close();
      const error = await rejection(open(where));
      expect(error).to.be.instanceOf(StoreFormatError).with.property('found', 999);
      expect(error.message).to.match(/has format 999; this version of Signalbox knows formats up to \d/);
    });

    it('a data file that is damaged: StoreUnreadableError', async () => {
      const where = folder();
      writeFileSync(path.join(where, 'data.mdb'), Buffer.alloc(8_192, 7));
      expect(await rejection(open(where))).to.be.instanceOf(StoreUnreadableError);
    });
  });

  describe('the workflows module', () => {
    const folders: string[] = [];
    afterEach(() => {
      for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
    });

    function moduleOf(text: string): string {
      const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-bad-'));
      folders.push(folder);
      const file = path.join(folder, 'workflows.ts');
      writeFileSync(file, text);
      return file;
    }

    const ROWS: [string, string, RegExp][] = [
      [
        'does not compile',
        'export async function a() {\n  const = 5;\n}',
        /workflows\.ts:2:9: Expected identifier/,
      ],
      ['exports nothing', 'const a = 1;\nvoid a;', /exports no workflow functions/],
      ['exports only what is no function', 'export const a = 1;', /exports no workflow functions/],
      [
        'throws while it is evaluated',
        'export async function a() {}\n\nthrow new TypeError("at once");',
        /evaluating it failed: TypeError: at once \(.*workflows\.ts:3\)/,
      ],
      [
        'throws what is no error',
        'export async function a() {}\nthrow "text";',
        /evaluating it failed: text/,
      ],
      [
        'blocks while it is evaluated',
        'export async function a() {}\nfor (;;);',
        /evaluating it took longer than 400 ms \(limits\.turnMsMax\)/,
      ],
      [
        'imports a built-in module',
        '\nimport { readFileSync } from "node:fs";\nexport async function a() { readFileSync("x"); }',
        /workflows\.ts:2:30: workflow code cannot import 'node:fs', a built-in module of Node: call it from an activity/,
      ],
      [
        'calls for activities with an option that there is not',
        'import { proxyActivities } from "signalbox/workflow";\nproxyActivities({ startToCloseTimeout: 5, retries: 3 });\nexport async function a() {}',
        /evaluating it failed: TypeError: ActivityOptions has no option called 'retries'\. The options are: .*retry.* \(.*workflows\.ts:2\)/,
      ],
      [
        'imports what is not there',
        'import "./nowhere.js";\nexport async function a() {}',
        /workflows\.ts:1:8: .*nowhere/,
      ],
    ];
    for (const [name, text, message] of ROWS) {
      it(`${name}: WorkflowBundleError that names the place`, async () => {
        const error = await rejection(
          Runtime.open({ workflowsPath: moduleOf(text), threads: 1, limits: { turnMsMax: 400 } }),
        );
        expect(error).to.be.instanceOf(WorkflowBundleError);
        expect(error.message).to.match(message);
      });
    }

    it('is missing: WorkflowBundleError, and the store folder is neither made nor locked', async () => {
      const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-bad-'));
      folders.push(folder);
      const where = path.join(folder, 'store');
      const error = await rejection(
        Runtime.open({ path: where, workflowsPath: path.join(folder, 'nowhere.ts') }),
      );
      expect(error).to.be.instanceOf(WorkflowBundleError);
      expect(error.message).to.match(/nowhere\.ts': there is no such file/);
      expect(() => mkdirSync(where)).to.not.throw();
    });

    it('fails when it is evaluated: the store folder is free again', async () => {
      const where = path.join(mkdtempSync(path.join(tmpdir(), 'signalbox-bad-')), 'store');
      folders.push(path.dirname(where));
      await rejection(
        Runtime.open({
          path: where,
          workflowsPath: moduleOf('export async function a() {}\nthrow 1;'),
          threads: 1,
        }),
      );
      await (await Runtime.open({ path: where, workflowsPath, threads: 1 })).close();
    });

    it('none given: opens, and a start says so', async () => {
      const runtime = await Runtime.open({ threads: 1 });
      await serviceError(
        runtime.client.workflow.start('any', { workflowId: 'id' }),
        GrpcStatus.INVALID_ARGUMENT,
        /Workflow type 'any' is not registered.*none: Runtime\.open was given no workflowsPath/,
      );
      await runtime.close();
    });
  });

  describe('options', () => {
    class Cashier {
      readonly till = [];
      pay(): string {
        return 'paid';
      }
    }
    class HeadCashier extends Cashier {
      readonly name = 'head';
    }
    const ROWS: [string, unknown, RegExp][] = [
      ['no object', 5, /takes an object/],
      [
        'an option that there is not',
        { dataDir: '/somewhere' },
        /has no option called 'dataDir'\. The options are: path, workflowsPath/,
      ],
      ['durability without a path', { durability: 'flush' }, /durability 'flush' needs a path/],
      ['threads: 0', { threads: 0 }, /threads must be a whole number of at least 1, got 0/],
      ['threads: 1.5', { threads: 1.5 }, /got 1\.5/],
      ['threads: text', { threads: '2' }, /got 2/],
      [
        'an unknown durability',
        { durability: 'none' },
        /durability must be one of flush, commit, memory, got 'none'/,
      ],
      ['an empty path', { path: '' }, /path must be the name of a folder/],
      ['a path that is undefined', { path: undefined }, /path is undefined.*leave path out/],
      ['a path that is no text', { path: 5 }, /path must be the name of a folder/],
      ['activities that are no object', { activities: 5 }, /activities must be an object of functions/],
      ['activities: null', { activities: null }, /activities must be an object of functions/],
      ['activities that are a list', { activities: [() => 1] }, /must be an object of functions, got array/],
      [
        'activities that are a promise',
        { activities: Promise.resolve({ pay: () => 1 }) },
        /got a promise: await it first/,
      ],
      [
        'activities without a function',
        { activities: { pay: 1, ship: 'x' } },
        /this one has none: pay, ship/,
      ],
      [
        'activities that are methods of a class',
        { activities: new Cashier() },
        /on its class, as pay is: those are not registered\..* \{ pay: \(\.\.\.args\) => instance\.pay\(\.\.\.args\) \}/,
      ],
      [
        'activities that are methods of a class that it extends',
        { activities: new HeadCashier() },
        /on its class, as pay is/,
      ],
      [
        'a workflows path that is no text',
        { workflowsPath: 5 },
        /workflowsPath must be the path of a module or its file: URL, got number/,
      ],
      [
        'an empty activities path',
        { activitiesPath: '' },
        /activitiesPath must be the path of a module or its file: URL, got ''/,
      ],
      ['activitiesPath: null', { activitiesPath: null }, /activitiesPath must be .*, got null/],
      [
        'an activities path that is an address',
        { activitiesPath: new URL('http://localhost/activities.ts') },
        /activitiesPath must be .*, got http:\/\/localhost\/activities\.ts/,
      ],
      [
        'a logger with a method per level',
        { logger: { info: () => undefined, error: () => undefined } },
        /logger must have a method log\(level, message, attributes\)/,
      ],
      ['a logger that is a function', { logger: () => undefined }, /logger must have a method log\(/],
      ['an unknown limit', { limits: { turnMs: 5 } }, /no limit called 'turnMs'/],
      ['a limit of 0', { limits: { turnMsMax: 0 } }, /limits\.turnMsMax must be a positive number/],
      [
        'a heap in which no thread can start',
        { limits: { heapBytesPerThreadHard: 1_000_000 } },
        /heapBytesPerThreadHard must be at least/,
      ],
      ['an empty namespace', { namespace: '' }, /namespace must be a text that is not empty/],
      ['a namespace that is no text', { namespace: 5 }, /namespace must be a text/],
      ['a namespace with NUL', { namespace: 'a\0b' }, /namespace must not have the character NUL/],
      [
        'a namespace longer than a key',
        { namespace: 'n'.repeat(2_000) },
        /namespace must have at most 900 bytes/,
      ],
      ['an empty task queue', { taskQueue: '' }, /taskQueue must be a text that is not empty/],
    ];
    for (const [name, options, message] of ROWS) {
      it(`${name}: ConfigurationError`, async () => {
        const error = await rejection(Runtime.open(options as RuntimeOptions));
        expect(error).to.be.instanceOf(ConfigurationError);
        expect(error.message).to.match(message);
      });
    }

    const modules: string[] = [];
    afterEach(() => {
      for (const folder of modules.splice(0)) rmSync(folder, { recursive: true, force: true });
    });

    function activitiesModule(text: string): string {
      const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-bad-'));
      modules.push(folder);
      const file = path.join(folder, 'activities.ts');
      writeFileSync(file, text);
      return file;
    }

    const ACTIVITIES: [string, () => string, RegExp][] = [
      [
        'is missing',
        () => '/nowhere/at-all.ts',
        /^Cannot bundle the activities of '\/nowhere\/at-all\.ts': there is no such file/,
      ],
      [
        'does not compile',
        () => activitiesModule('export function a() {\n  const = 5;\n}'),
        /^Cannot bundle the activities of '.*': \S*activities\.ts:2:9: Expected identifier/,
      ],
      [
        'throws while it is evaluated',
        () => activitiesModule('export function a() {}\nthrow new TypeError("at once");'),
        /^Cannot bundle the activities of '.*': evaluating it failed: TypeError: at once/,
      ],
      [
        'exports no function',
        () => activitiesModule('export const a = 1;'),
        /^Cannot bundle the activities of '.*': exports no activity functions/,
      ],
      [
        'is a URL of another machine',
        () => 'file://elsewhere/activities.ts',
        /^Cannot bundle the activities of 'file:\/\/elsewhere\/activities\.ts': File URL host/,
      ],
    ];
    for (const [name, file, message] of ACTIVITIES) {
      it(`an activities module that ${name}: WorkflowBundleError that says so once, and nothing stays open`, async () => {
        const activitiesPath = file();
        const error = await rejection(Runtime.open({ workflowsPath, activitiesPath, threads: 1 }));
        expect(error).to.be.instanceOf(WorkflowBundleError).with.property('workflowsPath', activitiesPath);
        expect(error.message).to.match(message);
        expect(error.message.split(activitiesPath)).to.have.length(2);
      });
    }

    it('one name in activities and in the module of activitiesPath: ConfigurationError that names it', async () => {
      const activitiesPath = activitiesModule('export function pay() {}\nexport function ship() {}');
      const activities = { bill: () => 1, ship: () => 2 };
      const error = await rejection(Runtime.open({ activities, activitiesPath, threads: 1 }));
      expect(error).to.be.instanceOf(ConfigurationError);
      expect(error.message).to.match(/both have an activity called 'ship'/);
    });

    it('activities with values that are no functions, or none at all: opened', async () => {
      for (const activities of [{ pay: () => 1, retries: 3 }, {}, Object.create(null)])
        await (await Runtime.open({ activities, threads: 1 })).close();
    });

    it('a logger that throws: has no effect on anything else', async () => {
      const log = () => {
        throw new Error('from the logger');
      };
      const runtime = await Runtime.open({ workflowsPath, threads: 1, logger: { log } });
      const handle = await runtime.client.workflow.start('collector', { workflowId: 'id' });
      await handle.signal('failUntil', Date.now() + 1e9);
      await handle.signal('add', 1);
      await handle.terminate();
      await runtime.close();
    });
  });

  describe('calls', () => {
    let test: TestRuntime;
    let handle: Handle;
    before(async () => {
      test = await TestRuntime.open({ workflows: '../bad/collector' });
    });
    beforeEach(async () => {
      handle = await test.start('collector');
    });
    after(() => test.close());

    const refused = async (
      call: () => Promise<unknown>,
      type: ErrorClass,
      message: RegExp,
    ): Promise<void> => {
      const error = await rejection(Promise.resolve().then(call));
      expect(error, error.stack).to.be.instanceOf(type);
      expect(error.message).to.match(message);
    };

    it('an unknown workflow type: refused, the types are listed, the id stays free', async () => {
      await serviceError(
        test.client.start('colector', { workflowId: 'typo' }),
        GrpcStatus.INVALID_ARGUMENT,
        /Workflow type 'colector' is not registered\. Registered workflow types: .*collector/,
      );
      await refused(
        () => test.client.getHandle('typo').describe(),
        WorkflowNotFoundError,
        /workflow not found for ID: typo/,
      );
    });

    it('an unknown signal: kept, it is no error', async () => {
      await handle.signal('nobody', 1);
      expect((await handle.describe()).status.name).to.equal('RUNNING');
    });

    it('an unknown query: QueryNotRegisteredError that lists those there are', () =>
      refused(
        () => handle.query('nobody'),
        QueryNotRegisteredError,
        /did not register a handler for nobody\. Registered queries: \[.*list\]/,
      ));

    it('an unknown update: rejected, without a trace in the history', async () => {
      await refused(
        () => handle.executeUpdate('nobody'),
        WorkflowUpdateFailedError,
        /Workflow Update failed/,
      );
      expect((await handle.fetchHistory()).events).to.have.length(4);
    });

    it('an absent execution, run or chain: WorkflowNotFoundError for every call', async () => {
      const handles = [
        test.client.getHandle('nowhere'),
        test.client.getHandle(handle.workflowId, 'no-such-run'),
        test.client.getHandle(handle.workflowId, undefined, { firstExecutionRunId: 'no-such-run' }),
      ];
      for (const [i, absent] of handles.entries()) {
        const calls = [
          () => absent.terminate(),
          () => absent.cancel(),
          () => absent.executeUpdate('put', { args: [1] }),
          () => absent.getUpdateHandle('u').result(),
        ];
        if (i < 2)
          calls.push(
            () => absent.signal('add', 1),
            () => absent.query('list'),
            () => absent.describe(),
            () => absent.fetchHistory(),
            () => absent.result(),
          );
        for (const call of calls) await refused(call, WorkflowNotFoundError, /not found/);
      }
    });

    it('a closed execution: what would change it is refused, what only looks is answered', async () => {
      await handle.signal('finish');
      await handle.result();
      for (const call of [
        () => handle.signal('add', 1),
        () => handle.terminate(),
        () => handle.cancel(),
        () => handle.executeUpdate('put', { args: [1] }),
      ]) {
        await refused(call, WorkflowNotFoundError, /workflow execution already completed/);
      }
      expect(await handle.query('list')).to.deep.equal([]);
      expect((await handle.describe()).status.name).to.equal('COMPLETED');
    });

    it('a terminated execution: a query is rejected', async () => {
      await handle.terminate();
      await refused(() => handle.query('list'), QueryRejectedError, /Query rejected/);
    });

    it('an id in use: WorkflowExecutionAlreadyStartedError, also while the first start is on its way', async () => {
      const starts = await Promise.allSettled(
        [1, 2, 3].map((n) => test.client.start('collector', { workflowId: 'same', args: [n] })),
      );
      expect(starts.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'rejected']);
      for (const start of starts.slice(1))
        expect(start).to.have.property('reason').that.is.instanceOf(WorkflowExecutionAlreadyStartedError);
      expect(await test.client.getHandle('same').query('list')).to.deep.equal([1]);
    });

    class Point {
      x = 1;
    }
    const UNSTORABLE: [string, unknown, RegExp][] = [
      [
        'a function',
        { users: [{ onClick: () => 1 }] },
        /arguments of signal add\[0\]\.users\[0\]\.onClick: functions cannot be stored/,
      ],
      [
        'a symbol',
        new Map([['me', Symbol('x')]]),
        /arguments of signal add\[0\]\.get\("me"\): symbols cannot be stored/,
      ],
      [
        'an instance',
        [new Point()],
        /arguments of signal add\[0\]\[0\]: instances of Point cannot be stored/,
      ],
    ];
    for (const [name, value, message] of UNSTORABLE) {
      it(`an argument with ${name}: PayloadEncodeError that names the path, for every kind of call`, async () => {
        await refused(() => handle.signal('add', value), PayloadEncodeError, message);
        await refused(
          () => handle.query('list', value as never),
          PayloadEncodeError,
          /arguments of query list\[0\]/,
        );
        await refused(
          () => handle.executeUpdate('put', { args: [value] as [never] }),
          PayloadEncodeError,
          /arguments of update put\[0\]/,
        );
        await refused(
          () => test.client.start('collector', { workflowId: 'unstorable', args: [value] }),
          PayloadEncodeError,
          /arguments of workflow collector\[0\]/,
        );
        expect(await handle.query('list')).to.deep.equal([]);
      });
    }

    it('arguments that are too large: PayloadTooLargeError with both sizes, for every kind of call', async () => {
      const large = 'x'.repeat(3_000_000);
      const message =
        /it needs (more than )?\d+ bytes and the limit is 2097152 bytes \(limits.payloadBytesMax\)/;
      await refused(() => handle.signal('add', large), PayloadTooLargeError, message);
      await refused(() => handle.query('list', large as never), PayloadTooLargeError, message);
      await refused(
        () => handle.executeUpdate('put', { args: [large] as unknown as [number] }),
        PayloadTooLargeError,
        message,
      );
      await refused(
        () => test.client.start('collector', { workflowId: 'large', args: [large] }),
        PayloadTooLargeError,
        message,
      );
      expect(await handle.query('list')).to.deep.equal([]);
    });

    const tooLong = 'x'.repeat(1_001);
    const IDENTIFIERS: [string, (id: any) => Promise<unknown>][] = [
      ['workflow id', (id) => test.client.start('collector', { workflowId: id })],
      ['workflow type', (id) => test.client.start(id, { workflowId: 'id' })],
      ['signal name', (id) => handle.signal(id)],
      ['query name', (id) => handle.query(id)],
      ['update name', (id) => handle.executeUpdate(id)],
      ['update id', (id) => handle.executeUpdate('put', { updateId: id, args: [1] })],
      ['request id', (id) => handle.signalWithOptions('add', { requestId: id })],
    ];
    for (const [name, call] of IDENTIFIERS) {
      it(`a ${name} that is too long or no text: TypeError, and nothing was done`, async () => {
        await refused(
          () => call(tooLong),
          TypeError,
          /is too long: 1001 bytes, the limit is 1000 \(limits\.identifierBytesMax\)/,
        );
        await refused(() => call('ü'.repeat(501)), TypeError, /is too long: 1002 bytes/);
        await refused(() => call(5), TypeError, /string|definition|function/i);
        if (/name|workflow id/.test(name)) await refused(() => call(''), TypeError, /./);
        expect(await handle.query('list')).to.deep.equal([]);
      });
    }

    it('an identifier as long as it may be: taken, also by the store', async () => {
      const longest = 'ü'.repeat(500);
      const own = await TestRuntime.open({ workflows: '../bad/collector', namespace: 'n'.repeat(900) });
      const long = await own.client.start('collector', { workflowId: longest });
      await long.executeUpdate('put', { args: [1], updateId: longest });
      await long.signalWithOptions('add', { args: [2], requestId: longest });
      await own.reopen();
      expect(await own.client.getHandle(longest).query('list')).to.deep.equal([1, 2]);
      expect(
        await own.client.getHandle(longest).signalWithOptions('add', { args: [2], requestId: longest }),
      ).to.deep.equal({ duplicate: true });
      await own.close();
    });

    it('options that make no sense: TypeError', async () => {
      const start = (options: object) => () => test.client.start('collector', options as never);
      await refused(start({}), TypeError, /workflowId/);
      await refused(
        () => test.client.start('collector', undefined as never),
        TypeError,
        /WorkflowOptions|undefined/,
      );
      await refused(start({ workflowId: 'bad', args: 5 }), TypeError, /args must be an array/);
      await refused(
        start({ workflowId: 'bad', workflowIdConflictPolicy: 'MAYBE' }),
        TypeError,
        /workflowIdConflictPolicy must be one of/,
      );
      await refused(start({ workflowId: 'bad', workflowRunTimeout: 'soon' }), TypeError, /duration/i);
      await refused(
        start({ workflowId: 'bad', workflowRunTimeout: -1 }),
        TypeError,
        /workflowRunTimeout must not be negative, got -1/,
      );
      await refused(start({ workflowId: 'bad', retry: 5 }), TypeError, /RetryPolicy must be an object/);
      await refused(
        start({ workflowId: 'bad', retry: { nonRetryableErrorTypes: 'Refused' } }),
        TypeError,
        /RetryPolicy\.nonRetryableErrorTypes must be an array, got string/,
      );
      await refused(() => test.client.getHandle('bad').describe(), WorkflowNotFoundError, /not found/);
    });

    // As code in JavaScript makes these calls, without a compiler.
    const client = () => test.client as any;
    const own = () => handle as any;
    const start = (options: object) => client().start('collector', { workflowId: 'nothing', ...options });
    const signalWithStart = (options: object) =>
      client().signalWithStart('collector', { workflowId: 'nothing', signal: 'add', ...options });
    const operation = (options: object = {}) =>
      new WithStartWorkflowOperation('collector', {
        workflowId: 'nothing',
        workflowIdConflictPolicy: 'FAIL',
        ...options,
      });
    const executeUpdateWithStart = (options: object, startOptions?: object) =>
      client().executeUpdateWithStart('put', {
        startWorkflowOperation: operation(startOptions),
        ...options,
      });

    const LISTS: [string, (args: unknown) => Promise<unknown>, RegExp][] = [
      ['start', (args) => start({ args }), /^WorkflowOptions\.args must be an array/],
      [
        'execute',
        (args) => client().execute('collector', { workflowId: 'nothing', args }),
        /^WorkflowOptions\.args must be an array/,
      ],
      ['signalWithStart', (args) => signalWithStart({ args }), /^WorkflowOptions\.args must be an array/],
      [
        'signalWithStart, of the signal',
        (signalArgs) => signalWithStart({ signalArgs }),
        /^WorkflowOptions\.signalArgs must be an array/,
      ],
      [
        'executeUpdateWithStart',
        (args) => executeUpdateWithStart({ args }),
        /^WorkflowUpdateOptions\.args must be an array/,
      ],
      [
        'executeUpdateWithStart, of the workflow',
        (args) => executeUpdateWithStart({ args: [1] }, { args }),
        /^WorkflowOptions\.args must be an array/,
      ],
      [
        'signalWithOptions',
        (args) => own().signalWithOptions('add', { args }),
        /^SignalOptions\.args must be an array/,
      ],
      [
        'executeUpdate',
        (args) => own().executeUpdate('put', { args }),
        /^WorkflowUpdateOptions\.args must be an array/,
      ],
      [
        'startUpdate',
        (args) => own().startUpdate('put', { args, waitForStage: 'ACCEPTED' }),
        /^WorkflowUpdateOptions\.args must be an array/,
      ],
    ];

    const NO_OBJECTS: [string, (options: unknown) => unknown, RegExp][] = [
      ['start', (options) => client().start('collector', options), /WorkflowOptions must be an object/],
      [
        'signalWithStart',
        (options) => client().signalWithStart('collector', options),
        /WorkflowOptions must be an object/,
      ],
      [
        'executeUpdateWithStart',
        (options) => client().executeUpdateWithStart('put', options),
        /startWorkflowOperation must be a WithStartWorkflowOperation/,
      ],
      [
        'signalWithOptions',
        (options) => own().signalWithOptions('add', options),
        /SignalOptions must be an object/,
      ],
      [
        'executeUpdate',
        (options) => own().executeUpdate('put', options),
        /WorkflowUpdateOptions must be an object/,
      ],
      [
        'startUpdate',
        (options) => own().startUpdate('put', options),
        /WorkflowUpdateOptions must be an object/,
      ],
      [
        'getUpdateHandle',
        (options) => own().getUpdateHandle('id', options),
        /GetWorkflowUpdateHandleOptions must be an object/,
      ],
      [
        'getHandle',
        (options) => client().getHandle('id', undefined, options),
        /GetWorkflowHandleOptions must be an object/,
      ],
      [
        'result',
        (options) => client().result('id', undefined, options),
        /GetWorkflowHandleOptions must be an object/,
      ],
      ['withOptions', (options) => client().withOptions(options), /WorkflowClientOptions must be an object/],
    ];

    const MISSPELT: [string, () => unknown, RegExp][] = [
      ['start', () => start({ arg: [1] }), /^WorkflowOptions has no option called 'arg'/],
      [
        'execute',
        () => client().execute('collector', { workflowId: 'nothing', workflowRunTimout: 5 }),
        /^WorkflowOptions has no option called 'workflowRunTimout'\. The options are: .*workflowRunTimeout/,
      ],
      [
        'start, with those of signalWithStart',
        () => start({ signal: 'add', signalArgs: [1] }),
        /^WorkflowOptions has no option called 'signal'/,
      ],
      [
        'start, of a name that all objects have',
        () => start({ constructor: 1 }),
        /^WorkflowOptions has no option called 'constructor'/,
      ],
      [
        'signalWithStart',
        () => signalWithStart({ signalArg: [1] }),
        /^WorkflowOptions has no option called 'signalArg'\. The options are: signal, signalArgs, /,
      ],
      [
        'start, in the retry policy',
        () => start({ retry: { maxAttempts: 3 } }),
        /^RetryPolicy has no option called 'maxAttempts'\. The options are: .*maximumAttempts/,
      ],
      [
        'executeUpdateWithStart',
        () => executeUpdateWithStart({ args: [1], updateID: 'u' }),
        /^WorkflowUpdateOptions has no option called 'updateID'\. The options are: startWorkflowOperation, /,
      ],
      [
        'executeUpdateWithStart, of the workflow',
        () => executeUpdateWithStart({ args: [1] }, { memmo: {} }),
        /^WorkflowOptions has no option called 'memmo'/,
      ],
      [
        'signalWithOptions',
        () => own().signalWithOptions('add', { args: [1], requestID: 'r' }),
        /^SignalOptions has no option called 'requestID'\. The options are: args, requestId$/,
      ],
      [
        'executeUpdate',
        () => own().executeUpdate('put', { args: [1], updateID: 'u' }),
        /^WorkflowUpdateOptions has no option called 'updateID'\. The options are: args, updateId, waitForStage$/,
      ],
      [
        'startUpdate',
        () => own().startUpdate('put', { args: [1], waitForState: 'COMPLETED' }),
        /^WorkflowUpdateOptions has no option called 'waitForState'/,
      ],
      [
        'getUpdateHandle',
        () => own().getUpdateHandle('id', { runId: 'r' }),
        /^GetWorkflowUpdateHandleOptions has no option called 'runId'\. The options are: workflowRunId$/,
      ],
      [
        'getHandle',
        () => client().getHandle('id', undefined, { followRun: false }),
        /^GetWorkflowHandleOptions has no option called 'followRun'/,
      ],
      [
        'getHandle, in place of the run id',
        () => client().getHandle('id', { followRuns: false }),
        /^runId must be a string, got object/,
      ],
      [
        'result',
        () => client().result('id', undefined, { followRun: false }),
        /^GetWorkflowHandleOptions has no option called 'followRun'/,
      ],
      [
        'withOptions',
        () => client().withOptions({ whenfull: 'wait' }),
        /^WorkflowClientOptions has no option called 'whenfull'\. The options are: .*whenFull/,
      ],
    ];

    const nothingWasDone = async () => {
      expect((await handle.fetchHistory()).events).to.have.length(4);
      expect(await handle.query('list')).to.deep.equal([]);
      await refused(() => test.client.getHandle('nothing').describe(), WorkflowNotFoundError, /not found/);
    };

    for (const [name, call, message] of LISTS) {
      it(`${name}: arguments that are no array: TypeError, and nothing was done`, async () => {
        for (const args of [5, 'abc', { 0: 'a', length: 1 }, new Set([1])])
          await refused(() => call(args), TypeError, message);
        await nothingWasDone();
      });
    }

    for (const [name, call, message] of NO_OBJECTS) {
      it(`${name}: options that are no object: TypeError, and nothing was done`, async () => {
        for (const options of [5, 'abc', [1], true])
          await refused(async () => call(options), TypeError, message);
        await nothingWasDone();
      });
    }

    it('signalWithOptions: no options at all: TypeError', () =>
      refused(
        () => own().signalWithOptions('add'),
        TypeError,
        /^SignalOptions must be an object, got undefined$/,
      ));

    for (const [name, call, message] of MISSPELT) {
      it(`${name}: an option that there is not: TypeError that lists those there are, and nothing was done`, async () => {
        await refused(async () => call(), TypeError, message);
        await nothingWasDone();
      });
    }

    it('updateWithStart: an option that there is not: the handle of the start hears of it too', async () => {
      const startWorkflowOperation = operation();
      const options = { startWorkflowOperation, args: [1], updateID: 'u' };
      const error = await rejection(client().executeUpdateWithStart('put', options));
      expect(await rejection(startWorkflowOperation.workflowHandle())).to.equal(error);
    });

    it('cronSchedule: refused, with what to do instead', async () => {
      await refused(
        () => start({ cronSchedule: '* * * * *' }),
        TypeError,
        /^WorkflowOptions\.cronSchedule is not provided: .*makeContinueAsNewFunc/,
      );
      await nothingWasDone();
    });

    it("an option that is undefined, and Temporal's that say nothing about what happens: taken", async () => {
      const started = await client().start('collector', {
        workflowId: test.newId(),
        args: undefined,
        memo: undefined,
        retry: undefined,
        cronSchedule: undefined,
        nobodyKnows: undefined,
        workflowRunTimeout: 0,
        typedSearchAttributes: [],
        staticSummary: 'a summary',
        staticDetails: 'details',
        priority: { priorityKey: 1 },
        versioningOverride: 'AUTO_UPGRADE',
        requestEagerStart: true,
        typeInfo: {},
      });
      await started.signalWithOptions('add', { args: ['a'], requestId: undefined, typeInfo: {} });
      await started.signalWithOptions('add', {});
      await started.executeUpdate('put', { args: [1], updateId: undefined, typeInfo: {} });
      await started.executeUpdate('put', { args: [2], waitForStage: 'COMPLETED' });
      const again = client().getHandle(started.workflowId, undefined, { followRuns: undefined });
      expect(await again.query('list')).to.deep.equal(['a', 1, 2]);
      // Taken from a class or a prototype, where other members are nobody's business.
      class Options {
        args = [3];
        describe(): string {
          return 'mine';
        }
      }
      await started.executeUpdate('put', new Options());
      await started.executeUpdate('put', Object.create({ args: [4], mine: true }));
      expect(await again.query('list')).to.deep.equal(['a', 1, 2, 3, 4]);
      expect(client().withOptions({ whenFull: undefined })).to.be.an('object');
    });
  });

  describe('workflow code', () => {
    let test: TestRuntime;
    before(async () => {
      test = await TestRuntime.open({ workflows: '../bad/hostile', limits: { turnRetryMsMin: 60_000 } });
    });
    after(() => test.close());

    for (const what of [
      'an error',
      'an error that is its own cause',
      'an object whose message throws',
      'an error whose stack throws',
      'a revoked proxy',
      'a symbol',
      'nothing',
    ]) {
      it(`throws ${what}, in a handler and in a query: told where it belongs, and no other execution gets anything twice`, async () => {
        const [bad, good] = [await test.start('hostile'), await test.start('hostile')];
        const calls = [
          good.signal('note', 1),
          bad.signal('throw', what),
          good.signal('note', 2),
          rejection(bad.query('throwing', what)),
          good.signal('note', 3),
        ];
        await Promise.all(calls);
        expect(await good.query('seen')).to.deep.equal([1, 2, 3]);
        const turn = await eventually(async () => (await bad.describe()).pendingTurn);
        expect(turn.message).to.be.a('string').with.length.above(0);
        await bad.terminate();
      });
    }

    for (const [what, message] of [
      ['a function', /answer of query answer\.deep\[0\]\.fn: functions cannot be stored/],
      ['a symbol', /answer of query answer\.s: symbols cannot be stored/],
      ['an instance', /answer of query answer\[0\]: instances of Point cannot be stored/],
      ['too much', /answer of query answer: it needs 3000005 bytes/],
    ] as const) {
      it(`a query answers with ${what}: QueryNotRegisteredError that says why, the execution goes on`, async () => {
        const handle = await test.start('hostile');
        const error = await rejection(handle.query('answer', what));
        expect(error).to.be.instanceOf(QueryNotRegisteredError);
        expect(error.message).to.match(message);
        await handle.signal('note', 1);
        expect(await handle.query('seen')).to.deep.equal([1]);
      });
    }

    for (const [what, message] of [
      ['a function', /deep\[0\]\.fn: functions cannot be stored/],
      ['too much', /it needs 3000005 bytes and the limit is 2097152 bytes/],
    ] as const) {
      it(`a workflow returns ${what}: its turn fails, describe() says why, and it can be ended`, async () => {
        const handle = await test.start('returns', [what]);
        expect((await handle.describe()).pendingTurn?.message)
          .to.match(message)
          .and.match(/result of workflow returns/);
        await handle.terminate('mended');
        expect(await rejection(handle.result())).to.have.property('message', 'mended');
      });

      it(`an update returns ${what}: the turn fails, describe() says why, queries are answered, and it can be ended`, async () => {
        const handle = await test.start('hostile');
        const update = handle.executeUpdate('result', { args: [what] });
        const turn = await eventually(async () => (await handle.describe()).pendingTurn);
        expect(turn.message)
          .to.match(message)
          .and.match(/result of update result/);
        expect(await handle.query('seen')).to.deep.equal([]);
        await handle.terminate();
        expect(await rejection(update)).to.be.instanceOf(WorkflowNotFoundError);
      });

      it(`an activity returns ${what}: its attempt fails, describe() says why, and it is tried again`, async () => {
        const double = () => (what === 'too much' ? 'x'.repeat(3_000_000) : { deep: [{ fn: () => 1 }] });
        const own = await TestRuntime.open({ workflows: '../bad/collector', activities: { double } });
        const handle = await own.start('collector');
        await handle.signal('call', 1);
        const failure = await eventually(
          async () => (await handle.describe()).pendingActivities[0]?.lastFailure,
        );
        expect(failure.message)
          .to.match(message)
          .and.match(/result of activity double/);
        await handle.signal('add', 1);
        expect(await handle.query('list')).to.deep.equal([1]);
        await own.close();
      });
    }

    it('an update that never ends: the call waits, everything else goes on', async () => {
      const handle = await test.start('hostile');
      const update = handle.executeUpdate('never');
      await handle.signal('note', 1);
      expect(await handle.query('seen')).to.deep.equal([1]);
      await handle.terminate();
      expect(await rejection(update)).to.be.instanceOf(WorkflowUpdateFailedError);
    });
  });
});
