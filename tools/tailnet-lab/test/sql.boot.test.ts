import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resticProgram } from '@sovereign/backup';
import { step } from '@sovereign/report';
import { whileBuilt } from 'virtual-phone/built';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Lab } from '../src/lab.ts';
import { sites } from '../src/topology.ts';
import { PATIENCE, SqlAtHome } from './service.ts';

/** What is reached and what is not, and that the node stays the same one. One guest for all of them, in this order. */
let lab: Lab;
let sql: SqlAtHome;

/** Reboots and daemon restarts on one state: 50 in all. The reboots of every test here count. */
const reboots = process.env.SOVEREIGN_LONG === '1' ? 50 : 3;
const daemonRestarts = 50 - reboots;

/** The guest's boots in which the node was seen to be the one that it was. */
const boots = new Set<string>();
const sameNode = async (): Promise<void> => {
  await sql.isSameNode();
  boots.add(await sql.inGuest('cat /proc/sys/kernel/random/boot_id'));
};

beforeAll(async () => {
  // At home there is nowhere to bring it from.
  await resticProgram();
  lab = await Lab.start();
  sql = await SqlAtHome.start(lab);
}, 900_000);

afterAll(() => lab.remove());

test('after one command, psql on the laptop reads rows through the tailnet', async () => {
  await sameNode();
  await sql.rowComes();
  const { endpoints } = await sql.told();
  expect(endpoints).toContainEqual({
    name: 'postgres',
    url: `postgresql://postgres@${sql.node.address}:5432/postgres`,
    via: 'tailnet',
  });
});

test('a tagged key makes a node that does not expire', async () => {
  expect((await sql.told()).tailnet).toMatchObject({ state: 'running', expires: null });
});

test('the wrong password opens nothing', async () => {
  const { stderr } = await lab.run(
    'laptop',
    ['psql', '-h', sql.node.address, '-U', 'postgres', '-c', 'select 1'],
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
    expect(seen).not.toContain(sql.key);
  });

  test('is in nothing that lies around at home once the node is logged in', async () => {
    await lab.sovereignJson(['up', '--sql', '-s', 'local']);
    await sameNode();
    const holding = await lab.run('home', ['grep', '-rlaF', sql.key, join(lab.folder, 'home')]);
    expect(holding.stdout).toBe('');
    const processes = await lab.commandLines('home');
    expect(processes).toContain('qemu-system-aarch64');
    expect(processes).not.toContain(sql.key);
  });
});

