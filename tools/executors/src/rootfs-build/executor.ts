import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { packageBases, type Lock } from '@sovereign/base';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs } from '@sovereign/rootfs';
import { loadService, writeManifest, type Base } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { chooseBase } from '../lib/base.ts';
import { lockPath, readGuestLock } from '../lib/guest-request.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  base?: Base;
}

/** Makes the disk image of a root file system: `dist/root.erofs` and `dist/manifest.json`. */
const rootfsBuild: PromiseExecutor<Options> = async (options, context) => {
  const folder = projectFolder(context);
  const service = await loadService(folder);
  const base = chooseBase(options.base);
  const lock = await readGuestLock(service, base);
  const packages = await packageBases[base].unpack(lock, lockPath(service, base));
  const tools = await openToolRoot();

  const dist = join(folder, 'dist');
  const scratch = join(dist, 'scratch');
  for (const name of ['scratch', 'manifest.json', 'root.erofs']) {
    await rm(join(dist, name), { recursive: true, force: true });
  }
  await mkdir(scratch, { recursive: true });
  try {
    const recipe = await guestRecipe(service, base, await builtPrograms(context.root));
    await composeRoot({ packages, ...recipe }, join(scratch, 'root.tar'));
    await makeErofs(tools, join(scratch, 'root.tar'), join(scratch, 'root.erofs'));
    await rename(join(scratch, 'root.erofs'), join(dist, 'root.erofs'));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await writeManifest(dist, {
    schema: 1,
    kind: 'root',
    service: service.definition.name,
    base,
    version: mainVersion(lock, service.definition.bases[base]?.packages.at(-1)),
    image: {
      name: 'root.erofs',
      sha256: await sha256File(join(dist, 'root.erofs')),
      size: (await stat(join(dist, 'root.erofs'))).size,
    },
  });
  return { success: true };
};

/** Version of the package that gives the image its purpose: the last that the definition names. */
const mainVersion = (lock: Lock, name: string | undefined): string =>
  lock.packages.find((entry) => entry.name === name)?.version ?? 'unknown';

export default rootfsBuild;
