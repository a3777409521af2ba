import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { cacheDir, fetchChecked, withScratch } from '@sovereign/store';
import pMap from 'p-map';
import type { LockRequest } from '../contract.ts';
import { PARALLEL } from '../fetch.ts';
import type { Lock, LockedPackage } from '../lock.ts';
import { openApk, openIndex } from './apk.ts';
import { newest, readIndex, type IndexedPackage } from './apkindex.ts';
import { checkVersion, configuration, runApko, type ApkoRunner } from './apko.ts';
import { badPackage } from './bad-package.ts';
import { addressOf, archives, BRANCH } from './mirror.ts';
import { checkSignature, readKeys, type TrustedKeys } from './signature.ts';

/** Most bytes of an index file; Alpine's largest has about 3 MB. */
const INDEX_LIMIT = 32 << 20;

export interface Source {
  /** As `alpineMirror` gives it. */
  mirror: string;
  /** Folder of the keys to trust. */
  keys: string;
}

/**
 * Asks apko which packages a request comes to, and pins them. Everything comes to apko as files that were checked:
 * with an address of Alpine's it would trust whatever keys it finds on the network, beside the ones it is given.
 * apko checks the indexes again; that a key vouches for each package file is checked here, since apko does not.
 */
export async function solve(request: LockRequest, { mirror, keys }: Source, run: ApkoRunner): Promise<Lock> {
  return withScratch(cacheDir('apko'), async (folder) => {
    await checkVersion(run, folder);
    const trusted = await readKeys(keys);
    const indexes = new Map<string, IndexedPackage[]>();
    for (const archive of archives) {
      indexes.set(archive, await fetchIndex(mirror, archive, request.arch, trusted, folder));
    }
    const chosen = await choose(request, trusted, run, folder);
    const leaveOut = new Set(request.leaveOut);
    const packages = await pMap(
      chosen.filter(({ name }) => !leaveOut.has(name)),
      ({ archive, name, version }) => {
        const indexed = indexes
          .get(archive)
          ?.find((entry) => entry.name === name && entry.version === version);
        const file = `${name}-${version}.apk`;
        if (indexed === undefined)
          throw badPackage(file, `the index of ${archive} does not describe it in full`);
        return pin(indexed, { mirror, archive, path: `${request.arch}/${file}` }, trusted);
      },
      { concurrency: PARALLEL },
    );
    return {
      schema: 1,
      base: 'alpine',
      release: BRANCH,
      arch: request.arch,
      requested: [...request.packages],
      packages,
      newest: Object.fromEntries([...indexes].map(([archive, index]) => [archive, newest(index)])),
    };
  });
}

/** Leaves a checked index where apko looks for it. */
async function fetchIndex(
  mirror: string,
  archive: string,
  arch: string,
  keys: TrustedKeys,
  folder: string,
): Promise<IndexedPackage[]> {
  const url = addressOf(mirror, archive, `${arch}/APKINDEX.tar.gz`);
  const check = async (content: Buffer) => checkSignature(await openIndex(content, url), keys, url);
  const name = `the index of ${archive}`;
  const { content } = await fetchChecked({ url, name, limit: INDEX_LIMIT, check }).catch((error: unknown) => {
    throw asMissing(error, url);
  });
  await mkdir(join(folder, archive, arch), { recursive: true });
  await writeFile(join(folder, archive, arch, 'APKINDEX.tar.gz'), content);
  return readIndex((await openIndex(content, url)).text);
}

const asMissing = (error: unknown, url: string): unknown =>
  !(error instanceof SovereignError) || error.code !== 'not-found'
    ? error
    : new SovereignError({
        code: 'no-mirror',
        what: `this mirror has no ${BRANCH} of Alpine for arm64`,
        on: url,
        hint: `Name the folder that holds ${BRANCH}/ in SOVEREIGN_ALPINE_MIRROR`,
        cause: error,
      });

interface Chosen {
  archive: string;
  name: string;
  version: string;
}

/** The packages that apko would install, in its order. */
async function choose(
  request: LockRequest,
  trusted: TrustedKeys,
  run: ApkoRunner,
  folder: string,
): Promise<Chosen[]> {
  await mkdir(join(folder, 'keys'));
  for (const [name, key] of trusted) {
    await writeFile(join(folder, 'keys', name), key.export({ type: 'spki', format: 'pem' }));
  }
  const config = configuration({
    repositories: archives,
    keys: [...trusted.keys()].map((name) => `keys/${name}`),
    packages: request.packages,
    arch: request.arch,
  });
  await writeFile(join(folder, 'apko.yaml'), config);
  const printed = await runApko(run, { verb: 'solve', config: 'apko.yaml', arch: request.arch }, folder);
  return parseSolution(printed);
}

/** Lines `NAME VERSION ARCHIVE/ARCH/FILE`, as the format of `toArgs` asks for. */
export function parseSolution(printed: string): Chosen[] {
  return printed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name, version, archive] = /^(\S+) (\S+) ([a-z]+)\/\S+$/.exec(line) ?? [];
      if (name !== undefined && version !== undefined && archive !== undefined)
        return { name, version, archive };
      throw new SovereignError({
        code: 'apko-output',
        what: 'apko printed a line that is not understood',
        on: line,
        hint: 'Report this',
      });
    });
}

/** Fetches a package, checks that it is what the index names and that a key vouches for it, and pins it. */
async function pin(
  { name, version, identity, size }: IndexedPackage,
  { mirror, archive, path }: { mirror: string; archive: string; path: string },
  keys: TrustedKeys,
): Promise<LockedPackage> {
  const label = `${name} ${version}`;
  const url = addressOf(mirror, archive, path);
  const check = async (content: Buffer) => {
    const apk = await openApk(content, url);
    checkSignature(apk, keys, url);
    const said = [apk.info.get('pkgname')?.[0], apk.info.get('pkgver')?.[0]].join(' ');
    if (content.length !== size || apk.identity !== identity || said !== label) {
      throw badPackage(url, 'it is not the package that the index names');
    }
  };
  const { sha256 } = await fetchChecked({ url, name: label, limit: size, check });
  return { name, version, archive, path, size, sha256 };
}
