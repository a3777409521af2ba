import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { withScratch } from './leftovers.ts';

async function place(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'scratch-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'work');
}

test('every work has an empty folder of its own, which is gone when it ends', async () => {
  const path = await place();
  const seen = await Promise.all(
    [1, 2].map(() =>
      withScratch(path, async (folder) => {
        expect(await readdir(folder)).toEqual([]);
        await writeFile(join(folder, 'file'), '');
        return folder;
      }),
    ),
  );
  expect(new Set(seen).size).toBe(2);
  expect(seen.filter((folder) => existsSync(folder))).toEqual([]);
});

test('also where the work fails, with its own error', async () => {
  const path = await place();
  let used = '';
  const failing = withScratch(path, (folder) => {
    used = folder;
    return Promise.reject(new Error('full'));
  });
  await expect(failing).rejects.toThrow('full');
  expect(existsSync(used)).toBe(false);
});

test('what a killed process left goes, what a running one has stays', async () => {
  const path = await place();
  // No process has this number: the kernel's largest is smaller.
  const left = `${path}.99999999.0a.tmp`;
  const used = `${path}.${process.pid}.0b.tmp`;
  await mkdir(join(left, 'inner'), { recursive: true });
  await mkdir(used);
  await withScratch(path, () => Promise.resolve());
  expect([existsSync(left), existsSync(used)]).toEqual([false, true]);
});
