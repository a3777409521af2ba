import { basename, dirname } from 'node:path';
import { step } from '@sovereign/report';
import type { ToolRoot } from '@sovereign/tools';

export type Compression = 'zstd' | 'lz4hc';

export interface ErofsOptions {
  compression: Compression;
  /**
   * Most of a file that is compressed as one, in KiB, a power of two: larger packs tighter, smaller reads less for a
   * small part of a file.
   */
  cluster: number;
}

/** zstd with 256 KiB clusters; docs/decisions says what it was weighed against. */
export const erofsDefaults: ErofsOptions = { compression: 'zstd', cluster: 256 };

/** The next levels take several times as long. */
const level = { zstd: 9, lz4hc: 9 } as const;

/** Arguments of mkfs.erofs(1) that make the same image of the same tar, wherever and whenever. Pure. */
export function erofsArgs(image: string, tar: string, { compression, cluster }: ErofsOptions): string[] {
  const size = cluster * 1024;
  // The kernel keeps memory for as far as zstd looks back: never before the cluster.
  const dictionary = compression === 'zstd' ? `,dictsize=${size}` : '';
  return [
    'mkfs.erofs',
    '--quiet',
    '--tar=f',
    ...['-T', '0'],
    // A fixed UUID: an image is named by its digest, and two of them are never told apart by anything else.
    ...['-U', '00000000-0000-0000-0000-000000000000'],
    ...['-z', `${compression},level=${level[compression]}${dictionary}`],
    // Files are cut before they are compressed. To fill clusters of a fixed size, mkfs.erofs compresses each up to a
    // dozen times over until it knows how much fits.
    ...['-C', String(size), `--max-extent-bytes=${size}`],
    image,
    tar,
  ];
}

/** Makes a read-only disk image of a tar, inside the tool root. Both paths lie in the same folder. */
export async function makeErofs(
  tools: ToolRoot,
  tarPath: string,
  imagePath: string,
  options: ErofsOptions = erofsDefaults,
): Promise<void> {
  await step('make the disk image', async (handle) => {
    const argv = erofsArgs(`/out/${basename(imagePath)}`, `/out/${basename(tarPath)}`, options);
    await tools.run(argv, { binds: [{ source: dirname(imagePath), target: '/out', write: true }] });
    handle.detail(`EROFS, ${options.compression}, ${options.cluster} KiB clusters`);
  });
}
