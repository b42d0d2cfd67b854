/**
 * Bytes out and in, value after value: what packed records are made of.
 *
 *   uint     7 bits a byte, lowest first; up to 2^53 - 1
 *   number   uint of twice the value where that is a whole number from 0 to 2^51; otherwise 1, then 8 bytes
 *   text     uint length, UTF-8
 *   bytes    uint length, the bytes
 *
 * Owns: these forms, the buffer that is written to, the texts that were read lately.
 * Does not own: which value stands where (schema.ts), user values (payload.ts; bytes here).
 *
 * Half a surrogate pair becomes U+FFFD, as in every encoder. Reading never goes past the end: it throws for bytes that
 * were cut off.
 */

const WHOLE_MAX = 2 ** 51;
/** Up to this length a loop is faster than a call into V8. */
const LOOP_MAX = 48;
const encoder = new TextEncoder();

export class ByteWriter {
  bytes = new Uint8Array(4_096);
  at = 0;
  /** The identity that stands for itself without being written; see schema.ts. */
  identity: string | undefined;
  /** Ids written so far, and where the last one that came again stands among them. */
  readonly ids: string[] = [];
  nextId = 0;

  /** Forgets what was written; the buffer is used again. */
  begin(identity?: string): this {
    this.at = 0;
    this.identity = identity;
    if (this.ids.length > 0) this.ids.length = 0;
    this.nextId = 0;
    return this;
  }

  /** What was written, as a view that is good until the next write. */
  get view(): Uint8Array {
    return this.bytes.subarray(0, this.at);
  }

  /** Makes sure that `more` bytes fit. */
  room(more: number): void {
    const needed = this.at + more;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    larger.set(this.bytes.subarray(0, this.at));
    this.bytes = larger;
  }

  byte(value: number): void {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  /** @throws RangeError for what is no whole number from 0 to 2^53 - 1: a broken invariant */
  uint(value: number): void {
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Number.isInteger(value)))
      throw new RangeError(`Only whole numbers from 0 can be packed here, not ${value}`);
    this.room(8);
    let rest = value;
    for (; rest >= 2 ** 31; rest = Math.floor(rest / 128)) this.bytes[this.at++] = (rest % 128) | 128;
    for (; rest > 127; rest >>>= 7) this.bytes[this.at++] = (rest & 127) | 128;
    this.bytes[this.at++] = rest;
  }

  number(value: number): void {
    if (value >= 0 && value <= WHOLE_MAX && Number.isInteger(value) && !Object.is(value, -0))
      return this.uint(2 * value);
    this.room(9);
    this.bytes[this.at] = 1;
    new DataView(this.bytes.buffer).setFloat64(this.at + 1, value);
    this.at += 9;
  }

  text(value: string): void {
    const { length } = value;
    if (length > LOOP_MAX) return this.data(encoder.encode(value));
    this.room(1 + length);
    const { bytes } = this;
    let at = this.at;
    bytes[at++] = length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      // Not one byte a character: the length written above is wrong.
      if (code > 127) return this.data(encoder.encode(value));
      bytes[at++] = code;
    }
    this.at = at;
  }

  /** Bytes of any realm. */
  data(value: Uint8Array): void {
    const { length } = value;
    this.uint(length);
    this.room(length);
    if (length > LOOP_MAX) this.bytes.set(value, this.at);
    else for (let i = 0; i < length; i++) this.bytes[this.at + i] = value[i]!;
    this.at += length;
  }
}

/** The same few names come in nearly every record. A text found here costs no new string, and Maps know its hash. */
const KEPT_LENGTH_MAX = 24;
const kept: (string | undefined)[] = new Array(1_024).fill(undefined);

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  identity: string | undefined;
  readonly ids: string[] = [];

  constructor(bytes: Uint8Array, identity?: string) {
    this.#bytes = bytes;
    this.identity = identity;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    if (this.#at >= this.#bytes.length) throw cutOff();
    return this.#bytes[this.#at++]!;
  }

  uint(): number {
    let byte = this.byte();
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let unit = 128; byte >= 128; unit *= 128) {
      byte = this.byte();
      value += (byte & 127) * unit;
    }
    return value;
  }

  number(): number {
    const value = this.uint();
    if ((value & 1) === 0) return value / 2;
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0);
  }

  text(): string {
    const length = this.uint();
    const at = this.#take(length);
    return length <= KEPT_LENGTH_MAX ? keptText(this.#bytes, at, length) : utf8(this.#bytes, at, at + length);
  }

  /** A view of the bytes that are read from. */
  data(): Uint8Array {
    const length = this.uint();
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  /** Steps over `length` bytes. Returns where they begin. */
  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw cutOff();
    this.#at = at + length;
    return at;
  }
}

function cutOff(): Error {
  return new Error('A packed record ends in the middle of a value');
}

function keptText(bytes: Uint8Array, at: number, length: number): string {
  let hash = length;
  for (let i = 0; i < length; i++) hash = (hash * 31 + bytes[at + i]!) | 0;
  const place = hash & (kept.length - 1);
  const known = kept[place];
  if (known !== undefined && isText(known, bytes, at, length)) return known;
  const text = utf8(bytes, at, at + length);
  // Only where each byte is a character: the comparison above knows nothing else.
  if (text.length === length) kept[place] = text;
  return text;
}

function isText(text: string, bytes: Uint8Array, at: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false;
  return true;
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}
