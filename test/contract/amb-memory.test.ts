import { memoryStore } from '../../adapters/store/index.ts';
import { busBench } from '../support/test-bus.ts';
import { ambContract } from './amb.contract.ts';

const everything = {
  boundsBacklog: true,
  waitsForSubscribers: true,
  ordersByPriority: true,
  ordersTopics: true,
  countsReceipts: true,
};

ambContract('a bus in memory', everything, () => {
  const { connect, advance } = busBench();
  // The bench closes what it has connected.
  return {
    connect: (options) => connect(options),
    advance,
    end: () => Promise.resolve(),
    openStore: () => memoryStore(),
  };
});
