/**
 * Deterministic randomness: the same numbers for the same run, on any thread, in any later process.
 *
 * Owns: how a run id becomes a seed (SipHash-1-3), the generator behind Math.random (Alea, seeded by Mash) and uuid4
 * (semantics.md 13.2, history-events.md section 8). The numbers are those that Temporal's SDK draws for the same run
 * id, so ids that workflow code makes up are the same on both.
 * Does not own: which run id seeds an execution, and who may draw when (activation.ts).
 *
 * D5: nothing here reads anything but its arguments. Runs in the sandbox: no node: module, no TextEncoder.
 *
 * SipHash: Aumasson and Bernstein, 2012. Alea and Mash: Johannes Baagoe, 2010.
 */

const UNIT = 2 ** -32;

/** Where a generator stands: three fractions in [0, 1) and a carry. Plain data. */
export interface RandomState {
  readonly s0: number;
  readonly s1: number;
  readonly s2: number;
  readonly carry: number;
}

/** A sequence of fractions in [0, 1). Four numbers of memory. */
export class Random {
  #s0: number;
  #s1: number;
  #s2: number;
  #carry = 1;

  /** @param seed for a run: seedOf(its original run id). */
  constructor(seed: Uint8Array) {
    // One Mash goes through all six feeds, so that the three fractions differ although they are fed alike.
    const mash = new Mash();
    const [s0, s1, s2] = [mash.feed(BLANK), mash.feed(BLANK), mash.feed(BLANK)];
    this.#s0 = wrapped(s0 - mash.feed(seed));
    this.#s1 = wrapped(s1 - mash.feed(seed));
    this.#s2 = wrapped(s2 - mash.feed(seed));
  }

  /** The next draw. Multiply-with-carry over a lag of three. */
  next(): number {
    const product = 2091639 * this.#s0 + this.#carry * UNIT;
    this.#carry = product | 0;
    this.#s0 = this.#s1;
    this.#s1 = this.#s2;
    this.#s2 = product - this.#carry;
    return this.#s2;
  }

  /** A version 4 UUID. Takes four draws. */
  uuid4(): string {
    return uuidFrom(() => this.next());
  }

