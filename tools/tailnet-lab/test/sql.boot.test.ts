import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { note } from '@sovereign/report';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TailnetClient } from '../src/client.ts';
import { certify } from '../src/certify.ts';
import { Lab, whileBuilt } from '../src/lab.ts';
import { sites } from '../src/topology.ts';
import { PATIENCE, SqlAtHome } from './service.ts';

/** One guest for all of them, in this order: the last ones take its login away. */
let lab: Lab;
let sql: SqlAtHome;
let key: string;
let node: { address: string; id: string; name: string };

const TAG = 'tag:sovereign';
/** Daemon restarts and reboots on one state: 50 in all. */
const reboots = process.env.SOVEREIGN_LONG === '1' ? 50 : 3;
const daemonRestarts = 50 - reboots;

const ROW = 'a row';
/** Takes longer than what is done to the network meanwhile. */
const SLOW = "select 'still there' from pg_sleep(12)";
const rowComes = (): Promise<void> => sql.answers(node.address, 'select value from kept', ROW);
const sameNode = async (): Promise<void> => expect(await sql.reachable()).toEqual(node);

beforeAll(async () => {
  lab = await Lab.start();
  sql = new SqlAtHome(lab);
  await lab.laptop.up(lab.server.url, await lab.server.key());
  const made = await sql.keyFile({ tags: [TAG] });
  key = made.key;
  await sql.up(made.file, '--tailnet-tags', TAG);
  node = await sql.reachable();
  await sql.answers(node.address, "create table kept as select 'a row' as value", 'SELECT 1');
}, 900_000);

afterAll(() => lab.remove());

test('after one command, psql on the laptop reads rows through the tailnet', async () => {
  await rowComes();
  const { endpoints } = await sql.told();
  expect(endpoints).toContainEqual({
    name: 'postgres',
    url: `postgresql://postgres@${node.address}:5432/postgres`,
    via: 'tailnet',
  });
});

test('a tagged key makes a node that does not expire', async () => {
  expect((await sql.told()).tailnet).toMatchObject({ state: 'running', expires: null });
});

test('the wrong password opens nothing', async () => {
  const { stderr } = await lab.run(
    'laptop',
    ['psql', '-h', node.address, '-U', 'postgres', '-c', 'select 1'],
    {
      env: { PGPASSWORD: 'wrong' },
    },
  );
  expect(stderr).toContain('password authentication failed');
});

describe('the key', () => {
  test('is neither in the guest’s processes nor in its logs', async () => {
    const seen = await sql.inGuest(
      'cat /proc/cmdline /proc/[0-9]*/cmdline /proc/[0-9]*/environ /run/tailscale/log 2>/dev/null; dmesg',
    );
    expect(seen).toContain('root=/dev/vda');
    expect(seen).not.toContain(key);
  });

  test('is in nothing that lies around at home once the node is logged in', async () => {
    await lab.sovereignJson(['up', '--sql', '-s', 'local']);
    const holding = await lab.run('home', ['grep', '-rlaF', key, join(lab.folder, 'home')]);
    expect(holding.stdout).toBe('');
    const processes = await lab.must('home', ['sh', '-c', 'cat /proc/[0-9]*/cmdline']);
    expect(processes).toContain('qemu-system-aarch64');
    expect(processes).not.toContain(key);
  });
});

