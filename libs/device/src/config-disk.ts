import { SovereignError } from '@sovereign/report';
import { CONFIG_SCHEMA, type SettingValues } from '@sovereign/service';
import { canonicalJson } from '@sovereign/store';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { extract, pack } from 'tar-stream';
import type { GuestInterface } from './network/guest.ts';
import { CA_ON_DISK, KEY_ON_DISK, type GuestTailnet } from './tailnet/guest.ts';

/** Bytes of a config disk. */
export const CONFIG_DISK_SIZE = 1024 * 1024;

/** Where a device has the config disk of a service. */
export const configPath = (service: string): string => `services/${service}/config.img`;

export interface GuestSettings {
  deviceId: string;
  service: string;
  /** Of the file system on the data disk. */
  dataUuid: string;
  hostname: string;
  /** `eth0` first; one of them has the gateway. */
  interfaces: GuestInterface[];
  /** Resolvers, addresses. */
  dns: readonly string[];
  /** Time servers, addresses or names: asked where neither RTC nor launcher knows the time. */
  ntp: string[];
  /** Lines for /etc/hosts. */
  hosts: string[];
  /** OpenSSH private key of the guest's server. */
  hostKey: string;
  /** `ssh-ed25519 AAAA…` lines that may log in. */
  authorizedKeys: string[];
  secrets: Record<string, string>;
  /** Databases that other services of the device have on it, with the password of each. */
  databases?: Readonly<Record<string, string>>;
  /** What holds of the service's settings. */
  values: SettingValues;
  /** Its node in the owner's tailnet; without it the guest has none. */
  tailnet?: GuestTailnet | undefined;
}

/**
 * The bytes of a config disk: an ustar archive from the first byte on, filled up with zeros (docs/formats.md, "Config
 * disk"). The same settings always give the same bytes.
 * @throws SovereignError `config-too-large`
 */
export async function configDisk(settings: GuestSettings): Promise<Buffer> {
  return packConfigDisk(Object.entries(configFiles(settings)), settings.service);
}

/** @throws SovereignError `config-too-large` */
async function packConfigDisk(files: Iterable<readonly [string, string]>, service: string): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of files) {
    tar.entry({ name, mode: 0o600, mtime: new Date(0), uid: 0, gid: 0 }, content);
  }
  tar.finalize();
  const bytes = await buffer(tar);
  if (bytes.length > CONFIG_DISK_SIZE) {
    throw new SovereignError({
      code: 'config-too-large',
      what: `settings and secrets need ${bytes.length} bytes, a config disk holds ${CONFIG_DISK_SIZE}`,
      on: service,
      hint: 'Shorten the settings of this service',
    });
  }
  return Buffer.concat([bytes], CONFIG_DISK_SIZE);
}

/** Every file of a config disk, by name. */
export async function readConfigDisk(disk: Buffer): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const entry of Readable.from([disk]).pipe(extract())) {
    files.set(entry.header.name, await text(entry));
  }
  return files;
}

/** The same disk with other files: as {@link configDisk} would have made it, as long as their order is kept. */
export async function editConfigDisk(
  disk: Buffer,
  service: string,
  edit: (files: Map<string, string>) => void,
): Promise<Buffer> {
  const files = await readConfigDisk(disk);
  edit(files);
  return packConfigDisk(files, service);
}

/** Where a disk holds what other services have on this one: a file a database, with the password of its role. */
const DATABASES = 'databases/';
export const isDatabase = (file: string): boolean => file.startsWith(DATABASES);

/** Files of the disk for these databases, in their order there. */
export const databaseFiles = (databases: Readonly<Record<string, string>>): [name: string, text: string][] =>
  Object.entries(databases)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, password]) => [`${DATABASES}${name}`, `${password}\n`]);

/** Whether a guest that runs with the one disk has to start anew to do what the other says. */
export async function asksForStart(before: Buffer, after: Buffer): Promise<boolean> {
  const decided = async (disk: Buffer) => {
    const files = await readConfigDisk(disk);
    const settings = (files.get('guest.conf') ?? '')
      .split('\n')
      .filter((line) => line.startsWith('setting '));
    return canonicalJson([settings, [...files].filter(([name]) => isDatabase(name))]);
  };
  return (await decided(before)) !== (await decided(after));
}

