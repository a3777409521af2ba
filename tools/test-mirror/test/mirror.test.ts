import { createHash, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { alpineEffects } from '@sovereign/guest';
import { makeApk, makeData, makeKey } from '@sovereign/base/testing';
import { SovereignError } from '@sovereign/report';
import { debianPackages, makeTestMirror, type TestMirror } from '../src/index.ts';
import { ownLock, withOwnLocks } from '../src/locks.ts';

let mirror: TestMirror | undefined;
afterEach(async () => {
  await mirror?.close();
  mirror = undefined;
});

/** Ends of the gzip members that a file is made of. */
function members(file: Buffer, count: number): Buffer[] {
  const starts = [0];
  for (let at = 10; starts.length < count; at++) {
    at = file.indexOf(Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), at);
    if (at < 0) throw new Error('fewer members than expected');
    starts.push(at);
  }
  return starts.map((start, index) => file.subarray(start, starts[index + 1]));
}

const files = [
  { path: 'etc/a', link: '../usr/bin/b' },
  { path: 'usr/bin/b', mode: 0o755, body: 'b\n' },
];

test('a package is a signature over its control part, which holds the digest of its data', async () => {
  const key = makeKey('demo');
  const { file, stanza } = await makeApk({ name: 'demo', version: '1-r0', files }, key);
  const [signature, control, data] = members(file, 3);
  if (signature === undefined || control === undefined || data === undefined) throw new Error('no members');
  const signed = gunzipSync(signature);
  expect(signed.toString('latin1', 0, 100)).toContain(`.SIGN.RSA.${key.name}`);
  expect(verify('RSA-SHA1', control, key.publicKey, signed.subarray(512, 512 + 256))).toBe(true);
  expect(stanza).toContain(`C:Q1${createHash('sha1').update(control).digest('base64')}\n`);
  expect(gunzipSync(control).toString()).toContain(
    `datahash = ${createHash('sha256').update(data).digest('hex')}\n`,
  );
});

test('made again, the packages are the same bytes but for the key', async () => {
  const data = await makeData(files);
  const made = await Promise.all(
    ['one', 'two'].map((name) => makeApk({ name: 'demo', version: '1-r0', data }, makeKey(name))),
  );
  const [one, two] = made.map(({ file }) => members(file, 3));
  expect(one?.[0]).not.toEqual(two?.[0]);
  expect(one?.slice(1)).toEqual(two?.slice(1));
});

test('it serves what it signed, and nothing beside it', async () => {
  const data = await makeData(files);
  mirror = await makeTestMirror({ packages: [{ info: { name: 'demo', version: '1-r0' }, data }] });
  const get = (path: string) => fetch(`${mirror?.url ?? ''}/${path}`);
  const [apk] = mirror.packages;
  if (apk === undefined) throw new Error('no package');
  const served = await get(`v3.24/main/aarch64/${apk.fileName}`);
  expect(Buffer.from(await served.arrayBuffer()).equals(apk.file)).toBe(true);
  expect((await get('v3.24/community/aarch64/APKINDEX.tar.gz')).status).toBe(200);
  expect((await get('v3.24/main/aarch64/other-1-r0.apk')).status).toBe(404);
  expect((await get('%2e%2e/keys/' + mirror.key.name)).status).toBe(404);
  expect(await readFile(join(mirror.keys, mirror.key.name), 'utf8')).toBe(mirror.key.publicKey);
});

test('locks of its own that the mirrors of Debian have outgrown are made anew, those of others are not', async () => {
  let made = 0;
  const stale = (on: string) => () =>
    made === 0
      ? Promise.reject(new SovereignError({ code: 'stale-lock', what: 'a version is gone', on }))
      : Promise.resolve('done');
  const lock = () => {
    made++;
    return Promise.resolve();
  };
  await expect(withOwnLocks(stale('packages/rootfs-sql/debian.lock.json'), lock)).rejects.toThrow('is gone');
  expect(made).toBe(0);
  expect(await withOwnLocks(stale(ownLock), lock)).toBe('done');
  expect(made).toBe(1);
});

test('every install script of its packages is one that the guest declares', async () => {
  const declared = new Map(alpineEffects.map((effect) => [effect.package, effect.scripts ?? {}]));
  const packages = await debianPackages();
  const scripts = packages.flatMap(({ info }) =>
    Object.entries(info.scripts ?? {}).map(([name, text]) => ({ package: info.name, name, text })),
  );
  expect(scripts.length).toBeGreaterThan(3);
  for (const script of scripts) {
    const digest = createHash('sha256').update(script.text).digest('hex');
    expect(declared.get(script.package)?.[script.name], `${script.package} ${script.name}`).toContain(digest);
  }
});
