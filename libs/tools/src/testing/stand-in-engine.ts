import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

/** What one request of the API is answered with; the key is its method and path, without numbers and options. */
export type Answers = Record<string, (request: IncomingMessage, response: ServerResponse) => void>;

export const json =
  (value: unknown, status = 200) =>
  (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };

/** As the engine answers an error: a message, and nothing else. */
export const refusal = (status: number, message: string) => json({ message }, status);

const TAG = /sovereign-tools:\w+/;

/**
 * A stand-in for a Docker engine: HTTP on a unix socket, with answers as dockerd was seen to give them. It runs
 * nothing; a container prints `printed` and ends with `status`. Answers can be replaced one by one.
 */
export class StandInEngine {
  readonly host: string;
  readonly requests: string[] = [];
  answers: Answers = {};
  printed = '';
  status = 0;
  /** The image that the engine has, by its label; undefined for none. */
  digest: string | undefined;
  /** Called once a container was started, instead of printing and ending. */
  onStart: ((end: () => void) => void) | undefined;
  /** Bytes of the tree that was imported. */
  imported = 0;
  readonly #folder = mkdtempSync(join(tmpdir(), 'stand-in-'));
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #attached: Duplex | undefined;
  #waiting: ServerResponse | undefined;

  constructor() {
    const socket = join(this.#folder, 'sock');
    this.host = `unix://${socket}`;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on('connection', (one: Socket) => {
      this.#sockets.add(one);
      one.on('error', () => undefined);
    });
    this.#server.on('upgrade', (request, stream) => {
      this.requests.push(keyOf(request));
      stream.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      stream.on('error', () => undefined);
      this.#attached = stream;
    });
    this.#server.listen(socket);
  }

  /** Cuts every connection and takes no other: what is seen of an engine that was killed. */
  die(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.die();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const key = keyOf(request);
    this.requests.push(key);
    const answer = this.answers[key] ?? this.#usual[key];
    if (answer === undefined) refusal(404, `the stand-in does not know ${key}`)(request, response);
    else answer(request, response);
  }

  readonly #usual: Answers = {
    'GET /version': json({ Os: 'linux', Arch: 'amd64' }),
    'GET /info': json({ SecurityOptions: ['name=seccomp,profile=default'] }),
    'GET /containers/json': json([]),
    'GET /images/json': json([]),
    'GET /images/NAME/json': (request, response) =>
      this.digest === undefined
        ? refusal(404, `No such image: ${TAG.exec(request.url ?? '')?.[0] ?? ''}`)(request, response)
        : json({ Id: 'sha256:1', Config: { Labels: { 'sovereign.tools.digest': this.digest } } })(
            request,
            response,
          ),
    'POST /images/create': (request, response) => {
      request.on('data', (chunk: Buffer) => (this.imported += chunk.length));
      request.on('end', () => {
        this.digest = /sovereign\.tools\.digest(?:=|%3D)(\w+)/.exec(request.url ?? '')?.[1];
        response.end('{"status":"sha256:1"}\r\n');
      });
    },
    'POST /containers/create': json({ Id: 'c0', Warnings: [] }, 201),
    'POST /containers/ID/wait': (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      this.#waiting = response;
    },
    'POST /containers/ID/start': (_request, response) => {
      response.writeHead(204).end();
      if (this.onStart === undefined) this.#end();
      else this.onStart(() => this.#end());
    },
    'DELETE /containers/ID': refusal(404, 'No such container: c0'),
  };

  /** One frame of the multiplexed stream: its kind (1 is standard output), three zeros, a length, the bytes. */
  #end(): void {
    const header = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(Buffer.byteLength(this.printed), 4);
    this.#attached?.end(Buffer.concat([header, Buffer.from(this.printed)]));
    this.#waiting?.end(JSON.stringify({ StatusCode: this.status, Error: null }));
  }
}

const keyOf = ({ method = '', url = '' }: IncomingMessage): string =>
  `${method} ${url
    .replace(/\?.*/, '')
    .replace(/^\/images\/sovereign-tools:\w+\//, '/images/NAME/')
    .replace(/^\/containers\/c0/, '/containers/ID')}`;
