/** What messages are expected to take, learnt from those before them (turn-times.ts); no clock is read here. */
import { expect } from 'chai';
import type { BatchResult, RunTime } from '../../codec/envelope.js';
import type { Item, Live } from '../../runtime/live.js';
import { TurnTimes } from '../../runtime/turn-times.js';

const LONG_MS = 5;

describe('turn times', () => {
  const newRun = (runNo: number, workflowType = 'type') =>
    ({ messageMs: undefined, run: { runNo, info: { workflowType } } }) as unknown as Live;
  const learn = (times: TurnTimes, runs: readonly Live[], elapsedMs: number, taken: RunTime[] = []) =>
    times.learn(
      runs.map((live) => ({ live }) as Item),
      { times: taken } as unknown as BatchResult,
      elapsedMs,
    );

  it('batches that take no time: nobody is asked how long anything took', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    for (let batch = 0; batch < 100; batch++) learn(times, [run], 0);
    expect(times.wanted).to.equal(false);
    expect(times.of(run)).to.equal(0);
  });

  it('a batch took long: the time of the next ones is taken, and what a run took counts a message', () => {
    const times = new TurnTimes(LONG_MS);
    const [slow, quick] = [newRun(1), newRun(2, 'other')];
    learn(times, [slow, quick], 200);
    expect(times.wanted).to.equal(true);
    expect(times.of(slow)).to.equal(0);
    learn(times, [slow, quick], 200, [{ runNo: 1, ms: 200, messages: 4 }]);
    expect(times.of(slow)).to.equal(50);
    expect(times.of(quick)).to.equal(0);
  });

  it('a run of which nothing is known: is expected to take what its type does', () => {
    const times = new TurnTimes(LONG_MS);
    const slow = newRun(1, 'slow');
    learn(times, [slow], 50);
    learn(times, [slow], 50, [{ runNo: 1, ms: 50, messages: 1 }]);
    expect(times.of(newRun(2, 'slow'))).to.equal(50);
    expect(times.of(newRun(3, 'quick'))).to.equal(0);
  });

  it('slow now and then: still taken for slow at once; fast for long: taken for fast, and asked no more', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    learn(times, [run], 50);
    learn(times, [run], 50, [{ runNo: 1, ms: 50, messages: 1 }]);
    learn(times, [run], 0);
    expect(times.of(run)).to.equal(25);
    learn(times, [run], 80, [{ runNo: 1, ms: 80, messages: 1 }]);
    expect(times.of(run)).to.equal(80);
    for (let batch = 0; batch < 100; batch++) learn(times, [run], 0);
    expect(times.of(run)).to.equal(0);
    expect(times.of(newRun(2))).to.equal(0);
    expect(times.wanted).to.equal(false);
  });
});
