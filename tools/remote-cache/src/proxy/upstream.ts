import { ask, discard, shortText, type Got } from '../http.ts';
import { DIGEST, digestHeader, readDigest, readLength } from '../protocol.ts';
import { Spool, TooLarge } from '../spool.ts';
import { BadArtifact, checkArtifact } from './artifact.ts';

export interface Limits {
  /** Without a byte in either direction for so long the server counts as gone, in milliseconds. */
  silence: number;
  /** The same at an upload, where the server answers once it has stored all of it. */
  silenceUpload: number;
  /** The longest that Nx waits for one artifact, in milliseconds. */
  longest: number;
  /** After this time, in milliseconds, an artifact comes at this rate at least, in bytes a second. */
  grace: number;
  slowest: number;
  /** The longest that one upload may take, in milliseconds. */
  longestUpload: number;
  /** Most bytes of one artifact, and of what it unpacks to. */
  artifact: number;
  unpacked: number;
}

export const usual: Limits = {
  silence: 4_000,
  silenceUpload: 5 * 60_000,
  longest: 300_000,
  grace: 10_000,
  slowest: 500_000,
  longestUpload: 10 * 60_000,
  artifact: 2 ** 30,
  unpacked: 2 ** 33,
};

/** Something is wrong with the server, or with one entry of it. */
export class Fault extends Error {
  /** The server is not worth being asked again in this run. */
  readonly lasting: boolean;

  constructor(message: string, lasting: boolean) {
    super(message);
    this.lasting = lasting;
  }
}

export interface Server {
  url: URL;
  token: string;
  /** Where bytes are that only pass. */
  folder: string;
  limits: Limits;
}

const address = ({ url }: Server, key: string): URL => new URL(`v1/cache/${key}`, url);

/**
 * Brings an artifact, checked in full; undefined where the server has none.
 * @throws Fault whatever else happens
 */
export async function fetchArtifact(
  server: Server,
  key: string,
  signal: AbortSignal,
): Promise<Spool | undefined> {
  const { token, folder, limits } = server;
  const end = AbortSignal.timeout(limits.longest);
  let spool: Spool | undefined;
  try {
    const got = await ask({
      url: address(server, key),
      method: 'GET',
      headers: { authorization: `Bearer ${token}`, accept: 'application/octet-stream' },
      silence: limits.silence,
      signal: AbortSignal.any([end, signal]),
    });
    if (got.status === 404) {
      discard(got);
      return undefined;
    }
    if (got.status !== 200) throw badStatus(got);
    const size = readLength(got.headers['content-length']);
    const digest = readDigest(got.headers[DIGEST]);
    if (digest === undefined || size === undefined) {
      discard(got);
      throw new Fault('it names no digest or no length: it is another kind of server', true);
    }
    if (size > limits.artifact) {
      discard(got);
      throw new TooLarge(limits.artifact);
    }
    spool = await Spool.of(paced(got.body as AsyncIterable<Buffer>, limits), folder, size);
    if (spool.size !== size) throw new Fault(`an artifact is cut: ${spool.size} bytes of ${size}`, false);
    if (spool.sha256 !== digest) throw new Fault('an artifact is not what its digest says', false);
    await checkArtifact(spool, limits.unpacked);
    return spool;
  } catch (error) {
    await spool?.close();
    throw toFault(error, end.aborted ? `an artifact took longer than ${limits.longest / 1000} s` : undefined);
  }
}

/**
 * Sends an artifact. `refused`: the token may only read.
 * @throws Fault whatever else happens
 */
export async function sendArtifact(
  server: Server,
  key: string,
  spool: Spool,
  signal: AbortSignal,
): Promise<'stored' | 'exists' | 'refused'> {
  const { token, limits } = server;
  const end = AbortSignal.timeout(limits.longestUpload);
  try {
    const got = await ask({
      url: address(server, key),
      method: 'PUT',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/octet-stream',
        'content-length': String(spool.size),
        [DIGEST]: digestHeader(spool.sha256),
      },
      body: spool,
      silence: limits.silenceUpload,
      signal: AbortSignal.any([end, signal]),
    });
    const known = ({ 200: 'stored', 409: 'exists' } as const)[got.status];
    if (known !== undefined) {
      discard(got);
      return known;
    }
    if (got.status !== 403) throw badStatus(got);
    const text = (await shortText(got)).trim();
    if (text.includes('may only read')) return 'refused';
    throw text.includes('token') ? badStatus(got) : new Fault(`it does not take an artifact: ${text}`, false);
  } catch (error) {
    throw toFault(
      error,
      end.aborted ? `an upload took longer than ${limits.longestUpload / 1000} s` : undefined,
    );
  }
}

function badStatus(got: Got): Fault {
  const { status, headers } = got;
  discard(got);
  if (status === 401 || status === 403) return new Fault(`it refuses the token (status ${status})`, true);
  if (status >= 300 && status < 400) {
    return new Fault(`it redirects (status ${status}) to ${String(headers.location).slice(0, 100)}`, true);
  }
  return new Fault(`it answers with status ${status}`, true);
}

function toFault(error: unknown, overdue: string | undefined): Fault {
  if (overdue !== undefined) return new Fault(overdue, true);
  if (error instanceof Fault) return error;
  if (error instanceof TooLarge) return new Fault(`an artifact is too large: ${error.message}`, false);
  if (error instanceof BadArtifact) return new Fault(`an artifact is not used: ${error.message}`, false);
  const { code, message } = error as NodeJS.ErrnoException;
  // Of ours, where bytes pass.
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new Fault('there is no space to keep an artifact in', true);
  if (message === 'aborted' || code === 'ECONNRESET') return new Fault('it cut the connection', true);
  // Where a name has several addresses, the error of all has no text.
  return new Fault(message === '' ? (code ?? 'not reached') : message, true);
}

/** A server that sends a little now and then is as good as none. */
async function* paced(body: AsyncIterable<Buffer>, { grace, slowest }: Limits): AsyncGenerator<Buffer> {
  const started = performance.now();
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    const late = performance.now() - started - grace;
    if (late > 0 && size < (late / 1000) * slowest) throw new Fault('it sends too slowly', true);
    yield chunk;
  }
}
