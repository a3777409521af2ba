import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { bundleAgent } from '@sovereign/device';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

/** Packs the launcher: `dist/agent.tar` and `dist/manifest.json`. */
const deviceAgentBundle: PromiseExecutor<object> = async (_options, context) => {
  const folder = projectFolder(context);
  await bundleAgent(join(folder, 'src'), join(folder, 'dist'));
  return { success: true };
};

export default announced(deviceAgentBundle);
