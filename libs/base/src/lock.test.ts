import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  compareLocks,
  describeChange,
  describeSize,
  lockDigest,
  lockSchema,
  readLock,
  refuseOlder,
  type Lock,
} from './lock.ts';

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

test.each([
  ['of which Git left a conflict', '<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n'],
  ['that is empty', ''],
  ['of another form', '{"schema":2}'],
])('a lock %s is named as damaged, with what to do', async (_case, text) => {
  const folder = mkdtempSync(join(tmpdir(), 'lock-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'debian.lock.json');
  writeFileSync(path, text);
  await expect(readLock(path)).rejects.toMatchObject({
    code: 'bad-lock',
    on: path,
    hint: expect.stringContaining('./sovereign lock') as string,
  });
});

test('what changes between two locks is said by package', () => {
  const changes = compareLocks(
    lock(entry('a', '1'), entry('b', '1')),
    lock(entry('a', '2'), entry('c', '1')),
  );
  expect(changes.map(describeChange)).toEqual(['a 1 -> 2', '- b 1', '+ c 1']);
  expect(compareLocks(lock(entry('a', '1')), lock(entry('a', '1')))).toEqual([]);
});

test('what there is to fetch is said in full, and by how much it changed', () => {
  const sized = (size: number) => lock({ ...entry('a', '1'), size });
  expect(describeSize(undefined, sized(2_500_000))).toBe('1 packages, 2.5 MB to fetch');
  expect(describeSize(sized(3_000_000), sized(2_500_000))).toBe('1 packages, 2.5 MB to fetch (-0.5 MB)');
});

test('an index older than the one that a lock was made of is refused, and only within a branch', () => {
  const seen = (main: number, release = 'v3.24'): Lock => ({
    ...lock(entry('a', '1')),
    release,
    newest: { main },
  });
  expect(() => refuseOlder(seen(2000), seen(1999), 'x.lock.json')).toThrow(
    /index of main.*33:19.*has seen.*33:20/,
  );
  expect(() => refuseOlder(seen(2000), seen(2000), 'x.lock.json')).not.toThrow();
  expect(() => refuseOlder(seen(2000, 'v3.23'), seen(1000), 'x.lock.json')).not.toThrow();
  expect(() => refuseOlder(undefined, seen(1000), 'x.lock.json')).not.toThrow();
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
