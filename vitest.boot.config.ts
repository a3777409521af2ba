import { defineConfig } from 'vitest/config';

/** Tests that boot a machine: one at a time, because a guest under emulation takes every core it gets. */
export default defineConfig({
  test: {
    include: ['**/*.boot.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default'],
  },
});
