/** What can go wrong on a hub of three nodes, for properties: any fault, and how it is made. */

import fc from 'fast-check';
import type { MemoryHub } from '../../adapters/memory/index.ts';

const node = fc.constantFrom('a', 'b', 'c');

/** Reorders what passes a node, which keeps no order any more. */
export const hubReordering = fc.record({
  type: fc.constant('reorder' as const),
  node,
  share: fc.constantFrom(0.2, 0.7),
});

/** Anything else that can go wrong at a node. */
export const hubFault = fc.oneof(
  fc.record({ type: fc.constant('cut' as const), node }),
  fc.record({
    type: fc.constant('silence' as const),
    node,
    direction: fc.constantFrom('to-hub', 'to-node', 'both'),
  }),
  fc.record({
    type: fc.constant('lose' as const),
    node,
    loss: fc.constantFrom('publishes', 'confirms', 'deliveries', 'settlements'),
  }),
  fc.record({ type: fc.constant('delay' as const), node, ms: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ type: fc.constant('duplicate' as const), node, share: fc.constantFrom(0.3, 1) }),
);

type Drawn<A> = A extends fc.Arbitrary<infer T> ? T : never;

/** One fault. */
export type HubFault = Drawn<typeof hubFault> | Drawn<typeof hubReordering>;

/** Makes a fault, which lasts until the hub is healed. */
export function breakHub(hub: MemoryHub, fault: HubFault): void {
  switch (fault.type) {
    case 'cut':
      hub.cut(fault.node);
      break;
    case 'silence':
      hub.silence(fault.direction, fault.node);
      break;
    case 'lose':
      hub.lose(fault.loss, fault.node);
      break;
    case 'delay':
      hub.delay({ minMs: 0, maxMs: fault.ms }, fault.node);
      break;
    case 'duplicate':
      hub.duplicate(fault.share, fault.node);
      break;
    case 'reorder':
      hub.reorder({ share: fault.share }, fault.node);
      break;
  }
}
