import { createReadStream, createWriteStream } from 'node:fs';
import { link, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline as start, Readable, type Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdCompress } from 'node:zlib';
import { SovereignError, step, type StepHandle } from '@sovereign/report';
import { cacheDir, canonicalJson, sha256, withScratch } from '@sovereign/store';
import { extract, pack, type Extract, type Pack } from 'tar-stream';
import { z } from 'zod';
import type { InstallScript, PackageMetadata, Unpacked } from '../contract.ts';
import { GULP, keptEntry, readZstd } from '../kept.ts';
import type { Lock } from '../lock.ts';
import { apkEntries, badPackage, openApk, type ApkEntry } from './apk.ts';
import { APKO_VERSION, apkoLock, checkVersion, configuration, runApko, type ApkoRunner } from './apko.ts';

/** What apko keeps in an image of what it installed (apk-tools, src/database.c). */
const DATABASE = 'usr/lib/apk/db/installed';

/** What links of BusyBox's applets point to, as apko makes them of the list that the package brings. */
const BUSYBOX = '/bin/busybox';

/** Raised when entries of the cache are made of other files, or by other rules; older ones are left to be pruned. */
const FORMAT = 1;

/** How many locks' packages are kept: a service has one, and another now and then. */
const KEPT = 8;

/**
 * Has apko unpack locked packages, whose digests were compared. What apko adds for images of its own (package
 * database, keys, device nodes, home folders) is left out but for the links to BusyBox; what its tar forgets of the
 * packages' files (owners by name, modes of folders) comes from the packages themselves. What came of the same packages
 * before is taken from the cache.
 * @param files the package files, in the order of the lock
 */
export async function unpack(lock: Lock, files: readonly string[], run: ApkoRunner): Promise<Unpacked> {
  const packages = lock.packages.map(({ name, version, sha256: digest }) => [name, version, digest]);
  const key = sha256(canonicalJson({ format: FORMAT, apko: APKO_VERSION, arch: lock.arch, packages }));
  return step('unpack packages', async (handle) => {
    const kept = { kind: 'alpine', key, keep: KEPT, label: 'what apko made of these packages' };
    const { folder, cached } = await keptEntry(kept, (target) => make(lock, files, run, target, handle));
    if (cached) handle.cached();
    const said = JSON.parse(await readFile(join(folder, 'packages.json'), 'utf8')) as Said;
    const owners = new Map(said.owners);
    return {
      tar: readZstd(join(folder, 'root.tar.zst')),
      ownersByName: true,
      scripts: said.scripts,
      metadata: said.metadata,
      ownerOf: (name) => owners.get(name),
    };
  });
}

/** What is kept beside the files. */
interface Said {
  scripts: InstallScript[];
  metadata: PackageMetadata[];
  owners: [path: string, owner: string][];
}

/** Fills an entry of the cache. */
async function make(
  lock: Lock,
  files: readonly string[],
  run: ApkoRunner,
  target: string,
  handle: StepHandle,
): Promise<void> {
  await withScratch(cacheDir('apko'), async (folder) => {
    await checkVersion(run, folder);
    const opened: Opened[] = [];
    for (const [index, { name }] of lock.packages.entries()) {
      handle.progress(index, lock.packages.length, 'packages');
      opened.push(await openOne(name, files[index] ?? '', join(folder, `${index}.apk`)));
    }
    const [layer, entries] = await buildAndRead(lock, opened, run, folder);
    const owners = await readOwners(layer);
    await pipeline(
      asPackaged(openLayer(layer), entries, owners),
      createZstdCompress({ chunkSize: GULP }),
      createWriteStream(join(target, 'root.tar.zst')),
    );
    const said: Said = {
      scripts: opened.flatMap(({ scripts }) => scripts),
      metadata: opened.map(({ metadata }) => metadata),
      owners: [...owners],
    };
    await writeFile(join(target, 'packages.json'), JSON.stringify(said));
  });
}

