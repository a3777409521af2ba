import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileTargets, describeSource, kernelSource, readSourceLock } from '@sovereign/kernel';
import { readManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { afterAll, beforeAll, expect, test } from 'vitest';

const project = join(import.meta.dirname, '..');

/** Small directories of every kind: assembly, generated sources, a version stamp, file systems, drivers, network. */
const some = ['init/', 'ipc/', 'arch/arm64/lib/', 'fs/erofs/', 'drivers/virtio/', 'net/vmw_vsock/'];
const LEAST_OBJECTS = 50;

/** `SOVEREIGN_LONG=1` builds the whole Image twice instead. */
const long = process.env.SOVEREIGN_LONG === '1';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'kernel-twice-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test(
  long ? 'two builds in two folders give the same Image' : 'two builds in two folders give the same objects',
  { timeout: long ? 7_200_000 : 600_000 },
  async () => {
    const tools = await openToolRoot();
    const lock = await readSourceLock(join(project, 'source.lock.json'));
    const config = await readFile(join(project, 'dist/config'), 'utf8');
    const { version } = await readManifest(join(project, 'dist'), 'kernel');
    const origin = describeSource(lock, 'debian').version === version ? 'debian' : 'kernel.org';
    const source = await kernelSource(lock, origin, tools);
    const digests: Map<string, string>[] = [];
    for (const name of ['first', 'the second, whose path is longer']) {
      const build = join(folder, name);
      await mkdir(build);
      await compileTargets(source, config, long ? ['Image'] : some, tools, build);
      digests.push(await digestObjects(build));
    }
    expect(digests[0]?.size).toBeGreaterThanOrEqual(LEAST_OBJECTS);
    expect(digests[1]).toEqual(digests[0]);
  },
);

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
