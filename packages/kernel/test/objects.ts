import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  compileTargets,
  describeSource,
  kernelSource,
  readSourceLock,
  type KernelSource,
} from '@sovereign/kernel';
import { readManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import type { ToolRoot } from '@sovereign/tools';

const project = join(import.meta.dirname, '..');

/** Small directories of every kind: assembly, generated sources, a version stamp, file systems, drivers, network. */
export const someTargets = [
  'init/',
  'ipc/',
  'arch/arm64/lib/',
  'fs/erofs/',
  'drivers/virtio/',
  'net/vmw_vsock/',
];
export const LEAST_OBJECTS = 50;

/** The configuration of the kernel that was built. */
export const builtConfig = (): Promise<string> => readFile(join(project, 'dist/config'), 'utf8');

/** Compiles parts of a kernel from the source of the one that was built; gives digests of the objects by path. */
export async function compileObjects(
  tools: ToolRoot,
  build: string,
  targets: readonly string[] = someTargets,
  config?: string,
): Promise<Map<string, string>> {
  const source = await openBuiltSource(tools);
  await mkdir(build, { recursive: true });
  await compileTargets(source, config ?? (await builtConfig()), targets, tools, build);
  return digestObjects(build);
}

async function openBuiltSource(tools: ToolRoot): Promise<KernelSource> {
  const lock = await readSourceLock(join(project, 'source.lock.json'));
  const { version } = await readManifest(join(project, 'dist'), 'kernel');
  const origin = describeSource(lock, 'debian').version === version ? 'debian' : 'kernel.org';
  return kernelSource(lock, origin, tools);
}

/** Objects of the kernel by path; programs of the build itself are left out. */
async function digestObjects(build: string): Promise<Map<string, string>> {
  const names = (await readdir(build, { recursive: true }))
    .filter(
      (name) => (name.endsWith('.o') && !name.startsWith('scripts/')) || name === 'arch/arm64/boot/Image',
    )
    .sort();
  const digests = new Map<string, string>();
  for (const name of names) digests.set(name, await sha256File(join(build, name)));
  return digests;
}
