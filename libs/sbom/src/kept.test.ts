import { mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeManifest } from '@sovereign/service';
import { canonicalJson } from '@sovereign/store';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { makeContents } from './contents.ts';
import { keepContents, keptContents } from './kept.ts';
import { builtImage } from './testing/image.ts';

let scratch: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'kept '));
  vi.stubEnv('XDG_DATA_HOME', join(scratch, 'data'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true });
});

async function build(sha256: string, contents = true): Promise<void> {
  const image = { name: 'root.erofs', sha256, size: 1 };
  await writeFile(join(scratch, 'root.contents.json'), canonicalJson(makeContents(builtImage({ image }))));
  await writeManifest(scratch, {
    schema: 1,
    kind: 'root',
    service: 'sql',
    base: 'debian',
    version: '1',
    image,
    ...(contents ? { contents: { name: 'root.contents.json', sha256, size: 1 } } : {}),
  });
}
const digest = (number: number): string => number.toString(16).padStart(64, '0');

test('what lies in an image that was deployed is known later, and of no other', async () => {
  await build(digest(1));
  await keepContents(scratch);
  await keepContents(scratch);
  expect((await keptContents(digest(1)))?.packages.map(({ name }) => name)).toEqual(['libstdc++6', 'x']);
  expect(await keptContents(digest(2))).toBeUndefined();
});

test('an image from before contents were recorded is deployed all the same', async () => {
  await build(digest(1), false);
  await keepContents(scratch);
  expect(await keptContents(digest(1))).toBeUndefined();
});

test('what another deploy has under way, or forgets meanwhile, is none of this one', async () => {
  await build(digest(1));
  await keepContents(scratch);
  const folder = join(scratch, 'data/sovereign/images');
  // It has a name in the list, and is not there when it is looked at.
  await symlink('gone', join(folder, `${digest(2)}.json`));
  await writeFile(join(folder, `${digest(3)}.json.7.tmp`), 'half');
  await keepContents(scratch);
  expect(await readdir(folder)).toHaveLength(3);
});

test('only so many are kept: the oldest go', async () => {
  const folder = join(scratch, 'data/sovereign/images');
  for (let number = 1; number <= 51; number++) {
    await build(digest(number));
    await keepContents(scratch);
    await utimes(join(folder, `${digest(number)}.json`), number, number);
  }
  expect(await readdir(folder)).toHaveLength(50);
  expect(await keptContents(digest(1))).toBeUndefined();
  expect(await keptContents(digest(51))).toBeDefined();
});
