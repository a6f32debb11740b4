/**
 * A flood of sends that nobody awaits: a million in one go to an agent of capacity 1,000. Each must be accepted, at
 * once or after it waited, or be refused because `waitersMax` sends wait already; each accepted one must be handled.
 */

import { setImmediate as macrotask } from 'node:timers/promises';
import { agent, createSystem, protocol, TroupeError, tell, type } from 'troupe';
import type { UnawaitedResult } from '../flood.ts';

const SENDS = 1_000_000;
const CAPACITY = 1_000;
const WAITERS_MAX = 10_000;
/** Rounds of the event loop in which the last accepted messages must be handled. */
const ROUNDS_MAX = 10_000;

let handled = 0;
let accepted = 0;
let refused = 0;
const Sink = protocol('sink', { take: tell(type<{ value: number }>()) });
const sink = agent(Sink, {
  mailbox: { capacity: CAPACITY, waitersMax: WAITERS_MAX },
  on: {
    take: () => {
      handled++;
    },
  },
});

const system = await createSystem({ name: 'bench' });
const ref = await system.spawn(sink);

const baselineBytes = process.memoryUsage.rss();
const settled = new Promise<void>((resolve) => {
  let open = SENDS;
  const accept = (): void => {
    accepted++;
    if (--open === 0) resolve();
  };
  const refuse = (error: unknown): void => {
    if (!(error instanceof TroupeError) || error.code !== 'ERR_MAILBOX_WAITERS_FULL') throw error;
    refused++;
    if (--open === 0) resolve();
  };
  // Nobody waits for the promise of `then`: it rejects, and ends the process, only for an error nobody expects.
  for (let value = 0; value < SENDS; value++) void ref.send('take', { value }).then(accept, refuse);
});
const loopBytes = process.memoryUsage.rss();
await settled;
for (let round = 0; round < ROUNDS_MAX && handled < accepted; round++) await macrotask();
const result: UnawaitedResult = {
  sends: SENDS,
  accepted,
  refused,
  handled,
  boundary: CAPACITY + WAITERS_MAX,
  grownBytes: loopBytes - baselineBytes,
};
process.stdout.write(JSON.stringify(result), () => process.exit(0));
