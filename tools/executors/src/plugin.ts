import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createNodesFromFiles, type CreateNodes, type TargetConfiguration } from '@nx/devkit';
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
