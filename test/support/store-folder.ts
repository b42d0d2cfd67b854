/** Temporary folders for the tests of the store, each on the disk (not in memory), removed when its test is over. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach } from 'mocha';

/** Registers the clean-up in the suite it is called in, and returns how to make a folder. */
export function temporaryFolders(): () => string {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'signalbox-store-'));
    made.push(folder);
    return folder;
  };
}