interface Opened {
  name: string;
  /** Where the package lies. */
  path: string;
  identity: string;
  scripts: InstallScript[];
  metadata: PackageMetadata;
}

/** Reads of a package what apko does not tell, and lays it where apko finds it. */
async function openOne(name: string, file: string, target: string): Promise<Opened> {
  const apk = await openApk(await readFile(file), name);
  // apko wants names that end in .apk; the cache and this folder may be on different file systems.
  await link(file, target).catch(() => copyFile(file, target));
  const said = (key: string) => apk.info.get(key)?.find((value) => value !== '');
  const optional = (key: keyof PackageMetadata, value: string | undefined) =>
    value === undefined ? {} : { [key]: value };
  return {
    name,
    path: target,
    identity: apk.identity,
    scripts: [...apk.scripts].map(([script, text]) => ({ package: name, name: script, text })),
    metadata: {
      name,
      version: said('pkgver') ?? '',
      ...optional('license', said('license')),
      ...optional('origin', said('origin')),
      ...optional('homepage', said('url')),
    },
  };
}

/**
 * Has apko unpack while the packages are read here: it is a process of its own. Neither is left running where the
 * other one fails, since their folder goes then.
 */
async function buildAndRead(
  lock: Lock,
  opened: readonly Opened[],
  run: ApkoRunner,
  folder: string,
): Promise<[layer: string, entries: Map<string, ApkEntry[]>]> {
  const bad = new AbortController();
  const reading = readEntries(opened).catch((error: unknown) => {
    bad.abort(error);
    throw error;
  });
  const [built, read] = await Promise.allSettled([build(lock, opened, run, folder, bad.signal), reading]);
  if (read.status === 'rejected') throw read.reason as Error;
  if (built.status === 'rejected') throw built.reason as Error;
  return [built.value, read.value];
}

/** What the packages hold, by name of the package, in the order of the lock. */
async function readEntries(opened: readonly Opened[]): Promise<Map<string, ApkEntry[]>> {
  const entries = new Map<string, ApkEntry[]>();
  for (const { name, path } of opened) {
    entries.set(name, await apkEntries(await openApk(await readFile(path), name), name));
  }
  return entries;
}

/** Runs apko, and gives the path of the root file system that it made: a compressed tar. */
async function build(
  lock: Lock,
  opened: readonly Opened[],
  run: ApkoRunner,
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  const entries = lock.packages.map(({ name, version }, index) => ({
    name,
    version,
    path: `${index}.apk`,
    identity: opened[index]?.identity ?? '',
  }));
  await writeFile(join(folder, 'lock.json'), apkoLock(entries, lock.arch));
  // apko asks for a repository, and reads none where it has a lock.
  const config = configuration({ repositories: ['unused'], keys: [], packages: [], arch: lock.arch });
  await writeFile(join(folder, 'apko.yaml'), config);
  await mkdir(join(folder, 'layout'));
  const command = { config: 'apko.yaml', arch: lock.arch, lock: 'lock.json', layout: 'layout' };
  await runApko(run, { verb: 'build', ...command }, folder, signal);
  return layerOf(join(folder, 'layout'));
}

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const indexSchema = z.object({ manifests: z.array(z.object({ digest })).length(1) });
const manifestSchema = z.object({ layers: z.array(z.object({ digest })).length(1) });

/** The one layer of an OCI image layout. */
async function layerOf(layout: string): Promise<string> {
  const blob = (name: string) => join(layout, 'blobs', name.replace(':', '/'));
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));
  try {
    const [index] = indexSchema.parse(await read(join(layout, 'index.json'))).manifests;
    const [layer] = manifestSchema.parse(await read(blob(index?.digest ?? ''))).layers;
    return blob(layer?.digest ?? '');
  } catch (cause) {
    throw notUnderstood('an image layout', layout, cause);
  }
}

const notUnderstood = (what: string, on: string, cause?: unknown): SovereignError =>
  new SovereignError({
    code: 'apko-output',
    what: `apko left ${what}, which is not understood`,
    on,
    hint: 'Report this',
    cause,
  });

