/** A pool at one instant: its own queue, and one ledger for the pool and all its workers. */

import type { Inspection } from '../../src/protocol/system.ts';
import { inspectCell } from '../actor/inspection.ts';
import { CourierCell } from './courier.ts';
import type { PoolCell } from './pool.ts';

/** What can be said of a pool now. */
export function inspectPool(pool: PoolCell): Inspection {
  const own = inspectCell(pool);
  const counts = { ...own.counts };
  const ledgers = [pool.past, ...[...pool.workers].map(({ jobs }) => jobs)];
  for (const ledger of ledgers) {
    counts.accepted += ledger.accepted;
    counts.handled += ledger.handled;
    counts.failed += ledger.failed;
    counts.cancelled += ledger.cancelled;
    counts.deadLettered += ledger.deadLettered;
  }
  const workers = [...pool.workers].map((worker) => ({
    address: worker.address,
    isBusy: worker.turn !== undefined,
    isLeaving: worker.isLeaving,
    node: worker instanceof CourierCell ? worker.node : undefined,
  }));
  const { size, inFlight } = pool;
  const { routing } = pool.settings;
  return { ...own, counts, pool: { routing, size, inFlight, tokens: pool.throttle?.tokens, workers } };
}
