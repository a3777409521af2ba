import type { PromiseExecutor } from '@nx/devkit';
import { menuconfig } from '@sovereign/kernel';
import { note } from '@sovereign/report';
import { openToolRoot } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { configureKernel, openKernel, openSource, type KernelOptions } from '../lib/kernel.ts';

/** Opens the kernel's menu on the project's configuration; what was changed is printed as lines for a fragment. */
const kernelMenuconfig: PromiseExecutor<KernelOptions> = async (options, context) => {
  const kernel = await openKernel(options, context);
  const tools = await openToolRoot();
  const config = await configureKernel(kernel, tools);
  const changes = await menuconfig(await openSource(kernel, tools), config, tools);
  if (changes.length === 0) note('nothing was changed');
  else process.stdout.write(`${changes.join('\n')}\n`);
  return { success: true };
};

export default announced(kernelMenuconfig);
