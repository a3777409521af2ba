import type { PromiseExecutor } from '@nx/devkit';
import { toolLockPath, toolRequest, type HostArch } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { refreshLock } from '../lib/lock.ts';

/** Pins the build tools, for every kind of host at once, so that the locks never drift apart. */
const toolsLock: PromiseExecutor = async () => {
  for (const arch of ['amd64', 'arm64'] satisfies HostArch[]) {
    await refreshLock(toolLockPath(arch), 'debian', toolRequest(arch));
  }
  return { success: true };
};

export default announced(toolsLock);
