import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineService, guestAddress } from '@sovereign/service';
import { expect, test, vi } from 'vitest';
import { readConfigDisk } from './config-disk.ts';
import type { Bundle } from './contract.ts';
import { definition, Workstation } from './testing/workstation.ts';

// Each test runs the real launcher, on a machine that may have other work.
vi.setConfig({ testTimeout: 180_000 });

const vault = defineService({
  ...definition,
  name: 'vault',
  net: { index: 192 },
  ports: [],
  secrets: [{ name: 'database-password', make: 'password', description: 'of its role' }],
  settings: [
    { name: 'database', kind: 'text', choices: ['sqlite', 'sql'], default: 'sqlite', description: 'where' },
  ],
  needs: [
    {
      service: 'sql',
      when: { setting: 'database', is: 'sql' },
      database: { name: 'vault', secret: 'database-password' },
    },
  ],
});

const neighbour = (of: typeof definition): Bundle['neighbours'] => [
  { name: of.name, address: guestAddress(of), definition: of },
];

async function bundles(workstation: Workstation): Promise<{ sql: Bundle; client: Bundle }> {
  const sql = await workstation.bundle('healthy');
  return {
    sql: { ...sql, neighbours: neighbour(vault) },
    client: { ...sql, definition: vault, neighbours: neighbour(definition) },
  };
}

const filesOf = async ({ root }: Workstation, service: string): Promise<Map<string, string>> =>
  readConfigDisk(readFileSync(join(root, 'services', service, 'config.img')));

const databases = (files: Map<string, string>): string[] =>
  [...files.keys()].filter((name) => name.startsWith('databases/'));

test('a service that others need learns of their databases, whichever is deployed first', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const { sql, client } = await bundles(workstation);
  await device.changeSettings(vault, { database: 'sql' });
  await device.deploy(sql);
  // Nobody has a database for a service that is not there.
  expect(databases(await filesOf(workstation, 'sql'))).toEqual([]);
  await device.deploy(client);
  const files = await filesOf(workstation, 'sql');
  const password = await device.secret(vault, 'database-password');
  expect(files.get('databases/vault')).toBe(`${password}\n`);
  expect((await filesOf(workstation, 'vault')).get('secrets/database-password')).toBe(`${password}\n`);

  const before = readFileSync(join(workstation.root, 'services/sql/config.img'));
  await device.deploy(sql);
  expect(readFileSync(join(workstation.root, 'services/sql/config.img')).equals(before)).toBe(true);
});

test('a service that runs starts anew when another gets a database there, and only then', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const { sql, client } = await bundles(workstation);
  const pid = async () => (await device.status([definition]))[0]?.pid;
  await device.deploy(sql);
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const first = await pid();
  await device.deploy(client);
  expect(await pid()).toBe(first);

  await device.changeSettings(vault, { database: 'sql' });
  await device.deploy(client);
  await device.waitHealthy(definition, 60);
  const second = await pid();
  expect(second).not.toBe(first);
  await device.deploy(client);
  expect(await pid()).toBe(second);

  await device.changeSettings(vault, { database: undefined });
  await device.deploy(client);
  expect(databases(await filesOf(workstation, 'sql'))).toEqual([]);
  expect(await pid()).toBe(second);
});

test('a service that runs starts anew when its own settings are others', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const bundle = await workstation.bundle('healthy', { settings: vault.settings });
  await device.deploy(bundle);
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const [before] = await device.status([definition]);
  await device.changeSettings(bundle.definition, { database: 'sql' });
  await device.deploy(bundle);
  await device.waitHealthy(definition, 60);
  expect((await filesOf(workstation, 'sql')).get('guest.conf')).toContain('setting database sql\n');
  expect((await device.status([definition]))[0]?.pid).not.toBe(before?.pid);
});
