import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildPrograms, type GoBuild } from '@sovereign/go';
import { writeManifest } from '@sovereign/service';
import { sha256, writeFileAtomic } from '@sovereign/store';

/** What is built, and of what. Phones and guests are arm64, machines that tests run on are either. */
export const networkPrograms: GoBuild = {
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
  const built = await buildPrograms(networkPrograms);
  await rm(join(dist, 'manifest.json'), { force: true });
  const file = async (name: string) => {
    const path = join(dist, name);
    const content = await readFile(join(built, name));
    // By rename: the one that is there may be running.
    await writeFileAtomic(path, content, 0o755);
    return { name, sha256: sha256(content), size: content.length };
  };
  await writeManifest(dist, {
    schema: 1,
    kind: 'network',
    gvproxy: { amd64: await file('gvproxy.amd64'), arm64: await file('gvproxy.arm64') },
    gvforwarder: { amd64: await file('gvforwarder.amd64'), arm64: await file('gvforwarder.arm64') },
  });
}
