/**
 * A node in a process of its own, for tests that kill it: one that offers a worker, or, where it is told a size, one that runs a pool over the others.
 * It tells its parent what its workers do and that they have stopped; a parent may give the pool numbers.
 */

import { z } from 'zod';
import { redis } from '../../adapters/redis/index.ts';
import { agent, ask, createSystem, protocol } from '../../src/index.ts';
import { NODE_TIMES } from './remote-clerk.ts';

/** Doubles numbers, after some milliseconds. */
export const Doubler = protocol('doubler', {
  double: ask(z.object({ n: z.number(), ms: z.number() }), z.number()),
});

export const doubler = agent(Doubler, {
  state: () => {
    process.send?.({ started: true });
  },
  on: {
    double: async (_ctx, { n, ms }) => {
      process.send?.({ begun: n });
      await new Promise((resolve) => {
        setTimeout(resolve, ms);
      });
      return 2 * n;
    },
  },
  onStop: () => {
    process.send?.({ stopped: true });
  },
});

const { POOL_BROKER: url, POOL_PREFIX: prefix = '', POOL_NODE: node = '', POOL_SIZE: size } = process.env;

if (url !== undefined) {
  const system = await createSystem({
    name: 'program',
    node,
    broker: redis(url, { ...NODE_TIMES, prefix }),
    agents: size === undefined ? [doubler] : [],
    signals: true,
    log: false,
  });
  if (size !== undefined) {
    const pool = await system.spawn(doubler.pool({ size: Number(size), nodes: 'all', shutdownMs: 1_000 }));
    for (let n = 0; n < Number(size); n++) pool.ask('double', { n, ms: 60_000 }).catch(() => undefined);
  }
  process.send?.('joined');
  // As long as its parent lives.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}
