/**
 * A node in a process of its own, for tests that stop, kill and restart it: a clerk, on a Redis. It tells its parent each number that it has
 * filed, and ends by SIGTERM as a service does.
 */

import { redis } from '../../adapters/redis/index.ts';
import { agent, createSystem, supervisor } from '../../src/index.ts';
import { NODE_TIMES, ProcessClerk } from './remote-clerk.ts';

const { CLERK_BROKER: url = '', CLERK_PREFIX: prefix = '', CLERK_NODE: node = '' } = process.env;

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
await createSystem({
  name: 'program',
  node,
  broker: redis(url, { ...NODE_TIMES, prefix }),
  root: supervisor({ children: { clerk: clerk.child() } }),
  signals: true,
  log: false,
});
process.send?.('joined');
// As long as its parent lives.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
