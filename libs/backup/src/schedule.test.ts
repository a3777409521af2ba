import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cronLine, scheduleBackups, timerFiles, unscheduleBackups } from './schedule.ts';
import { backupSettings } from './settings.ts';
import { DEVICE, StandInGuest } from './testing/guest.ts';

const scheduled = {
  device: { id: 'local', deviceId: DEVICE },
  service: 'sql',
  workspace: '/home/me/so 100%',
};
const daily = { every: 'daily', at: '03:05' } as const;
const unit = 'sovereign-backup-11111111-sql';

/** systemctl as a stand-in that notes what it is told. */
function systemctl(guest: StandInGuest, status: number): void {
  const path = join(guest.folder, 'bin/systemctl');
  writeFileSync(path, `#!/bin/sh\necho "$*" >>'${guest.folder}/calls'\nexit ${status}\n`);
  chmodSync(path, 0o755);
}

test('a timer runs the command of this checkout, at its time, also when the machine was off', () => {
  const files = timerFiles(scheduled, daily);
  expect(Object.keys(files)).toEqual([`${unit}.service`, `${unit}.timer`]);
  expect(files[`${unit}.service`]).toContain(
    'ExecStart="/home/me/so 100%%/sovereign" "backup" "sql" "-s" "local"\n',
  );
  expect(files[`${unit}.timer`]).toContain('OnCalendar=*-*-* 03:05:00\n');
  expect(files[`${unit}.timer`]).toContain('Persistent=true\n');
  expect(timerFiles(scheduled, { ...daily, every: 'weekly' })[`${unit}.timer`]).toContain(
    'OnCalendar=Sun *-*-* 03:05:00\n',
  );
});

test('it is set and taken away again, a second time without effect', async () => {
  const guest = new StandInGuest();
  systemctl(guest, 0);
  await scheduleBackups(scheduled, daily);
  await scheduleBackups(scheduled, daily);
  const folder = join(guest.folder, 'config/systemd/user');
  expect(readdirSync(folder)).toEqual([`${unit}.service`, `${unit}.timer`]);
  expect((await backupSettings(DEVICE)).services.sql?.schedule).toMatchObject(daily);
  expect(guest.read('calls')).toContain(`--user enable --now ${unit}.timer\n`);
  await unscheduleBackups(scheduled);
  await unscheduleBackups(scheduled);
  expect(readdirSync(folder)).toEqual([]);
  expect((await backupSettings(DEVICE)).services.sql).toEqual({});
  expect(guest.read('calls')).toContain(`--user disable --now ${unit}.timer\n`);
});

test('where there is no systemd, nothing is set and the line for cron is told', async () => {
  const guest = new StandInGuest();
  systemctl(guest, 1);
  const line = "5 3 * * * '/home/me/so 100\\%/sovereign' backup sql -s local --quiet";
  expect(cronLine(scheduled, daily)).toBe(line);
  await expect(scheduleBackups(scheduled, daily)).rejects.toMatchObject({
    code: 'no-timers',
    hint: expect.stringContaining(line) as string,
  });
  expect(existsSync(join(guest.folder, 'config/systemd'))).toBe(false);
});
