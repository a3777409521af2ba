import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import type { Endpoint, ServiceState, ServiceStatus } from './contract.ts';
import type { Host } from './host.ts';
import { parseIdentity, type Identity } from './identity.ts';
import { deviceSettings } from './device-settings.ts';
import { MIB } from './data-disk.ts';
import { parsePorts, type Ports, type ServicePorts } from './ports.ts';
import { provisioningOf, type DiskSpace, type Provisioning } from './provisioning.ts';
import { describeSize } from './resize.ts';
import { wantsTailnet } from './tailnet/guest.ts';
import { isOn } from './tailnet/settings.ts';
import {
  httpsAttention,
  parseHttps,
  parseTailnet,
  tailnetAttention,
  type TailnetStatus,
} from './tailnet/state.ts';

/** What the launcher says of one service: key to value, as `launch.sh status` prints them. */
export type AgentStatus = Readonly<Record<string, string>>;

const STATUS_TIMEOUT = 30_000;

/** Everything that a device says of itself in one answer. */
export interface DeviceReport {
  /** What the launcher says, by service; `-` is the device itself. */
  agent: ReadonlyMap<string, AgentStatus>;
  ports: Ports;
  /** Undefined before the first deploy. */
  identity: Identity | undefined;
  /** Android, its virtualization module or its VMM is another one than at the last deploy. */
  platformChanged: boolean;
  /** MiB that it could still give, and that the processes of guests hold; undefined where it does not tell. */
  memory: { available: number; guests: number } | undefined;
  /** Bytes that the process of a guest holds, by service. */
  held: ReadonlyMap<string, number>;
  /** Data disks, by service. */
  disks: ReadonlyMap<string, DiskSpace>;
  /** The boot hook that was installed is gone, as after an update of the root manager. */
  hookMissing: boolean;
}

/** Each begins a file in the answer. */
const PORTS = '= ports';
const IDENTITY = '= device';
const MEMORY = '= memory';

/** One script, so that a phone is asked once. */
const REPORT = `
root=$1
if [ -f "$root/platform.sh" ] && [ -f "$root/platform" ]; then
  read -r before <"$root/platform"
  [ "$(sh "$root/platform.sh")" = "$before" ] || echo '- platform changed'
fi
[ ! -f "$root/device.conf" ] || while read -r key value; do
  [ "$key" != hook ] || [ -f "$value" ] || echo '- hook missing'
done <"$root/device.conf"
if [ -f "$root/agent/current" ]; then
  read -r agent <"$root/agent/current"
  sh "$root/agent/$agent/launch.sh" status "$root" || exit 1
fi
echo '${PORTS}'
[ ! -f "$root/ports.json" ] || cat "$root/ports.json"
echo '${IDENTITY}'
[ ! -f "$root/device.json" ] || cat "$root/device.json"
echo
echo '${MEMORY}'
while read -r key value; do
  [ "$key" != MemAvailable: ] || echo "available $value"
done </proc/meminfo 2>/dev/null
for file in "$root"/services/*/state/pid; do
  [ -f "$file" ] && read -r pid <"$file" && [ -r "/proc/$pid/status" ] || continue
  service=\${file%/state/pid}
  service=\${service##*/}
  # A machine may have further processes, for parts of it.
  parts=
  [ ! -r "/proc/$pid/task/$pid/children" ] || read -r parts <"/proc/$pid/task/$pid/children" || :
  held=0
  for one in $pid $parts; do
    while read -r key value _; do
      [ "$key" != VmRSS: ] || held=$((held + value))
    done <"/proc/$one/status"
  done 2>/dev/null
  [ "$held" = 0 ] || echo "guest $service $held kB"
done
for file in "$root"/services/*/data.img; do
  [ -f "$file" ] || continue
  service=\${file%/data.img}
  stat -c "disk \${service##*/} %s %b" "$file"
done
:
`;

/** Asks a device for all that is to be known of it, in one round trip. One without a launcher has no services. */
export async function askDevice(host: Host): Promise<DeviceReport> {
  const { status, stdout, stderr } = await host.sh(REPORT, [host.root], {
    timeout: STATUS_TIMEOUT,
    readOnly: true,
  });
  const [lines, ports, identity, memory = ''] = `${stdout}\n`.split(
    new RegExp(`^(?:${PORTS}|${IDENTITY}|${MEMORY})\n`, 'm'),
  );
  if (status !== 0 || lines === undefined || ports === undefined || identity === undefined) {
    throw new SovereignError({
      code: 'no-status',
      what: `the launcher does not tell its state: ${stderr.trim()}`,
      on: host.id,
      hint: `Look into ${host.root}, then run deploy again`,
    });
  }
  const agent = parseAgentStatus(lines);
  return {
    agent,
    ports: parsePorts(host, ports.trim() === '' ? undefined : ports),
    identity: identity.trim() === '' ? undefined : parseIdentity(identity, host),
    memory: parseMemory(memory),
    held: parseHeld(memory),
    disks: parseDisks(memory),
    platformChanged: agent.get('-')?.platform === 'changed',
    hookMissing: agent.get('-')?.hook === 'missing',
  };
}

