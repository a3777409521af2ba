import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { fetchPackages, openDeb, readLock, type Lock } from '@sovereign/base';
import { busyboxLinks } from '@sovereign/guest';
import { elfNeeds } from '@sovereign/rootfs';
import { extract } from 'tar-stream';
import type { PackageInfo } from './apk.ts';
import { alpinePath, libraryNames, plans, RELEASE, type Plan } from './layout.ts';
import type { TarEntry } from './tar.ts';

/** What a package of the mirror says of itself, and its files. */
export interface Repackaged {
  info: PackageInfo;
  entries: TarEntry[];
}

/** Makes Alpine packages of the locked Debian ones. */
export async function repackage(lockPath: string): Promise<Repackaged[]> {
  const lock = await readLock(lockPath);
  const debian = await readDebian(lock, lockPath);
  const packages = plans(Object.keys(busyboxLinks).map((path) => `/${path}`)).map((plan) => {
    const sources = [plan.from, ...(plan.also ?? [])].map((name) => debian.get(name) ?? []);
    return finish(
      plan,
      sources.flatMap((files) => take(files, plan.takes)),
      versionOf(lock, plan.from),
    );
  });
  const named = new Set(packages.flatMap(({ info }) => info.name));
  const libraries = lock.packages
    .filter(({ name }) => (debian.get(name)?.length ?? 0) > 0 && !isPlanned(name))
    .map(({ name }) => {
      const plan: Plan = { name: libraryNames[name] ?? name, from: name };
      if (named.has(plan.name)) throw new Error(`two packages of the mirror are called ${plan.name}`);
      return finish(plan, debian.get(name) ?? [], versionOf(lock, name));
    });
  return link([...packages, ...libraries]);

  function isPlanned(name: string): boolean {
    return plans([]).some(({ from, also = [] }) => from === name || also.includes(name));
  }
}

/** Files by Debian package, at Alpine's paths. */
async function readDebian(lock: Lock, lockPath: string): Promise<Map<string, TarEntry[]>> {
  const files = await fetchPackages(lock.packages, lockPath);
  const all = new Map<string, TarEntry[]>();
  for (const [index, { name }] of lock.packages.entries()) {
    const entries = await readEntries(openDeb(await readFile(files[index] ?? ''), name).data());
    all.set(name, name === 'ca-certificates' ? [bundle(entries)] : entries);
  }
  return all;
}

async function readEntries(tar: Readable): Promise<TarEntry[]> {
  const entries = new Map<string, TarEntry>();
  for await (const entry of tar.pipe(extract())) {
    const { name, type, mode, linkname } = entry.header;
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const own = (text: string) => text.replace(/^\.?\//, '');
    const path = alpinePath(own(name));
    // Folders come with what lies in them.
    if (path === undefined || type === 'directory') continue;
    const bits = mode & 0o7777;
    if (type === 'file') entries.set(own(name), { path, mode: bits, type, content: Buffer.concat(chunks) });
    else if (type === 'symlink') entries.set(own(name), { path, mode: 0o777, type, target: linkname });
    else {
      const target = entries.get(own(linkname));
      if (target === undefined) throw new Error(`${name}: a link to what is not there`);
      entries.set(own(name), { ...target, path });
    }
  }
  return [...entries.values()];
}

/** One file of all authorities, as Alpine's package has it. */
function bundle(entries: readonly TarEntry[]): TarEntry {
  const texts = entries
    .filter(({ path }) => path.endsWith('.crt'))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .flatMap((entry) => (entry.type === 'file' ? [`${entry.content.toString().trimEnd()}\n`] : []));
  return {
    path: 'etc/ssl/certs/ca-certificates.crt',
    type: 'file',
    mode: 0o644,
    content: Buffer.from(texts.join('')),
  };
}

/** Removes what a plan takes from what is left of a Debian package. */
function take(files: TarEntry[], wanted = /(?:)/): TarEntry[] {
  const taken = files.filter(({ path }) => wanted.test(path));
  files.splice(0, files.length, ...files.filter(({ path }) => !wanted.test(path)));
  return taken;
}

function finish(plan: Plan, taken: readonly TarEntry[], version: string): Repackaged {
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
    entries: [...taken, ...(plan.adds ?? [])],
  };
}

/** A version that apk understands: Debian's without epoch, revision and what was repackaged. */
function versionOf(lock: Lock, from: string): string {
  if (from === 'release') return `${RELEASE}-r0`;
  const version = lock.packages.find(({ name }) => name === from)?.version;
  const upstream = /^(?:\d+:)?(\d+(?:\.\d+)*[a-z]?)/.exec(version ?? '')?.[1];
  if (upstream === undefined)
    throw new Error(`${from}: no version that apk would understand: ${version ?? ''}`);
  return `${upstream}-r0`;
}

const needsOf = (entry: TarEntry): string[] =>
  entry.type === 'file' ? (elfNeeds(entry.content)?.libraries ?? []) : [];

/** Names of the libraries that a package brings. */
const librariesOf = ({ entries }: Repackaged): string[] =>
  entries
    .filter(({ path }) => /^(usr\/)?lib\/[^/]+\.so(\.[^/]*)?$/.test(path))
    .map(({ path }) => basename(path));

/** Leaves out programs whose libraries the lock has not: those are trimmed on Debian, and nothing here calls them. */
function withoutUnlinkable(packages: readonly Repackaged[]): Repackaged[] {
  const there = new Set(packages.flatMap(librariesOf));
  return packages.map(({ info, entries }) => ({
    info,
    entries: entries.filter((entry) => needsOf(entry).every((library) => there.has(library))),
  }));
}

/** Adds what abuild finds by looking: `so:` names that a package brings, and those that its programs need. */
function link(packages: readonly Repackaged[]): Repackaged[] {
  return withoutUnlinkable(packages).map((one) => {
    const { info, entries } = one;
    const own = new Set(librariesOf(one));
    const needs = new Set(entries.flatMap(needsOf));
    const sonames = [...own].sort().map((name) => `so:${name}=${info.version.replace(/-r\d+$/, '')}`);
    const wanted = [...needs].filter((name) => !own.has(name)).sort();
    return {
      entries,
      info: {
        ...info,
        depends: [...(info.depends ?? []), ...wanted.map((name) => `so:${name}`)],
        provides: [...(info.provides ?? []), ...sonames],
      },
    };
  });
}
