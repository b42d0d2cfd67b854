/**
 * Transactions that LMDB gave up although nothing is wrong with them, begun again.
 *
 * Owns: which failures these are, and how often. Does not own: the transaction (lmdb.ts).
 *
 * LMDB as lmdb-js has it reads its list of free pages in portions, also while it writes that list at the end of a transaction, and then
 * may come upon an entry that it is just moving: "Invalid zero size key", MDB_BAD_VALSIZE. Seen once in some 50,000 transactions of a long run.
 * The transaction is undone as a whole and the list forgotten, so that the next attempt reads it anew, from another place. The keys
 * that we hand over cannot be what is meant: their length has been checked.
 */

/** MDB_BAD_VALSIZE. */
const BAD_VALSIZE = -30_781;
/** Once is enough as far as seen. */
const ATTEMPTS_MOST = 5;

/** @throws what the last attempt threw; what any threw that is another failure */
export async function beginAgain(
  transaction: () => Promise<unknown>,
  reasonOf: (error: unknown) => Promise<Error>,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await transaction();
      return;
    } catch (error) {
      const { code } = (await reasonOf(error)) as { code?: unknown };
      if (code !== BAD_VALSIZE || attempt === ATTEMPTS_MOST) throw error;
    }
  }
}
