/**
 * A node in a process of its own, for tests that stop, kill and restart it: a clerk and its share of the ledgers, on the broker of a URL. It tells its parent each number that it has
 * filed, and what else is worth a note, and ends by SIGTERM as a service does.
 */

import { agent, createSystem, supervisor } from '../../src/index.ts';
import { brokerOf } from './broker-of.ts';
import { ledgers, NODE_TIMES, noteOf, ProcessClerk } from './remote-clerk.ts';

const {
  CLERK_BROKER: url = '',
  CLERK_PREFIX: prefix = '',
  CLERK_NODE: node = '',
  CLERK_STATES: folder = '',
} = process.env;

const clerk = agent(ProcessClerk, {
  state: (): object => ({}),
  on: {
    file: (_ctx, n) => process.send?.({ filed: n }),
    count: (_ctx, n) => 2 * n,
    spin: (_ctx, ms) => {
      const end = performance.now() + ms;
      let turns = 0;
      while (performance.now() < end) turns++;
      process.send?.({ filed: -ms });
      return turns > 0 ? ms : 0;
    },
  },
});
const system = await createSystem({
  name: 'program',
  node,
  broker: brokerOf(url, prefix, NODE_TIMES),
  root: supervisor({ children: { clerk: clerk.child() } }),
  signals: true,
  log: false,
});
ledgers(system, folder, true);
system.events.subscribe((event) => {
  const noted = noteOf(event);
  if (noted !== undefined && process.connected) process.send?.({ noted });
});
process.send?.('joined');
// As long as its parent lives.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
