/** Where the repository lies, from a compiled test. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder with the package.json of signalbox and its sources. */
export const repository = find(path.dirname(fileURLToPath(import.meta.url)));

function find(folder: string): string {
  const file = path.join(folder, 'package.json');
  if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'signalbox')
    return folder;
  return find(path.dirname(folder));
}
