import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { note, step, type StepHandle } from '@sovereign/report';
import {
  cacheDir,
  canonicalJson,
  contentKeyed,
  putEntry,
  removeEntry,
  sha256,
  sha256File,
  takeEntry,
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

/** Trees of objects that are kept, one for each key, each about 160 MB. */
const KEEP_TREES = 2;

type Digested = Pick<KnownSource, 'digest'>;

/** What decides the bytes of every object, beside the configuration. */
const decidedBy = (source: Digested, tools: ToolRunner) => ({
  source: source.digest,
  tools: tools.digest,
  stamps: buildStamps,
  // Paths and options; the number of jobs decides nothing.
  make: toMakeArgs(['Image'], true, 1),
  mounts: [SOURCE, BUILD, CCACHE],
});

/** Digest of everything that decides the bytes of the Image. */
export const imageKey = (source: Digested, config: string, tools: ToolRunner): string =>
  sha256(canonicalJson({ ...decidedBy(source, tools), config }));

/** Digest of what trees of objects have in common that differ in their configuration alone. */
const treeKeyOf = (source: Digested, tools: ToolRunner): string =>
  sha256(canonicalJson(decidedBy(source, tools)));

export interface BuildOptions {
  /** Builds from nothing, and keeps no tree of objects; ccache has a part all the same. */
  fresh?: boolean;
}

/**
 * Gives the Image of a configuration from the cache of finished kernels, or builds it: in the tree of objects that the
 * last build of the same source with the same tools has left, where kbuild compiles what the configuration changed, or
 * else from nothing, with the objects that ccache knows (docs/decisions/0025-kernel-tree.md).
 * @param openSource only called where something has to be built
 */
export async function build(
  source: KnownSource,
  openSource: () => Promise<KernelSource>,
  config: string,
  tools: ToolRunner,
  { fresh = false }: BuildOptions = {},
): Promise<BuiltKernel> {
  return step(`build Linux ${source.version}`, async (handle) => {
    const fill = async (folder: string) => {
      const opened = await openSource();
      const tree = join(folder, 'tree');
      const treeKey = treeKeyOf(source, tools);
      const kept = !fresh && (await takeEntry('kernel-tree', treeKey, tree));
      if (!kept) await mkdir(tree);
      await compileImage({ source: opened.folder, tree, kept }, config, tools, folder, handle);
      if (fresh) await rm(tree, { recursive: true });
      else await putEntry('kernel-tree', treeKey, tree, KEEP_TREES);
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

/** Where objects are made. */
interface Place {
  /** Folder of the source. */
  source: string;
  /** Inside the unfinished cache entry: what an interrupted build leaves of it is removed with that. */
  tree: string;
  /** Whether another build has left its objects there. */
  kept: boolean;
}

async function compileImage(
  { source, tree, kept }: Place,
  config: string,
  tools: ToolRunner,
  target: string,
  handle: StepHandle,
): Promise<void> {
  const ccache = cacheDir('ccache');
  await mkdir(ccache, { recursive: true });
  await writeFile(join(tree, '.config'), config);
  const objects = await progressOf(handle, kept);
  const options = { source, build: tree, ccache, jobs: availableParallelism(), onLine: objects.onLine };
  await make(tools, ['Image'], options);
  await objects.remember();
  await rename(join(tree, 'arch/arm64/boot/Image'), join(target, 'Image'));
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

/** Counts objects; how many there will be is known from the last kernel that was built here from nothing. */
async function progressOf(handle: StepHandle, kept: boolean) {
  const memory = cacheDir('kernel', 'objects');
  const known = !kept && existsSync(memory);
  const total = known ? Number(await readFile(memory, 'utf8')) || undefined : undefined;
  let done = 0;
  return {
    onLine: (line: string) => {
      if (objectLine.test(line)) handle.progress(++done, total, 'objects');
    },
    remember: async () => {
      if (!kept) await writeFileAtomic(memory, `${done}\n`);
    },
  };
}

/**
 * Compiles the given targets in a folder, without any cache but the `ccache` that is given and what the folder holds:
 * for the test that two builds give the same bytes, and for measuring.
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
