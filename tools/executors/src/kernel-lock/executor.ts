import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { refreshSourceLock } from '@sovereign/kernel';
import { note } from '@sovereign/report';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

/** Pins the newest of Debian's kernel sources; kernel.org's is raised by hand (docs/kernel.md). */
const kernelLock: PromiseExecutor = async (_options, context) => {
  const changes = await refreshSourceLock(join(projectFolder(context), 'source.lock.json'));
  for (const change of changes) note(change);
  if (changes.length === 0) note('the lock is up to date');
  return { success: true };
};

export default announced(kernelLock);
