import { mkdtempSync, rmSync } from 'node:fs';
import { totalmem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Clone } from 'clean-clone/testing';
import { selectDevice, type ServiceStatus } from '@sovereign/device';
import { step } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { PATIENCE, Phone } from 'virtual-phone/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { debianPackages, makeTestMirror, standInPrograms, type TestMirror } from '../src/index.ts';
import { git } from './git.ts';
import { expectSecretsInTheirPlaces } from './planted.ts';

/**
 * All three services by the command line, as in a checkout of somebody with a mirror of their own. Vaultwarden and
 * Forgejo are stand-ins (docs/test-mirror.md); on this machine both keep their data themselves, on the phone on the
 * third.
 */
const scratch = mkdtempSync(join(tmpdir(), 'sovereign-all-'));
const words = ['sql', 'vault', 'forge'];
let mirror: TestMirror;
let clone: Clone;
let phone: Phone | undefined;
// Images are made, then machines started one after the other.
vi.setConfig({ testTimeout: 900_000 });

beforeAll(async () => {
  mirror = await makeTestMirror({ packages: [...(await debianPackages()), ...(await standInPrograms())] });
  clone = await Clone.make({
    installed: true,
    env: {
      SOVEREIGN_BASE: 'alpine',
      // What is in the cache by now.
      SOVEREIGN_KERNEL_SOURCE: process.env.SOVEREIGN_BASE === 'debian' ? 'debian' : 'kernel.org',
      SOVEREIGN_ALPINE_MIRROR: mirror.url,
      SOVEREIGN_ALPINE_KEYS: mirror.keys,
    },
  });
}, 600_000);

afterAll(async () => {
  await clone.run('./sovereign', 'stop', '--all', '-s', 'local');
  await phone?.stop();
  await mirror.close();
  await clone.remove();
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true, force: true });
});

/** What a command answers; says how long it took. */
const sovereign = <T>(...args: string[]): Promise<T> =>
  step(`sovereign ${args.join(' ')}`, () => clone.json<T>(...args));

interface Status {
  devices: { services: ServiceStatus[] }[];
}

async function upAll(on: readonly string[]): Promise<ServiceStatus[]> {
  const { devices } = await sovereign<Status>('up', '--all', ...on, '--timeout', String(PATIENCE));
  const services = devices.flatMap((device) => device.services);
  expect(services.map(({ name, state, healthy }) => [name, state, healthy])).toEqual(
    ['sql', 'vaultwarden', 'forgejo'].map((name) => [name, 'running', true]),
  );
  return services;
}

/** What another `up` leaves as it is. */
const lasting = (services: readonly ServiceStatus[]) =>
  services.map(({ name, release, slot, pid, since, restarts }) => ({
    name,
    release,
    slot,
    pid,
    since,
    restarts,
  }));

/** Each says what it holds, its machine's own memory at least in part, and all of it is there. */
async function expectMemory(services: readonly ServiceStatus[], on: readonly string[]): Promise<void> {
  const { stdout } = await clone.run('./sovereign', 'status', '--all', ...on);
  expect(stdout.match(/memory: \d+ MiB held by a machine of \d+M$/gm), stdout).toHaveLength(3);
  const held = services.map(({ memory }) => memory?.held ?? 0);
  for (const bytes of held) expect(bytes).toBeGreaterThan(100 * 2 ** 20);
  expect(held.reduce((sum, bytes) => sum + bytes)).toBeLessThan(totalmem());
  expect(services.map(({ memory }) => (memory?.size ?? 0) / 2 ** 20)).toEqual([256, 192, 256]);
}

/** A repository in Forgejo, and one here that has the same. */
interface Pushed {
  /** Commits something, and pushes it; gives the commit. */
  push: (message: string) => Promise<string>;
  /** The commit that its branch is at, in Forgejo. */
  head: () => Promise<string | undefined>;
}

