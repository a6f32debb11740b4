/** Stores of messages: in memory, and durable in one LMDB file (needs the package `lmdb`). */

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
export { type LmdbStoreOptions, openLmdbStore } from './lmdb-store.ts';
export { memoryStore } from './memory-store.ts';
