import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Writable } from 'node:stream';

/**
 * Node gives what a socket receives a new buffer each time, and V8 lets 60 MB of such pile up before it looks: here it
 * is told to. That takes it a millisecond, and some more now and then for those that were in use each time.
 */
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (options: { type: 'minor' | 'major' }) => void;

/** After so many bytes of all streams together: several at once would pile up as many times as much. */
const COLLECT = 4 * 2 ** 20;
/** One in so many takes in what is older. */
const MAJOR = 4;
let fresh = 0;
let collected = 0;

/** To be told of the bytes that came in buffers of their own. */
export function collectAfter(bytes: number): void {
  fresh += bytes;
  if (fresh < COLLECT) return;
  fresh = 0;
  collect({ type: ++collected % MAJOR === 0 ? 'major' : 'minor' });
}

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
    size += chunk.length;
    collectAfter(chunk.length);
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
  let gone: Error | undefined;
  // Of the one that waits. A promise for all of them would keep something of every chunk until the end.
  let fail: (error: Error) => void = () => undefined;
  const leave = (error: Error) => {
    gone ??= error;
    fail(gone);
  };
  target.once('error', leave).once('close', () => leave(new Error('the other side went away')));
  const done = (start: (settle: (error?: Error | null) => void) => void) =>
    new Promise<void>((resolve, reject) => {
      fail = reject;
      if (gone !== undefined) reject(gone);
      else start((error) => (error ? reject(error) : resolve()));
    });
  for await (const chunk of chunksOf(file, offset)) await done((settle) => target.write(chunk, settle));
  await done((settle) => target.end(settle));
}