/** A row of PostgreSQL, an answer of Vaultwarden and a push to Forgejo, at the addresses that were printed. */
async function expectServes(
  services: readonly ServiceStatus[],
  on: readonly string[],
  repository: string,
  databases: readonly string[],
): Promise<Pushed> {
  const at = (name: string, port: string) =>
    services
      .find((service) => service.name === name)
      ?.endpoints.find((endpoint) => endpoint.name === port && endpoint.via === undefined)?.url ?? '';
  const secret = async (word: string, name: string) =>
    (await clone.json<{ value: string }>('secrets', 'show', word, name, ...on, '--yes')).value;

  const asked = [at('sql', 'postgres'), '-XAtc', 'select datname from pg_database'];
  const env = { PGPASSWORD: await secret('sql', 'postgres-password') };
  const { stdout: found } = await execa('psql', asked, { env });
  expect(found.split('\n')).toEqual(expect.arrayContaining(['postgres', ...databases]));

  const alive = await fetch(new URL('alive', at('vaultwarden', 'web')));
  expect(alive.status).toBe(200);

  const web = at('forgejo', 'web');
  const password = await secret('forge', 'admin-password');
  const made = await fetch(new URL('api/v1/user/repos', web), {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`owner:${password}`).toString('base64')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ name: repository }),
  });
  expect(made.status).toBe(201);
  const folder = mkdtempSync(join(scratch, 'git-'));
  const owner = { scratch, password, key: '' };
  const own = (...args: string[]) => git(owner, folder, ...args);
  await own('init', '--quiet', '--initial-branch=main');
  const address = `${web.replace('//', '//owner@')}owner/${repository}.git`;
  const head = async () => /^([0-9a-f]{40})\trefs\/heads\/main$/m.exec(await own('ls-remote', address))?.[1];
  const push = async (message: string) => {
    await own('commit', '--quiet', '--allow-empty', '--message', message);
    await own('push', '--quiet', address, 'main');
    return own('rev-parse', 'HEAD');
  };
  const first = await push('one');
  expect(await head()).toBe(first);
  return { push, head };
}

/** What was pushed after the backup is gone, what was there before is there, and Forgejo's health is by a real git. */
async function expectRestores(on: readonly string[], { push, head }: Pushed): Promise<void> {
  const before = await head();
  const to = ['--to', join(scratch, 'backups')];
  await sovereign('backup', 'forge', ...on, ...to);
  await sovereign('backup', 'vault', ...on);
  const after = await push('two');
  expect(await head()).toBe(after);
  // Its files are counted as one table more.
  expect(await sovereign('restore', 'forge', ...on, '--yes')).toMatchObject({ tables: 2 });
  const healthy = async () => {
    const { devices } = await clone.json<Status>('status', 'forge', ...on);
    return devices.flatMap(({ services }) => services).map((service) => service.healthy);
  };
  await expect.poll(healthy, { timeout: 60_000, interval: 1_000 }).toEqual([true]);
  expect(await head()).toBe(before);
  // Its owner, who was invited, and its key.
  expect(await sovereign('backup', 'verify', 'vault', ...on)).toMatchObject({ tables: 2, rows: 2 });
}

async function keepDataOnSql(on: readonly string[]): Promise<void> {
  for (const word of ['vault', 'forge']) await clone.json('settings', word, 'database=sql', ...on);
}

test('`up --all` on this machine: all three serve, a second one changes nothing, and what was backed up is restored', async () => {
  const on = ['-s', 'local'];
  await clone.json('settings', 'vault', 'owner=owner@example.org', ...on);
  const services = await upAll(on);
  await expectMemory(services, on);
  const pushed = await expectServes(services, on, 'before', []);
  expect(lasting(await upAll(on))).toEqual(lasting(services));
  await expectRestores(on, pushed);
  // The next test has them on a phone, and this machine has two cores.
  await sovereign('stop', '--all', ...on);
});

test('`up --all` on a phone: all three serve, also with other secrets, a second one changes nothing, and they are back after its restart without the workstation', async () => {
  phone = await Phone.start('all-test');
  const on = ['-s', phone.serial, '--yes'];
  // The device is known from its first deploy on.
  await sovereign('deploy', 'sql', ...on);
  await keepDataOnSql(on);
  const services = await upAll(on);
  await expectMemory(services, on);
  const databases = ['vaultwarden', 'forgejo'];
  await expectServes(services, on, 'before', databases);
  for (const word of words) {
    const { rotated } = await sovereign<{ rotated: string[] }>('secrets', 'rotate', word, ...on);
    expect(rotated, word).not.toEqual([]);
  }
  expect(lasting(await upAll(on))).toEqual(lasting(services));
  await expectServes(services, on, 'after', databases);

  await phone.run('reboot');
  vi.stubEnv('XDG_CONFIG_HOME', join(clone.home, '.config'));
  const device = await selectDevice({ serial: phone.serial });
  const [vault, forge, sql] = await Promise.all(
    ['vaultwarden', 'forgejo', 'sql'].map(
      async (name) => (await loadService(join(workspaceRoot(), `packages/rootfs-${name}`))).definition,
    ),
  );
  if (vault === undefined || forge === undefined || sql === undefined) throw new Error('there are three');
  const ordered = [sql, vault, forge];
  // Stopped at first: the boot hook is not waited for.
  const healthy = async () => (await device.status(ordered)).map((status) => status.healthy);
  await step('wait for all three after the restart', () =>
    expect.poll(healthy, { timeout: 300_000, interval: 1_000 }).toEqual([true, true, true]),
  );
  await expectSecretsInTheirPlaces(phone, device, ordered, sql, 'postgres-password');
});
