/** Large writes: who waits while small messages are about, and that nobody waits for ever. */
import { expect } from 'chai';
import { LARGE_BYTES, LargeWrites } from '../../runtime/large-writes.js';
import { eventually } from '../support/runtime.js';
import { rejection } from '../support/store-rows.js';

const BYTES_MAX = 4 * LARGE_BYTES;
const never = () => false;

/** A thread of which the test says what it has under way. */
class Sender {
  bytes = 0;
  told = 0;
  largeBytes = () => this.bytes;
  retry = () => {
    this.told++;
  };
}

function open() {
  const writes = new LargeWrites(BYTES_MAX);
  const [one, other] = [new Sender(), new Sender()];
  writes.join(one);
  writes.join(other);
  return { writes, one, other };
}

describe('large writes', () => {
  it('no small message about: nobody waits, whatever is under way', () => {
    const { writes, one } = open();
    one.bytes = 10 * BYTES_MAX;
    writes.written(100);
    expect(writes.mustWait(10 * BYTES_MAX)).to.equal(false);
  });

  it('small messages about: small ones never wait, large ones while there are others of any thread under way', async () => {
    const { writes, one, other } = open();
    writes.sent(LARGE_BYTES - 1);
    expect(writes.mustWait(BYTES_MAX)).to.equal(false);
    other.bytes = BYTES_MAX;
    expect(writes.mustWait(LARGE_BYTES - 1)).to.equal(false);
    expect(writes.mustWait(BYTES_MAX)).to.equal(true);
    other.bytes = 0;
    // Nobody said that it is over; the threads are told to look all the same.
    await eventually(() => one.told > 0 && other.told > 0);
    expect(writes.mustWait(BYTES_MAX)).to.equal(false);
  });

  it('several that are not so large: together up to the limit', () => {
    const { writes, one } = open();
    writes.sent(1);
    one.bytes = BYTES_MAX - LARGE_BYTES;
    expect(writes.mustWait(LARGE_BYTES)).to.equal(false);
    expect(writes.mustWait(LARGE_BYTES + 1)).to.equal(true);
  });

  it('after one: a pause, then the threads are told', async () => {
    const { writes, one } = open();
    writes.sent(1);
    writes.written(50);
    expect(writes.mustWait(LARGE_BYTES)).to.equal(true);
    // A timer may be a little early, and then there is another.
    await eventually(() => one.told > 0 && !writes.mustWait(LARGE_BYTES));
  });

  it('the last small message was long ago: nobody waits any more', () => {
    const { writes, one } = open();
    writes.sent(1);
    one.bytes = BYTES_MAX;
    for (let i = 0; i < 31; i++) writes.sent(LARGE_BYTES);
    expect(writes.mustWait(BYTES_MAX)).to.equal(true);
    writes.sent(LARGE_BYTES);
    expect(writes.mustWait(BYTES_MAX)).to.equal(false);
  });

  describe('of the compactor', () => {
    /** Begins one that is over when the test says so. */
    function compaction(writes: LargeWrites, bytes: number, hurries = never) {
      const state = { begun: false, end: () => undefined as void, over: Promise.resolve() };
      const write = () => {
        state.begun = true;
        return new Promise<void>((resolve) => {
          state.end = resolve;
        });
      };
      state.over = writes.compaction(bytes, write, hurries);
      return state;
    }

    it('a small one is made at once', () => {
      const { writes, one } = open();
      writes.sent(1);
      one.bytes = BYTES_MAX;
      expect(compaction(writes, LARGE_BYTES - 1).begun).to.equal(true);
    });

    it('a large one waits for those of the threads, and they for it', async () => {
      const { writes, one } = open();
      writes.sent(1);
      one.bytes = BYTES_MAX;
      const large = compaction(writes, BYTES_MAX);
      expect(large.begun).to.equal(false);
      one.bytes = 0;
      await eventually(() => large.begun);
      expect(writes.mustWait(BYTES_MAX)).to.equal(true);
      large.end();
      await large.over;
      await eventually(() => !writes.mustWait(BYTES_MAX));
    });

    it('it waits so long and no longer; not at all when it hurries', async () => {
      const { writes, one } = open();
      writes.sent(1);
      one.bytes = BYTES_MAX;
      expect(compaction(writes, BYTES_MAX, () => true).begun).to.equal(true);
      const large = compaction(writes, BYTES_MAX);
      expect(large.begun).to.equal(false);
      await eventually(() => large.begun);
    });

    it('one that fails is told of, and is over', async () => {
      const { writes } = open();
      writes.sent(1);
      const failed = writes.compaction(BYTES_MAX, () => Promise.reject(new Error('planned')), never);
      expect(await rejection(failed)).to.have.property('message', 'planned');
      expect(writes.mustWait(BYTES_MAX)).to.equal(false);
    });
  });
});
