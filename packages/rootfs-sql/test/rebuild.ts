import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { packageBases } from '@sovereign/apko';
import { lockPath, readLock } from '@sovereign/base';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs, type ErofsOptions } from '@sovereign/rootfs';
import { loadService, readManifest } from '@sovereign/service';
import { sha256File, workspaceRoot } from '@sovereign/store';
import type { ToolRoot } from '@sovereign/tools';

const project = join(import.meta.dirname, '..');

/** What the image that was built is made of, and its digest. */
export async function builtRoot(): Promise<{ base: 'alpine' | 'debian'; sha256: string }> {
  const { base, image } = await readManifest(join(project, 'dist'), 'root');
  return { base, sha256: image.sha256 };
}

export interface Other {
  /** A folder of files that it has in the place of others. */
  overlay?: string;
  /** The major version that it says its data is of; the overlay has the programs in their place. */
  major?: number;
  erofs?: ErofsOptions;
}

/** Makes the image of a base once more, as `root.erofs` in a folder of its own; gives its digest. */
export async function rebuildRoot(
  tools: ToolRoot,
  folder: string,
  base: 'alpine' | 'debian',
  { overlay, major, erofs }: Other = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const found = await loadService(project);
  const { data } = found.definition;
  const definition = { ...found.definition, data: { ...data, major: major ?? data.major } };
  const service = { ...found, definition };
  const lock = lockPath(service, base);
  const packages = await packageBases[base].unpack(await readLock(lock), lock);
  const recipe = await guestRecipe(service, base, await builtPrograms(workspaceRoot()));
  const overlays = [...recipe.overlays, ...(overlay === undefined ? [] : [overlay])];
  await composeRoot({ packages, ...recipe, overlays }, join(folder, 'root.tar'));
  await makeErofs(tools, join(folder, 'root.tar'), join(folder, 'root.erofs'), erofs);
  return sha256File(join(folder, 'root.erofs'));
}
