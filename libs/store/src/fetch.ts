import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SovereignError } from '@sovereign/report';
import { removeLeftovers, temporaryBeside } from './leftovers.ts';
import { cacheDir } from './places.ts';

/** A file from outside, known by its digest before it is fetched. */
export interface Download {
  /** Where it may be had, in the order to try; http and https. A function is only asked where it is not stored. */
  urls: readonly string[] | (() => Promise<readonly string[]>);
  /** SHA-256, lower-case hexadecimal. */
  sha256: string;
  /** Bytes, where the lock knows it: a server that sends more is cut off. */
  size?: number;
  /** What to call it in messages. */
  name: string;
}

/** Time without a single byte after which a server counts as hanging, in milliseconds. */
const STALL = 60_000;
const ATTEMPTS = 3;

/**
 * Gives the path of a verified file in the download cache, fetching it where it is missing. What arrives with a
 * wrong digest or size is discarded before it can get its name.
 * @throws SovereignError `not-found` when every server answered that it has no such file, `no-network` when none
 *   could be reached, `wrong-digest` when what they sent is not what the lock names
 */
export async function fetchVerified(
  download: Download,
  onBytes: (count: number) => void = () => undefined,
): Promise<string> {
  const folder = cacheDir('downloads');
  const path = join(folder, download.sha256);
  if (existsSync(path)) {
    onBytes((await stat(path)).size);
    return path;
  }
  await mkdir(folder, { recursive: true });
  await removeLeftovers(folder);
  const failures: SovereignError[] = [];
  const urls = typeof download.urls === 'function' ? await download.urls() : download.urls;
  for (const url of urls) {
    try {
      await attempt(url, path, download, onBytes);
      return path;
    } catch (error) {
      if (!(error instanceof SovereignError)) throw error;
      failures.push(error);
    }
  }
  // The failure that says most: a wrong digest before an unreachable server before a missing file.
  const order = ['wrong-digest', 'no-network', 'not-found'];
  failures.sort((a, b) => order.indexOf(a.code) - order.indexOf(b.code));
  throw (
    failures[0] ??
    new SovereignError({
      code: 'no-source',
      what: `no server is known for ${download.name}`,
      hint: 'Name a mirror (docs/use.md, "Mirrors")',
    })
  );
}

async function attempt(
  url: string,
  path: string,
  download: Download,
  onBytes: (count: number) => void,
): Promise<void> {
  for (let turn = 1; ; turn++) {
    let received = 0;
    try {
      await transfer(url, path, download, (count) => {
        received += count;
        onBytes(count);
      });
      return;
    } catch (error) {
      onBytes(-received);
      const retry = error instanceof SovereignError && error.code === 'no-network' && turn < ATTEMPTS;
      if (!retry) throw error;
    }
  }
}

async function transfer(
  url: string,
  path: string,
  { sha256, size, name }: Download,
  onBytes: (count: number) => void,
): Promise<void> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), STALL);
  const temporary = temporaryBeside(path);
  const hash = createHash('sha256');
  let received = 0;
  try {
    const response = await fetch(url, { signal: abort.signal, redirect: 'follow' });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      const missing = response.status === 404 || response.status === 410;
      throw new SovereignError({
        code: missing ? 'not-found' : 'no-network',
        what: `the server answered ${response.status} for ${name}`,
        on: url,
        hint: missing ? 'The lock is older than the mirror: refresh it with ./sovereign lock' : undefined,
      });
    }
    const check = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), STALL);
        received += chunk.length;
        hash.update(chunk);
        onBytes(chunk.length);
        if (size !== undefined && received > size) done(wrong(`more than ${size} bytes`));
        else done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body), check, createWriteStream(temporary, { flush: true }));
    const actual = hash.digest('hex');
    if (size !== undefined && received < size) throw cut(`${received} of ${size} bytes`);
    if (actual !== sha256) throw wrong(`SHA-256 ${actual}, expected ${sha256}`);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw asFetchError(error);
  } finally {
    clearTimeout(timer);
  }

  function wrong(detail: string): SovereignError {
    return new SovereignError({
      code: 'wrong-digest',
      what: `${name} is not what the lock names: ${detail}; it was discarded`,
      on: url,
      hint: 'Try another mirror, and tell the maintainers when it stays so',
    });
  }

  function cut(detail: string): SovereignError {
    return new SovereignError({
      code: 'no-network',
      what: `the transfer of ${name} was cut: ${detail}`,
      on: url,
      hint: 'Check the connection and run the command again',
    });
  }

  function asFetchError(error: unknown): unknown {
    if (error instanceof SovereignError) return error;
    const { code, cause } = error as { code?: string; cause?: { code?: string; message?: string } };
    // Errors of the file system (no space, no permission) are the caller's to see as they are.
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EACCES' || code === 'EROFS') return error;
    const reason = cause?.code ?? cause?.message ?? code ?? (error as Error).message;
    return new SovereignError({
      code: 'no-network',
      what: `${name} could not be fetched: ${reason}`,
      on: url,
      hint: 'Check the connection or the proxy settings, or name another mirror (docs/use.md, "Mirrors")',
      cause: error,
    });
  }
}
