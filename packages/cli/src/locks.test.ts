import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refreshLocks, runRefreshing } from './locks.ts';
import type { NxRun } from './nx.ts';
import { fakeCheckout, type FakeCheckout } from './testing/checkout.ts';
import { service } from './testing/services.ts';
import { fakeSession } from './testing/session.ts';

let checkout: FakeCheckout;
let run: NxRun;

const lock = (version: string) => ({
  schema: 1,
  base: 'debian',
  release: 'trixie',
  arch: 'arm64',
  requested: ['openrc'],
  packages: [
    { name: 'openrc', version, archive: 'debian', path: 'pool/o.deb', size: 1, sha256: 'a'.repeat(64) },
  ],
});

/** The stand-in for Nx: `lock` writes a newer lock, everything else needs it. */
beforeEach(async () => {
  checkout = await fakeCheckout(`
const file = 'packages/rootfs-sql/debian.lock.json';
if (line.includes('--targets=lock')) fs.writeFileSync(file, ${JSON.stringify(JSON.stringify(lock('2')))});
else if (JSON.parse(fs.readFileSync(file)).packages[0].version === '1') {
  announce({ state: 'failed', error: { exit: 1, code: 'stale-lock', what: 'the lock is stale', on: file } });
  process.exit(1);
}`);
  const folder = join(checkout.root, 'packages/rootfs-sql');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'debian.lock.json'), JSON.stringify(lock('1')));
  const { signal } = new AbortController();
  run = { root: checkout.root, targets: ['build'], projects: ['rootfs-sql'], verbose: false, signal };
});
afterEach(() => checkout.remove());

const targets = async () => (await checkout.nxRuns()).map((line) => /--targets=(\S+)/.exec(line)?.[1]);

describe('with no lock yet', () => {
  /** The stand-in needs a lock in both folders; `lock` makes that of the project it is called for, with this content. */
  async function withoutLocks(made: string): Promise<void> {
    await checkout.remove();
    checkout = await fakeCheckout(`
const folders = ['rootfs-sql', 'rootfs-vault'];
const file = (folder) => 'packages/' + folder + '/alpine.lock.json';
if (line.includes('--targets=lock')) {
  for (const folder of folders.filter((name) => line.includes(name))) {
    fs.mkdirSync('packages/' + folder, { recursive: true });
    fs.writeFileSync(file(folder), ${JSON.stringify(made)});
  }
} else {
  const missing = folders.find((name) => !fs.existsSync(file(name)) || fs.readFileSync(file(name), 'utf8') === '');
  if (missing !== undefined) {
    announce({ state: 'failed', error: { exit: 1, code: 'stale-lock', what: 'no lock yet', on: file(missing) } });
    process.exit(1);
  }
}`);
    run = { ...run, root: checkout.root, projects: ['rootfs-sql', 'rootfs-vault'] };
  }

  it('makes those of all services that are asked for before anything is built', async () => {
    await withoutLocks(JSON.stringify({ ...lock('1'), base: 'alpine' }));
    const { session } = fakeSession({
      services: [service('sql', 2), service('vault', 3), service('forgejo', 4)],
    });
    await runRefreshing(session, { ...run, base: 'alpine' });
    expect(await targets()).toEqual(['lock', 'build']);
    expect((await checkout.nxRuns())[0]).toContain('--projects=rootfs-sql,rootfs-vault ');
    expect(await checkout.events()).toContain('no alpine lock yet of sql, vault: it is made now');
  });

  it('makes that of every service that is asked for, and goes on', async () => {
    await withoutLocks(JSON.stringify({ ...lock('1'), base: 'alpine' }));
    await runRefreshing(fakeSession().session, run);
    expect(await targets()).toEqual(['build', 'lock', 'build', 'lock', 'build']);
    expect((await checkout.events()).match(/no lock yet; refreshing the lock/g)).toHaveLength(2);
  });

  it('makes each only once: what is then still stale is an error', async () => {
    await withoutLocks('');
    await expect(runRefreshing(fakeSession().session, run)).rejects.toMatchObject({ code: 'stale-lock' });
    expect(await targets()).toEqual(['build', 'lock', 'build']);
  });
});

describe('a stale lock', () => {
  it('is refreshed once, within the same command', async () => {
    await runRefreshing(fakeSession().session, run);
    expect(await targets()).toEqual(['build', 'lock', 'build']);
    expect(await checkout.events()).toContain('the lock is stale; refreshing the lock');
  });

  it('is an error with --locked', async () => {
    await expect(runRefreshing(fakeSession({ flags: { locked: true } }).session, run)).rejects.toMatchObject({
      code: 'stale-lock',
    });
    expect(await targets()).toEqual(['build']);
  });
});

it('refreshing says what changed', async () => {
  expect(await refreshLocks(run)).toEqual([
    'rootfs-sql (debian): openrc 1 -> 2',
    'rootfs-sql (debian): 1 packages, 0.0 MB to fetch (+0.0 MB)',
  ]);
  expect(await refreshLocks(run)).toEqual([]);
});
