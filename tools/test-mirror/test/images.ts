import { cp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readBundle, type Bundle } from '@sovereign/device';
import { buildRoot, lockRoot } from '@sovereign/executors/testing';
import {
  guestAddress,
  loadService,
  makeRelease,
  readManifest,
  type Base,
  type FoundService,
} from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { vi } from 'vitest';
import type { TestMirror } from '../src/index.ts';

const project = join(workspaceRoot(), 'packages/rootfs-sql');

export const loadSql = (): Promise<FoundService> => loadService(project);

/** Points the code at the mirror, as a user with one of their own does. */
export function useMirror({ url, keys }: TestMirror): void {
  vi.stubEnv('SOVEREIGN_ALPINE_MIRROR', url);
  vi.stubEnv('SOVEREIGN_ALPINE_KEYS', keys);
}

/**
 * Copies a service's folder.
 * @param folder below this project's `dist`: the copy's imports are looked for in the folders above it
 */
export async function copyService(service: FoundService, folder: string): Promise<void> {
  // Its tsconfig.json extends one by a path that only holds where it was.
  const left = ['dist', 'alpine.local.lock.json', 'tsconfig.json'];
  const wanted = (path: string) => !left.includes(basename(path));
  await cp(service.folder, folder, { recursive: true, verbatimSymlinks: true, filter: wanted });
}

/**
 * Copies a service's folder, as {@link copyService} does, and builds there what `nx run PROJECT:build` would build,
 * with the committed lock of Debian, or with one of whatever Alpine mirror the settings name.
 */
export async function buildCopy(service: FoundService, base: Base, folder: string): Promise<void> {
  await copyService(service, folder);
  if (base === 'alpine') await lockRoot(folder, base);
  await buildRoot(folder, base);
}

/** A service with the root image of a copy; all else is what was built. */
export async function bundleWith({ definition }: FoundService, copy: string): Promise<Bundle> {
  const workspace = workspaceRoot();
  const built = await readBundle(workspace, await loadSql());
  const [kernel, root, agent, network] = await Promise.all([
    readManifest(join(workspace, 'packages/kernel/dist'), 'kernel'),
    readManifest(join(copy, 'dist'), 'root'),
    readManifest(join(workspace, 'packages/device-agent/dist'), 'agent'),
    readManifest(join(workspace, 'packages/network/dist'), 'network'),
  ]);
  const release = makeRelease(definition, { kernel, root, agent, network });
  const files = { ...built.files, root: join(copy, 'dist', root.image.name) };
  const sql = {
    name: built.definition.name,
    address: guestAddress(built.definition),
    definition: built.definition,
  };
  const neighbours = [...built.neighbours, sql].filter(({ name }) => name !== definition.name);
  return { definition, release, files, neighbours };
}
