/** Stores of messages, and of the states of keyed agents: in memory, and durable in one LMDB file (needs the package `lmdb`). */

export type { StateClaim, StateKey, StateStore, StateStoreOptions } from '../../src/protocol/state-store.ts';
export type {
  MessageRange,
  MessageStatus,
  MessageStore,
  NewMessage,
  StatusChange,
  StoredMessage,
  StoreOptions,
  StoreStats,
  Trimmed,
  TrimOptions,
} from '../../src/protocol/store.ts';
export { type FileStatesOptions, fileStates } from './file-states.ts';
export { type LmdbStoreOptions, openLmdbStore } from './lmdb-store.ts';
export { memoryStates } from './memory-states.ts';
export { memoryStore } from './memory-store.ts';
