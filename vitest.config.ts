import { defineConfig } from 'vitest/config';

// Real servers start in hooks and tests, on two cores that others use as well: a deadline is for what hangs, not for what is slow.
const TEST_MS = 120_000;
const HOOK_MS = 180_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/machine-ready.ts'],
    pool: 'forks',
    // Every end-to-end file starts Temporal, Redis and a worker of its own; two at once on two cores only make each other late.
    fileParallelism: false,
    testTimeout: TEST_MS,
    hookTimeout: HOOK_MS,
    teardownTimeout: HOOK_MS,
    // Real processes race on two shared cores. Once more in CI tells a stumble of the machine from a fault; the report says so.
    retry: process.env['CI'] ? 1 : 0,
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: '.cutover/test-results.json' }]] : ['default'],
  },
});
