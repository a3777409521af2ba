import { createHash, createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';

/** A key that signs packages and indexes made for tests. */
export interface SigningKey {
  /** As the key's file is called: `NAME.rsa.pub`. */
  name: string;
  /** SubjectPublicKeyInfo, PEM: what lies in a folder of trusted keys. */
  publicKey: string;
  privateKey: KeyObject;
}

/** A new RSA key. */
export function makeKey(name: string): SigningKey {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { name: `${name}.rsa.pub`, publicKey, privateKey: createPrivateKey(privateKey) };
}

/** An entry of a package's data: a file with a body, a link with a target, else a folder. */
export interface ApkFile {
  path: string;
  body?: string | Buffer;
  /** Target of a symbolic link, or with `hard` of a hard one, which names a path of the package. */
  link?: string;
  hard?: true;
  /** Permission bits; by default 0644 for files, 0755 for folders. */
  mode?: number;
  /** By name, as abuild stores it; the number stays 0. */
  user?: string;
  group?: string;
}

/** What a package says of itself. Lists are in the words of its .PKGINFO and of the index. */
export interface ApkOptions {
  name: string;
  version: string;
  arch?: string;
  origin?: string;
  description?: string;
  url?: string;
  license?: string;
  commit?: string;
  /** Seconds since 1970. */
  buildTime?: number;
  depends?: readonly string[];
  provides?: readonly string[];
  replaces?: readonly string[];
  installIf?: readonly string[];
  providerPriority?: number;
  /** Globs of folders; goes with a script `.trigger`. */
  triggers?: readonly string[];
  /** Text by name: `.post-install`, `.trigger`… */
  scripts?: Readonly<Record<string, string>>;
  files?: readonly ApkFile[];
  /** Instead of `files`, where they were packed before: compressing is what takes long. */
  data?: ApkData;
}

/** The files of a package as its data member. */
export interface ApkData {
  member: Buffer;
  /** Bytes of all files. */
  size: number;
}

export interface MadeApk {
  /** The whole file. */
  file: Buffer;
  /** Lines of the index, without the blank one that ends a stanza. */
  stanza: string;
  /** `NAME-VERSION.apk`, as a mirror calls it. */
  fileName: string;
}

export type SignatureKind = 'RSA' | 'RSA256';

/**
 * A package in the form of apk-package(5), version 2: gzip members of signature, control and data. Made for tests: the
 * same options and key give the same bytes.
 */
export async function makeApk(
  options: ApkOptions,
  key: SigningKey,
  kind: SignatureKind = 'RSA',
): Promise<MadeApk> {
  const { name, version, arch = 'aarch64', files = [], scripts = {} } = options;
  const { member: data, size } = options.data ?? (await makeData(files));
  const info = pkginfo(options, arch, size, digest('sha256', data).toString('hex'));
  const control = compress(
    cut(
      await tar([
        { header: { name: '.PKGINFO' }, body: info },
        ...Object.entries(scripts).map(([script, body]) => ({ header: { name: script, mode: 0o755 }, body })),
      ]),
    ),
  );
  const file = Buffer.concat([await signature(control, key, kind), control, data]);
  const identity = `Q1${digest('sha1', control).toString('base64')}`;
  return {
    file,
    stanza: stanza(options, arch, identity, file.length, size),
    fileName: `${name}-${version}.apk`,
  };
}

/** Packs files in their order. */
export const makeData = async (files: readonly ApkFile[]): Promise<ApkData> => ({
  member: compress(await dataTar(files)),
  size: files.reduce((sum, { body = '' }) => sum + Buffer.byteLength(body), 0),
});

/** A signed APKINDEX.tar.gz of these packages. */
export async function makeIndex(
  packages: readonly Pick<MadeApk, 'stanza'>[],
  key: SigningKey,
  kind: SignatureKind = 'RSA',
): Promise<Buffer> {
  const text = packages.map((made) => `${made.stanza}\n\n`).join('');
  const index = compress(
    await tar([
      { header: { name: 'DESCRIPTION' }, body: 'v3.24 test' },
      { header: { name: 'APKINDEX' }, body: text },
    ]),
  );
  return Buffer.concat([await signature(index, key, kind), index]);
}

/** The member that vouches for the bytes after it, as abuild-sign makes it. */
export async function signature(signed: Buffer, key: SigningKey, kind: SignatureKind): Promise<Buffer> {
  const made = sign(kind === 'RSA' ? 'sha1' : 'sha256', signed, key.privateKey);
  return compress(cut(await tar([{ header: { name: `.SIGN.${kind}.${key.name}` }, body: made }])));
}

const digest = (algorithm: string, bytes: string | Buffer): Buffer =>
  createHash(algorithm).update(bytes).digest();

const compress = (bytes: Buffer): Buffer => gzipSync(bytes, { level: 9 });

/** A tar without its end-of-archive blocks, so that the next member's tar continues it. */
const cut = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length - 1024);

