import { defineConfig } from 'vitest/config';

// Real servers start in hooks and tests, on two cores that others use as well: a deadline is for what hangs, not for what is slow.
const TEST_MS = 120_000;
const HOOK_MS = 180_000;

/**
 * Each of them keeps both cores busy by itself: Postgres servers, a DMS, an application that writes, and workers that are
 * started again and again. Two of them at once were too late for each other's deadlines.
 */
const ALONE = ['test/postgres-{abort,dms,faults,killed,operator,property}.test.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'together', include: ['test/**/*.test.ts'], exclude: ALONE, sequence: { groupOrder: 0 } },
      },
      { extends: true, test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
    globalSetup: ['test/machine-ready.ts'],
    pool: 'forks',
    // Every end-to-end file starts Temporal, databases and a worker of its own, and mostly waits for them: two files at
    // once end in little more than half the time, more of them only make each other late.
    maxWorkers: 2,
    testTimeout: TEST_MS,
    hookTimeout: HOOK_MS,
    teardownTimeout: HOOK_MS,
    // Real processes race on two shared cores. Once more in CI tells a stumble of the machine from a fault; the report says so.
    retry: process.env['CI'] ? 1 : 0,
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: '.cutover/test-results.json' }]] : ['default'],
  },
});
