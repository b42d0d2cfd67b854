/**
 * A look at the data file before LMDB maps it into memory.
 *
 * Owns: reading the two header pages of data.mdb. Does not own: anything behind them; pages carry no checksum, so
 * damage inside them is found, if at all, when they are read.
 *
 * LMDB trusts its header. A file that is shorter than the header says, from a copy cut short or a disk that lost
 * its end, would kill the process with SIGBUS on the first read behind the end, and no exception could tell why. Here
 * it becomes a StoreUnreadableError. lmdb.ts keeps the file longer than the header says at all times (see extend()
 * there), so a healthy file never looks cut.
 *
 *      page 0                                page 1
 *      | page header 24 bytes | meta |  ...  | page header 24 bytes | meta | ...     the greater transaction id counts
 */
import { open } from 'node:fs/promises';
import os from 'node:os';
import { StoreUnreadableError } from './errors.js';

const META_FLAG = 0x08;
const MAGIC = 0xbeefc0de;
/** The data version that the LMDB inside lmdb-js writes. Version 1 is that of LMDB 0.9, which cannot be read here. */
const DATA_VERSION = 2;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65536;
const HEADER_BYTES = 176;

/** Where the fields lie in a header page, in bytes from its start. */
const at = { flags: 18, magic: 24, version: 28, pageBytes: 48, lastPage: 144, transaction: 152 };

interface Header {
  pageBytes: number;
  lastPage: number;
  transaction: number;
}

/** Throws StoreUnreadableError unless the file starts as LMDB wrote it and is as long as its header says. */
export async function checkDataFile(folder: string, file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const read = async (position: number): Promise<Header> => {
      const bytes = Buffer.alloc(HEADER_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, HEADER_BYTES, position);
      return parseHeader(folder, bytes.subarray(0, bytesRead));
    };
    const first = await read(0);
    const second = await read(first.pageBytes);
    const newest = second.transaction > first.transaction ? second : first;
    const needed = (newest.lastPage + 1) * first.pageBytes;
    if (size < needed)
      throw damaged(folder, `data.mdb has ${size} bytes of the ${needed} its header speaks of`);
  } finally {
    await handle.close();
  }
}

function parseHeader(folder: string, bytes: Buffer): Header {
  if (bytes.length < HEADER_BYTES) throw damaged(folder, 'data.mdb ends inside its header');
  // LMDB writes the numbers as the processor holds them.
  const little = os.endianness() === 'LE';
  const u16 = (offset: number) => (little ? bytes.readUInt16LE(offset) : bytes.readUInt16BE(offset));
  const u32 = (offset: number) => (little ? bytes.readUInt32LE(offset) : bytes.readUInt32BE(offset));
  const u64 = (offset: number) =>
    Number(little ? bytes.readBigUInt64LE(offset) : bytes.readBigUInt64BE(offset));
  if ((u16(at.flags) & META_FLAG) === 0 || u32(at.magic) !== MAGIC) {
    throw damaged(folder, 'data.mdb does not start like a database');
  }
  const version = u32(at.version) & 0xffff;
  if (version !== DATA_VERSION)
    throw damaged(folder, `data.mdb has LMDB data version ${version}, not ${DATA_VERSION}`);
  const pageBytes = u32(at.pageBytes);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  if (!isPowerOfTwo || pageBytes < PAGE_BYTES_MIN || pageBytes > PAGE_BYTES_MAX) {
    throw damaged(folder, `data.mdb speaks of pages of ${pageBytes} bytes`);
  }
  return { pageBytes, lastPage: u64(at.lastPage), transaction: u64(at.transaction) };
}

function damaged(folder: string, what: string): StoreUnreadableError {
  return new StoreUnreadableError(folder, what, 'Restore the folder from a backup; nothing was changed.');
}