/** The same disk with these secrets and values of settings, as {@link configDisk} would have made it. */
export async function withSettings(
  disk: Buffer,
  { service, secrets, values }: Pick<GuestSettings, 'service' | 'secrets' | 'values'>,
): Promise<Buffer> {
  const own = (name: string): boolean => name.startsWith('secrets/') && name !== KEY_ON_DISK;
  const files = [...(await readConfigDisk(disk))]
    .filter(([name]) => !own(name))
    .map(([name, content]): [string, string] => [
      name,
      name === 'guest.conf' ? content.replaceAll(/^setting .*\n/gm, '') + lines(valueLines(values)) : content,
    ]);
  const behind = files.findIndex(([name]) => name === KEY_ON_DISK || name === CA_ON_DISK);
  files.splice(behind === -1 ? files.length : behind, 0, ...Object.entries(secretFiles(secrets)));
  return packConfigDisk(files, service);
}

/** The archive of a disk alone, without the zeros that fill it up. */
export function archiveOf(disk: Buffer): Buffer {
  let end = disk.length;
  while (end > 0 && disk[end - 1] === 0) end--;
  // Two blocks of zeros end an archive.
  return Buffer.concat([disk], Math.ceil(end / 512) * 512 + 1024);
}

/** Every file of the disk; names end where ustar's 100 bytes do, so that nothing but ustar is needed to read them. */
function configFiles(settings: GuestSettings): Record<string, string> {
  const { deviceId, service, hosts, hostKey, authorizedKeys, secrets, tailnet } = settings;
  return {
    schema: `${CONFIG_SCHEMA}\n`,
    'device.json': canonicalJson({ schema: 1, id: deviceId }),
    'settings.json': canonicalJson({ schema: CONFIG_SCHEMA, service, hostname: settings.hostname }),
    'guest.conf': guestConf(settings),
    hosts: lines(hosts),
    'ssh/host_ed25519_key': hostKey,
    'ssh/authorized_keys': lines(authorizedKeys),
    ...secretFiles(secrets),
    ...(tailnet?.key === undefined ? {} : { [KEY_ON_DISK]: `${tailnet.key}\n` }),
    ...(tailnet?.ca === undefined ? {} : { [CA_ON_DISK]: `${tailnet.ca}\n` }),
    ...Object.fromEntries(databaseFiles(settings.databases ?? {})),
  };
}

const secretFiles = (secrets: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(secrets)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [`secrets/${name}`, `${value}\n`]),
  );

/** KEY VALUE lines, for a guest without a JSON reader. */
function guestConf({ dataUuid, hostname, interfaces, dns, ntp, values, tailnet }: GuestSettings): string {
  return lines([
    `data-uuid ${dataUuid}`,
    `hostname ${hostname}`,
    ...interfaces.flatMap(({ address, gateway, mac, vsock }, index) => [
      ...(mac === undefined ? [] : [`eth${index}-mac ${mac}`]),
      `eth${index}-address ${address}`,
      ...(gateway === undefined ? [] : [`eth${index}-gateway ${gateway}`]),
      ...(vsock === undefined ? [] : vsockLines(`eth${index}`, vsock)),
    ]),
    ...dns.map((server) => `dns ${server}`),
    ...ntp.map((server) => `ntp ${server}`),
    ...(tailnet === undefined ? [] : tailnetLines(tailnet)),
    ...valueLines(values),
  ]);
}

const valueLines = (values: SettingValues): string[] =>
  Object.entries(values).map(([name, value]) => `setting ${name} ${value}`);

const vsockLines = (name: string, { port, mtu }: NonNullable<GuestInterface['vsock']>): string[] => [
  `${name}-vsock ${port}`,
  `${name}-mtu ${mtu}`,
];

const tailnetLines = ({ server, hostname, tags }: GuestTailnet): string[] => [
  'tailnet yes',
  ...(server === undefined ? [] : [`tailnet-server ${server}`]),
  `tailnet-hostname ${hostname}`,
  ...(tags === undefined ? [] : [`tailnet-tags ${tags.join(',')}`]),
];

const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('');
