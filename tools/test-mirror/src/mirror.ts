import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alpineBranch, guestArch } from '@sovereign/base';
import {
  makeApk,
  makeData,
  makeIndex,
  makeKey,
  type MadeApk,
  type SigningKey,
} from '@sovereign/base/testing';
import { step } from '@sovereign/report';
import { canonicalJson, contentKeyed, sha256, sha256File, workspaceRoot } from '@sovereign/store';
import { lockPaths, withOwnLocks } from './locks.ts';
import type { PackageInfo, UnsignedPackage } from './package.ts';
import { repackage } from './repackage.ts';

/** When packages were built that say nothing else: the first second of 2026. */
const BUILD_TIME = 1_767_225_600;

export interface MirrorOptions {
  /** The packages; those that are made of the locked Debian ones where not given. */
  packages?: readonly UnsignedPackage[];
  /** Changes what a package says of itself, scripts included, before it is signed. */
  edit?: (info: PackageInfo) => PackageInfo;
  /** A new one where not given. */
  key?: SigningKey;
  /**
   * Asked before a file is served, by its path below the mirror; where it answers true, it has dealt with the
   * request: for mirrors that lie, stall or die.
   */
  intercept?: (path: string, response: ServerResponse) => boolean;
}

export interface TestMirror {
  /** What SOVEREIGN_ALPINE_MIRROR is set to. */
  url: string;
  /** What SOVEREIGN_ALPINE_KEYS is set to: a folder with the public key. */
  keys: string;
  /** What is served: `v3.24/{main,community}/aarch64`. */
  folder: string;
  key: SigningKey;
  /** Every package, as it was signed. */
  packages: readonly MadeApk[];
  close(): Promise<void>;
}

/** A stand-in for Alpine's mirror on this machine's loopback (docs/test-mirror.md). */
export async function makeTestMirror(options: MirrorOptions = {}): Promise<TestMirror> {
  const root = await mkdtemp(join(tmpdir(), 'sovereign-mirror-'));
  const folder = join(root, 'alpine');
  const keys = join(root, 'keys');
  const key = options.key ?? makeKey(`sovereign-test-mirror-${randomBytes(4).toString('hex')}`);
  try {
    const unsigned = options.packages ?? (await debianPackages());
    const packages = await Promise.all(
      unsigned.map(({ info, data }) =>
        makeApk({ buildTime: BUILD_TIME, ...(options.edit?.(info) ?? info), data }, key),
      ),
    );
    await mkdir(keys);
    await writeFile(join(keys, key.name), key.publicKey);
    await writeRepositories(folder, packages, key);
    const server = await serve(folder, options.intercept);
    const { port } = server.address() as AddressInfo;
    const close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(root, { recursive: true, force: true });
    };
    return { url: `http://127.0.0.1:${port}`, keys, folder, key, packages, close };
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

/** Writes packages and indices of both repositories; all packages are in `main`, and `community` is empty. */
async function writeRepositories(
  folder: string,
  packages: readonly MadeApk[],
  key: SigningKey,
): Promise<void> {
  for (const repository of ['main', 'community']) {
    const target = join(folder, alpineBranch, repository, guestArch.alpine);
    await mkdir(target, { recursive: true });
    const own = repository === 'main' ? packages : [];
    for (const apk of own) await writeFile(join(target, apk.fileName), apk.file);
    await writeFile(join(target, 'APKINDEX.tar.gz'), await makeIndex(own, key));
  }
}

/** The packages made of the locked Debian ones, from the cache where they were made before. */
export const debianPackages = (): Promise<UnsignedPackage[]> => withOwnLocks(makePackages);

async function makePackages(): Promise<UnsignedPackage[]> {
  const makers = ['layout', 'repackage'].map((name) => join(import.meta.dirname, `${name}.ts`));
  const shared = ['packages/guest/applets.ts', 'libs/base/testing/apk.ts'].map((path) =>
    join(workspaceRoot(), path),
  );
  const digests = await Promise.all([...lockPaths, ...shared, ...makers].map(sha256File));
  return step('make the packages of the test mirror', async (handle) => {
    const make = async (target: string) => {
      const infos: PackageInfo[] = [];
      for (const { info, files } of await repackage(lockPaths)) {
        const data = await makeData(files);
        await writeFile(join(target, `${info.name}.data`), data.member);
        await writeFile(join(target, `${info.name}.size`), String(data.size));
        infos.push(info);
      }
      await writeFile(join(target, 'packages.json'), canonicalJson(infos));
    };
    const { folder, cached } = await contentKeyed('test-mirror', sha256(canonicalJson(digests)), make, 2);
    if (cached) handle.cached();
    const infos = JSON.parse(await readFile(join(folder, 'packages.json'), 'utf8')) as PackageInfo[];
    return Promise.all(
      infos.map(async (info) => {
        const member = await readFile(join(folder, `${info.name}.data`));
        const size = Number(await readFile(join(folder, `${info.name}.size`), 'utf8'));
        return { info, data: { member, size } };
      }),
    );
  });
}

async function serve(folder: string, intercept?: MirrorOptions['intercept']): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://mirror').pathname.slice(1);
    if (intercept?.(decodeURIComponent(path), response) === true) return;
    send(folder, decodeURIComponent(path), request.method === 'HEAD', response).catch(() =>
      response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function send(
  folder: string,
  path: string,
  headOnly: boolean,
  response: ServerResponse,
): Promise<void> {
  const file = join(folder, path);
  const found = path.split('/').includes('..') ? undefined : await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-length': found.size, etag: `"${await sha256File(file)}"` });
  if (headOnly) response.end();
  else createReadStream(file).pipe(response);
}
