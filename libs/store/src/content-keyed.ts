import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { byAge } from './age.ts';
import { removeLeftovers, temporaryBeside } from './leftovers.ts';
import { withLock } from './lock.ts';
import { unlessMissing } from './missing.ts';
import { cacheDir } from './places.ts';

/**
 * Gives the folder of a content-keyed cache entry, and makes it when it is missing. `make` fills a temporary
 * folder that becomes the entry by one rename, on the disk before it has its name, so neither an interrupted run nor
 * a power cut leaves anything that looks finished.
 * @param kind names the cache, for example `toolroot`
 * @param key digest of everything that decides the content
 * @param keep how many entries of this kind to keep; the ones that were not used for longest are removed
 */
export async function contentKeyed(
  kind: string,
  key: string,
  make: (folder: string) => Promise<void>,
  keep = 8,
): Promise<{ folder: string; cached: boolean }> {
  const root = cacheDir(kind);
  const folder = join(root, key);
  if (existsSync(folder)) {
    await touch(folder);
    return { folder, cached: true };
  }
  return withLock(join(root, `${key}.lock`), async () => {
    if (existsSync(folder)) return { folder, cached: true };
    const temporary = temporaryBeside(folder);
    // Of this entry or another: a half-built tree may be large.
    await removeLeftovers(root);
    await mkdir(temporary, { recursive: true });
    try {
      await make(temporary);
      await flush(temporary);
      await rename(temporary, folder);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await prune(root, keep);
    return { folder, cached: false };
  });
}

const touch = async (folder: string) => {
  const now = new Date();
  await utimes(folder, now, now).catch(() => undefined);
};

/** The whole file system at once: a tree of sources has too many files to flush each by itself. */
async function flush(folder: string): Promise<void> {
  try {
    await promisify(execFile)('sync', ['-f', folder]);
  } catch (error) {
    // A machine without the program writes within its own time.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/**
 * Takes an entry away in one step too: half a tree under its name would pass for a finished one. One that another process
 * has just taken away is gone.
 */
export async function removeEntry(folder: string, remove = rm): Promise<void> {
  const temporary = temporaryBeside(folder);
  if (!(await moved(folder, temporary))) return;
  await remove(temporary, { recursive: true, force: true });
}

/**
 * Takes an entry out of the cache, for work that goes on in it: nobody else gets it meanwhile, and what a killed run
 * leaves is never an entry again. One that was put there later than now, by this machine's clock, is dropped: programs
 * that compare the times of files, like make, would be wrong about it.
 * @param to where it goes, on the file system of the cache; not there yet
 * @returns whether there was one
 */
export async function takeEntry(kind: string, key: string, to: string): Promise<boolean> {
  if (!(await moved(cacheDir(kind, key), to))) return false;
  if ((await stat(to)).mtimeMs <= Date.now()) return true;
  await rm(to, { recursive: true, force: true });
  return false;
}

/** Renames what may be gone already; false where it is. */
const moved = async (from: string, to: string): Promise<boolean> =>
  (await unlessMissing(() => rename(from, to).then(() => true))) ?? false;

/**
 * Puts a folder into the cache, on the disk before it has its name; in place of what another run has put there.
 * @param keep as with `contentKeyed`
 */
export async function putEntry(kind: string, key: string, folder: string, keep: number): Promise<void> {
  const root = cacheDir(kind);
  await mkdir(root, { recursive: true });
  await withLock(join(root, `${key}.lock`), async () => {
    const entry = join(root, key);
    await removeLeftovers(root);
    if (existsSync(entry)) await removeEntry(entry);
    await touch(folder);
    await flush(folder);
    await rename(folder, entry);
    await prune(root, keep);
  });
}

/** An entry that was used so recently may be in use, by a run in another checkout too; in milliseconds. */
const IN_USE = 3_600_000;

async function prune(root: string, keep: number): Promise<void> {
  const names = (await readdir(root)).filter((name) => /^[0-9a-f]+$/.test(name));
  if (names.length <= keep) return;
  const aged = await byAge(root, names);
  const unused = aged.slice(keep).filter(({ time }) => time < Date.now() - IN_USE);
  for (const { name } of unused) await removeEntry(join(root, name));
}
