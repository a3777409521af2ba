import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { sha256 } from '@sovereign/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestHeader } from '../protocol.ts';
import {
  artifact,
  lasting,
  misbehave,
  missing,
  single,
  uploads,
  type Misbehaving,
} from '../testing/misbehaving.ts';
import { get, put, READ } from '../testing/client.ts';
import { startProxy, type Proxy } from './proxy.ts';
import { readProxySettings } from './settings.ts';
import { usual } from './upstream.ts';

let folder: string;
let server: Misbehaving | undefined;
let proxy: Proxy | undefined;
let warnings: string[];

async function open(url: string, limits = {}): Promise<Proxy> {
  proxy = await startProxy({
    server: new URL(`${url}/`),
    token: READ,
    folder,
    warn: (line) => void warnings.push(line),
    // Long where the server answers: this process, which is also the server, may have to wait for its turn.
    limits: { ...usual, silence: 20_000, ...limits },
  });
  return proxy;
}

/** For a server that does not answer: longer than it may take to be asked. */
const SILENT = { silence: 3_000, silenceUpload: 3_000 };

beforeEach(() => {
  warnings = [];
  folder = mkdtempSync(join(tmpdir(), 'sovereign-proxy-'));
});
afterEach(async () => {
  await proxy?.close(0);
  await server?.close();
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});

test.each(Object.entries(lasting))('%s is a miss, one warning, and not asked for again', async (_, fault) => {
  server = await misbehave([fault]);
  const { url, token } = await open(server.url, SILENT);
  for (const key of ['1', '2', '3']) expect((await get(url, key, token)).status).toBe(404);
  expect(server.asked).toHaveLength(1);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^warning: remote cache 127\.0\.0\.1:\d+: .+; building without it$/);
  // What the build makes is not sent either, and the build does not notice.
  expect((await put(url, '1', 'x', { token })).status).toBe(200);
});

test.each(Object.entries(single))(
  '%s is a miss, one warning, and the next may be a hit',
  async (_, fault) => {
    const whole = await artifact();
    server = await misbehave([fault, fault, (_request, response) => hit(response, whole)]);
    const { url, token } = await open(server.url);
    expect((await get(url, '1', token)).status).toBe(404);
    expect((await get(url, '2', token)).status).toBe(404);
    const answer = await get(url, '3', token);
    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer()).equals(whole)).toBe(true);
    expect(warnings).toHaveLength(1);
  },
);

function hit(response: Parameters<typeof missing>[1], body: Buffer): void {
  response
    .writeHead(200, { 'content-length': body.length, 'repr-digest': digestHeader(sha256(body)) })
    .end(body);
}

test.each(Object.entries(uploads))('%s at an upload does not reach the build', async (_, fault) => {
  server = await misbehave([missing], fault);
  const { url, token, close } = await open(server.url, SILENT);
  for (const key of ['1', '2', '3']) {
    expect((await put(url, key, 'x'.repeat(100_000), { token })).status).toBe(200);
  }
  const started = performance.now();
  await close(40_000);
  expect(performance.now() - started).toBeLessThan(40_000);
  expect(warnings).toHaveLength(1);
});

test('a server that is not there, and one without TLS, are a miss and one warning', async () => {
  const gone = await misbehave([missing]);
  await gone.close();
  const first = await open(gone.url);
  expect((await get(first.url, '1', first.token)).status).toBe(404);
  await first.close(0);
  server = await misbehave([missing]);
  const second = await open(server.url.replace('http:', 'https:'));
  expect((await get(second.url, '1', second.token)).status).toBe(404);
  expect(warnings).toHaveLength(2);
});

