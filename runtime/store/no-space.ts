/**
 * Telling a full disk from a broken one.
 *
 * Owns: the error numbers and codes that mean "no room", in the dialects of LMDB and of Node. EDQUOT is a user's share
 * of the disk that is used up, EFBIG the greatest file that the process or the file system allows.
 */
import os from 'node:os';

const CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
/** ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL, which LMDB passes on as they are. */
const WINDOWS_NUMBERS: readonly number[] = [39, 112];

/** Errors of LMDB have the system's number for a code (negative when it is LMDB's own), those of Node its name. */
export function isNoSpace(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code === 'string') return CODES.has(code);
  const { ENOSPC, EDQUOT, EFBIG } = os.constants.errno;
  const numbers = process.platform === 'win32' ? WINDOWS_NUMBERS : [ENOSPC, EDQUOT, EFBIG];
  return typeof code === 'number' && numbers.includes(code);
}

/** An input/output error, which LMDB also calls a write that the system cut short because the disk became full. */
export function isInputOutput(error: unknown): boolean {
  return (error as { code?: unknown }).code === os.constants.errno.EIO;
}
