import type { PromiseExecutor } from '@nx/devkit';
import { lockPath } from '@sovereign/base';
import { loadService, type Base } from '@sovereign/service';
import { chooseBase } from '../lib/base.ts';
import { guestRequest } from '../lib/guest-request.ts';
import { refreshLock } from '../lib/lock.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  base?: Base;
}

/** Pins the packages of a root file system. */
const rootfsLock: PromiseExecutor<Options> = async (options, context) => {
  const service = await loadService(projectFolder(context));
  const base = chooseBase(options.base);
  await refreshLock(lockPath(service, base), base, guestRequest(service, base));
  return { success: true };
};

export default rootfsLock;
