/**
 * Schemas: which value stands where in a packed record.
 *
 *   struct   uint with a bit for each field that is there, lowest first; then those fields, in the order of the schema
 *   variant  byte that says which member of a union; then its fields as a struct
 *   list     uint count; the items
 *   pair     both values
 *
 * Owns: these forms, and the types that keep a schema in step with what it packs: a field or a member of a union that
 * no schema names does not compile.
 * Does not own: the schemas themselves (entry.ts, ../envelope.ts), numbers and texts (bytes.ts).
 *
 * A field that is undefined is absent, takes no byte, and comes back as no property at all. The order of fields and the
 * codes are the stored format: new fields go to the end, codes are never given twice.
 */
import type { ByteReader, ByteWriter } from './bytes.js';

export interface Codec<T> {
  write(to: ByteWriter, value: T): void;
  read(from: ByteReader): T;
}

/** A codec for each field of T, optional ones too. */
export type Fields<T> = { readonly [K in keyof T]-?: Codec<Exclude<T[K], undefined>> };

/** A union's members by what their tag says. */
type Members<T, Tag extends keyof T> = {
  readonly [K in T[Tag] & string]: readonly [
    code: number,
    fields: Fields<Omit<Extract<T, Record<Tag, K>>, Tag>>,
  ];
};

type Values = Record<string, unknown>;

export const text: Codec<string> = { write: (to, value) => to.text(value), read: (from) => from.text() };
export const bytes: Codec<Uint8Array> = { write: (to, value) => to.data(value), read: (from) => from.data() };
/** Whole, from 0: counts and numbers of things. */
export const uint: Codec<number> = { write: (to, value) => to.uint(value), read: (from) => from.uint() };
/** Any number: times, durations. */
export const number: Codec<number> = {
  write: (to, value) => to.number(value),
  read: (from) => from.number(),
};
export const flag: Codec<boolean> = {
  write: (to, value) => to.byte(value ? 1 : 0),
  read: (from) => from.byte() === 1,
};

/** One of a few texts, by its number. */
export function oneOf<T extends string>(codes: Readonly<Record<T, number>>): Codec<T> {
  const names: (T | undefined)[] = [];
  for (const name of Object.keys(codes) as T[]) names[claim(names, codes[name])] = name;
  return {
    write: (to, value) => to.byte(codes[value]),
    read: (from) => names[from.byte()] ?? unknownCode(),
  };
}

export function list<T>(item: Codec<T>): Codec<T[]> {
  return {
    write(to, values) {
      to.uint(values.length);
      for (let i = 0; i < values.length; i++) item.write(to, values[i]!);
    },
    read(from) {
      const values: T[] = [];
      for (let count = from.uint(); count > 0; count--) values.push(item.read(from));
      return values;
    },
  };
}

/** Two values. */
export function pair<A, B>(first: Codec<A>, second: Codec<B>): Codec<[A, B]> {
  return {
    write(to, [a, b]) {
      first.write(to, a);
      second.write(to, b);
    },
    read: (from) => [first.read(from), second.read(from)],
  };
}

export function record<T>(item: Codec<T>): Codec<Readonly<Record<string, T>>> {
  return {
    write(to, values) {
      const names = Object.keys(values);
      to.uint(names.length);
      for (const name of names) {
        to.text(name);
        item.write(to, values[name]!);
      }
    },
    read(from) {
      const entries: [string, T][] = [];
      for (let count = from.uint(); count > 0; count--) entries.push([from.text(), item.read(from)]);
      // Also right for a name such as __proto__.
      return Object.fromEntries(entries);
    },
  };
}

/** For a schema that contains itself. */
export function lazily<T>(codec: () => Codec<T>): Codec<T> {
  return { write: (to, value) => codec().write(to, value), read: (from) => codec().read(from) };
}

export function struct<T extends object>(fields: Fields<T>): Codec<T> {
  const body = new Body(fields as Record<string, Codec<unknown>>);
  return {
    write: (to, value) => body.write(to, value as Values),
    read: (from) => body.read(from, {}) as T,
  };
}

