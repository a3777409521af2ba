import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { get, put, READ, TOKENS, WRITE } from '../testing/client.ts';
import { startS3, type S3Server } from '../testing/s3-server.ts';
import { endServers, startServer } from '../testing/server-process.ts';
import { TinyWorkspace } from '../testing/workspace.ts';
import { S3Storage, type S3Options } from './s3.ts';
import { serve, type RunningServer } from './server.ts';
import { parseTokens } from './tokens.ts';

// The first time on a machine versitygw is built.
const BUILD = 1_800_000;

let home: string;
let s3: S3Server;
let server: RunningServer | undefined;
let failures: unknown[];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'sovereign-s3-'));
  s3 = await startS3(home);
  mkdirSync(join(home, 'passing'));
}, BUILD);
afterAll(async () => {
  await s3.end();
  rmSync(home, { recursive: true, force: true });
});
beforeEach(() => {
  failures = [];
});
afterEach(async () => {
  await server?.stop();
  for (const name of objects()) rmSync(join(s3.bucket, name));
  // What passes has no name.
  expect(readdirSync(join(home, 'passing'))).toEqual([]);
});

const objects = () => readdirSync(s3.bucket).filter((name) => /^\d+$/.test(name));

async function start(options: S3Options, silence = 20_000): Promise<string> {
  const limits = { silence, silenceWriting: silence, longest: 60_000 };
  const storage = new S3Storage(options, join(home, 'passing'), 2 ** 20, limits);
  server = await serve({
    storage,
    tokens: parseTokens(TOKENS, 'test'),
    log: (_level, _event, fields) => void failures.push(fields?.failure),
    artifactLimit: 2 ** 20,
    host: '127.0.0.1',
    port: 0,
  });
  return server.url;
}

test('what was put is got again, by a server that was started anew', async () => {
  const body = Buffer.alloc(500_000, 'bytes');
  expect((await put(await start(s3.options), '123', body)).status).toBe(200);
  await server?.stop();
  const answer = await get(await start(s3.options), '123');
  expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
  expect((await get(server?.url ?? '', '124')).status).toBe(404);
  expect((await fetch(`${server?.url ?? ''}/healthz`)).status).toBe(200);
});

test('a read-only token cannot write, and a writer cannot overwrite', async () => {
  const url = await start(s3.options);
  expect((await put(url, '1', 'poison', { token: READ })).status).toBe(403);
  expect(objects()).toEqual([]);
  await put(url, '1', 'first');
  expect((await put(url, '1', 'second')).status).toBe(409);
  expect(await (await get(url, '1')).text()).toBe('first');
});

test('of many uploads of one key at once, by two servers, one is stored', async () => {
  const one = await start(s3.options);
  const other = await serve({
    storage: new S3Storage(s3.options, join(home, 'passing'), 2 ** 20),
    tokens: parseTokens(TOKENS, 'test'),
    log: () => undefined,
    artifactLimit: 2 ** 20,
    host: '127.0.0.1',
    port: 0,
  });
  const bodies = Array.from({ length: 6 }, (_, index) => `${index}`.repeat(100_000));
  const statuses = await Promise.all(
    bodies.map(async (body, index) => (await put(index % 2 === 0 ? one : other.url, '7', body)).status),
  );
  await other.stop();
  expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  const text = await (await get(one, '7')).text();
  expect(text).toBe(bodies[statuses.indexOf(200)]);
});

test('bytes that the store changed are never served', async () => {
  const url = await start(s3.options);
  await put(url, '123', 'bytes that are kept for long');
  const path = join(s3.bucket, '123');
  writeFileSync(path, readFileSync(path, 'utf8').replace('long', 'lonG'));
  expect((await get(url, '123')).status).toBe(404);
  expect(failures.join()).toContain('other bytes');
});

test('wrong keys to the store are a miss and no upload, and the log says why', async () => {
  const url = await start({ ...s3.options, secretAccessKey: 'wrong' });
  expect((await get(url, '1')).status).toBe(404);
  expect((await put(url, '1', 'x')).status).toBe(403);
  expect(failures.join()).toContain('403');
});

describe('the server as users run it', () => {
  afterEach(endServers);
  const startProcess = () =>
    startServer(home, {
      SOVEREIGN_CACHE_S3: `${s3.options.endpoint}/${s3.options.bucket}`,
      AWS_ACCESS_KEY_ID: s3.options.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.options.secretAccessKey,
    });

  test('serves a second clone everything, with real Nx', { timeout: 300_000 }, async () => {
    const { url } = await startProcess();
    const as = (token: string) => ({
      SOVEREIGN_CACHE_SERVER: url,
      SOVEREIGN_CACHE_TOKEN: token,
      SOVEREIGN_CACHE_WAIT: '60',
      SOVEREIGN_CACHE_SILENCE: '60',
    });
    const workspace = new TinyWorkspace(['a', 'b']);
    try {
      const first = await workspace.build(as(WRITE));
      expect([first.status, first.ran], first.output).toEqual([0, ['a', 'b']]);
      expect(objects()).toHaveLength(2);
      workspace.clean();
      const second = await workspace.build(as(READ));
      expect([second.status, second.ran], second.output).toEqual([0, []]);
      expect(second.output).toContain('[remote cache]');
      expect(workspace.output('a')).toBe('what a is made of\n');
    } finally {
      workspace.remove();
    }
  });

  test('holds less than 100 MB', { timeout: 300_000 }, async () => {
    const server = await startProcess();
    const body = Buffer.alloc(25 * 2 ** 20, 'sovereign');
    const keys = ['1', '2', '3', '4', '5', '6', '7', '8'];
    for (const { status } of await Promise.all(keys.map((key) => put(server.url, key, body))))
      expect(status).toBe(200);
    await Promise.all(
      keys.map(async (key) => expect((await (await get(server.url, key)).bytes()).length).toBe(body.length)),
    );
    console.log(`most memory of the server: ${Math.round(server.peak() / 1e6)} MB`);
    expect(server.peak()).toBeLessThan(100e6);
  });
});

describe('a store that misbehaves', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse) => void;
  const faults: Record<string, Answer> = {
    errors: (request, response) => {
      request.resume();
      response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
    },
    'no answer': (request) => void request.resume(),
    'half a body': (_, response) => {
      response.writeHead(200, { 'content-length': 100, 'x-amz-meta-sha256': 'a'.repeat(64) });
      response.write('half', () => response.destroy());
    },
    'a body that stops': (_, response) => {
      response.writeHead(200, { 'content-length': 100, 'x-amz-meta-sha256': 'a'.repeat(64) });
      response.write('half');
    },
    'a cut connection': (request) => request.socket.destroy(),
  };

  test.each(Object.entries(faults))('%s is a miss, and no upload', { timeout: 60_000 }, async (_, fault) => {
    const store = createServer((request, response) => {
      response.on('error', () => undefined);
      // Only what is meant has the fault: an upload asks first whether there is one.
      if (request.method === 'HEAD') response.writeHead(404).end();
      else fault(request, response);
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = store.address() as AddressInfo;
      const url = await start({ ...s3.options, endpoint: `http://127.0.0.1:${port}` }, 1_000);
      expect((await get(url, '1')).status).toBe(404);
      const status = (await put(url, '1', 'x'.repeat(1000))).status;
      // A store that says "stored" before it cuts its answer has stored.
      expect([200, 403]).toContain(status);
      expect(failures.filter((failure) => failure !== undefined)).not.toEqual([]);
    } finally {
      store.closeAllConnections();
      store.close();
    }
  });
});
