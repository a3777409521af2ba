import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockPath, writeLock, type Lock } from '@sovereign/base';
import { loadService, type FoundService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { guestRequest, readGuestLock } from './guest-request.ts';

const sql = await loadService(join(workspaceRoot(), 'packages/rootfs-sql'));
let service: FoundService;

beforeEach(() => {
  service = { ...sql, folder: mkdtempSync(join(tmpdir(), 'request-')) };
});

afterEach(() => rmSync(service.folder, { recursive: true }));

const entry = (name: string): Lock['packages'][number] => ({
  name,
  version: '1',
  archive: 'debian',
  path: `pool/${name}.deb`,
  size: 1,
  sha256: 'a'.repeat(64),
});

const lockOf = (requested: readonly string[], names: string[]): Lock => ({
  schema: 1,
  base: 'debian',
  release: 'trixie',
  arch: 'arm64',
  requested: [...requested],
  packages: names.map(entry),
});

describe('the lock of a service', () => {
  test('is taken where it answers what the definition asks', async () => {
    const lock = lockOf(guestRequest(service, 'debian').packages, ['postgresql-17']);
    await writeLock(lockPath(service, 'debian'), lock);
    expect(await readGuestLock(service, 'debian')).toEqual(lock);
  });

  test('that is missing is stale, and the error names its file', async () => {
    const path = lockPath(service, 'debian');
    await expect(readGuestLock(service, 'debian')).rejects.toMatchObject({ code: 'stale-lock', on: path });
  });

  test('of Alpine that is missing names the setting for another base too', async () => {
    const setting = expect.stringContaining('SOVEREIGN_BASE=debian') as string;
    await expect(readGuestLock(service, 'alpine')).rejects.toMatchObject({ hint: setting });
    await expect(readGuestLock(service, 'debian')).rejects.not.toMatchObject({ hint: setting });
  });

  test('is stale when the definition asks for another package', async () => {
    await writeLock(lockPath(service, 'debian'), lockOf(['postgresql-16'], ['postgresql-16']));
    await expect(readGuestLock(service, 'debian')).rejects.toMatchObject({ code: 'stale-lock' });
  });

  test.each([
    ['of another release', { release: 'bookworm' }],
    ['for another processor', { arch: 'amd64' }],
  ])('is stale when it is %s', async (_case, other) => {
    const lock = lockOf(guestRequest(service, 'debian').packages, ['postgresql-17']);
    await writeLock(lockPath(service, 'debian'), { ...lock, ...other });
    await expect(readGuestLock(service, 'debian')).rejects.toMatchObject({
      code: 'stale-lock',
      what: expect.stringContaining(Object.values(other)[0] ?? '') as string,
    });
  });

  test('is stale when it brings what the definition leaves out', async () => {
    const { packages, leaveOut = [] } = guestRequest(service, 'debian');
    await writeLock(lockPath(service, 'debian'), lockOf(packages, [leaveOut[0] ?? '']));
    await expect(readGuestLock(service, 'debian')).rejects.toMatchObject({ code: 'stale-lock' });
  });
});

test('a service without a base says so by name', () => {
  const without = { ...service, definition: { ...service.definition, bases: {} } };
  expect(() => guestRequest(without, 'debian')).toThrow(/PostgreSQL 17 is not declared for the debian base/);
});
