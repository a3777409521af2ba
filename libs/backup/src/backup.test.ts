import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle } from '@sovereign/device';
import { releaseId } from '@sovereign/service';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { backupService } from './create.ts';
import { migrateService } from './migrate.ts';
import { resticProgram } from './program.ts';
import { resticFailed } from './restic-errors.ts';
import { listBackups, restoreService } from './restore.ts';
import { definition, DEVICE, OTHER_DEVICE, RELEASE, StandInGuest, stream } from './testing/guest.ts';

// restic derives its key slowly by design, and each test calls it several times.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 900_000 });

// restic itself: what it does with a cut, a wrong key or a damaged file is what these tests are about.
beforeAll(() => resticProgram());

const failure = (code: string, exit = 1): unknown => expect.objectContaining({ code, exit });
const config = (guest: StandInGuest, ...parts: string[]): string =>
  join(guest.folder, 'config/sovereign', ...parts);

test('a backup is made, listed, and restored on the device and on another one', async () => {
  const guest = new StandInGuest();
  const device = guest.device();
  const first = await backupService(device, definition, { to: guest.repository });
  expect(first).toMatchObject({ repository: guest.repository, bytes: guest.read('stream').length });
  expect(guest.reminders).toEqual([expect.stringContaining('sql: the last good backup is of ')]);
  guest.write('stream', stream({ rows: 4 }));
  // Where it goes is said once.
  const second = await backupService(device, definition, { keep: { daily: 1, weekly: 0, monthly: 0 } });
  const listed = await listBackups(device, definition);
  // The one of the same day that was not the last is forgotten.
  expect(listed.map(({ id }) => id)).toEqual([second.id]);
  expect(listed[0]).toMatchObject({
    device: DEVICE,
    path: '/sql.sovereign-backup',
    about: { format: '1', service: 'sql', kind: 'postgresql', major: '17', release: 'ab'.repeat(32) },
  });

  expect(await restoreService(device, definition)).toMatchObject({ snapshot: second.id, tables: 1, rows: 4 });
  expect(guest.read('restored')).toBe(guest.read('stream'));
  expect(guest.did).toEqual(['new disk', 'kept']);

  const other = guest.device(OTHER_DEVICE);
  await expect(restoreService(other, definition)).rejects.toEqual(failure('no-repository-chosen', 2));
  await expect(restoreService(other, definition, { repository: guest.repository })).rejects.toEqual(
    failure('no-such-backup'),
  );
  expect(await restoreService(other, definition, { of: DEVICE })).toMatchObject({ rows: 4 });
  const named = { repository: guest.repository, snapshot: second.id.slice(0, 8) };
  expect(await restoreService(other, definition, named)).toMatchObject({ rows: 4 });
});

test('the password is made once, for this user alone, and no address with a password is shown', async () => {
  const guest = new StandInGuest();
  await backupService(guest.device(), definition, { to: guest.repository });
  const file = config(guest, 'devices/backup/password');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(config(guest, 'devices', DEVICE, 'backup-repository')).mode & 0o777).toBe(0o600);
  const password = readFileSync(file, 'utf8');
  await backupService(guest.device(), definition);
  expect(readFileSync(file, 'utf8')).toBe(password);
});

test('a backup that was cut leaves none, and the last good one counts', async () => {
  const guest = new StandInGuest();
  const device = guest.device();
  const good = await backupService(device, definition, { to: guest.repository });
  guest.write('fails', '');
  guest.reminders.length = 0;
  await expect(backupService(device, definition)).rejects.toMatchObject({
    code: 'cut-backup',
    what: 'the backup was cut: the disk is gone',
  });
  expect((await listBackups(device, definition)).map(({ id }) => id)).toEqual([good.id]);
  // The device goes on reminding of the good one.
  expect(guest.reminders).toEqual([]);
});

test('a service that is not healthy is not backed up, and nothing is made', async () => {
  const guest = new StandInGuest();
  const ill = backupService(guest.device(DEVICE, { healthy: null }), definition, { to: guest.repository });
  await expect(ill).rejects.toEqual(failure('not-healthy', 3));
  expect(existsSync(guest.repository)).toBe(false);
});

test('a repository that is not there is an error, never a new empty one', async () => {
  const guest = new StandInGuest();
  await backupService(guest.device(), definition, { to: guest.repository });
  rmSync(guest.repository, { recursive: true });
  await expect(backupService(guest.device(), definition)).rejects.toEqual(failure('no-repository'));
  await expect(restoreService(guest.device(), definition)).rejects.toEqual(failure('no-repository'));
  expect([existsSync(guest.repository), guest.did]).toEqual([false, []]);
});

