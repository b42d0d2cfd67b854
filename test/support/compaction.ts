/** The directory of runs, the committer and the compactor on one store, joined as the host joins them. */
import { Committer } from '../../runtime/committer.js';
import { Compactor } from '../../runtime/compactor.js';
import { LargeWrites } from '../../runtime/large-writes.js';
import { Runs } from '../../runtime/runs.js';
import type { Store } from '../../runtime/store/store.js';

/** Nothing is moved by itself, unless journalBytesMax says when. What goes wrong by itself is in `errors`. */
export function openCompaction(
  store: Store,
  { journalBytesMax = 1e12, largeWrites = new LargeWrites(1) } = {},
) {
  const runs = new Runs(store);
  const { lastSeq, recovered } = runs.recover();
  const committer = new Committer(store, lastSeq);
  const errors: Error[] = [];
  const onError = (error: Error) => void errors.push(error);
  const compactor = new Compactor({ store, runs, committer, largeWrites, journalBytesMax, onError });
  return { runs, recovered, committer, compactor, errors, onError };
}
