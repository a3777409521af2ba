import { createWriteStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress } from 'node:zlib';
import { step } from '@sovereign/report';
import { sha256 as digestOf } from '@sovereign/store';
import pMap from 'p-map';
import { extract, pack, type Pack } from 'tar-stream';
import type { InstallScript, LockRequest, PackageBase, Unpacked } from '../contract.ts';
import { escapePath, fetchLocked } from '../fetch.ts';
import { keptEntry, readZstd } from '../kept.ts';
import type { Lock, LockedPackage } from '../lock.ts';
import { resolve, SUITE } from './apt.ts';
import { openDeb } from './deb.ts';
import { packageMetadata, type DebianWords } from './metadata.ts';
import { debianMirrors } from './mirrors.ts';

/** Names of the scripts that dpkg would run at an installation (deb-preinst(5), deb-postinst(5), deb-triggers(5)). */
const scriptNames = ['preinst', 'postinst', 'triggers'];

export const debian: PackageBase = {
  async lock(request: LockRequest): Promise<Lock> {
    const packages = await step(`resolve ${request.packages.length} packages with apt`, async (handle) => {
      const found = await resolve(request, await debianMirrors());
      handle.detail(`${found.length} packages`);
      return found;
    });
    return {
      schema: 1,
      base: 'debian',
      release: SUITE,
      arch: request.arch,
      requested: [...request.packages],
      packages,
    };
  },

  async unpack(lock: Lock, lockPath: string): Promise<Unpacked> {
    const files = await fetchPackages(lock.packages, lockPath);
    const opened = await step('unpack packages', (handle) =>
      pMap(
        lock.packages,
        (entry, index) => {
          handle.progress(index, lock.packages.length, 'packages');
          return unpackOne(entry, files[index] ?? '');
        },
        { concurrency: 2 },
      ),
    );
    const owners = new Map<string, string>();
    return {
      tar: concatenate(opened, (name, owner) => owners.set(name, owner)),
      scripts: opened.flatMap(({ scripts }) => scripts),
      metadata: packageMetadata(
        lock.packages,
        opened.map(({ words }) => words),
      ),
      ownerOf: (name) => owners.get(name),
    };
  },
};

/**
 * Fetches what the store lacks; gives the paths in the order of the packages.
 * @param lockPath where the packages are locked, for messages
 */
export function fetchPackages(packages: readonly LockedPackage[], lockPath: string): Promise<string[]> {
  let mirrors: Promise<Record<string, string[]>> | undefined;
  const addresses = async ({ archive, path }: LockedPackage) =>
    ((await (mirrors ??= debianMirrors()))[archive] ?? []).map((base) => `${base}/${escapePath(path)}`);
  const hint = ', or name an archive that keeps old versions in SOVEREIGN_DEBIAN_SNAPSHOT';
  return fetchLocked(packages, lockPath, addresses, hint);
}

interface OpenedPackage {
  name: string;
  /** Opens the package's files as an uncompressed tar. */
  tar: () => Readable;
  scripts: InstallScript[];
  words: DebianWords;
}

/** Raised when entries are made of other files; older ones are left to be pruned. */
const FORMAT = 3;

/** Keeps what xz made slow to read in a form that is quick to read, beside what the package says of itself. */
async function unpackOne({ name, version, sha256 }: LockedPackage, file: string): Promise<OpenedPackage> {
  const key = digestOf(`${sha256} ${FORMAT}`);
  const kept = { kind: 'packages', key, keep: 2000, label: `${name} ${version}` };
  const { folder } = await keptEntry(kept, async (target) => {
    const deb = openDeb(await readFile(file), name);
    const control = await deb.control();
    const scripts = scriptNames.flatMap((script) => {
      const text = control.get(script);
      return text === undefined ? [] : [{ package: name, name: script, text }];
    });
    await pipeline(deb.data(), createZstdCompress(), createWriteStream(join(target, 'data.tar.zst')));
    const words: DebianWords = {
      control: control.get('control') ?? '',
      ...(await readDocumentation(name, readTar(target))),
    };
    await writeFile(join(target, 'control.json'), JSON.stringify({ scripts, words }));
  });
  const said = JSON.parse(await readFile(join(folder, 'control.json'), 'utf8')) as Pick<
    OpenedPackage,
    'scripts' | 'words'
  >;
  return { name, tar: () => readTar(folder), ...said };
}

const readTar = (folder: string): Readable => readZstd(join(folder, 'data.tar.zst'));

/** Where Debian's policy (12.5) has a package's licences: in a file, or in the folder of another package of its source. */
async function readDocumentation(
  name: string,
  tar: Readable,
): Promise<Pick<DebianWords, 'copyright' | 'documentedBy'>> {
  const folder = `usr/share/doc/${name}`;
  const found: Pick<DebianWords, 'copyright' | 'documentedBy'> = {};
  for await (const entry of tar.pipe(extract())) {
    const path = entry.header.name.replace(/^\.\/|\/$/g, '');
    if (path === folder && entry.header.type === 'symlink') {
      found.documentedBy = basename(entry.header.linkname);
    }
    if (path === `${folder}/copyright` && entry.header.type === 'file') {
      found.copyright = (await buffer(entry)).toString('utf8');
    } else entry.resume();
  }
  return found;
}

/** One tar of all entries, in order; says of each which package it comes from before it can be read. */
function concatenate(
  packages: readonly OpenedPackage[],
  onEntry: (name: string, owner: string) => void,
): Readable {
  const out = pack();
  copyAll(packages, onEntry, out).then(
    () => out.finalize(),
    (error: unknown) => out.destroy(error as Error),
  );
  // tar-stream's streams are not Node's own; callers get one that is.
  return Readable.from(out, { objectMode: false });
}

async function copyAll(
  packages: readonly OpenedPackage[],
  onEntry: (name: string, owner: string) => void,
  out: Pack,
): Promise<void> {
  for (const { name, tar } of packages) {
    for await (const entry of tar().pipe(extract())) {
      onEntry(entry.header.name, name);
      await pipeline(
        entry as unknown as Readable,
        out.entry(entry.header) as unknown as NodeJS.WritableStream,
      );
    }
  }
}
