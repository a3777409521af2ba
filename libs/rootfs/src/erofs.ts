import { basename, dirname } from 'node:path';
import { step } from '@sovereign/report';
import type { ToolRoot } from '@sovereign/tools';

export type Compression = 'zstd' | 'lz4hc';

export interface ErofsOptions {
  compression: Compression;
  /** Physical cluster size in KiB: larger packs tighter, smaller reads less for a small file. */
  cluster: number;
}

/** zstd with 64 KiB clusters; docs/decisions says what it was weighed against. */
export const erofsDefaults: ErofsOptions = { compression: 'zstd', cluster: 64 };

/** Levels: above these an image gets less than 2 % smaller and takes twice as long to write. */
const level = { zstd: 6, lz4hc: 9 } as const;

/** Arguments of mkfs.erofs(1) that make the same image of the same tar, wherever and whenever. Pure. */
export function erofsArgs(image: string, tar: string, { compression, cluster }: ErofsOptions): string[] {
  return [
    'mkfs.erofs',
    '--quiet',
    '--tar=f',
    ...['-T', '0'],
    // A fixed UUID: an image is named by its digest, and two of them are never told apart by anything else.
    ...['-U', '00000000-0000-0000-0000-000000000000'],
    ...['-z', `${compression},level=${level[compression]}`],
    ...['-C', String(cluster * 1024)],
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
