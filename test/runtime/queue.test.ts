/** Who travels in the next batch: order within a run, turns between runs, and messages that go by themselves (queue.ts). */
import { expect } from 'chai';
import fc from 'fast-check';
import type { Item, Live } from '../../runtime/live.js';
import { MessageQueue } from '../../runtime/queue.js';

const MOST = 8;
interface Message {
  run: string;
  n: number;
  cost: number;
}

describe('message queue', () => {
  /** Runs are strings here: the queue asks nothing of them. */
  const asItem = (message: Message) => ({ ...message, live: message.run }) as unknown as Item;
  const name = (item: Item) => `${(item as unknown as Message).run}${(item as unknown as Message).n}`;
  const newQueue = () =>
    new MessageQueue((item) => Math.max(1 / MOST, (item as unknown as Message).cost), MOST);
  const push = (queue: MessageQueue, run: string, count: number, cost = 0) => {
    for (let n = 0; n < count; n++) queue.push(asItem({ run, n, cost }));
  };
  function batch(queue: MessageQueue, stays: (item: Item) => boolean = () => false, ms = 1) {
    const names: string[] = [];
    const kind = queue.take((item) => {
      if (stays(item)) return false;
      names.push(name(item));
      return true;
    });
    if (kind !== undefined) queue.took(kind, ms);
    return { kind, names };
  }

  it('fewer messages than a batch takes: all go', () => {
    const queue = newQueue();
    push(queue, 'a', 3);
    push(queue, 'b', 2);
    expect(batch(queue).names).to.have.members(['a0', 'a1', 'a2', 'b0', 'b1']);
    expect(queue.size).to.equal(0);
    expect(batch(queue)).to.deep.equal({ kind: undefined, names: [] });
  });

  it('one run with far more than a batch, others with one each: these are all in the first batch', () => {
    const queue = newQueue();
    push(queue, 'hot', 1_000);
    for (const run of ['a', 'b', 'c']) push(queue, run, 1);
    const { names } = batch(queue);
    expect(names).to.include.members(['a0', 'b0', 'c0', 'hot0']);
    expect(names).to.have.length(MOST);
  });

  it('more runs than a batch takes: those that were left out come first in the next', () => {
    const queue = newQueue();
    for (let run = 0; run < 20; run++) push(queue, `r${run} `, 2);
    const first = [batch(queue), batch(queue), batch(queue)].flatMap(({ names }) => names);
    expect(first.filter((each) => each.endsWith(' 0'))).to.have.length(20);
  });

  it('heavy messages of one run: one batch each, and light ones go between them', () => {
    const queue = newQueue();
    push(queue, 'slow', 3, 10);
    push(queue, 'a', 1);
    expect(batch(queue)).to.deep.equal({ kind: 'heavy', names: ['slow0'] });
    push(queue, 'b', 1);
    expect(batch(queue)).to.deep.equal({ kind: 'light', names: ['a0', 'b0'] });
    expect(batch(queue)).to.deep.equal({ kind: 'heavy', names: ['slow1'] });
    expect(batch(queue)).to.deep.equal({ kind: 'heavy', names: ['slow2'] });
  });

  it('heavy and light ones without end: light ones get as much time, heavy ones are not starved', () => {
    const queue = newQueue();
    push(queue, 'slow', 5, 10);
    push(queue, 'hot', 1_000);
    const kinds = Array.from({ length: 24 }, () => {
      const names: string[] = [];
      const kind = queue.take((item) => names.push(name(item)) > 0)!;
      queue.took(kind, kind === 'heavy' ? 50 : 5);
      return kind;
    });
    expect(kinds.filter((kind) => kind === 'heavy')).to.have.length(3);
    expect(kinds.slice(1, 11)).to.deep.equal(Array(10).fill('light'));
  });

  it('several heavy runs: take turns', () => {
    const queue = newQueue();
    for (const run of ['x', 'y']) push(queue, run, 2, 2);
    expect([1, 2, 3, 4].flatMap(() => batch(queue).names)).to.deep.equal(['x0', 'y0', 'x1', 'y1']);
  });

  it('a heavy message behind light ones of its run: the light ones share a batch, it goes by itself', () => {
    const queue = newQueue();
    push(queue, 'a', 2);
    queue.push(asItem({ run: 'a', n: 2, cost: 1 }));
    queue.push(asItem({ run: 'a', n: 3, cost: 0 }));
    expect([1, 2, 3].map(() => batch(queue).names)).to.deep.equal([['a0', 'a1'], ['a2'], ['a3']]);
  });

  it('costly messages: a batch takes as many as fill it', () => {
    const queue = newQueue();
    push(queue, 'a', 10, 0.4);
    push(queue, 'b', 1);
    const { names } = batch(queue);
    expect(names.filter((each) => each.startsWith('a')).length).to.be.within(1, 3);
    expect(names).to.include('b0');
  });

  it('a run that must wait: stays behind as a whole, the others go', () => {
    const queue = newQueue();
    push(queue, 'a', 2);
    push(queue, 'b', 2);
    expect(batch(queue, (item) => name(item).startsWith('a')).names).to.deep.equal(['b0', 'b1']);
    expect(batch(queue, () => true)).to.deep.equal({ kind: undefined, names: [] });
    expect(batch(queue).names).to.deep.equal(['a0', 'a1']);
  });

  it('a message that is sent on while a batch is made: it waits, and the batch is known to have taken something', () => {
    const queue = newQueue();
    push(queue, 'a', 1);
    const kind = queue.take(() => {
      push(queue, 'b', 1);
      return true;
    });
    expect({ kind, size: queue.size }).to.deep.equal({ kind: 'light', size: 1 });
    expect(batch(queue).names).to.deep.equal(['b0']);
  });

  it('messages put first: come before all of their runs, in their order', () => {
    const queue = newQueue();
    push(queue, 'a', 1);
    queue.unshift([
      asItem({ run: 'a', n: 8, cost: 0 }),
      asItem({ run: 'b', n: 8, cost: 0 }),
      asItem({ run: 'a', n: 9, cost: 0 }),
    ]);
    const { names } = batch(queue);
    expect(names.filter((each) => each.startsWith('a'))).to.deep.equal(['a8', 'a9', 'a0']);
    expect(names).to.include('b8');
    expect(queue.size).to.equal(0);
  });

  it('messages taken out: the rest goes on in order, and none is left of a run that has no more', () => {
    const queue = newQueue();
    push(queue, 'a', 4);
    const odd = queue.remove('a' as unknown as Live, (item) => (item as unknown as Message).n % 2 === 1);
    expect(odd.map(name)).to.deep.equal(['a1', 'a3']);
    expect(queue.remove('a' as unknown as Live, () => true)).to.have.length(2);
    expect(queue.size).to.equal(0);
    expect(batch(queue).kind).to.equal(undefined);
  });

  it('suspects: go one at a time and before all else, what is put first meanwhile too, and each run in order', () => {
    const queue = newQueue();
    push(queue, 'b', 2);
    queue.suspect([0, 1].flatMap((n) => ['a', 'b'].map((run) => asItem({ run, n: n - 9, cost: 0 }))));
    expect(batch(queue, (item) => name(item).startsWith('a'))).to.deep.equal({
      kind: 'suspect',
      names: ['b-9'],
    });
    queue.unshift([asItem({ run: 'c', n: 0, cost: 0 })]);
    const gone = queue.remove('a' as unknown as Live, (item) => name(item) === 'a-8');
    expect(gone.map(name)).to.deep.equal(['a-8']);
    expect([1, 2, 3, 4].map(() => batch(queue).names)).to.deep.equal([
      ['c0'],
      ['a-9'],
      ['b-8'],
      ['b0', 'b1'],
    ]);
    expect(queue.size).to.equal(0);
  });

  it('anything in any order: every message goes once, in the order of its run (D3)', () => {
    const step = fc.oneof(
      fc.record({ run: fc.constantFrom('a', 'b', 'c'), cost: fc.constantFrom(0, 0.3, 1, 4) }),
      fc.constant('take' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const queue = newQueue();
        const sent = new Map<string, number>();
        const got = new Map<string, number>();
        const take = () => {
          for (const each of batch(queue).names) {
            const [run, n] = [each[0]!, Number(each.slice(1))];
            expect(n).to.equal(got.get(run) ?? 0);
            got.set(run, n + 1);
          }
        };
        for (const each of steps) {
          if (each === 'take') take();
          else {
            const n = sent.get(each.run) ?? 0;
            sent.set(each.run, n + 1);
            queue.push(asItem({ ...each, n }));
          }
        }
        while (queue.size > 0) take();
        expect(got).to.deep.equal(sent);
      }),
    );
  });
});
