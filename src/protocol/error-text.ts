/** What was thrown, as one line of text: for logs, stores and dead letters, never for a decision. */

import { isTroupeError } from './errors.ts';
import { describeValue } from './options.ts';

/** The text of an error, with the code of one of ours. Anything may be thrown, and reading it may run code that fails. @internal */
export function errorText(error: unknown): string {
  try {
    if (isTroupeError(error)) return `${error.code}: ${error.message}`;
    if (error instanceof Error) return `${error.name}: ${error.message}`;
    return typeof error === 'string' ? error : describeValue(error);
  } catch {
    return 'an error that cannot be read';
  }
}
