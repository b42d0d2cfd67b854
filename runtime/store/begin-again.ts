/**
 * Transactions that LMDB gave up although nothing is wrong with them, begun again.
 *
 * Owns: which failures these are, and how often. Does not own: the transaction (lmdb.ts).
 *
 * LMDB as lmdb-js has it reads its list of free pages in portions, also while it writes that list at the end of a transaction, and then
 * may come upon an entry that it is just moving: "Invalid zero size key" (MDB_BAD_VALSIZE) or "Invalid null txn id" (MDB_NOTFOUND).
 * The transaction is undone as a whole. The same one would fail the same way, so a small one goes before the next attempt, after which the list is
 * another. The keys that we hand over cannot be what is meant: their length has been checked, and to remove what is not there is no failure.
 * Measured with 1,620 transactions of a long run (mostly of some hundred rows) played again and again: 3 of 38,880 failed when some 300 entries of
 * the list were read at a time, and all succeeded at the second attempt; none of 74,520 with the portions of lmdb.ts (FREE_PAGES).
 */

/** MDB_BAD_VALSIZE, MDB_NOTFOUND. */
const CODES: readonly unknown[] = [-30_781, -30_798];
const ATTEMPTS_MOST = 5;

export interface Attempts {
  transaction: () => Promise<unknown>;
  /** A transaction that changes nothing that anybody sees. It may fail as well. */
  small: () => Promise<unknown>;
  /** The error behind the one that was thrown. */
  reasonOf: (error: unknown) => Promise<Error>;
}

/** @throws what the last attempt threw; what any threw that is another failure */
export async function beginAgain({ transaction, small, reasonOf }: Attempts): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await transaction();
      return;
    } catch (error) {
      const { code } = (await reasonOf(error)) as { code?: unknown };
      if (!CODES.includes(code) || attempt === ATTEMPTS_MOST) throw error;
    }
    await small().catch(reasonOf);
  }
}
