import { note, SovereignError, step } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { requireSpace } from './artifacts.ts';
import type { ResizeReport } from './contract.ts';
import type { Host } from './host.ts';
import { provisioning, spaceFor } from './provisioning.ts';
import { MIB } from './units.ts';

/** The least growth, in bytes: below it the guest's file system need not follow (its `DATA_SLACK`). */
const LEAST = 32 * MIB;
/** What is kept free behind the file system, and the block that says that it is being made (docs/formats.md). */
const TAIL = 64 * 1024;
const FORMATTING = 'sovereign-formatting ';

/**
 * Bytes of a size as people write it: `8G`, `512M`.
 * @throws SovereignError `bad-size` with exit 2
 */
export function parseSize(text: string): number {
  const [, number, unit] = /^([1-9]\d{0,6})([MG])(?:i?B)?$/i.exec(text) ?? [];
  if (number !== undefined && unit !== undefined) {
    return Number(number) * (unit.toUpperCase() === 'G' ? 1024 : 1) * MIB;
  }
  throw new SovereignError({
    code: 'bad-size',
    what: 'this is no size',
    on: text,
    hint: 'A number with M (MiB) or G (GiB): 512M, 8G',
    exit: 2,
  });
}

/** A size as {@link parseSize} reads it, for people. */
export const describeSize = (bytes: number): string =>
  bytes % (1024 * MIB) === 0 ? `${bytes / MIB / 1024}G` : `${Math.floor(bytes / MIB)}M`;

/** What a device is asked to do with a service while its data disk grows. */
export interface Lifecycle {
  isWanted(): Promise<boolean>;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/**
 * Makes a data disk larger, with the service stopped; the guest's file system follows at its next start. Cut off after
 * any step, the same command goes on: `resize` in the service's folder says that a service was running.
 * @param size of the disk, in bytes
 */
export async function resizeDataDisk(
  host: Host,
  { name }: ServiceDefinition,
  size: number,
  service: Lifecycle,
): Promise<ResizeReport> {
  const folder = `services/${name}`;
  const { from, pending } = await look(host, name);
  if (size < from) throw smaller(name, from, size);
  const how = await provisioning(host, { name });
  const wasRunning = (pending ?? false) || (await service.isWanted());
  if (size === from && pending === undefined) return { from, to: size, started: false };
  if (size > from) {
    if (size - from < LEAST && pending === undefined) throw tooLittle(name, from);
    await requireSpace(host, how.discard ? spaceFor(how, size - from) : size - from);
  }
  await host.write(`${folder}/resize`, `${wasRunning ? 'running' : 'stopped'}\n`);
  await service.stop();
  if (size > from) {
    await requireMade(host, folder, from);
    await step(`grow the data disk of ${name}`, async (work) => {
      await host.growDisk(`${folder}/data.img`, size, how.allocated);
      work.detail(`${describeSize(from)} to ${describeSize(size)}`);
    });
  }
  // What the guest told of the disk as it was.
  await host.remove(`${folder}/state/data`);
  if (wasRunning) await service.start();
  else note(`${name} was not running: its file system grows when it starts`);
  await host.remove(`${folder}/resize`);
  return { from, to: size, started: wasRunning };
}

/** The disk's size, and whether a resize was cut off, of a service that was running. */
async function look(host: Host, name: string): Promise<{ from: number; pending: boolean | undefined }> {
  const script = `
    cd "$1/services/$2" && stat -c %s data.img && { [ ! -f resize ] || cat resize; }`;
  const { status, stdout } = await host.sh(script, [host.root, name], { readOnly: true });
  const [size = '', pending = ''] = stdout.split('\n');
  if (status === 0 && /^\d+$/.test(size)) {
    return { from: Number(size), pending: pending === '' ? undefined : pending === 'running' };
  }
  throw new SovereignError({
    code: 'data-missing',
    what: 'there is no data disk to grow',
    on: `${host.root}/services/${name}/data.img`,
    hint: `Put the disk back, or run sovereign deploy ${name}`,
  });
}

/** A disk whose file system is being made is known by the block at its end, which would be at another place then. */
async function requireMade(host: Host, folder: string, size: number): Promise<void> {
  const block = Math.floor(size / TAIL - 1) * (TAIL / 4096);
  const { status, stdout } = await host.sh(
    'dd if="$1" bs=4096 skip="$2" count=1 2>/dev/null | tr -d "\\000" | head -c 64',
    [`${host.root}/${folder}/data.img`, String(block)],
    { readOnly: true },
  );
  if (status === 0 && !stdout.startsWith(FORMATTING)) return;
  throw new SovereignError({
    code: 'disk-not-made',
    what: 'the first start of this service was cut off while it made its file system',
    on: `${host.root}/${folder}/data.img`,
    hint: 'Start the service once, then run the command again',
  });
}

const smaller = (name: string, from: number, size: number): SovereignError =>
  new SovereignError({
    code: 'cannot-shrink',
    what: `the data disk has ${describeSize(from)} and cannot become smaller (${describeSize(size)})`,
    on: name,
    hint: 'Name a larger size',
    exit: 2,
  });

const tooLittle = (name: string, from: number): SovereignError =>
  new SovereignError({
    code: 'too-little',
    what: `the data disk has ${describeSize(from)}; it grows by 32 MiB at least`,
    on: name,
    hint: `Name at least ${describeSize(from + LEAST)}`,
    exit: 2,
  });
