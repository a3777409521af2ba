import { createHash } from 'node:crypto';
import { pack } from 'tar-stream';

/** One entry of an archive; path without a leading slash. */
export type TarEntry = {
  path: string;
  /** Permission bits. */
  mode: number;
  /** Names; the numbers beside them are 0, as in Alpine's packages. `root` where not given. */
  owner?: string;
  group?: string;
} & ({ type: 'file'; content: Buffer } | { type: 'directory' } | { type: 'symlink'; target: string });

/** Blocks of zeros that end a tar. */
const END = 1024;

/**
 * A tar of the entries in their order, every time the epoch. The same entries always give the same bytes.
 * @param checksums adds the PAX record with which apk verifies each file and link
 */
export async function makeTar(entries: readonly TarEntry[], { checksums = false } = {}): Promise<Buffer> {
  const tar = pack();
  const chunks: Buffer[] = [];
  tar.on('data', (chunk) => chunks.push(chunk as Buffer));
  for (const entry of entries) {
    const { path: name, mode, type, owner: uname = 'root', group: gname = 'root' } = entry;
    const header = { name, mode, type, uid: 0, gid: 0, uname, gname, mtime: new Date(0) };
    // Of a file's content, of a link's target.
    const pax = (checked: Buffer | string) =>
      checksums
        ? { pax: { 'APK-TOOLS.checksum.SHA1': createHash('sha1').update(checked).digest('hex') } }
        : {};
    if (entry.type === 'file') tar.entry({ ...header, ...pax(entry.content) }, entry.content);
    else if (entry.type === 'symlink') tar.entry({ ...header, ...pax(entry.target), linkname: entry.target });
    else tar.entry(header);
  }
  const done = new Promise<void>((resolve, reject) => {
    tar.on('end', resolve);
    tar.on('error', reject);
  });
  tar.finalize();
  await done;
  return Buffer.concat(chunks);
}

/** Without the blocks that end it, so that the next member of a package reads on in the same tar (abuild-tar --cut). */
export const cutTar = (tar: Buffer): Buffer => tar.subarray(0, tar.length - END);
