/**
 * PostgreSQL in a tailnet, in the lab (docs/tailnet-lab.md): which path two nodes find by the kind of their routers,
 * how long after the database answers it is reached from another device, how fast bytes get into the guest, and what
 * memory it takes; the guest on this machine, and on a test phone in both of its network modes. Everything is built
 * first; settings, data and nodes are of this run alone.
 *
 *   npm run bench:tailnet -- [--runs N] [--mebibytes N] [--only paths|guest|phone]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { TailnetClient } from 'tailnet-lab/src/client.ts';
import { Lab } from 'tailnet-lab/src/lab.ts';
import { control, nats, type Nat, type Room } from 'tailnet-lab/src/topology.ts';
import { ownSettings, Phone, PhoneService } from 'virtual-phone/testing';
import { median } from './median.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    mebibytes: { type: 'string', default: '32' },
    only: { type: 'string' },
  },
});
const runs = Number(values.runs);
const mebibytes = Number(values.mebibytes);
/** Waits for a condition, ten minutes at most. */
async function until(done: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 600_000;
  while (!(await done())) {
    if (performance.now() > end) throw new Error('it did not happen within ten minutes');
    await sleep(50);
  }
}

const lab = await Lab.start();

/** Makes the laptop's router one of a kind, and the laptop unknown to it. */
async function laptopBehind(nat: Nat): Promise<void> {
  await lab.laptop.stop();
  await lab.nat('laptop', nat);
  await lab.laptop.start();
  await until(async () => (await lab.laptop.status()).BackendState === 'Running');
}

/** Rows: the kind of the router before the node; columns: of the laptop's. */
async function measurePaths(
  address: string,
  behind: (nat: Nat) => Promise<void>,
  kinds: readonly Nat[] = nats,
): Promise<void> {
  const rows: Record<string, Partial<Record<Nat, string>>> = {};
  for (const homeNat of kinds) {
    const row: Partial<Record<Nat, string>> = {};
    for (const laptopNat of nats) {
      await behind(homeNat);
      await laptopBehind(laptopNat);
      row[laptopNat] = await lab.laptop.path(address).catch(() => 'none');
    }
    rows[homeNat] = row;
  }
  console.table(rows);
  await behind('port-restricted');
  await laptopBehind('port-restricted');
}

async function measurePlainPaths(): Promise<void> {
  const home = new TailnetClient(lab.rooms, 'home', join(lab.folder, 'plain'), lab.server.ca);
  await home.up(lab.server.url, await lab.server.key(), 'plain');
  console.log('two plain clients');
  await measurePaths(await home.address(), async (nat) => {
    await home.stop();
    await lab.nat('home', nat);
    await home.start();
    await until(async () => (await home.status()).BackendState === 'Running');
  });
  await home.tailscale(['logout']);
  await home.stop();
}

interface Told {
  devices: { services: { tailnet?: { state: string; address?: string } }[] }[];
}

const local = ['-s', 'local'];
const inGuest = async (script: string): Promise<string> => {
  const { status, stdout, stderr } = await lab.sovereign(['exec', 'sql', ...local, '--', 'sh', '-c', script]);
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
};

/** The guest's address in the tailnet, once it has one. */
async function reachable(): Promise<string> {
  let address: string | undefined;
  await until(async () => {
    const { stdout } = await lab.sovereign(['status', 'sql', ...local, '--json']);
    const tailnet = (JSON.parse(stdout) as Told).devices[0]?.services[0]?.tailnet;
    address = tailnet?.state === 'running' ? tailnet.address : undefined;
    return address !== undefined;
  });
  return address ?? '';
}

/** What psql needs to reach the service from a room. */
interface Way {
  room: Room;
  host: string;
  port: string;
}

/** Seconds from a restart until both ways answered, and what the tailnet took longer. */
async function measureBoot(ways: [Way, Way], password: string): Promise<Record<string, { s: number }>> {
  const alone: number[] = [];
  const later: number[] = [];
  for (let run = 0; run < runs; run++) {
    await lab.sovereign(['stop', 'sql', ...local]);
    const started = performance.now();
    const starting = lab.sovereign(['start', 'sql', ...local, '--timeout', '600']);
    const [one = NaN, other = NaN] = await Promise.all(
      ways.map(async ({ room, host, port }) => {
        const argv = ['psql', '-h', host, '-p', port, '-U', 'postgres', '-Atc', 'select 1'];
        const env = { PGPASSWORD: password, PGCONNECT_TIMEOUT: '2' };
        await until(async () => (await lab.run(room, argv, { env })).stdout === '1');
        return (performance.now() - started) / 1000;
      }),
    );
    await starting;
    alone.push(one);
    later.push(other - one);
  }
  return {
    'start to an answer, at home': { s: median(alone) },
    'from there to an answer over the tailnet': { s: median(later) },
  };
}

/** Takes one connection to its end. Its input is a FIFO that never ends, or it would close its side at once. */
const SINK = 'rm -f /run/sink; mkfifo /run/sink; exec nc -l -p 5432 <>/run/sink >/dev/null';

/**
 * MiB a second of raw TCP into a guest that throws them away.
 * @param guest runs a script in the guest, whose database is stopped
 * @param send runs a script where the bytes come from
 */
