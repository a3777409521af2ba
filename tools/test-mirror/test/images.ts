import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { packageBases } from '@sovereign/apko';
import { guestArch, readLock, type Lock } from '@sovereign/base';
import { readBundle, type Bundle } from '@sovereign/device';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs } from '@sovereign/rootfs';
import { loadService, makeRelease, readManifest, type Base, type FoundService } from '@sovereign/service';
import { sha256File, workspaceRoot } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { vi } from 'vitest';
import type { TestMirror } from '../src/index.ts';

const project = join(workspaceRoot(), 'packages/rootfs-sql');

export const loadSql = (): Promise<FoundService> => loadService(project);

/** Points the code at the mirror, as a user with one of their own does. */
export function useMirror({ url, keys }: TestMirror): void {
  vi.stubEnv('SOVEREIGN_ALPINE_MIRROR', url);
  vi.stubEnv('SOVEREIGN_ALPINE_KEYS', keys);
}

/** Locks the packages of a service from whatever mirror the settings name. */
export function lockAlpine({ definition }: FoundService): Promise<Lock> {
  const wanted = definition.bases.alpine;
  if (wanted === undefined) throw new Error(`${definition.name} has no Alpine definition`);
  const leaveOut = Object.keys(wanted.leaveOut);
  return packageBases.alpine.lock({ packages: wanted.packages, leaveOut, arch: guestArch.alpine });
}

export const lockedDebian = (): Promise<Lock> => readLock(join(project, 'debian.lock.json'));

/** Composes a service's image into a folder, as its build does; gives the path of the image. */
export async function buildImage(service: FoundService, lock: Lock, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const packages = await packageBases[lock.base].unpack(lock, 'the lock of this test');
  const recipe = await guestRecipe(service, lock.base, await builtPrograms(workspaceRoot()));
  await composeRoot({ packages, ...recipe }, join(folder, 'root.tar'));
  const image = join(folder, 'root.erofs');
  await makeErofs(await openToolRoot(), join(folder, 'root.tar'), image);
  return image;
}

/** What was built, with another root image. */
export async function bundleWith(service: FoundService, base: Base, image: string): Promise<Bundle> {
  const workspace = workspaceRoot();
  const built = await readBundle(workspace, service);
  const [kernel, root, agent, network] = await Promise.all([
    readManifest(join(workspace, 'packages/kernel/dist'), 'kernel'),
    readManifest(join(project, 'dist'), 'root'),
    readManifest(join(workspace, 'packages/device-agent/dist'), 'agent'),
    readManifest(join(workspace, 'packages/network/dist'), 'network'),
  ]);
  const file = { name: 'root.erofs', sha256: await sha256File(image), size: (await stat(image)).size };
  const release = makeRelease(service.definition, {
    kernel,
    root: { ...root, base, image: file },
    agent,
    network,
  });
  return { ...built, release, files: { ...built.files, root: image } };
}
