import type { PromiseExecutor } from '@nx/devkit';
import { lockRestic } from '@sovereign/backup';
import { announced } from '../lib/announced.ts';

/** Pins every module of restic by sum, for the version that its go.mod names. */
const resticLock: PromiseExecutor = async () => {
  await lockRestic();
  return { success: true };
};

export default announced(resticLock);
