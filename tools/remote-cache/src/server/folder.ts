import { createHash, randomUUID } from 'node:crypto';
import { access, constants, link, mkdir, open, readdir, rm, utimes, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { chunksOf, sendTo, writeHashed } from '../spool.ts';
import type { Log } from './log.ts';
import { compare, type Found, type Incoming, type Storage, type Stored } from './storage.ts';

/** In front of the bytes of an entry: what this is, and the SHA-256 of what follows. */
const MAGIC = Buffer.from('SOVC\0\0\0\x01', 'latin1');
const HEADER = MAGIC.length + 32;

interface Entry {
  size: number;
  /** When it was last written or read, milliseconds of the epoch. */
  used: number;
}

export interface FolderOptions {
  folder: string;
  /** Most bytes of all entries; what was used longest ago goes first. */
  limit: number;
  log: Log;
}

/**
 * Entries as files of a folder that one server has to itself. An entry gets its name by a link, once all of it is on
 * the disk: a second writer finds the name taken, and what a killed server left has no name and goes at the next start.
 */
export class FolderStorage implements Storage {
  readonly #options: FolderOptions;
  readonly #entries = new Map<string, Entry>();
  #total = 0;

  private constructor(options: FolderOptions) {
    this.#options = options;
  }

  static async open(options: FolderOptions): Promise<FolderStorage> {
    const storage = new FolderStorage(options);
    await rm(storage.#unfinished, { recursive: true, force: true });
    await mkdir(storage.#unfinished, { recursive: true, mode: 0o700 });
    await storage.#scan();
    await storage.#shrink(options.limit);
    return storage;
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.#total;
  }

  async get(key: string): Promise<Found | undefined> {
    const file = await this.#open(key);
    if (file === undefined) return undefined;
    const found = await readEntry(file).catch(async (error: unknown) => {
      await file.close();
      throw error;
    });
    if (found === undefined) {
      await file.close();
      this.#options.log('error', 'damaged', { key });
      await this.#remove(key);
      return undefined;
    }
    await this.#touch(key, found.size);
    return found;
  }

  async has(key: string): Promise<boolean> {
    const file = await this.#open(key);
    await file?.close();
    return file !== undefined;
  }

  async put(key: string, incoming: Incoming): Promise<Stored> {
    const temporary = join(this.#unfinished, randomUUID());
    try {
      const size = await this.#write(temporary, incoming);
      await mkdir(this.#folderOf(key), { recursive: true, mode: 0o700 });
      try {
        await link(temporary, this.#path(key));
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return 'exists';
        throw error;
      }
      await syncFolder(this.#folderOf(key));
      this.#note(key, { size, used: Date.now() });
      await this.#shrink(this.#options.limit, key);
      return 'stored';
    } catch (error) {
      // The one that asks does without; there is room for the next.
      if (full(error)) await this.#shrink(this.#total - incoming.size);
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async check(): Promise<void> {
    await access(this.#unfinished, constants.W_OK | constants.X_OK);
  }

  async #write(path: string, incoming: Incoming): Promise<number> {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.write(Buffer.alloc(HEADER), 0, HEADER, 0);
      const got = await writeHashed(file, incoming.body, incoming.size, HEADER);
      compare(incoming, got);
      await file.write(Buffer.concat([MAGIC, Buffer.from(got.sha256, 'hex')]), 0, HEADER, 0);
      await file.sync();
      return got.size;
    } finally {
      await file.close();
    }
  }

  async #open(key: string): Promise<FileHandle | undefined> {
    try {
      return await open(this.#path(key), 'r');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      this.#forget(key);
      return undefined;
    }
  }

  async #touch(key: string, size: number): Promise<void> {
    // Removed while it was read.
    if (!this.#entries.has(key)) return;
    const now = new Date();
    this.#note(key, { size, used: now.getTime() });
    // Read by the next server at its start; that it fails on a full disk is no reason not to serve.
    await utimes(this.#path(key), now, now).catch(() => undefined);
  }

  async #scan(): Promise<void> {
    const { folder } = this.#options;
    for (const group of await readdir(folder)) {
      if (!/^\d{2}$/.test(group)) continue;
      for (const key of await readdir(join(folder, group))) {
        const file = await this.#open(key);
        if (file === undefined) continue;
        try {
          const { size, mtimeMs } = await file.stat();
          this.#note(key, { size: Math.max(0, size - HEADER), used: mtimeMs });
        } finally {
          await file.close();
        }
      }
    }
  }

  /** Removes what was used longest ago until the rest takes `limit` bytes at most; never `keep`. */
  async #shrink(limit: number, keep?: string): Promise<void> {
    if (this.#total <= limit) return;
    const oldest = [...this.#entries].sort(([, a], [, b]) => a.used - b.used);
    for (const [key, { size }] of oldest) {
      if (this.#total <= limit) return;
      if (key === keep) continue;
      this.#options.log('info', 'removed', { key, bytes: size });
      await this.#remove(key);
    }
  }

  async #remove(key: string): Promise<void> {
    this.#forget(key);
    await rm(this.#path(key), { force: true });
  }

  #note(key: string, entry: Entry): void {
    this.#forget(key);
    this.#entries.set(key, entry);
    this.#total += entry.size;
  }

  #forget(key: string): void {
    this.#total -= this.#entries.get(key)?.size ?? 0;
    this.#entries.delete(key);
  }

  get #unfinished(): string {
    return join(this.#options.folder, 'unfinished');
  }

  /** By the last digits: the first are spread less evenly. */
  #folderOf(key: string): string {
    return join(this.#options.folder, key.slice(-2).padStart(2, '0'));
  }

  #path(key: string): string {
    return join(this.#folderOf(key), key);
  }
}

/** Reads all of it once before a byte is given: what has changed on the disk must not be served. */
async function readEntry(file: FileHandle): Promise<Found | undefined> {
  const header = Buffer.alloc(HEADER);
  await file.read(header, 0, HEADER, 0);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const sha256 = header.subarray(MAGIC.length).toString('hex');
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of chunksOf(file, HEADER)) {
    hash.update(chunk);
    size += chunk.length;
  }
  if (hash.digest('hex') !== sha256) return undefined;
  return { size, sha256, sendTo: (target) => sendTo(target, file, HEADER), close: () => file.close() };
}

/** A new name is on the disk only once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
const full = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '');
