import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { mirrorHosts } from '@sovereign/base';
import {
  checksOf,
  connect,
  liveContext,
  runCheck,
  runChecks,
  type CheckContext,
  type Guest,
} from '@sovereign/checks';
import { execInGuest } from '@sovereign/device';
import { Planted } from '@sovereign/device/testing/planted';
import { workspaceRoot } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { TestService } from './service.ts';

let service: TestService;
let context: CheckContext;
/** Passwords of before. */
const rotated: string[] = [];
/** What makes the address of the heartbeat a secret. */
const MONITOR = '5f1c7a52-planted-monitor';
/** For what comes a moment later between two emulated machines, in milliseconds. */
const PATIENT = { timeout: 120_000, interval: 250 };
/** Path in the guest of a program that hides shmget from the command it runs. */
const DENY = '/tmp/deny-shmget';

beforeAll(async () => {
  service = await TestService.prepare();
  await service.up();
  context = await liveContext(service.device, service.definition, {
    lookupNames: await mirrorHosts(),
  });
});

afterAll(() => service.remove());

async function resultOf(name: string, parts: Partial<CheckContext> = {}) {
  const check = checksOf(service.definition).find((candidate) => candidate.name === name);
  if (check === undefined) throw new Error(`there is no check ${name}`);
  return runCheck(check, { ...context, ...parts });
}

