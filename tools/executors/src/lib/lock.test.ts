import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLock, writeLock, type Lock } from '@sovereign/base';
import { EVENTS_VARIABLE, readEvents } from '@sovereign/report';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lookAhead, refreshLock } from './lock.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refresh-'));
  path = join(folder, 'alpine.lock.json');
  vi.stubEnv(EVENTS_VARIABLE, join(folder, 'events'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const lockOf = (version: string, more: Partial<Lock> = {}): Lock => ({
  schema: 1,
  base: 'alpine',
  release: 'v3.24',
  arch: 'aarch64',
  requested: ['openrc'],
  packages: [
    {
      name: 'openrc',
      version,
      archive: 'main',
      path: `aarch64/openrc-${version}.apk`,
      size: 2_000_000,
      sha256: 'a'.repeat(64),
    },
  ],
  newest: { main: 2000 },
  ...more,
});

/** Makes the lock again, where the base answers with this one; gives what was told. */
async function refresh(answer: Lock): Promise<string[]> {
  const base = { lock: () => Promise.resolve(answer) };
  await refreshLock(
    path,
    'alpine',
    { packages: ['openrc'], arch: 'aarch64' },
    { alpine: base, debian: base },
  );
  return readEvents(join(folder, 'events')).map(({ step }) => step);
}

describe('making a lock', () => {
  test('for the first time writes it, and tells what is in it and how much there is to fetch', async () => {
    expect(await refresh(lockOf('1-r0'))).toEqual(['+ openrc 1-r0', '1 packages, 2.0 MB to fetch']);
    expect(await readLock(path)).toEqual(lockOf('1-r0'));
  });

  test('again tells what changed', async () => {
    await writeLock(path, lockOf('1-r0'));
    expect(await refresh(lockOf('2-r0'))).toEqual([
      'openrc 1-r0 -> 2-r0',
      '1 packages, 2.0 MB to fetch (+0.0 MB)',
    ]);
    expect(await readLock(path)).toEqual(lockOf('2-r0'));
  });

  test('again with nothing new says so', async () => {
    await writeLock(path, lockOf('1-r0'));
    expect(await refresh(lockOf('1-r0'))).toEqual(['the lock is up to date']);
  });

  test('to see what is newer writes it elsewhere, and leaves the one in force', async () => {
    await writeLock(path, lockOf('1-r0'));
    const target = join(folder, 'rootfs-sql.lock.json');
    const look = (answer: Lock) => {
      const base = { lock: () => Promise.resolve(answer) };
      const bases = { alpine: base, debian: base };
      return lookAhead(path, target, 'alpine', { packages: ['openrc'], arch: 'aarch64' }, bases);
    };
    await look(lockOf('2-r0'));
    expect([await readLock(path), await readLock(target)]).toEqual([lockOf('1-r0'), lockOf('2-r0')]);
    await expect(look(lockOf('0-r0', { newest: { main: 1000 } }))).rejects.toMatchObject({
      code: 'old-mirror',
    });
    expect(await readLock(target)).toEqual(lockOf('2-r0'));
  });

  test('of an older index than before is refused, and the lock stays', async () => {
    await writeLock(path, lockOf('2-r0'));
    await expect(refresh(lockOf('1-r0', { newest: { main: 1999 } }))).rejects.toMatchObject({
      code: 'old-mirror',
      on: path,
    });
    expect(await readLock(path)).toEqual(lockOf('2-r0'));
  });

  test('of a branch that gets no fixes warns', async () => {
    const told = await refresh(lockOf('1-r0', { release: 'v3.1' }));
    expect(told.at(-1)).toMatch(/^warning: .*v3\.1/);
  });

  test('mends one that Git left a conflict in, and says so', async () => {
    writeFileSync(path, '<<<<<<< ours\n');
    const told = await refresh(lockOf('1-r0'));
    expect(told[0]).toMatch(/alpine\.lock\.json could not be read and is made anew/);
    expect(told).toContain('+ openrc 1-r0');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(lockOf('1-r0'));
  });
});
