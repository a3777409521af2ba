import { expect, test } from 'vitest';
import { backupAge, remindOfBackup } from './age.ts';
import { changeServiceBackups } from './settings.ts';
import { DEVICE, StandInGuest } from './testing/guest.ts';

const day = (count: number): number => Date.parse('2026-11-01T12:00:00.000Z') + count * 24 * 3600 * 1000;
const at = new Date(day(0)).toISOString();

test('nothing is said of a service that nobody backs up', async () => {
  new StandInGuest();
  expect(await backupAge(undefined, 'sql')).toBeUndefined();
  expect(await backupAge(DEVICE, 'sql')).toBeUndefined();
});

test('a backup is old after seven days', async () => {
  const guest = new StandInGuest();
  await changeServiceBackups(DEVICE, 'sql', { last: { at, snapshot: 'ab' } });
  expect(await backupAge(DEVICE, 'sql', day(6.9))).toEqual({ at });
  expect(await backupAge(DEVICE, 'sql', day(7))).toEqual({
    at,
    attention: 'the last good backup is 7 days old: sovereign backup sql',
  });
  await remindOfBackup(guest.device(), DEVICE, 'sql');
  expect(guest.reminders).toEqual([
    '2026-11-08T12:00:00.000Z sql: the last good backup is of 2026-11-01: sovereign backup sql',
  ]);
  expect(await backupAge(DEVICE, 'other', day(7))).toBeUndefined();
});

test('so is one that is scheduled and never made', async () => {
  const guest = new StandInGuest();
  await changeServiceBackups(DEVICE, 'sql', { schedule: { every: 'daily', at: '03:00', since: at } });
  expect(await backupAge(DEVICE, 'sql', day(1))).toEqual({ at: null });
  expect((await backupAge(DEVICE, 'sql', day(9)))?.attention).toMatch(
    /scheduled for 9 days and none was made/,
  );
  await remindOfBackup(guest.device(), DEVICE, 'sql');
  expect(guest.reminders).toEqual([
    expect.stringContaining('sql: a backup is scheduled since 2026-11-01 and none was made'),
  ]);
});
