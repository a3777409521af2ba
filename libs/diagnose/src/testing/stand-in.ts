import type { Database } from '@sovereign/checks';
import type { Device, Inspection, ServiceStatus } from '@sovereign/device';
import { defineService } from '@sovereign/service';
import type { Workstation } from '../outside.ts';
import { Scene } from '../scene.ts';

export const definition = defineService({
  name: 'sql',
  title: 'PostgreSQL 17',
  net: { index: 2 },
  bases: { debian: { packages: ['postgresql-17'] } },
  accounts: [],
  resources: { memory: 256, cpus: 2 },
  data: { kind: 'postgresql', major: 17, collation: 'builtin C.UTF-8', size: 2048 },
  ports: [
    { name: 'postgres', guest: 5432, host: 15432, scheme: 'postgresql', user: 'postgres', tailnet: 5432 },
    {
      name: 'web',
      guest: 8000,
      host: 18_000,
      scheme: 'http',
      tailnet: 443,
      tls: { certificate: 'certificate', address: 'domain' },
    },
  ],
  secrets: [{ name: 'certificate', make: 'owner', holds: 'certificate', description: 'for HTTPS' }],
  settings: [{ name: 'domain', kind: 'url', description: 'where it is' }],
  units: ['postgresql'],
  health: { command: '/usr/lib/sovereign/health', deadline: 120 },
});

/** Seconds since 1970 at which these looks were made. */
export const NOW = 1_780_000_000;

/** What a launcher says of a service that is well, on a phone with the network over vsock. */
export const goodInspection: Inspection = {
  service: {
    launcher: '40',
    state: 'running',
    pid: '42',
    stage: 'open',
    restarts: '0',
    since: String(NOW - 300),
    health: 'ok',
  },
  device: { keeper: '39', gvproxy: '38', network: 'vsock' },
  console: ['[    0.000000] Booting Linux on physical CPU 0x0', ' * Starting PostgreSQL ...'],
  vmm: [],
  clock: NOW,
};

/** What its guest answers, recorded on a guest under emulation; the tailnet's lines in the lab. */
export const goodGuest = [
  `clock ${NOW - 2}`,
  'setting eth0-mac 52:53:56:00:00:02',
  'setting eth0-address 192.168.127.2/24',
  'setting eth0-gateway 192.168.127.1',
  'setting eth0-vsock 1024',
  'setting dns 192.0.2.53',
  'setting tailnet yes',
  'link eth0 up 1',
  'link lo up 1',
  'link tailscale0 up 1',
  'address lo 127.0.0.1/8',
  'address eth0 192.168.127.2/24',
  'address tailscale0 100.64.0.1/32',
  'route default via 192.168.127.1 dev eth0',
  'gvforwarder yes',
  'gateway yes',
  'lookup-status 0',
  'lookup Server:		192.0.2.53',
  'lookup Address:	192.0.2.53:53',
  'lookup Name:	control.example',
  'lookup Address: 192.0.2.7',
  'uplink-status 143',
  'tailnet running 100.64.0.1 sql-phone.tail.example never nodeid1',
  'tailscale-status 0',
  'tailscale 100.64.0.1      sql-phone    lab          linux   -',
  'tailscale 100.64.0.2      laptop       lab          linux   idle, tx 308 rx 220',
  'peer laptop 100.64.0.2 0 pong from laptop (100.64.0.2) via 192.0.2.9:41641 in 3ms',
  'port postgres 5432 yes',
  'port web 8000 yes',
  'firewall open',
  'https on web.example 2099-05-22T10:00:00Z own',
  'rules-status 0',
  'rules 		icmp type echo-request accept',
  'rules 		tcp dport 443 ct original proto-dst 443 accept',
  'rules 		tcp dport 5432 ct original proto-dst 5432 accept',
  'rules 		counter packets 0 bytes 0 drop comment "not for the tailnet"',
];

/** The same answer without the lines that begin with one of these, and with those behind. */
export const guestWith = (without: readonly string[], ...added: string[]): string[] => [
  ...goodGuest.filter((line) => !without.some((begin) => line.startsWith(begin))),
  ...added,
];

export interface Broken {
  inspection?: Partial<Inspection>;
  service?: Record<string, string | undefined>;
  device?: Record<string, string | undefined>;
  guest?: readonly string[];
  /** That the device, or the guest, does not answer. */
  inspects?: Error;
  answers?: Error;
  resolve?: Workstation['resolve'];
  reaches?: Workstation['reaches'];
  database?: Error;
  kind?: Device['kind'];
}

/** A stand-in for one service on a phone: everything well, but for what is broken, until it is mended. */
export function standInScene(broken: Broken = {}): { scene: Scene; did: string[]; mend: () => void } {
  let now: Broken = broken;
  const did: string[] = [];
  const status: ServiceStatus = {
    name: 'sql',
    state: 'running',
    healthy: true,
    release: null,
    slot: 'a',
    trial: false,
    pid: 42,
    since: null,
    restarts: 0,
    endpoints: [
      { name: 'postgres', url: 'postgresql://postgres@127.0.0.1:15432/postgres' },
      { name: 'postgres', url: 'postgresql://postgres@100.64.0.1:5432/postgres', via: 'tailnet' },
    ],
  };
  const device = {
    id: 'PHONE',
    kind: broken.kind ?? 'adb',
    status: () => Promise.resolve([status]),
    start: () => Promise.resolve(void did.push('start')),
    waitHealthy: () => Promise.resolve(void did.push('wait')),
    inspector: {
      inspect: () => {
        if (now.inspects !== undefined) return Promise.reject(now.inspects);
        const merged = { ...goodInspection, ...now.inspection };
        return Promise.resolve({
          ...merged,
          service: merged.service && withoutUndefined({ ...merged.service, ...now.service }),
          device: withoutUndefined({ ...merged.device, ...now.device }),
        });
      },
      askGuest: (_service: unknown, [verb = '', ...words]: readonly string[]) => {
        if (verb !== 'look') did.push([verb, ...words].join(' '));
        if (now.answers !== undefined) return Promise.reject(now.answers);
        return Promise.resolve([...(now.guest ?? goodGuest)]);
      },
      renewNetwork: () => Promise.resolve(void did.push('renew network')),
    },
  };
  const database: Database = {
    query: () => (now.database === undefined ? Promise.resolve([{ one: 1 }]) : Promise.reject(now.database)),
  };
  const workstation: Workstation = {
    resolve: (host) => now.resolve?.(host) ?? Promise.resolve('192.0.2.7'),
    reaches: (host, port) => now.reaches?.(host, port) ?? Promise.resolve(true),
    clock: () => NOW + 3,
  };
  const scene = new Scene({
    device: device as unknown as Device,
    definition,
    database,
    workstation,
    pause: 1,
    targets: () => Promise.resolve([{ host: 'control.example', port: 443 }]),
  });
  return { scene, did, mend: () => (now = {}) };
}

const withoutUndefined = (record: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
