import { join } from 'node:path';
import { localDevice, readBundle } from '@sovereign/device';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';

/** Deploys what was built as another release: with some more memory (MiB). For the local device's own namespaces. */
const [memory = ''] = process.argv.slice(2);
const bundle = await readBundle(
  workspaceRoot(),
  await loadService(join(workspaceRoot(), 'packages/rootfs-sql')),
);
const { release } = bundle;
const resources = { ...release.resources, memory: release.resources.memory + Number(memory) };
await localDevice().deploy({ ...bundle, release: { ...release, resources } });
