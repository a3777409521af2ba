import type { ServiceDefinition } from '@sovereign/service';
import type { Endpoint, ServiceState, ServiceStatus } from './contract.ts';
import { askDevice, type AgentStatus } from './device-report.ts';
import { deviceSettings } from './device-settings.ts';
import type { Host } from './host.ts';
import type { ServicePorts } from './ports.ts';
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
import { MIB } from './units.ts';

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
