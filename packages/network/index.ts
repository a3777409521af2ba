import { copyFile, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPrograms, type GoBuild } from '@sovereign/go';
import { writeManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';

/** What is built, and of what. Phones are arm64, machines that tests run on are either; every guest is arm64. */
export const networkPrograms: GoBuild = {
  module: join(import.meta.dirname, 'gvisor-tap-vsock'),
  programs: [
    { name: 'gvproxy.amd64', package: './gvproxy', arch: 'amd64' },
    { name: 'gvproxy.arm64', package: './gvproxy', arch: 'arm64' },
    { name: 'gvforwarder.arm64', package: './gvforwarder', arch: 'arm64' },
  ],
};

/** Leaves the programs and their manifest in a folder. */
export async function buildNetwork(dist: string): Promise<void> {
  const built = await buildPrograms(networkPrograms);
  await mkdir(dist, { recursive: true });
  await rm(join(dist, 'manifest.json'), { force: true });
  const file = async (name: string) => {
    const path = join(dist, name);
    await copyFile(join(built, name), path);
    return { name, sha256: await sha256File(path), size: (await stat(path)).size };
  };
  await writeManifest(dist, {
    schema: 1,
    kind: 'network',
    gvproxy: { amd64: await file('gvproxy.amd64'), arm64: await file('gvproxy.arm64') },
    gvforwarder: { arm64: await file('gvforwarder.arm64') },
  });
}
