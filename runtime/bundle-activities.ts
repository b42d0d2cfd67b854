/**
 * Activities modules: TypeScript or JavaScript to one CommonJS script that a thread can evaluate, without a build step
 * for the user.
 *
 * Owns: that one esbuild call, and the error about a module of activities. Unlike workflows, activities may import anything; packages stay outside the bundle.
 */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildFailure, build } from 'esbuild';
import { type BundleProblem, toProblems, WorkflowBundleError } from './bundle-errors.js';

/** @throws WorkflowBundleError when the module is missing or does not compile */
export async function bundleActivities(activitiesPath: string): Promise<{ code: string; filename: string }> {
  const filename = toPath(activitiesPath);
  try {
    const { outputFiles } = await build({
      entryPoints: [filename],
      bundle: true,
      write: false,
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      sourcemap: 'inline',
      logLevel: 'silent',
      keepNames: true,
    });
    return { code: outputFiles[0]!.text, filename };
  } catch (error) {
    const errors = (error as BuildFailure).errors ?? [];
    if (errors.length === 0) throw error;
    throw failure(
      activitiesPath,
      toProblems(errors, filename).map((problem) => inUsersWords(problem, activitiesPath)),
      error,
    );
  }
}

/** An error about the module as a whole. */
export function activitiesError(activitiesPath: string, text: string, cause?: unknown): WorkflowBundleError {
  return failure(activitiesPath, [{ file: activitiesPath, line: 0, column: 0, text }], cause);
}

function failure(activitiesPath: string, problems: BundleProblem[], cause: unknown): WorkflowBundleError {
  return new WorkflowBundleError(activitiesPath, problems, { cause }, 'activities');
}

function inUsersWords(problem: BundleProblem, activitiesPath: string): BundleProblem {
  if (problem.line > 0) return problem;
  const text = problem.text.startsWith('Could not resolve')
    ? 'there is no such file, with or without an extension, nor a folder of that name with an index file'
    : problem.text;
  return { ...problem, file: activitiesPath, text };
}

function toPath(activitiesPath: string): string {
  try {
    return activitiesPath.startsWith('file:') ? fileURLToPath(activitiesPath) : path.resolve(activitiesPath);
  } catch (error) {
    throw activitiesError(activitiesPath, (error as Error).message, error);
  }
}
