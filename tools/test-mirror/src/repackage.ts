import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { fetchPackages, openDeb, readLock, type Lock, type LockedPackage } from '@sovereign/base';
import type { ApkFile } from '@sovereign/base/testing';
import { busyboxLinks } from '@sovereign/guest';
import { SovereignError } from '@sovereign/report';
import { elfNeeds } from '@sovereign/rootfs';
import { extract } from 'tar-stream';
import { alpinePath, libraryNames, plans, RELEASE, type Plan } from './layout.ts';
import { ownLock } from './locks.ts';
import type { PackageInfo } from './package.ts';

/** What a package of the mirror says of itself, and its files. */
export interface Repackaged {
  info: PackageInfo;
  files: ApkFile[];
}

/** Makes Alpine packages of the Debian ones of these locks, no package of which is in two. */
export async function repackage(lockPaths: readonly string[]): Promise<Repackaged[]> {
  const locks = await Promise.all(lockPaths.map(readLock));
  const locked = locks.flatMap(({ packages }) => packages);
  const names = locked.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) {
    throw new SovereignError({
      code: 'stale-lock',
      what: `${twice} is in two locks of the mirror`,
      on: ownLock,
      hint: 'Make its own anew: nx run test-mirror:lock',
    });
  }
  const debian = new Map<string, ApkFile[]>();
  for (const [index, lock] of locks.entries()) await readDebian(lock, lockPaths[index] ?? '', debian);
  const packages = plans(Object.keys(busyboxLinks).map((path) => `/${path}`)).map((plan) => {
    const sources = [plan.from, ...(plan.also ?? [])].map((name) => debian.get(name) ?? []);
    return finish(
      plan,
      sources.flatMap((files) => take(files, plan.takes)),
      versionOf(locked, plan.from),
    );
  });
  const named = new Set(packages.flatMap(({ info }) => info.name));
  const libraries = locked
    .filter(({ name }) => (debian.get(name)?.length ?? 0) > 0 && !isPlanned(name))
    .map(({ name }) => {
      const plan: Plan = { name: libraryNames[name] ?? name, from: name };
      if (named.has(plan.name)) throw new Error(`two packages of the mirror are called ${plan.name}`);
      return finish(plan, debian.get(name) ?? [], versionOf(locked, name));
    });
  return link([...packages, ...libraries]);

  function isPlanned(name: string): boolean {
    return plans([]).some(({ from, also = [] }) => from === name || also.includes(name));
  }
}

/** Adds files by Debian package, at Alpine's paths. */
async function readDebian(lock: Lock, lockPath: string, all: Map<string, ApkFile[]>): Promise<void> {
  const files = await fetchPackages(lock.packages, lockPath);
  for (const [index, { name }] of lock.packages.entries()) {
    const entries = await readEntries(openDeb(await readFile(files[index] ?? ''), name).data());
    all.set(name, name === 'ca-certificates' ? [bundle(entries)] : entries);
  }
}

async function readEntries(tar: Readable): Promise<ApkFile[]> {
  const entries = new Map<string, ApkFile>();
  for await (const entry of tar.pipe(extract())) {
    const { name, type, mode, linkname } = entry.header;
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const own = (text: string) => text.replace(/^\.?\//, '');
    const path = alpinePath(own(name));
    // Folders come with what lies in them.
    if (path === undefined || type === 'directory') continue;
    const bits = mode & 0o7777;
    if (type === 'file') entries.set(own(name), { path, mode: bits, body: Buffer.concat(chunks) });
    else if (type === 'symlink') entries.set(own(name), { path, link: linkname });
    else {
      const target = entries.get(own(linkname));
      if (target === undefined) throw new Error(`${name}: a link to what is not there`);
      entries.set(own(name), { ...target, path });
    }
  }
  return [...entries.values()];
}

/** One file of all authorities, as Alpine's package has it. */
function bundle(entries: readonly ApkFile[]): ApkFile {
  const texts = entries
    .filter(({ path }) => path.endsWith('.crt'))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ body = '' }) => `${body.toString().trimEnd()}\n`);
  return { path: 'etc/ssl/certs/ca-certificates.crt', body: Buffer.from(texts.join('')) };
}

