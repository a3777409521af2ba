import { join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';

/** Absolute path of the project that a task belongs to. */
export function projectFolder({ root, projectName, projectsConfigurations }: ExecutorContext): string {
  const project = projectName === undefined ? undefined : projectsConfigurations.projects[projectName];
  if (project === undefined) throw new Error('an executor was called without a project');
  return join(root, project.root);
}
