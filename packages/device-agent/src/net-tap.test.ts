import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test as base } from 'vitest';
import { commandLine } from './testing/device-folder.ts';
import { Namespace, PhoneNetwork } from './testing/phone-network.ts';

const PATIENT = { timeout: 30_000 };
/** Rounds of starting and stopping everything. */
const ROUNDS = process.env.SOVEREIGN_LONG === '1' ? 100 : 3;
/** An address that only the world beyond the uplinks has. */
const WORLD = '198.51.100.1';

/** What Android's netd keeps on a phone (RouteController.h, and its chains), with two uplinks of which one is the default. */
const rules = `
  rule add pref 10000 fwmark 0xc0000/0xd0000 lookup 99
  rule add pref 16000 fwmark 0x103fd/0x1ffff iif lo lookup 1021
  rule add pref 17000 iif lo oif v4-rmnet0 lookup 1021
  rule add pref 20000 fwmark 0x0/0x10000 lookup 97
  rule add pref 31000 fwmark 0x0/0xffff iif lo lookup 1021
  rule add pref 32000 unreachable
  rule del pref 32766
  rule del pref 32767`;
const chains = `
  -w -N tetherctrl_FORWARD
  -w -A tetherctrl_FORWARD -j DROP
  -w -A FORWARD -j tetherctrl_FORWARD
  -w -A INPUT -m conntrack --ctstate INVALID -j DROP
  -w -t nat -N tetherctrl_nat_POSTROUTING
  -w -t nat -A POSTROUTING -j tetherctrl_nat_POSTROUTING
  -w -t mangle -N tetherctrl_mangle_FORWARD
  -w -t mangle -A FORWARD -j tetherctrl_mangle_FORWARD`;

interface Place {
  network: PhoneNetwork;
  phone: Namespace;
  world: Namespace;
  guest: (index: number) => Promise<Namespace>;
}

const test = base.extend<{ place: Place }>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of what is asked for
  place: async ({}, use) => {
    const network = await PhoneNetwork.create('network tap\n');
    const { phone } = network;
    const world = await Namespace.create();
    const made = [world];
    uplink(phone, world, 'v4-rmnet0', '10.64.0', 1021);
    uplink(phone, world, 'wlan0', '10.65.0', 1022);
    phone.all('ip', rules);
    // As strict as a phone can be about where packets come from.
    phone.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter');
    phone.all('iptables-legacy', chains);
    world.run('ip', 'addr', 'add', `${WORLD}/32`, 'dev', 'lo');
    await world.serve(WORLD, 80, 'world');
    const guest = async (index: number) => {
      const namespace = await Namespace.create();
      made.push(namespace);
      plug(phone, namespace, index);
      return namespace;
    };
    await use({ network, phone, world, guest });
    await network.remove();
    for (const namespace of made) namespace.remove();
  },
});

function uplink(phone: Namespace, world: Namespace, name: string, net: string, table: number): void {
  phone.all('ip', `link add ${name} type veth peer name ${name} netns ${world.pid}`);
  for (const [end, host] of [
    [phone, 2],
    [world, 1],
  ] as const) {
    end.all('ip', `addr add ${net}.${host}/24 dev ${name}\n link set ${name} up`);
  }
  phone.all('ip', `route add default via ${net}.1 dev ${name} table ${table}`);
}

/** A stand-in for a machine behind its TAP device: a namespace on the bridge, with the address that the plan gives it. */
function plug(phone: Namespace, guest: Namespace, index: number): void {
  phone.all(
    'ip',
    `link add guest${index} type veth peer name eth0 netns ${guest.pid}
    link set guest${index} master sov-br0 up`,
  );
  guest.all(
    'ip',
    `addr add 192.168.127.${index}/24 dev eth0
    link set eth0 up
    route add default via 192.168.127.1`,
  );
}

/** What the kernel finds out about a link by itself, some time after it was set up. */
const CARRIER = / linkdown| (?:qdisc|state) \w+|NO-CARRIER,|,LOWER_UP/g;