/** A union of objects that differ in what they hold under `tag`. */
export function variant<T extends object, Tag extends keyof T & string>(
  tag: Tag,
  members: Members<T, Tag>,
): Codec<T> {
  const byCode: (Member | undefined)[] = [];
  const byName = new Map<string, Member>();
  for (const [name, [code, fields]] of Object.entries(members) as [
    string,
    [number, Record<string, Codec<unknown>>],
  ][]) {
    const member = { name, code: claim(byCode, code), body: new Body(fields) };
    byCode[code] = member;
    byName.set(name, member);
  }
  return {
    write(to, value) {
      const name = (value as Values)[tag] as string;
      const member = byName.get(name);
      if (member === undefined) throw new TypeError(`Nothing is known about how '${name}' is packed`);
      to.byte(member.code);
      member.body.write(to, value as Values);
    },
    read(from) {
      const { name, body } = byCode[from.byte()] ?? unknownCode();
      return body.read(from, { [tag]: name }) as T;
    },
  };
}

interface Member {
  name: string;
  code: number;
  body: Body;
}

/** A bit for each field must fit into what the bit operators of JavaScript keep. */
const FIELDS_MAX = 31;

class Body {
  readonly #names: readonly string[];
  readonly #codecs: readonly Codec<unknown>[];

  constructor(fields: Record<string, Codec<unknown>>) {
    this.#names = Object.keys(fields);
    this.#codecs = Object.values(fields);
    if (this.#names.length > FIELDS_MAX)
      throw new RangeError(`A packed record has ${FIELDS_MAX} fields at most`);
  }

  write(to: ByteWriter, value: Values): void {
    const names = this.#names;
    let present = 0;
    for (let i = 0; i < names.length; i++) if (value[names[i]!] !== undefined) present |= 1 << i;
    to.uint(present);
    for (let i = 0; i < names.length; i++)
      if ((present & (1 << i)) !== 0) this.#codecs[i]!.write(to, value[names[i]!]);
  }

  read(from: ByteReader, into: Values): Values {
    const present = from.uint();
    const names = this.#names;
    if (present >= 2 ** names.length) unknownCode();
    for (let i = 0; i < names.length; i++)
      if ((present & (1 << i)) !== 0) into[names[i]!] = this.#codecs[i]!.read(from);
    return into;
  }
}

function claim(taken: readonly unknown[], code: number): number {
  if (taken[code] !== undefined) throw new RangeError(`Code ${code} is given twice`);
  return code;
}

function unknownCode(): never {
  throw new Error('A packed record is damaged, or was written by a newer version');
}

// ---------------------------------------------------------------------------------------------------------------
// Texts that come again

/**
 * Who sent something. Most messages come from the client that started the run, so the identity written or known last is
 * one byte: 0. Any other is its length and 1, then the text.
 */
export const identity: Codec<string> = {
  write(to, value) {
    if (value === to.identity) return to.byte(0);
    to.byte(1);
    to.text(value);
    to.identity = value;
  },
  read(from) {
    if (from.byte() === 1) from.identity = from.text();
    return from.identity ?? unknownCode();
  },
};

/** An id that other places of the record name again. */
export const newId: Codec<string> = {
  write(to, value) {
    to.text(value);
    to.ids.push(value);
  },
  read(from) {
    const value = from.text();
    from.ids.push(value);
    return value;
  },
};

/**
 * An id that the record most likely has already: one more than its place among those; or 0 and the text. The search goes
 * on from the last one found, because they come again in the order in which they came.
 */
export const knownId: Codec<string> = {
  write(to, value) {
    const { ids, nextId } = to;
    for (let step = 0; step < ids.length; step++) {
      const place = (nextId + step) % ids.length;
      if (ids[place] !== value) continue;
      to.nextId = place + 1;
      return to.uint(place + 1);
    }
    to.byte(0);
    to.text(value);
  },
  read(from) {
    const place = from.uint();
    return place === 0 ? from.text() : (from.ids[place - 1] ?? unknownCode());
  },
};