/** Entries of the layer; an error of the file or of its compression ends them as one of the tar does. */
function readLayer(layer: Readable): Extract {
  const reader = extract();
  start(layer, createGunzip({ chunkSize: GULP }), reader as unknown as Writable, () => undefined);
  return reader;
}

const openLayer = (path: string): Readable => createReadStream(path, { highWaterMark: GULP });

/** Which package every file is from, as apko decided where several bring it. */
async function readOwners(layer: string): Promise<Map<string, string>> {
  let database: string | undefined;
  for await (const entry of readLayer(openLayer(layer))) {
    if (entry.header.name !== DATABASE) {
      entry.resume();
      continue;
    }
    database = (await buffer(entry)).toString('utf8');
    break;
  }
  if (database === undefined) throw notUnderstood(`an image without ${DATABASE}`, layer);
  const owners = new Map<string, string>();
  let owner = '';
  let inside = '';
  for (const line of database.split('\n')) {
    const value = line.slice(2);
    if (line.startsWith('P:')) owner = value;
    else if (line.startsWith('F:')) inside = value;
    else if (line.startsWith('R:')) owners.set(inside === '' ? value : `${inside}/${value}`, owner);
  }
  return owners;
}

/**
 * apko's tar without what no package holds, and with what the packages say of their files. A file that a package holds
 * and apko has left elsewhere is an error at its end: without it the image would lack something, and nobody say so.
 * @param layer compressed, as apko leaves it
 * @param packages what each holds, by its name
 * @param owners the package of each file, as apko decided
 */
export function asPackaged(
  layer: Readable,
  packages: ReadonlyMap<string, readonly ApkEntry[]>,
  owners: ReadonlyMap<string, string>,
): Readable {
  const known = new Map<string, Known>();
  for (const [name, entries] of packages) {
    for (const entry of entries) {
      const path = entry.path.replace(/\/$/, '');
      // Of a file that several packages bring, the one counts that apko took.
      if (entry.type === 'directory' || (owners.get(path) ?? name) === name) {
        known.set(path, { ...entry, package: name });
      }
    }
  }
  const out = pack();
  copyKnown(readLayer(layer), known, out).then(
    () => out.finalize(),
    (error: unknown) => out.destroy(error as Error),
  );
  // tar-stream's streams are not Node's own; callers get one that is.
  return Readable.from(out, { objectMode: false });
}

type Known = ApkEntry & { package: string };

async function copyKnown(tar: Extract, known: ReadonlyMap<string, Known>, out: Pack): Promise<void> {
  const lost = new Map([...known].filter(([path, entry]) => hasToBeThere(path, entry)));
  for await (const entry of tar) {
    const { header } = entry;
    const path = header.name.replace(/\/$/, '');
    const said = known.get(path);
    lost.delete(path);
    const applet = header.type === 'symlink' && header.linkname === BUSYBOX;
    if (said === undefined && !applet) {
      entry.resume();
      continue;
    }
    const owned = said === undefined ? {} : { uname: said.user, gname: said.group };
    // The bit of a regular file (S_IFREG) is masked on the way out: of a mode of 0 tar-stream would make 0644.
    const mode = (said?.mode ?? header.mode) | 0o100000;
    await pipeline(
      entry as unknown as Readable,
      out.entry({ ...header, ...owned, mode }) as unknown as NodeJS.WritableStream,
    );
  }
  for (const [path, entry] of lost) {
    throw badPackage(entry.package, `${path} is not where it says, since a link on the way leads elsewhere`);
  }
}

/**
 * Not folders, in whose place apko takes a link to one, and not hidden files of the root, which apk and apko leave out
 * at the begin of a package (apk-tools, src/extract_v2.c).
 */
const hasToBeThere = (path: string, { type }: ApkEntry): boolean =>
  type !== 'directory' && !/^\.[^/]*$/.test(path);
