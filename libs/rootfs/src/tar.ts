import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { sha256 } from '@sovereign/store';
import { pack } from 'tar-stream';
import type { Tree } from './tree.ts';

/**
 * Writes the tree as one tar: entries sorted bytewise, numeric owners without names, every time the epoch. The same
 * tree always gives the same bytes. Files that are the same in everything but their name are hard links of the first
 * one: nobody writes to the image, and it has them once.
 */
export async function writeTar(tree: Tree, path: string): Promise<void> {
  const tar = pack();
  const sink = Readable.from(tar, { objectMode: false }).pipe(createWriteStream(path));
  const finish = finished(sink);
  const written = new Map<string, string>();
  for (const name of tree.sortedPaths()) {
    const entry = tree.entries.get(name);
    if (entry === undefined) continue;
    // The bit of a regular file (S_IFREG) is masked on the way out: of a mode of 0 tar-stream would make 0644.
    const mode = entry.mode | 0o100000;
    const header = { name, mode, uid: entry.uid, gid: entry.gid, mtime: new Date(0) };
    const content = entry.type === 'file' ? await tree.read(entry.content) : undefined;
    const same = content === undefined ? '' : `${entry.mode} ${entry.uid} ${entry.gid} ${sha256(content)}`;
    const first = written.get(same);
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      if (entry.type === 'symlink') tar.entry({ ...header, type: 'symlink', linkname: entry.target }, done);
      else if (content === undefined) tar.entry({ ...header, type: 'directory' }, done);
      else if (first === undefined) tar.entry({ ...header, type: 'file' }, content, done);
      else tar.entry({ ...header, type: 'link', linkname: first }, done);
    });
    // Empty ones take nothing.
    if (content !== undefined && content.length > 0 && first === undefined) written.set(same, name);
  }
  tar.finalize();
  await finish;
}