/** Everything of the phone that mode tap changes, without counters and interface numbers. */
const snapshot = (phone: Namespace): string[] => [
  phone.run('ip', 'rule'),
  phone.run('ip', 'route', 'show', 'table', 'main').replace(CARRIER, ''),
  phone
    .run('ip', 'link')
    .replace(CARRIER, '')
    .replace(/^\d+: /gm, ''),
  phone.run('iptables-legacy-save').replace(/^#.*\n|\[\d+:\d+\]/gm, ''),
  phone.run('cat', '/proc/sys/net/ipv4/ip_forward'),
];

const up = async (network: PhoneNetwork, service: [string, 'a']): Promise<void> => {
  await network.do('net_attach', ...service);
  await network.do('net_publish', ...service);
};

const down = async (network: PhoneNetwork, service: [string, 'a']): Promise<void> => {
  await network.do('net_withdraw', ...service);
  await network.do('net_detach', ...service);
};

describe.concurrent('with mode tap', { timeout: 180_000 }, () => {
  test('a guest reaches the world, the device its published port, and nobody else anything', async ({
    expect,
    place: { network, phone, world, guest },
  }) => {
    await up(network, network.service('sql', 2, ['15432 5432']));
    const sql = await guest(2);
    await sql.serve('0.0.0.0', 5432, 'guest');
    await expect.poll(() => sql.ask(WORLD, 80), PATIENT).toBe('world');
    await expect.poll(() => phone.ask('127.0.0.1', 15432), PATIENT).toBe('guest');
    // A service on the same device meets it; its own firewall decides.
    await up(network, network.service('forge', 4, []));
    const forge = await guest(4);
    await expect.poll(() => forge.ask('192.168.127.2', 5432), PATIENT).toBe('guest');

    // A program of the device is not there for guests, at whatever address.
    await phone.serve('0.0.0.0', 7000, 'device');
    expect(await sql.ask('192.168.127.1', 7000)).toBe('');
    expect(await sql.ask('10.64.0.2', 7000)).toBe('');
    // The published port is the device's own.
    expect(await world.ask('10.64.0.2', 15432)).toBe('');
    world.run('ip', 'route', 'add', '192.168.127.0/24', 'via', '10.64.0.2');
    expect(await world.ask('192.168.127.2', 5432)).toBe('');
  });

  test('the machine finds its TAP device on the bridge, anew at each start', async ({
    expect,
    place: { network, phone },
  }) => {
    const sql = network.service('sql', 2, []);
    await network.do('net_attach', ...sql);
    const first = phone.run('ip', '-o', '-d', 'link', 'show', 'sov-sql');
    expect(first).toMatch(/master sov-br0 .* tun type tap .*vnet_hdr on persist on/);
    await network.do('net_attach', ...sql);
    expect(phone.run('ip', '-o', 'link', 'show', 'sov-sql')).not.toMatch(
      new RegExp(`^${first.split(':')[0] ?? ''}:`),
    );
    await network.do('net_detach', ...sql);
    await network.do('net_detach', ...sql);
    expect(phone.run('ip', '-o', 'link')).not.toContain('sov-sql');
  });

  test('the uplink changes under load, and the guest follows it', async ({
    expect,
    place: { network, phone, world, guest },
  }) => {
    await up(network, network.service('sql', 2, []));
    const sql = await guest(2);
    const heard: string[] = [];
    await network.whileWatched(async () => {
      const loaded = new AbortController();
      const load = (async () => {
        while (!loaded.signal.aborted) heard.push(await sql.ask(WORLD, 80));
      })();
      await expect.poll(() => heard.filter((word) => word === 'world').length, PATIENT).toBeGreaterThan(3);
      // As netd does it: the default network's rule names another table, the old interface goes.
      phone.all(
        'ip',
        `rule add pref 31000 fwmark 0x0/0xffff iif lo lookup 1022
        rule del pref 31000 fwmark 0x0/0xffff iif lo lookup 1021
        link del v4-rmnet0`,
      );
      heard.length = 0;
      await expect.poll(() => heard.slice(-5), PATIENT).toEqual(Array(5).fill('world'));
      loaded.abort();
      await load;
      // A look between two of the changes follows that state first, and the last one at the next look.
      await expect.poll(() => phone.run('ip', 'rule'), PATIENT).not.toMatch(/iif sov-br0 lookup 1021/);
    });
    expect(world.run('ip', '-o', 'link')).not.toContain('v4-rmnet0');
    expect(phone.run('ip', 'rule')).toMatch(/iif sov-br0 lookup 1022/);
  });

  test('guests take the way of a VPN, and none where the phone forbids any other', async ({
    expect,
    place: { network, phone, guest },
  }) => {
    await up(network, network.service('sql', 2, []));
    const sql = await guest(2);
    await network.whileWatched(async () => {
      phone.all(
        'ip',
        `rule add pref 13000 fwmark 0x0/0x20000 iif lo uidrange 0-99999 lookup 1022
        rule add pref 16000 fwmark 0x10064/0x1ffff iif lo lookup 1055`,
      );
      await expect
        .poll(() => phone.run('ip', 'rule'), PATIENT)
        .toMatch(/9001:.* lookup 1022\n9002:.* lookup 97\n/);
      phone.run('ip', 'link', 'del', 'v4-rmnet0');
      await expect.poll(() => sql.ask(WORLD, 80), PATIENT).toBe('world');
      phone.all(
        'ip',
        `rule del pref 13000
        rule add pref 14000 fwmark 0x0/0x20000 uidrange 0-99999 prohibit`,
      );
      await expect.poll(() => phone.run('ip', 'rule'), PATIENT).toMatch(/9001:.* prohibit\n10000:/);
    });
    expect(await sql.ask(WORLD, 80)).toBe('');
  });

  test('what netd, tethering or a killed relay takes away is put back', async ({
    expect,
    place: { network, phone, guest },
  }) => {
    await up(network, network.service('sql', 2, ['15432 5432']));
    const sql = await guest(2);
    await sql.serve('0.0.0.0', 5432, 'guest');
    const complete = snapshot(phone);
    const relays = network.processes().filter((pid) => commandLine(pid).split(' ').includes('15432'));
    expect(relays).toHaveLength(1);
    for (const relay of relays) process.kill(relay, 'SIGKILL');
    phone.all(
      'iptables-legacy',
      '-w -F FORWARD\n -w -A FORWARD -j tetherctrl_FORWARD\n -w -t nat -F sovereign_NAT',
    );
    phone.run('ip', 'rule', 'del', 'pref', '9000');
    phone.run('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward');
    await network.whileWatched(async () => {
      await expect.poll(() => snapshot(phone), PATIENT).toEqual(complete);
      await expect.poll(() => phone.ask('127.0.0.1', 15432), PATIENT).toBe('guest');
    });
    await expect.poll(() => sql.ask(WORLD, 80), PATIENT).toBe('world');
  });

  test(
    'rounds of start and stop leave rules, links, forwarding and processes as they were',
    { timeout: 120_000 + ROUNDS * 20_000 },
    async ({ expect, place: { network, phone } }) => {
      const before = snapshot(phone);
      const processes = network.processes();
      for (let round = 0; round < ROUNDS; round++) {
        const sql = network.service('sql', 2, ['15432 5432', '15022 22']);
        await up(network, sql);
        // A client that hangs on when the service ends.
        const client = phone.spawn('toybox', 'nc', '127.0.0.1', '15432');
        await sleep(100);
        await down(network, sql);
        await network.do('net_down');
        client.kill('SIGKILL');
      }
      expect(snapshot(phone)).toEqual(before);
      await expect.poll(() => network.processes(), PATIENT).toEqual(processes);
    },
  );

  test('down takes back what was left behind, also when nobody remembers it', async ({
    expect,
    place: { network, phone },
  }) => {
    phone.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
    const before = snapshot(phone);
    const sql = network.service('sql', 2, []);
    await up(network, sql);
    phone.all('iptables-legacy', '-w -I FORWARD -j sovereign_FORWARD\n -w -A FORWARD -j sovereign_FORWARD');
    rmSync(join(network.root, 'net/state'), { recursive: true });
    await up(network, sql);
    expect(phone.run('iptables-legacy', '-w', '-S', 'FORWARD').match(/-j sovereign_FORWARD/g)).toHaveLength(
      1,
    );
    rmSync(join(network.root, 'net/state'), { recursive: true });
    phone.run('ip', 'link', 'del', 'sov-br0');
    await network.do('net_down');
    expect(snapshot(phone)).toEqual(before);
  });

  test('a device that uses our subnet itself is told so, and left as it is', async ({
    expect,
    place: { network, phone },
  }) => {
    const sql = network.service('sql', 2, []);
    phone.run('ip', 'addr', 'add', '192.168.127.77/24', 'dev', 'wlan0');
    const before = snapshot(phone);
    const { status, stderr } = await network.call('net_attach', ...sql);
    expect(status).toBe(1);
    expect(stderr).toMatch(/another interface of this device uses 192\.168\.127\.0\/24: .*wlan0/);
    await network.do('net_down');
    expect(snapshot(phone)).toEqual(before);

    // It may join such a network later.
    phone.run('ip', 'addr', 'del', '192.168.127.77/24', 'dev', 'wlan0');
    await network.do('net_attach', ...sql);
    const attention = expect.stringMatching(/another interface/) as string;
    await network.whileWatched(async () => {
      phone.run('ip', 'addr', 'add', '192.168.127.77/24', 'dev', 'wlan0');
      await expect.poll(() => network.status(), PATIENT).toEqual({ network: 'tap', attention });
      phone.run('ip', 'addr', 'del', '192.168.127.77/24', 'dev', 'wlan0');
      await expect.poll(() => network.status(), PATIENT).toEqual({ network: 'tap' });
    });
  });

  test('a port that another program holds is told of, and published when it is free', async ({
    expect,
    place: { network, phone, guest },
  }) => {
    const holder = phone.spawn('toybox', 'nc', '-L', '-s', '127.0.0.1', '-p', '15432', 'true');
    await expect.poll(() => phone.listens(15432), PATIENT).toBe(true);
    await up(network, network.service('sql', 2, ['15432 5432']));
    await (await guest(2)).serve('0.0.0.0', 5432, 'guest');
    expect((await network.status()).attention).toMatch(
      /port 15432 of this device is not published: .*in use/,
    );
    holder.kill('SIGKILL');
    await network.whileWatched(() => expect.poll(() => phone.ask('127.0.0.1', 15432), PATIENT).toBe('guest'));
    expect(await network.status()).toEqual({ network: 'tap' });
  });
});
