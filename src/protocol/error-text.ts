/** What was thrown, as a text for logs, stores, dead letters and other processes: without its stack, and never for a decision. */

import { isTroupeError } from './errors.ts';
import { describeValue } from './options.ts';

const CHARACTERS_MAX = 1_000;

/**
 * Code or name, and message; 1,000 characters at most. Anything may be thrown, and reading it may run code that fails. @internal
 */
export function errorText(error: unknown): string {
  try {
    return wholeText(error).slice(0, CHARACTERS_MAX);
  } catch {
    return 'an error that cannot be read';
  }
}

function wholeText(error: unknown): string {
  if (isTroupeError(error)) return `${error.code}: ${error.message}`;
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === 'string' ? error : describeValue(error);
}
