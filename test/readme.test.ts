/** README is true: its code blocks run, its commands exist, what it and the other documents name is there. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { repository } from './support/repository.js';

const run = promisify(execFile);
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
const readme = read('README.md');
const blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language, text]) => ({
  language: language!,
  text: text!,
}));
const manifest = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

describe('README', () => {
  it('first workflow: saved under the names in the blocks and run -> what the comments say', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-readme-'));
    try {
      mkdirSync(path.join(folder, 'node_modules'));
      symlinkSync(repository, path.join(folder, 'node_modules', 'signalbox'), 'dir');
      for (const { text } of blocks.filter(({ language }) => language !== 'sh')) {
        const name = /^\/\/ (\S+)\n/.exec(text)?.[1];
        expect(name, 'a code block that does not say which file it is').to.be.a('string');
        writeFileSync(path.join(folder, name!), text);
      }
      const { stdout } = await run(process.execPath, ['main.mjs'], { cwd: folder });
      expect(stdout.trim().split('\n')).to.deep.equal(['receipt for 30', '70', 'Only 70 left', '70', '70']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('commands: each npm script that it names -> exists', () => {
    const named = [...readme.matchAll(/npm (?:run )?([\w:]+)/g)]
      .map(([, name]) => name!)
      .filter((name) => !['ci', 'pack', 'install'].includes(name));
    expect(named).to.include.members(['start', 'test', 'bench']);
    for (const name of named) expect(manifest.scripts, `npm run ${name}`).to.have.property(name);
  });

  it('two commands: README and .ci/run -> the same test command', () => {
    expect(blocks.map(({ text }) => text.trim())).to.include.members([
      'npm ci && npm start',
      'npm ci && npm test',
    ]);
    expect(read('.ci/run').trim().split('\n').at(-1)).to.equal('npm ci && npm test');
  });

  it('npm start: run as printed -> killed, started again, state intact', async () => {
    const { stdout } = await run(process.execPath, [path.join(repository, 'dist/examples/greeting/main.js')]);
    expect(stdout).to.contain('rejected by the validator: PORTUGUESE is not supported');
    expect(stdout).to.contain('SIGKILL');
    expect(stdout).to.contain('CHINESE: the state is intact');
    expect(stdout).to.contain('was CHINESE: the accepted update finished');
    expect(stdout).to.contain('Bonjour, monde (approved by you)');
    expect(stdout).to.match(/\d signals\/s/);
  });
});

describe('package', () => {
  it('exports: every file that they name -> exists after a build', () => {
    for (const target of Object.values(manifest.exports)) {
      const files = typeof target === 'string' ? [target] : Object.values(target);
      for (const file of files) expect(existsSync(path.join(repository, file)), file).to.equal(true);
    }
  });

  it('types: what the published declarations import -> is installed with the package, types included', () => {
    const imported = new Set<string>();
    for (const name of ['codec', 'actors', 'runtime'])
      for (const file of readdirSync(path.join(repository, 'dist', name), { recursive: true }) as string[]) {
        if (!file.endsWith('.d.ts')) continue;
        const text = readFileSync(path.join(repository, 'dist', name, file), 'utf8');
        for (const [, from] of text.matchAll(/^(?:import|export) .* from '([^.'][^']*)';$/gm))
          imported.add(from!);
      }
    expect([...imported]).to.include('ms');
    const { dependencies, devDependencies } = manifest;
    for (const from of imported) {
      if (from.startsWith('node:')) continue;
      expect(dependencies).to.have.property(from);
      expect(
        devDependencies,
        `the types of ${from} are not installed by who uses the package`,
      ).not.to.have.property(`@types/${from}`);
    }
  });

  it('signalbox/workflow: imported in plain Node -> definitions work, calls that need a workflow say so', async () => {
    const workflow = await import('signalbox/workflow');
    expect(workflow.defineSignal('x')).to.deep.equal({ type: 'signal', name: 'x' });
    expect(() => workflow.condition(() => true)).to.throw('may only be used from a Workflow Execution');
  });
});

describe('documents', () => {
  it('ARCHITECTURE: every file and function that it names -> exists', () => {
    const text = read('ARCHITECTURE.md');
    for (const [, file, names] of text.matchAll(
      /`((?:codec|actors|runtime)\/[\w/-]+\.ts)`((?:,? (?:and )?`#?\w+`)*)/g,
    )) {
      expect(existsSync(path.join(repository, file!)), file).to.equal(true);
      const source = read(file!);
      for (const [, name] of names!.matchAll(/`(#?\w+)`/g))
        expect(source.includes(name!), `${name} in ${file}`).to.equal(true);
    }
  });

  it('links: every local file that a document links to -> exists', () => {
    for (const document of ['README.md', 'ARCHITECTURE.md', 'GLOSSARY.md', 'CHANGELOG.md']) {
      for (const [, target] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
        expect(existsSync(path.join(repository, target!)), `${target} in ${document}`).to.equal(true);
      }
    }
  });
});
