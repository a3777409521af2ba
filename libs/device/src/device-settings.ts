import { readdir, readFile } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, configDir, withLock, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';
import { deviceConfigDir, knowsSecrets, makePrivateFolder } from './secrets.ts';
import { tailnetSettingsSchema } from './tailnet/settings.ts';

const settingsSchema = z.strictObject({
  schema: z.literal(1).default(1),
  /** How guests are networked; `vsock` where it is not set. */
  network: z.enum(['vsock', 'tap']).optional(),
  /** Name servers that guests ask; those of the phone's uplink where they are not set. */
  dns: z
    .array(z.union([z.ipv4(), z.ipv6()]))
    .min(1)
    .optional(),
  /** Time servers that guests ask whose clock nobody has set; {@link timeServers} where they are not set. */
  ntp: z.array(z.union([z.ipv4(), z.ipv6(), z.hostname()])).optional(),
  /** Virtual CPUs of a machine. */
  cpus: z.int().min(1).max(8).optional(),
  /** How its services are reached in the owner's tailnet; not at all where it is not set. */
  tailnet: tailnetSettingsSchema.optional(),
  /** What the owner decided for each service: service to setting to value. */
  services: z.record(z.string(), z.record(z.string(), z.string())).default({}),
  /** Service to the address of its owner, once that was invited. */
  invited: z.record(z.string(), z.string()).optional(),
  /** Serials under which this workstation met the device. */
  serials: z.array(z.string()).default([]),
});

/** Open to everybody: the one that phones ask anyway, and one of another operator. */
const timeServers = ['time.android.com', 'time.cloudflare.com'];

/** What the owner decided for one device: `settings.json` beside its secrets. */
export type OwnerSettings = z.output<typeof settingsSchema>;

const file = (deviceId: string): string => deviceConfigDir(deviceId, 'settings.json');

/**
 * The settings of a device; nothing is set for one that has no id yet.
 * @throws SovereignError `bad-settings`
 */
export async function deviceSettings(deviceId: string | undefined): Promise<OwnerSettings> {
  if (deviceId === undefined) return settingsSchema.parse({});
  const path = file(deviceId);
  try {
    return settingsSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return settingsSchema.parse({});
    throw new SovereignError({
      code: 'bad-settings',
      what: `the settings of this device cannot be used: ${cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause)}`,
      on: path,
      hint: 'Correct this file, or remove it: the defaults are used then',
      exit: 2,
    });
  }
}

/** Time servers of a device's guests. */
export const timeServersOf = ({ ntp = timeServers }: Pick<OwnerSettings, 'ntp'>): string[] => ntp;

/** Keeps under which serial a device was met, and what the owner says of it; what is undefined stays as it was. */
export async function rememberDevice(
  deviceId: string,
  { serial, network, dns }: { serial: string } & Partial<Pick<OwnerSettings, 'network' | 'dns'>>,
): Promise<void> {
  await changeSettings(deviceId, ({ serials }) => ({
    ...(network === undefined ? {} : { network }),
    ...(dns === undefined ? {} : { dns }),
    serials: [...new Set([...serials, serial])],
  }));
}

/** Replaces some of a device's settings, while nobody else does; a value of undefined takes the setting away. */
export async function changeSettings(
  deviceId: string,
  change: (before: OwnerSettings) => { [Key in keyof OwnerSettings]?: OwnerSettings[Key] | undefined },
): Promise<OwnerSettings> {
  await makePrivateFolder(deviceId);
  return withLock(deviceConfigDir(deviceId, 'settings'), async () => {
    const before = await deviceSettings(deviceId);
    const text = canonicalJson({ ...before, ...change(before) });
    if (text !== canonicalJson(before)) await writeFileAtomic(file(deviceId), text, 0o600);
    return deviceSettings(deviceId);
  });
}

/** Ids of the devices that this workstation set up or took over, with the serials under which it met them. */
export async function knownDevices(): Promise<{ id: string; serials: readonly string[] }[]> {
  const folder = configDir('devices');
  const ids = await readdir(folder).catch(() => []);
  return Promise.all(
    ids.filter(knowsSecrets).map(async (id) => ({ id, serials: (await deviceSettings(id)).serials })),
  );
}
