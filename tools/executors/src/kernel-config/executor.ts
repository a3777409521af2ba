import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { writeFileAtomic } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { configureKernel, openKernel, type KernelOptions } from '../lib/kernel.ts';

/** Makes `dist/config` of the fragments and holds it to every line of them. */
const kernelConfig: PromiseExecutor<KernelOptions> = async (options, context) => {
  const kernel = await openKernel(options, context);
  const config = await configureKernel(kernel, await openToolRoot());
  await writeFileAtomic(join(kernel.dist, 'config'), config);
  return { success: true };
};

export default announced(kernelConfig);
