import type { PromiseExecutor } from '@nx/devkit';
import { selectDevice } from '@sovereign/device';
import { step } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

interface Options {
  device?: string;
  timeout?: number;
}

/** Starts a service and waits until it answers a real request; the virtual machine outlives the task. */
const start: PromiseExecutor<Options> = async ({ device: serial, timeout }, context) => {
  const { definition } = await loadService(projectFolder(context));
  const device = await selectDevice({ serial, services: [definition.name] });
  await step(`start ${definition.name} on ${device.id}`, async () => {
    await device.start(definition);
    await device.waitHealthy(definition, timeout ?? definition.health.deadline);
  });
  return { success: true };
};

export default announced(start);
