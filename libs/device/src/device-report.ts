import { SovereignError } from '@sovereign/report';
import type { Host } from './host.ts';
import { parseIdentity, type Identity } from './identity.ts';
import { parsePorts, type Ports } from './ports.ts';
import type { DiskSpace } from './provisioning.ts';
import { MIB } from './units.ts';

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
