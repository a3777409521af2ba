import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { storedSizes } from './erofs-files.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'erofs '));
});
afterEach(() => rm(scratch, { recursive: true }));

const BLOCK = 4096;

/**
 * The fields of an EROFS image that are read, by hand: a root folder at the inode 64, in one block. What mkfs.erofs
 * makes is read in the boot tests of a root file system.
 */
function image(entries: { name: string; nid: number; inode: Buffer }[]): Buffer {
  const bytes = Buffer.alloc(3 * BLOCK);
  bytes.writeUInt32LE(0xe0f5e1e2, 1024);
  bytes.writeUInt8(12, 1024 + 12);
  bytes.writeUInt16LE(64, 1024 + 14);
  const listed = [{ name: '.', nid: 64 }, { name: '..', nid: 64 }, ...entries];
  compact({ mode: 0o040755, layout: 0, size: BLOCK, union: 2 }).copy(bytes, 64 * 32);
  let nameAt = listed.length * 12;
  for (const [index, { name, nid }] of listed.entries()) {
    const at = 2 * BLOCK + index * 12;
    bytes.writeBigUInt64LE(BigInt(nid), at);
    bytes.writeUInt16LE(nameAt, at + 8);
    bytes.write(name, 2 * BLOCK + nameAt);
    nameAt += name.length;
  }
  for (const { nid, inode } of entries) inode.copy(bytes, nid * 32);
  return bytes;
}

function compact({
  mode,
  layout,
  size,
  union,
}: Record<'mode' | 'layout' | 'size' | 'union', number>): Buffer {
  const inode = Buffer.alloc(32);
  inode.writeUInt16LE(layout << 1, 0);
  inode.writeUInt16LE(mode, 4);
  inode.writeUInt32LE(size, 8);
  inode.writeUInt32LE(union, 16);
  return inode;
}

async function sizes(bytes: Buffer): Promise<Record<string, number>> {
  const path = join(scratch, 'root.erofs');
  await writeFile(path, bytes);
  return Object.fromEntries(await storedSizes(path));
}

describe('what a file takes in an image', () => {
  const packed = compact({ mode: 0o100644, layout: 3, size: 50_000, union: 2 });

  test('is its blocks where it is compressed, whole blocks where not, its bytes where they lie by its inode', async () => {
    const plain = compact({ mode: 0o100644, layout: 0, size: BLOCK + 1, union: 9 });
    const small = compact({ mode: 0o100644, layout: 2, size: 100, union: 0 });
    const link = compact({ mode: 0o120777, layout: 2, size: 3, union: 0 });
    const made = image([
      { name: 'link', nid: 70, inode: link },
      { name: 'packed', nid: 72, inode: packed },
      { name: 'plain', nid: 74, inode: plain },
      { name: 'small', nid: 76, inode: small },
    ]);
    expect(await sizes(made)).toEqual({ packed: 2 * BLOCK, plain: 2 * BLOCK, small: 100 });
  });

  test('is counted once where it has several names', async () => {
    const made = image([
      { name: 'a', nid: 72, inode: packed },
      { name: 'b', nid: 72, inode: packed },
    ]);
    expect(await sizes(made)).toEqual({ a: 2 * BLOCK, b: 0 });
  });

  test.each([
    ['another file', Buffer.alloc(BLOCK, 1)],
    ['an empty file', Buffer.alloc(0)],
    ['an image that was cut', image([{ name: 'a', nid: 72, inode: packed }]).subarray(0, 2 * BLOCK)],
  ])('is not read from %s', async (_, bytes) => {
    await expect(sizes(bytes)).rejects.toMatchObject({ code: 'bad-image' });
  });
});
