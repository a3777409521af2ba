import { createReadStream } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { note } from '@sovereign/report';
import { cacheDir, contentKeyed, removeEntry, sha256File, unlessMissing, withLock } from '@sovereign/store';

/** Bytes that are unpacked at a time: with Node's own 16 KiB most of the time goes into waiting. */
export const GULP = 1 << 18;

/** Name of the file with the digests of the others. */
const SUMS = 'sums.json';

/**
 * Gives the folder of a cache entry of files, as `contentKeyed` of the store does, and compares the files with what
 * was written before anybody uses them: a disk may have damaged them since. A damaged entry is made again.
 * @param label what to call the entry in messages
 */
export async function keptEntry(
  { kind, key, keep, label }: { kind: string; key: string; keep: number; label: string },
  make: (folder: string) => Promise<void>,
): Promise<{ folder: string; cached: boolean }> {
  const entry = () =>
    contentKeyed(
      kind,
      key,
      async (folder) => {
        await make(folder);
        await writeFile(join(folder, SUMS), JSON.stringify(await sumsOf(folder)));
      },
      keep,
    );
  const found = await entry();
  if (!found.cached || (await isWhole(found.folder))) return found;
  note(`${label} was damaged in the cache; unpacking it again`);
  // One at a time: else the second would take away what the first has made again.
  return withLock(join(cacheDir(kind), `${key}.damaged.lock`), async () => {
    const again = await entry();
    if (!again.cached || (await isWhole(again.folder))) return again;
    await removeEntry(again.folder);
    return entry();
  });
}

async function sumsOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter((name) => name !== SUMS).sort();
  const sum = async (name: string) => [name, await sha256File(join(folder, name))] as const;
  return Object.fromEntries(await Promise.all(names.map(sum)));
}

/** False as well for one that whoever found it damaged takes away meanwhile. */
async function isWhole(folder: string): Promise<boolean> {
  const said = await readFile(join(folder, SUMS), 'utf8').catch(() => '');
  const found = await unlessMissing(() => sumsOf(folder));
  return found !== undefined && said === JSON.stringify(found);
}

/** The content of a file that zstd compressed. It is opened when it is read; an error of the file ends it. */
export const readZstd = (path: string): Readable => {
  async function* content() {
    const open = createReadStream(path, { highWaterMark: GULP });
    yield* pipeline(open, createZstdDecompress({ chunkSize: GULP }), () => undefined);
  }
  return Readable.from(content(), { objectMode: false });
};
