/** Reads texts that others have written. Whatever they hold, nothing here throws: what cannot be read is as if it were not there. */

/** The members of an object; none for anything else. @internal */
export function parsed(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** @internal */
export function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

/** A whole number, not below nothing. @internal */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** @internal */
export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** @internal */
export function isListOf<T>(value: unknown, isOne: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isOne);
}
