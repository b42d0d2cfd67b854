/**
 * That the types are checked at all: test/types expects errors, and would expect in vain if everything were `any`.
 *
 * The compiler looks at a user's file against the declarations that are published.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { expect } from 'chai';
import { repository } from './support/repository.js';

const require = createRequire(import.meta.url);

/** Line numbers of a file's type errors, each once. */
function wrongLines(file: string, options: readonly string[] = []): number[] {
  const manifest = require.resolve('typescript/package.json');
  const compiler = path.join(path.dirname(manifest), require(manifest).bin.tsc);
  const flags =
    '--noEmit --ignoreConfig --strict --skipLibCheck --target es2022 --module nodenext --types node';
  const { stdout, stderr, error } = spawnSync(
    process.execPath,
    [compiler, ...flags.split(' '), ...options, file],
    { cwd: repository, encoding: 'utf8' },
  );
  expect(error).to.equal(undefined);
  expect(stderr).to.equal('');
  const lines = Array.from(stdout.matchAll(/^(\S+)\((\d+),\d+\): error TS/gm));
  expect(new Set(lines.map(([, where]) => where)), stdout).to.have.all.keys(file);
  return [...new Set(lines.map(([, , line]) => Number(line)))];
}

describe('types', () => {
  const file = 'test/fixtures/types/wrong.ts';
  const expected = readFileSync(path.join(repository, file), 'utf8')
    .split('\n')
    .flatMap((line, at) => (line.endsWith('// wrong') ? [at + 1] : []));

  it('a file with wrong calls: each of them is an error, nothing else is', () => {
    expect(expected).to.have.length(6);
    expect(wrongLines(file)).to.deep.equal(expected);
  });

  it('the same with exactOptionalPropertyTypes: the same', () => {
    expect(wrongLines(file, ['--exactOptionalPropertyTypes'])).to.deep.equal(expected);
  });

  it('test/types: stands in what the build checks, and expects errors', () => {
    const config = JSON.parse(readFileSync(path.join(repository, 'tsconfig.json'), 'utf8'));
    expect(config.include).to.include('test');
    expect(config.exclude).to.deep.equal(['test/fixtures', 'dist', 'node_modules']);
    for (const name of ['client', 'workflow', 'between-workflows']) {
      const source = readFileSync(path.join(repository, 'test', 'types', `${name}.ts`), 'utf8');
      expect(source.match(/@ts-expect-error/g)).to.have.length.above(15);
    }
  });
});
