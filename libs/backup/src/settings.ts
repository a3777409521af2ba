import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { deviceConfigDir, makePrivateFolder } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, configDir, withLock, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

/** How many backups of which age stay. */
const keepSchema = z.strictObject({
  daily: z.int().min(0).default(7),
  weekly: z.int().min(0).default(4),
  monthly: z.int().min(0).default(6),
});
export type Keep = z.output<typeof keepSchema>;

const scheduleSchema = z.strictObject({
  every: z.enum(['daily', 'weekly']),
  /** Time of the day, `HH:MM` of this workstation's clock. */
  at: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/),
  /** When it was set, ISO 8601. */
  since: z.iso.datetime(),
});
export type Schedule = z.output<typeof scheduleSchema>;

const settingsSchema = z.strictObject({
  schema: z.literal(1).default(1),
  keep: keepSchema.default(keepSchema.parse({})),
  services: z
    .record(
      z.string(),
      z.strictObject({
        /** The last good backup. */
        last: z.strictObject({ at: z.iso.datetime(), snapshot: z.string() }).optional(),
        schedule: scheduleSchema.optional(),
      }),
    )
    .default({}),
});

/** What this workstation knows of the backups of one device: `backup.json` beside its settings. */
export type BackupSettings = z.output<typeof settingsSchema>;

const settingsFile = (deviceId: string): string => deviceConfigDir(deviceId, 'backup.json');

/** @throws SovereignError `bad-settings` */
export async function backupSettings(deviceId: string): Promise<BackupSettings> {
  const path = settingsFile(deviceId);
  if (!existsSync(path)) return settingsSchema.parse({});
  try {
    return settingsSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new SovereignError({
      code: 'bad-settings',
      what: `what is known of this device's backups cannot be read: ${cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause)}`,
      on: path,
      hint: 'Correct this file, or remove it: the backups themselves stay',
      exit: 2,
    });
  }
}

export async function changeBackupSettings(
  deviceId: string,
  change: (before: BackupSettings) => BackupSettings,
): Promise<void> {
  await makePrivateFolder(deviceId);
  await withLock(deviceConfigDir(deviceId, 'backup'), async () => {
    const after = change(await backupSettings(deviceId));
    await writeFileAtomic(settingsFile(deviceId), canonicalJson(after), 0o600);
  });
}

/** Changes what is known of one service. */
export const changeServiceBackups = (
  deviceId: string,
  service: string,
  change: Partial<BackupSettings['services'][string]>,
): Promise<void> =>
  changeBackupSettings(deviceId, (before) => ({
    ...before,
    services: { ...before.services, [service]: { ...before.services[service], ...change } },
  }));

/** The file that names a device's repository, as restic reads it: the address may hold a password. */
export const repositoryFile = (deviceId: string): string => deviceConfigDir(deviceId, 'backup-repository');

export async function chosenRepository(deviceId: string): Promise<string | undefined> {
  const path = repositoryFile(deviceId);
  return existsSync(path) ? (await readFile(path, 'utf8')).trim() : undefined;
}

export async function chooseRepository(deviceId: string, repository: string): Promise<void> {
  await makePrivateFolder(deviceId);
  await writeFileAtomic(repositoryFile(deviceId), `${repository}\n`, 0o600);
}

/**
 * The file with the password of the owner's repositories, made once, for all devices: without it, no backup can be read.
 * It lies among the devices, so that the recovery kit has it.
 */
export async function passwordFile(): Promise<string> {
  const folder = configDir('devices', 'backup');
  const path = configDir('devices', 'backup', 'password');
  if (existsSync(path)) return path;
  for (const each of [configDir(), configDir('devices'), folder]) {
    await mkdir(each, { recursive: true, mode: 0o700 });
    await chmod(each, 0o700);
  }
  await withLock(`${folder}/lock`, async () => {
    // 32 bytes: 256 bits.
    if (!existsSync(path)) await writeFileAtomic(path, `${randomBytes(32).toString('base64url')}\n`, 0o600);
  });
  return path;
}
