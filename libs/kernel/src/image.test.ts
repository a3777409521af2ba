import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkImage } from './image.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'image-'))));
afterEach(() => rm(folder, { recursive: true }));

async function image(content: Buffer): Promise<string> {
  const path = join(folder, 'Image');
  await writeFile(path, content);
  return path;
}

test('a raw Image has its magic at byte 0x38', async () => {
  const header = Buffer.alloc(64);
  header.write('ARM\x64', 0x38, 'latin1');
  await checkImage(await image(header));
});

test('a packed kernel and a cut file are refused', async () => {
  const zboot = Buffer.alloc(64);
  zboot.write('MZ\0\0zimg', 0, 'latin1');
  await expect(checkImage(await image(zboot))).rejects.toThrow(/no raw arm64 kernel image.*0x0/);
  await expect(checkImage(await image(Buffer.alloc(20)))).rejects.toThrow(/only 20 bytes/);
});
