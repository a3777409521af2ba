import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test as base } from 'vitest';
import { commandLine, ended, signal } from './testing/device-folder.ts';
import { PhoneNetwork } from './testing/phone-network.ts';

const PATIENT = { timeout: 30_000 };

const test = base.extend<{ make: (mode: 'vsock' | 'tap') => Promise<PhoneNetwork> }>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of what is asked for
  make: async ({}, use) => {
    const made: PhoneNetwork[] = [];
    await use(async (mode) => {
      const network = await (mode === 'vsock' ? PhoneNetwork.vsock() : PhoneNetwork.create('network tap\n'));
      made.push(network);
      return network;
    });
    for (const network of made) await network.remove();
  },
});

/** Every `NAME KEY VALUE` line of the launcher's status. */
async function status(network: PhoneNetwork): Promise<Record<string, string>> {
  const { stdout } = await network.launch('status', network.root);
  return Object.fromEntries(
    stdout.split('\n').map((line) => /^(\S+ \S+) (.*)$/.exec(line)?.slice(1) ?? ['', '']),
  ) as Record<string, string>;
}

const snapshot = (network: PhoneNetwork): string[] => [
  network.phone.run('ip', 'rule'),
  network.phone.run('ip', '-o', 'link').replace(/^\d+: /gm, ''),
  network.phone.run('iptables-legacy-save').replace(/^#.*\n|\[\d+:\d+\]/gm, ''),
  network.phone.run('cat', '/proc/sys/net/ipv4/ip_forward'),
];

describe.concurrent.for(['vsock', 'tap'] as const)('a service in mode %s', { timeout: 120_000 }, (mode) => {
  test('brings its network with it, and takes it away when it stops', async ({ expect, make }) => {
    const network = await make(mode);
    for (const table of ['filter', 'nat', 'mangle'])
      network.phone.run('iptables-legacy', '-w', '-t', table, '-S');
    const before = snapshot(network);
    network.service('sql', 2, ['15432 5432']);
    expect(await network.launch('start', network.root, 'sql')).toMatchObject({ status: 0, stderr: '' });
    await expect
      .poll(() => status(network), PATIENT)
      .toMatchObject({ 'sql state': 'running', '- network': mode });
    // A gvproxy that takes its time is told of, and asked again.
    await expect.poll(() => status(network), PATIENT).not.toHaveProperty('- attention');
    // Which is no longer told before it was asked again.
    await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);

    expect(await network.launch('stop', network.root, 'sql', '5')).toMatchObject({ status: 0, stderr: '' });
    await expect.poll(() => network.processes(), PATIENT).toEqual([]);
    expect(snapshot(network)).toEqual(before);
  });

  test('is reachable again after everything was killed, also without its launcher’s help', async ({
    expect,
    make,
  }) => {
    const network = await make(mode);
    network.service('sql', 2, ['15432 5432']);
    await network.launch('start', network.root, 'sql');
    await expect.poll(() => status(network), PATIENT).toMatchObject({ 'sql state': 'running' });
    // The keeper and the supervisor live: what carries the network is killed.
    const carriers = network.processes().filter((pid) => {
      const words = commandLine(pid).split(' ');
      return words.includes('15432') || words.includes('gvproxy.yaml');
    });
    for (const pid of carriers) signal(pid, 'SIGKILL');
    await ended(carriers);
    await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
    // Again and again: one of them may have started another a moment before.
    const killAll = () => {
      const running = network.processes();
      for (const pid of running) signal(pid, 'SIGKILL');
      return running;
    };
    await expect.poll(killAll, PATIENT).toEqual([]);
    expect(await network.launch('boot', network.root)).toMatchObject({ status: 0, stderr: '' });
    await expect.poll(() => status(network), PATIENT).toMatchObject({ 'sql state': 'running' });
    await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
    await network.launch('remove', network.root);
    await expect.poll(() => network.processes(), PATIENT).toEqual([]);
  });
});

test(
  'a release on trial that was made for another network is taken back, and says why',
  { timeout: 120_000 },
  async ({ expect, make }) => {
    const network = await make('tap');
    const [folder] = network.service('sql', 2, []);
    cpSync(join(folder, 'a'), join(folder, 'b'), { recursive: true });
    const plan = join(folder, 'b', 'launch');
    writeFileSync(plan, readFileSync(plan, 'utf8').replace(/^tap .*\n/m, ''));
    writeFileSync(join(folder, 'trial'), 'b 0 - 0\n');
    await network.launch('start', network.root, 'sql');
    await expect
      .poll(() => status(network), PATIENT)
      .toMatchObject({
        'sql state': 'running',
        'sql slot': 'a',
        'sql attention': expect.stringMatching(
          /taken back: no network for the guest: sql was deployed for the network vsock/,
        ) as string,
      });
    await network.launch('stop', network.root, 'sql', '5');
  },
);

test(
  'a service whose TAP device cannot be made does not start, and says why',
  { timeout: 60_000 },
  async ({ expect, make }) => {
    const network = await make('tap');
    network.phone.run('ip', 'link', 'add', 'wlan0', 'type', 'veth');
    network.phone.run('ip', 'addr', 'add', '192.168.127.77/24', 'dev', 'wlan0');
    network.service('sql', 2, []);
    const { status: exit, stderr } = await network.launch('start', network.root, 'sql');
    expect(exit).toBe(1);
    expect(stderr).toMatch(/another interface of this device uses 192\.168\.127\.0\/24/);
    await network.launch('stop', network.root, 'sql', '5');
  },
);
