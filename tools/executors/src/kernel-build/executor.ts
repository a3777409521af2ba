import { copyFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PromiseExecutor } from '@nx/devkit';
import { build } from '@sovereign/kernel';
import { writeManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { announced } from '../lib/announced.ts';
import { openKernel, openSource, type KernelOptions } from '../lib/kernel.ts';

/** Builds `dist/Image` from `dist/config`, which the target `config` has made and checked. */
const kernelBuild: PromiseExecutor<KernelOptions> = async (options, context) => {
  const kernel = await openKernel(options, context);
  const tools = await openToolRoot();
  const config = await readFile(join(kernel.dist, 'config'), 'utf8');
  // What CI builds, others take from the shared cache: it is made from nothing.
  const fresh = process.env.CI !== undefined;
  const built = await build(kernel.known, () => openSource(kernel, tools), config, tools, { fresh });

  await rm(join(kernel.dist, 'manifest.json'), { force: true });
  await copyFile(built.image, join(kernel.dist, 'Image'));
  await writeManifest(kernel.dist, {
    schema: 1,
    kind: 'kernel',
    version: kernel.known.version,
    image: await describeFile(kernel.dist, 'Image'),
    config: await describeFile(kernel.dist, 'config'),
  });
  return { success: true };
};

const describeFile = async (folder: string, name: string) => ({
  name,
  sha256: await sha256File(join(folder, name)),
  size: (await stat(join(folder, name))).size,
});

export default announced(kernelBuild);
