import { join } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import {
  chooseOrigin,
  configure,
  describeSource,
  kernelSource,
  readAllowed,
  readFragments,
  readSourceLock,
  type KernelSource,
  type KnownSource,
  type SourceLock,
  type SourceOrigin,
} from '@sovereign/kernel';
import type { ToolRoot } from '@sovereign/tools';
import { projectFolder } from './project.ts';

export interface KernelOptions {
  base?: 'alpine' | 'debian';
}

export interface KernelProject {
  folder: string;
  dist: string;
  origin: SourceOrigin;
  lock: SourceLock;
  /** What is known of the source before it is fetched. */
  known: KnownSource;
}

/** The kernel's project, and which of its two sources a task works with. */
export async function openKernel(options: KernelOptions, context: ExecutorContext): Promise<KernelProject> {
  const folder = projectFolder(context);
  const lock = await readSourceLock(join(folder, 'source.lock.json'));
  const origin = chooseOrigin(options.base);
  return { folder, dist: join(folder, 'dist'), origin, lock, known: describeSource(lock, origin) };
}

export const openSource = ({ lock, origin }: KernelProject, tools: ToolRoot): Promise<KernelSource> =>
  kernelSource(lock, origin, tools);

/** The checked configuration of the project's fragments. */
export async function configureKernel(kernel: KernelProject, tools: ToolRoot): Promise<string> {
  const fragments = await readFragments(join(kernel.folder, 'fragments'));
  const exceptions = await readAllowed(join(kernel.folder, 'allow.json'));
  return configure(await openSource(kernel, tools), fragments, exceptions, tools);
}
