/**
 * Keys of the store. One letter says what it is, numbers follow big-endian so that byte order is numeric order.
 *
 *   j seq                      journal value
 *   r run                      run record
 *   r run seq                  history chunk: frames of the run up to journal value seq. Beside the record, because the two are
 *                              written and read together: one page of the store instead of two
 *   w namespace 0 workflowId   number of the latest run
 *   i runId                    number of the run
 *   t due run kind seq         due time: timer, turn retry, run timeout, first turn
 *   a run seq                  pending activity
 *   u chain updateId           outcome of an update whose id the caller chose (chain = number of the first run)
 *   s chain requestId          a signal's request id that was seen
 *   o run no                   what the run asks of another run and is not done yet
 *   x sender kind seq          number of the run that took what the sender asked, while the sender does not know it yet
 *   e namespace 0 closed run   closed run, by the time when it closed
 *   g run                      removed run of which other rows are left; value: chain that goes with it, or 0
 *   n                          highest run number that was given, as of the newest removal
 *
 * Owns: all of the above. The store's own keys begin with byte 0 and are not ours.
 */

const encoder = new TextEncoder();

const code = (letter: string): number => letter.charCodeAt(0);

/** One past every key that begins with this letter. */
export function endOf(letter: string): Uint8Array {
  return Uint8Array.of(code(letter) + 1);
}

/** The first possible key of this letter. */
export function startOf(letter: string): Uint8Array {
  return Uint8Array.of(code(letter));
}

function numbers(letter: string, values: readonly number[], tail?: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + 8 * values.length + (tail?.length ?? 0));
  key[0] = code(letter);
  for (let i = 0; i < values.length; i++) writeNumber(key, 1 + 8 * i, values[i]!);
  if (tail !== undefined) key.set(tail, 1 + 8 * values.length);
  return key;
}

/** Whole numbers up to 2^53 as 8 bytes. By hand: a DataView would make the key's memory leave V8's heap. */
function writeNumber(key: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  const low = value >>> 0;
  for (let i = 0; i < 4; i++) {
    key[at + i] = high >>> (24 - 8 * i);
    key[at + 4 + i] = low >>> (24 - 8 * i);
  }
}

export function readNumber(key: Uint8Array, index: number): number {
  let value = 0;
  for (let at = 1 + 8 * index; at < 9 + 8 * index; at++) value = value * 256 + key[at]!;
  return value;
}

export type DueKind = 'timer' | 'turnRetry' | 'runTimeout' | 'activity' | 'firstTurn';
const DUE_KINDS: readonly DueKind[] = ['timer', 'turnRetry', 'runTimeout', 'activity', 'firstTurn'];

/** What a sender asks of another run: that it exists as a child, or a message to it. */
export type DeliveryKind = 'child' | 'message';
const DELIVERY_KINDS: readonly DeliveryKind[] = ['child', 'message'];
/** Everything from the first key to the second, exclusive. */
export type Span = readonly [from: Uint8Array, to: Uint8Array];

export const keys = {
  journal: (seq: number) => numbers('j', [seq]),
  journalPart: (seq: number, part: number) => numbers('j', [seq, part]),
  run: (runNo: number) => numbers('r', [runNo]),
  history: (runNo: number, seq: number) => numbers('r', [runNo, seq]),
  workflow: (namespace: string, workflowId: string) => text('w', `${namespace}\0${workflowId}`),
  runId: (runId: string) => text('i', runId),
  due: (at: number, runNo: number, kind: DueKind, seq: number) =>
    numbers('t', [at, runNo, DUE_KINDS.indexOf(kind), seq]),
  activity: (runNo: number, seq: number) => numbers('a', [runNo, seq]),
  update: (chainNo: number, updateId: string) => numbers('u', [chainNo], encoder.encode(updateId)),
  request: (chainNo: number, requestId: string) => numbers('s', [chainNo], encoder.encode(requestId)),
  outbox: (runNo: number, no: number) => numbers('o', [runNo, no]),
  delivery: (senderRunNo: number, kind: DeliveryKind, seq: number) =>
    numbers('x', [senderRunNo, DELIVERY_KINDS.indexOf(kind), seq]),
  ended: (namespace: string, closeTime: number, runNo: number) => {
    const name = text('e', `${namespace}\0`);
    const key = new Uint8Array(name.length + 16);
    key.set(name);
    writeNumber(key, name.length, closeTime);
    writeNumber(key, name.length + 8, runNo);
    return key;
  },
  removed: (runNo: number) => numbers('g', [runNo]),
  highestRun: () => startOf('n'),
};

/** What keys.ended was given, but for the namespace. */
export function readEnded(key: Uint8Array): { closeTime: number; runNo: number } {
  const numbersOnly = key.subarray(key.length - 17);
  return { closeTime: readNumber(numbersOnly, 0), runNo: readNumber(numbersOnly, 1) };
}

/** The history of a run, without its record. */
export function historyOfRun(runNo: number): Span {
  return [keys.history(runNo, 0), keys.run(runNo + 1)];
}

/** All rows that a run has beside its record and the ways to find it. */
export function rowsOfRun(runNo: number): Span[] {
  return [
    historyOfRun(runNo),
    [keys.activity(runNo, 0), keys.activity(runNo + 1, 0)],
    [keys.outbox(runNo, 0), keys.outbox(runNo + 1, 0)],
    [keys.delivery(runNo, 'child', 0), keys.delivery(runNo + 1, 'child', 0)],
  ];
}

/** All rows that the runs of a chain share. */
export function rowsOfChain(chainNo: number): Span[] {
  return [
    [keys.request(chainNo, ''), keys.request(chainNo + 1, '')],
    [keys.update(chainNo, ''), keys.update(chainNo + 1, '')],
  ];
}

/** The first key after this one. */
export function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

export function readDueKind(key: Uint8Array): DueKind {
  return DUE_KINDS[readNumber(key, 2)]!;
}

function text(letter: string, value: string): Uint8Array {
  const { length } = value;
  const key = new Uint8Array(1 + length);
  key[0] = code(letter);
  for (let i = 0; i < length; i++) {
    const byte = value.charCodeAt(i);
    if (byte > 127) return encodedText(letter, value);
    key[1 + i] = byte;
  }
  return key;
}

/** One with characters that take more than a byte. */
function encodedText(letter: string, value: string): Uint8Array {
  const bytes = encoder.encode(value);
  const key = new Uint8Array(1 + bytes.length);
  key[0] = code(letter);
  key.set(bytes, 1);
  return key;
}

/** Bytes of a text as it is stored. */
export function utf8Length(value: string): number {
  return Buffer.byteLength(value);
}