describe('a port that is not declared', () => {
  /** What answers at a port, asked from a room. */
  const asked = async (room: 'laptop' | 'home', address: string, port: number): Promise<string> =>
    (await lab.run(room, ['busybox', 'nc', '-w', '3', address, String(port)])).stdout;

  test('is not reached from the tailnet', async () => {
    await sql.inGuest('(while :; do echo open | nc -l -p 7777; done) </dev/null >/dev/null 2>&1 &');
    const all = () => Promise.all([7777, 22].map((port) => asked('laptop', sql.node.address, port)));
    expect(await all()).toEqual(['', '']);
    // It is the firewall that keeps them out.
    await sql.inGuest('nft insert rule inet sovereign input tcp dport { 22, 7777 } accept');
    const patient = { timeout: PATIENCE, interval: 250 };
    // SSH answers with its version.
    await expect.poll(all, patient).toEqual(['open', expect.stringContaining('SSH-2.0')]);
    await sql.inGuest('. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open');
    expect(await all()).toEqual(['', '']);
  });

  test('is refused by a rule that counts', async () => {
    // What the laptop gave up to wait for may be on its way.
    await expect
      .poll(() => sql.inGuest('nft list chain inet sovereign tailnet'), { timeout: PATIENCE, interval: 250 })
      .toMatch(/counter packets [1-9]\d* bytes \d+ drop comment "not for the tailnet"/);
  });

  test('is not reached from the network that the workstation is in, nor is one that is', async () => {
    const { endpoints } = await sql.told();
    const local = endpoints.find(({ via }) => via === undefined)?.url ?? '';
    const published = Number(new URL(local).port);
    expect(published).toBeGreaterThan(0);
    const reached = async (room: 'home' | 'home-nat', address: string, port: number) =>
      (await lab.run(room, ['timeout', '3', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`])).status ===
      0;
    await expect
      .poll(() => reached('home', '127.0.0.1', published), { timeout: PATIENCE, interval: 250 })
      .toBe(true);
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

describe('the same node and address', () => {
  test('after another release, which is closed while it is on trial, and back again', async () => {
    const { release } = await sql.told();
    const script = join(import.meta.dirname, 'another-release.ts');
    await whileBuilt(() => lab.must('home', [process.execPath, script, '16'], { env: lab.homeEnv }));
    // It becomes current by three reports with so many seconds between them, and somebody has to get in before. The first
    // way into a guest that boots may be long in coming: QEMU repeats what it sent too early after 6 s, then after 12 s.
    const plan = join(lab.folder, 'home/data/sovereign/local/services/sql/b/launch');
    await appendFile(plan, 'trial-spacing 15\ndeadline 240\n');
    const starting = lab.sovereignJson(['start', 'sql', '-s', 'local', '--timeout', '240']);
    await expect.poll(async () => (await sql.told()).slot, { timeout: PATIENCE, interval: 500 }).toBe('b');
    // Reports of health end the trial: it lasts as long as nobody makes them.
    await expect.poll(() => healthWatch('STOP').catch(String), { timeout: PATIENCE, interval: 500 }).toBe('');
    await sql.reachable();
    expect((await sql.told()).trial).toBe(true);
    const shut = await lab.run('laptop', ['busybox', 'nc', '-w', '3', sql.node.address, '5432']);
    expect(shut.status).not.toBe(0);
    expect((await sql.told()).trial).toBe(true);
    await healthWatch('CONT');
    await starting;
    expect(await sql.told()).toMatchObject({ trial: false, slot: 'b' });
    expect((await sql.told()).release).not.toBe(release);
    await sameNode();
    await sql.rowComes();
    await lab.sovereignJson(['rollback', 'sql', '-s', 'local']);
    await expect
      .poll(async () => (await sql.told()).trial, { timeout: PATIENCE, interval: 1000 })
      .toBe(false);
    expect((await sql.told()).release).toBe(release);
    await sameNode();
    await sql.rowComes();
  });

  test('after a restore that brings it along, of a service that does not run', async () => {
    const there = ['sql', '-s', 'local'];
    const to = join(lab.folder, 'backups');
    expect(await lab.sovereignJson(['backup', ...there, '--to', to])).toMatchObject({ node: sql.node.name });
    await sql.answers(sql.node.address, 'drop table kept', 'DROP TABLE');
    await lab.sovereignJson(['stop', ...there]);
    expect(await lab.sovereignJson(['restore', ...there, '--with-tailnet', '--yes'])).toMatchObject({
      tailnet: { state: 'running', ...sql.node },
    });
    await sameNode();
    await sql.rowComes();
    // It did not log in.
    expect(await sql.inGuest('ls /run/tailscale')).not.toContain('up.log');
  });

  test(
    `after ${reboots} reboots and ${daemonRestarts} deaths of the daemon, and no second node`,
    { timeout: 3_600_000 },
    async () => {
      while (boots.size <= reboots) {
        await lab.sovereignJson(['restart', 'sql', '-s', 'local']);
        await sameNode();
      }
      await step(`end the daemon ${daemonRestarts} times`, () => sql.inGuest(killDaemon(daemonRestarts)));
      await sameNode();
      await sql.rowComes();
      const names = (await lab.server.nodes()).map(({ given_name: name }) => name);
      expect(names.filter((name) => name.startsWith('sql'))).toHaveLength(1);
      expect(names).toHaveLength(2);
    },
  );
});

/**
 * Ends the daemon so often in the middle of its work, its socket left behind. What waits here starts next to no process:
 * under emulation they would take the time of the daemon.
 */
const killDaemon = (times: number): string => `
pid=/run/tailscale/pid
left=${times}
while [ $left -gt 0 ]; do
  read -r old <$pid
  kill -9 "$old"
  tries=0
  until read -r new <$pid && [ "$new" != "$old" ] && [ -d /proc/$new ]; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1
    sleep 0.1
  done 2>/dev/null
  # At one moment or another of its start, mostly too early to get through to the control server.
  sleep 0.$((left % 5))
  # Every fifth gets through. What was told of the one before is gone since \`run\` began anew.
  tries=0
  until [ $((left % 5)) != 0 ] || { read -r state _ </run/sovereign/state/tailnet && [ "$state" = running ]; }; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1
    sleep 0.1
  done 2>/dev/null
  left=$((left - 1))
done`;

/** Holds what reports the health of the guest, or lets it go on. */
const healthWatch = (signal: 'STOP' | 'CONT'): Promise<string> =>
  sql.inGuest(`read -r _ watch </run/sovereign/helpers && kill -${signal} $watch`);
