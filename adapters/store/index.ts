/** Stores of messages: in memory, and durable in one LMDB file (needs the package `lmdb`). */

export { type LmdbStoreOptions, openLmdbStore } from './lmdb-store.ts';
export { memoryStore } from './memory-store.ts';
