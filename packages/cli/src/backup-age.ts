import { existsSync } from 'node:fs';
import type { Device, ServiceStatus } from '@sovereign/device';
import { configDir } from '@sovereign/store';

/** What `status` says of one service, with its last good backup where one was made or is scheduled. */
export interface BackedUpStatus extends ServiceStatus {
  backup?: { at: string | null };
}

/** Adds how old the last good backups are. Where nobody makes any, no device is asked for it. */
export async function withBackupAge(
  device: Device,
  services: readonly ServiceStatus[],
): Promise<BackedUpStatus[]> {
  if (!existsSync(configDir('devices', 'backup'))) return [...services];
  const { backupAge } = await import('@sovereign/backup/age');
  const { id } = await device.inventory();
  return Promise.all(
    services.map(async (service) => {
      const age = await backupAge(id, service.name);
      if (age === undefined) return service;
      const attention = [service.attention, age.attention].filter((text) => text !== undefined).join('; ');
      return { ...service, backup: { at: age.at }, ...(attention === '' ? {} : { attention }) };
    }),
  );
}
