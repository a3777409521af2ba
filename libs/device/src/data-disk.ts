import { randomUUID } from 'node:crypto';
import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import type { Host } from './host.ts';
import type { Provisioning } from './provisioning.ts';
import { MIB } from './units.ts';

/**
 * The service's data disk: made when the service has none, else left alone, whatever is on it. The mark in its first
 * block is what allows the guest to make a file system, once (docs/formats.md, "Data disk").
 * @returns the UUID of its file system
 * @throws SovereignError `data-missing` where the disk is gone that `data.id` names
 */
export async function ensureDataDisk(
  host: Host,
  { name, data }: ServiceDefinition,
  { allocated }: Provisioning,
): Promise<string> {
  const folder = `services/${name}`;
  const files = await host.list(folder);
  const uuid = (await host.read(`${folder}/data.id`))?.toString().trim();
  if (files.includes('data.img')) {
    if (uuid !== undefined) return uuid;
    throw new SovereignError({
      code: 'data-unknown',
      what: 'there is a data disk, but not the file that says which one it is',
      on: `${host.root}/${folder}/data.id`,
      hint: 'Restore data.id; the UUID is that of the file system in data.img (blkid shows it)',
    });
  }
  if (uuid === undefined) return makeDataDisk(host, folder, data.size * MIB, allocated);
  // Interrupted between the two last steps: the disk is complete under its temporary name.
  if (files.includes(temporary(uuid))) {
    await host.rename(`${folder}/${temporary(uuid)}`, `${folder}/data.img`);
    return uuid;
  }
  throw new SovereignError({
    code: 'data-missing',
    what: 'the data disk is gone; no empty one is put in its place',
    on: `${host.root}/${folder}/data.img`,
    hint: `Put the disk back or restore a backup. To begin with empty data: sovereign remove ${name} --data`,
  });
}

async function makeDataDisk(host: Host, folder: string, size: number, allocated: boolean): Promise<string> {
  const uuid = randomUUID();
  for (const leftover of (await host.list(folder)).filter((file) => file.startsWith('data.new-'))) {
    await host.remove(`${folder}/${leftover}`);
  }
  await host.makeDisk(`${folder}/${temporary(uuid)}`, size, `sovereign-new ${uuid}\n`, allocated);
  await host.write(`${folder}/data.id`, `${uuid}\n`);
  await host.rename(`${folder}/${temporary(uuid)}`, `${folder}/data.img`);
  return uuid;
}

const temporary = (uuid: string): string => `data.new-${uuid}`;
