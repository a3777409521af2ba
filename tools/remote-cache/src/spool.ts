import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Writable } from 'node:stream';

/**
 * Node gives what a socket receives a new buffer each time, and V8 lets 60 MB of such pile up before it looks: here it
 * is told to, which takes it a millisecond.
 */
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;

/** After so many received bytes. */
const COLLECT = 8 * 2 ** 20;

/** More arrived than is allowed. */
export class TooLarge extends Error {
  constructor(limit: number) {
    super(`more than ${limit} bytes`);
  }
}

/** Bytes read at a time, so that memory does not depend on the size of an artifact. */
const CHUNK = 128 * 1024;

/**
 * Bytes on their way, on disk instead of in memory. The file has no name once it is open: whatever ends the process,
 * nothing is left of it.
 */
export class Spool {
  readonly size: number;
  /** SHA-256 of the bytes, 64 hex digits. */
  readonly sha256: string;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, size: number, sha256: string) {
    this.#file = file;
    this.size = size;
    this.sha256 = sha256;
  }

  /**
   * Takes a stream in full.
   * @throws TooLarge past `limit` bytes; the error of the stream where it breaks off
   */
  static async of(source: AsyncIterable<Uint8Array>, folder: string, limit: number): Promise<Spool> {
    await mkdir(folder, { recursive: true });
    const path = join(folder, `.spool-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    try {
      await rm(path);
      const { size, sha256 } = await writeHashed(file, source, limit);
      return new Spool(file, size, sha256);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  sendTo(target: Writable): Promise<void> {
    return sendTo(target, this.#file);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Writes a stream to a file from `offset` on and hashes it on the way. */
export async function writeHashed(
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
  limit: number,
  offset = 0,
): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of source) {
    if (size + chunk.length > limit) throw new TooLarge(limit);
    hash.update(chunk);
    for (let done = 0; done < chunk.length;) {
      const { bytesWritten } = await file.write(chunk, done, chunk.length - done, offset + size + done);
      done += bytesWritten;
    }
    if (Math.floor(size / COLLECT) !== Math.floor((size + chunk.length) / COLLECT))
      collect({ type: 'minor' });
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

/** The bytes of an open file from `offset` on. The buffer is one and the same: to be used up before the next is asked for. */
export async function* chunksOf(file: FileHandle, offset: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  for (let at = offset; ;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * Writes an open file from `offset` on to a stream and ends that; the file stays open. It goes on only when a chunk has
 * left, so that no more than one is in memory.
 */
export async function sendTo(target: Writable, file: FileHandle, offset = 0): Promise<void> {
  const gone = new Promise<never>((_, reject) => {
    target.once('error', reject).once('close', () => reject(new Error('the other side went away')));
  });
  // Where nobody waits for it any more.
  gone.catch(() => undefined);
  const write = (chunk: Buffer) =>
    new Promise<void>((resolve, reject) => {
      target.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  for await (const chunk of chunksOf(file, offset)) await Promise.race([write(chunk), gone]);
  await Promise.race([new Promise<void>((resolve) => target.end(resolve)), gone]);
}
