/**
 * Whether a value is what a test expects: by a function, or by the parts that matter. It knows the asymmetric matchers of
 * test runners (`expect.any(String)`) by their one method, so that no runner has to be imported.
 */

import { describeValue } from '../../src/protocol/options.ts';

/** A matcher of a test runner, such as `expect.any(String)`. */
export interface AsymmetricMatcher {
  asymmetricMatch(value: unknown): boolean;
}

/** What a value should look like: objects by the fields that are named, lists element by element, everything else equal. */
export type Expected<T> =
  | AsymmetricMatcher
  | (T extends readonly (infer Element)[]
      ? readonly Expected<Element>[]
      : T extends object
        ? { readonly [Key in keyof T]?: Expected<T[Key]> }
        : T);

/** What a message should carry: a function that decides, or what it should look like. */
export type Matcher<T> = ((payload: T) => boolean) | Expected<T>;

const SHOWN_CHARACTERS_MAX = 120;

/** Whether `value` fits. A function decides by itself. */
export function fits(matcher: unknown, value: unknown): boolean {
  if (typeof matcher === 'function') return matcher(value) === true;
  return looksLike(matcher, value);
}

function looksLike(expected: unknown, value: unknown): boolean {
  if (Object.is(expected, value)) return true;
  if (typeof expected !== 'object' || expected === null) return false;
  if ('asymmetricMatch' in expected && typeof expected.asymmetricMatch === 'function')
    return expected.asymmetricMatch(value) === true;
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(expected)) {
    return (
      Array.isArray(value) &&
      value.length === expected.length &&
      expected.every((each: unknown, index) => looksLike(each, value[index]))
    );
  }
  if (expected instanceof Date) return value instanceof Date && expected.getTime() === value.getTime();
  // Both are objects: compared by the fields that are named.
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries(expected).every(([key, each]) => key in fields && looksLike(each, fields[key]));
}

/** A value as a failed expectation shows it. */
export function shown(value: unknown): string {
  if (typeof value !== 'object' || value === null) return describeValue(value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, each: unknown) =>
      typeof each === 'bigint' || typeof each === 'function' ? describeValue(each) : each,
    );
  } catch {
    text = undefined; // it refers to itself
  }
  if (text === undefined) return describeValue(value);
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}...` : text;
}
