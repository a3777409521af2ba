import { step } from '@sovereign/report';
import { DISK, type ServiceDefinition, type SettingValues } from '@sovereign/service';
import { requireSpace } from './artifacts.ts';
import { deviceSettings } from './device-settings.ts';
import type { Host } from './host.ts';
import { readIdentity } from './identity.ts';
import { MIB } from './units.ts';

/** How a service's data disk takes the device's space (docs/decisions/0023-thin-disks.md). */
export interface Provisioning {
  /** All of it at once: a full device cannot become a write error in somebody's database. */
  allocated: boolean;
  /** What the guest discards is given back. */
  discard: boolean;
}

/** Room on the device beside what a sparse disk takes already, in bytes: for its file system and some data. */
const LEAST = 256 * MIB;

/** What the owner decided, else what devices of this kind have. Pure. */
export function provisioningOf(kind: Host['kind'], own: SettingValues = {}): Provisioning {
  switch (own[DISK]) {
    case 'thin':
      return { allocated: false, discard: true };
    case 'thick':
      return { allocated: true, discard: false };
    default:
      // A workstation's owner sees how full it is, unlike a phone's.
      return { allocated: kind === 'adb', discard: false };
  }
}

/** Of the disk of a service on this device. */
export async function provisioning(
  host: Host,
  { name }: Pick<ServiceDefinition, 'name'>,
): Promise<Provisioning> {
  const { services } = await deviceSettings((await readIdentity(host))?.id);
  return provisioningOf(host.kind, services[name]);
}

/**
 * Bytes of the device that a new disk needs. Pure.
 * @param size of the disk, in bytes
 * @param used by what will lie on it, as far as that is known
 */
export const spaceFor = ({ allocated }: Provisioning, size: number, used = 0): number =>
  allocated ? size : Math.min(size, used + LEAST);

/** The length of a data disk, and what it takes of the device, in bytes. */
export interface DiskSpace {
  size: number;
  taken: number;
}

/** Bytes that a disk still lacks of what it has to take. Pure. */
export const lacking = ({ allocated }: Provisioning, disk: DiskSpace | undefined): number =>
  allocated && disk !== undefined ? Math.max(0, disk.size - disk.taken) : 0;

/**
 * A disk that was thin takes all its space from now on. A machine may run on it, and discard at the same time: once it
 * has ended, that is to be done again.
 * @throws SovereignError `no-space` before anything changed
 */
export async function allocateDataDisk(
  host: Host,
  { name }: Pick<ServiceDefinition, 'name'>,
  how: Provisioning,
  disk: DiskSpace | undefined,
): Promise<void> {
  const missing = lacking(how, disk);
  if (disk === undefined || missing === 0) return;
  await requireSpace(host, missing);
  await step(`allocate the data disk of ${name}`, async (work) => {
    await host.growDisk(`services/${name}/data.img`, disk.size, true);
    work.detail(`${Math.ceil(missing / MIB)} MiB`);
  });
}
