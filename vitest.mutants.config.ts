import { mergeConfig } from 'vitest/config';
import { AREAS } from './test/mutants/areas.ts';
import base from './vitest.config.ts';

// What Stryker runs: the tests that know the area, with few runs of each property. A mutant that only a thousand runs
// would find is one that the unit tests should find.
const area = AREAS[process.env['MUTANTS_AREA'] ?? ''];
if (area === undefined) throw new Error('MUTANTS_AREA names no area of test/mutants/areas.ts');

// Most of the time goes into loading the engine, so the files of a run load it once.
const config = mergeConfig(base, {
  test: {
    isolate: false,
    setupFiles: ['test/mutants/setup.ts'],
    testTimeout: 10_000,
    env: { FC_RUNS: '40' },
  },
});
export default { ...config, test: { ...config.test, include: [...area.tests] } };
