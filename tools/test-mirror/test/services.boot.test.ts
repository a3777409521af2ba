import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runChecks } from '@sovereign/checks';
import { execInGuest, localDevice, type Device } from '@sovereign/device';
import { loadService, type FoundService } from '@sovereign/service';
import { canonicalJson, workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { debianPackages, makeTestMirror, standInPrograms, type TestMirror } from '../src/index.ts';
import { expectLfs, git, type GitUser } from './git.ts';
import { buildCopy, bundleWith, useMirror } from './images.ts';

/** Vaultwarden and Forgejo as stand-ins (docs/test-mirror.md): what is real are their images, scripts and machines. */
const scratch = mkdtempSync(join(tmpdir(), 'sovereign-services-'));
const device: Device = localDevice(join(scratch, 'device'));
const copies = join(import.meta.dirname, '../dist/services');
const started: FoundService[] = [];
// Each test makes an image before it starts a machine.
vi.setConfig({ testTimeout: 600_000 });
let mirror: TestMirror;

beforeAll(async () => {
  vi.stubEnv('XDG_CONFIG_HOME', join(scratch, 'config'));
  mkdirSync(join(scratch, 'device'));
  writeFileSync(
    join(scratch, 'device/ports.json'),
    canonicalJson({ schema: 1, services: await otherPorts() }),
  );
  mirror = await makeTestMirror({ packages: [...(await debianPackages()), ...(await standInPrograms())] });
  useMirror(mirror);
}, 600_000);

afterAll(async () => {
  for (const { definition } of started) await device.stop(definition, 60);
  await mirror.close();
  vi.unstubAllEnvs();
  for (const folder of [scratch, copies]) rmSync(folder, { recursive: true, force: true });
});

/**
 * Other ports than the usual ones, as if the services had had them before: all.boot.test.ts runs at the same time, and each
 * would take the other's while a machine is down.
 */
async function otherPorts(): Promise<Record<string, Record<string, number>>> {
  const projects = ['rootfs-vaultwarden', 'rootfs-forgejo'].map((name) =>
    join(workspaceRoot(), 'packages', name),
  );
  const found = await Promise.all(projects.map(loadService));
  return Object.fromEntries(
    found.map(({ definition: { name, ports, net } }) => {
      const others = ports.map((port) => [port.name, port.host + 1000] as const);
      return [name, { ...Object.fromEntries(others), ssh: 13_200 + net.index }];
    }),
  );
}

async function up(project: string): Promise<{ service: FoundService; at: (port: string) => string }> {
  const service = await loadService(join(workspaceRoot(), 'packages', project));
  started.push(service);
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
  expect(await accounts(service, "SELECT content -> '$.Tokens' FROM user WHERE name = 'owner'")).toBe('{}\n');

  expect(await wrong(service)).toEqual([]);
  await expectHealthByGit(service);
  await expectGit(service, at, password);
  await device.stop(service.definition, 60);
});

/** The health is that of a real git in the machine, and of an account that nobody has to look after. */
async function expectHealthByGit(service: FoundService): Promise<void> {
  const told = () => inGuest(service, 'cat /run/sovereign/state/health');
  const ask = (script: string) => inGuest(service, `${script}; /usr/lib/sovereign/forgejo git || :`);
  const token = () => inGuest(service, 'cat /data/forgejo/health/token');
  const first = await token();
  expect(await inGuest(service, 'stat -c "%U %a" /data/forgejo/health /data/forgejo/health/*')).toBe(
    `forgejo 700\n${'forgejo 600\n'.repeat(3)}`,
  );

  // What Forgejo knows and does not serve is ill.
  const repository = '/data/forgejo/data/forgejo-repositories/sovereign-health/health.git';
  const ill = /^git over HTTP: fatal: .+; git over SSH: .+\n$/;
  expect(await ask(`mv ${repository} /data/forgejo/away`)).toMatch(ill);
  await expect.poll(told).toMatch(/^bad git over HTTP: fatal: .+; git over SSH: .+/);
  expect(await ask(`mv /data/forgejo/away ${repository}`)).toBe('');
  await expect.poll(told).toBe('ok\n');
  expect(await token()).toBe(first);

  // What its owner has deleted is made anew, and no argument and no environment holds what opens it.
  const forgejo = 'forgejo --config /run/forgejo/app.ini --work-path /data/forgejo';
  const remove = `su -s /bin/sh forgejo -c '${forgejo} admin user delete --username sovereign-health --purge'`;
  const seen = await inGuest(
    service,
    `${remove} && { /usr/lib/sovereign/forgejo git; echo "asked: $?" >/run/asked; } &
until [ -e /run/asked ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; done; cat /run/asked`,
  );
  expect(seen).toContain('ls-remote');
  expect(seen).toMatch(/asked: 0\n$/);
  const second = await token();
  expect(second).not.toBe(first);
  for (const secret of [first, second]) expect(seen).not.toContain(secret.trim());
  await expect.poll(told).toBe('ok\n');
}

