/**
 * Breaks one area on purpose, in every way that Stryker knows, and checks that a test notices each time.
 * `npm run test:mutants -- supervision` runs an area of areas.ts, `-- supervision restart.ts` some of its files.
 * A mutant that survives fails the run.
 */

import { Stryker } from '@stryker-mutator/core';
import { AREAS } from './areas.ts';

const [name = '', ...files] = process.argv.slice(2);
const area = AREAS[name];
if (area === undefined) {
  console.error(`Name an area: ${Object.keys(AREAS).join(', ')}.`);
  process.exit(2);
}

process.env['MUTANTS_AREA'] = name; // for vitest.mutants.config.ts, in the processes that Stryker starts
const stryker = new Stryker({
  mutate: (files.length === 0 ? area.files : files).map((file) => `${area.folder}/${file}`),
  htmlReporter: { fileName: `reports/mutants-${name}.html` },
});
await stryker.runMutationTest();