async function inGuest(script: string): Promise<string> {
  const { status, stdout, stderr } = await context.guest.exec(['sh', '-c', script]);
  if (status !== 0) throw new Error(`${script}: exit ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** Takes the cause of a check away: it fails; puts it back: it passes. */
async function failsWithout(name: string, take: string, put: string, detail: RegExp): Promise<void> {
  await inGuest(take);
  try {
    const result = await resultOf(name);
    expect(result, JSON.stringify(result)).toMatchObject({
      result: 'fail',
      detail: expect.stringMatching(detail) as string,
    });
  } finally {
    await inGuest(put);
  }
  expect(await resultOf(name)).toMatchObject({ result: 'pass' });
}

test('every check passes on the running service, a real restart included', async () => {
  const results = await runChecks(service.device, service.definition);
  // A machine without a name server may skip the look-up, a device in no tailnet what is asked of that; nothing else.
  const bad = results.filter(
    ({ name, result }) =>
      result === 'fail' || (result === 'skip' && !/^(network\.lookup|tailnet\..*)$/.test(name)),
  );
  expect(bad).toEqual([]);
});

test('a symbol that is missing from /proc/config.gz', () =>
  failsWithout(
    'kernel.tun',
    'zcat /proc/config.gz | grep -v CONFIG_TUN= | gzip >/tmp/config.gz && mount -o bind /tmp/config.gz /proc/config.gz',
    'umount /proc/config.gz',
    /CONFIG_TUN is not set/,
  ));

test('shmget that is not there, under the check and under initdb', async () => {
  await sendDenier();
  const denied: Guest = { exec: (argv) => context.guest.exec([DENY, ...argv]) };
  expect(await resultOf('kernel.sysvipc', { guest: denied })).toMatchObject({
    result: 'fail',
    detail: expect.stringContaining('ENOSYS') as string,
  });
  const initdb = await context.guest.exec([
    DENY,
    ...['su', '-s', '/bin/sh', 'postgres', '-c', 'exec "$@"', '--', 'sh'],
    ...['initdb', '--pgdata=/tmp/no-shm', '--no-sync', '--encoding=UTF8', '--locale=C'],
  ]);
  expect(initdb.status).not.toBe(0);
  expect(initdb.stdout + initdb.stderr).toMatch(/shmget\(.*\)|could not create shared memory segment/);
});

test('a device node that was removed', () =>
  failsWithout(
    'dev.net-tun',
    'rm /dev/net/tun',
    'mknod -m 0666 /dev/net/tun c 10 200',
    /no character device/,
  ));

test('a device node without its driver', () =>
  failsWithout(
    'dev.vsock',
    'mv /dev/vsock /dev/vsock.kept; mknod /dev/vsock c 10 254',
    'rm /dev/vsock; mv /dev/vsock.kept /dev/vsock',
    /cannot be opened/,
  ));

test('a /dev/shm that something else covers', () =>
  failsWithout('dev.shm', 'mount -t mqueue cover /dev/shm', 'umount /dev/shm', /no tmpfs/));

test('loopback that is down', () =>
  failsWithout('network.address', 'ip link set lo down', 'ip link set lo up', /127\.0\.0\.1\/8 on lo/));

test('no default route', () =>
  failsWithout(
    'network.route',
    'ip route del default',
    'ip route add default via 10.0.2.2 dev eth0',
    /no default route/,
  ));

test('no name server', async (task) => {
  if ((await resultOf('network.lookup')).result === 'skip') task.skip('this machine resolves no name either');
  await failsWithout(
    'network.lookup',
    'cp /run/resolv.conf /run/kept; echo nameserver 127.0.0.1 >/run/resolv.conf',
    'mv /run/kept /run/resolv.conf',
    /not resolved/,
  );
});

test('a port that is blocked', () =>
  failsWithout(
    'sql.query',
    'nft insert rule inet sovereign input tcp dport 5432 reject with tcp reset',
    '. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open',
    /ECONNRESET|ECONNREFUSED|timeout|terminated|closed/i,
  ));

test('a data disk whose record is gone', () =>
  failsWithout(
    'sql.initialised',
    'mv /data/sovereign.json /data/kept',
    'mv /data/kept /data/sovereign.json',
    /no sovereign\.json/,
  ));

test('a restart that was none', async () => {
  expect(await resultOf('data.kept', { restart: () => Promise.resolve() })).toMatchObject({
    result: 'fail',
    detail: 'the guest was not restarted',
  });
});

test('memory that is not there is refused, and no process of the server is killed for it', async () => {
  expect(await inGuest('cat /proc/sys/vm/overcommit_memory')).toBe('2\n');
});

test('the firewall admits SSH and the declared port, and no other', async () => {
  const rules = await inGuest('nft list chain inet sovereign input');
  expect(rules).toMatch(/policy drop/);
  expect([...rules.matchAll(/tcp dport (\S+) accept/g)].map(([, port]) => port)).toEqual(['22', '5432']);
});

test('the firewall keeps the guest from the host’s loopback', async () => {
  const seen: unknown[] = [];
  const server = createServer((socket) => seen.push(socket.remoteAddress)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    const call = await context.guest.exec(['nc', '-w', '3', '10.0.2.2', String(port)]);
    expect(call.status).not.toBe(0);
    expect(seen).toEqual([]);
  } finally {
    server.close();
  }
});

test('the dependency cache of the image is what OpenRC itself computes', async () => {
  const folder = (await inGuest("sed -n 's/^openrc-folder //p' /etc/sovereign/base.conf")).trim();
  const saved = await inGuest(`cat ${folder}/cache/deptree`);
  const computed = await inGuest(
    `cp -p /run/openrc/deptree /run/kept; ${folder}/bin/rc-depend --update >/dev/null; cat /run/openrc/deptree`,
  );
  await inGuest('mv /run/kept /run/openrc/deptree');
  expect(computed).toBe(saved);
});

test('iptables and ip6tables take rules beside those of the guest', async () => {
  for (const program of ['iptables', 'ip6tables']) {
    const rule = 'OUTPUT -p tcp -m multiport --dports 9,19 -m comment --comment sovereign -j REJECT';
    await inGuest(`${program} -A ${rule}`);
    expect(await inGuest(`${program} -S OUTPUT`)).toContain('--dports 9,19');
    await inGuest(`${program} -D ${rule}`);
  }
});

test('a password that is rotated while the service runs: the old one is refused, the machine stays', async () => {
  const old = await service.password();
  const pid = async () => (await service.status()).pid;
  const before = await pid();
  expect(await service.device.secrets.rotate(service.definition)).toEqual({
    rotated: ['postgres-password'],
    finished: [],
    applied: 'live',
  });
  const now = await service.password();
  expect(now).not.toBe(old);
  expect(await service.query('select 1 as one')).toEqual([{ one: 1 }]);
  await expect(service.queryWith(old, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  expect(await pid()).toBe(before);
  rotated.push(old);
});

test('a heartbeat that is set while the service runs is heard, and the machine stays', async () => {
  const asked: (string | undefined)[] = [];
  const monitor = createHttp((request, response) => {
    asked.push(request.url);
    response.end('OK');
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void monitor.close());
  await once(monitor, 'listening');
  const { since } = await service.status();
  // This machine's loopback, as QEMU's own network shows it to a guest, whose firewall keeps it from there.
  const { port } = monitor.address() as AddressInfo;
  await inGuest(`nft insert rule inet sovereign output ip daddr 10.0.2.2 tcp dport ${port} accept`);
  const address = `http://10.0.2.2:${port}/ping/${MONITOR}?status=up`;
  const set = (value: string) => service.device.secrets.set(service.definition, 'heartbeat', value);
  expect(await set(address)).toBe('live');
  await service.until('the first heartbeat', () => asked.length > 0);
  expect(asked).toEqual([`/ping/${MONITOR}?status=up`]);
  // It is said a moment after the monitor has answered.
  const heard = async () => (await inGuest('cat /run/sovereign/heartbeat || :')) === 'heard\n';
  await service.until('the guest to say that it was heard', heard);
  expect((await service.status()).since).toBe(since);
});

