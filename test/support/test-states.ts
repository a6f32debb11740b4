/** States that several nodes of a test share: in memory, with a list of all that was written, and as slow or as faulty as a test says. */

import { memoryStates } from '../../adapters/store/memory-states.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { StateStore } from '../../src/protocol/state-store.ts';

/** Something that was asked of the store. */
export interface StateWrite {
  readonly key: string;
  readonly epoch: number;
  readonly json: string;
}

/** What all nodes share, and what a test may do to it. */
export interface TestStates {
  /** A store for one node. */
  readonly store: () => StateStore;
  /** What was kept, in order. */
  readonly writes: StateWrite[];
  /** What was refused because a later owner had taken the key. */
  readonly refused: StateWrite[];
  /** Called before each save; it may wait, and it may throw. */
  before: () => Promise<void>;
}

/** No states yet. */
export function testStates(): TestStates {
  const shared = memoryStates();
  const opened = shared.open(systemHost);
  const states: TestStates = {
    writes: [],
    refused: [],
    before: () => Promise.resolve(),
    store: () => ({
      isDurable: false,
      open: () => opened,
      activate: (key, claim) => shared.activate(key, claim),
      save: async (key, claim, snapshot) => {
        await states.before();
        const write = { key: key.key, epoch: claim.epoch, json: Buffer.from(snapshot).toString() };
        try {
          await shared.save(key, claim, snapshot);
        } catch (error) {
          states.refused.push(write);
          throw error;
        }
        states.writes.push(write);
      },
      remove: (key, claim) => shared.remove(key, claim),
      close: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
  };
  return states;
}
