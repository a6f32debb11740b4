import { defineConfig } from 'vitest/config';

// What Stryker runs: the tests of heap, admission and mailbox at their own level, with few runs of each property.
// A mutant that only a thousand runs would find is one that the unit tests should find.
export default defineConfig({
  test: {
    include: [
      'test/unit/heap.test.ts',
      'test/unit/admission.test.ts',
      'test/unit/mailbox.test.ts',
      'test/property/heap.property.test.ts',
      'test/property/mailbox.property.test.ts',
      'test/model/mailbox.model.test.ts',
    ],
    // The deep heap takes a second, and finds nothing here that the small ones do not.
    testNamePattern: /^(?!.*100,000)/,
    testTimeout: 30_000,
    env: { FC_RUNS: '60' },
  },
});
