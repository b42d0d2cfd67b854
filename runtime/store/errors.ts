/**
 * What can go wrong with a store, one class each.
 *
 * Owns: the classes and their wording. Every message says what happened, where, and what to do about it.
 * Does not own: when they are raised (lmdb.ts, folder.ts, lock.ts, memory.ts, write-behind.ts, faulty.ts).
 *
 * A caller tells them apart by class: StoreFullError is the only one worth a retry; StoreFailedError means that the
 * store stopped to protect D1; the others are about opening, or about using a store that was closed.
 */

/** What all store errors have in common. `retryable` is true when the same call can succeed later, unchanged. */
export abstract class StoreError extends Error {
  abstract override readonly name: string;
  readonly retryable: boolean = false;
}

/** Another process, or another runtime in this process, has the folder open. */
export class StoreLockedError extends StoreError {
  override readonly name = 'StoreLockedError';

  /** @param pid process that holds the folder, when it could be found out: not while that one is still opening it. */
  constructor(
    readonly path: string,
    readonly pid?: number,
  ) {
    const which = pid === process.pid ? `this process (pid ${pid})` : `the process with pid ${pid}`;
    const what =
      pid === undefined
        ? 'open, or being opened, by another runtime, of this process or another'
        : `already open in ${which}`;
    super(
      `The store in ${path} is ${what}. A store has one writer: close that runtime, or open another folder.`,
    );
  }
}

/** The folder holds a store of a format that this version does not read, or no Signalbox store at all. Nothing was changed. */
export class StoreFormatError extends StoreError {
  override readonly name = 'StoreFormatError';

  /**
   * @param found the format number read from the store; undefined when the folder holds something foreign.
   * @param known the newest format number this version reads.
   */
  constructor(
    readonly path: string,
    readonly found: number | undefined,
    readonly known: number,
    detail?: string,
  ) {
    super(
      found === undefined
        ? `The folder ${path} is not empty and does not hold a Signalbox store (${detail}). ` +
            'Nothing was changed. Open an empty or absent folder, or the folder of a store.'
        : found > known
          ? `The store in ${path} has format ${found}; this version of Signalbox knows formats up to ${known}. ` +
            'Nothing was changed. Open it with the newer version that wrote it.'
          : `The store in ${path} has format ${found}, which this version of Signalbox, with format ${known}, reads no longer. ` +
            'Nothing was changed. Let its executions end with the version that wrote it, or open an empty folder.',
    );
  }
}

/** There is no store at the path, and the caller asked not to create one. */
export class StoreMissingError extends StoreError {
  override readonly name = 'StoreMissingError';

  constructor(readonly path: string) {
    super(
      `There is no store in ${path}. Check the path (${process.cwd()} is the current folder), ` +
        'or open it without create: false to make a new one.',
    );
  }
}

/** The folder or its data file cannot be used: not a folder, no permission, damaged, or on a file system that refuses. */
export class StoreUnreadableError extends StoreError {
  override readonly name = 'StoreUnreadableError';

  /**
   * @param what what is wrong, as the second half of a sentence that starts with the path.
   * @param advice what the operator can do, as a full sentence.
   */
  constructor(
    readonly path: string,
    what: string,
    advice: string,
    options?: { cause?: unknown },
  ) {
    super(`The store in ${path} cannot be opened or read: ${what}. ${advice}`, options);
  }
}

/** There is no room for this write. Nothing of it was stored; the same write can succeed when there is room. */
export class StoreFullError extends StoreError {
  override readonly name = 'StoreFullError';
  override readonly retryable = true;

  /** @param what which limit was met, as the second half of a sentence. */
  constructor(
    readonly path: string,
    what: string,
    options?: { cause?: unknown },
  ) {
    super(
      `The store in ${path} has no room for this write: ${what}. Nothing of it was stored. ` +
        'Free disk space or raise the limit, then try again.',
      options,
    );
  }
}

/**
 * The disk, or the database under the store, failed in a way that a retry cannot mend. The write it is raised for is
 * not acknowledged, and the store refuses every later write, so that nothing is built on a disk in doubt (D1). Reads
 * may still be answered, or fail with StoreUnreadableError; what was acknowledged is there when it is opened again.
 */
export class StoreFailedError extends StoreError {
  override readonly name = 'StoreFailedError';

  constructor(
    readonly path: string,
    what: string,
    options?: { cause?: unknown },
  ) {
    super(
      `The store in ${path} failed: ${what}. It takes no more writes until it is opened again. ` +
        'Check the disk and the system journal, then restart; everything acknowledged before is kept.',
      options,
    );
  }
}

/** The store was used after close(). */
export class StoreClosedError extends StoreError {
  override readonly name = 'StoreClosedError';

  constructor(readonly path: string) {
    super(`The store in ${path} is closed. Open it again to use it.`);
  }
}
