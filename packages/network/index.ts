import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPrograms, lockModule, type GoBuild } from '@sovereign/go';
import { writeManifest } from '@sovereign/service';
import { sha256, writeFileAtomic } from '@sovereign/store';
import { lockTailscale, tailscalePrograms } from './tailscale.ts';

export { tailscalePrograms } from './tailscale.ts';

/** Switch and forwarder. Phones and guests are arm64, machines that tests run on are either. */
export const gvisorPrograms: GoBuild = {
  module: join(import.meta.dirname, 'gvisor-tap-vsock'),
  programs: [
    { name: 'gvproxy.amd64', package: './gvproxy', arch: 'amd64' },
    { name: 'gvproxy.arm64', package: './gvproxy', arch: 'arm64' },
    { name: 'gvforwarder.amd64', package: './gvforwarder', arch: 'amd64' },
    { name: 'gvforwarder.arm64', package: './gvforwarder', arch: 'arm64' },
  ],
};

/** Leaves the programs and their manifest in a folder. */
export async function buildNetwork(dist: string): Promise<void> {
  const gvisor = await buildPrograms(gvisorPrograms);
  const tailscale = await buildPrograms(await tailscalePrograms());
  await rm(join(dist, 'manifest.json'), { force: true });
  const both = async (built: string, name: string) => {
    const file = async (arch: 'amd64' | 'arm64') => {
      const content = await readFile(join(built, `${name}.${arch}`));
      // By rename: the one that is there may be running.
      await writeFileAtomic(join(dist, `${name}.${arch}`), content, 0o755);
      return { name: `${name}.${arch}`, sha256: sha256(content), size: content.length };
    };
    return { amd64: await file('amd64'), arm64: await file('arm64') };
  };
  await writeManifest(dist, {
    schema: 1,
    kind: 'network',
    gvproxy: await both(gvisor, 'gvproxy'),
    gvforwarder: await both(gvisor, 'gvforwarder'),
    tailscaled: await both(tailscale, 'tailscaled'),
  });
}

/** Brings every lock in line with the versions that the go.mod files name. */
export async function lockNetwork(): Promise<void> {
  await lockModule(gvisorPrograms.module);
  await lockTailscale();
}
