import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { databaseOf, runChecks } from '@sovereign/checks';
import { execInGuest, localDevice, readBundle, selectDevice, type Device } from '@sovereign/device';
import { loadService, type FoundService, type ServiceDefinition } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { Phone } from 'virtual-phone/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { debianPackages, makeTestMirror, standInPrograms, type TestMirror } from '../src/index.ts';
import { buildCopy, bundleWith, loadSql, useMirror } from './images.ts';
import { expectSecretsInTheirPlaces } from './planted.ts';

/** Vaultwarden and Forgejo as stand-ins (docs/test-mirror.md): what is real are their images, scripts and machines. */
const scratch = mkdtempSync(join(tmpdir(), 'sovereign-services-'));
const device: Device = localDevice(join(scratch, 'device'));
const copies = join(import.meta.dirname, '../dist/services');
const started: [device: Device, service: ServiceDefinition][] = [];
// Each test makes an image before it starts a machine.
vi.setConfig({ testTimeout: 600_000 });
let mirror: TestMirror;
let phone: Phone | undefined;

beforeAll(async () => {
  vi.stubEnv('XDG_CONFIG_HOME', join(scratch, 'config'));
  mirror = await makeTestMirror({ packages: [...(await debianPackages()), ...(await standInPrograms())] });
  useMirror(mirror);
}, 600_000);

afterAll(async () => {
  for (const [on, service] of started.toReversed()) await on.stop(service, 60);
  await phone?.stop();
  await mirror.close();
  vi.unstubAllEnvs();
  for (const folder of [scratch, copies]) rmSync(folder, { recursive: true, force: true });
});

async function up(project: string): Promise<{ service: FoundService; at: (port: string) => string }> {
  const service = await loadService(join(workspaceRoot(), 'packages', project));
  started.push([device, service.definition]);
  const copy = join(copies, project);
  await buildCopy(service, 'alpine', copy);
  await device.deploy(await bundleWith(service, copy));
  await device.start(service.definition);
  await device.waitHealthy(service.definition, 300);
  const [status] = await device.status([service.definition]);
  const at = (port: string) => status?.endpoints.find(({ name }) => name === port)?.url ?? '';
  return { service, at };
}

