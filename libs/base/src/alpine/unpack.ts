import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, link, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline as start, Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { SovereignError, step, type StepHandle } from '@sovereign/report';
import { cacheDir, canonicalJson, sha256, withScratch } from '@sovereign/store';
import { extract, pack, type Extract, type Header, type Pack } from 'tar-stream';
import type { InstallScript, PackageMetadata, Unpacked } from '../contract.ts';
import { gathered } from '../gathered.ts';
import { GULP, keptEntry, readZstd } from '../kept.ts';
import type { Lock } from '../lock.ts';
import { openApk } from './apk.ts';
import { APKO_VERSION, apkoLock, checkVersion, configuration, runApko, type ApkoRunner } from './apko.ts';
import { badPackage } from './bad-package.ts';
import { readRecord, type ApkEntry, type ApkoRecord } from './record.ts';

/** What links of BusyBox's applets point to, as apko makes them of the list that the package brings. */
const BUSYBOX = '/bin/busybox';

/** Raised when entries of the cache are made of other files, or by other rules; older ones are left to be pruned. */
const FORMAT = 1;

/** How hard zstd tries: twice as fast as its own level 3, a tenth more on disk. */
const LEVEL = 1;

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
    const { tar, digest, entries, owners } = await haveUnpacked(lock, opened, run, folder);
    await pipeline(
      gathered(asPackaged(whole(tar, digest), entries, owners)),
      createZstdCompress({ chunkSize: GULP, params: { [constants.ZSTD_c_compressionLevel]: LEVEL } }),
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

interface Made extends ApkoRecord {
  /** Path of the root file system, and what apko says is its SHA-256. */
  tar: string;
  digest: string;
}

/** Runs apko. A path that leads out is told in our words, also where apko has stopped at it. */
async function haveUnpacked(
  lock: Lock,
  opened: readonly Opened[],
  run: ApkoRunner,
  folder: string,
): Promise<Made> {
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
  const left = { tar: 'root.tar', record: 'record.json' };
  const command = { config: 'apko.yaml', arch: lock.arch, lock: 'lock.json', ...left };
  const record = () => readFile(join(folder, left.record), 'utf8').catch(() => '');
  const printed = await runApko(run, { verb: 'unpack', ...command }, folder).catch(async (error: unknown) => {
    const said = await record();
    if (said !== '') readRecord(said);
    throw error;
  });
  return { tar: join(folder, left.tar), digest: printed.trim(), ...readRecord(await record()) };
}

/** The tar that apko left; one that is not as it was written ends with an error. */
async function* whole(tar: string, digest: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(tar, { highWaterMark: GULP }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') === digest) return;
  throw new SovereignError({
    code: 'apko-output',
    what: 'apko left a tar of another digest than it said',
    on: tar,
    hint: 'Build again; when it stays so, check the disk',
  });
}

/**
 * apko's tar without what no package holds, and with what the packages say of their files. A file that a package holds
 * and apko has left elsewhere is an error at its end: without it the image would lack something, and nobody say so.
 * @param tar as apko leaves it
 * @param entries what the packages hold
 * @param owners the package of each file, as apko decided
 */
export function asPackaged(
  tar: AsyncIterable<Buffer>,
  entries: readonly ApkEntry[],
  owners: ReadonlyMap<string, string>,
): Readable {
  const known = new Map<string, ApkEntry>();
  for (const entry of entries) {
    const path = entry.path.replace(/\/$/, '');
    // Of a file that several packages bring, the one counts that apko took.
    const taken = (owners.get(path) ?? entry.package) === entry.package;
    if (entry.type === 'directory' || taken) known.set(path, entry);
  }
  const out = pack();
  const reader = extract();
  // An error of the source ends the entries as one of the tar does.
  start(tar, reader as unknown as Writable, () => undefined);
  copyKnown(reader, known, out).then(
    () => out.finalize(),
    (error: unknown) => out.destroy(error as Error),
  );
  // tar-stream's streams are not Node's own; callers get one that is.
  return Readable.from(out, { objectMode: false });
}

async function copyKnown(tar: Extract, known: ReadonlyMap<string, ApkEntry>, out: Pack): Promise<void> {
  // Not folders, in whose place apko takes a link to one.
  const lost = new Map([...known].filter(([, { type }]) => type !== 'directory'));
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
    await addEntry(out, { ...header, ...owned, mode }, entry);
  }
  for (const [path, entry] of lost) {
    throw badPackage(entry.package, `${path} is not where it says, since a link on the way leads elsewhere`);
  }
}

/** @param body of the entry that has this header */
async function addEntry(out: Pack, header: Header, body: unknown): Promise<void> {
  if (header.size !== 0) {
    await pipeline(body as Readable, out.entry(header) as unknown as NodeJS.WritableStream);
    return;
  }
  // Half of them are folders and links: a pipeline for each would take longer than what they hold.
  (body as Readable).resume();
  await new Promise<void>((resolve, reject) => {
    out.entry(header, '', (error) => (error ? reject(error) : resolve()));
  });
}