async function throughput(
  guest: (script: string) => Promise<unknown>,
  send: (script: string) => Promise<unknown>,
  connect: string,
): Promise<number> {
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    // No way to ask whether it listens that it would not take for its one connection.
    const listening = sleep(5000);
    let started = NaN;
    const sending = async () => {
      await listening;
      started = performance.now();
      await send(`head -c ${mebibytes * 2 ** 20} /dev/zero | ${connect}`);
    };
    await Promise.all([guest(SINK), sending()]);
    rates.push((mebibytes * 1000) / (performance.now() - started));
  }
  return median(rates);
}

const sendFrom =
  (room: Room) =>
  (script: string): Promise<unknown> =>
    lab.must(room, ['sh', '-c', script]);

const memoryUsed = async (): Promise<number> =>
  Number(await inGuest("free -k | awk '/^Mem/ {print $3}'")) / 1000;

async function measureGuest(): Promise<void> {
  const key = join(lab.folder, 'key');
  await writeFile(key, await lab.server.key({ tags: ['tag:sovereign'] }), { mode: 0o600 });
  await lab.sovereignJson([
    ...[
      'up',
      '--sql',
      ...local,
      '--timeout',
      '600',
      '--tailnet-key',
      key,
      '--tailnet-server',
      lab.server.url,
    ],
    ...['--tailnet-ca', lab.server.ca, '--tailnet-tags', 'tag:sovereign'],
  ]);
  const address = await reachable();
  const password = (await lab.sovereign(['secrets', 'show', 'sql', 'postgres-password', '--yes', ...local]))
    .stdout;
  const mode: Way = { room: 'home', host: '127.0.0.1', port: '15432' };
  const tailnet: Way = { room: 'laptop', host: address, port: '5432' };

  const boot = await measureBoot([mode, tailnet], password.trim());
  // Until both have settled.
  await lab.laptop.path(address);
  const connected = await memoryUsed();
  await inGuest('rc-service postgresql stop');
  const [alone, through] = [
    await throughput(inGuest, sendFrom('home'), `busybox nc ${mode.host} ${mode.port}`),
    await throughput(inGuest, sendFrom('laptop'), `busybox nc ${address} 5432`),
  ];
  await inGuest('rc-service postgresql start');
  console.table(boot);
  console.table({
    'into the guest, mode user alone': { 'MiB/s': alone },
    'from the laptop, over the tailnet': { 'MiB/s': through, ratio: through / alone },
  });
  console.log('the guest, in mode user');
  await measurePaths(address, async (nat) => {
    await lab.nat('home', nat);
    await lab.rebind('home');
    await inGuest('rc-service tailnet restart');
    await reachable();
  });
  await lab.sovereignJson(['up', '--sql', ...local, '--timeout', '600', '--no-tailnet']);
  await lab.sovereignJson(['restart', 'sql', ...local, '--timeout', '600']);
  console.table({
    'memory used, connected': { MB: connected },
    'memory used, without a tailnet': { MB: await memoryUsed() },
  });
}

/** A phone behind the mobile router, in each of its modes. */
async function measurePhone(): Promise<void> {
  const settings = ownSettings();
  const router = String(lab.rooms.pid('mobile-nat'));
  const phone = await Phone.start('tailnet-bench', '--uplink-to', router, '--resolver', control.address);
  try {
    const sql = await PhoneService.on(phone);
    const key = await lab.server.key({ tags: ['tag:sovereign'] });
    const ca = await readFile(lab.server.ca, 'utf8');
    for (const mode of ['vsock', 'tap'] as const) {
      if (mode === 'tap') await sql.device.stop(sql.definition, 60);
      await sql.up(mode, { on: true, server: lab.server.url, ca, tags: ['tag:sovereign'], key });
      const joined = async (): Promise<string> => {
        const told = await sql.until('the service in the tailnet', (all) =>
          (all['sql tailnet'] ?? '').startsWith('running '),
        );
        return told['sql tailnet']?.split(' ')[1] ?? '';
      };
      const address = await joined();
      const guest = (script: string) => sql.inGuest('sh', '-c', script);
      await guest('rc-service postgresql stop');
      const [port] = sql.definition.ports;
      const own = `toybox nc 127.0.0.1 ${port?.host}`;
      const alone = await throughput(guest, (script) => phone.shell(script), own);
      await lab.laptop.path(address);
      const through = await throughput(guest, sendFrom('laptop'), `busybox nc ${address} 5432`);
      await guest('rc-service postgresql start');
      console.table({
        [`from the phone into its guest, mode ${mode} alone`]: { 'MiB/s': alone },
        'from the laptop, over the tailnet': { 'MiB/s': through, ratio: through / alone },
      });
      console.log(`the guest, in mode ${mode}`);
      // The other kinds deliver to the address that the lab's own machine has.
      const kinds = ['port-restricted', 'symmetric', 'udp-blocked'] as const;
      const behind = async (nat: Nat): Promise<void> => {
        await lab.nat('mobile', nat);
        await lab.rebind('mobile');
        await guest('rc-service tailnet restart');
        await joined();
      };
      await measurePaths(address, behind, kinds);
    }
  } finally {
    await phone.stop();
    settings.remove();
  }
}

try {
  await lab.laptop.up(lab.server.url, await lab.server.key());
  const parts = { paths: measurePlainPaths, guest: measureGuest, phone: measurePhone };
  for (const [name, measure] of Object.entries(parts)) {
    if (values.only === undefined || values.only === name) await measure();
  }
} finally {
  await lab.remove();
}