async function inGuest({ definition }: FoundService, script: string): Promise<string> {
  const { status, stdout, stderr } = await execInGuest(await device.ssh(definition), ['sh', '-c', script]);
  if (status !== 0) throw new Error(`${script}: exit ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** What `sovereign test` finds wrong. No name outside is looked up: there is no outside. */
async function wrong({ definition }: FoundService): Promise<string[]> {
  const results = await runChecks(device, definition);
  return results.filter(({ result }) => result === 'fail').map(({ name, detail }) => `${name}: ${detail}`);
}

const everything = 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/cmdline; dmesg';

test('Vaultwarden is healthy, closed to strangers, and has no more of its admin token than a hash', async () => {
  const { service, at } = await up('rootfs-vaultwarden');
  expect(await (await fetch(at('web'))).text()).toContain('<html');
  const register = `${at('web')}identity/accounts/register/send-verification-email`;
  expect((await fetch(register, { method: 'POST' })).status).toBe(400);
  const may = async (email: string) => {
    const headers = { 'content-type': 'application/json' };
    return (await fetch(register, { method: 'POST', headers, body: JSON.stringify({ email }) })).ok;
  };
  expect(await device.invite(service.definition, 'owner@example.org')).toBe(true);
  expect(await device.invite(service.definition, 'owner@example.org')).toBe(false);
  expect(await device.invited(service.definition)).toBe('owner@example.org');
  expect(await Promise.all(['owner@example.org', 'stranger@example.org'].map(may))).toEqual([true, false]);
  const token = await device.secret(service.definition, 'admin-token');
  expect(await inGuest(service, 'cat /run/vaultwarden/admin-token')).toMatch(/^\$argon2id\$v=19\$/);
  expect(await inGuest(service, everything)).not.toContain('$argon2id');
  expect(await inGuest(service, 'cat /run/sovereign/config/secrets/*')).not.toContain(token);
  expect(await inGuest(service, 'stat -c "%U %a" /data/vaultwarden /run/vaultwarden')).toBe(
    'vaultwarden 700\nvaultwarden 700\n',
  );
  expect(await wrong(service)).toEqual([]);
  await device.stop(service.definition, 60);
});

test('Forgejo is healthy, closed to strangers, and its first administrator pushes and pulls over HTTP and SSH', async () => {
  const { service, at } = await up('rootfs-forgejo');
  const password = await device.secret(service.definition, 'admin-password');
  const authorization = basic(password);
  const who = await fetch(`${at('web')}api/v1/user`, { headers: { authorization } });
  expect(await who.json()).toMatchObject({ login: 'owner', is_admin: true });
  expect(await (await fetch(`${at('web')}user/sign_up`)).text()).toContain('Registration is disabled');
  expect(await inGuest(service, everything)).not.toContain(password);
  expect(await inGuest(service, 'ls /data/forgejo/keys')).toBe(
    'internal-token\nlfs-jwt\noauth2-jwt\nsecret-key\nssh_host\n',
  );
  // Tokens that were made to set the password are gone.
  expect(await inGuest(service, 'cat /data/forgejo/data/forgejo.db')).toContain('"Tokens":{}');

  expect(await wrong(service)).toEqual([]);
  await expectGit(service, at, password);
  await device.stop(service.definition, 60);
});

async function allServe(on: Device, services: readonly ServiceDefinition[]): Promise<void> {
  for (const definition of services) await on.waitHealthy(definition, 300);
}

/** Starts all three, two of which keep their data on the third; gives them in the order of their start. */
async function upAll(on: Device): Promise<ServiceDefinition[]> {
  const sql = await loadSql();
  const others = await Promise.all(
    ['rootfs-vaultwarden', 'rootfs-forgejo'].map((name) =>
      loadService(join(workspaceRoot(), 'packages', name)),
    ),
  );
  // The device is known from its first deploy on.
  await on.deploy(await readBundle(workspaceRoot(), sql), { consent: true });
  for (const service of others) {
    await on.changeSettings(service.definition, { database: 'sql' });
    await on.deploy(await bundleWith(service, join(copies, basename(service.folder))));
  }
  const all = [...others, sql].map(({ definition }) => definition);
  const ordered = await on.startOrder(all, all);
  expect(ordered[0]).toBe(sql.definition);
  for (const definition of ordered) {
    started.push([on, definition]);
    await on.start(definition);
    await on.waitHealthy(definition, 300);
  }
  await allServe(on, ordered);
  for (const { name, memory } of await on.status(all)) expect(memory?.held, name).toBeGreaterThan(0);
  const names = await databaseOf(on, sql.definition).query('select datname from pg_database');
  expect(names.map(({ datname }) => datname)).toEqual(expect.arrayContaining(['vaultwarden', 'forgejo']));
  return ordered;
}

test('all three serve on one device, two of them from the third’s database, also after every secret was rotated', async () => {
  const three = localDevice(join(scratch, 'three'));
  const ordered = await upAll(three);
  for (const definition of ordered) {
    expect((await three.secrets.rotate(definition)).rotated, definition.name).not.toEqual([]);
    await allServe(three, ordered);
  }
  // The next test has them on a phone, and this machine has two cores.
  for (const definition of ordered.toReversed()) await three.stop(definition, 60);
});

test('all three serve on a phone, and are back after its restart without the workstation', async () => {
  phone = await Phone.start('services-test');
  const device = await selectDevice({ serial: phone.serial });
  const ordered = await upAll(device);
  await phone.run('reboot');
  // Stopped at first: the boot hook is not waited for.
  const healthy = async () => (await device.status(ordered)).map((status) => status.healthy);
  await expect.poll(healthy, { timeout: 300_000, interval: 1_000 }).toEqual([true, true, true]);
  await expectSecretsInTheirPlaces(phone, device, ordered, (await loadSql()).definition, 'postgres-password');
});

/** The credentials of the first administrator. */
const basic = (password: string) => `Basic ${Buffer.from(`owner:${password}`).toString('base64')}`;

/** A real git pushes and pulls over both of Forgejo's ports, as its owner and as nobody else. */
async function expectGit(
  service: FoundService,
  at: (port: string) => string,
  password: string,
): Promise<void> {
  const { definition } = service;
  const authorization = basic(password);
  const create = (path: string, body: Record<string, string>) =>
    fetch(`${at('web')}api/v1/user/${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const work = join(scratch, 'git');
  const identity = join(scratch, 'identity');
  mkdirSync(work);
  writeFileSync(join(scratch, 'askpass'), '#!/bin/sh\necho "$ASKED"\n', { mode: 0o755 });
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identity]);
  expect((await create('repos', { name: 'code' })).status).toBe(201);
  expect(
    (await create('keys', { title: 'a key', key: readFileSync(`${identity}.pub`, 'utf8') })).status,
  ).toBe(201);
  const ssh = (key: string) =>
    `ssh -F none -i '${key}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new ` +
    `-o UserKnownHostsFile='${join(scratch, 'known-hosts')}'`;
  const git = (cwd: string, args: string[], { asked = password, key = identity } = {}) =>
    execa('git', ['-c', 'user.name=Owner', '-c', 'user.email=owner@example.org', ...args], {
      cwd,
      env: {
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_ASKPASS: join(scratch, 'askpass'),
        GIT_SSH_COMMAND: ssh(key),
        ASKED: asked,
      },
    });
  const http = `${at('web').replace('//', '//owner@')}owner/code.git`;
  const overSsh = `${at('git').replace(/\/$/, '')}/owner/code.git`;
  const here = join(work, 'here');
  const there = join(work, 'there');
  await git(work, ['init', '--quiet', '--initial-branch=main', here]);
  writeFileSync(join(here, 'code'), 'one\n');
  writeFileSync(join(here, 'blob'), randomBytes(300_000));
  await git(here, ['add', '.']);
  await git(here, ['commit', '--quiet', '--message', 'one']);
  await git(here, ['push', '--quiet', http, 'main']);
  await git(work, ['clone', '--quiet', overSsh, there]);
  writeFileSync(join(there, 'code'), 'two\n');
  await git(there, ['commit', '--quiet', '--all', '--message', 'two']);
  await git(there, ['push', '--quiet']);
  await git(here, ['pull', '--quiet', http, 'main']);
  expect(readFileSync(join(here, 'code'), 'utf8')).toBe('two\n');
  const stranger = join(scratch, 'stranger');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
  await expect(git(work, ['ls-remote', http], { asked: 'wrong' })).rejects.toThrow(/Authentication failed/);
  await expect(git(work, ['ls-remote', overSsh], { key: stranger })).rejects.toThrow(/Permission denied/);
  // After a restart it is the same host, and has all that was pushed. With a second factor the password alone opens
  // nothing, and the start has to do without.
  const secondFactor = (before: boolean, after: boolean) =>
    inGuest(
      service,
      `sed -i 's/"SecondFactor":${before}/"SecondFactor":${after}/' /data/forgejo/data/forgejo.db && grep -c '"SecondFactor":${after}' /data/forgejo/data/forgejo.db`,
    );
  expect(await secondFactor(false, true)).toBe('1\n');
  await device.stop(definition, 60);
  await device.start(definition);
  await device.waitHealthy(definition, 300);
  const { status } = await fetch(`${at('web')}api/v1/user`, { headers: { authorization } });
  expect(status).toBe(401);
  expect(await secondFactor(true, false)).toBe('1\n');
  const { stdout: head } = await git(there, ['rev-parse', 'HEAD']);
  for (const address of [http, overSsh]) {
    expect((await git(work, ['ls-remote', address])).stdout).toContain(`${head}\trefs/heads/main`);
  }
}
