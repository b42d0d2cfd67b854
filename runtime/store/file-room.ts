/**
 * Room in the data file: it is longer than LMDB needs it, so that LMDB does not meet a full disk.
 *
 *      | pages that LMDB has taken, free ones among them | what a transaction can take at most | the reserve |   ...
 *                                                                                      needed --^    filled --^
 *
 * Owns: making the file longer ahead of each transaction, and refusing one that may not fit.
 * Does not own: LMDB (lmdb.ts), what a transaction takes (lmdb-pages.ts).
 *
 * The file is filled with zeros ahead for three reasons: fdatasync of bytes that are already part of the file is faster than of
 * a file that grew; a file that is never shorter than its header says can be told from one that was cut (data-file.ts); and
 * where LMDB cannot write a page, it may abort the process (lmdb.ts).
 *
 * When the disk is full, there often are free pages inside. Single ones LMDB finds; but a long value needs pages next to each
 * other, and whether there are any is mostly not known before. What it does not find it takes from the reserve. So growth may use half of it, what
 * has its place inside seven eighths, what puts nothing all of it (it copies pages all the same), and what finds its pages for sure goes on without.
 * For that the file gets a hole at its end, which takes no room: LMDB may take pages behind the end and give them up again unwritten, and the
 * header would speak of more than the file has.
 */
import { type FileHandle, statfs } from 'node:fs/promises';
import { StoreFullError } from './errors.js';
import { type LmdbStats, type PagesNeeded, pagesFor, usedPages } from './lmdb-pages.js';
import { isNoSpace } from './no-space.js';
import type { WriteOp } from './store.js';

/** The file is made longer by this much at a time. */
export const EXTENT_BYTES = 1024 * 1024;
/** What the system counts a file's room in. */
const BLOCK_BYTES = 512;
const ZEROS = Buffer.alloc(EXTENT_BYTES);
/** Enough for a message of the usual limit twice. A small file has a quarter of its own size. */
const RESERVE_BYTES_MOST = 4 * EXTENT_BYTES;
/** A transaction that takes more than this finds its room on the disk, and the reserve is made by those after it: to write far more twice costs more than it saves. */
const FILL_BYTES_MOST = 8 * EXTENT_BYTES;

/** There always are some that LMDB cannot use yet, or not for this. */
const FREE_PAGES_FEW = 64;

/** 'tight' when the disk is full: what there is must do. */
export type Room = 'ample' | 'tight';

export class FileRoom {
  readonly #folder: string;
  readonly #file: FileHandle;
  /** Of the file, so much can be written without the disk giving more; a multiple of a page or not. */
  #filled = Number.POSITIVE_INFINITY;

  constructor(folder: string, file: FileHandle) {
    this.#folder = folder;
    this.#file = file;
  }

  /** @throws StoreFullError when there is no room, or none for what puts something */
  async make(ops: readonly WriteOp[], stats: LmdbStats): Promise<Room> {
    // LMDB itself extends the file on Windows.
    if (process.platform === 'win32') return 'ample';
    const { pageSize } = stats;
    const pages = pagesFor(ops, stats);
    const { values, atMost } = pages;
    const taken = (stats.lastPageNumber + 1) * pageSize;
    const needed = taken + atMost * pageSize;
    const reserve = Math.min(RESERVE_BYTES_MOST, taken / 4);
    if (this.#filled !== Number.POSITIVE_INFINITY && needed + reserve <= this.#filled) return 'ample';
    if (await this.#fill(taken, needed, reserve)) return 'ample';
    const used = usedPages(stats);
    const free = stats.lastPageNumber + 1 - used;
    // Growth stops first, then what would find its place among the free pages.
    const grows = values > 0 && free < 4 * values + FREE_PAGES_FEW;
    const kept = grows ? reserve / 2 : values > 0 ? reserve / 8 : 0;
    const isWithin = needed <= this.#filled - kept;
    if (!(isWithin || isFound(free, used, pages)) || !(await this.#reach(needed)))
      throw new StoreFullError(this.#folder, 'the disk is full and its data file cannot grow');
    return 'tight';
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** Makes the file longer. Returns whether there is room for all of it, in the file or on the disk. */
  async #fill(taken: number, needed: number, reserve: number): Promise<boolean> {
    const { size, blocks } = await this.#file.stat();
    // A file that was opened may end with a hole.
    const isSolid = this.#filled !== Number.POSITIVE_INFINITY || blocks * BLOCK_BYTES >= size;
    // What LMDB has taken is never written over: `taken` is of the newest commit, whatever a reader sees, and no other is under way.
    const begin = isSolid ? Math.max(taken, Math.min(size, this.#filled)) : taken;
    this.#filled = begin;
    try {
      while (this.#filled < needed + reserve && needed <= begin + FILL_BYTES_MOST)
        this.#filled += (await this.#file.write(ZEROS, 0, EXTENT_BYTES, this.#filled)).bytesWritten;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      return false;
    }
    const missing = needed + reserve - this.#filled;
    return missing <= 0 || ((await this.#diskHas(missing)) && (await this.#reach(needed)));
  }

  async #diskHas(bytes: number): Promise<boolean> {
    const disk = await statfs(this.#folder).catch(() => undefined);
    return disk === undefined || disk.bavail * disk.bsize >= bytes;
  }

  /** The file is at least so long, with a hole at its end if need be. Returns false where no file can be. */
  async #reach(bytes: number): Promise<boolean> {
    try {
      if ((await this.#file.stat()).size < bytes) await this.#file.truncate(bytes);
      return true;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      return false;
    }
  }
}

/** LMDB cannot but find free pages: single ones wherever they are, a run where the gaps between used pages are as long on average. */
function isFound(free: number, used: number, { atMost, longestRun }: PagesNeeded): boolean {
  return longestRun === 1 ? free >= 2 * atMost : (free - atMost) / (used + 1) >= longestRun;
}
