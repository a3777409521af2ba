import { createHash } from 'node:crypto';
import { sizeOf, type Tree, type Trimmed } from './tree.ts';

/** A file of a composed root file system. */
export interface ComposedFile {
  /** Without a leading slash. */
  path: string;
  /** Bytes of its content. */
  size: number;
  source: 'package' | 'overlay' | 'generated';
  /** The package that it is from or of, where one is known. */
  package?: string;
  /** Of what no package brings. */
  digests?: { sha1: string; sha256: string };
}

/** What a root file system was composed of. */
export interface Composed {
  /** Sorted by path; links and folders are not listed. */
  files: ComposedFile[];
  /** What rules left out of the packages. */
  trimmed: Trimmed[];
}

export async function composed(tree: Tree): Promise<Composed> {
  const files: ComposedFile[] = [];
  for (const path of tree.sortedPaths()) {
    const entry = tree.entries.get(path);
    if (entry?.type !== 'file') continue;
    const { content, source = 'generated', package: owner } = entry;
    files.push({
      path,
      size: sizeOf(content),
      source,
      ...(owner === undefined ? {} : { package: owner }),
      ...(source === 'package' ? {} : { digests: digestsOf(await tree.read(content)) }),
    });
  }
  return { files, trimmed: tree.trimmed };
}

function digestsOf(content: Buffer): { sha1: string; sha256: string } {
  const digest = (algorithm: string) => createHash(algorithm).update(content).digest('hex');
  return { sha1: digest('sha1'), sha256: digest('sha256') };
}
