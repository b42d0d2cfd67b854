/**
 * On what the figures were taken: hardware, versions, commit.
 *
 * Owns: finding that out. A fact that cannot be found is left out; the bench runs without it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

/** The package's folder; this module runs from dist/bench. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const PACKAGES = ['piscina', 'lmdb', 'msgpackr', 'xstate', 'esbuild'];

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  /** Processes that wanted to run when the bench began: anything near the number of cores disturbs the figures. */
  loadAverage: number;
  system: string;
  node: string;
  packages: Record<string, string>;
  /** Commit of the source, with '+' when files differ from it. */
  commit?: string;
}

export function machine(): Machine {
  const commit = gitCommit();
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    loadAverage: Math.round((os.loadavg()[0] ?? 0) * 100) / 100,
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    packages: Object.fromEntries([['signalbox', version('package.json')], ...PACKAGES.map(installed)]),
    ...(commit === undefined ? {} : { commit }),
  };
}

function installed(name: string): [string, string] {
  return [name, version(`node_modules/${name}/package.json`)];
}

function version(file: string): string {
  try {
    return (JSON.parse(readFileSync(`${ROOT}${file}`, 'utf8')) as { version: string }).version;
  } catch {
    return 'unknown';
  }
}

function gitCommit(): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    // A copy of the source inside some other repository is not that repository's commit.
    if (git('rev-parse', '--show-prefix') !== '') return undefined;
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return undefined;
  }
}
