import type { PromiseExecutor } from '@nx/devkit';
import { lockApko } from '@sovereign/apko';
import { announced } from '../lib/announced.ts';

/** Pins every module of apko by sum, for the version that its go.mod names. */
const apkoLock: PromiseExecutor = async () => {
  await lockApko();
  return { success: true };
};

export default announced(apkoLock);
