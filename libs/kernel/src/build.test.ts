import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { build, imageKey } from './build.ts';
import type { ToolRunner } from './runner.ts';

const source = { digest: 'a'.repeat(64), version: '6.12.1' };
const config = 'CONFIG_ARM64=y\n';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kernel-build-'));
  vi.stubEnv('XDG_CACHE_HOME', folder);
  vi.stubEnv('SOVEREIGN_EVENTS', join(folder, 'events'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** A stand-in for the tool root whose make writes what it is told to, and an object beside it. */
function standIn(image: Buffer, digest = 'tools') {
  const calls: string[][] = [];
  /** What each call found in its folder. */
  const found: string[][] = [];
  const tools: ToolRunner = {
    digest,
    async run(argv, options) {
      calls.push([...argv]);
      options?.onLine?.('  CC      init/main.o');
      const place = options?.binds?.find(({ target }) => target === '/build')?.source ?? '';
      found.push((await readdir(place)).sort());
      await writeFile(join(place, 'main.o'), '');
      const path = join(place, 'arch/arm64/boot/Image');
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, image);
    },
  };
  return { tools, calls, found };
}

const goodImage = Buffer.alloc(64);
goodImage.write('ARM\x64', 0x38, 'latin1');

const openTree = () => Promise.resolve({ ...source, folder: '/nowhere' });

test('a finished kernel is found again without its source', async () => {
  const { tools, calls } = standIn(goodImage);
  const first = await build(source, openTree, config, tools);
  expect(first.cached).toBe(false);
  expect(await readFile(first.image)).toEqual(goodImage);
  expect(await readFile(first.config, 'utf8')).toBe(config);
  const second = await build(source, () => Promise.reject(new Error('not needed')), config, tools);
  expect(second).toEqual({ ...first, cached: true });
  expect(calls).toHaveLength(1);
});

test('the objects are thrown away, the Image is kept', async () => {
  const { image } = await build(source, openTree, config, standIn(goodImage).tools);
  expect((await readdir(dirname(image))).sort()).toEqual(['Image', 'Image.sha256', 'config']);
});

const other = `${config}CONFIG_SMP=y\n`;
const trees = () => readdir(join(folder, 'sovereign/kernel-tree')).catch(() => []);

test('another configuration is built among the objects of the one before', async () => {
  const { tools, found } = standIn(goodImage);
  await build(source, openTree, config, tools);
  await build(source, openTree, other, tools);
  expect(found).toEqual([['.config'], ['.config', 'arch', 'main.o']]);
});

test('other sources and other tools start from nothing', async () => {
  const { tools, found } = standIn(goodImage);
  await build(source, openTree, config, tools);
  await build({ ...source, digest: 'b'.repeat(64) }, openTree, other, tools);
  const others = standIn(goodImage, 'other tools');
  await build(source, openTree, other, others.tools);
  expect([...found, ...others.found]).toEqual([['.config'], ['.config'], ['.config']]);
});

test('a build that fails leaves no objects to the next, nor does one without a raw Image', async () => {
  const { tools, found } = standIn(goodImage);
  for (const bad of [
    { ...tools, run: () => Promise.reject(new Error('cut')) },
    standIn(Buffer.alloc(64)).tools,
  ]) {
    await build(source, openTree, config, tools);
    expect(await trees()).toHaveLength(1);
    await expect(build(source, openTree, other, bad)).rejects.toThrow();
    expect(await trees()).toEqual([]);
    await rm(join(folder, 'sovereign/kernel'), { recursive: true });
  }
  await build(source, openTree, other, tools);
  expect(found.at(-1)).toEqual(['.config']);
});

test('a build that is asked to be fresh neither takes objects nor leaves any', async () => {
  const { tools, found } = standIn(goodImage);
  await build(source, openTree, config, tools);
  const before = await trees();
  await build(source, openTree, other, tools, { fresh: true });
  expect(found.at(-1)).toEqual(['.config']);
  expect(await trees()).toEqual(before);
});

test('a kernel that was damaged in the cache is built again', async () => {
  const { tools, calls } = standIn(goodImage);
  const { image } = await build(source, openTree, config, tools);
  await writeFile(image, goodImage.subarray(0, 60));
  const again = await build(source, openTree, config, tools);
  expect(again.cached).toBe(false);
  expect(await readFile(again.image)).toEqual(goodImage);
  expect(calls).toHaveLength(2);
  expect((await build(source, openTree, config, tools)).cached).toBe(true);
});

test('a build that fails, or makes no raw Image, leaves nothing that looks finished', async () => {
  const failing: ToolRunner = { digest: 'tools', run: () => Promise.reject(new Error('make ended with 2')) };
  await expect(build(source, openTree, config, failing)).rejects.toThrow('make ended with 2');
  const { tools } = standIn(Buffer.alloc(64));
  await expect(build(source, openTree, config, tools)).rejects.toThrow(/no raw arm64 kernel image/);
  expect(existsSync(join(folder, 'sovereign/kernel', imageKey(source, config, tools)))).toBe(false);
  expect((await readdir(join(folder, 'sovereign/kernel'))).filter((name) => name.endsWith('.tmp'))).toEqual(
    [],
  );
});

test('source, configuration and tools decide the key, each on its own', () => {
  const { tools } = standIn(goodImage);
  const keys = [
    imageKey(source, config, tools),
    imageKey({ digest: 'b'.repeat(64) }, config, tools),
    imageKey(source, `${config}CONFIG_SMP=y\n`, tools),
    imageKey(source, config, standIn(goodImage, 'other tools').tools),
  ];
  expect(new Set(keys).size).toBe(keys.length);
});
