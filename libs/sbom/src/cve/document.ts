import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { note, SovereignError, step } from '@sovereign/report';
import { cacheDir, canonicalJson, sha256, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

/** A copy that is younger than this is not asked for again, in milliseconds. */
const FRESH = 6 * 3_600_000;
/** Time without a single byte after which a server counts as hanging, in milliseconds. */
const STALL = 60_000;
/** Debian's is the largest, about 80 MB. */
const LIMIT = 512 * 1024 * 1024;

const stateSchema = z.strictObject({
  url: z.string(),
  /** ISO 8601. */
  fetched: z.string(),
  etag: z.string().optional(),
});
type State = z.output<typeof stateSchema>;

export interface Source {
  /** `Alpine's security database`, for messages. */
  name: string;
  url: string;
  /** The setting that names another place. */
  setting: string;
}

export interface FetchedDocument {
  /** Parsed JSON, of any shape. */
  data: unknown;
  /** When the server last said that this is its newest, ISO 8601. */
  asOf: string;
}

/**
 * Fetches a JSON document of security data, or takes the copy of the last time: while it is fresh, and with a note
 * where the server is not reached.
 * @throws SovereignError `no-advisories` where neither is to be had
 */
export async function fetchDocument(source: Source, now = new Date()): Promise<FetchedDocument> {
  const path = cacheDir('advisories', `${sha256(source.url)}.json`);
  const kept = await readState(path);
  if (kept !== undefined && now.getTime() - Date.parse(kept.fetched) < FRESH) return read(path, kept);
  try {
    const state = await step(`fetch ${source.name}`, () => transfer(source, path, kept, now));
    return await read(path, state);
  } catch (error) {
    if (kept === undefined) throw notToBeHad(source, error);
    note(`${source.name} is not to be had (${reasonOf(error)}): taking what it said on ${kept.fetched}`);
    return read(path, kept);
  }
}

const statePath = (path: string): string => path.replace(/\.json$/, '.state.json');

async function readState(path: string): Promise<State | undefined> {
  if (!existsSync(path) || !existsSync(statePath(path))) return undefined;
  try {
    return stateSchema.parse(JSON.parse(await readFile(statePath(path), 'utf8')));
  } catch {
    // Damaged: as if it was never fetched.
    return undefined;
  }
}

const read = async (path: string, { fetched }: State): Promise<FetchedDocument> => ({
  data: JSON.parse(await readFile(path, 'utf8')) as unknown,
  asOf: fetched,
});

async function transfer({ url }: Source, path: string, kept: State | undefined, now: Date): Promise<State> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), STALL);
  try {
    const response = await fetch(url, {
      signal: abort.signal,
      headers: kept?.etag === undefined ? {} : { 'if-none-match': kept.etag },
    });
    const state: State = { url, fetched: now.toISOString() };
    if (response.status === 304 && kept !== undefined) {
      await response.body?.cancel();
      return await write(path, { ...kept, ...state });
    }
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the server answered ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), STALL);
      size += chunk.length;
      if (size > LIMIT) throw new Error(`it is larger than ${LIMIT} bytes`);
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    JSON.parse(body.toString('utf8'));
    await writeFileAtomic(path, body);
    const etag = response.headers.get('etag');
    return await write(path, etag === null ? state : { ...state, etag });
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function write(path: string, state: State): Promise<State> {
  await writeFileAtomic(statePath(path), canonicalJson(state));
  return state;
}

function notToBeHad({ name, url, setting }: Source, cause: unknown): SovereignError {
  return new SovereignError({
    code: 'no-advisories',
    what: `${name} could not be fetched: ${reasonOf(cause)}`,
    on: url,
    hint: `Check the connection, or name another place in ${setting} (docs/use.md, "Mirrors")`,
    cause,
  });
}

/** What stood at the bottom of it: `ECONNREFUSED`, or what the server answered. */
function reasonOf(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause instanceof Error) deepest = deepest.cause;
  const { code, message } = deepest as NodeJS.ErrnoException;
  return code ?? message;
}
