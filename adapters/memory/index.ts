/** `troupe/memory`: a broker within one process, and a hub that several nodes share and on which every fault can be made to happen. */

export { type MemoryOptions, memory } from './broker.ts';
export { memoryHub } from './hub.ts';
export type { Loss, Silence } from './link.ts';
export type { DelayOptions, MemoryHub, MemoryHubOptions, ReorderOptions } from './memory-hub.ts';
export type { MemoryDeadFrame } from './room.ts';
