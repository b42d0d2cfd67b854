import { expect } from 'chai';
import fc from 'fast-check';
import { MinHeap } from '../../runtime/heap.js';

const heapOf = (numbers: readonly number[]): MinHeap<number> => {
  const heap = new MinHeap<number>((a, b) => a < b);
  for (const number of numbers) heap.push(number);
  return heap;
};

describe('heap', () => {
  it('pushed in any order: popped in ascending order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (numbers) => {
        const heap = heapOf(numbers);
        expect(heap.size).to.equal(numbers.length);
        const popped = numbers.map(() => heap.pop());
        expect(popped).to.deep.equal([...numbers].sort((a, b) => a - b));
        expect(heap.size).to.equal(0);
      }),
    );
  });

  it('pushed and popped in turns: agrees with a sorted list at every step', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer())), (steps) => {
        const heap = heapOf([]);
        let model: number[] = [];
        for (const step of steps) {
          if (step === null) expect(heap.pop()).to.equal(model.shift());
          else {
            heap.push(step);
            model = [...model, step].sort((a, b) => a - b);
          }
          expect([heap.peek(), heap.size]).to.deep.equal([model[0], model.length]);
        }
      }),
    );
  });

  it('some dropped: the others come in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.array(fc.integer()), (before, after) => {
        const heap = heapOf(before);
        heap.retain((number) => number % 3 === 0);
        for (const number of after) heap.push(number);
        const expected = [...before.filter((number) => number % 3 === 0), ...after].sort((a, b) => a - b);
        expect(expected.map(() => heap.pop())).to.deep.equal(expected);
        expect(heap.size).to.equal(0);
      }),
    );
  });

  it('empty: nothing to see and nothing to take', () => {
    expect([heapOf([]).peek(), heapOf([]).pop()]).to.deep.equal([undefined, undefined]);
  });

  it('truncated: keeps the first ones and tells which would come next', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.nat(20), (numbers, count) => {
        const heap = heapOf(numbers);
        const sorted = [...numbers].sort((a, b) => a - b);
        expect(heap.truncate(count)).to.equal(sorted[count]);
        expect(Array.from({ length: heap.size }, () => heap.pop())).to.deep.equal(sorted.slice(0, count));
      }),
    );
  });
});
