/** Starts store-child.ts and listens to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'mocha';

export const CHILD = fileURLToPath(new URL('./store-child.js', import.meta.url));

export interface Child {
  process: ChildProcess;
  /** What it said so far. */
  said: unknown[];
  /** Waits until it has said that many things, or has ended. */
  heard(count: number): Promise<unknown[]>;
  /** What it wrote to standard error, where LMDB puts its notices. */
  complaints: () => string;
  /** Ends it at once, as kill -9 does, and waits until it is gone. */
  kill(): Promise<void>;
  /** Waits for its end; resolves with its exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>;
}

/** Registers the clean-up in the suite it is called in, and returns how to start a child. */
export function children(): (args: string[], wrapper?: string[]) => Child {
  const started: Child[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((child) => child.kill()));
  });
  return (args, wrapper = []) => {
    const child = start([...wrapper, process.execPath, CHILD, ...args]);
    started.push(child);
    return child;
  };
}

function start([command, ...args]: string[]): Child {
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: unknown[] = [];
  let complaints = '';
  let wake = (): void => {};
  createInterface({ input: child.stdout! }).on('line', (line) => {
    said.push(JSON.parse(line));
    wake();
  });
  child.stderr!.on('data', (text) => {
    complaints += text;
  });
  let isOver = false;
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  void ended.then(() => {
    isOver = true;
    wake();
  });
  return {
    process: child,
    said,
    complaints: () => complaints,
    ended,
    async heard(count) {
      while (said.length < count && !isOver) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return said;
    },
    async kill() {
      if (!isOver) child.kill('SIGKILL');
      await ended;
    },
  };
}
