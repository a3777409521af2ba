import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Device } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import { releaseId, type FoundService, type Release } from '@sovereign/service';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fakeCheckout, type FakeCheckout } from '../testing/checkout.ts';
import { service } from '../testing/services.ts';
import { fakeDevice, fakeSession, status } from '../testing/session.ts';
import { outdated } from './outdated.ts';
import { upgrade } from './upgrade.ts';

/** Stands in for what libs/backup tests: where backups go, and how the data moved. */
const library = vi.hoisted(() => ({
  chosenRepository: vi.fn<() => Promise<string | undefined>>(),
  migrateService: vi.fn<() => Promise<unknown>>(),
}));
vi.mock('@sovereign/backup', () => ({ ...library, deviceIdOf: () => Promise.resolve('id') }));

let checkout: FakeCheckout;
afterEach(() => checkout.remove());

const lock = (versions: Record<string, string>) => ({
  schema: 1,
  base: 'debian',
  release: 'trixie',
  arch: 'arm64',
  requested: Object.keys(versions),
  packages: Object.entries(versions).map(([name, version]) => ({
    name,
    version,
    archive: 'debian',
    path: `pool/${name}.deb`,
    size: 1,
    sha256: 'a'.repeat(64),
  })),
});
const release = (version: string): Release => ({
  schema: 1,
  service: 'sql',
  base: 'debian',
  version,
  kernel: { sha256: '1'.repeat(64), size: 1 },
  root: { sha256: '2'.repeat(64), size: 1 },
  agent: { sha256: '3'.repeat(64) },
  data: { kind: 'sql', major: 1, collation: 'none' },
  resources: { memory: 64, cpus: 1 },
  controlProtocol: 1,
  configSchema: 1,
});

/** A checkout whose lock has the one versions and whose index the others. */
async function world(
  now: Record<string, string>,
  index: Record<string, string>,
  program = '',
): Promise<{ found: FoundService; lockFile: string; locked: () => unknown }> {
  checkout = await fakeCheckout(`
const into = argv.find((word) => word.startsWith('--into='));
if (into) fs.writeFileSync(into.slice(7) + '/rootfs-sql.lock.json', ${JSON.stringify(JSON.stringify(lock(index)))});
${program}`);
  const folder = join(checkout.root, 'packages/rootfs-sql');
  mkdirSync(folder, { recursive: true });
  const lockFile = join(folder, 'debian.lock.json');
  writeFileSync(lockFile, JSON.stringify(lock(now)));
  const found = { ...service('sql', 2), folder };
  return { found, lockFile, locked: () => JSON.parse(readFileSync(lockFile, 'utf8')) as unknown };
}

/** A device that has one release before, and another one once a start was asked for. */
function device(rest: Partial<Device> = {}): ReturnType<typeof fakeDevice> {
  const made = fakeDevice({
    releases: () => Promise.resolve([release(made.did.some((line) => line.startsWith('start')) ? '2' : '1')]),
    ...rest,
  });
  return made;
}
const sessionOf = (found: FoundService, made: Device, flags = {}) =>
  fakeSession({ root: checkout.root, device: made, services: [found], chosen: [found], flags }).session;

