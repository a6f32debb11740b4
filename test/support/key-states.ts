/** A store of states for tests: in memory, with the times of all that was written, and as slow or as faulty as a test says. */

import type { KeyStates } from '../../src/protocol/key-states.ts';

/** Something that was asked of the store. */
export interface StateWrite {
  readonly id: string;
  readonly epoch: number;
  readonly json: string;
}

/** The store, and what a test may do to it. */
export interface TestStates extends KeyStates {
  /** What was kept, in order. */
  readonly writes: StateWrite[];
  /** What was refused because a later owner had taken the id. */
  readonly refused: StateWrite[];
  /** Called before each save; it may wait, and it may throw. */
  before: () => Promise<void>;
}

/** A store without states. */
export function testStates(): TestStates {
  const kept = new Map<string, { epoch: number; json: string | undefined }>();
  const states: TestStates = {
    writes: [],
    refused: [],
    before: () => Promise.resolve(),
    activate: async (id, epoch) => {
      await Promise.resolve();
      const known = kept.get(id);
      if (known !== undefined && known.epoch > epoch) return 'stale';
      const json = known?.json;
      kept.set(id, { epoch, json });
      return { json };
    },
    save: async (id, epoch, json) => {
      await states.before();
      if (kept.get(id)?.epoch !== epoch) {
        states.refused.push({ id, epoch, json });
        return 'stale';
      }
      kept.set(id, { epoch, json });
      states.writes.push({ id, epoch, json });
      return 'saved';
    },
  };
  return states;
}
