import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Device, TailnetWords } from '@sovereign/device';
import { deviceLibrary } from './device.ts';
import type { Session } from './session.ts';

/** What was said of the tailnet on the command line, as options of the executor. */
export interface TailnetOptions {
  tailnet?: boolean;
  tailnetKey?: string;
  tailnetServer?: string;
  tailnetCa?: string;
  tailnetTags?: string;
  tailnetName?: string;
}

/**
 * Checks what the command line says of the tailnet, before anything is built or changed, and does `work` with it. A
 * key from standard input lies in a file of this user's until `work` ends: tasks of Nx have no standard input.
 * @throws SovereignError with exit 2
 */
export async function withTailnet<T>(
  session: Session,
  device: Device,
  work: (options: TailnetOptions, key: string | undefined) => Promise<T>,
): Promise<T> {
  const options = tailnetOptions(session);
  if (Object.keys(options).length === 0) return work({}, undefined);
  if (options.tailnetKey !== '-') return work(options, await check(device, options));
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-key-'));
  try {
    const tailnetKey = join(folder, 'key');
    await writeFile(tailnetKey, await text(session.streams.in), { mode: 0o600 });
    const given = { ...options, tailnetKey };
    return await work(given, await check(device, given));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns the key that was given */
async function check(device: Device, options: TailnetWords): Promise<string | undefined> {
  const change = await (await deviceLibrary()).readTailnetChange(options);
  if (change !== undefined) await device.tailnet.check(change);
  return change?.key;
}

function tailnetOptions({ own }: Session): TailnetOptions {
  const said = (name: keyof TailnetOptions) => (typeof own[name] === 'string' ? { [name]: own[name] } : {});
  return {
    ...(typeof own.tailnet === 'boolean' ? { tailnet: own.tailnet } : {}),
    ...said('tailnetKey'),
    ...said('tailnetServer'),
    ...said('tailnetCa'),
    ...said('tailnetTags'),
    ...said('tailnetName'),
  };
}
