import { join } from 'node:path';
import { expect, test } from 'vitest';
import { chooseOrigin, describeSource, readSourceLock, sourceLockSchema } from './source-lock.ts';

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

test('the configuration says whose source it is, else the setting of its own, else the base', () => {
  expect(chooseOrigin(undefined, {})).toBe('kernel.org');
  expect(chooseOrigin(undefined, { SOVEREIGN_BASE: 'debian' })).toBe('debian');
  const otherwise = { SOVEREIGN_BASE: 'alpine', SOVEREIGN_KERNEL_SOURCE: 'debian' };
  expect(chooseOrigin(undefined, otherwise)).toBe('debian');
  expect(chooseOrigin('alpine', otherwise)).toBe('kernel.org');
  expect(() => chooseOrigin(undefined, { SOVEREIGN_KERNEL_SOURCE: 'alpine' })).toThrow(
    /SOVEREIGN_KERNEL_SOURCE/,
  );
  expect(() => chooseOrigin(undefined, { SOVEREIGN_BASE: 'ubuntu' })).toThrow(/SOVEREIGN_BASE/);
});
