import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInGuest, localDevice, readBundle, type Bundle, type Device } from '@sovereign/device';
import { loadService, makeRelease, readManifest, type FoundService } from '@sovereign/service';
import { sha256File, workspaceRoot } from '@sovereign/store';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { debianPackages, makeTestMirror, standInPrograms, type TestMirror } from '../src/index.ts';
import { buildImage, loadSql, lockAlpine, useMirror } from './images.ts';

/** Vaultwarden and Forgejo as stand-ins (docs/test-mirror.md): what is real are their images, scripts and machines. */
const scratch = mkdtempSync(join(tmpdir(), 'sovereign-services-'));
const device: Device = localDevice(join(scratch, 'device'));
const started: FoundService[] = [];
// Each test makes an image before it starts a machine.
vi.setConfig({ testTimeout: 600_000 });
let mirror: TestMirror;

beforeAll(async () => {
  vi.stubEnv('XDG_CONFIG_HOME', join(scratch, 'config'));
  mirror = await makeTestMirror({ packages: [...(await debianPackages()), ...(await standInPrograms())] });
  useMirror(mirror);
}, 600_000);

afterAll(async () => {
  for (const { definition } of started) await device.stop(definition, 60);
  await mirror.close();
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true, force: true });
});

/** A release of a service whose image is made of the mirror's packages; all else is what was built. */
async function bundleOf(service: FoundService): Promise<Bundle> {
  const { definition } = service;
  const image = await buildImage(service, await lockAlpine(service), join(scratch, definition.name));
  const workspace = workspaceRoot();
  const built = await readBundle(workspace, await loadSql());
  const [kernel, agent, network] = await Promise.all([
    readManifest(join(workspace, 'packages/kernel/dist'), 'kernel'),
    readManifest(join(workspace, 'packages/device-agent/dist'), 'agent'),
    readManifest(join(workspace, 'packages/network/dist'), 'network'),
  ]);
  const file = { name: 'root.erofs', sha256: await sha256File(image), size: readFileSync(image).length };
  const release = makeRelease(definition, {
    kernel,
    root: { schema: 1, kind: 'root', service: definition.name, base: 'alpine', version: '1', image: file },
    agent,
    network,
  });
  return { definition, release, files: { ...built.files, root: image }, neighbours: [] };
}

async function up(project: string): Promise<{ service: FoundService; at: (port: string) => string }> {
  const service = await loadService(join(workspaceRoot(), 'packages', project));
  started.push(service);
  await device.deploy(await bundleOf(service));
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

const everything = 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/cmdline; dmesg';

test('Vaultwarden is healthy, closed to strangers, and has no more of its admin token than a hash', async () => {
  const { service, at } = await up('rootfs-vaultwarden');
  expect(await (await fetch(at('web'))).text()).toContain('<html');
  const register = `${at('web')}identity/accounts/register/send-verification-email`;
  expect((await fetch(register, { method: 'POST' })).status).toBe(400);
  const token = await device.secret(service.definition, 'admin-token');
  expect(await inGuest(service, 'cat /run/vaultwarden/admin-token')).toMatch(/^\$argon2id\$v=19\$/);
  expect(await inGuest(service, everything)).not.toContain('$argon2id');
  expect(await inGuest(service, 'cat /run/sovereign/config/secrets/*')).not.toContain(token);
  expect(await inGuest(service, 'stat -c "%U %a" /data/vaultwarden /run/vaultwarden')).toBe(
    'vaultwarden 700\nvaultwarden 700\n',
  );
  await device.stop(service.definition, 60);
});

test('Forgejo is healthy, closed to strangers, and its first administrator has the password of the secrets', async () => {
  const { service, at } = await up('rootfs-forgejo');
  const password = await device.secret(service.definition, 'admin-password');
  const authorization = `Basic ${Buffer.from(`owner:${password}`).toString('base64')}`;
  const who = await fetch(`${at('web')}api/v1/user`, { headers: { authorization } });
  expect(await who.json()).toMatchObject({ login: 'owner', is_admin: true });
  expect(await (await fetch(`${at('web')}user/sign_up`)).text()).toContain('Registration is disabled');
  expect(await inGuest(service, everything)).not.toContain(password);
  expect(await inGuest(service, 'ls /data/forgejo/keys')).toBe(
    'internal-token\nlfs-jwt\noauth2-jwt\nsecret-key\nssh_host\n',
  );
  // Tokens that were made to set the password are gone.
  expect(await inGuest(service, 'cat /data/forgejo/data/forgejo.db')).toContain('"Tokens":{}');
});
