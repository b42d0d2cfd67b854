/** The default logger (logger.ts), and what workflows log, as somebody sees it who looks at the process. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { repository } from '../support/repository.js';
import { fixture } from '../support/runtime.js';

const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[([A-Z]+)\] (.*?)(?: (\{"workflowId".*\}))?$/;

describe('default logger', () => {
  let stdout: string;
  let lines: { level: string; message: string; attributes: Record<string, unknown> }[];
  before(async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'signalbox-logger-'));
    try {
      const child = path.join(repository, 'dist', 'test', 'support', 'logging-child.js');
      const output = await promisify(execFile)(process.execPath, [child, fixture('logs'), folder]);
      stdout = output.stdout;
      lines = output.stderr
        .trimEnd()
        .split('\n')
        .map((line) => {
          const [, level, message, attributes = '{}'] = LINE.exec(line) ?? [];
          expect(level, line).to.be.a('string');
          return { level: level!, message: message!, attributes: JSON.parse(attributes) };
        });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('lines: go to standard error, from INFO on, each once also across a replay', () => {
    expect(lines.map(({ level, message }) => `${level} ${message}`)).to.deep.equal([
      'INFO at level info',
      'WARN at level warn',
      'ERROR at level error',
      'INFO on the console {"a":[1]}',
      'INFO before the reopen',
      'WARN asked',
      'INFO after the reopen',
    ]);
  });

  it('standard output: is left to the embedder', () => {
    expect(stdout).to.match(/^runId [0-9a-f-]{36}\n$/);
  });

  it('attributes: workflow id, run id and type, then those of the call', () => {
    const [, runId] = /^runId (.*)$/m.exec(stdout)!;
    const own = { workflowId: 'the workflow', runId, workflowType: 'logs' };
    for (const { message, attributes } of lines) {
      expect(attributes, message).to.deep.equal(/ the reopen$/.test(message) ? { ...own, said: '1n' } : own);
    }
  });
});
