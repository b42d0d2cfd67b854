/**
 * The plain form: msgpack of the value itself, for what msgpackr alone keeps.
 *
 * Owns: the scan that says whether it does, and for how many bytes msgpackr must make room.
 * Does not own: the words for what cannot be stored: whatever fails here is tried in the graph form, which finds them.
 * Called by: encodePayload, for every value that is stored. The hottest code of this folder.
 *
 * Invariants:
 *   P1  Let through is only what is known to come back as it was. The token check knows the same types.
 *   P4  The walk ends once even the fewest bytes are over the limit, however the value expands.
 *   P5  It recurses to PLAIN_DEPTH_MAX at most.
 *   S1  Between calls it refers to nothing of a user's.
 */
import {
  arrayBufferPrototype,
  arrayPrototype,
  bytesPrototype,
  datePrototype,
  getOwnPropertySymbols,
  getPrototypeOf,
  isArray,
  isObjectPrototype,
  objectPrototype,
  prototypeDepth,
} from './built-ins.js';
import { pack } from './packing.js';
import { isInt64, isUtf8Safe, NUMBER_ROOM } from './primitives.js';

/** Nested deeper than this, a value takes the graph form, which does not recurse. */
const PLAIN_DEPTH_MAX = 100;
/** Up to this many objects, comparing with each earlier one is cheaper than a Set. */
const SEEN_LIST_MAX = 16;

/** From the first look to the packed bytes. A getter or proxy of the value may call encodePayload meanwhile. */
let isBusy = false;
/** Bytes that what was scanned so far needs at most. */
let room = 0;
/** With more room than this, even the fewest bytes are over the limit. */
let roomMax = 0;
let seenCount = 0;
const seenList: (object | undefined)[] = new Array(SEEN_LIST_MAX).fill(undefined);
let seenSet: Set<object> | undefined;

/** Undefined when the value needs the graph form. */
export function encodePlain(value: unknown, limit: number): Uint8Array | undefined {
  if (isBusy) return undefined;
  isBusy = true;
  room = 0;
  roomMax = limit * NUMBER_ROOM;
  try {
    return scan(value, 0) && room <= roomMax ? pack(value, room, 0) : undefined;
  } catch {
    return undefined;
  } finally {
    isBusy = false;
    forgetSeen();
  }
}

function scan(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
      return scanString(value);
    case 'number':
      room += NUMBER_ROOM;
      return value !== 0 || 1 / value > 0;
    case 'object':
      room += 1;
      return value === null || scanObject(value, depth);
    case 'boolean':
    case 'undefined':
      room += 3;
      return true;
    case 'bigint':
      room += NUMBER_ROOM;
      return isInt64(value);
    default:
      return false;
  }
}

function scanString(text: string): boolean {
  room += 5 + 3 * text.length;
  return room <= roomMax && isUtf8Safe(text);
}

function scanObject(source: object, depth: number): boolean {
  if (depth > PLAIN_DEPTH_MAX || room > roomMax || !isFirstSight(source)) return false;
  if (isArray(source)) return scanArray(source, depth);
  const prototype = getPrototypeOf(source);
  if (prototype === objectPrototype) return scanProperties(source, depth);
  if (prototype === datePrototype) return scanFixed(15);
  if (prototype === bytesPrototype) return scanBytes(source as Uint8Array);
  return (prototype === null || isObjectPrototype(prototype)) && scanProperties(source, depth);
}

function scanArray(source: readonly unknown[], depth: number): boolean {
  const { length } = source;
  if (
    length * NUMBER_ROOM > roomMax ||
    (getPrototypeOf(source) !== arrayPrototype && prototypeDepth(source) !== 2)
  )
    return false;
  room += 5;
  for (let index = 0; index < length; index++) {
    if (!scan(source[index], depth + 1)) return false;
  }
  return true;
}

function scanProperties(source: object, depth: number): boolean {
  room += 5;
  for (const key in source) {
    if (key === '__proto__' || !scanString(key)) return false;
    if (!scan((source as Record<string, unknown>)[key], depth + 1)) return false;
  }
  return getOwnPropertySymbols(source).length === 0;
}

function scanFixed(bytes: number): boolean {
  room += bytes;
  return true;
}

function scanBytes(source: Uint8Array): boolean {
  room += 5 + source.byteLength;
  return room <= roomMax && getPrototypeOf(source.buffer) === arrayBufferPrototype;
}

/** An object that is met again is shared or part of a cycle, which only the graph form can tell. */
function isFirstSight(source: object): boolean {
  if (seenSet !== undefined) {
    const { size } = seenSet;
    return seenSet.add(source).size > size;
  }
  for (let index = 0; index < seenCount; index++) {
    if (seenList[index] === source) return false;
  }
  if (seenCount < SEEN_LIST_MAX) seenList[seenCount++] = source;
  else seenSet = new Set(seenList as object[]).add(source);
  return true;
}

/** The list outlives the call and must not keep a user's objects alive (S1). */
function forgetSeen(): void {
  while (seenCount > 0) seenList[--seenCount] = undefined;
  seenSet = undefined;
}
