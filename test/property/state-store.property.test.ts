/**
 * Goal: at most one claim of a key writes, that of the highest epoch activated, whatever order its owners come in.
 * Method: random calls of three owners with epochs that overlap, on the store in memory, compared with a plain model at each step.
 */

import fc from 'fast-check';
import { describe, it } from 'vitest';
import { memoryStates } from '../../adapters/store/memory-states.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { moves, play } from '../support/state-play.ts';

describe('a state store', () => {
  it(
    'P113 takes no write of an epoch after a higher one was activated, and loses none of the one that holds',
    async () => {
      await fc.assert(
        fc.asyncProperty(moves, async (made) => {
          const store = memoryStates();
          await store.open({} as Parameters<typeof store.open>[0]); // the one in memory reads no clock
          await play(() => store, made);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
