import { randomInt } from 'node:crypto';
import { note, SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { canonicalJson } from '@sovereign/store';
import { z } from 'zod';
import type { Host } from './host.ts';

const FILE = 'ports.json';
/** How many ports after the wanted one are tried. */
const TRIES = 200;
/** Where the ports of the guests' SSH servers begin; the service's network index is added. */
const SSH_BASE = 12_200;
/**
 * Where the context ids of our machines begin; the service's network index is added. Android hands out ids from 2048
 * on, and 0 to 2 have a meaning of their own (vsock(7)).
 */
const CID_BASE = 100;
/** Ports of multicast groups: from here up to those that Linux gives out by itself (ip_local_port_range). */
const GROUP_PORTS = 20_000;
const EPHEMERAL = 32_768;
/** QEMU's words for a port that another program listens on (net/slirp.c). */
export const PORT_TAKEN = /Could not set up host forwarding rule/;
/** Our name for the port of the guest's SSH server; no service may call one of its own so. */
export const SSH = 'ssh';

const portsSchema = z.strictObject({
  schema: z.literal(1),
  /** Service to port name to number. */
  services: z.record(z.string(), z.record(z.string(), z.int())),
  /** Service to the context id of its machine's vsock. */
  cids: z.record(z.string(), z.int()).default({}),
  /** Multicast group on which the guests of this machine meet. */
  group: z
    .string()
    .regex(/^239\.255(\.\d{1,3}){2}:\d{1,5}$/)
    .optional(),
});
export type Ports = z.output<typeof portsSchema>;

/** Port name to number on the device's loopback address. */
export type ServicePorts = Record<string, number>;

interface Wanted {
  name: string;
  host: number;
}

const wantedPorts = ({ ports, net }: ServiceDefinition): Wanted[] => [
  ...ports.map(({ name, host }) => ({ name, host })),
  { name: SSH, host: SSH_BASE + net.index },
];

export async function readPorts(host: Host): Promise<Ports> {
  return parsePorts(host, (await host.read(FILE))?.toString());
}

/** The ports in the text of `ports.json`; none where there is no such file. */
export function parsePorts(host: Host, text: string | undefined): Ports {
  if (text === undefined) return { schema: 1, services: {}, cids: {} };
  try {
    return portsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SovereignError({
      code: 'damaged-ports',
      what: 'the list of ports cannot be read',
      on: `${host.root}/${FILE}`,
      hint: 'Remove this file: ports are then chosen anew',
      cause,
    });
  }
}

/**
 * The ports of a service on this device: those that it had, else those that its definition wants, else the next free
 * ones. What is chosen is stored, so that addresses stay.
 * @param running the VM listens on its own ports now, which are then no obstacle
 */
export async function assignPorts(
  host: Host,
  definition: ServiceDefinition,
  running: boolean,
): Promise<ServicePorts> {
  const all = await readPorts(host);
  const had = all.services[definition.name] ?? {};
  const taken = new Set(
    Object.entries(all.services).flatMap(([name, ports]) =>
      name === definition.name ? [] : Object.values(ports),
    ),
  );
  const chosen: ServicePorts = {};
  for (const wanted of wantedPorts(definition)) {
    const kept = had[wanted.name];
    const first = kept ?? wanted.host;
    chosen[wanted.name] = kept !== undefined && running ? kept : await nextFree(host, first, taken);
    taken.add(chosen[wanted.name] ?? 0);
    if (chosen[wanted.name] !== first) {
      note(`port ${first} is in use: ${definition.name}'s ${wanted.name} is on ${chosen[wanted.name]}`);
    }
  }
  await store(host, all, { ...all, services: { ...all.services, [definition.name]: chosen } });
  return chosen;
}

/** The vsock context id of a service's machine: chosen once and stored, since it may not change while it runs. */
export async function assignCid(
  host: Host,
  { name, net }: Pick<ServiceDefinition, 'name' | 'net'>,
): Promise<number> {
  const all = await readPorts(host);
  const taken = new Set(Object.values(all.cids));
  let cid = all.cids[name] ?? CID_BASE + net.index;
  while (all.cids[name] === undefined && taken.has(cid)) cid++;
  await store(host, all, { ...all, cids: { ...all.cids, [name]: cid } });
  return cid;
}

/**
 * The multicast group on which the guests of this device meet. Chosen at random, once: two devices on one machine, of
 * two checkouts or two people, do not share it, and neither knows of the other. From the addresses that stay within a
 * site, whoever else joins them (RFC 2365).
 */
export async function assignGroup(host: Host): Promise<string> {
  const all = await readPorts(host);
  if (all.group !== undefined) return all.group;
  const group = `239.255.${randomInt(256)}.${randomInt(1, 255)}:${randomInt(GROUP_PORTS, EPHEMERAL)}`;
  await store(host, all, { ...all, group });
  return group;
}

async function store(host: Host, before: Ports, after: Ports): Promise<void> {
  const text = canonicalJson(after);
  if (text !== canonicalJson(before)) await host.write(FILE, text);
}

export async function forgetPorts(host: Host, service: string): Promise<void> {
  const all = await readPorts(host);
  const without = <T>(record: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(record).filter(([name]) => name !== service));
  await store(host, all, { ...all, services: without(all.services), cids: without(all.cids) });
}

async function nextFree(host: Host, first: number, taken: ReadonlySet<number>): Promise<number> {
  for (let port = first; port < Math.min(first + TRIES, 65_536); port++) {
    if (!taken.has(port) && (await host.portIsFree(port))) return port;
  }
  throw new SovereignError({
    code: 'no-port',
    what: `no free port from ${first} on`,
    on: `127.0.0.1 of ${host.id}`,
    hint: 'Stop what listens there (ss -ltn shows it)',
  });
}
