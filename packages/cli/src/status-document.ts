import type { Device, ServiceStatus } from '@sovereign/device';
import { note, toSovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { withBackupAge } from './backup-age.ts';
import { errorLines } from './errors.ts';

/** `status --json`; docs/interface.md. */
export interface StatusDocument {
  devices: {
    id: string;
    kind: Device['kind'];
    reachable: boolean;
    services: ServiceStatus[];
  }[];
}

/** Asks every device once. One that does not answer is part of the answer. */
export async function statusDocument(
  devices: readonly Device[],
  services: readonly FoundService[],
): Promise<StatusDocument> {
  const definitions = services.map(({ definition }) => definition);
  return {
    devices: await Promise.all(
      devices.map(async (device) => {
        const { id, kind } = device;
        try {
          return {
            id,
            kind,
            reachable: true,
            services: await withBackupAge(device, await device.status(definitions)),
          };
        } catch (thrown) {
          note(`${id}: ${errorLines(toSovereignError(thrown)).join(' ')}`);
          return { id, kind, reachable: false, services: [] };
        }
      }),
    ),
  };
}
