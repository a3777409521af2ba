import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeSource, readSourceLock, sourceLockSchema } from './source-lock.ts';

const path = join(import.meta.dirname, '../../../packages/kernel/source.lock.json');

test('the source of this repository is pinned by both origins', async () => {
  const lock = await readSourceLock(path);
  for (const origin of ['kernel.org', 'debian'] as const) {
    const { digest, version } = describeSource(lock, origin);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(version).toMatch(/^6\.12\.\d+$/);
  }
  expect(lock.kernelOrg.path).toContain(`linux-${lock.kernelOrg.version}.tar.xz`);
});

test("kernel.org's digest needs two records of different projects", async () => {
  const lock = await readSourceLock(path);
  expect(new Set(lock.kernelOrg.records.map(({ project }) => project)).size).toBeGreaterThanOrEqual(2);
  const one = { ...lock, kernelOrg: { ...lock.kernelOrg, records: lock.kernelOrg.records.slice(0, 1) } };
  expect(sourceLockSchema.safeParse(one).success).toBe(false);
});