describe('a port that is not declared', () => {
  /** What answers at a port, asked from a room. */
  const asked = async (room: 'laptop' | 'home', address: string, port: number): Promise<string> =>
    (await lab.run(room, ['busybox', 'nc', '-w', '3', address, String(port)])).stdout;

  test('is not reached from the tailnet', async () => {
    await sql.inGuest('(while :; do echo open | nc -l -p 7777; done) </dev/null >/dev/null 2>&1 &');
    expect(await asked('laptop', node.address, 7777)).toBe('');
    // SSH answers with its version where it is reached.
    expect(await asked('laptop', node.address, 22)).toBe('');
    // It is the firewall that keeps them out.
    await sql.inGuest('nft insert rule inet sovereign input tcp dport { 22, 7777 } accept');
    expect(await asked('laptop', node.address, 7777)).toBe('open');
    expect(await asked('laptop', node.address, 22)).toContain('SSH-2.0');
    await sql.inGuest('. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open');
    expect(await asked('laptop', node.address, 7777)).toBe('');
  });

  test('is refused by a rule that counts', async () => {
    expect(await sql.inGuest('nft list chain inet sovereign tailnet')).toMatch(
      /counter packets [1-9]\d* bytes \d+ drop comment "not for the tailnet"/,
    );
  });

  test('is not reached from the network that the workstation is in, nor is one that is', async () => {
    const { endpoints } = await sql.told();
    const local = endpoints.find(({ via }) => via === undefined)?.url ?? '';
    const published = Number(new URL(local).port);
    expect(published).toBeGreaterThan(0);
    const reached = async (room: 'home' | 'home-nat', address: string, port: number) =>
      (await lab.run(room, ['timeout', '3', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`])).status ===
      0;
    expect(await reached('home', '127.0.0.1', published)).toBe(true);
    // The router stands in the same network as the workstation.
    expect(await reached('home-nat', sites.home.inner, published)).toBe(false);
    for (const port of [22, 5432, 7777]) {
      expect(await reached('home-nat', sites.home.inner, port), String(port)).toBe(false);
    }
    // It does reach what listens there on all addresses.
    const listener = lab.rooms.spawn('home', ['busybox', 'nc', '-l', '-p', '7778']);
    onTestFinished(() => {
      listener.kill('SIGKILL');
    });
    await expect
      .poll(() => reached('home-nat', sites.home.inner, 7778), { timeout: PATIENCE, interval: 250 })
      .toBe(true);
  });
});

describe('HTTPS with the owner’s certificate', () => {
  const NAME = 'vault.lab.test';
  const file = (name: string) => join(lab.folder, 'https', name);
  const ask = (ca: string, name: string) =>
    lab.run(
      'laptop',
      [
        ...['openssl', 's_client', '-connect', `${node.address}:443`, '-servername', name, '-CAfile', ca],
        ...['-verify_hostname', name, '-verify_return_error', '-quiet'],
      ],
      { input: 'GET / HTTP/1.0\r\n\r\n', timeout: PATIENCE },
    );

  /** A web server in the guest, and what the image of a web service says of it, stand in for a web service. */
  beforeAll(async () => {
    const conf = '/etc/sovereign/service.conf';
    await certify(file(''), NAME);
    const pem = (
      await Promise.all(['server.pem', 'ca.pem', 'server.key'].map((name) => readFile(file(name), 'utf8')))
    ).join('');
    const settings = '/run/sovereign/config';
    await sql.inGuest(`umask 077; cat >${settings}/secrets/certificate`, pem);
    await sql.inGuest(`
      (while :; do printf 'HTTP/1.0 200 OK\r\n\r\nhere it is' | nc -l -p 8000; done) </dev/null >/dev/null 2>&1 &
      cat ${conf} >/run/service.conf
      printf 'tailnet web 443 443\ntls web 443 8000 certificate domain\n' >>/run/service.conf
      mount --bind /run/service.conf ${conf}
      echo 'setting domain https://${NAME}/' >>${settings}/guest.conf
      . /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open
      rc-service tailnet restart`);
    await sameNode();
  });

  test('is told once a handshake was verified, with the end of the certificate', async () => {
    await expect
      .poll(async () => (await sql.told()).tailnet?.https, { timeout: 2 * PATIENCE, interval: 1000 })
      .toMatchObject({ state: 'on', name: NAME, from: 'own' });
    const end = new Date((await sql.told()).tailnet?.https?.expires ?? '').getTime();
    expect(Math.abs(end - Date.now() - 9 * 24 * 3600 * 1000)).toBeLessThan(3600 * 1000);
  });

  test('a client on the laptop verifies it through the tailnet, and gets the page', async () => {
    const { status, stdout, stderr } = await ask(file('ca.pem'), NAME);
    expect({ status, stdout }, stderr).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('here it is') as string,
    });
    // The same client refuses what it cannot verify.
    expect((await ask(lab.server.ca, NAME)).status).not.toBe(0);
    expect((await ask(file('ca.pem'), 'other.lab.test')).status).not.toBe(0);
  });

  test('the port behind it is not reached from the tailnet, in the clear', async () => {
    for (const port of [80, 8000]) {
      const asked = ['busybox', 'nc', '-w', '3', node.address, String(port)];
      const { stdout } = await lab.run('laptop', asked, { input: 'GET / HTTP/1.0\r\n\r\n' });
      expect(stdout).toBe('');
    }
  });

  test('what takes TLS is no root, and small', async () => {
    const status = await sql.inGuest('cat /proc/$(cat /run/tailscale/tls-pid)/status');
    expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).toBe('65534');
    const [kib] = /VmRSS:\s+(\d+)/.exec(status)?.slice(1) ?? [];
    note(`TLS takes ${kib ?? '?'} KiB of the guest`);
    expect(Number(kib)).toBeLessThan(16_384);
  });
});

describe('the same node and address', () => {
  test('after a power cut', async () => {
    const pid = (
      await readFile(join(lab.folder, 'home/data/sovereign/local/services/sql/state/pid'), 'utf8')
    ).trim();
    await lab.must('home', ['kill', '-KILL', pid]);
    await expect.poll(async () => (await sql.told()).state, { timeout: PATIENCE }).not.toBe('running');
    await expect
      .poll(async () => (await sql.told()).healthy, { timeout: 2 * PATIENCE, interval: 1000 })
      .toBe(true);
    await sameNode();
    await rowComes();
  });

  test('after another release, which is closed while it is on trial, and back again', async () => {
    const { release } = await sql.told();
    const script = join(import.meta.dirname, 'another-release.ts');
    await whileBuilt(() => lab.must('home', [process.execPath, script, '16'], { env: lab.homeEnv }));
    const starting = lab.sovereignJson(['start', 'sql', '-s', 'local']);
    await expect.poll(async () => (await sql.told()).slot, { timeout: PATIENCE, interval: 500 }).toBe('b');
    // Reports of health end the trial: it lasts as long as nobody makes them.
    await expect.poll(() => healthWatch('STOP').catch(String), { timeout: PATIENCE, interval: 500 }).toBe('');
    await sql.reachable();
    expect((await sql.told()).trial).toBe(true);
    const shut = await lab.run('laptop', ['busybox', 'nc', '-w', '3', node.address, '5432']);
    expect(shut.status).not.toBe(0);
    expect((await sql.told()).trial).toBe(true);
    await healthWatch('CONT');
    await starting;
    expect(await sql.told()).toMatchObject({ trial: false, slot: 'b' });
    expect((await sql.told()).release).not.toBe(release);
    await sameNode();
    await rowComes();
    await lab.sovereignJson(['rollback', 'sql', '-s', 'local']);
    await expect
      .poll(async () => (await sql.told()).trial, { timeout: PATIENCE, interval: 1000 })
      .toBe(false);
    expect((await sql.told()).release).toBe(release);
    await sameNode();
    await rowComes();
  });

  test(
    `after ${reboots} reboots and ${daemonRestarts} deaths of the daemon, and no second node`,
    { timeout: 3_600_000 },
    async () => {
      for (let done = 0; done < reboots; done++) {
        await lab.sovereignJson(['restart', 'sql', '-s', 'local']);
        await sameNode();
      }
      await sql.inGuest(killDaemon(daemonRestarts));
      await sameNode();
      await rowComes();
      const names = (await lab.server.nodes()).map(({ given_name: name }) => name);
      expect(names.filter((name) => name.startsWith('sql'))).toHaveLength(1);
      expect(names).toHaveLength(2);
    },
  );
});

/** Ends the daemon so often in the middle of its work, its socket left behind. */
const killDaemon = (times: number): string => `
left=${times}
while [ $left -gt 0 ]; do
  old=$(pidof tailscaled) && kill -9 $old
  tries=0
  until new=$(pidof tailscaled) && [ "$new" != "$old" ]; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1
    sleep 0.1
  done
  # Long enough to read its state, and mostly too short to get through to the control server.
  sleep 0.5
  # Every fifth does.
  tries=0
  until [ $((left % 5)) != 0 ] || tailscale status --json --peers=false | grep -q '"BackendState": "Running"'; do
    tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1
    sleep 0.2
  done
  left=$((left - 1))
done`;

describe('a clock that is wrong', () => {
  /** Seconds by which the guest's clock differs from this machine's. */
  const off = async (): Promise<number> =>
    Math.abs(Number(await sql.inGuest('date +%s')) - Date.now() / 1000);
  const isRight = (): Promise<void> =>
    expect.poll(off, { timeout: 2 * PATIENCE, interval: 1000 }).toBeLessThan(60);
  const folder = () => join(lab.folder, 'home/data/sovereign/local/services/sql');
  const vm = async () => (await readFile(join(folder(), 'state/pid'), 'utf8')).trim();
  const kill = (signal: string, pid: string): Promise<string> =>
    lab.must('home', ['kill', `-${signal}`, pid]);

  test.each(['1970-01-01', '2040-01-01'])(
    'at power-on, %s, is set, and the node is the same',
    async (day) => {
      const file = join(folder(), (await sql.told()).slot, 'argv.1');
      const before = await readFile(file, 'utf8');
      onTestFinished(() => writeFile(file, before));
      expect(before).toContain('base=utc');
      await writeFile(file, before.replace('base=utc', `base=${day}T00:00:00`));
      const old = await vm();
      await kill('KILL', old);
      // What is told before the launcher has seen it is of the machine that is gone.
      await expect.poll(() => vm().catch(() => old), { timeout: PATIENCE, interval: 250 }).not.toBe(old);
      await expect
        .poll(async () => (await sql.told()).healthy, { timeout: 3 * PATIENCE, interval: 1000 })
        .toBe(true);
      await expect
        .poll(() => sql.inGuest('dmesg | grep "setting system clock"').catch(String), {
          timeout: PATIENCE,
          interval: 1000,
        })
        .toContain(day);
      await sameNode();
      await rowComes();
      await isRight();
    },
  );

  test('that is set back while it runs is corrected without a restart', async () => {
    const pid = await vm();
    // In one go: it is corrected soon.
    const said = (await sql.inGuest('date -s @86400 >/dev/null; date +%s')).trim();
    expect(said).toMatch(/^864\d\d$/);
    await isRight();
    await sameNode();
    await rowComes();
    expect(await vm()).toBe(pid);
  });

  test('is right after the machine stood still', async () => {
    const pid = await vm();
    await kill('STOP', pid);
    onTestFinished(() =>
      kill('CONT', pid).then(
        () => undefined,
        () => undefined,
      ),
    );
    await expect
      .poll(async () => (await sql.told()).attention, { timeout: PATIENCE, interval: 1000 })
      .toMatch(/the guest says nothing/);
    await kill('CONT', pid);
    await expect
      .poll(async () => (await sql.told()).healthy, { timeout: PATIENCE, interval: 1000 })
      .toBe(true);
    await isRight();
    await sameNode();
    await rowComes();
    expect(await vm()).toBe(pid);
  });
});

describe('the way between', () => {
  /** Waits until the slow statement has begun: the path may change under a connection, not under the making of one. */
  const underWay = (): Promise<void> =>
    sql.answers(
      node.address,
      "select count(*) from pg_stat_activity where query like '%pg_sleep(12)' and state = 'active'",
      '1',
    );
  const path = () => lab.laptop.path(node.address);

  test('is direct behind the usual routers', async () => {
    expect(await path()).toBe('direct');
  });

  test('brings a result of 10 MB whole over a line with small packets', async () => {
    await lab.mtu('home', 1300);
    onTestFinished(() => lab.mtu('home', 1500));
    const text = await sql.query(node.address, "select repeat('0123456789', 1048576)", 3 * PATIENCE);
    expect(text).toHaveLength(10_485_760);
    expect(text).toMatch(/^(0123456789)+$/);
  });

  test('outlives a router that translates anew, in the middle of a query', async () => {
    const asking = sql.query(node.address, SLOW);
    await underWay();
    await lab.rebind('home');
    expect(await asking).toBe('still there');
  });

  test('outlives another uplink, in the middle of a query', async () => {
    onTestFinished(() => lab.uplink('home'));
    const asking = sql.query(node.address, SLOW);
    await underWay();
    await lab.uplink('mobile');
    expect(await asking).toBe('still there');
    await sameNode();
  });

  test('stays where the control server and its relay are gone: the direct one alone', async () => {
    expect(await path()).toBe('direct');
    await lab.server.down();
    onTestFinished(() => lab.server.up());
    await rowComes();
    const silence = async () => (await sql.told()).tailnet;
    await expect
      .poll(silence, { timeout: PATIENCE, interval: 1000 })
      .toMatchObject({ state: 'running', detail: expect.stringMatching(/\w/) as string });
    await lab.server.up();
    await expect
      .poll(async () => (await silence())?.detail, { timeout: 2 * PATIENCE, interval: 1000 })
      .toBeUndefined();
  });

  test('is the relay where UDP is blocked', async () => {
    await lab.nat('home', 'udp-blocked');
    await lab.rebind('home');
    onTestFinished(() => lab.nat('home', 'port-restricted'));
    await rowComes();
    expect(await path()).toBe('relayed');
  });
});

describe('what goes wrong', () => {
  test('a control server that is down at boot holds nothing up', async () => {
    await lab.server.down();
    onTestFinished(() => lab.server.up());
    await lab.sovereignJson(['restart', 'sql', '-s', 'local']);
    await expect
      .poll(async () => (await sql.told()).tailnet?.state, { timeout: 2 * PATIENCE, interval: 1000 })
      .toBe('unreachable');
    expect((await sql.told()).healthy).toBe(true);
    await lab.server.up();
    await sameNode();
    await rowComes();
  });

  test('another device of the same name gets another', async () => {
    const other = new TailnetClient(lab.rooms, 'home', join(lab.folder, 'other'), lab.server.ca);
    onTestFinished(() => other.stop());
    const [label = ''] = node.name.split('.');
    await other.up(lab.server.url, await lab.server.key(), label);
    expect((await other.status()).Self.DNSName).not.toBe(`${node.name}.`);
    await sameNode();
    await rowComes();
    await other.tailscale(['logout']);
  });

  test('a login that is renewed with another key keeps node and address', async () => {
    const known = async () => (await lab.server.nodes()).map(({ id }) => id);
    const before = await known();
    const { key: next } = await sql.keyFile({ tags: [TAG] });
    const renewal = ['exec', 'sql', '-s', 'local', '--', '/usr/lib/sovereign/tailnet', 'login', 'again', '-'];
    const { status, stdout, stderr } = await lab.sovereign(renewal, { input: `${next}\n` });
    expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: 'running' });
    await sameNode();
    await rowComes();
    expect(await known()).toEqual(before);
  });

  test('a node that was expired asks for a login, and is the same with the next key', async () => {
    const { id } = await ownNode();
    await lab.server.headscale('nodes', 'expire', '--identifier', String(id));
    await toldState(/expired/);
    const { file } = await sql.keyFile({ tags: [TAG] });
    await lab.sovereignJson(['tailnet', 'login', 'sql', '-s', 'local', '--key', file]);
    const again = await sql.reachable();
    expect(again.address).toBe(node.address);
    await rowComes();
  });

  test('a key that is used up is refused with the reason, and the service stays', async () => {
    await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
    await toldState(/logged-out|needs-login/);
    const spent = join(lab.folder, 'spent');
    await writeFile(spent, `${key}\n`, { mode: 0o600 });
    const { status, stderr } = await lab.sovereign([
      ...['tailnet', 'login', 'sql', '-s', 'local', '--key', spent],
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/already used|not found|invalid|refused/i);
    expect(stderr).not.toContain(key);
    expect((await sql.told()).healthy).toBe(true);
  });
});

test('a person who visits the address that the command prints logs the node in', async () => {
  if ((await sql.told()).tailnet?.state === 'running') {
    await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
  }
  const login = lab.sovereign(['tailnet', 'login', 'sql', '-s', 'local', '--timeout', '300']);
  const address = async () => (await sql.told()).tailnet;
  await expect
    .poll(address, { timeout: 2 * PATIENCE, interval: 1000 })
    .toMatchObject({ state: 'needs-login', url: expect.stringMatching(/\/register\//) as string });
  const url = (await address())?.url ?? '';
  // What the page at the address tells its owner to do.
  const registration = url.slice(url.lastIndexOf('/') + 1);
  await lab.server.headscale('nodes', 'register', '--user', 'owner', '--key', registration);
  const { status, stdout, stderr } = await login;
  expect(status, stdout + stderr).toBe(0);
  expect(stderr).toContain(`visit this address, from any device, to log the node in: ${url}`);
  const { address: reached } = await sql.reachable();
  await sql.answers(reached, 'select value from kept', ROW);
  await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
});

test('another name is the node’s at once, and the node goes with its data', async () => {
  const { file } = await sql.keyFile({ tags: [TAG] });
  await lab.sovereignJson(['tailnet', 'login', 'sql', '-s', 'local', '--key', file]);
  const { address } = await sql.reachable();
  await lab.sovereignJson(['tailnet', 'rename', 'sql', 'ledger', '-s', 'local']);
  const known = async () => (await lab.server.nodes()).find(({ ip_addresses: all }) => all.includes(address));
  await expect
    .poll(async () => (await known())?.given_name, { timeout: PATIENCE, interval: 1000 })
    .toBe('ledger');
  await lab.sovereignJson(['remove', 'sql', '-s', 'local', '--data', '--yes']);
  // headscale keeps a node that logged out, with a key that is over.
  const end = (await known())?.expiry?.seconds ?? 0;
  expect(end).toBeLessThanOrEqual(Date.now() / 1000);
});

/** Holds what reports the health of the guest, or lets it go on. */
const healthWatch = (signal: 'STOP' | 'CONT'): Promise<string> =>
  sql.inGuest(`read -r _ watch </run/sovereign/helpers && kill -${signal} $watch`);

const ownNode = async () => {
  const found = (await lab.server.nodes()).find(({ ip_addresses: all }) => all.includes(node.address));
  if (found === undefined) throw new Error('the control server does not know the node');
  return found;
};

const toldState = (wanted: RegExp): Promise<void> =>
  expect
    .poll(async () => (await sql.told()).tailnet?.state, { timeout: 2 * PATIENCE, interval: 1000 })
    .toMatch(wanted);
