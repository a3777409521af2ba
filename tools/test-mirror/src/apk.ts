import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { signatureMember, type SigningKey } from './sign.ts';
import { cutTar, makeTar, type TarEntry } from './tar.ts';

const compress = promisify(gzip);

/** What a package says of itself, in the words of apk-package(5). */
export interface PackageInfo {
  name: string;
  /** With the release: `1.37.0-r0`. */
  version: string;
  description?: string;
  url?: string;
  arch?: string;
  license?: string;
  /** Seconds since 1970. */
  buildTime?: number;
  /** Name of the source package. */
  origin?: string;
  depends?: readonly string[];
  provides?: readonly string[];
  replaces?: readonly string[];
  /** Conditions, at least two, under which it comes by itself. */
  installIf?: readonly string[];
  providerPriority?: number;
  /** Globs of folders at whose change `.trigger` runs. */
  triggers?: readonly string[];
  /** Text by name: `.pre-install`, `.post-install`, `.trigger`… */
  scripts?: Readonly<Record<string, string>>;
}

/** The files of a package, compressed: the part of it that takes long to make. */
export interface PackageData {
  member: Buffer;
  /** Bytes of all its files. */
  size: number;
}

/** A finished package, and what an index says of it. */
export interface Apk {
  info: PackageInfo;
  file: Buffer;
  /** `Q1` and the SHA-1 of the compressed control member. */
  identity: string;
  /** Bytes of all its files. */
  size: number;
}

export const ARCH = 'aarch64';

/** When packages were built that say nothing else: the first second of 2026. */
const BUILD_TIME = 1_767_225_600;

/** @param entries in any order; folders above them are added */
export async function makeData(entries: readonly TarEntry[]): Promise<PackageData> {
  const tar = await makeTar(sortWithFolders(entries), { checksums: true });
  const size = entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.content.length : 0), 0);
  return { member: await compress(tar), size };
}

/** Joins control and data and signs them (apk-v2(5)). */
export async function makeApk(info: PackageInfo, data: PackageData, key: SigningKey): Promise<Apk> {
  const control = await compress(cutTar(await makeTar(controlFiles(info, data))));
  const identity = `Q1${createHash('sha1').update(control).digest('base64')}`;
  const file = Buffer.concat([await signatureMember(control, key), control, data.member]);
  return { info, file, identity, size: data.size };
}

export const fileName = ({ name, version }: PackageInfo): string => `${name}-${version}.apk`;

function controlFiles(info: PackageInfo, data: PackageData): TarEntry[] {
  const text = (path: string, content: string, mode: number): TarEntry => ({
    path,
    type: 'file',
    mode,
    content: Buffer.from(content),
  });
  const scripts = Object.entries(info.scripts ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    text('.PKGINFO', packageInfo(info, data), 0o644),
    ...scripts.map(([name, content]) => text(name, content, 0o755)),
  ];
}

/** .PKGINFO, its keys in the order of abuild. */
function packageInfo(info: PackageInfo, { member, size }: PackageData): string {
  const one = (key: string, value: string | number | undefined) =>
    value === undefined ? [] : [[key, String(value)]];
  const many = (key: string, values: readonly string[] = []) => values.map((value) => [key, value]);
  const lines = [
    ...one('pkgname', info.name),
    ...one('pkgver', info.version),
    ...one('pkgdesc', info.description ?? info.name),
    ...one('url', info.url ?? 'https://example.invalid/'),
    ...one('builddate', info.buildTime ?? BUILD_TIME),
    ...one('packager', 'the test mirror of Sovereign'),
    ...one('size', Math.max(size, 1)),
    ...one('arch', info.arch ?? ARCH),
    ...one('origin', info.origin ?? info.name),
    ...one('maintainer', 'the test mirror of Sovereign'),
    ...one('provider_priority', info.providerPriority),
    ...one('license', info.license ?? 'unknown'),
    ...many('replaces', info.replaces),
    ...many('depend', info.depends),
    ...many('provides', info.provides),
    ...(info.triggers === undefined ? [] : one('triggers', info.triggers.join(' '))),
    ...(info.installIf === undefined ? [] : one('install_if', info.installIf.join(' '))),
    ...one('datahash', createHash('sha256').update(member).digest('hex')),
  ];
  return `# A stand-in, made by the test mirror of Sovereign\n${lines.map(([key, value]) => `${key} = ${value}\n`).join('')}`;
}

/** APKINDEX.tar.gz of one repository, signed (apk-index; one letter a line, a blank line between packages). */
export async function makeIndex(packages: readonly Apk[], key: SigningKey): Promise<Buffer> {
  const stanzas = packages.toSorted((a, b) => (fileName(a.info) < fileName(b.info) ? -1 : 1)).map(stanza);
  const text = (path: string, content: string): TarEntry => ({
    path,
    type: 'file',
    mode: 0o644,
    content: Buffer.from(content),
  });
  const member = await compress(
    await makeTar([text('DESCRIPTION', 'test mirror of Sovereign'), text('APKINDEX', stanzas.join(''))]),
  );
  return Buffer.concat([await signatureMember(member, key), member]);
}

function stanza({ info, file, identity, size }: Apk): string {
  const list = (letter: string, values: readonly string[] = []) =>
    values.length === 0 ? [] : [`${letter}:${values.join(' ')}`];
  return [
    `C:${identity}`,
    `P:${info.name}`,
    `V:${info.version}`,
    `A:${info.arch ?? ARCH}`,
    `S:${file.length}`,
    `I:${Math.max(size, 1)}`,
    `T:${info.description ?? info.name}`,
    `U:${info.url ?? 'https://example.invalid/'}`,
    `L:${info.license ?? 'unknown'}`,
    `o:${info.origin ?? info.name}`,
    'm:the test mirror of Sovereign',
    `t:${info.buildTime ?? BUILD_TIME}`,
    ...(info.providerPriority === undefined ? [] : [`k:${info.providerPriority}`]),
    ...list('D', info.depends),
    ...list('p', info.provides),
    ...list('i', info.installIf),
    '',
    '',
  ].join('\n');
}

/** Sorted as in the C locale, with every folder that something lies in. */
function sortWithFolders(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) {
    const parts = entry.path.split('/');
    for (let length = 1; length < parts.length; length++) {
      const path = parts.slice(0, length).join('/');
      if (!all.has(path)) all.set(path, { path, type: 'directory', mode: 0o755 });
    }
    all.set(entry.path, entry);
  }
  return [...all.values()].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}
