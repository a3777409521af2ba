import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { CONFIG_DISK_SIZE, configDisk, type GuestSettings } from './config-disk.ts';
import { guestInterfaces } from './network/guest.ts';

// Programs are run here, on a machine that may have other work.
vi.setConfig({ testTimeout: 60_000 });

const settings: GuestSettings = {
  deviceId: '0b5c6d1e-0000-4000-8000-000000000000',
  service: 'sql',
  dataUuid: '7d2f3a4b-0000-4000-8000-000000000000',
  hostname: 'sql',
  interfaces: [{ address: '10.0.2.15/24', gateway: '10.0.2.2' }, { address: '192.168.127.2/24' }],
  dns: ['10.0.2.3'],
  ntp: [],
  hosts: ['192.168.127.3 vault'],
  hostKey: '-----BEGIN OPENSSH PRIVATE KEY-----\n',
  authorizedKeys: ['ssh-ed25519 AAAA'],
  secrets: { 'postgres-password': "a'b $c" },
  values: { database: 'sql', name: 'two words' },
};

test.for(['tar', 'busybox', 'toybox'])(
  'the disk is a tar that %s reads, private and the same each time',
  async (tool) => {
    const folder = mkdtempSync(join(tmpdir(), 'sovereign-config-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const disk = await configDisk(settings);
    expect(disk).toHaveLength(CONFIG_DISK_SIZE);
    expect((await configDisk(settings)).equals(disk)).toBe(true);
    writeFileSync(join(folder, 'config.img'), disk);
    const command = tool === 'tar' ? ['tar'] : [tool, 'tar'];
    execFileSync(command[0] ?? '', [...command.slice(1), '-xf', 'config.img'], { cwd: folder });
    const read = (name: string) => readFileSync(join(folder, name), 'utf8');
    expect(read('schema')).toBe('1\n');
    expect(JSON.parse(read('device.json'))).toMatchObject({ id: settings.deviceId });
    expect(JSON.parse(read('settings.json'))).toMatchObject({ service: 'sql' });
    expect(read('guest.conf').trim().split('\n')).toEqual([
      `data-uuid ${settings.dataUuid}`,
      'hostname sql',
      'eth0-address 10.0.2.15/24',
      'eth0-gateway 10.0.2.2',
      'eth1-address 192.168.127.2/24',
      'dns 10.0.2.3',
      'setting database sql',
      'setting name two words',
    ]);
    expect(read('hosts')).toBe('192.168.127.3 vault\n');
    expect(read('ssh/host_ed25519_key')).toBe(settings.hostKey);
    expect(read('ssh/authorized_keys')).toBe('ssh-ed25519 AAAA\n');
    expect(read('secrets/postgres-password')).toBe("a'b $c\n");
    expect(statSync(join(folder, 'secrets/postgres-password')).mode & 0o777).toBe(0o600);
  },
);

test.for([
  ['tap', ['eth0-mac 52:53:56:00:00:02', 'eth0-address 192.168.127.2/24', 'eth0-gateway 192.168.127.1']],
  [
    'vsock',
    [
      'eth0-mac 52:53:56:00:00:02',
      'eth0-address 192.168.127.2/24',
      'eth0-gateway 192.168.127.1',
      'eth0-vsock 1024',
      'eth0-mtu 4000',
    ],
  ],
] as const)('a guest in mode %s is told its hardware address', async ([mode, expected]) => {
  const interfaces = guestInterfaces(mode, { net: { index: 2 } });
  const disk = (await configDisk({ ...settings, interfaces })).toString();
  expect(disk.split('\n').filter((line) => line.startsWith('eth0-'))).toEqual(expected);
});

test('settings that do not fit are refused', async () => {
  const secrets = { large: 'x'.repeat(CONFIG_DISK_SIZE) };
  await expect(configDisk({ ...settings, secrets })).rejects.toMatchObject({ code: 'config-too-large' });
});
