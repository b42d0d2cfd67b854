/**
 * What users pass beside values: objects of options, argument lists, names out of a few.
 *
 * Owns: refusing what is none of these, and options that there are not, with an error that says what there is.
 * Does not own: which options a call has (beside the type of each), what their values may be.
 *
 * Without it a misspelt name does nothing: `requestID` would take de-duplication off, `validate` would be no validator.
 */
import { ValueError } from './failures.js';

/**
 * The options of a type by name, kept complete by the compiler. True: it is one. False: Temporal has it, and it is taken
 * without effect, so that code written for Temporal runs as it is. Text: it is not provided, and what to do instead.
 */
export type OptionNames<Name extends PropertyKey> = Readonly<Record<Name, true>> &
  Readonly<Record<string, boolean | string>>;

/**
 * Looks at the object's own options; one that is undefined counts as not given. Allocates nothing, as it is in the way of
 * every update.
 * @throws TypeError for what is no object, and for an option that there is not or that is not provided
 */
export function checkOptions(options: unknown, names: OptionNames<never>, what: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new TypeError(`${what} must be an object, got ${kindOf(options)}`);
  for (const name in options) {
    if (typeof names[name] === 'boolean' || !Object.hasOwn(options, name)) continue;
    if ((options as Record<string, unknown>)[name] !== undefined) refuse(name, names, what);
  }
}

function refuse(name: string, names: OptionNames<never>, what: string): never {
  const instead = names[name];
  if (typeof instead === 'string') throw new TypeError(`${what}.${name} is not provided: ${instead}`);
  const known = Object.keys(names).filter((known) => names[known] === true);
  throw new TypeError(`${what} has no option called '${name}'. The options are: ${known.join(', ')}`);
}

/** @throws TypeError when it is no list */
export function requireArgs(args: unknown, what: string): void {
  if (!Array.isArray(args)) throw new TypeError(`${what} must be an array, got ${kindOf(args)}`);
}

/** What something is, for those who passed it. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/**
 * The value of the name given, of which some have several: Temporal's older code writes policies with a prefix.
 * @throws ValueError that lists what is allowed
 */
export function oneOf<T extends string>(allowed: Readonly<Record<string, T>>, name: string, what: string): T {
  if (Object.hasOwn(allowed, name)) return allowed[name]!;
  const names = Array.from(new Set(Object.values(allowed))).join(', ');
  throw new ValueError(`Invalid ${what} '${String(name)}': it must be one of ${names}`);
}
