import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  createNodesFromFiles,
  type CreateNodes,
  type PostTasksExecution,
  type PreTasksExecution,
  type TargetConfiguration,
} from '@nx/devkit';
import { isCacheSet } from '@sovereign/remote-cache/settings';
import { loadService, type Base } from '@sovereign/service';
import { chooseBase } from './lib/base.ts';
import { checkTargets } from './targets/checks.ts';
import { serviceTargets, withoutImage } from './targets/service.ts';

/**
 * Gives every project with TypeScript sources `lint` and `test`, and every folder with a service.config.ts the
 * targets of a root file system: a new service is a folder, without a build file of its own.
 */
export const createNodes: CreateNodes = [
  '{libs,packages,tools}/*/package.json',
  (files, _options, context) =>
    createNodesFromFiles(
      (file) => targetsOf(dirname(file), context.workspaceRoot),
      files,
      undefined,
      context,
    ),
];

/**
 * Where a remote cache is set, Nx's client gets to it through a proxy that makes any fault of it a miss. Elsewhere there
 * are no such hooks, and Nx ends the plugin once the graph is there.
 */
const cached = isCacheSet(process.env);

export const preTasksExecution: PreTasksExecution | undefined = cached
  ? async (_options, context) => (await import('@sovereign/remote-cache/proxy')).openForRun(context)
  : undefined;

export const postTasksExecution: PostTasksExecution | undefined = cached
  ? async (_options, { id }) => (await import('@sovereign/remote-cache/proxy')).closeForRun(id)
  : undefined;

async function targetsOf(root: string, workspace: string): Promise<{ projects?: Record<string, object> }> {
  const has = (name: string) => existsSync(join(workspace, root, name));
  const service = has('service.config.ts') ? await targetsOfService(root, join(workspace, root)) : {};
  const targets: Record<string, TargetConfiguration> = {
    ...(has('tsconfig.json') ? checkTargets(root) : {}),
    ...service,
  };
  // The tag marks the projects whose tests boot machines: `selftest --quick` leaves them out.
  return { projects: { [root]: { targets, ...('build' in service ? { tags: ['boots'] } : {}) } } };
}

/**
 * A service that the base of this checkout does not have has no image there: `nx run-many -t build` builds what there
 * is. A definition that cannot be read has every target, and each says what is wrong with it.
 */
async function targetsOfService(root: string, folder: string): Promise<Record<string, TargetConfiguration>> {
  const bases = await loadService(folder).then(
    ({ definition }) => Object.keys(definition.bases) as Base[],
    () => undefined,
  );
  return bases?.includes(chooseBase(undefined)) === false
    ? withoutImage(serviceTargets(root))
    : serviceTargets(root);
}
