import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ServiceDefinition } from './definition.ts';

export interface FoundService {
  /** Folder and Nx project name, for example `rootfs-sql`. */
  project: string;
  folder: string;
  definition: ServiceDefinition;
}

/** Loads the definition in `<folder>/service.config.ts`. */
export async function loadService(folder: string): Promise<FoundService> {
  const module = (await import(pathToFileURL(join(folder, 'service.config.ts')).href)) as {
    default: ServiceDefinition;
  };
  return { project: basename(folder), folder, definition: module.default };
}

/** Every service of the workspace, sorted by network index: each folder in `packages/` with a definition. */
export async function findServices(root: string): Promise<FoundService[]> {
  const packages = join(root, 'packages');
  const folders = (await readdir(packages))
    .map((name) => join(packages, name))
    .filter((folder) => existsSync(join(folder, 'service.config.ts')));
  const found = await Promise.all(folders.map(loadService));
  return found.sort((a, b) => a.definition.net.index - b.definition.net.index);
}
