import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { crc32, inflateRawSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { badPackage } from './bad-package.ts';
import type { Signature } from './signature.ts';

/**
 * Most that members may unpack to, in bytes: a file that says more is made to fill memory or disk. Alpine's largest
 * packages (compilers, firmware) unpack to less than a GiB, an index to some MB. And most files that the packages of an
 * image may hold: Alpine's largest have some ten thousand.
 */
export const limits = {
  signature: 64 << 10,
  control: 8 << 20,
  index: 64 << 20,
  data: 1 << 30,
  files: 500_000,
};

/** Scripts that apk would run at an installation (apk-package(5)); those of upgrades and removals never come up. */
const installScripts = new Set(['.pre-install', '.post-install', '.trigger']);

/** A package file, version 2: three gzip members, of which the first vouches for the second and that for the third. */
export interface Apk {
  signatures: Signature[];
  /** What the signatures are over: the compressed member of the control files. */
  signed: Buffer;
  /** `Q1` and the base64 of the SHA-1 over the same bytes: what the index calls `C:`. */
  identity: string;
  /** .PKGINFO: values by key; a key may come more than once. */
  info: Map<string, string[]>;
  /** Install scripts by name. */
  scripts: Map<string, string>;
}

/**
 * Takes a package apart and checks what its parts say of each other. Whether a key vouches for it is
 * `checkSignature`'s to say.
 * @param name what to call it in messages
 * @throws SovereignError `bad-package`
 */
export async function openApk(file: Buffer, name: string): Promise<Apk> {
  const first = gzipMember(file, 0, limits.signature, name);
  const signatures = await readSignatures(first.content, name);
  const second = gzipMember(file, first.end, limits.control, name);
  const signed = file.subarray(first.end, second.end);
  const data = file.subarray(second.end);
  const files = await smallFiles(second.content, name);
  const info = readInfo(files.get('.PKGINFO')?.toString('utf8') ?? '');
  if (info.get('datahash')?.[0] !== createHash('sha256').update(data).digest('hex')) {
    throw badPackage(name, 'its files are not those that its description names');
  }
  return {
    signatures,
    signed,
    identity: identityOf(signed),
    info,
    scripts: new Map(
      [...files]
        .filter(([key]) => installScripts.has(key))
        .map(([key, body]) => [key, body.toString('utf8')]),
    ),
  };
}

export interface OpenedIndex {
  signatures: Signature[];
  /** What the signatures are over. */
  signed: Buffer;
  /** The file APKINDEX: stanzas of packages. */
  text: string;
}

/**
 * Takes an APKINDEX.tar.gz apart.
 * @throws SovereignError `bad-package`
 */
export async function openIndex(file: Buffer, name: string): Promise<OpenedIndex> {
  const first = gzipMember(file, 0, limits.signature, name);
  const signatures = await readSignatures(first.content, name);
  const second = gzipMember(file, first.end, limits.index, name);
  if (second.end !== file.length) throw badPackage(name, 'something follows its end');
  const text = (await smallFiles(second.content, name)).get('APKINDEX')?.toString('utf8');
  if (text === undefined) throw badPackage(name, 'it holds no APKINDEX');
  return { signatures, signed: file.subarray(first.end), text };
}

export const identityOf = (control: Buffer): string =>
  `Q1${createHash('sha1').update(control).digest('base64')}`;

/** Lines `key = value`; `#` begins a comment. */
function readInfo(text: string): Map<string, string[]> {
  const info = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^(\w+) = (.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    info.set(key, [...(info.get(key) ?? []), value]);
  }
  return info;
}

async function readSignatures(tar: Buffer, name: string): Promise<Signature[]> {
  return [...(await smallFiles(tar, name))].flatMap(([file, value]) => {
    const [, algorithm, key] = /^\.SIGN\.([A-Z0-9]+)\.([^/]+)$/.exec(file) ?? [];
    return algorithm === undefined || key === undefined ? [] : [{ algorithm, key, value }];
  });
}

async function smallFiles(tar: Buffer, name: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  try {
    for await (const entry of Readable.from([tar]).pipe(extract())) {
      files.set(entry.header.name, await buffer(entry));
    }
  } catch (error) {
    throw badPackage(name, 'it is cut or damaged', error);
  }
  return files;
}

/**
 * One gzip member (RFC 1952) of a file that is several of them in a row.
 * @param limit most that it may unpack to, in bytes
 */
function gzipMember(
  file: Buffer,
  start: number,
  limit: number,
  name: string,
): { content: Buffer; end: number } {
  const body = endOfHeader(file, start);
  if (body === undefined) throw badPackage(name, 'it is cut or damaged');
  try {
    // Node's types leave out what `info` changes: how much of the input the stream was.
    const { buffer: content, engine } = inflateRawSync(file.subarray(body), {
      info: true,
      maxOutputLength: limit,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    const trailer = body + engine.bytesWritten;
    const whole =
      trailer + 8 <= file.length &&
      file.readUInt32LE(trailer) === crc32(content) &&
      file.readUInt32LE(trailer + 4) === content.length;
    if (whole) return { content, end: trailer + 8 };
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE')
      throw badPackage(name, `a part of it unpacks to more than ${limit} bytes`, error);
    throw badPackage(name, 'it is cut or damaged', error);
  }
  throw badPackage(name, 'it is cut or damaged');
}

function endOfHeader(file: Buffer, start: number): number | undefined {
  if (start + 10 > file.length || file.readUInt16BE(start) !== 0x1f8b || file[start + 2] !== 8)
    return undefined;
  const flags = file[start + 3] ?? 0;
  let at = start + 10;
  if ((flags & 4) !== 0) at += 2 + (at + 2 <= file.length ? file.readUInt16LE(at) : 0);
  for (const text of [8, 16]) {
    if ((flags & text) === 0) continue;
    const end = file.indexOf(0, at);
    if (end === -1) return undefined;
    at = end + 1;
  }
  if ((flags & 2) !== 0) at += 2;
  return (flags & 0xe0) === 0 && at < file.length ? at : undefined;
}
