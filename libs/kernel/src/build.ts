import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { note, step, type StepHandle } from '@sovereign/report';
import {
  cacheDir,
  canonicalJson,
  contentKeyed,
  removeEntry,
  sha256,
  sha256File,
  writeFileAtomic,
} from '@sovereign/store';
import { checkImage } from './image.ts';
import { BUILD, buildStamps, CCACHE, make, SOURCE, toMakeArgs } from './make.ts';
import type { ToolRunner } from './runner.ts';
import type { KnownSource } from './source-lock.ts';
import type { KernelSource } from './source.ts';

export interface BuiltKernel {
  /** Path of the raw arm64 Image. */
  image: string;
  /** Path of the final `.config`. */
  config: string;
  cached: boolean;
}

/** Finished kernels that are kept, each about 10 MB. */
const KEEP = 8;

/** Digest of everything that decides the bytes of the Image. */
export const imageKey = (source: Pick<KnownSource, 'digest'>, config: string, tools: ToolRunner): string =>
  sha256(
    canonicalJson({
      source: source.digest,
      config,
      tools: tools.digest,
      stamps: buildStamps,
      // Paths and options; the number of jobs decides nothing.
      make: toMakeArgs(['Image'], true, 1),
      mounts: [SOURCE, BUILD, CCACHE],
    }),
  );

/**
 * Gives the Image of a configuration from the cache of finished kernels, or builds it. Single objects come from
 * ccache where nothing that they are made of changed; a tree of objects is never kept.
 * @param openSource only called where something has to be built
 */
export async function build(
  source: KnownSource,
  openSource: () => Promise<KernelSource>,
  config: string,
  tools: ToolRunner,
): Promise<BuiltKernel> {
  return step(`build Linux ${source.version}`, async (handle) => {
    const fill = async (folder: string) => {
      const { folder: tree } = await openSource();
      await compileImage(tree, config, tools, folder, handle);
    };
    const key = imageKey(source, config, tools);
    let { folder, cached } = await contentKeyed('kernel', key, fill, KEEP);
    if (cached && !(await isIntact(folder))) {
      note('the kernel in the cache is damaged: building it again');
      await removeEntry(folder);
      ({ folder, cached } = await contentKeyed('kernel', key, fill, KEEP));
    }
    if (cached) handle.cached();
    return { image: join(folder, 'Image'), config: join(folder, 'config'), cached };
  });
}

async function compileImage(
  source: string,
  config: string,
  tools: ToolRunner,
  target: string,
  handle: StepHandle,
): Promise<void> {
  const ccache = cacheDir('ccache');
  await mkdir(ccache, { recursive: true });
  // Inside the unfinished cache entry: what an interrupted build leaves is removed with it.
  const tree = join(target, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, '.config'), config);
  const objects = await progressOf(handle);
  const options = { source, build: tree, ccache, jobs: availableParallelism(), onLine: objects.onLine };
  await make(tools, ['Image'], options);
  await objects.remember();
  await rename(join(tree, 'arch/arm64/boot/Image'), join(target, 'Image'));
  await rm(tree, { recursive: true });
  await checkImage(join(target, 'Image'));
  await writeFile(join(target, 'config'), config);
  await writeFile(join(target, DIGEST), `${await sha256File(join(target, 'Image'))}\n`);
}

/** Of the Image, in the cache: everything that is built with it takes it as it is. */
const DIGEST = 'Image.sha256';

async function isIntact(folder: string): Promise<boolean> {
  // One that was built before there were digests has none.
  if (!existsSync(join(folder, DIGEST))) return true;
  const wanted = (await readFile(join(folder, DIGEST), 'utf8')).trim();
  return (await sha256File(join(folder, 'Image')).catch(() => undefined)) === wanted;
}

/** What make prints for each object that it compiles: `  CC      mm/slub.o`. */
const objectLine = /^\s+(CC|AS|HOSTCC)\s/;

/** Counts objects; how many there will be is known from the last kernel that was built here. */
async function progressOf(handle: StepHandle) {
  const memory = cacheDir('kernel', 'objects');
  const total = existsSync(memory) ? Number(await readFile(memory, 'utf8')) || undefined : undefined;
  let done = 0;
  return {
    onLine: (line: string) => {
      if (objectLine.test(line)) handle.progress(++done, total, 'objects');
    },
    remember: () => writeFileAtomic(memory, `${done}\n`),
  };
}

/**
 * Compiles the given targets in a folder of their own, without any cache but the `ccache` that is given: for the test
 * that two builds give the same bytes, and for measuring.
 */
export async function compileTargets(
  source: KernelSource,
  config: string,
  targets: readonly string[],
  tools: ToolRunner,
  folder: string,
  ccache?: string,
): Promise<void> {
  await writeFile(join(folder, '.config'), config);
  await make(tools, targets, { source: source.folder, build: folder, ccache, jobs: availableParallelism() });
}
