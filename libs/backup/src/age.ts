import { existsSync } from 'node:fs';
import { deviceConfigDir } from '@sovereign/device';
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

/** How old the last good backup of a service is; undefined where none was made and none is scheduled. */
export async function backupAge(
  deviceId: string | undefined,
  service: string,
  now = Date.now(),
): Promise<BackupAge | undefined> {
  if (deviceId === undefined || !existsSync(deviceConfigDir(deviceId, 'backup.json'))) return undefined;
  const { last, schedule } = (await backupSettings(deviceId)).services[service] ?? {};
  const since = last?.at ?? schedule?.since;
  if (since === undefined) return undefined;
  const days = Math.floor((now - Date.parse(since)) / DAY);
  const at = last?.at ?? null;
  if (days < OLD) return { at };
  const what =
    at === null
      ? `a backup is scheduled for ${days} days and none was made`
      : `the last good backup is ${days} days old`;
  return { at, attention: `${what}: sovereign backup ${service}` };
}
