/** Executions that leave memory and come back (thread.ts, runs.ts): by count and by bytes, with nothing lost. */
import { expect } from 'chai';
import { noUnhandledRejections } from '../support/faulty.js';
import { eventually, type Handle, ManualClock, TestRuntime } from '../support/runtime.js';

const list = (handle: Handle) => handle.query('list');
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('passivation', () => {
  noUnhandledRejections();
  const opened: TestRuntime[] = [];
  afterEach(async () => {
    for (const test of opened.splice(0)) await test.close();
  });
  async function open(options: Partial<Parameters<typeof TestRuntime.open>[0]>): Promise<TestRuntime> {
    const test = await TestRuntime.open({ workflows: '../bad/collector', ...options });
    opened.push(test);
    return test;
  }

  it('more executions than a thread keeps: the rest leaves memory, also when nothing more comes', async () => {
    const test = await open({ threads: 2, limits: { activationsPerThreadMax: 5 } });
    const handles = await Promise.all(numbers(40).map((n) => test.start('collector', [n])));
    await eventually(() => test.runtime.metrics().activations <= 10);
    for (const [n, handle] of handles.entries()) expect(await list(handle)).to.deep.equal([n]);
    await eventually(() => test.runtime.metrics().activations <= 10);
  });

  it('signals and queries to executions in turn, with room for three: state, order and history stay', async () => {
    const test = await open({ limits: { activationsPerThreadMax: 3, journalBytesMax: 4_000 } });
    const handles = await Promise.all(numbers(12).map((n) => test.start('collector', [n])));
    for (const round of numbers(5)) {
      await Promise.all(
        handles.flatMap((handle) => [
          handle.signal('add', `a${round}`),
          handle.executeUpdate('put', { args: [round] }),
          handle.signal('add', `b${round}`),
        ]),
      );
    }
    const expected = (n: number) => [n, ...numbers(5).flatMap((round) => [`a${round}`, `b${round}`, round])];
    const lists = await Promise.all(handles.map(list));
    for (const [n, seen] of lists.entries()) expect(seen).to.have.members(expected(n));
    const histories = await Promise.all(handles.map((handle) => handle.fetchHistory()));
    await test.crash();
    expect(await Promise.all(handles.map((handle) => list(test.again(handle))))).to.deep.equal(lists);
    expect(await Promise.all(handles.map((handle) => test.again(handle).fetchHistory()))).to.deep.equal(
      histories,
    );
  });

  it('those that left memory and the journal: the host forgets them, and finds them again', async () => {
    const test = await open({ limits: { activationsPerThreadMax: 5, journalBytesMax: 1_000 } });
    const handles = await Promise.all(numbers(100).map((n) => test.start('collector', [n])));
    await eventually(() => test.runtime.metrics().runsInMemory < 20);
    for (const handle of handles) expect((await handle.describe()).status.name).to.equal('RUNNING');
    expect(await list(handles[3]!)).to.deep.equal([3]);
    await handles[3]!.signal('finish');
    expect(await handles[3]!.result()).to.deep.equal([3]);
  });

  it('somebody waits for its result, it leaves memory, and ends: the caller is told', async () => {
    const test = await open({ limits: { activationsPerThreadMax: 1, journalBytesMax: 1 } });
    const handle = await test.start('collector', ['waited for']);
    const result = handle.result();
    for (const n of numbers(5)) await test.start('collector', [n]);
    await eventually(() => test.runtime.metrics().activations === 1);
    await test.again(handle).signal('finish');
    expect(await result).to.deep.equal(['waited for']);
  });

  it('its timer is due while it is not in memory: it comes back for it', async () => {
    const clock = new ManualClock();
    const test = await open({ clock, limits: { activationsPerThreadMax: 1, journalBytesMax: 1 } });
    const handles = await Promise.all(numbers(10).map(() => test.start('collector')));
    // Soon, beyond the horizon of the agenda, and at the same time as another.
    for (const [n, handle] of handles.entries())
      await handle.signal('sleep', 1_000 * 60 * 4 * (n >> 1) + 1_000);
    await eventually(() => test.runtime.metrics().activations <= 1);
    for (let minute = 0; minute < 20; minute++) {
      clock.advance(60_000);
      await eventually(() => test.runtime.metrics().queuedMessages === 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const handle of handles)
      await eventually(async () => ((await list(handle)) as unknown[]).length === 1);
  });

  it('its activity ends while it is not in memory: it comes back for the result, which is taken once', async () => {
    const answers: (() => void)[] = [];
    const double = (n: number) => new Promise<number>((resolve) => void answers.push(() => resolve(2 * n)));
    const test = await open({
      activities: { double },
      limits: { activationsPerThreadMax: 1, journalBytesMax: 1 },
    });
    const handle = await test.start('collector');
    await handle.signal('call', 21);
    for (const n of numbers(5)) await test.start('collector', [n]);
    await eventually(() => answers.length === 1 && test.runtime.metrics().activations === 1);
    // Asked and changed from a new look at the store, while the activity's end is still to come.
    await handle.signal('add', 'meanwhile');
    await test.start('collector');
    await eventually(() => test.runtime.metrics().activations === 1);
    answers[0]!();
    await eventually(async () => ((await list(handle)) as unknown[]).length === 2);
    expect(await list(handle)).to.deep.equal(['meanwhile', 'doubled 42']);
    await test.crash();
    expect(await list(test.again(handle))).to.deep.equal(['meanwhile', 'doubled 42']);
  });

  it('an activity is tried again hours later: also when its execution left memory, and after a reopen', async () => {
    const clock = new ManualClock();
    let attempts = 0;
    const double = async (n: number) => {
      if (++attempts < 3) throw new Error('once more');
      return 2 * n;
    };
    const test = await open({
      clock,
      activities: { double },
      limits: { activationsPerThreadMax: 1, journalBytesMax: 1 },
    });
    const handle = await test.start('collector');
    await handle.signal('call', 21);
    const passHour = async (attempt: number): Promise<void> => {
      await eventually(
        async () => (await test.again(handle).describe()).pendingActivities[0]?.attempt === attempt,
      );
      for (let minute = 0; minute < 61; minute++) {
        clock.advance(60_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await passHour(2);
    await eventually(() => attempts === 2);
    await eventually(async () => (await test.again(handle).describe()).pendingActivities[0]?.attempt === 3);
    await test.reopen();
    await passHour(3);
    await eventually(async () => ((await list(test.again(handle))) as unknown[])[0] === 'doubled 42');
    expect(attempts).to.equal(3);
  });

  it('a run has a limit of hours: it times out, also when it left memory, and after a reopen', async () => {
    const clock = new ManualClock();
    const test = await open({ clock, limits: { activationsPerThreadMax: 1, journalBytesMax: 1 } });
    const handle = await test.start('collector', [], { workflowRunTimeout: '2 hours' });
    const other = await test.start('collector', [], { workflowExecutionTimeout: '3 hours' });
    const passHour = async (): Promise<void> => {
      for (let minute = 0; minute < 60; minute++) {
        clock.advance(60_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await passHour();
    await test.reopen();
    await passHour();
    await eventually(async () => (await test.again(handle).describe()).status.name === 'TIMED_OUT');
    expect((await test.again(other).describe()).status.name).to.equal('RUNNING');
    await passHour();
    await eventually(async () => (await test.again(other).describe()).status.name === 'TIMED_OUT');
  });

  it('a thread uses more heap than it may: executions leave memory although there are few', async () => {
    const test = await open({ limits: { heapBytesPerThreadMax: 1 } });
    const handles = await Promise.all(numbers(20).map((n) => test.start('collector', [n])));
    // The thread looks at its heap now and then only.
    for (let i = 0; i < 130; i++) await list(handles[0]!);
    await eventually(() => test.runtime.metrics().activations < 20);
    expect(test.runtime.metrics().threadHeapBytes[0]).to.be.a('number');
    expect(await Promise.all(handles.map(list))).to.deep.equal(numbers(20).map((n) => [n]));
  });

  it('5,000 open executions, 50 in memory: each takes its signal and has its state, memory stays small', async () => {
    const test = await open({
      threads: 2,
      limits: { activationsPerThreadMax: 50, journalBytesMax: 100_000 },
    });
    const handles: Handle[] = [];
    for (let i = 0; i < 10; i++)
      handles.push(...(await Promise.all(numbers(500).map((n) => test.start('collector', [500 * i + n])))));
    await Promise.all(handles.map((handle) => handle.signal('add', 'signal')));
    await eventually(() => test.runtime.metrics().activations <= 100);
    const some = handles.filter((_, n) => n % 50 === 0);
    for (const [n, handle] of some.entries()) expect(await list(handle)).to.deep.equal([50 * n, 'signal']);
    // What stands only in the journal, and what was looked at last, are all that the host knows of.
    await eventually(() => test.runtime.metrics().runsInMemory < 1_500);
  });
});
