/**
 * Activities modules: TypeScript or JavaScript to one CommonJS script that a thread can evaluate, without a build step
 * for the user.
 *
 * Owns: that one esbuild call. Unlike workflows, activities may import anything; packages stay outside the bundle.
 */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildFailure, build } from 'esbuild';
import { displayPath, toProblems, WorkflowBundleError } from './bundle-errors.js';

/** @throws WorkflowBundleError when the module is missing or does not compile */
export async function bundleActivities(activitiesPath: string): Promise<{ code: string; filename: string }> {
  const filename = activitiesPath.startsWith('file:')
    ? fileURLToPath(activitiesPath)
    : path.resolve(activitiesPath);
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
    throw new WorkflowBundleError(
      displayPath(filename, path.dirname(filename)),
      toProblems(errors, filename),
      { cause: error },
    );
  }
}
