import { SovereignError } from '@sovereign/report';
import type { Capabilities, Crosvm, PhantomKiller, RootFlavour } from './capabilities.ts';
import { SECTION } from './probe-script.ts';

/** What the predecessor of Sovereign put where our folder is. */
const PREDECESSOR = ['vm', '.env', 'sovereign_start.sh', 'daemon.log', 'forgejo'];

/** How the `su` of each flavour ends its version. */
const FLAVOURS: readonly [word: string, flavour: RootFlavour][] = [
  ['MAGISK', 'magisk'],
  ['KernelSU', 'kernelsu'],
  ['APatch', 'apatch'],
];

/**
 * Reads what {@link probeScript} printed. What a release does not tell stays away. Pure.
 * @throws SovereignError where it is not that script's output
 */
export function parseProbe(text: string): Capabilities {
  const sections = split(text);
  const section = (name: string): string => sections.get(name) ?? '';
  if (section('id') === '') {
    throw new SovereignError({
      code: 'probe-failed',
      what: 'the phone’s answer cannot be read',
      on: text.slice(0, 80),
      hint: 'Run the command again; `adb shell id` has to answer',
    });
  }
  const property = (name: string): string =>
    new RegExp(`^\\[${name.replaceAll('.', '\\.')}\\]: \\[(.*)\\]$`, 'm').exec(section('getprop'))?.[1] ?? '';
  const nodes = section('nodes').split('\n');
  return {
    androidRelease: property('ro.build.version.release'),
    sdk: Number(property('ro.build.version.sdk')),
    platform: section('platform'),
    model: property('ro.product.model'),
    ...rootOf(section('id'), section('root'), section('su')),
    arch: section('machine') === 'x86_64' ? 'amd64' : 'arm64',
    ...defined('crosvm', crosvmOf(section('crosvm'), section('help'), section('platform'))),
    ...defined(
      'hypervisor',
      ['/dev/kvm', '/dev/gzvm', '/dev/halla', '/dev/gunyah'].find((node) => nodes.includes(node)),
    ),
    boot: {
      ...defined('unprotected', yesNo(property('ro.boot.hypervisor.vm.supported'))),
      ...defined('protected', yesNo(property('ro.boot.hypervisor.protected_vm.supported'))),
      ...defined('version', property('ro.boot.hypervisor.version') || undefined),
    },
    vhostVsock: nodes.includes('/dev/vhost-vsock'),
    tun: nodes.includes('/dev/net/tun'),
    memory: mebibytes(section('memory'), 'MemTotal'),
    memoryAvailable: mebibytes(section('memory'), 'MemAvailable'),
    ...defined('freeSpace', freeOf(section('space'))),
    ...defined('data', mountOf(section('mounts'))),
    selinux: section('selinux'),
    ...defined('wifi', wifiOf(section('wifi'))),
    ...defined('doze', /^(?:mState=)?([A-Z_]+)$/m.exec(section('doze'))?.[1]),
    phantom: phantomOf(section, property),
    ...defined('battery', batteryOf(section('battery'))),
    dns: resolversOf(section('connectivity')),
    foreign: section('folder')
      .split('\n')
      .filter((name) => PREDECESSOR.includes(name) || name.startsWith('/') || name.endsWith('.img')),
  };
}

/** One line that changes when Android, its virtualization module or its VMM does. Pure. */
export const fingerprint = ({ platform }: Capabilities): string => platform;

function split(text: string): Map<string, string> {
  const parts = `\n${text.replaceAll('\r\n', '\n')}`.split(`\n${SECTION}`).slice(1);
  return new Map(
    parts.map((part) => {
      const end = part.indexOf('\n');
      return end < 0 ? [part, ''] : [part.slice(0, end), part.slice(end + 1).trim()];
    }),
  );
}

/** A property that is only there where its value is known. */
function defined<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}

/** Android writes flags of its bootloader as `1` and `true`. */
const yesNo = (value: string): boolean | undefined =>
  value === '' ? undefined : value === '1' || value === 'true';

function rootOf(id: string, had: string, su: string): Pick<Capabilities, 'root' | 'rootRefused'> {
  const installed = FLAVOURS.find(([word]) => su.includes(word))?.[1];
  if (id !== '0') return { root: 'none', ...defined('rootRefused', installed) };
  return { root: (had as RootFlavour | '') || (installed ?? 'adbd') };
}

/** The options stand at the beginnings of lines, in the layout of Android 13 (`--cpus=N`) as in argh's after it. */
function crosvmOf(path: string, help: string, platform: string): Crosvm | undefined {
  if (path === '') return undefined;
  const flags = [...help.matchAll(/^\s*(?:-\w,?\s+)?(--[a-z][\w-]*)/gm)].map(([, flag]) => flag ?? '');
  return { path, sha256: / crosvm ([0-9a-f]{64})$/.exec(platform)?.[1] ?? '', flags: new Set(flags) };
}

function mebibytes(memory: string, name: string): number {
  const kib = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(memory)?.[1];
  return Math.floor(Number(kib ?? 0) / 1024);
}

/** The last line of `df -k`: device, KiB in all, used, free. A long device name may stand on a line of its own. */
function freeOf(space: string): number | undefined {
  const free = /(\d+)\s+(\d+)\s+(\d+)\s+\d+%\s+\S+$/.exec(space)?.[3];
  return free === undefined ? undefined : Math.floor(Number(free) / 1024);
}

/** The last mount is the one that is seen. */
function mountOf(mounts: string): Capabilities['data'] {
  const [, at, type, options] = mounts.split('\n').at(-1)?.split(' ') ?? [];
  return at === '/data' && type !== undefined ? { type, options: options?.split(',') ?? [] } : undefined;
}

function wifiOf(wifi: string): Capabilities['wifi'] {
  const device = wifi.split('\n')[0] ?? '';
  const saves = /^Power save: (on|off)$/m.exec(wifi)?.[1];
  return device === ''
    ? undefined
    : { device, ...defined('powerSave', saves === undefined ? undefined : saves === 'on') };
}

function phantomOf(section: (name: string) => string, property: (name: string) => string): PhantomKiller {
  const set = (value: string): string => (value === '' ? 'null' : value);
  const override = property('persist.sys.fflag.override.settings_enable_monitor_phantom_procs');
  return {
    monitor: set(section('phantom-monitor')) === 'null' ? set(override) : section('phantom-monitor'),
    limit: set(section('phantom-limit')),
    sync: set(section('phantom-sync')),
  };
}

function batteryOf(battery: string): Capabilities['battery'] {
  const number = (name: string): number | undefined => {
    const value = new RegExp(`^\\s*${name}: (-?\\d+)`, 'm').exec(battery)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const level = number('level');
  const temperature = number('temperature');
  if (level === undefined || temperature === undefined) return undefined;
  // Tenths of a degree; a scale other than 100 is not known of any phone.
  return { level, celsius: temperature / 10, plugged: /^\s*\w+ powered: true/m.test(battery) };
}

/** Those of the default network, IPv4 alone: guests have no other way out. */
function resolversOf(connectivity: string): string[] {
  const id = /Active default network: (\d+)/.exec(connectivity)?.[1];
  const agent = connectivity
    .split('\n')
    .find((line) => line.includes('NetworkAgentInfo') && line.includes(`network{${id}}`));
  const addresses = /DnsAddresses: \[([^\]]*)\]/.exec(agent ?? '')?.[1] ?? '';
  return addresses
    .split(',')
    .map((address) => address.trim().replace(/^.*\//, ''))
    .filter((address) => /^\d+\.\d+\.\d+\.\d+$/.test(address));
}
