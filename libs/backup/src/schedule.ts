import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { writeFileAtomic } from '@sovereign/store';
import { execa } from 'execa';
import { changeServiceBackups, type Schedule } from './settings.ts';

export interface Scheduled {
  device: { id: string; deviceId: string };
  service: string;
  /** The checkout, whose `sovereign` the timer runs. */
  workspace: string;
}

/** The day of a weekly backup. */
const DAY = { cron: 0, systemd: 'Sun' } as const;

const folder = (): string =>
  join(process.env.XDG_CONFIG_HOME ?? join(process.env.HOME ?? homedir(), '.config'), 'systemd/user');

const unit = ({ device, service }: Scheduled): string =>
  `sovereign-backup-${device.deviceId.slice(0, 8)}-${service}`;

/** The two files of a timer of systemd (systemd.timer(5), systemd.service(5)). Pure. */
export function timerFiles(
  scheduled: Scheduled,
  { every, at }: Pick<Schedule, 'every' | 'at'>,
): Record<string, string> {
  const name = unit(scheduled);
  const words = [
    join(scheduled.workspace, 'sovereign'),
    'backup',
    scheduled.service,
    '-s',
    scheduled.device.id,
  ];
  // A percent sign and a dollar have a meaning of their own there, in quotes too.
  const quoted = words.map(
    (word) => `"${word.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`,
  );
  return {
    [`${name}.service`]: [
      '[Unit]',
      `Description=Backup of ${scheduled.service} by Sovereign`,
      '',
      '[Service]',
      'Type=oneshot',
      `ExecStart=${quoted.join(' ')}`,
      '',
    ].join('\n'),
    [`${name}.timer`]: [
      '[Unit]',
      `Description=Backup of ${scheduled.service} by Sovereign, ${every}`,
      '',
      '[Timer]',
      `OnCalendar=${every === 'weekly' ? `${DAY.systemd} ` : ''}*-*-* ${at}:00`,
      '# Made up for when this machine was off.',
      'Persistent=true',
      '',
      '[Install]',
      'WantedBy=timers.target',
      '',
    ].join('\n'),
  };
}

/** The line of crontab(5) for where there is no systemd. Pure. */
export function cronLine(
  { device, service, workspace }: Scheduled,
  { every, at }: Pick<Schedule, 'every' | 'at'>,
): string {
  const [hour = '0', minute = '0'] = at.split(':');
  const program = `'${join(workspace, 'sovereign').replaceAll("'", "'\\''")}'`;
  const command = `${program} backup ${service} -s ${device.id} --quiet`.replaceAll('%', '\\%');
  return `${Number(minute)} ${Number(hour)} * * ${every === 'weekly' ? DAY.cron : '*'} ${command}`;
}

/**
 * Lets this user's systemd make backups from now on.
 * @throws SovereignError `no-timers` with the line for cron where this machine has no systemd for its users
 */
export async function scheduleBackups(
  scheduled: Scheduled,
  schedule: Pick<Schedule, 'every' | 'at'>,
): Promise<void> {
  const files = timerFiles(scheduled, schedule);
  if (!(await systemctl('daemon-reload'))) {
    throw new SovereignError({
      code: 'no-timers',
      what: 'this user has no systemd that could run timers',
      on: 'this machine',
      hint: `Put this line into crontab -e instead: ${cronLine(scheduled, schedule)}`,
    });
  }
  await mkdir(folder(), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(folder(), name), text);
  for (const words of [['daemon-reload'], ['enable', '--now', `${unit(scheduled)}.timer`]]) {
    if (await systemctl(...words)) continue;
    throw new SovereignError({
      code: 'schedule-failed',
      what: `systemctl --user ${words.join(' ')} failed`,
      on: join(folder(), `${unit(scheduled)}.timer`),
      hint: 'Run that command yourself to see why',
    });
  }
  await changeServiceBackups(scheduled.device.deviceId, scheduled.service, {
    schedule: { ...schedule, since: new Date().toISOString() },
  });
}

/** Ends it. Done twice, nothing changes. */
export async function unscheduleBackups(scheduled: Scheduled): Promise<void> {
  const name = unit(scheduled);
  if (existsSync(join(folder(), `${name}.timer`))) await systemctl('disable', '--now', `${name}.timer`);
  for (const kind of ['timer', 'service']) await rm(join(folder(), `${name}.${kind}`), { force: true });
  await systemctl('daemon-reload');
  await changeServiceBackups(scheduled.device.deviceId, scheduled.service, { schedule: undefined });
}

async function systemctl(...words: string[]): Promise<boolean> {
  const { failed } = await execa('systemctl', ['--user', ...words], { reject: false, stdin: 'ignore' });
  return !failed;
}
