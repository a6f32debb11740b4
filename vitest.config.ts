import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// A file that receives the result as JSON, beside what is printed. Set by .ci/run.
const report = process.env['TROUPE_TEST_REPORT'];

export default defineConfig({
  resolve: {
    alias: [
      { find: /^troupe$/, replacement: source('./src/index.ts') },
      { find: /^troupe\/testing$/, replacement: source('./src/testing.ts') },
      {
        find: /^troupe\/(kafka|loopback|memory|otel|rabbitmq|redis|store|xstate)$/,
        replacement: source('./adapters/$1/index.ts'),
      },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/types/misuse/**', '.stryker-tmp/**'],
    // A flaky test is a bug: nothing is run again.
    retry: 0,
    // A hanging test fails; a slow machine alone does not.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // By default one core is left free, which on two cores means one file at a time, although
    // the long files, those of the brokers, mostly wait.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    restoreMocks: true,
    unstubEnvs: true,
    unstubGlobals: true,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'runtime/**/*.ts', 'adapters/**/*.ts'],
      reporter: ['text-summary', 'html'],
    },
  },
});