describe('outdated', () => {
  it('names what the index has newer, security fixes first, and leaves the lock alone', async () => {
    const { found, lockFile } = await world(
      { alpha: '1', openssl: '3.0-1', zlib: '1' },
      { alpha: '2', openssl: '3.0-2', zlib: '1' },
    );
    const before = readFileSync(lockFile, 'utf8');
    const dist = join(found.folder, 'dist');
    mkdirSync(dist);
    const one = (name: string, version: string) => ({
      ...{ name, version, origin: name, originVersion: version, files: 1, bytes: 1, stored: 1 },
      trimmed: { files: 0, bytes: 0 },
    });
    const blob = (name: string) => ({ name, sha256: 'b'.repeat(64), size: 1 });
    writeFileSync(
      join(dist, 'manifest.json'),
      JSON.stringify({
        ...{ schema: 1, kind: 'root', service: 'sql', base: 'debian', version: '1' },
        ...{ image: blob('root.erofs'), contents: blob('root.contents.json') },
      }),
    );
    writeFileSync(
      join(dist, 'root.contents.json'),
      JSON.stringify({
        ...{ schema: 1, service: 'sql', base: 'debian', release: 'trixie', trimmed: [], unowned: [] },
        image: { sha256: 'b'.repeat(64), size: 1 },
        packages: [one('alpha', '1'), one('openssl', '3.0-1'), one('zlib', '1')],
      }),
    );
    const tracker = {
      openssl: { 'CVE-9': { releases: { trixie: { status: 'resolved', fixed_version: '3.0-2' } } } },
    };
    const url = `data:application/json,${encodeURIComponent(JSON.stringify(tracker))}`;
    vi.stubEnv('SOVEREIGN_DEBIAN_SECURITY', url);
    vi.stubEnv('XDG_CACHE_HOME', join(checkout.root, 'cache'));
    const { json, text } = await outdated(sessionOf(found, device()));
    vi.unstubAllEnvs();
    expect(text?.split('\n')).toEqual([
      'sql (debian): 2 packages differ in the index, 1 with security fixes',
      '  security  openssl 3.0-1 -> 3.0-2 (CVE-9)',
      '            alpha 1 -> 2',
      './sovereign upgrade sql takes it',
    ]);
    expect(json).toMatchObject({
      services: [
        {
          service: 'sql',
          base: 'debian',
          securityKnown: true,
          changes: [{ fixes: ['CVE-9'] }, { fixes: [] }],
        },
      ],
    });
    expect(readFileSync(lockFile, 'utf8')).toBe(before);
    expect(await checkout.nxRuns()).toEqual([
      expect.stringMatching(/--targets=lock --projects=rootfs-sql .* --into=/),
    ]);
  });

  it('says where nobody knows which are security fixes, and where nothing is newer', async () => {
    const { found } = await world({ alpha: '1' }, { alpha: '2' });
    const { text } = await outdated(sessionOf(found, device()));
    expect(text).toContain('1 package differs in the index; which are security fixes is not known');
    await checkout.remove();
    const same = await world({ alpha: '1' }, { alpha: '1' });
    expect((await outdated(sessionOf(same.found, device()))).text).toBe(
      'sql (debian): the index has nothing newer',
    );
  });
});