interface TarEntry {
  header: Partial<Header> & { name: string };
  body?: string | Buffer;
}

async function tar(entries: readonly TarEntry[]): Promise<Buffer> {
  const out = pack();
  for (const { header, body } of entries) {
    const full = { mtime: new Date(0), uname: 'root', gname: 'root', ...header };
    if (body === undefined) out.entry(full);
    else out.entry(full, body);
  }
  out.finalize();
  return buffer(Readable.from(out, { objectMode: false }));
}

/** With the checksum that abuild-tar puts beside every file and link. */
const dataTar = (files: readonly ApkFile[]): Promise<Buffer> =>
  tar(
    files.map(({ path, body, link, hard, mode, user = 'root', group = 'root' }): TarEntry => {
      const owned = { name: path, uname: user, gname: group };
      const pax = { 'APK-TOOLS.checksum.SHA1': digest('sha1', body ?? link ?? '').toString('hex') };
      if (link !== undefined) {
        const type = hard === true ? 'link' : 'symlink';
        return { header: { ...owned, type, linkname: link, mode: 0o777, pax } };
      }
      if (body === undefined) return { header: { ...owned, type: 'directory', mode: mode ?? 0o755 } };
      return { header: { ...owned, mode: mode ?? 0o644, pax }, body };
    }),
  );

function pkginfo(options: ApkOptions, arch: string, size: number, dataHash: string): string {
  const {
    name,
    version,
    origin = name,
    description = 'made for a test',
    url = '',
    license = 'CC0-1.0',
    commit = '',
    buildTime = 0,
    providerPriority,
    depends = [],
    provides = [],
    replaces = [],
    installIf = [],
    triggers = [],
  } = options;
  const each = (key: string, values: readonly string[]) => values.map((value) => [key, value]);
  const lines = [
    ['pkgname', name],
    ['pkgver', version],
    ['pkgdesc', description],
    ['url', url],
    ['builddate', String(buildTime)],
    ['size', String(Math.max(size, 1))],
    ['arch', arch],
    ['origin', origin],
    ['commit', commit],
    ...each('provider_priority', providerPriority === undefined ? [] : [String(providerPriority)]),
    ['license', license],
    ...each('replaces', replaces),
    ...each('depend', depends),
    ...each('provides', provides),
    ...each('triggers', triggers.length === 0 ? [] : [triggers.join(' ')]),
    ...each('install_if', installIf.length === 0 ? [] : [installIf.join(' ')]),
    ['datahash', dataHash],
  ];
  return `# Generated for a test\n${lines.map((line) => `${line.join(' = ')}\n`).join('')}`;
}

function stanza(options: ApkOptions, arch: string, identity: string, fileSize: number, size: number): string {
  const { name, version, origin = name, buildTime = 0, commit = '', providerPriority } = options;
  const { depends = [], provides = [], installIf = [] } = options;
  const optional = (letter: string, value: string) => (value === '' ? [] : [`${letter}:${value}`]);
  return [
    `C:${identity}`,
    `P:${name}`,
    `V:${version}`,
    `A:${arch}`,
    `S:${fileSize}`,
    `I:${Math.max(size, 1)}`,
    `T:${options.description ?? 'made for a test'}`,
    `U:${options.url ?? ''}`,
    `L:${options.license ?? 'CC0-1.0'}`,
    `o:${origin}`,
    `t:${buildTime}`,
    ...optional('c', commit),
    ...optional('k', providerPriority === undefined ? '' : String(providerPriority)),
    ...optional('D', depends.join(' ')),
    ...optional('p', provides.join(' ')),
    ...optional('i', installIf.join(' ')),
  ].join('\n');
}
