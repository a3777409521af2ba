import { readdir, readFile, readlink, lstat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { cleanPath, type Tree } from './tree.ts';

/**
 * Lays a folder of the repository over the tree. Owners are root; of the mode only the executable bit counts, as in
 * git, so that the umask of a checkout changes nothing.
 */
export async function addOverlay(tree: Tree, folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const source = join(entry.parentPath, entry.name);
    const path = cleanPath(relative(folder, source));
    if (entry.isDirectory()) {
      if (!tree.entries.has(path)) tree.directory(path);
    } else if (entry.isSymbolicLink()) tree.link(path, await readlink(source), { source: 'overlay' });
    else {
      const executable = ((await lstat(source)).mode & 0o100) !== 0;
      tree.file(path, await readFile(source), {
        mode: executable ? 0o755 : 0o644,
        source: 'overlay',
      });
    }
  }
}
