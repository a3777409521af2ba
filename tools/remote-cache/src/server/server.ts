import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from '../node-http.ts';
import { DIGEST, digestHeader, keyOf, readDigest, readLength } from '../protocol.ts';
import type { Log } from './log.ts';
import { BadBody, type Storage } from './storage.ts';
import type { Holder, Tokens } from './tokens.ts';

export interface ServerOptions {
  storage: Storage;
  tokens: Tokens;
  log: Log;
  /** Most bytes of one artifact. */
  artifactLimit: number;
  host: string;
  /** 0 for any. */
  port: number;
  /** A connection over which nothing moves for so long is closed, in milliseconds. */
  silence?: number;
}

const SILENCE = 60_000;
/** The longest that one upload may take, in milliseconds; and so may the storage alone, when it has all of it. */
const LONGEST = 30 * 60_000;
/** What is under way when the server is asked to stop gets so long, in milliseconds. */
const GRACE = 30_000;

export interface RunningServer {
  url: string;
  /** Takes no more requests, lets those under way end, and ends. */
  stop(grace?: number): Promise<void>;
}

/** Nx's client ends the build on any other status, also of an upload: so these are all there are. */
type Status = 200 | 403 | 404 | 409;

interface Answer {
  status: Status;
  text: string;
}

const refuse = (text: string): Answer => ({ status: 403, text });

export async function serve(options: ServerOptions): Promise<RunningServer> {
  const server = createServer({ requestTimeout: LONGEST, headersTimeout: 30_000 }, (request, response) => {
    void answer(request, response, options);
  });
  // Whether the body is wanted is known before it is sent.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    void answer(request, response, options);
  });
  server.setTimeout(options.silence ?? SILENCE);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return { url: `http://${host}:${port}`, stop: (grace = GRACE) => stopServer(server, grace) };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServerOptions,
): Promise<void> {
  const { method = '', url = '' } = request;
  if (url === '/healthz') return health(response, options);
  const started = performance.now();
  const holder = options.tokens(/^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1]);
  const key = keyOf(url);
  let status: number | undefined;
  let failure: string | undefined;
  let bytes: number | undefined;
  try {
    if (holder === undefined) status = reply(request, response, refuse('this token is not known'));
    else if (key === undefined) {
      status = reply(request, response, { status: 404, text: 'there is nothing at this address' });
    } else if (method === 'GET') {
      ({ status, bytes } = await give(key, response, options));
    } else if (method === 'PUT') {
      bytes = readLength(request.headers['content-length']);
      status = reply(request, response, await take(key, holder, request, response, options));
    } else status = reply(request, response, { status: 404, text: 'only GET and PUT' });
  } catch (error) {
    failure = (error as Error).message;
    status = fail(request, response, method);
  }
  const level = failure === undefined ? 'info' : 'error';
  options.log(level, 'request', {
    method,
    // An address that is no key is anybody's text; it is cut, and JSON quotes it.
    ...(key === undefined ? { address: url.slice(0, 100) } : { key }),
    status,
    ...(bytes === undefined ? {} : { bytes }),
    ms: Math.round(performance.now() - started),
    holder: holder?.name,
    from: request.socket.remoteAddress,
    ...(failure === undefined ? {} : { failure }),
  });
}

async function give(
  key: string,
  response: ServerResponse,
  { storage }: ServerOptions,
): Promise<{ status: Status; bytes?: number }> {
  const found = await storage.get(key);
  if (found === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('no such entry\n');
    return { status: 404 };
  }
  try {
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': found.size,
      [DIGEST]: digestHeader(found.sha256),
    });
    await found.sendTo(response);
    return { status: 200, bytes: found.size };
  } finally {
    await found.close();
  }
}

async function take(
  key: string,
  { right }: Holder,
  request: IncomingMessage,
  response: ServerResponse,
  { storage, artifactLimit }: ServerOptions,
): Promise<Answer> {
  if (right !== 'write') return refuse('this token may only read');
  const size = readLength(request.headers['content-length']);
  if (size === undefined) return refuse('Content-Length is missing');
  if (size > artifactLimit) return refuse(`larger than ${artifactLimit} bytes`);
  if (await storage.has(key)) return { status: 409, text: 'there is an entry already; entries never change' };
  const sha256 = readDigest(request.headers[DIGEST]);
  if (request.headers.expect !== undefined) response.writeContinue();
  // Where storing fails, the connection is still needed to say so.
  const body = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  // From then on it is the storage that takes its time: a store at the other end of a slow line.
  request.once('end', () => request.setTimeout(LONGEST));
  try {
    const stored = await storage.put(key, { body, size, sha256 });
    return stored === 'stored'
      ? { status: 200, text: 'stored' }
      : { status: 409, text: 'there is an entry already; entries never change' };
  } catch (error) {
    if (error instanceof BadBody) return refuse(error.message);
    throw error;
  }
}

/** An answer that comes before the whole body ends the connection: the rest is not waited for. */
function reply(request: IncomingMessage, response: ServerResponse, { status, text }: Answer): Status {
  const rest = !request.complete;
  response.writeHead(status, { 'content-type': 'text/plain', ...(rest ? { connection: 'close' } : {}) });
  response.end(`${text}\n`);
  if (rest) request.resume();
  return status;
}

/** A fault of ours is a miss for who reads, and no right to write for who writes. What was begun is cut. */
function fail(request: IncomingMessage, response: ServerResponse, method: string): number | undefined {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return undefined;
  }
  return reply(
    request,
    response,
    method === 'GET' ? { status: 404, text: 'not available' } : refuse('not stored'),
  );
}

async function health(response: ServerResponse, { storage, log }: ServerOptions): Promise<void> {
  try {
    await storage.check();
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
  } catch (error) {
    log('error', 'unhealthy', { failure: (error as Error).message });
    response.writeHead(503, { 'content-type': 'text/plain' }).end('the storage does not answer\n');
  }
}

async function stopServer(server: Server, grace: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), grace);
  await closed;
  clearTimeout(timer);
}
