import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SovereignError } from '@sovereign/report';
import { extract, pack, type Header, type Pack } from 'tar-stream';

/** Where a caller may bind folders; they have to exist in the tree, because it is mounted read-only. */
export const mountPoints = ['/src', '/build', '/out', '/cache'] as const;

/** What the packages' install scripts would have done that the tools need. */
const links: Readonly<Record<string, string>> = {
  'usr/bin/awk': 'gawk',
  'usr/bin/cc': 'gcc',
  'usr/bin/sh': 'dash',
};
const files: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/tmp:/bin/sh\n',
  'etc/group': 'root:x:0:\n',
};
const folders = [...mountPoints, '/dev', '/proc', '/tmp'].map((path) => path.slice(1));

/** Without these the tree is none that tools can be run from. */
const needed = ['usr/bin/dash', 'usr/bin/mkfs.erofs'];

/**
 * The tools' tree as one uncompressed tar: the packages, and what they lack without their install scripts. Each path
 * is in it once, since an engine's import refuses a second one.
 * @param packages as {@link Unpacked.tar} of `@sovereign/base`
 * @throws SovereignError `bad-tools`, through the stream, where a needed program is in none of the packages
 */
export function toolTree(packages: Readable): Readable {
  const out = pack();
  fill(packages, out).then(
    () => out.finalize(),
    (error: unknown) => out.destroy(error as Error),
  );
  // tar-stream's streams are not Node's own; callers get one that is.
  return Readable.from(out, { objectMode: false });
}

async function fill(packages: Readable, out: Pack): Promise<void> {
  const reader = extract();
  packages.on('error', (error) => reader.destroy(error));
  const seen = new Set<string>();
  for await (const entry of packages.pipe(reader)) {
    const name = posix.join(entry.header.name, '.').replace(/\/$/, '');
    const again = seen.has(name);
    // A folder is in every package that has something in it.
    if (again && entry.header.type !== 'directory') throw incomplete(`two packages have ${name}`);
    seen.add(name);
    if (again || name in links || name in files) {
      entry.resume();
      continue;
    }
    const header = { ...entry.header, name };
    await pipeline(entry as unknown as Readable, out.entry(header) as unknown as NodeJS.WritableStream);
  }
  const missing = needed.filter((path) => !seen.has(path));
  if (missing.length > 0) throw incomplete(`${missing.join(', ')} is in no package`);
  for (const name of folders) {
    if (!seen.has(name)) await add(out, { name, type: 'directory', mode: 0o755 });
  }
  for (const [name, linkname] of Object.entries(links)) await add(out, { name, type: 'symlink', linkname });
  for (const [name, text] of Object.entries(files)) await add(out, { name, mode: 0o644 }, text);
}

const incomplete = (reason: string): SovereignError =>
  new SovereignError({
    code: 'bad-tools',
    what: `the build tools are not complete: ${reason}`,
    hint: 'Make the tool lock again: nx run @sovereign/tools:lock',
  });

const add = (out: Pack, header: Partial<Header> & { name: string }, text?: string): Promise<void> =>
  new Promise((resolve, reject) => {
    out.entry({ ...header, mtime: new Date(0) }, text ?? '', (error) =>
      error == null ? resolve() : reject(error),
    );
  });
