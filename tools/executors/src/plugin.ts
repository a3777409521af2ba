import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createNodesFromFiles, type CreateNodes, type TargetConfiguration } from '@nx/devkit';
import { checkTargets } from './targets/checks.ts';
import { serviceTargets } from './targets/service.ts';

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

function targetsOf(root: string, workspace: string): { projects?: Record<string, object> } {
  const has = (name: string) => existsSync(join(workspace, root, name));
  const targets: Record<string, TargetConfiguration> = {
    ...(has('tsconfig.json') ? checkTargets(root) : {}),
    ...(has('service.config.ts') ? serviceTargets(root) : {}),
  };
  // The tag marks the projects whose tests boot machines: `selftest --quick` leaves them out.
  return { projects: { [root]: { targets, ...(has('service.config.ts') ? { tags: ['boots'] } : {}) } } };
}