/** Asks, or changes, what the stand-in's database says. */
const accounts = (service: FoundService, statements: string): Promise<string> =>
  inGuest(
    service,
    `sqlite3 -cmd '.timeout 10000' /data/forgejo/data/forgejo.db <<'end'\n${statements};\nend`,
  );

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
  const key = join(scratch, 'identity');
  mkdirSync(work);
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  for (const name of ['code', 'large']) expect((await create('repos', { name })).status).toBe(201);
  expect((await create('keys', { title: 'a key', key: readFileSync(`${key}.pub`, 'utf8') })).status).toBe(
    201,
  );
  const owner: GitUser = { scratch, password, key };
  const own = (cwd: string, ...args: string[]) => git(owner, cwd, ...args);
  const http = (name: string) => `${at('web').replace('//', '//owner@')}owner/${name}.git`;
  const overSsh = (name: string) => `${at('git').replace(/\/$/, '')}/owner/${name}.git`;
  const here = join(work, 'here');
  const there = join(work, 'there');
  await own(work, 'init', '--quiet', '--initial-branch=main', here);
  writeFileSync(join(here, 'code'), 'one\n');
  writeFileSync(join(here, 'blob'), randomBytes(300_000));
  await own(here, 'add', '.');
  await own(here, 'commit', '--quiet', '--message', 'one');
  await own(here, 'push', '--quiet', http('code'), 'main');
  await own(work, 'clone', '--quiet', overSsh('code'), there);
  writeFileSync(join(there, 'code'), 'two\n');
  await own(there, 'commit', '--quiet', '--all', '--message', 'two');
  await own(there, 'push', '--quiet');
  await own(here, 'pull', '--quiet', http('code'), 'main');
  expect(readFileSync(join(here, 'code'), 'utf8')).toBe('two\n');
  const stranger = join(scratch, 'stranger');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
  await expect(git({ ...owner, password: 'wrong' }, work, 'ls-remote', http('code'))).rejects.toThrow(
    /Authentication failed/,
  );
  await expect(git({ ...owner, key: stranger }, work, 'ls-remote', overSsh('code'))).rejects.toThrow(
    /Permission denied/,
  );
  // Large files go where the address of the service leads: the port is another one where the usual one was taken.
  await device.changeSettings(definition, { url: at('web') });
  await device.applySettings(definition);
  await device.waitHealthy(definition, 300);
  await expectLfs(owner, http('large'), overSsh('large'));
  // After a restart it is the same host, and has all that was pushed. With a second factor the password alone opens
  // nothing, and the start has to do without.
  const secondFactor = (before: boolean, after: boolean) =>
    accounts(
      service,
      `UPDATE user SET content = json_set(content, '$.SecondFactor', json('${after}'))
       WHERE name = 'owner' AND content ->> '$.SecondFactor' = ${before}; SELECT changes()`,
    );
  expect(await secondFactor(false, true)).toBe('1\n');
  await device.stop(definition, 60);
  await device.start(definition);
  await device.waitHealthy(definition, 300);
  const { status } = await fetch(`${at('web')}api/v1/user`, { headers: { authorization } });
  expect(status).toBe(401);
  expect(await secondFactor(true, false)).toBe('1\n');
  const head = await own(there, 'rev-parse', 'HEAD');
  for (const address of [http('code'), overSsh('code')]) {
    expect(await own(work, 'ls-remote', address)).toContain(`${head}\trefs/heads/main`);
  }
}
