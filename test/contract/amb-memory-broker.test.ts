import { memory, memoryHub } from '../../adapters/memory/index.ts';
import { memoryStore } from '../../adapters/store/index.ts';
import { busBench } from '../support/test-bus.ts';
import { ambContract, ON_A_BROKER } from './amb.contract.ts';

ambContract('a bus on the memory broker', ON_A_BROKER, () => {
  const { connect, advance } = busBench();
  const hub = memoryHub();
  return {
    connect: (options = {}, bound) => connect({ broker: memory({ ...bound, hub }), ...options }),
    advance,
    end: () => Promise.resolve(),
    openStore: () => memoryStore(),
  };
});
