import type { PromiseExecutor } from '@nx/devkit';
import { bootstrapLockPath, bootstrapRequest, lockToolchain } from '@sovereign/go';
import type { HostArch } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { refreshLock } from '../lib/lock.ts';

/** Pins the Go toolchain and what fetches it, for every kind of host at once. */
const goLock: PromiseExecutor = async () => {
  for (const arch of ['amd64', 'arm64'] satisfies HostArch[]) {
    await refreshLock(bootstrapLockPath(arch), 'debian', bootstrapRequest(arch));
  }
  await lockToolchain();
  return { success: true };
};

export default announced(goLock);
