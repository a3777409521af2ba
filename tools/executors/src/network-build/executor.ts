import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { buildNetwork } from '@sovereign/network';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

/** Builds the network programs: `dist/gvproxy.*`, `dist/gvforwarder.*`, `dist/tailscaled.*` and `dist/manifest.json`. */
const networkBuild: PromiseExecutor<object> = async (_options, context) => {
  await buildNetwork(join(projectFolder(context), 'dist'));
  return { success: true };
};

export default announced(networkBuild);
