import { openLmdbStore } from '../../adapters/store/index.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';
import { storeContract } from './store.contract.ts';

const newFolder = temporaryFolders();

storeContract('a store in an LMDB file', async (options) =>
  openLmdbStore({ ...options, folder: await newFolder() }),
);
