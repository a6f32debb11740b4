/**
 * Options, checked at the door: each reader takes an option's path and its value, and returns it with the default applied or
 * throws `ERR_OPTION_INVALID` with the path, what was expected and what was given. It knows no option by name.
 */

import { TroupeError } from './errors.ts';
import { HEADERS_CHARACTERS_MAX, HEADERS_MAX, NAME_CHARACTERS_MAX, TIMER_MS_MAX } from './limits.ts';

/** Characters of a given value that an error repeats. */
const GIVEN_CHARACTERS_MAX = 60;

const NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;

/** The error of an option that is not what it must be. @internal */
export function invalidOption(
  option: string,
  expected: string,
  given: unknown,
): TroupeError<'ERR_OPTION_INVALID'> {
  return new TroupeError('ERR_OPTION_INVALID', { option, expected, given: describeValue(given) });
}

/** A short name of a value for an error message: primitives as they are, everything else by its kind. @internal */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length > GIVEN_CHARACTERS_MAX
        ? `'${value.slice(0, GIVEN_CHARACTERS_MAX)}...' (${value.length} characters)`
        : `'${value}'`;
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
    case 'function':
      return 'a function';
    case 'undefined':
    case 'boolean':
    case 'number':
    case 'bigint':
    case 'symbol':
      return String(value);
  }
}

/** An object whose keys are all known; `undefined` counts as empty. @internal */
export function objectOption(
  option: string,
  value: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (value === undefined) return {};
  const object = recordOption(option, value);
  for (const key of Object.keys(object)) {
    if (!known.includes(key)) {
      throw invalidOption(joined(option, key), `absent (known here: ${known.join(', ')})`, object[key]);
    }
  }
  return object;
}

/** An object with keys of the user's choosing. @internal */
export function recordOption(option: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidOption(option, 'an object', value);
  // Checked above: an object that is no array is read by its own string keys only.
  return value as Readonly<Record<string, unknown>>;
}

/** A whole number of at least `min`, or the default. @internal */
export function integerOption(option: string, value: unknown, min: number, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || (value as number) < min)
    throw invalidOption(option, `a whole number >= ${min}`, value);
  return value as number;
}

/** A whole number of at least `min`, or `Infinity`, or the default. @internal */
export function limitOption(option: string, value: unknown, min: number, otherwise: number): number {
  if (value === Number.POSITIVE_INFINITY) return value;
  if (value !== undefined && (!Number.isSafeInteger(value) || (value as number) < min)) {
    throw invalidOption(option, `a whole number >= ${min}, or Infinity`, value);
  }
  return integerOption(option, value, min, otherwise);
}

/** Milliseconds above `0`, or from `0` where `zero` says so, that a timer can count; `Infinity` where `infinity` says so. @internal */
export function durationOption(
  option: string,
  value: unknown,
  otherwise: number,
  allow: { readonly zero?: boolean; readonly infinity?: boolean } = {},
): number {
  if (value === undefined) return otherwise;
  if (allow.infinity === true && value === Number.POSITIVE_INFINITY) return value;
  const low = allow.zero === true ? 'from 0' : 'above 0';
  const isInRange =
    typeof value === 'number' && (allow.zero === true ? value >= 0 : value > 0) && value <= TIMER_MS_MAX;
  if (!isInRange) {
    const also = allow.infinity === true ? ', or Infinity' : '';
    throw invalidOption(option, `milliseconds ${low} to ${TIMER_MS_MAX}${also}`, value);
  }
  return value;
}

/** One of a closed set of words, or the default. @internal */
export function choiceOption<T extends string>(
  option: string,
  value: unknown,
  choices: readonly T[],
  otherwise: T,
): T {
  if (value === undefined) return otherwise;
  for (const choice of choices) if (choice === value) return choice;
  throw invalidOption(option, `one of ${choices.join(', ')}`, value);
}

/** A function, or nothing. @internal */
export function functionOption(
  option: string,
  value: unknown,
): ((...parameters: never[]) => unknown) | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'function') throw invalidOption(option, 'a function', value);
  // Checked above; what it takes and returns is the compiler's business, not the door's.
  return value as (...parameters: never[]) => unknown;
}

/** An abort signal, or nothing. @internal */
export function signalOption(option: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw invalidOption(option, 'an AbortSignal', value);
}

/** Strings by name, as a frozen copy, or nothing: at most 64 of them and 8,192 characters in all. @internal */
export function headersOption(option: string, value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined) return undefined;
  const given = recordOption(option, value);
  // A Map or a `Headers` has no keys of its own: it would count as empty.
  if (Symbol.iterator in given) throw invalidOption(option, 'a plain object of strings', value);
  const entries = Object.entries(given);
  if (entries.length > HEADERS_MAX) throw invalidOption(option, `at most ${HEADERS_MAX} headers`, entries);
  let characters = 0;
  for (const [name, text] of entries) {
    if (typeof text !== 'string') throw invalidOption(joined(option, name.slice(0, 64)), 'a string', text);
    characters += name.length + text.length;
  }
  if (characters > HEADERS_CHARACTERS_MAX) {
    throw invalidOption(option, `at most ${HEADERS_CHARACTERS_MAX} characters in all`, characters);
  }
  return Object.freeze(Object.fromEntries(entries) as Record<string, string>); // each value was looked at above
}

/** A name of a protocol, message, actor or child: a letter, then letters, digits, `_` and `-`, 128 characters at most. @internal */
export function nameOption(option: string, value: unknown): string {
  if (!isName(value)) {
    throw invalidOption(
      option,
      `a letter, then letters, digits, _ and -, ${NAME_CHARACTERS_MAX} characters at most`,
      value,
    );
  }
  return value;
}

/** Whether a value is a name as `nameOption` takes it. @internal */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= NAME_CHARACTERS_MAX && NAME.test(value);
}

/** The path of a part of an option: `mailbox` and `capacity` give `mailbox.capacity`. @internal */
export function joined(option: string, key: string): string {
  return option === '' ? key : `${option}.${key}`;
}

/** `true` or `false`. @internal */
export function booleanOption(option: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalidOption(option, 'true or false', value);
}
