import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { lockPath } from '@sovereign/base';
import { loadService, type Base } from '@sovereign/service';
import { announced } from '../lib/announced.ts';
import { chooseBase } from '../lib/base.ts';
import { guestRequest } from '../lib/guest-request.ts';
import { lookAhead, refreshLock } from '../lib/lock.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  base?: Base;
  into?: string;
}

/** Pins the packages of a root file system. */
const rootfsLock: PromiseExecutor<Options> = async (options, context) => {
  const service = await loadService(projectFolder(context));
  const base = chooseBase(options.base);
  const path = lockPath(service, base);
  const request = guestRequest(service, base);
  if (options.into === undefined) await refreshLock(path, base, request);
  else await lookAhead(path, join(options.into, `${service.project}.lock.json`), base, request);
  return { success: true };
};

export default announced(rootfsLock);
