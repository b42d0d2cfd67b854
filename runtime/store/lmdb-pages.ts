/**
 * Arithmetic of LMDB's pages: how many are used, and how many a transaction takes.
 *
 * Owns: what has to be known of LMDB's layout to answer that before it writes. Does not own: LMDB (lmdb.ts).
 *
 * The file is two trees (rows; lists of free pages) of branch and leaf pages, with runs of pages for long values. A
 * page is never changed in place: a changed page is written to a new place and the old one becomes free when the
 * transaction is over.
 */
import type { WriteOp } from './store.js';

/** What LMDB tells about its trees and its file. */
export interface LmdbStats extends TreeStats {
  free: TreeStats;
  mapSize: number;
  lastPageNumber: number;
}

interface TreeStats {
  pageSize: number;
  treeDepth: number;
  treeBranchPageCount: number;
  treeLeafPageCount: number;
  overflowPages: number;
  entryCount: number;
}

function pagesOf(tree: TreeStats): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
}

/** Pages of both trees and the two header pages. */
export function usedPages(stats: LmdbStats): number {
  return 2 + pagesOf(stats) + pagesOf(stats.free);
}

const PAGE_HEADER_BYTES = 24;
const ROW_HEADER_BYTES = 8;
/** For roots that split and the lists of free pages. */
const PAGES_SPARE = 32;

export interface PagesNeeded {
  /** For what it puts. */
  values: number;
  /** With all pages that it can touch or split in two. */
  atMost: number;
  /** So many must be next to each other. */
  longestRun: number;
}

/** Pages that a transaction takes. */
export function pagesFor(ops: readonly WriteOp[], stats: LmdbStats): PagesNeeded {
  let runs = 0;
  let longestRun = 1;
  let inlineBytes = 0;
  let longestKey = 0;
  for (const op of ops) {
    if (op.kind === 'remove') continue;
    longestKey = Math.max(longestKey, op.key.length);
    const bytes = ROW_HEADER_BYTES + op.key.length + op.value.length;
    // A row that takes about half a page or more has its value on pages of its own.
    const ownPages = bytes > stats.pageSize / 2 - PAGE_HEADER_BYTES;
    const run = ownPages ? Math.ceil((PAGE_HEADER_BYTES + op.value.length) / stats.pageSize) : 0;
    runs += run;
    longestRun = Math.max(longestRun, run);
    inlineBytes += ownPages ? ROW_HEADER_BYTES + op.key.length + PAGE_HEADER_BYTES : bytes;
  }
  const inline = Math.ceil(inlineBytes / stats.pageSize);
  const leaves = Math.min(ops.length, stats.treeLeafPageCount);
  const branches = Math.min(ops.length * stats.treeDepth, stats.treeBranchPageCount);
  // A page that was split is half full. A branch has the first key of each leaf, two of the longest.
  const perBranch = Math.max(
    2,
    Math.floor((stats.pageSize - PAGE_HEADER_BYTES) / (ROW_HEADER_BYTES + longestKey) / 2),
  );
  const newBranches = Math.ceil((2 * inline) / (perBranch - 1));
  const touched = leaves + branches + newBranches + 2 * (pagesOf(stats.free) + inline);
  return { values: runs + inline, atMost: runs + touched + PAGES_SPARE, longestRun };
}
