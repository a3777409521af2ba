import { existsSync } from 'node:fs';
import { deviceConfigDir, type Device } from '@sovereign/device';
import { note, SovereignError } from '@sovereign/report';
import { backupSettings } from './settings.ts';

/** Age of the last good backup from which on its owner is told, in days. */
const OLD = 7;
const DAY = 24 * 3600 * 1000;

export interface BackupAge {
  /** The last good backup, ISO 8601; null where one is due and none was ever made. */
  at: string | null;
  /** What its owner should know. */
  attention?: string;
}

/** The last good backup, and since when another one is waited for; that is undefined where none is. */
async function waitingSince(
  deviceId: string,
  service: string,
): Promise<{ last: string | undefined; since: string | undefined }> {
  const { last, schedule } = (await backupSettings(deviceId)).services[service] ?? {};
  return { last: last?.at, since: last?.at ?? schedule?.since };
}

/**
 * Has the device tell its owner by itself when the last good backup is old: nobody may look at this workstation, and it
 * may be what makes no backup any more.
 */
export async function remindOfBackup(device: Device, deviceId: string, service: string): Promise<void> {
  const { last, since } = await waitingSince(deviceId, service);
  if (since === undefined) return;
  const day = since.slice(0, 10);
  const what =
    last === undefined
      ? `a backup is scheduled since ${day} and none was made`
      : `the last good backup is of ${day}`;
  const from = new Date(Date.parse(since) + OLD * DAY);
  try {
    await device.notify.remind(service, { from, text: `${what}: sovereign backup ${service}` });
  } catch (error) {
    if (!(error instanceof SovereignError)) throw error;
    note(`the device does not know of this, and may remind of it too early: ${error.what}`);
  }
}

/** How old the last good backup of a service is; undefined where none was made and none is scheduled. */
export async function backupAge(
  deviceId: string | undefined,
  service: string,
  now = Date.now(),
): Promise<BackupAge | undefined> {
  if (deviceId === undefined || !existsSync(deviceConfigDir(deviceId, 'backup.json'))) return undefined;
  const { last, since } = await waitingSince(deviceId, service);
  if (since === undefined) return undefined;
  const days = Math.floor((now - Date.parse(since)) / DAY);
  const at = last ?? null;
  if (days < OLD) return { at };
  const what =
    at === null
      ? `a backup is scheduled for ${days} days and none was made`
      : `the last good backup is ${days} days old`;
  return { at, attention: `${what}: sovereign backup ${service}` };
}