test('a server whose certificate nobody has signed is a miss and one warning', async () => {
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const made = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-subj',
    '/CN=127.0.0.1',
    '-days',
    '1',
  ];
  execFileSync('openssl', ['req', '-x509', '-nodes', ...made, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  const options = { key: readFileSync(key), cert: readFileSync(cert) };
  for (const path of [key, cert]) rmSync(path);
  let asked = 0;
  const secured = createServer(options, (_, response) => void (asked++, response.writeHead(404).end()));
  await new Promise<void>((resolve) => secured.listen(0, '127.0.0.1', resolve));
  try {
    const { url, token } = await open(`https://127.0.0.1:${(secured.address() as AddressInfo).port}`);
    for (const name of ['1', '2']) expect((await get(url, name, token)).status).toBe(404);
    // The token was not shown to it.
    expect(asked).toBe(0);
    expect(warnings).toEqual([expect.stringContaining('certificate')]);
  } finally {
    secured.close();
  }
});

test('a server that sends a little now and then is given up', async () => {
  let timer: NodeJS.Timeout | undefined;
  server = await misbehave([
    (_, response) => {
      response.writeHead(200, { 'content-length': 1e6, 'repr-digest': digestHeader(sha256('x')) });
      timer = setInterval(() => response.write('x'), 20);
    },
  ]);
  const { url, token } = await open(server.url, { grace: 500, slowest: 1e5 });
  expect((await get(url, '1', token)).status).toBe(404);
  clearInterval(timer);
  expect(warnings[0]).toContain('too slowly');
});

test('a token that may only read is no fault: nothing is said, and one upload is tried', async () => {
  server = await misbehave([missing], (request, response) => {
    request.resume();
    response.writeHead(403).end('this token may only read\n');
  });
  const { url, token, close } = await open(server.url);
  await put(url, '1', 'x', { token });
  await expect.poll(() => server?.asked.length, { timeout: 20_000 }).toBe(1);
  await put(url, '2', 'x', { token });
  await close(10_000);
  expect(server.asked).toHaveLength(1);
  expect(warnings).toEqual([]);
});

test('a server that takes its time to store what it got is waited for', async () => {
  server = await misbehave([missing], (request, response) => {
    request.resume();
    // Longer than an answer to a question may take.
    request.once('end', () => setTimeout(() => response.writeHead(200).end(), 1_500));
  });
  const { url, token, close } = await open(server.url, { silence: 500 });
  expect((await put(url, '1', 'x', { token })).status).toBe(200);
  await close(40_000);
  expect(warnings).toEqual([]);
});

test('a moment in which this process stood still is not the silence of the server', async () => {
  const whole = await artifact();
  server = await misbehave([
    (_, response) => {
      // The server is in this process, too.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
      hit(response, whole);
    },
  ]);
  const { url, token } = await open(server.url, { silence: 2_000 });
  expect((await get(url, '1', token)).status).toBe(200);
  expect(warnings).toEqual([]);
});

test('a server that is slow to say that it wants an artifact gets it once', async () => {
  const bodies: string[] = [];
  server = await misbehave([missing], (request, response) => {
    // By then it was waited for no longer.
    void text(request).then((body) => {
      bodies.push(body);
      response.writeContinue();
      setTimeout(() => response.writeHead(200).end(), 200);
    });
  });
  const { url, token, close } = await open(server.url);
  expect((await put(url, '1', 'x'.repeat(300_000), { token })).status).toBe(200);
  await close(40_000);
  expect(bodies).toEqual(['x'.repeat(300_000)]);
  expect(warnings).toEqual([]);
});

test('uploads that are not done in time are dropped, and said', async () => {
  server = await misbehave([missing], uploads['an answer that never comes']);
  const { url, token, close } = await open(server.url);
  for (const key of ['1', '2', '3']) await put(url, key, 'x', { token });
  await close(100);
  expect(warnings).toEqual([expect.stringContaining('3 artifacts were not sent in time')]);
});

test('a server may be silent for 4 s, or as long as is set', () => {
  const read = (silence: string) =>
    readProxySettings({
      SOVEREIGN_CACHE_SERVER: 'http://nas:8125',
      SOVEREIGN_CACHE_TOKEN: READ,
      SOVEREIGN_CACHE_SILENCE: silence,
    });
  expect(read('')).toMatchObject({ silence: 4_000 });
  expect(read('60')).toMatchObject({ silence: 60_000 });
  for (const none of ['0', '-1', '1.5', 'long']) expect(read(none)).toMatch(/^SOVEREIGN_CACHE_SILENCE /);
});

describe('the proxy itself', () => {
  test('answers nobody but the run that it is for', async () => {
    server = await misbehave([missing]);
    const { url } = await open(server.url);
    expect((await get(url, '1', READ)).status).toBe(403);
    expect((await put(url, '1', 'x', { token: READ })).status).toBe(403);
    expect(server.asked).toEqual([]);
  });

  test('is gone once it is closed', async () => {
    server = await misbehave([missing]);
    const { url, token, close } = await open(server.url);
    await close(0);
    await expect(get(url, '1', token)).rejects.toThrow();
  });

  test('keeps a path of the server’s address', async () => {
    server = await misbehave([missing]);
    const { url, token } = await open(`${server.url}/team`);
    await get(url, '1', token);
    expect(server.asked).toEqual(['GET /team/v1/cache/1']);
  });
});
