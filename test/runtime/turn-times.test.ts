/** What messages are expected to take, learnt from those before them (turn-times.ts); no clock is read here. */
import { expect } from 'chai';
import type { BatchResult, RunTime } from '../../codec/envelope.js';
import type { Item, Live } from '../../runtime/live.js';
import { TurnTimes } from '../../runtime/turn-times.js';

const LONG_MS = 5;

describe('turn times', () => {
  const newRun = (runNo: number, workflowType = 'type') =>
    ({ expectation: undefined, run: { runNo, info: { workflowType } } }) as unknown as Live;
  const learn = (times: TurnTimes, runs: readonly Live[], elapsedMs: number, taken: RunTime[] = []) =>
    times.learn(
      runs.map((live) => ({ live }) as Item),
      { ms: elapsedMs, times: taken } as unknown as BatchResult,
      elapsedMs,
    );

  const took = (runNo: number, ms: number, messages = 1): RunTime => ({ runNo, ms, messages });

  it('batches that take no time: nothing is expected, and nobody asks how long queries took', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    for (let batch = 0; batch < 100; batch++) learn(times, [run], 0, [took(1, 1)]);
    expect(times.wanted).to.equal(false);
    expect(times.of(run)).to.equal(0);
  });

  it('a clock that stands still: nothing is learnt, however long the thread took', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    const result = { ms: 50, times: [took(1, 50)] } as unknown as BatchResult;
    for (let batch = 0; batch < 3; batch++) times.learn([{ live: run } as Item], result, 0);
    expect(times.of(run)).to.equal(0);
  });

  it('slow once, as in a turn in which garbage is collected: not yet expected to be slow', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    learn(times, [run], 20, [took(1, 20)]);
    expect(times.of(run)).to.equal(0);
    expect(times.wanted).to.equal(true);
    for (let batch = 0; batch < 20; batch++) learn(times, [run], 0);
    expect(times.wanted).to.equal(false);
    learn(times, [run], 20, [took(1, 20)]);
    expect(times.of(run)).to.equal(0);
  });

  it('slow twice: expected to be, by what a message took; runs beside it are not', () => {
    const times = new TurnTimes(LONG_MS);
    const [slow, quick] = [newRun(1), newRun(2, 'other')];
    for (let batch = 0; batch < 2; batch++) learn(times, [slow, quick], 200, [took(1, 200, 4)]);
    expect(times.of(slow)).to.equal(50);
    expect(times.of(quick)).to.equal(0);
  });

  it('a run of which nothing is known: is expected to take what its type does', () => {
    const times = new TurnTimes(LONG_MS);
    for (const no of [1, 2]) learn(times, [newRun(no, 'slow')], 50, [took(no, 50)]);
    expect(times.of(newRun(3, 'slow'))).to.equal(50);
    expect(times.of(newRun(4, 'quick'))).to.equal(0);
  });

  it('starts that take a little, as on a slow machine, and messages that take long: a run of the type is expected to be slow from its start on', () => {
    const times = new TurnTimes(1);
    for (const no of [1, 2]) {
      const run = newRun(no);
      learn(times, [run], 2, [took(no, 2)]);
      learn(times, [run], 100, [took(no, 100)]);
    }
    const run = newRun(3);
    learn(times, [run], 2, [took(3, 2)]);
    expect(times.of(run)).to.be.within(10, 100);
  });

  it('one run that is slow again and again: others of its type are not expected to be', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    for (let batch = 0; batch < 4; batch++) learn(times, [run], 50, [took(1, 50)]);
    expect(times.of(run)).to.equal(50);
    expect(times.of(newRun(2))).to.equal(0);
  });

  it('a type that is slow, of which one run is left that is quick: expected to be quick again', () => {
    const times = new TurnTimes(LONG_MS);
    const [first, last] = [newRun(1), newRun(2)];
    for (const run of [first, last]) learn(times, [run], 50, [took(run.run.runNo, 50)]);
    for (let batch = 0; batch < 100; batch++) learn(times, [last], 0);
    expect(times.of(last)).to.equal(0);
    expect(times.of(newRun(3))).to.equal(0);
  });

  it('a slow run of a type whose others are quick: these are not expected to be slow', () => {
    const times = new TurnTimes(LONG_MS);
    const [slow, quick] = [newRun(1), newRun(2)];
    learn(times, [slow, quick], 50, [took(1, 50)]);
    for (let batch = 0; batch < 4; batch++) learn(times, [slow], 50, [took(1, 50)]);
    expect(times.of(slow)).to.equal(50);
    expect(times.of(quick)).to.equal(0);
    expect(times.of(newRun(3))).to.equal(0);
  });

  it('a type whose runs were slow at first and are not any more: expected to be quick again', () => {
    const times = new TurnTimes(LONG_MS);
    for (const no of [1, 2]) learn(times, [newRun(no)], 50, [took(no, 50)]);
    for (let no = 3; no < 20; no++) learn(times, [newRun(no)], 0);
    expect(times.of(newRun(20))).to.equal(0);
  });

  it('many messages that each take a little: expected to take what they do on the average, slow ones left out', () => {
    const times = new TurnTimes(LONG_MS);
    const runs = Array.from({ length: 100 }, (_, no) => newRun(no));
    for (let batch = 0; batch < 200; batch++) learn(times, runs, 49.6 + 50, [took(1, 50)]);
    expect(times.of(runs[0]!)).to.be.closeTo(49.6 / 99, 0.01);
    expect(times.of(runs[1]!)).to.equal(50);
    expect(times.of(newRun(1_000))).to.be.closeTo(49.6 / 99, 0.01);
    for (let batch = 0; batch < 200; batch++) learn(times, runs, 0);
    expect(times.of(runs[0]!)).to.be.below(0.001);
  });

  it('few messages at a time: say nothing about the average', () => {
    const times = new TurnTimes(LONG_MS);
    for (let batch = 0; batch < 200; batch++) learn(times, [newRun(1), newRun(2)], 4);
    expect(times.of(newRun(3))).to.equal(0);
  });

  it('a host that lets the thread wait: batches are longer, within bounds; and short again when it does not', () => {
    const times = new TurnTimes(LONG_MS);
    const wait = (ms: number) => {
      for (let batch = 0; batch < 200; batch++) times.learnWait(ms);
      return times.batchMs;
    };
    expect(wait(0.1)).to.equal(LONG_MS);
    expect(wait(1)).to.be.within(2 * LONG_MS, 4 * LONG_MS);
    expect(wait(100)).to.equal(20 * LONG_MS);
    expect(wait(-0.1)).to.equal(LONG_MS);
  });

  it('very many runs that are slow once and never come again: a bounded number is kept', () => {
    const times = new TurnTimes(LONG_MS);
    const first = newRun(1);
    for (let batch = 0; batch < 2; batch++) learn(times, [first], 50, [took(1, 50)]);
    for (let no = 2; no < 5_000; no++) learn(times, [newRun(no, `type ${no}`)], 50, [took(no, 50)]);
    expect(times.watched).to.equal(1_024);
    expect(first.expectation).to.equal(undefined);
  });

  it('slow now and then: taken for slow; fast for long: taken for fast, and its type as well', () => {
    const times = new TurnTimes(LONG_MS);
    const run = newRun(1);
    for (let batch = 0; batch < 2; batch++) learn(times, [run], 50, [took(1, 50)]);
    learn(times, [run], 0);
    expect(times.of(run)).to.equal(25);
    learn(times, [run], 50, [took(1, 50)]);
    expect(times.of(run)).to.be.at.least(25);
    for (let batch = 0; batch < 100; batch++) learn(times, [run], 0);
    expect(times.of(run)).to.equal(0);
    expect(times.of(newRun(2))).to.equal(0);
  });
});
