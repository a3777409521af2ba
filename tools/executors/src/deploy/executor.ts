import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { readBundle, readTailnetChange, selectDevice, type TailnetWords } from '@sovereign/device';
import { step } from '@sovereign/report';
import { keepContents } from '@sovereign/sbom';
import { loadService, type Base } from '@sovereign/service';
import { announced } from '../lib/announced.ts';
import { projectFolder } from '../lib/project.ts';

interface Options extends TailnetWords {
  device?: string;
  /** How guests are networked on this phone from now on. */
  network?: 'vsock' | 'tap';
  /** Addresses of name servers, with commas, for the guests of this phone from now on. */
  dns?: string;
  /** Decides which `build` this depends on; what was built is what is deployed. */
  base?: Base;
}

/** Puts the release of a service on a device, in the slot that does not run. */
const deploy: PromiseExecutor<Options> = async ({ device: serial, network, dns, ...words }, context) => {
  const service = await loadService(projectFolder(context));
  const device = await selectDevice({ serial, services: [service.definition.name] });
  const consent = process.env.SOVEREIGN_CONSENT === device.id;
  const tailnet = await readTailnetChange(words);
  await step(`deploy ${service.definition.name} to ${device.id}`, async (handle) => {
    const { changed, release, slot } = await device.deploy(await readBundle(context.root, service), {
      consent,
      network,
      dns: dns?.split(','),
      tailnet,
    });
    // What runs on a device is what later images are compared with.
    await keepContents(join(service.folder, 'dist'));
    if (!changed) handle.cached();
    handle.detail(`release ${release.slice(0, 12)}, slot ${slot}`);
  });
  return { success: true };
};

export default announced(deploy);
