import { open, type FileHandle } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';

const MAGIC = 0xe0f5e1e2;
/** Inode numbers count in slots of this size, in bytes. */
const SLOT = 32;
const DIRENT = 12;
/** How an inode's data lies (i_format, bits 1 to 3): in blocks, compressed, or in blocks with the tail behind the inode. */
const layout = { plain: 0, compressed: [1, 3], inline: 2 } as const;

interface Inode {
  at: number;
  mode: number;
  size: number;
  layout: number;
  /** Blocks that the compressed data take, or the number of the first one. */
  union: number;
  /** Where what follows the inode begins. */
  end: number;
}

/**
 * Bytes that each regular file of an EROFS image takes there, by path without a leading slash: whole blocks, without
 * its inode and its name. Of several names of one file the first has them, the others nothing.
 * @see https://erofs.docs.kernel.org/en/latest/core_ondisk.html
 */
export async function storedSizes(imagePath: string): Promise<Map<string, number>> {
  const file = await open(imagePath);
  try {
    const image = new Image(imagePath, file);
    const root = await image.readSuperblock();
    const files: { path: string; nid: number; size: number }[] = [];
    const folders = [{ path: '', nid: root }];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const { name, nid } of await image.entries(folder.nid)) {
        const path = folder.path === '' ? name : `${folder.path}/${name}`;
        const inode = await image.inode(nid);
        if (isFolder(inode)) folders.push({ path, nid });
        else if (isFile(inode)) files.push({ path, nid, size: image.stored(inode) });
      }
    }
    const counted = new Set<number>();
    const once = ({ nid, size }: { nid: number; size: number }) => {
      if (counted.has(nid)) return 0;
      counted.add(nid);
      return size;
    };
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    return new Map(files.map((one) => [one.path, once(one)]));
  } finally {
    await file.close();
  }
}

const isFolder = ({ mode }: Inode): boolean => (mode & 0o170000) === 0o040000;
const isFile = ({ mode }: Inode): boolean => (mode & 0o170000) === 0o100000;

class Image {
  readonly #path: string;
  readonly #file: FileHandle;
  #block = 0;
  #meta = 0;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** @returns number of the root folder's inode */
  async readSuperblock(): Promise<number> {
    const block = await this.#read(1024, 128);
    if (block.readUInt32LE(0) !== MAGIC) throw notAnImage(this.#path);
    this.#block = 1 << block.readUInt8(12);
    this.#meta = block.readUInt32LE(40) * this.#block;
    return block.readUInt16LE(14);
  }

  async inode(nid: number): Promise<Inode> {
    const at = this.#meta + nid * SLOT;
    const bytes = await this.#read(at, 64);
    const format = bytes.readUInt16LE(0);
    const attributes = bytes.readUInt16LE(2);
    const extended = (format & 1) === 1;
    const length = extended ? 64 : 32;
    return {
      at,
      mode: bytes.readUInt16LE(4),
      size: extended ? Number(bytes.readBigUInt64LE(8)) : bytes.readUInt32LE(8),
      layout: (format >> 1) & 7,
      union: bytes.readUInt32LE(16),
      end: at + length + (attributes === 0 ? 0 : 12 + (attributes - 1) * 4),
    };
  }

  stored({ layout: kind, size, union }: Inode): number {
    if (kind === layout.compressed[0] || kind === layout.compressed[1]) return union * this.#block;
    const whole = Math.floor(size / this.#block) * this.#block;
    if (kind === layout.inline || whole === size) return size;
    return whole + this.#block;
  }

  /** Every entry of a folder but itself and the one above. */
  async entries(nid: number): Promise<{ name: string; nid: number }[]> {
    const bytes = await this.#folder(await this.inode(nid));
    const found: { name: string; nid: number }[] = [];
    for (let start = 0; start < bytes.length; start += this.#block) {
      const block = bytes.subarray(start, start + this.#block);
      const count = block.readUInt16LE(8) / DIRENT;
      for (let index = 0; index < count; index++) {
        const from = block.readUInt16LE(index * DIRENT + 8);
        const to = index + 1 < count ? block.readUInt16LE((index + 1) * DIRENT + 8) : block.length;
        const name = block.toString('utf8', from, to).replace(/\0.*$/s, '');
        const entry = Number(block.readBigUInt64LE(index * DIRENT));
        if (name !== '.' && name !== '..') found.push({ name, nid: entry });
      }
    }
    return found;
  }

  async #folder({ layout: kind, size, union, end }: Inode): Promise<Buffer> {
    if (kind === layout.plain) return this.#read(union * this.#block, size);
    const whole = Math.floor(size / this.#block) * this.#block;
    const tail = size === whole ? Buffer.alloc(0) : await this.#read(end, size - whole);
    return whole === 0 ? tail : Buffer.concat([await this.#read(union * this.#block, whole), tail]);
  }

  async #read(at: number, length: number): Promise<Buffer> {
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(length), 0, length, at);
    // The last inode may end with the image.
    if (bytesRead < Math.min(length, SLOT)) throw notAnImage(this.#path);
    return buffer;
  }
}

const notAnImage = (path: string) =>
  new SovereignError({
    code: 'bad-image',
    what: 'this is no whole EROFS image',
    on: path,
    hint: 'Build the project again',
  });
