/** What the processes of `remote-program.ts` and the tests that run them have in common. */

import { z } from 'zod';
import { ask, protocol, tell } from '../../src/index.ts';

/** Files numbers, doubles them, and holds its event loop for some milliseconds. */
export const ProcessClerk = protocol('clerk', {
  file: tell(z.number()),
  count: ask(z.number(), z.number()),
  spin: ask(z.number(), z.number()),
});

/** Short, so that a death is seen soon. */
export const NODE_TIMES = {
  heartbeatMs: 300,
  downAfterMs: 1_500,
  publishTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
  reconnect: { minMs: 20, maxMs: 200 },
} as const;
