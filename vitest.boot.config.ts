import { defineConfig } from 'vitest/config';

/**
 * For projects with tests that boot a machine (*.boot.test.ts): all their tests, two files at a time: a guest under
 * emulation takes a core, and they wait for much else.
 */
export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 20_000 } },
    reporters: ['default', 'json'],
    outputFile: { json: 'dist/test-results.json' },
  },
});
