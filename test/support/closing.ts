/** What a test opens is closed when it ends, the last first. */

import { afterEach } from 'vitest';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

/** Closes it with the test, if it is not closed before. */
export function closing<T extends { close(): Promise<void> }>(opened: T): T {
  open.push(opened);
  return opened;
}
