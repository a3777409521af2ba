import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fetchPackages, openDeb } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { contentKeyed, fetchVerified } from '@sovereign/store';
import { extract } from 'tar-stream';
import { z } from 'zod';
import type { ToolRunner } from './runner.ts';

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** `source.lock.json`: the kernel's source, pinned twice over, by where it comes from. */
export const sourceLockSchema = z.strictObject({
  schema: z.literal(1),
  kernelOrg: z.strictObject({
    version: z.string().regex(/^\d+\.\d+\.\d+$/),
    /** Path below kernel.org's `pub/`. */
    path: z.string(),
    sha256: digest,
    /** Public packaging records that name this digest, each made by people of its own. */
    records: z
      .array(z.strictObject({ project: z.string(), url: z.url(), note: z.string().optional() }))
      .min(2, 'at least two independent records'),
  }),
  /** The package as apt named it, its archive's signature checked. */
  debian: z.strictObject({
    name: z.string(),
    version: z.string(),
    archive: z.string(),
    path: z.string(),
    size: z.int().positive(),
    sha256: digest,
  }),
});

export type SourceLock = z.output<typeof sourceLockSchema>;

/** Where the source comes from; `debian` is the configuration of that name. */
export type SourceOrigin = 'kernel.org' | 'debian';

export interface KernelSource {
  /** The unpacked tree. */
  folder: string;
  /** Digest of the archive that it was unpacked from: the hash input that stands for the tree. */
  digest: string;
  /** For example `6.12.110`. */
  version: string;
}

export async function readSourceLock(path: string): Promise<SourceLock> {
  const parsed = sourceLockSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new SovereignError({
    code: 'bad-lock',
    what: `this is no lock of a kernel source: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`,
    on: path,
    hint: 'Restore it from the repository',
  });
}

/** What is known of a source without fetching it. */
export const describeSource = (
  lock: SourceLock,
  origin: SourceOrigin,
): Pick<KernelSource, 'digest' | 'version'> =>
  origin === 'kernel.org'
    ? { digest: lock.kernelOrg.sha256, version: lock.kernelOrg.version }
    : { digest: lock.debian.sha256, version: upstreamVersion(lock.debian.version) };

/** `6.12.117-1~deb13u1` is upstream's 6.12.117. */
const upstreamVersion = (version: string): string => version.replace(/-.*$/, '');

/** Kernel.org's network of mirrors, or SOVEREIGN_KERNEL_MIRROR, which holds the same tree. */
const kernelMirrors = (): string[] => {
  const named = process.env.SOVEREIGN_KERNEL_MIRROR;
  return named === undefined || named === ''
    ? ['https://cdn.kernel.org/pub', 'https://www.kernel.org/pub']
    : [named.replace(/\/+$/, '')];
};

/** Source trees that are kept, each about 1.6 GB. */
const KEEP = 2;

/** Gives the verified, unpacked source, fetching and unpacking it where it is missing. */
export async function kernelSource(
  lock: SourceLock,
  origin: SourceOrigin,
  tools: ToolRunner,
): Promise<KernelSource> {
  const known = describeSource(lock, origin);
  const make = async (target: string) => {
    const archive = origin === 'kernel.org' ? await fetchTarball(lock) : await fetchDebian(lock, target);
    await step(`unpack Linux ${known.version}`, () =>
      tools.run(
        [
          ...['tar', '--extract', '--no-same-owner', '--strip-components=1'],
          ...['--file', `/src/${basename(archive)}`, '--directory', '/out'],
        ],
        {
          binds: [
            { source: dirname(archive), target: '/src' },
            { source: target, target: '/out', write: true },
          ],
        },
      ),
    );
    if (dirname(archive) === target) await rm(archive);
  };
  const { folder } = await contentKeyed('kernel-source', known.digest, make, KEEP);
  return { ...known, folder };
}

async function fetchTarball({ kernelOrg: { path, sha256, version } }: SourceLock): Promise<string> {
  return step(`fetch Linux ${version} from kernel.org`, async (handle) => {
    let done = 0;
    const urls = kernelMirrors().map((mirror) => `${mirror}/${path}`);
    return fetchVerified({ urls, sha256, name: basename(path) }, (count) =>
      handle.progress((done += count), undefined, 'bytes'),
    ).catch(withOtherOrigin);
  });
}

/** Who does not reach kernel.org has another way. */
function withOtherOrigin(error: unknown): never {
  if (!(error instanceof SovereignError) || error.code !== 'no-network') throw error;
  throw new SovereignError({
    code: error.code,
    what: error.what,
    on: error.on,
    hint: "Name a mirror in SOVEREIGN_KERNEL_MIRROR, or take Debian's source of the kernel: nx run kernel:build:debian",
    cause: error,
  });
}

/** Takes the tarball out of Debian's package and puts it into `target`. */
async function fetchDebian({ debian }: SourceLock, target: string): Promise<string> {
  const [file = ''] = await fetchPackages([debian]);
  const archive = join(target, 'linux-source.tar.xz');
  await step(`open ${debian.name} ${debian.version}`, async () => {
    const reader = openDeb(await readFile(file), debian.name)
      .data()
      .pipe(extract());
    for await (const entry of reader) {
      if (/^(\.\/)?usr\/src\/linux-source-[\d.]+\.tar\.xz$/.test(entry.header.name)) {
        await pipeline(entry as unknown as Readable, createWriteStream(archive));
        return;
      }
      entry.resume();
    }
    throw new SovereignError({
      code: 'bad-package',
      what: 'the package holds no usr/src/linux-source-*.tar.xz',
      on: `${debian.name} ${debian.version}`,
      hint: 'Restore source.lock.json from the repository',
    });
  });
  return archive;
}
