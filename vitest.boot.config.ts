import { defineConfig } from 'vitest/config';

/**
 * For projects with tests that boot a machine (*.boot.test.ts): all their tests, one file at a time, because a guest
 * under emulation takes every core that it gets.
 */
export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default', 'json'],
    outputFile: { json: 'dist/test-results.json' },
  },
});
