/** What was thrown, as a text for other processes and for stores: without its stack, which tells about this one. */

import { isTroupeError } from './errors.ts';
import { describeValue } from './options.ts';

const CHARACTERS_MAX = 1_000;

/** Code or name, and message; 1,000 characters at most. @internal */
export function errorText(error: unknown): string {
  return wholeText(error).slice(0, CHARACTERS_MAX);
}

function wholeText(error: unknown): string {
  if (isTroupeError(error)) return `${error.code}: ${error.message}`;
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === 'string' ? error : describeValue(error);
}
