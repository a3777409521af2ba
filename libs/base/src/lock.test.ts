import { expect, test } from 'vitest';
import { compareLocks, describeChange, lockDigest, lockSchema, type Lock } from './lock.ts';

const entry = (name: string, version: string) => ({
  name,
  version,
  archive: 'debian',
  path: `pool/main/${name}_${version}.deb`,
  size: 10,
  sha256: 'a'.repeat(64),
});

const lock = (...packages: ReturnType<typeof entry>[]): Lock => ({
  schema: 1,
  base: 'debian',
  release: 'trixie',
  arch: 'arm64',
  requested: ['a'],
  packages,
});

test('what changes between two locks is said by package', () => {
  const changes = compareLocks(
    lock(entry('a', '1'), entry('b', '1')),
    lock(entry('a', '2'), entry('c', '1')),
  );
  expect(changes.map(describeChange)).toEqual(['a 1 -> 2', '- b 1', '+ c 1']);
  expect(compareLocks(lock(entry('a', '1')), lock(entry('a', '1')))).toEqual([]);
});

test('a digest in the lock decides the digest of the lock', () => {
  const changed = { ...entry('a', '1'), sha256: 'b'.repeat(64) };
  expect(lockDigest(lock(entry('a', '1')))).not.toBe(lockDigest(lock(changed)));
});

test.each(['/etc/passwd', '../../x', 'pool/../../x'])(
  'a path that leads out of the archive is refused: %s',
  (path) => {
    expect(lockSchema.safeParse(lock({ ...entry('a', '1'), path })).success).toBe(false);
  },
);
