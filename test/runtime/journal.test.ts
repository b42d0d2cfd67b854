/** How journal values lie in rows (journal.ts): what is written is read again, whatever its size and whatever became of a write. */
import { expect } from 'chai';
import { keys } from '../../codec/keys.js';
import { Committer } from '../../runtime/committer.js';
import { journalRows, journalValues } from '../../runtime/journal.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store } from '../../runtime/store/store.js';
import { refusing } from '../support/faulty.js';
import { keysOfKind } from '../support/rows-of-kind.js';

/** Room of a page of LMDB. */
const PAGE = 4_096 - 16;
const SIZES = [1, 100, 3_999, 4_000, 4_001, 8_000, 8_001, 20_000, 64 * 1024, 64 * 1024 + 1, 1_000_000];

const valueOf = (size: number, first = size) =>
  Uint8Array.from({ length: size }, (_, i) => (i + first) % 251);
const read = (store: Store) => [...journalValues(store)].map(({ seq, value }) => [seq, hash(value)]);
const hash = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

describe('journal', () => {
  it('values of all sizes: come back as they were, in order', async () => {
    const store = openMemoryStore();
    for (const [i, size] of SIZES.entries()) await store.write(journalRows(i + 1, valueOf(size)));
    expect(read(store)).to.deep.equal(SIZES.map((size, i) => [i + 1, hash(valueOf(size))]));
  });

  it('a value up to 64 KiB: no row is longer than a page; a larger one is one row', () => {
    for (const size of SIZES) {
      const rows = journalRows(1, valueOf(size)).map((row) => (row.kind === 'put' ? row.value.length : 0));
      if (size <= 64 * 1024) expect(Math.max(...rows)).to.be.below(PAGE);
      else expect(rows).to.deep.equal([size]);
    }
  });

  it('a value that is half trimmed: is left out, those behind it are not', async () => {
    const store = openMemoryStore();
    for (const seq of [1, 2, 3]) await store.write(journalRows(seq, valueOf(20_000, seq)));
    await store.write([{ kind: 'remove', key: keys.journal(1) }]);
    expect(read(store)).to.deep.equal([2, 3].map((seq) => [seq, hash(valueOf(20_000, seq))]));
  });

  for (const next of [1, 9_000, 100_000]) {
    it(`a write that failed and is in the store all the same, then one of ${next} bytes: nothing of the first is left`, async () => {
      let armed = true;
      const store = refusing(openMemoryStore(), () => {
        if (!armed) return undefined;
        armed = false;
        return { when: 'after', error: new Error('planned') };
      });
      const committer = new Committer(store, 0);
      const heard: unknown[] = [];
      const append = (value: Uint8Array) =>
        committer.append(
          value,
          (seq) => heard.push(seq),
          (error) => heard.push(error.message),
        );
      append(valueOf(60_000));
      await committer.settled();
      expect(read(store)).to.have.length(1);
      append(valueOf(next));
      await committer.settled();
      append(valueOf(50));
      await committer.settled();
      expect(heard).to.deep.equal(['planned', 1, 2]);
      expect(read(store)).to.deep.equal([
        [1, hash(valueOf(next))],
        [2, hash(valueOf(50))],
      ]);
      expect(keysOfKind(store, 'j')).to.have.length(journalRows(1, valueOf(next)).length + 1);
    });
  }
});
