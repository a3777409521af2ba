import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apkoProgram } from '@sovereign/apko';
import { lockPath, readLock, type LockedPackage } from '@sovereign/base';
import { buildRoot, lockRoot } from '@sovereign/executors/testing';
import { readManifest } from '@sovereign/service';
import { cacheDir, sha256File } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeTestMirror, type MirrorOptions, type PackageInfo, type TestMirror } from '../src/index.ts';
import { copyService, loadSql, useMirror } from './images.ts';

const scratch = mkdtempSync(join(tmpdir(), 'sovereign-faults-'));
const dist = join(import.meta.dirname, '../dist');
mkdirSync(dist, { recursive: true });
/** Copies of the service's folder, from where its imports are found. */
const copies = mkdtempSync(join(dist, 'faults-'));
const mirrors: TestMirror[] = [];
let caches = 0;
/** Where the cache is that all runs share. */
let shared: string;
/** The mirror that the lock was made of. */
let mirror: TestMirror;
/** Deals with a request in that mirror's place where it answers true. */
let intercept: NonNullable<MirrorOptions['intercept']>;
let copy: string;
/** Path of the copy's lock. */
let lock: string;
/** What the lock says of the package that was built last. */
let newest: LockedPackage;

/** The package that was built last, in seconds since 1970; it is the largest, so that its transfer can be cut. */
const NEWEST = 'icu-libs';
const TODAY = 1_790_000_000;
const YESTERDAY = TODAY - 86_400;

/** A mirror in which that package has a day and a version of its own. */
const withNewest =
  (info: Partial<PackageInfo>): NonNullable<MirrorOptions['edit']> =>
  (said) => ({ ...said, buildTime: YESTERDAY, ...(said.name === NEWEST ? info : {}) });

async function newMirror(options: MirrorOptions): Promise<TestMirror> {
  const made = await makeTestMirror(options);
  mirrors.push(made);
  return made;
}

/** Gives this process a cache without a package in it. What makes them, and apko, are no part of it. */
const MAKERS = ['toolroot', 'test-mirror'];
function emptyCache(): void {
  const cache = join(scratch, `cache-${caches++}`);
  mkdirSync(join(cache, 'sovereign'), { recursive: true });
  for (const kind of MAKERS) symlinkSync(join(shared, kind), join(cache, 'sovereign', kind));
  vi.stubEnv('XDG_CACHE_HOME', cache);
}

beforeAll(async () => {
  await apkoProgram();
  await openToolRoot('root');
  shared = cacheDir();
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
  mirror = await newMirror({
    edit: withNewest({ buildTime: TODAY }),
    intercept: (path, response) => intercept(path, response),
  });
  intercept = () => false;
  copy = join(copies, 'rootfs-sql');
  await copyService(await loadSql(), copy);
  useMirror(mirror);
  lock = lockPath({ folder: copy }, 'alpine');
  emptyCache();
  await lockRoot(copy, 'alpine');
  const found = (await readLock(lock)).packages.find(({ name }) => name === NEWEST);
  if (found === undefined) throw new Error(`the lock has no ${NEWEST}`);
  newest = found;
}, 900_000);

beforeEach(() => {
  useMirror(mirror);
  emptyCache();
});
afterEach(() => {
  intercept = () => false;
  rmSync(join(copy, 'dist'), { recursive: true, force: true });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const one of mirrors) await one.close();
  for (const folder of [scratch, copies]) rmSync(folder, { recursive: true, force: true });
});

const build = () => buildRoot(copy, 'alpine');
const day = (seconds: number): string => new Date(seconds * 1000).toISOString();
const asText = (part: string): string => expect.stringContaining(part) as string;

/** What is in the cache is whole, nothing was made of it, and there is no image. */
async function expectNothingHalfDone(): Promise<void> {
  // Transfers that began before the one that failed come to their end.
  await expect.poll(() => readdirSync(cacheDir('downloads'))).not.toContainEqual(asText('.tmp'));
  for (const name of readdirSync(cacheDir('downloads')))
    expect(await sha256File(cacheDir('downloads', name))).toBe(name);
  const made = readdirSync(cacheDir()).flatMap((kind) =>
    ['downloads', ...MAKERS].includes(kind) ? [] : readdirSync(cacheDir(kind)),
  );
  expect(made).toEqual([]);
  expect(readdirSync(copy)).not.toContain('dist');
}

async function expectBuilds(): Promise<void> {
  await build();
  const { base, image } = await readManifest(join(copy, 'dist'), 'root');
  expect(base).toBe('alpine');
  expect(await sha256File(join(copy, 'dist', image.name))).toBe(image.sha256);
}

