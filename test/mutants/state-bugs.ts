/** Bugs of the fence of a state store, planted where all stores decide, and of the file that two of them are in. */

import type { PlantedBug } from './planted-bug.ts';

const file = 'src/protocol/state-claim.ts';
const tests = ['test/property/state-store.property.test.ts'];

export const STATE_BUGS: readonly PlantedBug[] = [
  {
    name: 'an owner of the past activates again',
    file,
    find: 'claim.epoch > held.epoch || holds(claim, held)',
    replace: 'claim.epoch !== held.epoch || holds(claim, held)',
    tests,
  },
  {
    name: 'another owner of the same epoch is let in',
    file,
    find: 'claim.epoch > held.epoch || holds(claim, held)',
    replace: 'claim.epoch >= held.epoch || holds(claim, held)',
    tests,
  },
  {
    name: 'an owner of the past goes on writing',
    file,
    find: 'held !== undefined && claim.epoch === held.epoch && claim.owner === held.owner',
    replace: 'held !== undefined && claim.owner === held.owner',
    tests,
  },
  {
    name: 'an epoch that was never activated writes',
    file,
    find: 'held !== undefined && claim.epoch === held.epoch && claim.owner === held.owner',
    replace: 'held !== undefined && claim.epoch >= held.epoch && claim.owner === held.owner',
    tests,
  },
  {
    name: 'a transaction goes on from a commit that is not the last',
    file: 'adapters/store/lmdb-folder.ts',
    find: 'if (isBegun) work();',
    replace: 'isBegun = true;\n        work();',
    tests: ['test/fault/store-number.test.ts'],
  },
];
