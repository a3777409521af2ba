import { defineConfig } from 'vitest/config';

/** Unit tests: fast, boot nothing. What boots a machine is named *.boot.test.ts and has a configuration of its own. */
export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/*.boot.test.ts', '**/node_modules/**', '**/dist/**'],
    passWithNoTests: false,
    // They are fast, and a machine that has other work is not: this ends only what hangs.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Nor does a wait for what comes end earlier because the machine is slow.
    expect: { poll: { timeout: 20_000 } },
    // Tests that run side by side are the launcher's, and those wait most of their time: the two projects that have them
    // also run two files at a time.
    maxConcurrency: 12,
    // The selftest counts the tests of every project from these reports.
    reporters: ['default', 'json'],
    outputFile: { json: 'dist/test-results.json' },
  },
});
