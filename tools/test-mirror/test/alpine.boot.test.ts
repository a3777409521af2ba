import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseOf, runChecks } from '@sovereign/checks';
import { execInGuest, localDevice, readBundle, type Bundle, type Device } from '@sovereign/device';
import { readManifest, type FoundService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { makeTestMirror, type TestMirror } from '../src/index.ts';
import { buildCopy, bundleWith, loadSql, useMirror } from './images.ts';

const scratch = mkdtempSync(join(tmpdir(), 'sovereign-alpine-'));
const dist = join(import.meta.dirname, '../dist');
mkdirSync(dist, { recursive: true });
/** Copies of the service's folder, from where its imports are found. */
const copies = mkdtempSync(join(dist, 'copies-'));
const copy = join(copies, 'rootfs-sql');
const devices: Device[] = [];
let mirror: TestMirror;
let service: FoundService;
let alpine: Bundle;
let debian: Bundle;

beforeAll(async () => {
  vi.stubEnv('XDG_CONFIG_HOME', join(scratch, 'config'));
  mirror = await makeTestMirror();
  useMirror(mirror);
  service = await loadSql();
  await buildCopy(service, 'alpine', copy);
  alpine = await bundleWith(service, copy);
  debian = await readBundle(workspaceRoot(), service);
  if (debian.release.base !== 'debian') {
    await buildCopy(service, 'debian', join(copies, 'debian'));
    debian = await bundleWith(service, join(copies, 'debian'));
  }
}, 600_000);

afterAll(async () => {
  for (const device of devices) await device.stop(service.definition, 60);
  await mirror.close();
  vi.unstubAllEnvs();
  for (const folder of [scratch, copies]) rmSync(folder, { recursive: true, force: true });
});

function newDevice(): Device {
  const device = localDevice(join(scratch, `device-${devices.length}`));
  devices.push(device);
  return device;
}

/** Deploys, starts and waits until it serves, past its trial where it is one. */
async function up(device: Device, bundle: Bundle): Promise<void> {
  await device.deploy(bundle);
  await device.start(service.definition);
  await device.waitHealthy(service.definition, 240);
}

const query = (device: Device, sql: string) => databaseOf(device, service.definition).query(sql);

/** Leaves rows that an index sorts: the order would differ where the bases disagreed on a collation. */
async function writeRows(device: Device): Promise<void> {
  await query(device, 'create table words (word text primary key)');
  await query(device, "insert into words values ('zebra'), ('Ähre'), ('apfel'), ('Zoo'), ('öl'), ('_')");
}

async function expectRows(device: Device): Promise<void> {
  const sorted = ['Zoo', '_', 'apfel', 'zebra', 'Ähre', 'öl'].map((word) => ({ word }));
  expect(await query(device, 'select word from words order by word')).toEqual(sorted);
  // Reads the index, and compares its order with the rows.
  await query(device, 'create extension if not exists amcheck');
  await query(device, "select bt_index_check('words_pkey', true)");
}

async function inGuest(device: Device, script: string): Promise<string> {
  const { status, stdout, stderr } = await execInGuest(await device.ssh(service.definition), [
    'sh',
    '-c',
    script,
  ]);
  if (status !== 0) throw new Error(`${script}: exit ${status}: ${stdout}${stderr}`);
  return stdout;
}

test('locked and built in another folder, the lock, the image and what is told of it are the same bytes', async () => {
  vi.stubEnv('TZ', 'Pacific/Kiritimati');
  const other = join(copies, 'a folder of another name');
  await buildCopy(service, 'alpine', other);
  expect(await readManifest(join(other, 'dist'), 'root')).toEqual(
    await readManifest(join(copy, 'dist'), 'root'),
  );
  const lock = (folder: string) => readFile(join(folder, 'alpine.local.lock.json'), 'utf8');
  expect(await lock(other)).toBe(await lock(copy));
});

test('the service’s own test of an image’s contents and its bill of materials holds of it', async () => {
  const args = [
    'run',
    '--config',
    join(workspaceRoot(), 'vitest.boot.config.ts'),
    'test/contents.boot.test.ts',
  ];
  const vitest = join(workspaceRoot(), 'node_modules/.bin/vitest');
  const { exitCode, all } = await execa(vitest, args, { cwd: copy, all: true, reject: false });
  expect(exitCode, all).toBe(0);
});

test('a machine made of it starts, and every live check passes', async () => {
  const device = newDevice();
  await up(device, alpine);
  expect(await inGuest(device, 'cat /etc/alpine-release')).toBe('3.24.1\n');
  expect(await inGuest(device, 'readlink /proc/$(head -n 1 /data/postgresql/17/postmaster.pid)/exe')).toBe(
    '/usr/libexec/postgresql17/postgres\n',
  );
  const results = await runChecks(device, service.definition);
  // A machine without a name server may skip the look-up, a device in no tailnet what is asked of that; nothing else.
  const bad = results.filter(
    ({ name, result }) =>
      result === 'fail' || (result === 'skip' && !/^(network\.lookup|tailnet\..*)$/.test(name)),
  );
  expect(bad).toEqual([]);
});

test('its dependency cache is what OpenRC itself computes', async () => {
  const [device] = devices;
  if (device === undefined) throw new Error('no device');
  const saved = await inGuest(device, 'cat /usr/libexec/rc/cache/deptree');
  const computed = await inGuest(
    device,
    'cp -p /run/openrc/deptree /run/kept; /usr/libexec/rc/bin/rc-depend --update >/dev/null; cat /run/openrc/deptree; mv /run/kept /run/openrc/deptree',
  );
  expect(computed).toBe(saved);
});

test('a data disk that it made opens with the Debian base', async () => {
  const [device] = devices;
  if (device === undefined) throw new Error('no device');
  await writeRows(device);
  await up(device, debian);
  expect(
    await inGuest(device, 'cat /etc/debian_version 2>/dev/null; grep ^base /etc/sovereign/service.conf'),
  ).toContain('base debian');
  expect(await inGuest(device, 'grep base /data/sovereign.json')).toContain('"alpine"');
  await expectRows(device);
  await device.stop(service.definition, 60);
});

test('a data disk that the Debian base made opens with it', async () => {
  const device = newDevice();
  await up(device, debian);
  await writeRows(device);
  await up(device, alpine);
  expect(await inGuest(device, 'grep ^base /etc/sovereign/service.conf')).toBe('base alpine\n');
  expect(await inGuest(device, 'grep base /data/sovereign.json')).toContain('"debian"');
  await expectRows(device);
});
