import { defineService, guestUnits } from '@sovereign/service';
import type { CheckContext, Guest, GuestResult, Rows } from '../contract.ts';
import { guestSymbols } from '../kernel.ts';

export const definition = defineService({
  name: 'sql',
  title: 'PostgreSQL 17',
  net: { index: 2 },
  bases: { debian: { packages: ['postgresql-17'] } },
  accounts: [],
  resources: { memory: 256, cpus: 2 },
  data: { kind: 'postgresql', major: 17, collation: 'builtin C.UTF-8', size: 2048 },
  ports: [
    { name: 'postgres', guest: 5432, host: 15432, tailnet: 5432, scheme: 'postgresql' },
    {
      name: 'web',
      guest: 8000,
      host: 18_000,
      tailnet: 443,
      tls: { certificate: 'certificate', address: 'domain' },
      scheme: 'http',
    },
  ],
  secrets: [{ name: 'certificate', make: 'owner', holds: 'certificate', description: 'for HTTPS' }],
  settings: [{ name: 'domain', kind: 'url', description: 'where the web is' }],
  units: ['postgresql'],
  health: { command: '/usr/lib/sovereign/health', deadline: 120 },
});

const ok = (stdout: string): GuestResult => ({ status: 0, stdout, stderr: '' });
export const broken = (stderr: string, status = 1): GuestResult => ({ status, stdout: '', stderr });

/** As nft(8) prints the chain for what comes out of the tailnet, with these rules for ports. */
export function tailnetRules(...rules: string[]): string {
  const lines = ['icmp type echo-request accept', ...rules, 'counter packets 3 bytes 180 drop'];
  return `table inet sovereign {\n\tchain tailnet {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t}\n}\n`;
}

/** Of what the definition declares. */
export const declared = [5432, 443].map((port) => `tcp dport ${port} ct original proto-dst ${port} accept`);

/** What a healthy guest prints, by a word of the command. */
const answers: readonly [word: string, answer: string][] = [
  ['config.gz', guestSymbols.map((symbol) => `${symbol}=y\n`).join('')],
  ['shmget-probe', ''],
  ['/dev/net/tun', '/dev/net/tun opens\n'],
  ['/dev/vsock', '/dev/vsock opens\n'],
  ['/dev/shm', '/dev/shm is a writable tmpfs\n'],
  [
    'rc-status',
    ['default =', ...[...guestUnits, 'postgresql'].map((name) => `${name} = started`)].join('\n'),
  ],
  [
    'guest.conf',
    'data-uuid x\nhostname sql\neth0-address 10.0.2.15/24\neth0-gateway 10.0.2.2\ndns 10.0.2.3\ntailnet yes\n',
  ],
  [
    'tailnet status',
    'tailnet running 100.64.0.1 sql-desk never n1\nbackend Running\nhttps on sql-desk 2099-01-01T00:00:00Z own\n',
  ],
  ['nft list', tailnetRules(...declared)],
  ['address', '1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 10.0.2.15/24 scope global eth0\n'],
  ['route', 'default via 10.0.2.2 dev eth0 \n'],
  ['ping', '1 packets received\n'],
  ['nslookup', 'Server:\t10.0.2.3\nAddress:\t10.0.2.3:53\n\nName:\texample.com\nAddress: 192.0.2.7\n'],
  ['sovereign.json', '{"schema":1,"kind":"postgresql","major":17,"initialised":true}'],
];

/** A stand-in for a guest: healthy, but for the commands that `instead` answers. */
export function standInGuest(
  instead: (command: string) => GuestResult | undefined = () => undefined,
): Guest & {
  boots: number;
} {
  const guest = {
    boots: 1,
    exec(argv: readonly string[]): Promise<GuestResult> {
      const command = argv.join(' ');
      const other = instead(command);
      if (other !== undefined) return Promise.resolve(other);
      if (command.includes('boot_id')) return Promise.resolve(ok(`boot-${guest.boots}\n`));
      const answer = answers.find(([word]) => command.includes(word));
      return answer === undefined
        ? Promise.reject(new Error(`the stand-in knows no answer to ${command}`))
        : Promise.resolve(ok(answer[1]));
    },
  };
  return guest;
}

/** A stand-in for the database: one table, and settings as they should be, but for `settings`. */
export function standInDatabase(settings: Record<string, unknown> = {}): CheckContext['database'] & {
  rows: Set<string>;
} {
  const rows = new Set<string>();
  const healthy = { data_checksums: 'on', fsync: 'on', password_encryption: 'scram-sha-256', major: 17 };
  return {
    rows,
    query(sql, values = []): Promise<Rows> {
      const [id = ''] = values;
      if (sql.startsWith('insert')) rows.add(id);
      if (sql.startsWith('select id')) return Promise.resolve(rows.has(id) ? [{ id }] : []);
      if (sql.startsWith('select current')) return Promise.resolve([{ ...healthy, ...settings }]);
      return Promise.resolve([]);
    },
  };
}

/** Everything healthy, but for the parts that are given. */
export function standInContext(parts: Partial<CheckContext> = {}): CheckContext {
  const guest = standInGuest();
  return {
    definition,
    guest,
    database: standInDatabase(),
    endpoint: (port) => Promise.reject(new Error(`there is no port ${port}`)),
    secrets: (name) => Promise.reject(new Error(`there is no secret ${name}`)),
    setting: (name) => Promise.reject(new Error(`there is no setting ${name}`)),
    restart: () => {
      guest.boots += 1;
      return Promise.resolve();
    },
    resolve: () => Promise.resolve(['192.0.2.7']),
    lookupNames: ['example.com'],
    ...parts,
  };
}
