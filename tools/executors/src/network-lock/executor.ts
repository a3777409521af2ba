import type { PromiseExecutor } from '@nx/devkit';
import { lockNetwork } from '@sovereign/network';
import { announced } from '../lib/announced.ts';

/** Pins every module of the network programs by sum, for the versions that their go.mod files name. */
const networkLock: PromiseExecutor = async () => {
  await lockNetwork();
  return { success: true };
};

export default announced(networkLock);
