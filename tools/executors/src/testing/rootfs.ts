import { basename, relative } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import type { Base } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import rootfsBuild from '../rootfs-build/executor.ts';
import rootfsLock from '../rootfs-lock/executor.ts';

/** What Nx tells an executor of the project in a folder of this workspace, as far as ours ask. */
function contextOf(folder: string): ExecutorContext {
  const root = workspaceRoot();
  const projectName = basename(folder);
  return {
    root,
    cwd: root,
    isVerbose: false,
    projectName,
    projectsConfigurations: {
      version: 2,
      projects: { [projectName]: { root: relative(root, folder) } },
    },
    nxJsonConfiguration: {},
    projectGraph: { nodes: {}, dependencies: {} },
  };
}

/** What `nx run PROJECT:lock:BASE` does, for a folder that Nx does not know, such as a copy of a service's. */
export async function lockRoot(folder: string, base: Base): Promise<void> {
  await rootfsLock({ base }, contextOf(folder));
}

/** What `nx run PROJECT:build:BASE` does, likewise; its files are in `dist` below the folder. */
export async function buildRoot(folder: string, base: Base): Promise<void> {
  await rootfsBuild({ base }, contextOf(folder));
}
