import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import type { Tree } from './tree.ts';

/**
 * Writes the tree as one tar: entries sorted bytewise, numeric owners without names, every time the epoch. The same
 * tree always gives the same bytes.
 */
export async function writeTar(tree: Tree, path: string): Promise<void> {
  const tar = pack();
  const sink = Readable.from(tar, { objectMode: false }).pipe(createWriteStream(path));
  const done = finished(sink);
  for (const name of tree.sortedPaths()) {
    const entry = tree.entries.get(name);
    if (entry === undefined) continue;
    const header = { name, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: new Date(0) };
    const content = entry.type === 'file' ? await tree.read(entry.content) : undefined;
    await new Promise<void>((resolve, reject) => {
      const written = (error?: Error | null) => (error ? reject(error) : resolve());
      if (entry.type === 'symlink')
        tar.entry({ ...header, type: 'symlink', linkname: entry.target }, written);
      else if (content !== undefined) tar.entry({ ...header, type: 'file' }, content, written);
      else tar.entry({ ...header, type: 'directory' }, written);
    });
  }
  tar.finalize();
  await done;
}