test('another key than the one that made the repository opens nothing, and stays as it is', async () => {
  const guest = new StandInGuest();
  await backupService(guest.device(), definition, { to: guest.repository });
  writeFileSync(config(guest, 'devices/backup/password'), 'another\n');
  await expect(restoreService(guest.device(), definition)).rejects.toEqual(failure('wrong-backup-key'));
  const again = backupService(guest.device(), definition, { to: guest.repository });
  await expect(again).rejects.toEqual(failure('wrong-backup-key'));
  expect([readFileSync(config(guest, 'devices/backup/password'), 'utf8'), guest.did]).toEqual([
    'another\n',
    [],
  ]);
});

test('a damaged repository is told of, and the old data is back', async () => {
  const guest = new StandInGuest();
  guest.write('stream', stream({ size: 200_000 }));
  await backupService(guest.device(), definition, { to: guest.repository });
  damage(join(guest.repository, 'data'));
  await expect(restoreService(guest.device(), definition)).rejects.toEqual(failure('damaged-repository'));
  expect(guest.did.at(-1)).not.toBe('kept');
});

/** Changes bytes in the middle of every file. */
function damage(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name);
    if (!statSync(path).isFile()) continue;
    const content = readFileSync(path);
    content.fill(0xff, 20, 60);
    rmSync(path);
    writeFileSync(path, content);
  }
}

test('a backup of another service, of a newer format or of a newer version is refused before anything is stopped', async () => {
  const guest = new StandInGuest();
  const newer = { ...definition, data: { ...definition.data, major: 18 } };
  const { id } = await backupService(guest.device(), newer, { to: guest.repository });
  await expect(restoreService(guest.device(), definition)).rejects.toEqual(failure('newer-backup'));
  const notes = { ...definition, name: 'notes', data: { ...definition.data, kind: 'sqlite' } };
  await expect(restoreService(guest.device(), notes, { snapshot: id })).rejects.toEqual(
    failure('other-service', 2),
  );
  await expect(restoreService(guest.device(), definition, { snapshot: 'ffffffff' })).rejects.toEqual(
    failure('no-such-backup', 2),
  );
  expect(guest.did).toEqual([]);
});

test('what was restored and is not what was counted is given up', async () => {
  const guest = new StandInGuest();
  await backupService(guest.device(), definition, { to: guest.repository });
  guest.write('counts', 'count 2 app.public.t\n');
  await expect(restoreService(guest.device(), definition)).rejects.toMatchObject({
    code: 'counts-differ',
    what: expect.stringContaining('app.public.t: 3 in the backup, 2 restored') as string,
  });
  expect(guest.did).toEqual(['new disk', 'old disk']);
});

describe('data that moves to another format', () => {
  const bundle = { definition } as Bundle;

  test('goes through a backup, which is one of the release before and stays', async () => {
    const guest = new StandInGuest();
    const device = guest.device();
    await backupService(device, definition, { to: guest.repository });
    guest.write('stream', stream({ rows: 5 }));
    const moved = await migrateService(device, bundle);
    expect(moved).toMatchObject({ slot: 'b', tables: 1, rows: 5 });
    expect(guest.did).toEqual(['closed', 'new disk', 'kept']);
    expect(guest.read('restored')).toBe(guest.read('stream'));
    const last = (await listBackups(device, definition)).at(-1);
    expect(last).toMatchObject({ id: moved.snapshot, about: { major: '16', release: releaseId(RELEASE) } });
    expect(guest.reminders).toHaveLength(2);
  });

  test('is not touched where nobody said where backups go', async () => {
    const guest = new StandInGuest();
    await expect(migrateService(guest.device(), bundle)).rejects.toEqual(failure('no-repository-chosen', 2));
    expect(guest.did).toEqual([]);
  });

  test('does not count as moved where it is not what was counted', async () => {
    const guest = new StandInGuest();
    await backupService(guest.device(), definition, { to: guest.repository });
    guest.write('counts', 'count 2 app.public.t\n');
    await expect(migrateService(guest.device(), bundle)).rejects.toEqual(failure('counts-differ'));
    expect(guest.did).toEqual(['closed', 'new disk']);
  });
});

test('a target that is full is told of', () => {
  // A file system that is full would need root to make; restic's own words are what is read.
  const said = '{"message_type":"error","error":{"message":"write /r/data/tmp: no space left on device"}}';
  expect(resticFailed('/r', 'backup', 1, said)).toEqual(failure('target-full'));
});
