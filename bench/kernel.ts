/**
 * Our kernel against `defconfig` + `virt.config`, both without modules and without any cache, in one run: CPU time of
 * the build, size of the Image, and time from the kernel's start to /sbin/init. Then ours as `nx run kernel:build` builds
 * it after the change of one line of a fragment, in a cache of its own: among the objects of the build before, and,
 * as in CI, from nothing with ccache alone.
 *
 *   node bench/kernel.ts [--boots N] [--keep FOLDER] [--only changed]
 *
 * `--only changed` leaves out the comparison.
 * FOLDER keeps what is built; a kernel that an earlier run left there is booted and not built again, and its time told.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  build,
  compileTargets,
  configure,
  kernelSource,
  makeConfig,
  readAllowed,
  readFragments,
  readSourceLock,
  type Fragments,
} from '@sovereign/kernel';
import { cacheDir } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { boot, makeProbeImages, readReport } from 'kernel/testing';
import { cpuSeconds } from './cpu.ts';
import { median } from './median.ts';

const project = join(import.meta.dirname, '../packages/kernel');
const { values } = parseArgs({
  options: { boots: { type: 'string', default: '5' }, keep: { type: 'string' }, only: { type: 'string' } },
});
if (values.only !== undefined && values.only !== 'changed') throw new Error('--only takes: changed');

interface Kernel {
  name: string;
  image: string;
  /** Of the build, user and system, in seconds. */
  cpu: number;
}

/** Of all builds so far, in seconds. */
const childrenCpu = () => cpuSeconds('self', 'children');

/** What the base needs beside, to boot the same probe: its EROFS would be a module. */
const BASE = `# CONFIG_MODULES is not set
CONFIG_EROFS_FS=y
CONFIG_EROFS_FS_ZIP=y
CONFIG_EROFS_FS_ZIP_ZSTD=y
`;

const tools = await openToolRoot();
const lock = await readSourceLock(join(project, 'source.lock.json'));
const origin = process.env.SOVEREIGN_BASE === 'debian' ? 'debian' : 'kernel.org';
const source = await kernelSource(lock, origin, tools);
const fragments = await readFragments(join(project, 'fragments'));
const exceptions = await readAllowed(join(project, 'allow.json'));
const configs = {
  base: await makeConfig(source, BASE, tools),
  ours: await configure(source, fragments, exceptions, tools),
};

async function buildAll(folder: string): Promise<Kernel[]> {
  const kernels: Kernel[] = [];
  for (const [name, config] of Object.entries(configs)) {
    if (name === 'base' && values.only === 'changed') continue;
    const target = join(folder, name);
    const image = join(target, 'arch/arm64/boot/Image');
    const cpuSeconds = join(target, 'cpu-seconds');
    if (existsSync(image)) {
      kernels.push({ name, image, cpu: Number(await readFile(cpuSeconds, 'utf8')) });
      continue;
    }
    await mkdir(target, { recursive: true });
    const before = await childrenCpu();
    await compileTargets(source, config, ['Image'], tools, target);
    const cpu = (await childrenCpu()) - before;
    await writeFile(cpuSeconds, String(cpu));
    kernels.push({ name, image, cpu });
  }
  return kernels;
}

/** Of ours, without one line of a fragment. */
async function withoutOneLine(): Promise<string> {
  const SYMBOL = 'RTC_DRV_PL030';
  const without: Fragments = {
    requests: fragments.requests.filter(({ symbol }) => symbol !== SYMBOL),
    text: fragments.text.replace(`CONFIG_${SYMBOL}=y\n`, `# CONFIG_${SYMBOL} is not set\n`),
  };
  if (without.text === fragments.text || without.requests.length === fragments.requests.length) {
    throw new Error(`no fragment asks for CONFIG_${SYMBOL}=y`);
  }
  return configure(source, without, exceptions, tools);
}

/** CPU time of building ours after that change, in seconds. */
async function rebuildChanged(folder: string): Promise<{ kept: number; fresh: number }> {
  const changed = await withoutOneLine();
  process.env.XDG_CACHE_HOME = folder;
  const timed = async (config: string, fresh: boolean) => {
    const before = await childrenCpu();
    await build(source, () => Promise.resolve(source), config, tools, { fresh });
    return (await childrenCpu()) - before;
  };
  await timed(configs.ours, false);
  const kept = await timed(changed, false);
  // The Image, not what ccache and the tree have of it.
  await rm(cacheDir('kernel'), { recursive: true });
  return { kept, fresh: await timed(changed, true) };
}

/** Boots the kernels in turns, so that a change of the machine's load meets all of them. */
async function measureBoots(kernels: readonly Kernel[], folder: string): Promise<Map<string, number>> {
  const { root = '' } = await makeProbeImages(folder, { root: { compression: 'zstd', cluster: 64 } });
  const times = new Map<string, number[]>(kernels.map(({ name }) => [name, []]));
  for (let round = 0; round < Number(values.boots); round++) {
    for (const { name, image } of kernels) {
      const { uptime } = readReport((await boot(image, root, folder, ['loglevel=4'])).console);
      if (uptime === undefined) throw new Error(`the kernel ${name} did not start the probe`);
      times.get(name)?.push(uptime);
    }
  }
  return new Map([...times].map(([name, list]) => [name, median(list)]));
}

/** Prints what was built and how it boots, side by side. */
async function compare(kernels: readonly Kernel[]): Promise<void> {
  const boots = await measureBoots(kernels, scratch);
  const rows = await Promise.all(
    kernels.map(async ({ name, image, cpu }) => ({
      name,
      'build CPU s': cpu,
      'Image MB': (await stat(image)).size / 1e6,
      'init s': boots.get(name),
    })),
  );
  console.table(rows);
}

const scratch = await mkdtemp(join(tmpdir(), 'kernel-bench-'));
try {
  const kernels = await buildAll(values.keep ?? scratch);
  if (values.only === undefined) await compare(kernels);
  const ours = kernels.find(({ name }) => name === 'ours')?.cpu ?? NaN;
  const changed = await rebuildChanged(scratch);
  const row = (cpu: number) => ({ 'build CPU s': cpu, 'of a full build': cpu / ours });
  console.table({
    'one line of a fragment changed': row(changed.kept),
    'the same from nothing, with ccache': row(changed.fresh),
  });
} finally {
  await rm(scratch, { recursive: true, force: true });
}
