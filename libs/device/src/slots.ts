import { SovereignError } from '@sovereign/report';
import {
  dataFormat,
  differentData,
  releaseId,
  releaseSchema,
  type Release,
  type ServiceDefinition,
} from '@sovereign/service';
import type { Host } from './host.ts';
import type { SlotFiles } from './plan.ts';
import { writeIfChanged } from './write-if-changed.ts';

export type Slot = 'a' | 'b';
export const otherSlot = (slot: Slot): Slot => (slot === 'a' ? 'b' : 'a');

/** What a service has on a device. */
export interface Slots {
  current: Slot | undefined;
  /** The slot that boots next, to prove itself. */
  trial: Slot | undefined;
  releases: Partial<Record<Slot, Release>>;
}

const folderOf = (service: string): string => `services/${service}`;

export async function readSlots(host: Host, service: string): Promise<Slots> {
  const folder = folderOf(service);
  const [current, trial, a, b] = await Promise.all([
    host.read(`${folder}/current`),
    host.read(`${folder}/trial`),
    readRelease(host, `${folder}/a`),
    readRelease(host, `${folder}/b`),
  ]);
  return {
    current: slotIn(current),
    trial: slotIn(trial),
    releases: { ...(a === undefined ? {} : { a }), ...(b === undefined ? {} : { b }) },
  };
}

/** The slot that the next start boots. */
export const dueSlot = ({ trial, current }: Slots): Slot | undefined => trial ?? current;

/** Id of the release that the next start boots. */
export function dueRelease(slots: Slots): string | undefined {
  const slot = dueSlot(slots);
  const release = slot === undefined ? undefined : slots.releases[slot];
  return release === undefined ? undefined : releaseId(release);
}

function slotIn(line: Buffer | undefined): Slot | undefined {
  const word = line?.toString().trim().split(' ')[0];
  return word === 'a' || word === 'b' ? word : undefined;
}

/** A slot that cannot be read holds nothing that could be started, and is written again by the next deploy. */
async function readRelease(host: Host, slot: string): Promise<Release | undefined> {
  const text = (await host.read(`${slot}/release.json`))?.toString();
  if (text === undefined) return undefined;
  try {
    return releaseSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Replaces a slot that is not in use; it appears whole, by one rename. */
export async function writeSlot(host: Host, service: string, slot: Slot, files: SlotFiles): Promise<void> {
  await host.writeFolder(`${folderOf(service)}/${slot}`, files);
}

/** Brings the files of a slot in use up to date, one by one; false where they already were. */
export async function refreshSlot(
  host: Host,
  service: string,
  slot: Slot,
  files: SlotFiles,
): Promise<boolean> {
  const folder = `${folderOf(service)}/${slot}`;
  let changed = false;
  for (const [name, content] of Object.entries(files)) {
    if (await writeIfChanged(host, `${folder}/${name}`, content)) changed = true;
  }
  for (const name of (await host.list(folder)).filter((known) => !(known in files))) {
    await host.remove(`${folder}/${name}`);
    changed = true;
  }
  return changed;
}

export async function setCurrent(host: Host, service: string, slot: Slot): Promise<void> {
  await host.write(`${folderOf(service)}/current`, `${slot}\n`);
}

/** Lets a slot boot on trial: no deadline and no boot of the device yet (docs/formats.md, "Trial"). */
export async function setTrial(host: Host, service: string, slot: Slot): Promise<void> {
  await host.write(`${folderOf(service)}/trial`, `${slot} 0 - 0\n`);
}

export async function clearTrial(host: Host, service: string): Promise<void> {
  await host.remove(`${folderOf(service)}/trial`);
}

/**
 * The other slot's release can take over the data as it is now, whatever base either is made of: the guest refuses
 * a disk of a base that its release does not open.
 * @throws SovereignError `data-mismatch`
 */
export function requireSameData(now: Release, next: Release, hint: string): void {
  const differs = differentData(now.data, next.data);
  if (differs === undefined) return;
  throw new SovereignError({
    code: 'data-mismatch',
    what: `the data was made with ${differs} ${now.data[differs]}, the release needs ${next.data[differs]}`,
    on: next.service,
    hint,
  });
}

/**
 * Data is moved to another format of the same kind.
 * @throws SovereignError `same-data`, `data-mismatch`
 */
export function requireOtherData(now: Release, next: Release): void {
  const differs = differentData(now.data, next.data);
  if (differs === 'kind') requireSameData(now, next, 'Only data of one kind can be moved');
  if (differs !== undefined) return;
  throw new SovereignError({
    code: 'same-data',
    what: 'the release keeps the data as it is: there is nothing to move',
    on: next.service,
    hint: `Run sovereign deploy ${next.service}`,
  });
}

/**
 * Going back by hand is for releases that have the same data, as it is now.
 * @throws SovereignError `data-mismatch`
 */
export function requireSameFormat(definition: ServiceDefinition, now: Release, before: Release): void {
  const { name } = definition;
  const hint =
    `A backup that was made with that release is the way back (sovereign backup list ${name}): ` +
    `sovereign remove ${name} --data, deploy that release, then sovereign restore ${name}`;
  requireSameData(now, before, hint);
  const [is, was] = [dataFormat(definition, now), dataFormat(definition, before)];
  if (is === was) return;
  throw new SovereignError({
    code: 'data-mismatch',
    what: `the data may have been changed by ${now.version}, which the release before (${before.version}) does not know`,
    on: name,
    hint,
  });
}
