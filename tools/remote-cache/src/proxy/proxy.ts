import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from '../node-http.ts';
import { keyOf, readLength } from '../protocol.ts';
import { Spool } from '../spool.ts';
import { Fault, fetchArtifact, sendArtifact, usual, type Limits, type Server } from './upstream.ts';
import { toUploads, type Uploads } from './uploads.ts';

export interface ProxyOptions {
  server: URL;
  token: string;
  /** Where bytes are that only pass; they have no name there. */
  folder: string;
  /** Says one line to a person. */
  warn: (line: string) => void;
  limits?: Limits;
}

export interface Proxy {
  url: string;
  /** What Nx's client has to say: other users of this machine reach the port as well. */
  token: string;
  /** Gives what is still to be sent so long, in milliseconds, says what was not, and ends. */
  close: (wait: number) => Promise<void>;
}

/** What a run may lose in all by waiting for answers that do not come, in milliseconds. */
const PATIENCE = 20_000;

/** What is known of the server in one run. */
class Health {
  /** Nothing is asked of the server any more. */
  given = false;
  #told = false;
  #lost = 0;
  readonly #name: string;
  readonly #warn: (line: string) => void;

  constructor(name: string, warn: (line: string) => void) {
    this.#name = name;
    this.#warn = warn;
  }

  /** One line a run, whatever else happens: the build does not need to know more. */
  fault(fault: Fault, lost: number): void {
    this.#lost += lost;
    if (fault.lasting || this.#lost > PATIENCE) this.given = true;
    this.tell(`${fault.message}; ${this.given ? 'building without it' : 'building that task instead'}`);
  }

  tell(text: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#warn(`warning: remote cache ${this.#name}: ${text}`);
  }
}

/**
 * Stands between Nx's client, which ends or hangs the run at any fault of a remote cache, and the server: what cannot
 * be had is a miss, what cannot be sent is left out, and nothing is handed on that was not checked.
 */
export async function startProxy({
  server: url,
  token,
  folder,
  warn,
  limits = usual,
}: ProxyOptions): Promise<Proxy> {
  const own = randomBytes(32).toString('hex');
  const health = new Health(url.host, warn);
  const server: Server = { url, token, folder, limits };
  const end = new AbortController();
  const uploads = toUploads({
    send: (key, spool) => sendArtifact(server, key, spool, end.signal),
    failed: (fault) => health.fault(fault, 0),
  });
  const context: Context = { server, health, uploads, signal: end.signal, folder, limits };
  const http = createServer((request, response) => {
    response.on('error', () => undefined);
    // A connection that is kept may be closed just when Nx's client uses it again.
    response.shouldKeepAlive = false;
    void (isOurs(request, own) ? answer(request, response, context) : reply(request, response, 403)).catch(
      () => {
        // Nx went away, or this machine's disk failed: there is nobody to tell, or nothing more to say.
        response.destroy();
      },
    );
  });
  // A run of hours keeps its connection; the end of the run ends it.
  http.requestTimeout = 0;
  await listen(http);
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    token: own,
    close: async (wait) => {
      const left = await uploads.finish(health.given ? 0 : wait);
      if (left > 0 && !health.given) {
        health.tell(`${left} ${left === 1 ? 'artifact was' : 'artifacts were'} not sent in time`);
      }
      end.abort();
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
}

interface Context {
  server: Server;
  health: Health;
  uploads: Uploads;
  signal: AbortSignal;
  folder: string;
  limits: Limits;
}

function isOurs({ headers }: IncomingMessage, token: string): boolean {
  const given = Buffer.from(headers.authorization ?? '');
  const expected = Buffer.from(`Bearer ${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function answer(request: IncomingMessage, response: ServerResponse, context: Context): Promise<void> {
  const key = keyOf(request.url ?? '');
  if (key !== undefined && request.method === 'GET') return give(key, request, response, context);
  if (key !== undefined && request.method === 'PUT') return take(key, request, response, context);
  return reply(request, response, 404);
}

async function give(
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
  { server, health, signal }: Context,
): Promise<void> {
  if (health.given) return reply(request, response, 404);
  const started = performance.now();
  let spool: Spool | undefined;
  try {
    spool = await fetchArtifact(server, key, signal);
  } catch (error) {
    health.fault(error as Fault, performance.now() - started);
  }
  if (spool === undefined) return reply(request, response, 404);
  try {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': spool.size });
    await spool.sendTo(response);
  } finally {
    await spool.close();
  }
}

/** Nx fails the task on anything but a few answers, and waits for each: so it gets its answer at once, and a good one. */
async function take(
  key: string,
  request: IncomingMessage,
  response: ServerResponse,
  { health, uploads, folder, limits }: Context,
): Promise<void> {
  const size = readLength(request.headers['content-length']) ?? 0;
  if (!health.given && uploads.wanted && size <= limits.artifact) {
    // Where keeping it fails, the connection is still needed for the answer.
    const body = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    try {
      uploads.add(key, await Spool.of(body, folder, limits.artifact));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      health.fault(new Fault(`an artifact cannot be kept to be sent: ${code ?? message}`, false), 0);
    }
  }
  return reply(request, response, 200);
}

function reply(request: IncomingMessage, response: ServerResponse, status: number): Promise<void> {
  // What is not wanted is still to be read: an early answer would break off what Nx sends.
  request.resume();
  return new Promise((resolve) => {
    const send = () => {
      response.writeHead(status, { 'content-type': 'text/plain' }).end(() => resolve());
    };
    if (request.complete || request.readableEnded) send();
    else request.once('end', send).once('close', () => resolve());
  });
}

async function listen(http: HttpServer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(0, '127.0.0.1', resolve);
  });
  // It is no reason for the process to live on.
  http.unref();
}