/** Reads `guest SERVICE N kB` for each guest. Pure. */
const parseHeld = (text: string): Map<string, number> =>
  new Map(
    [...text.matchAll(/^guest (\S+) +(\d+) kB$/gm)].map(([, name = '', kib]) => [name, Number(kib) * 1024]),
  );

/** Reads `disk SERVICE SIZE BLOCKS`, the blocks being of 512 bytes. Pure. */
export const parseDisks = (text: string): Map<string, DiskSpace> =>
  new Map(
    [...text.matchAll(/^disk (\S+) (\d+) (\d+)$/gm)].map(([, name = '', size, blocks]) => [
      name,
      { size: Number(size), taken: Number(blocks) * 512 },
    ]),
  );

/** Reads `available N kB`, and what the guests hold. Pure. */
export function parseMemory(text: string): DeviceReport['memory'] {
  const [, available] = /^available +(\d+) kB$/m.exec(text) ?? [];
  if (available === undefined) return undefined;
  const guests = [...parseHeld(text).values()].reduce((total, bytes) => total + bytes, 0);
  return { available: Math.floor(Number(available) / 1024), guests: Math.floor(guests / MIB) };
}

/** What the launcher says, by service. */
export const askAgent = async (host: Host): Promise<ReadonlyMap<string, AgentStatus>> =>
  (await askDevice(host)).agent;

/** Parses `SERVICE KEY VALUE` lines, the value being the rest of the line. */
export function parseAgentStatus(text: string): Map<string, AgentStatus> {
  const services = new Map<string, Record<string, string>>();
  for (const line of text.split('\n')) {
    const [, service, key, value] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (service === undefined || key === undefined || value === undefined) continue;
    const known = services.get(service) ?? {};
    const before = key === 'attention' ? known[key] : undefined;
    known[key] = before === undefined ? value : `${before}; ${value}`;
    services.set(service, known);
  }
  return services;
}

const states: readonly ServiceState[] = ['stopped', 'starting', 'running', 'stopping', 'failed', 'unknown'];

/** The status of these services; one that was never deployed is stopped and has no release. */
export async function serviceStatus(
  host: Host,
  definitions: readonly ServiceDefinition[],
): Promise<ServiceStatus[]> {
  const { agent, ports, identity, held, disks, platformChanged, hookMissing } = await askDevice(host);
  const { tailnet, services } = await deviceSettings(identity?.id);
  const tailnetOn = isOn(tailnet);
  const device = [
    ...(platformChanged ? [PLATFORM_CHANGED] : []),
    ...(hookMissing ? [HOOK_MISSING] : []),
    ...(agent.get('-')?.attention === undefined ? [] : [agent.get('-')?.attention ?? '']),
  ];
  return Promise.all(
    definitions.map(async (definition) => {
      const seen = agent.get(definition.name);
      const status = toStatus(
        definition,
        seen,
        await forwarded(host, ports.services[definition.name]),
        tailnetOn,
        held.get(definition.name),
        thinDisk(provisioningOf(host.kind, services[definition.name]), disks.get(definition.name)),
      );
      const attention = [...(status.attention === undefined ? [] : [status.attention]), ...device].join('; ');
      return seen === undefined || attention === '' ? status : { ...status, attention };
    }),
  );
}

const HOOK_MISSING =
  'the boot hook is gone: until the next deploy, services do not come back when the phone restarts';
const PLATFORM_CHANGED =
  'platform changed: Android or its virtualization module was updated since the last deploy; deploy again to look at it anew';

