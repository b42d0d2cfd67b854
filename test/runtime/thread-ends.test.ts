/** The end of threads (thread-ends.ts): not while they load, which would end the process, and whatever they are doing. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Piscina } from 'piscina';
import { ThreadEnds } from '../../runtime/thread-ends.js';
import { repository } from '../support/repository.js';
import { eventually } from '../support/runtime.js';

describe('threads that start', () => {
  const counter = new Int32Array(new SharedArrayBuffer(4));
  let piscina: Piscina;
  afterEach(() => piscina.destroy());

  function open(minThreads: number, maxThreads: number): ThreadEnds {
    Atomics.store(counter, 0, 0);
    piscina = new Piscina({
      filename: path.join(repository, 'test', 'fixtures', 'threads', 'slow.mjs'),
      minThreads,
      maxThreads,
      workerData: counter.buffer,
    });
    return new ThreadEnds(piscina);
  }

  it('asked right after the pool was made: waits until all have loaded', async () => {
    const ends = open(3, 3);
    await ends.loaded();
    expect(Atomics.load(counter, 0)).to.equal(3);
  });

  it('threads that came later, for work: are waited for too', async () => {
    const ends = open(1, 3);
    const work = Array.from({ length: 3 }, () => piscina.run(null));
    const { length } = piscina.threads;
    expect(length).to.be.above(1);
    await ends.loaded();
    expect(Atomics.load(counter, 0)).to.equal(length);
    expect(await Promise.all(work)).to.deep.equal(['done', 'done', 'done']);
  });

  it('all have loaded: nothing is waited for, again and again', async () => {
    const ends = open(2, 2);
    await ends.loaded();
    for (let i = 0; i < 3; i++) await ends.loaded();
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

describe('threads that are ended while Node.js notes a rejected promise', () => {
  for (const [then, what] of [
    ['drains', 'the turn goes on: the process lives, the thread ends'],
    ['blocks', 'the code goes on without an end: the thread ends, and close() with it'],
  ] as const)
    it(what, async () => {
      const noting = new Int32Array(new SharedArrayBuffer(4));
      const piscina = new Piscina({
        filename: path.join(repository, 'test', 'fixtures', 'threads', 'rejecting.mjs'),
        minThreads: 1,
        maxThreads: 1,
      });
      const ends = new ThreadEnds(piscina);
      const work = piscina.run({ noting, then }).catch((error: Error) => error.message);
      await eventually(() => Atomics.load(noting, 0) === 1);
      await ends.close();
      expect(await work).to.equal('Terminating worker thread');
    });
});
