import { join } from 'node:path';
import { findServices, guestAddress, makeRelease, readManifest, type FoundService } from '@sovereign/service';
import type { Bundle } from './contract.ts';

/** What `build` left of everything that a release is made of, as a device takes it. */
export async function readBundle(workspace: string, { folder, definition }: FoundService): Promise<Bundle> {
  const dist = {
    kernel: join(workspace, 'packages/kernel/dist'),
    root: join(folder, 'dist'),
    agent: join(workspace, 'packages/device-agent/dist'),
    network: join(workspace, 'packages/network/dist'),
  };
  const [kernel, root, agent, network, services] = await Promise.all([
    readManifest(dist.kernel, 'kernel'),
    readManifest(dist.root, 'root'),
    readManifest(dist.agent, 'agent'),
    readManifest(dist.network, 'network'),
    findServices(workspace),
  ]);
  return {
    definition,
    release: makeRelease(definition, { kernel, root, agent, network }),
    files: {
      kernel: join(dist.kernel, kernel.image.name),
      root: join(dist.root, root.image.name),
      agent: join(dist.agent, agent.bundle.name),
      gvproxy: {
        amd64: join(dist.network, network.gvproxy.amd64.name),
        arm64: join(dist.network, network.gvproxy.arm64.name),
      },
    },
    neighbours: services
      .filter((service) => service.definition.name !== definition.name)
      .map((service) => ({
        name: service.definition.name,
        address: guestAddress(service.definition),
        definition: service.definition,
      })),
  };
}
