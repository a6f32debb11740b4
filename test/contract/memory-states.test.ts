import { memoryStates } from '../../adapters/store/memory-states.ts';
import { stateStoreContract } from './state-store.contract.ts';

stateStoreContract('a state store in memory', async (options) => memoryStates(options));