  state(): RandomState {
    return { s0: this.#s0, s1: this.#s1, s2: this.#s2, carry: this.#carry };
  }

  restore(state: RandomState): void {
    this.#s0 = state.s0;
    this.#s1 = state.s1;
    this.#s2 = state.s2;
    this.#carry = state.carry;
  }

  /** A generator that goes on from here by itself; drawing from one leaves the other where it is. */
  fork(): Random {
    const copy = new Random(BLANK);
    copy.restore(this.state());
    return copy;
  }
}

const BLANK = Uint8Array.of(32);

function wrapped(fraction: number): number {
  return fraction < 0 ? fraction + 1 : fraction;
}

/** A version 4 UUID made of four draws, each a fraction in [0, 1). */
export function uuidFrom(draw: () => number): string {
  const a = word(draw);
  const b = (word(draw) & 0xffff0fff) | 0x4000;
  const c = (word(draw) & 0x3fffffff) | 0x80000000;
  const d = word(draw);
  const head = `${half(a >>> 16)}${half(a)}-${half(b >>> 16)}-${half(b)}`;
  return `${head}-${half(c >>> 16)}-${half(c)}${half(d >>> 16)}${half(d)}`;
}

function word(draw: () => number): number {
  return (draw() * 2 ** 32) >>> 0;
}

/** The lower 16 bits as four digits. */
function half(value: number): string {
  return HEX[(value >>> 8) & 0xff]! + HEX[value & 0xff]!;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Turns bytes into fractions. Each feed goes on from the last, so the order of feeds matters. */
class Mash {
  #sum = 0xefc8249d;

  feed(bytes: Uint8Array): number {
    for (const byte of bytes) {
      const scaled = 0.02519603282416938 * (this.#sum + byte);
      const whole = scaled >>> 0;
      const product = (scaled - whole) * whole;
      // The sum keeps more than 32 bits here on purpose; only what is given out is cut to 32.
      this.#sum = (product >>> 0) + (product - (product >>> 0)) * 2 ** 32;
    }
    return (this.#sum >>> 0) * UNIT;
  }
}

// ---------------------------------------------------------------------------------------------------------------
// The seed of a run.

/** Four 64-bit words as pairs (high, low): v0 in 0 and 1, v1 in 2 and 3, and so on. The values for a key of zero. */
const START = [
  0x736f6d65, 0x70736575, 0x646f7261, 0x6e646f6d, 0x6c796765, 0x6e657261, 0x74656462, 0x79746573,
];
const [V0, V1, V2, V3] = [0, 2, 4, 6] as const;

/** SipHash-1-3 with a zero key over the id in UTF-8 and a byte 0xff, as eight bytes, highest first. */
export function seedOf(runId: string): Uint8Array {
  const bytes = utf8(runId);
  bytes.push(0xff);
  const v = Uint32Array.from(START);
  // No generator here: a query may be the first to draw, and none may be used in a read-only run.
  for (let at = 0; at + 8 <= bytes.length; at += 8)
    compress(v, littleEndian(bytes, at + 4), littleEndian(bytes, at));
  compressTail(v, bytes);
  v[V2 + 1]! ^= 0xff;
  for (let i = 0; i < 3; i++) round(v);
  return bigEndian(v[0]! ^ v[2]! ^ v[4]! ^ v[6]!, v[1]! ^ v[3]! ^ v[5]! ^ v[7]!);
}

/** The last word: what is left of the message, and its length in the highest byte. */
function compressTail(v: Uint32Array, bytes: readonly number[]): void {
  const at = bytes.length & ~7;
  compress(v, littleEndian(bytes, at + 4) | ((bytes.length & 0xff) << 24), littleEndian(bytes, at));
}

function compress(v: Uint32Array, high: number, low: number): void {
  v[V3]! ^= high;
  v[V3 + 1]! ^= low;
  round(v);
  v[V0]! ^= high;
  v[V0 + 1]! ^= low;
}

function round(v: Uint32Array): void {
  mix(v, V0, V1, 13);
  rotate(v, V0, 32);
  mix(v, V2, V3, 16);
  mix(v, V0, V3, 21);
  mix(v, V2, V1, 17);
  rotate(v, V2, 32);
}

/** a += b; b = rotate(b) ^ a */
function mix(v: Uint32Array, a: number, b: number, bits: number): void {
  const low = v[a + 1]! + v[b + 1]!;
  v[a + 1] = low;
  v[a] = v[a]! + v[b]! + (low >= 2 ** 32 ? 1 : 0);
  rotate(v, b, bits);
  v[b]! ^= v[a]!;
  v[b + 1]! ^= v[a + 1]!;
}

/** Rotates left by fewer than 32 bits, or by 32, which swaps the halves. */
function rotate(v: Uint32Array, at: number, bits: number): void {
  const high = v[at]!;
  const low = v[at + 1]!;
  v[at] = bits === 32 ? low : (high << bits) | (low >>> (32 - bits));
  v[at + 1] = bits === 32 ? high : (low << bits) | (high >>> (32 - bits));
}

/** Bytes past the end count as zero. */
function littleEndian(bytes: readonly number[], at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

function bigEndian(high: number, low: number): Uint8Array {
  return Uint8Array.from([
    high >>> 24,
    high >>> 16,
    high >>> 8,
    high,
    low >>> 24,
    low >>> 16,
    low >>> 8,
    low,
  ]);
}

/** The bytes of a text. A half of a surrogate pair that stands alone becomes U+FFFD, as in every encoder. */
export function utf8(text: string): number[] {
  const bytes: number[] = [];
  for (const char of text) {
    const point = char.codePointAt(0)!;
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), continuation(code, 0));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), continuation(code, 6), continuation(code, 0));
    else
      bytes.push(0xf0 | (code >> 18), continuation(code, 12), continuation(code, 6), continuation(code, 0));
  }
  return bytes;
}

function continuation(code: number, shift: number): number {
  return 0x80 | ((code >> shift) & 0x3f);
}
