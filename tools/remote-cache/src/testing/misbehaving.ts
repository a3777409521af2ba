import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { sha256 } from '@sovereign/store';
import tar from 'tar-stream';
import { digestHeader } from '../protocol.ts';

export type Fault = (request: IncomingMessage, response: ServerResponse) => void;

const OCTETS = { 'content-type': 'application/octet-stream' };

const good = (body: Buffer): Fault => {
  return (_, response) => {
    const headers = { ...OCTETS, 'content-length': body.length, 'repr-digest': digestHeader(sha256(body)) };
    response.writeHead(200, headers).end(body);
  };
};
const status =
  (code: number, headers: Record<string, string> = {}): Fault =>
  (request, response) => {
    request.resume();
    response.writeHead(code, headers).end('no\n');
  };

/** An artifact as Nx writes one, with these members more. */
export async function artifact(
  members: readonly (Partial<tar.Header> & { name: string } & { text?: string })[] = [],
): Promise<Buffer> {
  const pack = tar.pack();
  for (const { text, ...header } of members) {
    if (text === undefined) pack.entry(header);
    else pack.entry(header, text);
  }
  pack.entry({ name: 'terminalOutput' }, 'said\n');
  pack.entry({ name: 'code' }, Buffer.alloc(4));
  pack.finalize();
  return gzipSync(await buffer(pack));
}
const usual = await artifact([{ name: 'a/dist/out', text: 'from the cache\n' }]);

/** What is wrong with the server itself: it is not asked again in the run. */
export const lasting = {
  'status 401': status(401),
  'status 403': status(403),
  'status 500': status(500),
  'status 204': status(204),
  'a redirect to itself': status(302, { location: '/v1/cache/1' }),
  'no digest': (_, response) => {
    response.writeHead(200, { ...OCTETS, 'content-length': usual.length }).end(usual);
  },
  'a body that is cut': (_, response) => {
    const headers = { ...OCTETS, 'content-length': usual.length, 'repr-digest': digestHeader(sha256(usual)) };
    response.writeHead(200, headers);
    response.write(usual.subarray(0, usual.length / 2), () => response.destroy());
  },
  'a connection that is cut': (request) => request.socket.destroy(),
  'an answer that never comes': () => undefined,
  'a body that stops': (_, response) => {
    const headers = { ...OCTETS, 'content-length': usual.length, 'repr-digest': digestHeader(sha256(usual)) };
    response.writeHead(200, headers);
    response.write(usual.subarray(0, 10));
  },
} satisfies Record<string, Fault>;

const member = async (header: Partial<tar.Header> & { name: string } & { text?: string }) =>
  good(await artifact([header]));

/** What is wrong with one entry. */
export const single = {
  'bytes that are no artifact': good(Buffer.from('this is no artifact')),
  'an empty body': good(Buffer.alloc(0)),
  'an artifact that ends early': good(usual.subarray(0, -20)),
  'a wrong digest': (_, response) => {
    const headers = {
      ...OCTETS,
      'content-length': usual.length,
      'repr-digest': digestHeader(sha256('other')),
    };
    response.writeHead(200, headers).end(usual);
  },
  'a huge body': (_, response) => {
    const headers = { ...OCTETS, 'content-length': 2 ** 40, 'repr-digest': digestHeader(sha256('other')) };
    response.writeHead(200, headers);
    response.write(Buffer.alloc(1000));
  },
  'a path out of the workspace': await member({ name: '../outside', text: 'x' }),
  'an absolute path': await member({ name: '/tmp/outside', text: 'x' }),
  'a device': await member({ name: 'a/dist/device', type: 'character-device' }),
  'a link out of the workspace': await member({
    name: 'a/dist/link',
    type: 'symlink',
    linkname: '../../../etc',
  }),
} satisfies Record<string, Fault>;

export interface Misbehaving {
  url: string;
  /** Requests so far, `METHOD KEY`. */
  asked: string[];
  close(): Promise<void>;
}

/** A stand-in for a server with faults: the next of `gets` at every GET, `put` at every PUT. */
export async function misbehave(gets: readonly Fault[], put: Fault = status(409)): Promise<Misbehaving> {
  const asked: string[] = [];
  let next = 0;
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    response.on('error', () => undefined);
    asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
    const fault = request.method === 'PUT' ? put : gets[Math.min(next++, gets.length - 1)];
    (fault ?? status(404))(request, response);
  };
  const server = createServer(handle);
  server.on('checkContinue', handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A byte now and then: never silent, and never done. */
export const slow: Fault = (_, response) => {
  const headers = { ...OCTETS, 'content-length': usual.length, 'repr-digest': digestHeader(sha256(usual)) };
  response.writeHead(200, headers);
  let sent = 0;
  const timer = setInterval(() => response.write(usual.subarray(sent, ++sent)), 500);
  response.once('close', () => clearInterval(timer));
};

/** At an upload: nothing is wrong with what can be read. */
export const uploads = {
  'status 500': status(500),
  'a connection that is cut': (request) => request.socket.destroy(),
  'an answer that never comes': (request, response) => {
    response.writeContinue();
    request.resume();
  },
  'a full disk': (request, response) => {
    request.resume();
    response.writeHead(403).end('not stored\n');
  },
} satisfies Record<string, Fault>;

export const missing = status(404);
