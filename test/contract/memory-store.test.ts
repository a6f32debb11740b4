import { memoryStore } from '../../adapters/store/index.ts';
import { storeContract } from './store.contract.ts';

storeContract('a store in memory', async (options) => memoryStore(options));
