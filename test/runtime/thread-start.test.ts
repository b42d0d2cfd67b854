/** Threads are not ended while they load (thread-start.ts): Node.js would end the process. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Piscina } from 'piscina';
import { ThreadStarts } from '../../runtime/thread-start.js';
import { repository } from '../support/repository.js';

describe('threads that start', () => {
  const counter = new Int32Array(new SharedArrayBuffer(4));
  let piscina: Piscina;
  afterEach(() => piscina.destroy());

  function open(minThreads: number, maxThreads: number): ThreadStarts {
    Atomics.store(counter, 0, 0);
    piscina = new Piscina({
      filename: path.join(repository, 'test', 'fixtures', 'threads', 'slow.mjs'),
      minThreads,
      maxThreads,
      workerData: counter.buffer,
    });
    return new ThreadStarts(piscina);
  }

  it('asked right after the pool was made: waits until all have loaded', async () => {
    const starts = open(3, 3);
    await starts.over();
    expect(Atomics.load(counter, 0)).to.equal(3);
  });

  it('threads that came later, for work: are waited for too', async () => {
    const starts = open(1, 3);
    const work = Array.from({ length: 3 }, () => piscina.run(null));
    const { length } = piscina.threads;
    expect(length).to.be.above(1);
    await starts.over();
    expect(Atomics.load(counter, 0)).to.equal(length);
    expect(await Promise.all(work)).to.deep.equal(['done', 'done', 'done']);
  });

  it('all have loaded: nothing is waited for, again and again', async () => {
    const starts = open(2, 2);
    await starts.over();
    for (let i = 0; i < 3; i++) await starts.over();
  });

  it('runtime that is closed right after it was opened: the process lives, and ends by itself', async () => {
    const runtime = path.join(repository, 'dist', 'runtime', 'index.js');
    const script = `
      import { Runtime } from ${JSON.stringify(runtime)};
      for (let i = 0; i < 5; i++) await (await Runtime.open({ threads: 4 })).close();
      console.log('fine');`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).to.equal('fine\n');
  });
});