/** Removes what a plan takes from what is left of a Debian package. */
function take(files: ApkFile[], wanted = /(?:)/): ApkFile[] {
  const taken = files.filter(({ path }) => wanted.test(path));
  files.splice(0, files.length, ...files.filter(({ path }) => !wanted.test(path)));
  return taken;
}

function finish(plan: Plan, taken: readonly ApkFile[], version: string): Repackaged {
  const { name, description, license, scripts, triggers, replaces, providerPriority } = plan;
  const own = (relations: readonly string[] = []) =>
    relations.map((text) => text.replace('VERSION', version));
  return {
    info: {
      name,
      version,
      origin: plan.from,
      description: description ?? `A stand-in, made of Debian’s ${plan.from}`,
      ...(license === undefined ? {} : { license }),
      ...(scripts === undefined ? {} : { scripts }),
      ...(triggers === undefined ? {} : { triggers }),
      ...(replaces === undefined ? {} : { replaces }),
      ...(providerPriority === undefined ? {} : { providerPriority }),
      depends: own(plan.depends),
      provides: own(plan.provides),
      ...(plan.installIf === undefined ? {} : { installIf: own(plan.installIf) }),
    },
    files: sortWithFolders([...taken, ...(plan.adds ?? [])]),
  };
}

/** A version that apk understands: Debian's without epoch, revision and what was repackaged. */
function versionOf(locked: readonly LockedPackage[], from: string): string {
  if (from === 'release') return `${RELEASE}-r0`;
  const version = locked.find(({ name }) => name === from)?.version;
  const upstream = /^(?:\d+:)?(\d+(?:\.\d+)*[a-z]?)/.exec(version ?? '')?.[1];
  if (upstream === undefined)
    throw new Error(`${from}: no version that apk would understand: ${version ?? ''}`);
  return `${upstream}-r0`;
}

const needsOf = ({ body = '' }: ApkFile): string[] =>
  (Buffer.isBuffer(body) ? elfNeeds(body)?.libraries : undefined) ?? [];

/** Names of the libraries that a package brings. */
const librariesOf = ({ files }: Repackaged): string[] =>
  files
    .filter(({ path }) => /^(usr\/)?lib\/[^/]+\.so(\.[^/]*)?$/.test(path))
    .map(({ path }) => basename(path));

/** Leaves out programs whose libraries the lock has not: those are trimmed on Debian, and nothing here calls them. */
function withoutUnlinkable(packages: readonly Repackaged[]): Repackaged[] {
  const there = new Set(packages.flatMap(librariesOf));
  return packages.map(({ info, files }) => ({
    info,
    files: files.filter((file) => needsOf(file).every((library) => there.has(library))),
  }));
}

/** Adds what abuild finds by looking: `so:` names that a package brings, and those that its programs need. */
function link(packages: readonly Repackaged[]): Repackaged[] {
  return withoutUnlinkable(packages).map((one) => {
    const { info, files } = one;
    const own = new Set(librariesOf(one));
    const needs = new Set(files.flatMap(needsOf));
    const sonames = [...own].sort().map((name) => `so:${name}=${info.version.replace(/-r\d+$/, '')}`);
    const wanted = [...needs].filter((name) => !own.has(name)).sort();
    return {
      files,
      info: {
        ...info,
        depends: [...(info.depends ?? []), ...wanted.map((name) => `so:${name}`)],
        provides: [...(info.provides ?? []), ...sonames],
      },
    };
  });
}

/** Sorted as in the C locale, with every folder that something lies in, as abuild packs them. */
function sortWithFolders(files: readonly ApkFile[]): ApkFile[] {
  const all = new Map<string, ApkFile>();
  for (const file of files) {
    const parts = file.path.split('/');
    for (let length = 1; length < parts.length; length++) {
      const path = parts.slice(0, length).join('/');
      if (!all.has(path)) all.set(path, { path });
    }
    all.set(file.path, file);
  }
  return [...all.values()].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}