describe('a mirror that was rolled back, and is well signed', () => {
  beforeAll(async () => {
    const edit = withNewest({ version: '0.1-r0' });
    rolledBack = await newMirror({ key: mirror.key, edit });
  });
  beforeEach(() => useMirror(rolledBack));
  let rolledBack: TestMirror;

  test('is refused for its index, and the lock stays as it is', async () => {
    const before = readFileSync(lock, 'utf8');
    await expect(lockRoot(copy, 'alpine')).rejects.toMatchObject({
      code: 'old-mirror',
      what: `the mirror's index of main ends at ${day(YESTERDAY)}, older than the lock, which has seen ${day(TODAY)}`,
      on: lock,
      hint: asText('Try another mirror'),
    });
    expect(readFileSync(lock, 'utf8')).toBe(before);
    await expectNothingHalfDone();
    useMirror(mirror);
    await lockRoot(copy, 'alpine');
    expect(readFileSync(lock, 'utf8')).toBe(before);
  });

  test('lacks a package of the lock, and none is built in its place', async () => {
    const { name, version } = newest;
    await expect(build()).rejects.toMatchObject({
      code: 'stale-lock',
      what: `the mirror no longer has ${name} ${version}`,
      on: lock,
    });
    await expectNothingHalfDone();
  });
});

describe('a mirror that dies', () => {
  /** Serves until the request that `dies` says, of which it sends half where there is a size; nothing after it. */
  function deadFrom(dies: (path: string) => { size: number } | 'at once' | undefined): void {
    let dead = false;
    intercept = (path, response: ServerResponse) => {
      const how = dead ? 'at once' : dies(path);
      if (how === undefined) return false;
      dead = true;
      if (how === 'at once') response.destroy();
      else {
        response.writeHead(200, { 'content-length': how.size });
        response.write(Buffer.alloc(how.size >> 1), () => response.destroy());
      }
      return true;
    };
  }

  async function expectCut(run: () => Promise<void>): Promise<void> {
    const { path, size } = newest;
    deadFrom((asked) => (asked.endsWith(path) ? { size } : undefined));
    await expect(run()).rejects.toMatchObject({
      code: 'no-network',
      on: asText(mirror.url),
      hint: asText('Check the connection'),
    });
    await expectNothingHalfDone();
    intercept = () => false;
  }

  test('in the middle of a package ends a lock with one error, and the next run succeeds', async () => {
    const before = readFileSync(lock, 'utf8');
    await expectCut(() => lockRoot(copy, 'alpine'));
    expect(readFileSync(lock, 'utf8')).toBe(before);
    rmSync(lock);
    await expectCut(() => lockRoot(copy, 'alpine'));
    expect(existsSync(lock)).toBe(false);
    await lockRoot(copy, 'alpine');
    expect(readFileSync(lock, 'utf8')).toBe(before);
  });

  test('between two packages, then in the middle of one, ends a build with one error each time, and the next run fetches the rest', async () => {
    let asked = 0;
    deadFrom(() => (asked++ < 10 ? undefined : 'at once'));
    await expect(build()).rejects.toMatchObject({ code: 'no-network', on: asText(mirror.url) });
    const downloads = () => readdirSync(cacheDir('downloads'));
    await expect.poll(() => downloads().length).toBe(10);
    await expectNothingHalfDone();
    await expectCut(build);
    const there = (await readLock(lock)).packages.filter(({ sha256 }) => downloads().includes(sha256));
    expect(there.length).toBeGreaterThanOrEqual(10);
    const again: string[] = [];
    intercept = (path) => again.push(path) === 0;
    await expectBuilds();
    expect(again).toContainEqual(asText(newest.path));
    for (const { path } of there) expect(again).not.toContainEqual(asText(path));
    // What is there is not asked for, whatever has become of the mirror by now.
    const built = await readManifest(join(copy, 'dist'), 'root');
    deadFrom(() => 'at once');
    await expectBuilds();
    expect(await readManifest(join(copy, 'dist'), 'root')).toEqual(built);
  });
});

describe('a mirror that serves something else than the lock names', () => {
  test('is refused where that is another package of the same name and version, well signed', async () => {
    const { name, version } = newest;
    const edit = withNewest({ buildTime: TODAY, license: 'another' });
    useMirror(await newMirror({ key: mirror.key, edit }));
    await expect(build()).rejects.toMatchObject({
      code: 'wrong-digest',
      what: asText(`${name} ${version} is not what the lock names: `),
    });
    await expectNothingHalfDone();
    expect(readdirSync(cacheDir('downloads'))).not.toContain(newest.sha256);
  });

  test.each<[string, (size: number) => Buffer]>([
    ['bytes of the same number', (size) => Buffer.alloc(size, 'x')],
    ['more bytes', (size) => Buffer.alloc(size + 1, 'x')],
    ['the page of a hotel', () => Buffer.from('<html>Please log in</html>')],
    ['nothing', () => Buffer.alloc(0)],
  ])('is refused where that is %s', async (_case, body) => {
    const { name, path, size, sha256 } = newest;
    intercept = (asked, response) => {
      if (!asked.endsWith(path)) return false;
      response.end(body(size));
      return true;
    };
    await expect(build()).rejects.toMatchObject({
      code: expect.stringMatching(/^(wrong-digest|no-network)$/) as string,
      what: asText(name),
      on: asText(mirror.url),
    });
    await expectNothingHalfDone();
    expect(readdirSync(cacheDir('downloads'))).not.toContain(sha256);
  });
});
