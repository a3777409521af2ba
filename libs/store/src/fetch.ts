import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { note, SovereignError } from '@sovereign/report';
import { sha256File } from './digest.ts';
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

/** A file from outside whose digest nobody knows before: something else than a lock vouches for it. */
export interface Unpinned {
  url: string;
  /** Bytes: a server that sends more is cut off. */
  limit: number;
  /** What to call it in messages. */
  name: string;
  /** Throws where the content is not to be trusted. */
  check: (content: Buffer) => Promise<void> | void;
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
    if ((await sha256File(path)) === download.sha256) {
      onBytes((await stat(path)).size);
      return path;
    }
    // It stays until the good one takes its place: another process may have put that there by now.
    note(`${download.name} was damaged on this disk; fetching it again`);
  }
  await mkdir(folder, { recursive: true });
  await removeLeftovers(folder);
  const failures: SovereignError[] = [];
  const urls = typeof download.urls === 'function' ? await download.urls() : download.urls;
  for (const url of urls) {
    try {
      return await attempt(url, download, onBytes);
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

/**
 * Fetches a file and puts it into the download cache, under the digest that it turns out to have, once it passed
 * its check.
 * @throws SovereignError as {@link fetchVerified}, and what the check throws
 */
export async function fetchChecked(
  file: Unpinned,
): Promise<{ path: string; sha256: string; content: Buffer }> {
  const folder = cacheDir('downloads');
  await mkdir(folder, { recursive: true });
  await removeLeftovers(folder);
  const path = await attempt(file.url, file, () => undefined);
  return { path, sha256: basename(path), content: await readFile(path) };
}

/** What is known of a file before it arrives. */
type Wanted = Pick<Download, 'name'> &
  Partial<Pick<Download, 'sha256' | 'size'> & Pick<Unpinned, 'limit' | 'check'>>;

async function attempt(url: string, download: Wanted, onBytes: (count: number) => void): Promise<string> {
  for (let turn = 1; ; turn++) {
    let received = 0;
    try {
      return await transfer(url, download, (count) => {
        received += count;
        onBytes(count);
      });
    } catch (error) {
      onBytes(-received);
      const retry = error instanceof SovereignError && error.code === 'no-network' && turn < ATTEMPTS;
      if (!retry) throw error;
    }
  }
}

async function transfer(
  url: string,
  { sha256, size, limit = size, name, check }: Wanted,
  onBytes: (count: number) => void,
): Promise<string> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), STALL);
  const temporary = temporaryBeside(cacheDir('downloads', sha256 ?? 'unpinned'));
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
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), STALL);
        received += chunk.length;
        hash.update(chunk);
        onBytes(chunk.length);
        if (limit !== undefined && received > limit) done(wrong(`more than ${limit} bytes`));
        else done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body), meter, createWriteStream(temporary, { flush: true }));
    const actual = hash.digest('hex');
    if (size !== undefined && received < size) throw cut(`${received} of ${size} bytes`);
    if (sha256 !== undefined && actual !== sha256) throw wrong(`SHA-256 ${actual}, expected ${sha256}`);
    if (check !== undefined) await check(await readFile(temporary));
    const path = cacheDir('downloads', actual);
    await rename(temporary, path);
    return path;
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