export async function forwarded(host: Host, ports: ServicePorts = {}): Promise<ServicePorts> {
  const entries = Object.entries(ports).map(
    async ([name, port]) => [name, await host.forward(port)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** Pure. */
export function toStatus(
  definition: ServiceDefinition,
  agent: AgentStatus | undefined,
  ports: ServicePorts,
  tailnetOn = false,
  held?: number,
  thin?: number,
): ServiceStatus {
  const seen = agent ?? {};
  const state = states.find((known) => known === seen.state) ?? (agent === undefined ? 'stopped' : 'unknown');
  const slot = seen.slot === 'a' || seen.slot === 'b' ? seen.slot : null;
  const tailnet = agent === undefined ? undefined : tailnetOf(definition, seen, tailnetOn);
  const tlsPort = definition.ports.find(({ tls }) => tls !== undefined);
  const data = dataSpace(seen.data);
  const attention = [
    seen.attention,
    silence(definition.name, seen.silent),
    data && spaceAttention(definition.name, data, seen.health),
    tailnet && tailnetAttention(tailnet, definition.name),
    tlsPort?.tls && tailnet?.https && httpsAttention(tailnet.https, definition.name, tlsPort.tls.certificate),
  ]
    .filter((text) => text !== undefined)
    .join('; ');
  return {
    name: definition.name,
    state,
    healthy: health(seen.health),
    release: seen.release ?? null,
    slot,
    trial: seen.trial === 'yes',
    pid: seen.pid === undefined ? null : Number(seen.pid),
    since: seen.since === undefined ? null : new Date(Number(seen.since) * 1000).toISOString(),
    restarts: Number(seen.restarts ?? 0),
    endpoints: [...endpoints(definition, ports), ...tailnetEndpoints(definition, tailnet)],
    ...(data === undefined ? {} : { data: { ...data, ...(thin === undefined ? {} : { thin }) } }),
    ...(seen.pid === undefined || held === undefined
      ? {}
      : { memory: { size: definition.resources.memory * MIB, held } }),
    ...(tailnet === undefined ? {} : { tailnet }),
    ...(attention === '' ? {} : { attention }),
  };
}

/** `SIZE FREE` of the guest; undefined where it said nothing that could be read. */
function dataSpace(told: string | undefined): ServiceStatus['data'] {
  const [, size, free] = /^(\d{1,15}) (\d{1,15})$/.exec(told ?? '') ?? [];
  return size === undefined || free === undefined ? undefined : { size: Number(size), free: Number(free) };
}

/** Bytes of the device that a thin disk takes by now. */
const thinDisk = ({ discard }: Provisioning, disk: DiskSpace | undefined): number | undefined =>
  discard ? disk?.taken : undefined;

/** Below a tenth of the disk, or where the guest names it as the cause. With a size that is a cure. */
function spaceAttention(
  service: string,
  { size, free }: NonNullable<ServiceStatus['data']>,
  report: string | undefined,
): string | undefined {
  const full = report?.startsWith('bad data full:') === true;
  if (free * 10 >= size && !full) return undefined;
  const mebibytes = (bytes: number): number => Math.floor(bytes / MIB);
  return (
    `the data disk is ${full ? 'full' : 'nearly full'}, ${mebibytes(free)} of ${mebibytes(size)} MiB are free: ` +
    `sovereign resize ${service} ${describeSize(size * 2)}`
  );
}

/** A guest that hangs, or whose agent does: the launcher only sees that nothing comes any more. */
const silence = (service: string, since: string | undefined): string | undefined =>
  since === undefined
    ? undefined
    : `the guest says nothing since ${new Date(Number(since) * 1000).toISOString()}: sovereign diagnose ${service} tells more`;

/** Only a report of the guest makes a service healthy or not; `starting` and silence are neither. */
function health(report: string | undefined): boolean | null {
  if (report === 'ok') return true;
  return report?.startsWith('bad ') === true ? false : null;
}

/**
 * A service's node as far as its guest tells. Undefined where it is to have none and has none: a guest that still runs
 * with other settings than those of today has what it was started with.
 */
export function tailnetOf(
  definition: ServiceDefinition,
  { tailnet: told, https }: AgentStatus,
  on: boolean,
): TailnetStatus | undefined {
  const node = parseTailnet(told ?? '');
  // What it said of HTTPS before its node was gone says nothing of now.
  const tls = node.state === 'running' ? parseHttps(https) : undefined;
  const status = tls === undefined ? node : { ...node, https: tls };
  if (on && wantsTailnet(definition)) return told === undefined ? { state: 'unknown' } : status;
  return told === undefined || status.state === 'off' ? undefined : status;
}

type Port = ServiceDefinition['ports'][number];

function endpoints({ ports: declared }: ServiceDefinition, ports: ServicePorts): Endpoint[] {
  return declared.flatMap((declaredPort) => {
    const port = ports[declaredPort.name];
    return port === undefined ? [] : [{ name: declaredPort.name, url: url(declaredPort, '127.0.0.1', port) }];
  });
}

function tailnetEndpoints({ ports }: ServiceDefinition, tailnet: TailnetStatus | undefined): Endpoint[] {
  const { address, https } = tailnet ?? {};
  if (address === undefined) return [];
  return ports.flatMap((port) => {
    if (port.tailnet === undefined) return [];
    const at = port.tls === undefined ? url(port, address, port.tailnet) : httpsUrl(port, https);
    return at === undefined ? [] : [{ name: port.name, url: at, via: 'tailnet' as const }];
  });
}

/** Only once a handshake was verified: by no other name, and not in the clear, does a client get in. */
function httpsUrl({ tailnet, path }: Port, https: TailnetStatus['https']): string | undefined {
  if (https?.state !== 'on' || https.name === undefined) return undefined;
  return `https://${https.name}${tailnet === 443 ? '' : `:${tailnet}`}${path ?? '/'}`;
}

function url({ scheme, user, path }: Port, address: string, port: number): string {
  const who = user === undefined ? '' : `${user}@`;
  return `${scheme}://${who}${address}:${port}${path ?? (scheme === 'http' ? '/' : '')}`;
}
