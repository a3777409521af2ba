import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { requireSpace } from './artifacts.ts';
import { MIB } from './data-disk.ts';
import type { Host } from './host.ts';

/**
 * The files of a service's folder that a restore moves (docs/formats.md, "Restore"). All disks of a service carry the
 * UUID that `data.id` names, so that no other file changes with them and one rename decides.
 */
const files = {
  /** What the guest works with. */
  disk: 'data.img',
  /** A new disk before it has its place. */
  fresh: 'data.fresh',
  /** The disk from before, while the restore is not finished: where it is there, it is the one that counts. */
  before: 'data.before',
  /** The disk from before the last restore that was finished. */
  kept: 'data.kept',
  /** The disk that makes room in a swap. */
  swap: 'data.swap',
  /** Why the launcher lets nobody in. */
  closed: 'closed',
} as const;

const at = (service: string, file: keyof typeof files): string => `services/${service}/${files[file]}`;

/** Whether a restore, or a swap of disks, was begun and not finished. */
export async function isRestoring(host: Host, service: string): Promise<boolean> {
  const names = await host.list(`services/${service}`);
  return [files.fresh, files.before, files.swap, files.closed].some((file) => names.includes(file));
}

/** Puts a new, empty disk in the place of the service's own, which is stopped. */
export async function beginRestore(host: Host, { name, data }: ServiceDefinition): Promise<void> {
  const uuid = (await host.read(`services/${name}/data.id`))?.toString().trim();
  const size = uuid === undefined ? undefined : await sizeOf(host, at(name, 'disk'));
  if (uuid === undefined || size === undefined) {
    throw new SovereignError({
      code: 'data-missing',
      what: 'the service has no data disk that a restore could replace',
      on: `${host.root}/services/${name}`,
      hint: `Run sovereign up ${name}, then restore`,
    });
  }
  const bytes = Math.max(size, data.size * MIB);
  // A phone's disk is allocated in full, and the old one stays.
  if (host.kind === 'adb') await requireSpace(host, bytes);
  await host.makeDisk(at(name, 'fresh'), bytes, `sovereign-new ${uuid}\n`);
  await host.write(
    at(name, 'closed'),
    `closed: a restore is not finished; sovereign restore --undo ${name} goes back\n`,
  );
  await host.rename(at(name, 'disk'), at(name, 'before'));
  await host.rename(at(name, 'fresh'), at(name, 'disk'));
}

/** From here on the restored data counts; the disk from before replaces what an earlier restore kept. */
export async function commitRestore(host: Host, service: string): Promise<void> {
  await host.rename(at(service, 'before'), at(service, 'kept'));
  await host.remove(at(service, 'closed'));
}

/**
 * Ends a restore or a swap that was cut anywhere. The service is stopped, unless it was committed.
 */
export async function cancelRestore(host: Host, service: string): Promise<void> {
  const names = await host.list(`services/${service}`);
  const has = (file: keyof typeof files): boolean => names.includes(files[file]);
  if (has('before')) {
    if (has('disk')) await host.remove(at(service, 'disk'));
    await host.rename(at(service, 'before'), at(service, 'disk'));
  }
  if (has('swap')) await host.rename(at(service, 'swap'), at(service, has('disk') ? 'kept' : 'disk'));
  await host.remove(at(service, 'fresh'));
  await host.remove(at(service, 'closed'));
}

/** Changes the service's disk, which is stopped, and the kept one for each other. */
export async function swapKept(host: Host, service: string): Promise<void> {
  await host.rename(at(service, 'disk'), at(service, 'swap'));
  await host.rename(at(service, 'kept'), at(service, 'disk'));
  await host.rename(at(service, 'swap'), at(service, 'kept'));
}

async function sizeOf(host: Host, path: string): Promise<number | undefined> {
  const { status, stdout } = await host.sh('stat -c %s "$1"', [`${host.root}/${path}`], { readOnly: true });
  return status === 0 ? Number(stdout) : undefined;
}
