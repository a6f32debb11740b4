/** What the processes of `remote-program.ts` and the tests that run them have in common. */

import { inspect } from 'node:util';
import { z } from 'zod';
import { fileStates } from '../../adapters/store/index.ts';
import {
  agent,
  ask,
  type KeyedArgs,
  protocol,
  type RuntimeEvent,
  type System,
  tell,
  type,
} from '../../src/index.ts';

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

/** Adds a number, once, and says all that it has. */
export const Ledger = protocol('ledger', {
  add: ask(z.number(), type<number[]>({ trust: true })),
});

const ledgerAgent = agent(Ledger, {
  state: (_args: KeyedArgs) => ({ numbers: [] as number[] }),
  on: {
    add: (ctx, n) => {
      if (!ctx.state.numbers.includes(n)) ctx.state.numbers.push(n);
      return ctx.state.numbers;
    },
  },
});

/** The ledgers of a cluster, whose states are in a folder; `hosts` says whether this node has some of them. */
export function ledgers(system: Pick<System, 'keyed'>, folder: string, hosts: boolean) {
  return system.keyed(ledgerAgent, {
    shards: 6,
    hosts,
    persist: 'snapshot',
    states: fileStates({ folder }),
  });
}

/** What helps to find out why a case has failed; there are few of these where nothing goes wrong. */
const NOTED: ReadonlySet<RuntimeEvent['type']> = new Set([
  'actor-failed',
  'broker-state-changed',
  'message-dead',
  'frame-refused',
  'frames-missing',
  'logged',
  'node-down',
  'node-left',
  'node-up',
]);

/** An event in one line, if it is worth a note. */
export function noteOf(event: RuntimeEvent): string | undefined {
  return NOTED.has(event.type) ? inspect(event, { depth: 2, breakLength: Infinity }) : undefined;
}