describe('upgrade', () => {
  it('shows what changes, takes it into the lock, deploys, and waits for the verdict of the trial', async () => {
    const { found, locked } = await world({ alpha: '1' }, { alpha: '2' });
    const made = device();
    const { json, text } = await upgrade(sessionOf(found, made));
    const runs = (await checkout.nxRuns()).map((line) => /--targets=(\S+)/.exec(line)?.[1]);
    expect(runs).toEqual(['lock', 'deploy']);
    const events = await checkout.events();
    expect(events.indexOf('alpha 1 -> 2')).toBeGreaterThan(0);
    expect(events.indexOf('alpha 1 -> 2')).toBeLessThan(events.indexOf('take the newer packages'));
    expect(made.did).toEqual(['start sql', 'wait sql 120']);
    expect(locked()).toEqual(lock({ alpha: '2' }));
    expect(json).toMatchObject({ from: releaseId(release('1')), to: releaseId(release('2')), changed: true });
    expect(text).toMatch(/^sql on local passed its trial: .*1 packages changed/);
  });

  it('that fails its trial puts the lock back and says that all is as it was', async () => {
    const { found, lockFile } = await world({ alpha: '1' }, { alpha: '2' });
    const before = readFileSync(lockFile);
    const back = new SovereignError({ code: 'rolled-back', what: 'the new release was taken back', exit: 3 });
    await expect(upgrade(sessionOf(found, device({ waitHealthy: () => Promise.reject(back) })))).rejects.toBe(
      back,
    );
    expect(readFileSync(lockFile)).toEqual(before);
    expect(await checkout.events()).toMatch(/slot and data are as they were/);
  });

  it('whose build fails starts nothing, and puts the lock back', async () => {
    const error = { exit: 1, code: 'no-such-file', what: 'the build failed' };
    const { found, lockFile } = await world(
      { alpha: '1' },
      { alpha: '2' },
      `if (!into) { announce({ state: 'failed', error: ${JSON.stringify(error)} }); process.exit(1); }`,
    );
    const before = readFileSync(lockFile);
    const made = device();
    await expect(upgrade(sessionOf(found, made))).rejects.toMatchObject({ code: 'no-such-file' });
    expect(made.did).toEqual([]);
    expect(readFileSync(lockFile)).toEqual(before);
  });

  it('leaves a service that was stopped stopped', async () => {
    const { found } = await world({ alpha: '1' }, { alpha: '2' });
    const made = device({ status: () => Promise.resolve([status({ state: 'stopped' })]) });
    await upgrade(sessionOf(found, made));
    expect(made.did).toEqual(['start sql', 'wait sql 120', 'stop sql 60']);
  });

  it('says what a trial does not bring back', async () => {
    const { found } = await world({ alpha: '1' }, { alpha: '2' });
    const base = { packages: ['alpha'], leaveOut: {} };
    const definition = {
      ...found.definition,
      bases: { debian: base },
      data: { ...found.definition.data, changes: 'version' as const },
      settings: [{ name: 'database', kind: 'text' as const, description: 'where' }],
      needs: [
        { service: 'other', when: { setting: 'database', is: 'sql' }, database: { name: 'x', secret: 'y' } },
      ],
    };
    const made = device({ settings: () => Promise.resolve({ database: 'sql' }) });
    await upgrade(sessionOf({ ...found, definition }, made));
    const events = await checkout.events();
    expect(events).toMatch(/alpha 2 may change the data .* tried on a copy/);
    expect(events).toMatch(/its database on other is not copied: make a backup first/);
  });

  it('--locked upgrades to what the lock says; --dry-run does nothing', async () => {
    const { found } = await world({ alpha: '1' }, { alpha: '2' });
    await upgrade(sessionOf(found, device(), { locked: true }));
    expect(await checkout.nxRuns()).toEqual([expect.stringMatching(/--targets=deploy/)]);
    const { text } = await upgrade(sessionOf(found, device(), { dryRun: true }));
    expect(text?.split('\n')).toEqual([
      expect.stringMatching(/^nx run-many --targets=lock /),
      expect.stringMatching(/^nx run-many --targets=deploy /),
      'start sql on local on trial, closed; keep it where it is healthy, else go back',
    ]);
    expect(await checkout.nxRuns()).toHaveLength(1);
  });

  describe('to another major version of the data', () => {
    const moved = { snapshot: 'ab12', tables: 2, rows: 7 };
    const bundle = { release: release('2') };
    beforeEach(async () => {
      library.chosenRepository.mockReset().mockResolvedValue('/srv/backups');
      library.migrateService.mockReset().mockResolvedValue(moved);
      vi.spyOn(await import('@sovereign/device'), 'readBundle').mockResolvedValue(bundle as Bundle);
    });

    const newer = async () => {
      const made = await world({ alpha: '1' }, { alpha: '2' });
      const { definition } = made.found;
      return {
        ...made,
        found: { ...made.found, definition: { ...definition, data: { ...definition.data, major: 2 } } },
      };
    };

    it('builds, moves the data, and says how to go back', async () => {
      const { found, locked } = await newer();
      const made = device();
      const { json, text } = await upgrade(sessionOf(found, made));
      const runs = (await checkout.nxRuns()).map((line) => /--targets=(\S+)/.exec(line)?.[1]);
      expect(runs).toEqual(['lock', 'build']);
      expect(library.migrateService).toHaveBeenCalledWith(made, bundle, expect.anything());
      expect(made.did).toEqual([]);
      expect(locked()).toEqual(lock({ alpha: '2' }));
      expect(json).toMatchObject({ service: 'sql', moved });
      expect(text).toMatch(/^sql on local has moved from sql 1 to sql 2: 2 tables with 7 rows/);
      expect(text).toMatch(/restore sql --undo goes back, --discard gives it up$/);
      expect(await checkout.events()).toMatch(/serves nobody until that is done/);
    });

    it('is planned as that', async () => {
      const { found } = await newer();
      const { text } = await upgrade(sessionOf(found, device(), { dryRun: true }));
      expect(text).toMatch(
        /--targets=build .*\nmove the data of sql on local from sql 1 to sql 2, through a backup/,
      );
      expect(library.migrateService).not.toHaveBeenCalled();
    });

    it('does nothing before somebody said where backups go', async () => {
      library.chosenRepository.mockResolvedValue(undefined);
      const { found, lockFile } = await newer();
      const before = readFileSync(lockFile);
      await expect(upgrade(sessionOf(found, device()))).rejects.toMatchObject({
        code: 'no-repository-chosen',
        hint: expect.stringContaining('sovereign backup sql --to') as string,
      });
      expect(await checkout.nxRuns()).toEqual([]);
      expect(readFileSync(lockFile)).toEqual(before);
    });

    it('puts the lock back where the data could not be moved', async () => {
      library.migrateService.mockRejectedValue(new SovereignError({ code: 'counts-differ', what: 'no' }));
      const { found, lockFile } = await newer();
      const before = readFileSync(lockFile);
      await expect(upgrade(sessionOf(found, device()))).rejects.toMatchObject({ code: 'counts-differ' });
      expect(readFileSync(lockFile)).toEqual(before);
    });
  });

  it('of what was never deployed is an error that says what to do', async () => {
    const { found } = await world({ alpha: '1' }, { alpha: '2' });
    const made = device({ releases: () => Promise.resolve([]) });
    await expect(upgrade(sessionOf(found, made))).rejects.toMatchObject({ code: 'not-deployed' });
    expect(await checkout.nxRuns()).toEqual([]);
  });
});
