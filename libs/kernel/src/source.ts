import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fetchPackages, openDeb } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { contentKeyed, fetchVerified, workspaceRoot } from '@sovereign/store';
import { extract } from 'tar-stream';
import type { ToolRunner } from './runner.ts';
import { describeSource, type KnownSource, type SourceLock, type SourceOrigin } from './source-lock.ts';

export interface KernelSource extends KnownSource {
  /** The unpacked tree. */
  folder: string;
}

/** Kernel.org's network of mirrors, or SOVEREIGN_KERNEL_MIRROR, which holds the same tree. */
const kernelMirrors = (): string[] => {
  const named = process.env.SOVEREIGN_KERNEL_MIRROR;
  return named === undefined || named === ''
    ? ['https://cdn.kernel.org/pub', 'https://www.kernel.org/pub']
    : [named.replace(/\/+$/, '')];
};

/** Where this workspace locks the source, for messages. */
const lockFile = () => join(workspaceRoot(), 'packages/kernel/source.lock.json');

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
    hint: "Name a mirror in SOVEREIGN_KERNEL_MIRROR, or take Debian's source of the kernel: the line SOVEREIGN_KERNEL_SOURCE=debian in .env.local",
    cause: error,
  });
}

/** Takes the tarball out of Debian's package and puts it into `target`. */
async function fetchDebian({ debian }: SourceLock, target: string): Promise<string> {
  const [file = ''] = await fetchPackages([debian], lockFile());
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
