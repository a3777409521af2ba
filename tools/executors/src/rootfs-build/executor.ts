import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { packageBases } from '@sovereign/apko';
import { lockPath, type Lock } from '@sovereign/base';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs, storedSizes } from '@sovereign/rootfs';
import { makeContents, makeSpdx, type BuiltImage } from '@sovereign/sbom';
import { loadService, writeManifest, type Base, type Manifest } from '@sovereign/service';
import { canonicalJson, sha256File, withScratch } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { chooseBase } from '../lib/base.ts';
import { readGuestLock } from '../lib/guest-request.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  base?: Base;
}

/** What a build leaves; the manifest names the others. */
const names = { image: 'root.erofs', sbom: 'root.spdx.json', contents: 'root.contents.json' } as const;

/** Makes the disk image of a root file system, its bill of materials, and `dist/manifest.json`. */
const rootfsBuild: PromiseExecutor<Options> = async (options, context) => {
  const folder = projectFolder(context);
  const service = await loadService(folder);
  const base = chooseBase(options.base);
  const lock = await readGuestLock(service, base);
  const packages = await packageBases[base].unpack(lock, lockPath(service, base));
  const tools = await openToolRoot();

  const dist = join(folder, 'dist');
  // Of this process alone: another build in the same checkout must not find half of this one.
  await withScratch(join(dist, 'scratch'), async (scratch) => {
    const recipe = await guestRecipe(service, base, await builtPrograms(context.root));
    const composed = await composeRoot({ packages, ...recipe }, join(scratch, 'root.tar'));
    await makeErofs(tools, join(scratch, 'root.tar'), join(scratch, names.image));
    const built: BuiltImage = {
      service: service.definition.name,
      version: mainVersion(lock, service.definition.bases[base]?.packages.at(-1)),
      image: await fileIn(scratch, names.image),
      lock,
      metadata: packages.metadata ?? [],
      composed,
      stored: await storedSizes(join(scratch, names.image)),
      files: recipe.files,
    };
    await writeFile(join(scratch, names.sbom), canonicalJson(makeSpdx(built)));
    await writeFile(join(scratch, names.contents), canonicalJson(makeContents(built)));
    const manifest: Manifest = {
      schema: 1,
      kind: 'root',
      service: built.service,
      base,
      version: built.version,
      image: built.image,
      sbom: await fileIn(scratch, names.sbom),
      contents: await fileIn(scratch, names.contents),
    };
    // In this order: what is there is what the manifest says, or there is none.
    await rm(join(dist, 'manifest.json'), { force: true });
    for (const name of Object.values(names)) await rename(join(scratch, name), join(dist, name));
    await writeManifest(dist, manifest);
  });
  return { success: true };
};

const fileIn = async (folder: string, name: string) => ({
  name,
  sha256: await sha256File(join(folder, name)),
  size: (await stat(join(folder, name))).size,
});

/** Version of the package that gives the image its purpose: the last that the definition names. */
const mainVersion = (lock: Lock, name: string | undefined): string =>
  lock.packages.find((entry) => entry.name === name)?.version ?? 'unknown';

export default announced(rootfsBuild);
