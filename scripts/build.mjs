// Builds dist/: the TypeScript compiler emits every module, then esbuild packs the realm library, the code that
// runs inside the workflow sandbox, into one script (dist/actors/sandbox/realm.cjs) that threads evaluate, and what a
// workflow thread loads into one module (dist/runtime/worker.js), because thirty of them take 20 ms longer to load.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
rmSync('dist', { recursive: true, force: true });

const typescript = createRequire(import.meta.url).resolve('typescript/package.json');
const bin = JSON.parse(readFileSync(typescript, 'utf8')).bin.tsc;
execFileSync(process.execPath, [path.join(path.dirname(typescript), bin), '-p', 'tsconfig.json'], {
  stdio: 'inherit',
});

const entry = 'dist/actors/sandbox/realm-entry.js';
if (existsSync(entry)) {
  await build({
    entryPoints: [entry],
    outfile: 'dist/actors/sandbox/realm.cjs',
    bundle: true,
    format: 'cjs',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import'],
    target: 'node20',
    logLevel: 'warning',
  });
}

const worker = 'dist/runtime/worker.js';
if (existsSync(worker)) {
  await build({
    entryPoints: [worker],
    outfile: worker,
    allowOverwrite: true,
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    sourcemap: true,
    target: 'node20',
    logLevel: 'warning',
  });
}
