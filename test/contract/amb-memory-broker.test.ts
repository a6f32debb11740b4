import { memory, memoryHub } from '../../adapters/memory/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { busBench } from '../support/test-bus.ts';
import { ambContract } from './amb.contract.ts';

/** What no bus on a broker can: it waits for its broker, which does not know who is subscribed. */
const abilities = {
  boundsBacklog: true,
  waitsForSubscribers: false,
  ordersByPriority: true,
  ordersTopics: false,
  countsReceipts: false,
};

ambContract('a bus on the memory broker', abilities, () => {
  const { connect, advance } = busBench();
  const hub = memoryHub();
  return {
    connect: (options = {}, bound) => connect({ broker: memory({ ...bound, hub }), ...options }),
    advance,
    end: () => Promise.resolve(),
    openStore: () => memoryStore(),
  };
});
