import type { PromiseExecutor } from '@nx/devkit';
import { openToolRoot } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { openKernel, openSource, type KernelOptions } from '../lib/kernel.ts';

/** Fetches the kernel's source into the store, checks it against its lock and unpacks it. */
const kernelSource: PromiseExecutor<KernelOptions> = async (options, context) => {
  const kernel = await openKernel(options, context);
  await openSource(kernel, await openToolRoot());
  return { success: true };
};

export default announced(kernelSource);
