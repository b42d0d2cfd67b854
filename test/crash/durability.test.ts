/**
 * D1 against loss of power, which kill -9 does not show: the system calls of a runtime, read for whether the disk said
 * that it has what an acknowledgement promises, before the acknowledgement.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const CHILD = fileURLToPath(new URL('../support/crash-trace.js', import.meta.url));
const CALLS = 'trace=openat,fdatasync,fsync,msync,write,pwrite64,pwritev,sendmsg';

/** Each makes something that must not be lost. */
const FLUSHED = [
  'start',
  'signal',
  'signal with a request id',
  'signalWithStart',
  'update accepted',
  'update completed',
  'activity start',
  // An answer may not show what could still be lost (D4).
  'query of a signal on its way',
  'cancel',
  'terminate',
  'completion',
];
/** These only look. */
const NOT_FLUSHED = ['query', 'update result by id'];

describe('what is on the disk before an acknowledgement', () => {
  let trace: string[] | undefined;
  let folder: string;

  before(function () {
    this.timeout(180_000);
    folder = mkdtempSync(path.join(os.tmpdir(), 'signalbox-trace-'));
    const file = path.join(folder, 'trace');
    const args = [
      '-f',
      '-y',
      '-s',
      '64',
      '-o',
      file,
      '-e',
      CALLS,
      process.execPath,
      CHILD,
      path.join(folder, 'store'),
    ];
    const { status, error } = spawnSync('strace', args, { encoding: 'utf8' });
    // Where there is none, or it may not trace, there is nothing to read.
    if (error !== undefined || (status !== 0 && !hasAcknowledgements(file))) return;
    trace = byReturn(readFileSync(file, 'latin1'));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  beforeEach(function () {
    if (trace !== undefined) return;
    console.log('        (pending: strace is not installed, or may not trace here)');
    this.skip();
  });

  for (const kind of FLUSHED) {
    it(`disk: ${kind} -> a redo file has it, through O_DSYNC, then came the acknowledgement`, () => {
      const calls = between(trace!, kind);
      const written = calls.filter((line) => /^pwrite64\(\d+<.*redo\.[01]>/.test(line));
      expect(written, calls.join('\n')).not.to.deep.equal([]);
      for (const line of written) expect(isFlushed(trace!, line), line).to.equal(true);
    });
  }

  for (const kind of NOT_FLUSHED) {
    it(`disk: ${kind} -> nothing is written`, () => {
      const calls = between(trace!, kind).filter((line) => /data\.mdb|redo\.[01]/.test(line));
      expect(calls).to.deep.equal([]);
    });
  }
});

/** Calls that returned after the request was made and before the acknowledgement was begun. */
function between(trace: string[], kind: string): string[] {
  const ask = trace.findIndex((line) => line.startsWith('write(1<') && line.includes(`"ASK ${kind}\\n"`));
  const ack = trace.findIndex(
    (line, at) => at > ask && line.startsWith('write(1<') && line.includes(`"ACK ${kind}\\n"`),
  );
  expect(ask, `ASK ${kind}`).to.be.at.least(0);
  expect(ack, `ACK ${kind}`).to.be.greaterThan(ask);
  return trace.slice(ask + 1, ack);
}

/** The file descriptor of a write is one whose writes return when the disk has them. */
function isFlushed(trace: string[], written: string): boolean {
  const fd = /^pwrite64\((\d+<[^>]*>)/.exec(written)?.[1];
  return trace.some(
    (line) => line.startsWith('openat(') && line.includes('O_DSYNC') && line.endsWith(` = ${fd}`),
  );
}

function hasAcknowledgements(file: string): boolean {
  try {
    return readFileSync(file, 'latin1').includes('ACK completion');
  } catch {
    return false;
  }
}

/**
 * strace splits a call that others overtake in two lines. Put together at the second, calls are in the order in which
 * they returned; but what the child says counts from when it began to say it.
 */
function byReturn(trace: string): string[] {
  const unfinished = new Map<string, string>();
  const lines: string[] = [];
  for (const line of trace.split('\n')) {
    const [, pid = '', call = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(call);
    if (call.endsWith('<unfinished ...>')) {
      unfinished.set(pid, call.slice(0, -'<unfinished ...>'.length).trimEnd());
      if (call.startsWith('write(1<')) lines.push(call);
    } else if (resumed !== null) lines.push(`${unfinished.get(pid) ?? ''}${resumed[1]}`);
    else lines.push(call);
  }
  return lines.map((line) => line.replace(/\s+= /, ' = '));
}
