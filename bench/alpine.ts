/**
 * An Alpine image of the PostgreSQL service from packages in the store, as `nx run rootfs-sql:build:alpine` makes it:
 * time from the packages to the disk image, for the first time and again, and memory meanwhile. Its packages are the
 * test mirror's (Debian's under Alpine's names, docs/test-mirror.md), so that sizes are theirs, not Alpine's. The
 * network programs are built first: `nx run network:build`.
 *
 *   npm run bench:alpine -- [--runs N]
 */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageBases } from '@sovereign/apko';
import { guestArch, lockPath, readLock, writeLock, type Lock } from '@sovereign/base';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs } from '@sovereign/rootfs';
import { loadService } from '@sovereign/service';
import { cacheDir, workspaceRoot } from '@sovereign/store';
import { peakOf, residentBelow } from '@sovereign/store/testing';
import { makeTestMirror } from '@sovereign/test-mirror';
import { openToolRoot } from '@sovereign/tools';
import { execa } from 'execa';
import { median } from './median.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, compose: { type: 'string' } },
});
const service = await loadService(join(workspaceRoot(), 'packages/rootfs-sql'));

/** Seconds of each step. */
type Times = Record<'unpack' | 'compose' | 'image', number>;

/** The work that is measured, in a process of its own: makes the image of the lock in a folder. */
async function compose(folder: string): Promise<Times> {
  const path = lockPath({ folder }, 'alpine');
  const lock = await readLock(path);
  const started = performance.now();
  const packages = await packageBases.alpine.unpack(lock, path);
  const unpacked = performance.now();
  const recipe = await guestRecipe(service, 'alpine', await builtPrograms(workspaceRoot()));
  await composeRoot({ packages, ...recipe }, join(folder, 'root.tar'));
  const composed = performance.now();
  await makeErofs(await openToolRoot(), join(folder, 'root.tar'), join(folder, 'root.erofs'));
  const made = performance.now();
  return {
    unpack: (unpacked - started) / 1000,
    compose: (composed - unpacked) / 1000,
    image: (made - composed) / 1000,
  };
}

/** Runs the work once, and gives what all its processes held at most, in bytes. */
async function measure(folder: string): Promise<{ times: Times; peak: number }> {
  const work = execa(process.execPath, [import.meta.filename, '--compose', folder], { stderr: 'ignore' });
  const { result, peak } = await peakOf(residentBelow, Promise.resolve(work));
  return { times: JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '') as Times, peak };
}

/** Makes the lock of the test mirror's packages, and the image of it: once, which fills the caches, and `runs` times more. */
async function main(runs: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'alpine-bench-'));
  const mirror = await makeTestMirror();
  let lock: Lock | undefined;
  try {
    process.env.SOVEREIGN_ALPINE_MIRROR = mirror.url;
    process.env.SOVEREIGN_ALPINE_KEYS = mirror.keys;
    const { packages = [], leaveOut = {} } = service.definition.bases.alpine ?? {};
    lock = await packageBases.alpine.lock({
      packages,
      leaveOut: Object.keys(leaveOut),
      arch: guestArch.alpine,
    });
    await writeLock(lockPath({ folder }, 'alpine'), lock);
    const first = await measure(folder);
    const seen: Awaited<ReturnType<typeof measure>>[] = [];
    for (let run = 0; run < runs; run++) seen.push(await measure(folder));
    const seconds = (step: keyof Times) => median(seen.map(({ times }) => times[step]));
    const sum = ({ times }: typeof first) => times.unpack + times.compose + times.image;
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    console.table({
      [`${lock.packages.length} packages in the store to the disk image, first time`]: `${sum(first).toFixed(1)} s`,
      'of it unpacking': `${first.times.unpack.toFixed(1)} s`,
      'again, with the same packages': `${median(seen.map(sum)).toFixed(1)} s`,
      'of that unpacking': `${seconds('unpack').toFixed(1)} s`,
      'of that composing': `${seconds('compose').toFixed(1)} s`,
      'of that the disk image': `${seconds('image').toFixed(1)} s`,
      'memory of all processes, at most': megabytes(Math.max(...[first, ...seen].map(({ peak }) => peak))),
      'package files, by the index': megabytes(lock.packages.reduce((sum, { size }) => sum + size, 0)),
      'disk image': megabytes((await stat(join(folder, 'root.erofs'))).size),
    });
  } finally {
    await mirror.close();
    await rm(folder, { recursive: true, force: true });
    // Signed by a key that is gone: nobody will ask for them again.
    for (const { sha256 } of lock?.packages ?? []) await rm(cacheDir('downloads', sha256), { force: true });
  }
}

if (values.compose === undefined) await main(Number(values.runs));
else console.log(JSON.stringify(await compose(values.compose)));
