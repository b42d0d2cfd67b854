/**
 * The redo files: where acknowledged writes wait, out of reach of kill -9, until the data file has them.
 *
 * Owns: redo.0 and redo.1, their bytes, and what a restart makes of them. Does not own: when the data file is written
 * (write-behind.ts), or the data file (lmdb.ts).
 *
 * Writes are appended without fdatasync: they are then in the hands of the operating system, which outlives the
 * process. Generations take turns in the two files: while one generation is being written to the data file, the next
 * gathers in the other file. The data file says, in the same transaction, which generation it took over last.
 *
 *      file       "SBREDO1\n"  generation f64  predecessor's bytes f64   frame  frame  frame ...
 *      frame      length u32   crc32 u32   operations
 *      operation  kind u8 (1 put, 0 remove)  key length u16  value length u32  key  value
 *
 * A restart applies the generation after the one that the data file has, then the next, and stops at the first frame
 * that is not whole. After kill -9 all frames are whole but perhaps the last, which was never acknowledged. After
 * loss of power some may be missing: what is kept is the oldest part, without gaps, because a generation is only
 * applied when its predecessor is whole (D1 in the sense of durability 'commit').
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { REDO_FILES } from './folder.js';
import type { WriteOp } from './store.js';

const MAGIC = Buffer.from('SBREDO1\n', 'latin1');
const FILE_HEADER_BYTES = 24;
const FRAME_HEADER_BYTES = 8;
const OP_HEADER_BYTES = 7;

/** The operations of one write, packed once: these bytes go to the redo file, and what is kept in memory points into them. */
export interface Frame {
  bytes: Buffer;
  ops: WriteOp[];
}

/** Copies a write into one frame. */
export function packFrame(ops: readonly WriteOp[]): Frame {
  const valueOfOp = (op: WriteOp) => (op.kind === 'put' ? op.value : EMPTY);
  const size = ops.reduce(
    (sum, op) => sum + OP_HEADER_BYTES + op.key.length + valueOfOp(op).length,
    FRAME_HEADER_BYTES,
  );
  // Not from Node's shared pool, because parts of the frame stay in memory as long as their rows do.
  const bytes = Buffer.allocUnsafeSlow(size);
  let offset = FRAME_HEADER_BYTES;
  for (const op of ops) {
    bytes[offset] = op.kind === 'put' ? 1 : 0;
    bytes.writeUInt16LE(op.key.length, offset + 1);
    bytes.writeUInt32LE(valueOfOp(op).length, offset + 3);
    bytes.set(op.key, offset + OP_HEADER_BYTES);
    bytes.set(valueOfOp(op), offset + OP_HEADER_BYTES + op.key.length);
    offset += OP_HEADER_BYTES + op.key.length + valueOfOp(op).length;
  }
  bytes.writeUInt32LE(size, 0);
  return { bytes, ops: unpackOps(bytes) };
}

const EMPTY = Buffer.alloc(0);

function unpackOps(frame: Buffer): WriteOp[] {
  const ops: WriteOp[] = [];
  for (let offset = FRAME_HEADER_BYTES; offset < frame.length; ) {
    const keyEnd = offset + OP_HEADER_BYTES + frame.readUInt16LE(offset + 1);
    const valueEnd = keyEnd + frame.readUInt32LE(offset + 3);
    const key = frame.subarray(offset + OP_HEADER_BYTES, keyEnd);
    ops.push(
      frame[offset] === 1
        ? { kind: 'put', key, value: frame.subarray(keyEnd, valueEnd) }
        : { kind: 'remove', key },
    );
    offset = valueEnd;
  }
  return ops;
}

/** The redo files of an open store. */
export class RedoFiles {
  readonly #files: [number, number];
  #generation: number;
  #bytes = 0;

  /** @param applied the generation that the data file has; appending begins with the next one. */
  constructor(folder: string, applied: number) {
    const [even, odd] = REDO_FILES;
    this.#files = [openEmpty(path.join(folder, even)), openEmpty(path.join(folder, odd))];
    this.#generation = applied;
    this.advance();
  }

  /** The generation that gathers now. */
  get generation(): number {
    return this.#generation;
  }

  /** Begins the next generation in the other file, which must have been cleared. Throws as append() does. */
  advance(): void {
    const next = this.#generation + 1;
    const header = Buffer.alloc(FILE_HEADER_BYTES);
    header.set(MAGIC);
    header.writeDoubleLE(next, 8);
    header.writeDoubleLE(this.#bytes, 16);
    appendAt(this.#fileOf(next), 0, header);
    this.#generation = next;
    this.#bytes = FILE_HEADER_BYTES;
  }

  /** Appends a frame. Throws the system's error, ENOSPC for one, and then leaves the file as it was. */
  append({ bytes }: Frame): void {
    bytes.writeUInt32LE(crc32(bytes.subarray(FRAME_HEADER_BYTES)), 4);
    appendAt(this.#fileOf(this.#generation), this.#bytes, bytes);
    this.#bytes += bytes.length;
  }

  /** Forgets the generation before the one that gathers: the data file has it. */
  clearPrevious(): void {
    ftruncateSync(this.#fileOf(this.#generation - 1), 0);
  }

  close(): void {
    for (const file of this.#files) closeSync(file);
  }

  #fileOf(generation: number): number {
    return this.#files[generation % 2 === 0 ? 0 : 1];
  }
}

function appendAt(file: number, position: number, bytes: Buffer): void {
  try {
    for (let done = 0; done < bytes.length; )
      done += writeSync(file, bytes, done, bytes.length - done, position + done);
  } catch (error) {
    ftruncateSync(file, position);
    throw error;
  }
}

function openEmpty(file: string): number {
  return openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o664);
}

/** What a restart has to apply: generations after `applied`, oldest first, each with its writes in order. */
export function readRedo(folder: string, applied: number): { generation: number; ops: WriteOp[] }[] {
  const files = REDO_FILES.map((name) => parseFile(path.join(folder, name))).filter(
    (file) => file !== undefined,
  );
  const first = files.find((file) => file.generation === applied + 1);
  if (first === undefined) return [];
  const second = files.find(
    (file) => file.generation === applied + 2 && file.predecessorBytes === first.wholeBytes,
  );
  return second === undefined ? [first] : [first, second];
}

export function removeRedo(folder: string): void {
  for (const name of REDO_FILES) rmSync(path.join(folder, name), { force: true });
}

interface RedoFile {
  generation: number;
  predecessorBytes: number;
  /** Bytes up to the first frame that is not whole. */
  wholeBytes: number;
  ops: WriteOp[];
}

function parseFile(file: string): RedoFile | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (bytes.length < FILE_HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const ops: WriteOp[] = [];
  let offset = FILE_HEADER_BYTES;
  for (;;) {
    const frame = wholeFrame(bytes, offset);
    if (frame === undefined) break;
    for (const op of unpackOps(frame)) ops.push(op);
    offset += frame.length;
  }
  return {
    generation: bytes.readDoubleLE(8),
    predecessorBytes: bytes.readDoubleLE(16),
    wholeBytes: offset,
    ops,
  };
}

function wholeFrame(bytes: Buffer, offset: number): Buffer | undefined {
  if (offset + FRAME_HEADER_BYTES > bytes.length) return undefined;
  const length = bytes.readUInt32LE(offset);
  if (length < FRAME_HEADER_BYTES || offset + length > bytes.length) return undefined;
  const frame = bytes.subarray(offset, offset + length);
  return crc32(frame.subarray(FRAME_HEADER_BYTES)) === frame.readUInt32LE(4) ? frame : undefined;
}
