import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { gathered } from '@sovereign/base';
import { sha256 } from '@sovereign/store';
import { pack, type Pack } from 'tar-stream';
import { sizeOf, type Entry, type Tree } from './tree.ts';

/**
 * Writes the tree as one tar: entries sorted bytewise, numeric owners without names, every time the epoch. The same
 * tree always gives the same bytes. Files that are the same in everything but their name are hard links of the first
 * one: nobody writes to the image, and it has them once.
 */
export async function writeTar(tree: Tree, path: string): Promise<void> {
  const tar = pack();
  addEntries(tree, tar).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error as Error),
  );
  await pipeline(gathered(tar as AsyncIterable<Buffer>), createWriteStream(path));
}

async function addEntries(tree: Tree, tar: Pack): Promise<void> {
  const written = new Map<string, string>();
  const alike = countAlike(tree);
  for (const name of tree.sortedPaths()) {
    const entry = tree.entries.get(name);
    if (entry === undefined) continue;
    // The bit of a regular file (S_IFREG) is masked on the way out: of a mode of 0 tar-stream would make 0644.
    const mode = entry.mode | 0o100000;
    const header = { name, mode, uid: entry.uid, gid: entry.gid, mtime: new Date(0) };
    const content = entry.type === 'file' ? await tree.read(entry.content) : undefined;
    const kind = kindOf(entry);
    // Most are the only one of their size: their digest would tell nothing.
    const same =
      content === undefined || (alike.get(kind) ?? 0) < 2 ? undefined : `${kind} ${sha256(content)}`;
    const first = same === undefined ? undefined : written.get(same);
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      if (entry.type === 'symlink') tar.entry({ ...header, type: 'symlink', linkname: entry.target }, done);
      else if (content === undefined) tar.entry({ ...header, type: 'directory' }, done);
      else if (first === undefined) tar.entry({ ...header, type: 'file' }, content, done);
      else tar.entry({ ...header, type: 'link', linkname: first }, done);
    });
    // Empty ones take nothing.
    if (same !== undefined && content?.length !== 0 && first === undefined) written.set(same, name);
  }
}

/** What of a file can be compared without reading it: files that differ in it are not the same. */
const kindOf = (entry: Entry): string =>
  entry.type === 'file' ? `${entry.mode} ${entry.uid} ${entry.gid} ${sizeOf(entry.content)}` : '';

/** How many files there are of each kind. */
function countAlike(tree: Tree): Map<string, number> {
  const counts = new Map<string, number>();
  for (const entry of tree.entries.values()) {
    const kind = kindOf(entry);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
