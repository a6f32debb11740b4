import { fileStates } from '../../adapters/store/file-states.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';
import { stateStoreContract } from './state-store.contract.ts';

const newFolder = temporaryFolders();

stateStoreContract('a state store in an LMDB file', async (options) =>
  fileStates({ ...options, folder: await newFolder() }),
);