test('no password, of now or before, and no address, is anywhere but in its two files and on the config disk', async () => {
  const values = [await service.password(), ...rotated, MONITOR];
  expect(values).toHaveLength(3);
  const planted = new Planted(values);
  expect(await planted.inGuest(await service.device.ssh(service.definition))).toEqual([]);
  expect(planted.processes()).toEqual([]);
  const device = join(service.folder, 'device');
  const looked = await readFile(join(device, 'services/sql/log/console.log'), 'utf8');
  expect(looked).toContain('PostgreSQL');
  const grep = (...places: string[]): string[] => {
    const { stdout } = spawnSync('grep', ['-rlF', '-f', '-', ...places], {
      input: `${values.join('\n')}\n`,
      encoding: 'utf8',
    });
    return stdout
      .split('\n')
      .filter((path) => path !== '')
      .toSorted();
  };
  // The data disk holds what PostgreSQL makes of a password, never the password.
  expect(grep(service.folder)).toEqual([
    ...['secrets.json', 'secrets.json.before'].map((name) => join(service.secretsFolder(), name)),
    join(device, 'services/sql/config.img'),
  ]);
  expect(grep(service.bundle.files.root, join(workspaceRoot(), '.nx', 'cache'))).toEqual([]);
});

test('the password is in no log either where the owner has all statements logged', async () => {
  const secret = await service.password();
  const programs = (await inGuest("sed -n 's/^postgresql-programs //p' /etc/sovereign/base.conf")).trim();
  const query = (sql: string) =>
    inGuest(`echo "${sql}" | ${programs}/psql -X -q -h /run/postgresql -U postgres -d postgres -f -`);
  const logged = [
    "log_statement = 'all'",
    'log_min_duration_statement = 0',
    "log_min_error_statement = 'error'",
  ];
  await query(
    [...logged.map((setting) => `ALTER SYSTEM SET ${setting};`), 'SELECT pg_reload_conf();'].join(' '),
  );
  const console = () => readFile(service.file('log/console.log'), 'utf8');
  try {
    // The server takes its new settings a moment after it was told.
    await expect
      .poll(() => query('SELECT 1 AS before_password;').then(console), { timeout: 120_000 })
      .toContain('AS before_password');
    await inGuest('/usr/lib/sovereign/postgresql password');
    await query('SELECT 1 AS after_password;');
    await expect.poll(console, { timeout: 120_000 }).toContain('AS after_password');
    expect(await console()).toContain('SET log_statement = none');
    expect(await console()).not.toContain(secret);
  } finally {
    await query('ALTER SYSTEM RESET ALL; SELECT pg_reload_conf();');
  }
});

