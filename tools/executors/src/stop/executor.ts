import type { PromiseExecutor } from '@nx/devkit';
import { selectDevice } from '@sovereign/device';
import { step } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  device?: string;
  timeout: number;
}

/** Stops a service cleanly and keeps everything. */
const stop: PromiseExecutor<Options> = async ({ device: serial, timeout }, context) => {
  const { definition } = await loadService(projectFolder(context));
  const device = await selectDevice({ serial, services: [definition.name] });
  await step(`stop ${definition.name} on ${device.id}`, () => device.stop(definition, timeout));
  return { success: true };
};

export default announced(stop);
