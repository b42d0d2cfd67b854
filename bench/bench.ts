/**
 * What every workload is given, and what it gives.
 *
 * Owns: the folder that all stores of one bench run lie in, opening a runtime in it with executions to talk to.
 * Does not own: measuring (measure.ts), the floors (floors.ts), showing (report.ts).
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '../runtime/client/index.js';
import { type Limits, Runtime } from '../runtime/index.js';
import * as activities from './activities.js';
import type { Floors } from './floors.js';
import { ROOT } from './machine.js';
import { type Call, type Floor, measure, type Pace } from './measure.js';
import type { LoadRow, Row } from './report.js';
import type { counter } from './workflows.js';

/** Executions that the messages go to, unless the workload says otherwise. */
export const EXECUTIONS = 100;
export const CONCURRENCIES = [1, 64, 256];

export type Handle = WorkflowHandle<typeof counter>;

export interface Bench {
  quick: boolean;
  pace: Pace;
  floors: Floors;
  /** An empty folder on the disk that is measured. */
  folder(name: string): string;
}

export interface Workload {
  name: string;
  /** It takes minutes, so it is not among those that run when none is named. */
  onlyWhenNamed?: boolean;
  run(bench: Bench): Promise<Row[]>;
}

/** The source: Runtime.open bundles it, as it does for users. */
const WORKFLOWS = fileURLToPath(new URL('../../bench/workflows.ts', import.meta.url));

/** A runtime as a user opens it: everything at its default but where the store is. */
export function openRuntime(
  folder: string,
  options: { threads?: number; limits?: Partial<Limits> } = {},
): Promise<Runtime> {
  return Runtime.open({ path: folder, workflowsPath: WORKFLOWS, activities, ...options });
}

export async function startCounters(runtime: Runtime, names: readonly string[]): Promise<Handle[]> {
  return Promise.all(
    names.map((workflowId) => runtime.client.workflow.start<typeof counter>('counter', { workflowId })),
  );
}

/** Opens a runtime in a folder of its own with that many counters, and closes it in any case. */
export async function withCounters<T>(
  bench: Bench,
  name: string,
  executions: number,
  fn: (handles: readonly Handle[]) => Promise<T>,
): Promise<T> {
  const runtime = await openRuntime(bench.folder(name));
  try {
    return await fn(
      await startCounters(
        runtime,
        Array.from({ length: executions }, (_, i) => `${name}-${i}`),
      ),
    );
  } finally {
    await runtime.close();
  }
}

/** One line of the report: calls at a concurrency beside their floor. */
export async function row(
  bench: Bench,
  parts: { workload: string; what: string; concurrency: number; call: Call; floor: Floor },
): Promise<LoadRow> {
  const { workload, what, concurrency, call, floor } = parts;
  const measured = await measure(bench.pace, concurrency, call, floor);
  return { kind: 'load', workload, what, concurrency, ...measured };
}

/**
 * Folders for one run under .signalbox, on the disk that the package lies on: the system's folder for temporary files is
 * memory on some machines, and fdatasync costs nothing there.
 */
export function openFolders(): { folder(name: string): string; remove(): void } {
  const base = path.join(ROOT, '.signalbox');
  mkdirSync(base, { recursive: true });
  const own = mkdtempSync(path.join(base, 'bench-'));
  let count = 0;
  return {
    folder(name) {
      const folder = path.join(own, `${++count}-${name}`);
      mkdirSync(folder);
      return folder;
    },
    remove: () => rmSync(own, { recursive: true, force: true }),
  };
}