test('a neighbour reaches the declared port by the service’s name, and nothing else', async () => {
  const neighbour = service.neighbour();
  const { device } = service;
  await device.deploy(neighbour);
  onTestFinished(() => device.remove(neighbour.definition, { data: true }));
  await device.start(neighbour.definition);
  await device.waitHealthy(neighbour.definition, neighbour.definition.health.deadline);
  const target = await device.ssh(neighbour.definition);
  const asked = async (script: string, input = ''): Promise<string> =>
    (await execInGuest(target, ['sh', '-c', script], { input })).stdout;

  const password = await service.password();
  const query =
    'PGPASSFILE=/run/pass psql -X -A -t -h sql -U postgres -c "select 20 + 22, inet_client_addr()"';
  await expect
    .poll(() => asked(`umask 077; cat >/run/pass; ${query}`, `sql:5432:*:postgres:${password}\n`), PATIENT)
    .toBe('42|192.168.127.3\n');
  await inGuest('(while :; do echo open | nc -l -p 7777; done) </dev/null >/dev/null 2>&1 &');
  // SSH answers with its version where it is reached.
  for (const port of [22, 7777]) expect(await asked(`nc -w 2 sql ${port} </dev/null || :`)).toBe('');
  // An address of another network that comes from there is nobody's.
  await asked('ip address add 10.0.2.77/32 dev eth1');
  const strange = () => asked('ping -c 1 -W 1 -I 10.0.2.77 sql');
  await expect
    .poll(() => strange().then(() => inGuest('nft list chain inet sovereign input')), PATIENT)
    .toMatch(/packets [1-9]\d* bytes \d+ drop comment "no address of a neighbour"/);
  // It is the guest's own firewall that keeps them out.
  await inGuest('nft insert rule inet sovereign input iifname eth1 tcp dport { 22, 7777 } accept');
  await expect.poll(() => asked('nc -w 5 sql 7777 </dev/null || :'), PATIENT).toBe('open\n');
  await expect.poll(() => asked('nc -w 5 sql 22 </dev/null || :'), PATIENT).toContain('SSH-2.0');
});

test('another service of the device has its own database, at every start, and is let into no other', async () => {
  const config = '/run/sovereign/config/databases';
  const apply = `mkdir -p ${config} && echo "it's 1 password" >${config}/toy && /usr/lib/sovereign/postgresql password`;
  await inGuest(apply);
  const { endpoints } = await service.status();
  const published = endpoints.find(({ name }) => name === 'postgres')?.url ?? '';
  const as = (database: string) =>
    connect({
      url: published.replace(/\/\/.*@(.*)\/.*/, `//toy@$1/${database}`),
      password: "it's 1 password",
    });
  const first = await as('toy');
  await first.query('create table kept (what text)');
  await first.end();
  await inGuest(apply);
  const again = await as('toy');
  expect((await again.query('select count(*)::int from kept')).rows).toEqual([{ count: 0 }]);
  await again.end();
  await service.query('create database another');
  for (const other of ['postgres', 'another', 'template1']) await expect(as(other)).rejects.toThrow(/pg_hba/);
  expect(await inGuest('cat /proc/[0-9]*/cmdline; ls /run/sovereign')).not.toMatch(
    /1 password|databases\.sql/,
  );
});

/** Last: a clean stop of the service keeps its port closed until it is started again. */
test('a service that was stopped', () =>
  failsWithout(
    'openrc.services',
    'rc-service postgresql stop',
    'rc-service postgresql start',
    /postgresql is stopped/,
  ));

async function sendDenier(): Promise<void> {
  const tools = await openToolRoot();
  await tools.run(
    [
      ...['aarch64-linux-gnu-gcc', '-O1', '-Wall', '-Wextra', '-Werror', '-static', '-s'],
      ...['-o', '/out/deny-shmget', '/src/main.c'],
    ],
    {
      binds: [
        { source: join(import.meta.dirname, 'deny-shmget'), target: '/src' },
        { source: service.folder, target: '/out', write: true },
      ],
    },
  );
  const { status } = await execInGuest(
    await service.device.ssh(service.definition),
    ['sh', '-c', `cat >${DENY} && chmod 755 ${DENY}`],
    { input: await readFile(join(service.folder, 'deny-shmget')) },
  );
  expect(status).toBe(0);
}
