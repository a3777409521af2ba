import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { requireSpace } from './artifacts.ts';
import type { Host } from './host.ts';
import { provisioning, spaceFor, type DiskSpace } from './provisioning.ts';
import { otherSlot, setCurrent, type Slot } from './slots.ts';
import { MIB } from './units.ts';

/**
 * The files of a service's folder that a restore or a migration moves (docs/formats.md, "Restore"). All disks of a service
 * carry the UUID that `data.id` names, so that no other file changes with them and one rename decides. Where the disk
 * goes with the release of one slot alone, its name ends with that slot: `data.kept-a`.
 */
const files = {
  /** What the guest works with. */
  disk: 'data.img',
  /** A new disk before it has its place. */
  fresh: 'data.fresh',
  /** The disk from before, while the restore is not finished: where it is there, it is the one that counts. */
  before: 'data.before',
  /** The disk from before the last restore or migration that was finished. */
  kept: 'data.kept',
  /** The disk that makes room in a swap. */
  swap: 'data.swap',
  /** Why the launcher lets nobody in. */
  closed: 'closed',
} as const;

const nameOf = (file: keyof typeof files, slot?: Slot): string =>
  slot === undefined ? files[file] : `${files[file]}-${slot}`;
const at = (service: string, file: keyof typeof files, slot?: Slot): string =>
  `services/${service}/${nameOf(file, slot)}`;

/** Which of a disk's names there is. */
function found(
  names: readonly string[],
  file: 'before' | 'kept' | 'swap',
): { slot: Slot | undefined } | undefined {
  const slot = ([undefined, 'a', 'b'] as const).find((each) => names.includes(nameOf(file, each)));
  return slot !== undefined || names.includes(nameOf(file)) ? { slot } : undefined;
}

/** Whether a restore, a migration or a swap of disks was begun and not finished. */
export async function isRestoring(host: Host, service: string): Promise<boolean> {
  const names = await host.list(`services/${service}`);
  return (
    names.includes(files.fresh) ||
    names.includes(files.closed) ||
    found(names, 'before') !== undefined ||
    found(names, 'swap') !== undefined
  );
}

/** The disk that was kept, with the slot whose release alone can read it; undefined where none was kept. */
export const keptDisk = async (
  host: Host,
  service: string,
): Promise<{ slot: Slot | undefined } | undefined> => found(await host.list(`services/${service}`), 'kept');

/** Gives up the disk that was kept. */
export async function discardKept(host: Host, service: string): Promise<void> {
  for (const slot of [undefined, 'a', 'b'] as const) await host.remove(at(service, 'kept', slot));
}

/** Has the launcher let nobody in from the next start on. */
export const closeService = (host: Host, service: string, what: string): Promise<void> =>
  host.write(
    at(service, 'closed'),
    `closed: ${what} is not finished; sovereign restore --undo ${service} goes back\n`,
  );

/**
 * Puts a new, empty disk in the place of the service's own, which is stopped.
 * @param of the slot whose release alone can read the service's own
 */
export async function beginRestore(host: Host, { name, data }: ServiceDefinition, of?: Slot): Promise<void> {
  const uuid = (await host.read(`services/${name}/data.id`))?.toString().trim();
  const old = uuid === undefined ? undefined : await spaceOf(host, at(name, 'disk'));
  if (uuid === undefined || old === undefined) {
    throw new SovereignError({
      code: 'data-missing',
      what: 'the service has no data disk that a restore could replace',
      on: `${host.root}/services/${name}`,
      hint: `Run sovereign up ${name}, then restore`,
    });
  }
  const bytes = Math.max(old.size, data.size * MIB);
  const how = await provisioning(host, { name });
  // The old one stays.
  if (how.allocated || how.discard) await requireSpace(host, spaceFor(how, bytes, old.taken));
  await host.makeDisk(at(name, 'fresh'), bytes, `sovereign-new ${uuid}\n`, how.allocated);
  await closeService(host, name, of === undefined ? 'a restore' : 'moving the data');
  await host.rename(at(name, 'disk'), at(name, 'before', of));
  await host.rename(at(name, 'fresh'), at(name, 'disk'));
}

/** From here on the new data counts; the disk from before replaces what an earlier restore kept under the same name. */
export async function commitRestore(host: Host, service: string): Promise<void> {
  const before = found(await host.list(`services/${service}`), 'before');
  await host.rename(at(service, 'before', before?.slot), at(service, 'kept', before?.slot));
  await host.remove(at(service, 'closed'));
}

/**
 * Ends a restore, a migration or a swap that was cut anywhere. The service is stopped, unless it was committed.
 */
export async function cancelRestore(host: Host, service: string): Promise<void> {
  const names = await host.list(`services/${service}`);
  const hasDisk = names.includes(files.disk);
  const before = found(names, 'before');
  if (before !== undefined) {
    // First, since nobody knows it any more once the disk has its name again.
    if (before.slot !== undefined) await setCurrent(host, service, before.slot);
    if (hasDisk) await host.remove(at(service, 'disk'));
    await host.rename(at(service, 'before', before.slot), at(service, 'disk'));
  }
  const swap = found(names, 'swap');
  if (swap !== undefined && !hasDisk) await host.rename(at(service, 'swap', swap.slot), at(service, 'disk'));
  if (swap !== undefined && hasDisk) await endSwap(host, service, swap.slot);
  await host.remove(at(service, 'fresh'));
  await host.remove(at(service, 'closed'));
}

/**
 * Changes the service's disk, which is stopped, and the kept one for each other.
 * @param kept the slot whose release alone can read the kept one: it is current from then on
 */
export async function swapKept(host: Host, service: string, kept?: Slot): Promise<void> {
  const leaving = kept === undefined ? undefined : otherSlot(kept);
  await host.rename(at(service, 'disk'), at(service, 'swap', leaving));
  await host.rename(at(service, 'kept', kept), at(service, 'disk'));
  await endSwap(host, service, leaving);
}

async function endSwap(host: Host, service: string, leaving: Slot | undefined): Promise<void> {
  if (leaving !== undefined) await setCurrent(host, service, otherSlot(leaving));
  await host.rename(at(service, 'swap', leaving), at(service, 'kept', leaving));
}

export const dataKept = (host: Host, service: string, why: string): SovereignError =>
  new SovereignError({
    code: 'data-kept',
    what: `data from before is kept, and ${why}`,
    on: `${service} on ${host.id}`,
    hint: `sovereign restore ${service} --undo goes back to it, --discard gives it up`,
    exit: 2,
  });

async function spaceOf(host: Host, path: string): Promise<DiskSpace | undefined> {
  const script = 'stat -c "%s %b" "$1"';
  const { status, stdout } = await host.sh(script, [`${host.root}/${path}`], { readOnly: true });
  const [size = NaN, blocks = NaN] = stdout.split(' ').map(Number);
  return status === 0 ? { size, taken: blocks * 512 } : undefined;
}
