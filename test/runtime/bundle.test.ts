import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { expect } from 'chai';
import {
  bundleWorkflows,
  createLocator,
  type WorkflowBundle,
  WorkflowBundleError,
} from '../../runtime/bundle.js';

const root = repositoryRoot(path.dirname(fileURLToPath(import.meta.url)));
const fixtures = path.join(root, 'test', 'fixtures', 'bundle');

/** The tests run from the compiler's output folder, the fixtures stay where they are. */
function repositoryRoot(folder: string): string {
  const isRoot = folder === path.dirname(folder);
  if (isRoot) throw new Error('the fixtures of this test were not found');
  try {
    readFileSync(path.join(folder, 'test', 'fixtures', 'bundle', 'index.ts'));
    return folder;
  } catch {
    return repositoryRoot(path.dirname(folder));
  }
}

describe('bundle', () => {
  const projects: string[] = [];

  /** Writes a project of the given files into a new folder, and returns the path of its first file. */
  function project(files: Record<string, string>): string {
    const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'signalbox-bundle-')));
    projects.push(folder);
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    return path.join(folder, Object.keys(files)[0] ?? '');
  }

  afterEach(() => {
    for (const folder of projects.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  const bundleOf = (files: Record<string, string>) => bundleWorkflows({ workflowsPath: project(files) });

  async function refusalOf(workflowsPath: string): Promise<WorkflowBundleError> {
    try {
      await bundleWorkflows({ workflowsPath });
    } catch (error) {
      if (error instanceof WorkflowBundleError) return error;
      throw error;
    }
    throw new Error('the bundle was accepted');
  }

  const refusalOfProject = (files: Record<string, string>) => refusalOf(project(files));

  interface Evaluated {
    exports: Record<string, any>;
    required: string[];
  }

  /** Evaluates the script as the sandbox does, in a context that has no platform. */
  function evaluate(bundle: WorkflowBundle, library: object = {}): Evaluated {
    const required: string[] = [];
    const context = vm.createContext({}, { codeGeneration: { strings: false, wasm: false } });
    const source = `(function (exports, require, module) { "use strict"; ${bundle.code}\n})`;
    const body = vm.runInContext(source, context, { filename: 'bundle.js' });
    const module: { exports: object; getters?: Record<string, () => unknown> } = { exports: {} };
    body(
      module.exports,
      (name: string) => {
        required.push(name);
        return library;
      },
      module,
    );
    for (const [name, get] of Object.entries(module.getters ?? {}))
      Object.defineProperty(module.exports, name, { get, enumerable: true });
    return { exports: module.exports, required };
  }

  const library = {
    defineSignal: (name: string) => ({ name }),
    setHandler: () => {},
    condition: async () => true,
    sleep: async () => {},
  };

  describe('what loads', () => {
    it('bundle: a TypeScript entry with .js imports, an enum, JSON, a package -> its workflows run', async () => {
      const bundle = await bundleWorkflows({ workflowsPath: path.join(fixtures, 'index.ts') });
      const { exports } = evaluate(bundle, library);
      expect(await exports.greet('FRENCH')).to.deep.equal({ language: 'FRENCH', text: 'Bonjour' });
      expect((await exports.greet()).text).to.equal('Hello');
      expect(await exports.waits()).to.equal(undefined);
    });

    it('bundle: imports of signalbox/workflow and of Temporal -> one external module is required', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `import { sleep } from '@temporalio/workflow';
          import { ApplicationFailure } from '@temporalio/common';
          import * as workflow from 'signalbox/workflow';
          export const all = async () => [sleep, ApplicationFailure, workflow, await import('signalbox/workflow')];`,
      });
      const { exports, required } = evaluate(bundle, { sleep: 1, ApplicationFailure: 2 });
      expect((await exports.all()).slice(0, 2)).to.deep.equal([1, 2]);
      expect(new Set(required)).to.deep.equal(new Set(['signalbox/workflow']));
      expect(bundle.code).to.contain('require("signalbox/workflow")').and.not.contain('temporalio');
    });

    it('bundle: a default export -> it is among the names, and keeps the name default or its own', async () => {
      const named = await bundleWorkflows({ workflowsPath: fixtures });
      expect(named.exportNames).to.have.members(['approve', 'greet', 'waits', 'fails', 'default']);
      expect(evaluate(named, library).exports.default.name).to.equal('anyType');
      const anonymous = await bundleOf({ 'workflows.ts': 'export default function () {}' });
      expect(evaluate(anonymous).exports.default.name).to.equal('default');
    });

    it('bundle: a CommonJS entry -> its workflows run, and its names are left to evaluation', async () => {
      const bundle = await bundleWorkflows({ workflowsPath: path.join(fixtures, 'common.cjs') });
      expect(bundle.exportNames).to.equal(undefined);
      const { exports, required } = evaluate(bundle, library);
      expect(await exports.nap()).to.equal(undefined);
      expect(exports.nap.name).to.equal('nap');
      expect(required).to.deep.equal(['signalbox/workflow']);
    });

    it('bundle: exports of an ES module -> functions that give them; a module that looks at itself keeps its object', async () => {
      const plain = await bundleOf({ 'w.js': 'export const a = () => 1; export default () => 2;' });
      expect(plain.code).to.match(/module\.getters = /);
      expect(evaluate(plain).exports.a()).to.equal(1);
      expect(evaluate(plain).exports.default()).to.equal(2);
      const itself = await bundleOf({
        'w.js': `import * as self from './w.js'; export const f = () => Object.keys(self);`,
      });
      expect(itself.code).not.to.match(/module\.getters = /);
      expect(evaluate(itself).exports.f()).to.deep.equal(['f']);
    });

    it('bundle: `export =` in TypeScript -> module.exports is what it names', async () => {
      const bundle = await bundleOf({ 'workflows.cts': 'export = { greet: () => "hello" };' });
      expect(evaluate(bundle).exports.greet()).to.equal('hello');
    });

    it('bundle: names re-exported from a CommonJS module -> left to evaluation', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `export * from './more.js'; export const own = 1;`,
        'more.ts': `export * from './rest.cjs';`,
        'rest.cjs': 'exports.rest = () => 1;',
      });
      expect(bundle.exportNames).to.equal(undefined);
      expect(evaluate(bundle).exports).to.include.keys('own', 'rest');
    });

    it('bundle: an entry that other modules import back -> the entry decides the names', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `import { b } from './b.js'; export function a() { return [b, require('./c.js')]; }`,
        'b.ts': `import { a } from './workflows.js'; export const b = () => a;`,
        'c.ts': 'export const c = 1;',
      });
      expect(bundle.exportNames).to.deep.equal(['a']);
    });

    it('bundle: imports for types only, or not used -> erased, whatever they name', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `import type { Server } from 'node:http';
          import { type Client } from 'signalbox/client';
          import { readFileSync } from 'node:fs';
          import type * as activities from './activities.js';
          export function greet(server?: Server, client?: Client, load?: typeof readFileSync) { return 'hello'; }
          export type Activities = typeof activities;`,
      });
      expect(evaluate(bundle).exports.greet()).to.equal('hello');
    });

    it('bundle: import() of a module of the project -> a promise of it, without a module loader', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `export const late = async () => (await import('./late.js')).answer;`,
        'late.ts': 'export const answer = 42;',
      });
      expect(await evaluate(bundle).exports.late()).to.equal(42);
    });

    it("bundle: the user's tsconfig -> its path aliases hold", async () => {
      const bundle = await bundleOf({
        'src/workflows.ts': `export { answer } from '@app/answer';`,
        'src/lib/answer.ts': 'export const answer = () => 42;',
        'tsconfig.json': '{ "compilerOptions": { "paths": { "@app/*": ["./src/lib/*"] } } }',
      });
      expect(evaluate(bundle).exports.answer()).to.equal(42);
    });

    it('bundle: a package that asks for process.env.NODE_ENV -> a constant, not the host environment', async () => {
      const bundle = await bundleOf({
        'workflows.ts': 'declare const process: any; export const mode = () => process.env.NODE_ENV;',
      });
      expect(evaluate(bundle).exports.mode()).to.equal('production');
    });

    it('bundle: a package with a form for workflows -> that form', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `import { on } from 'dual'; export const f = () => on;`,
        'node_modules/dual/package.json':
          '{ "name": "dual", "exports": { "workflow": "./workflow.js", "default": "./node.js" } }',
        'node_modules/dual/workflow.js': 'exports.on = "workflow";',
        'node_modules/dual/node.js': 'require("node:fs");',
      });
      expect(evaluate(bundle).exports.f()).to.equal('workflow');
    });

    it('bundle: a first line for the shell, and the names of the module function -> the workflows run', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `#!/usr/bin/env node
          const exports = 1, require = 2, module = 3;
          export const f = () => [exports, require, module];`,
      });
      expect(evaluate(bundle).exports.f()).to.deep.equal([1, 2, 3]);
    });

    it('bundle: an npm package of the same name as a built-in, with a slash -> the package', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `import { on } from 'events/'; export const f = () => on;`,
        'node_modules/events/package.json': '{ "name": "events", "main": "events.js" }',
        'node_modules/events/events.js': 'exports.on = "the package";',
      });
      expect(evaluate(bundle).exports.f()).to.equal('the package');
    });
  });

  describe('how the entry may be named', () => {
    const entry = { 'workflows.ts': 'export const greet = () => "hello";' };

    it('bundle: a file: URL -> the file', async () => {
      const bundle = await bundleWorkflows({ workflowsPath: pathToFileURL(project(entry)).href });
      expect(bundle.exportNames).to.deep.equal(['greet']);
    });

    it('bundle: a path relative to the working directory -> the file', async () => {
      const bundle = await bundleWorkflows({ workflowsPath: path.relative(process.cwd(), project(entry)) });
      expect(bundle.exportNames).to.deep.equal(['greet']);
    });

    it('bundle: a path without extension, or a folder with an index -> the file', async () => {
      const bare = await bundleWorkflows({ workflowsPath: project(entry).replace(/\.ts$/, '') });
      expect(bare.exportNames).to.deep.equal(['greet']);
      const folder = path.dirname(project({ 'index.mts': entry['workflows.ts'] }));
      expect((await bundleWorkflows({ workflowsPath: folder })).exportNames).to.deep.equal(['greet']);
    });

    for (const [written, source] of [
      ['.js', '.ts'],
      ['.js', '.tsx'],
      ['.mjs', '.mts'],
      ['.cjs', '.cts'],
    ] as const) {
      it(`bundle: a ${written} path of which only ${source} exists -> the ${source} file`, async () => {
        const file = project({ [`workflows${source}`]: entry['workflows.ts'] });
        const bundle = await bundleWorkflows({ workflowsPath: file.replace(source, written) });
        expect(bundle.inputs).to.deep.equal([file]);
      });
    }

    it('bundle: a path through a symbolic link -> the same script as by the real path', async () => {
      const file = project(entry);
      const link = path.join(path.dirname(project(entry)), 'link');
      symlinkSync(path.dirname(file), link);
      const linked = await bundleWorkflows({ workflowsPath: path.join(link, 'workflows.ts') });
      expect(linked.inputs).to.deep.equal([file]);
      expect(linked.code).to.equal((await bundleWorkflows({ workflowsPath: file })).code);
    });

    it('bundle: an entry named as the output would be -> bundled, and left alone', async () => {
      const file = project({ 'workflow-bundle.js': 'export const greet = 1;' });
      await bundleWorkflows({ workflowsPath: file });
      expect(readFileSync(file, 'utf8')).to.equal('export const greet = 1;');
    });
  });

  describe('the names of functions', () => {
    const colliding = {
      'workflows.ts': `import { a } from './a.js'; import { b } from './b.js';
        class Refused extends Error {}
        async function child() { return 'own'; }
        export const names = () => [child.name, Refused.name, a().map((f) => f.name), b().name];
        export class Self { static made = new Self(); }`,
      'a.ts': `async function child() {} class Refused extends Error {} export const a = () => [child, Refused];`,
      'b.ts': `const child = async () => {}; export const b = () => child;`,
    };

    it('bundle: functions and classes of one name in several modules -> each keeps its name', async () => {
      const { exports } = evaluate(await bundleOf(colliding));
      expect(exports.names()).to.deep.equal(['child', 'Refused', ['child', 'Refused'], 'child']);
      expect(exports.Self.name).to.equal('Self');
    });

    it('bundle: functions that keep their name anyhow -> nothing runs to name them, and their names hold', async () => {
      const bundle = await bundleOf({
        'workflows.ts': `export function declared() { function inner() {} return inner; }
          export const arrow = async () => {};
          export const expression = function () {};
          export const own = function named() {};
          export const called = () => { return (function* iterate() { yield* [1, 2]; })(); };
          export class Plain { field = () => {}; static #hidden = 1; }
          export const anonymous = class {};
          let assigned; assigned = () => {};
          export const record = { property: () => {}, 'quoted key': function () {}, method() {} };
          export const { fallback = () => {} } = {} as { fallback?: () => void };
          export const later = () => assigned;
          export const text = '__name(declared, "declared");';`,
      });
      expect(bundle.code.match(/__name\(/g)).to.have.length(1, 'the user own text');
      const { exports } = evaluate(bundle);
      const names = ['declared', 'arrow', 'expression', 'anonymous', 'fallback'];
      expect(names.map((name) => exports[name].name)).to.deep.equal(names);
      expect(exports.own.name).to.equal('named');
      expect([...exports.called()]).to.deep.equal([1, 2]);
      expect(exports.declared().name).to.equal('inner');
      expect(exports.Plain.name).to.equal('Plain');
      expect(new exports.Plain().field.name).to.equal('field');
      expect(exports.later().name).to.equal('assigned');
      expect(exports.record.property.name).to.equal('property');
      expect(exports.record['quoted key'].name).to.equal('quoted key');
      expect(exports.text).to.equal('__name(declared, "declared");');
    });

    it("bundle: user code that takes the helper's name -> both work", async () => {
      const bundle = await bundleOf({
        ...colliding,
        'b.ts': `function __name(x: number) { return x + 1; }
          export const b = () => ({ name: __name(1) });`,
      });
      expect(evaluate(bundle).exports.names()).to.deep.equal(['child', 'Refused', ['child', 'Refused'], 2]);
    });
  });

  describe('what is refused', () => {
    it('bundle: a static import of node:fs -> refused with its place and what to do', async () => {
      const file = project({
        'workflows.ts': `export const x = 1;\nimport { readFileSync } from 'node:fs';\nreadFileSync('x');\n`,
      });
      const error = await refusalOf(file);
      expect(error.name).to.equal('WorkflowBundleError');
      expect(error.workflowsPath).to.equal(file);
      expect(error.problems).to.deep.equal([
        {
          file: 'workflows.ts',
          line: 2,
          column: 30,
          text: "workflow code cannot import 'node:fs', a built-in module of Node: call it from an activity",
        },
      ]);
      expect(error.message).to.equal(
        `Cannot bundle the workflows of '${file}': workflows.ts:2:30: ${error.problems[0]?.text}`,
      );
    });

    it('bundle: static import, require and import() in nested files -> all of them are listed', async () => {
      const { problems, message } = await refusalOfProject({
        'workflows.ts': `import './nested/a.js';\nexport const late = () => import('http');\n`,
        'nested/a.ts': `import './b.js';\nexport { join } from 'path/posix';\n`,
        'nested/b.ts': `/* é𝄞 */ const crypto = require('crypto');\nexport { crypto };\n`,
      });
      expect(problems.map(({ file, line, column }) => `${file}:${line}:${column}`)).to.deep.equal([
        'nested/a.ts:2:22',
        'nested/b.ts:1:34',
        'workflows.ts:2:34',
      ]);
      expect(message).to.match(/path\/posix.*uuid4\(\).*http/s);
    });

    it('bundle: an unused built-in in try/catch inside a package -> refused, with the way it came in', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import { outer } from 'outer';\nexport const f = () => outer;\n`,
        'node_modules/outer/package.json': '{ "name": "outer", "main": "index.js" }',
        'node_modules/outer/index.js': `exports.outer = require('inner');`,
        'node_modules/inner/package.json': '{ "name": "inner", "exports": { "require": "./lib/main.js" } }',
        'node_modules/inner/lib/main.js': `let os;\ntry { os = require('os'); } catch {}\n`,
      });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include({ file: 'node_modules/inner/lib/main.js', line: 2, column: 20 });
      expect(problems[0]?.text).to.match(
        /call it from an activity \(imported by node_modules\/outer\/index.js, imported by workflows.ts\)$/,
      );
    });

    for (const [specifier, advice] of [
      ['signalbox', 'from outside a workflow'],
      ['signalbox/client', '`import type`'],
      ['signalbox/worker', 'from outside a workflow'],
      ['signalbox/activity', 'proxyActivities()'],
      ['@temporalio/client', "use 'signalbox/workflow'"],
      ['@temporalio/activity', 'proxyActivities()'],
      ['@temporalio/testing/lib/x', 'from outside a workflow'],
      ['@temporalio/common/lib/encoding', "import from 'signalbox/workflow'"],
      ['lmdb', 'native code'],
      ['./addon.node', 'native code'],
      ['timers/promises', 'sleep()'],
      ['node:sqlite', 'a built-in module of Node'],
      ['process', 'a built-in module of Node'],
      ['https://example.com/module.js', 'install'],
    ] as const) {
      it(`bundle: an import of '${specifier}' for its value -> refused: ${advice}`, async () => {
        const { problems } = await refusalOfProject({
          'workflows.ts': `import * as all from '${specifier}';\nexport const f = () => all;\n`,
        });
        expect(problems).to.have.length(1);
        expect(problems[0]).to.include({ file: 'workflows.ts', line: 1, column: 22 });
        expect(problems[0]?.text).to.contain(`cannot import '${specifier}'`).and.to.contain(advice);
      });
    }

    it('bundle: refused imports beside errors of the compiler -> both are listed', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import fs from 'fs';\nimport './absent.js';\nexport const f = () => fs;\n`,
      });
      expect(problems.map(({ line, text }) => [line, text.slice(0, 27)])).to.deep.equal([
        [1, 'workflow code cannot import'],
        [2, 'Could not resolve "./absent'],
      ]);
    });
  });

  describe('what does not load', () => {
    it('bundle: a missing file -> an error with the path as it was given', async () => {
      const { message, problems } = await refusalOf('no/such/workflows.ts');
      expect(message).to.match(
        /^Cannot bundle the workflows of 'no\/such\/workflows.ts': there is no such file/,
      );
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include({ file: 'no/such/workflows.ts', line: 0, column: 0 });
    });

    it('bundle: a folder without an index, a path through a file, a bad URL -> an error', async () => {
      const file = project({ 'workflows.ts': '' });
      expect((await refusalOf(path.dirname(file))).message).to.contain('there is no such file');
      expect((await refusalOf(path.join(file, 'deeper'))).message).to.contain('there is no such file');
      expect((await refusalOf('file://else.where/workflows.ts')).message).to.match(/host/i);
      expect((await refusalOf('nul\0byte')).message).to.contain('cannot be read');
    });

    it('bundle: a file that is no module -> an error', async () => {
      const { message } = await refusalOfProject({ 'workflows.json': '{}' });
      expect(message).to.contain('is not a workflows module');
    });

    it('bundle: syntax errors in two files -> each with its place', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import './one.js';\nimport './two.js';\nexport const f = 1;\n`,
        'one.ts': `export const = 1;\n`,
        'two.ts': `const ok = 1;\n  let x = ;\n`,
      });
      expect(problems).to.deep.equal([
        { file: 'one.ts', line: 1, column: 14, text: 'Expected identifier but found "="' },
        { file: 'two.ts', line: 2, column: 11, text: 'Unexpected ";"' },
      ]);
    });

    it('bundle: an import that a module does not export -> an error with its place', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import { absent } from './other.js';\nexport const f = () => absent;\n`,
        'other.ts': 'export const present = 1;\n',
      });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include({ file: 'workflows.ts', line: 1, column: 10 });
    });

    it('bundle: names that signalbox/workflow does not have -> all of them are listed, unless code only asks for them', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import { patched, sleep } from '@temporalio/workflow';\nimport * as wf from 'signalbox/workflow';
import './old.cjs';
export const f = () => patched('x') || (sleep(1), wf.setHandlr());\nexport const g = () => typeof wf.proxySinks === 'function' || wf.uuid4();\n`,
        'old.cjs': `const { deprecatePatch, sleep } = require('signalbox/workflow');\nexports.h = () => [deprecatePatch(), sleep(2)];\n`,
      });
      expect(problems.map(({ file, line, text }) => `${file}:${line}: ${text}`)).to.deep.equal([
        "old.cjs:1: 'signalbox/workflow' does not provide 'deprecatePatch'",
        "workflows.ts:4: 'signalbox/workflow' does not provide 'patched'",
        "workflows.ts:4: 'signalbox/workflow' does not provide 'setHandlr'",
      ]);
    });

    it('bundle: top-level await -> an error that says where to await instead', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `export const f = 1;\nawait Promise.resolve();\n`,
      });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include({ file: 'workflows.ts', line: 2 });
      expect(problems[0]?.text).to.contain('await inside a workflow function');
    });

    for (const [situation, text] of [
      ['exports nothing', `import './other.js'; console.log(1);`],
      ['exports types only', 'export interface Input { name: string }'],
      ['is empty', ''],
    ] as const) {
      it(`bundle: an entry that ${situation} -> an error`, async () => {
        const file = project({ 'workflows.ts': text, 'other.ts': 'export {};' });
        const error = await refusalOf(file);
        expect(error.message).to.equal(
          `Cannot bundle the workflows of '${file}': exports no workflow functions`,
        );
      });
    }

    it('bundle: a package that only runs in sloppy mode -> an error with its place', async () => {
      const { problems } = await refusalOfProject({
        'workflows.ts': `import { mode } from 'sloppy';\nexport const f = () => mode;\n`,
        'node_modules/sloppy/package.json': '{ "name": "sloppy", "main": "index.js" }',
        'node_modules/sloppy/index.js': 'exports.mode = 1;\nwith (exports) { mode = 2; }\n',
      });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.include({ file: 'node_modules/sloppy/index.js', line: 2 });
      expect(problems[0]?.text).to.match(/^does not compile in strict mode: /);
    });
  });

  describe('the output', () => {
    it('bundle: a failure in a workflow -> the locator names the line of the TypeScript source', async () => {
      const bundle = await bundleWorkflows({ workflowsPath: path.join(fixtures, 'index.ts') });
      const locate = createLocator(bundle.sourceMap);
      const { stack } = failureOf(() => evaluate(bundle, library).exports.fails());
      const frames = [...stack.matchAll(/bundle\.js:(\d+):(\d+)/g)].map(([, line, column]) =>
        locate(Number(line), Number(column) - 1),
      );
      const from = path.relative(process.cwd(), fixtures).startsWith('..')
        ? ''
        : `${path.relative(process.cwd(), fixtures)}/`;
      expect(frames.slice(0, 2)).to.deep.equal([`${from}failing.ts:7`, `${from}index.ts:25`]);
    });

    it('bundle: a position in a package, and one in no source -> node_modules/…, and the bundle', async () => {
      const bundle = await bundleOf({
        'src/workflows.ts': `import { outer } from 'outer';\nexport const f = () => outer;\n`,
        'node_modules/outer/package.json': '{ "name": "outer", "main": "index.js" }',
        'node_modules/outer/index.js': `exports.note = 1;\nexports.outer = 'here';`,
      });
      const locate = createLocator(bundle.sourceMap);
      const line = bundle.code.split('\n').findIndex((text) => text.includes('here')) + 1;
      expect(locate(line, 4)).to.equal('node_modules/outer/index.js:2');
      expect(locate(1, 0)).to.equal('<bundle>:1');
    });

    it('bundle: the same sources in two folders -> the same script and hash, without either folder', async () => {
      const files = {
        'src/workflows.ts': `import { outer } from 'outer';\nexport const f = () => outer;\n`,
        'node_modules/outer/package.json': '{ "name": "outer", "main": "index.js" }',
        'node_modules/outer/index.js': `exports.outer = 'here';`,
      };
      const one = await bundleOf(files);
      const two = await bundleOf(files);
      expect(two.code)
        .to.equal(one.code)
        .and.not.contain(path.basename(projects[0] ?? '-'));
      expect(two.hash)
        .to.equal(one.hash)
        .and.match(/^[0-9a-f]{64}$/);
      expect(
        (await bundleOf({ ...files, 'node_modules/outer/index.js': 'exports.outer = 2;' })).hash,
      ).not.to.equal(one.hash);
    });

    it('bundle: the sources read -> listed as absolute paths', async () => {
      const { inputs } = await bundleWorkflows({ workflowsPath: fixtures });
      const own = inputs.filter((file) => !file.includes('node_modules'));
      const expected = ['failing.ts', 'greetings.json', 'index.ts', 'language.ts'];
      expect(own).to.deep.equal(expected.map((name) => path.join(fixtures, name)));
      expect(inputs.length).to.be.greaterThan(own.length);
    });

    it('bundle: code that is odd, though it compiles -> a warning with its place', async () => {
      const { warnings } = await bundleOf({ 'workflows.ts': 'export const f = () => import.meta.url;\n' });
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.include({ file: 'workflows.ts', line: 1, column: 24 });
    });
  });

  function failureOf(run: () => unknown): { stack: string } {
    try {
      run();
    } catch (error) {
      return { stack: String((error as Error).stack) };
    }
    throw new Error('nothing was thrown');
  }
});
