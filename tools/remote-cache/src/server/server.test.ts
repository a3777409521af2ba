import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { sha256 } from '@sovereign/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestHeader } from '../protocol.ts';
import { get, put, READ, TOKENS, WRITE } from '../testing/client.ts';
import { FolderStorage } from './folder.ts';
import type { Log } from './log.ts';
import { serve, type RunningServer } from './server.ts';
import type { Storage } from './storage.ts';
import { parseTokens } from './tokens.ts';

let folder: string;
let server: RunningServer;
let events: { event: string; fields: Readonly<Record<string, unknown>> }[];

const log: Log = (_level, event, fields = {}) => void events.push({ event, fields });

async function start(limit = 2 ** 30, artifactLimit = 2 ** 20): Promise<void> {
  const storage = await FolderStorage.open({ folder, limit, log });
  const tokens = parseTokens(TOKENS, 'test');
  server = await serve({ storage, tokens, log, artifactLimit, host: '127.0.0.1', port: 0 });
}

beforeEach(async () => {
  events = [];
  folder = mkdtempSync(join(tmpdir(), 'sovereign-store-'));
  await start();
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Keys of the entries that lie in the folder. */
const kept = () =>
  readdirSync(folder)
    .filter((name) => name !== 'unfinished')
    .flatMap((name) => readdirSync(join(folder, name)))
    .sort();
const unfinished = () => readdirSync(join(folder, 'unfinished'));
const pathOf = (key: string) => join(folder, key.slice(-2), key);

/** One exchange as it is written: fetch would clean the address up. */
const raw = (path: string, headers: Record<string, string>, method = 'GET') =>
  new Promise<number>((resolve, reject) => {
    const { port } = new URL(server.url);
    const sent = request({ host: '127.0.0.1', port, path, method, headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });

test('what was put is got again, with its digest', async () => {
  expect((await put(server.url, '123', 'bytes')).status).toBe(200);
  const answer = await get(server.url, '123');
  expect(answer.headers.get('repr-digest')).toBe(digestHeader(sha256('bytes')));
  expect(await answer.text()).toBe('bytes');
});

describe('a token', () => {
  test('for reading cannot write, and leaves nothing behind', async () => {
    expect((await put(server.url, '123', 'poison', { token: READ })).status).toBe(403);
    expect(kept()).toEqual([]);
    expect(unfinished()).toEqual([]);
  });

  test('for writing can read', async () => {
    await put(server.url, '123', 'bytes');
    expect((await get(server.url, '123', WRITE)).status).toBe(200);
  });

  test.each([
    ['a wrong one', `Bearer ${'x'.repeat(40)}`],
    ['one in the wrong case', `Bearer ${WRITE.toUpperCase()}`],
    ['a part of one', `Bearer ${WRITE.slice(0, -1)}`],
    ['none', ''],
    ['another way of saying who one is', `Basic ${WRITE}`],
  ])('%s is refused', async (_, authorization) => {
    expect(await raw('/v1/cache/123', { authorization })).toBe(403);
  });

  test('is never in the log, its holder is', async () => {
    await put(server.url, '123', 'bytes');
    const text = JSON.stringify(events);
    expect(text).not.toContain(WRITE);
    expect(text).toContain('"holder":"main"');
  });
});

test('an entry never changes: the second writer is told so', async () => {
  await put(server.url, '123', 'first');
  expect((await put(server.url, '123', 'second')).status).toBe(409);
  expect(await (await get(server.url, '123')).text()).toBe('first');
});

test('of many uploads of one key at once, one is stored', async () => {
  const bodies = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(200_000));
  const statuses = await Promise.all(bodies.map(async (body) => (await put(server.url, '7', body)).status));
  expect(statuses.sort()).toEqual([200, 409, 409, 409, 409, 409, 409, 409]);
  expect(bodies).toContain(await (await get(server.url, '7')).text());
  expect(unfinished()).toEqual([]);
});

test.each([
  '/v1/cache/../../../etc/passwd',
  '/v1/cache/%2e%2e%2fetc%2fpasswd',
  '/v1/cache/12/../34',
  '/v1/cache/12a',
  '/v1/cache/-1',
  '/v1/cache/',
  `/v1/cache/${'1'.repeat(21)}`,
  `/v1/cache/${'1'.repeat(8000)}`,
  '/v1/cache/1?x=1',
  '//v1/cache/1',
])('the address %s is no key, for reading and for writing', async (path) => {
  const headers = { authorization: `Bearer ${WRITE}`, 'content-length': '0' };
  expect(await raw(path, headers)).toBe(404);
  expect(await raw(path, headers, 'PUT')).toBe(404);
  expect(kept()).toEqual([]);
});

test('a bit that was flipped on the disk is never served, and the entry can be made again', async () => {
  await put(server.url, '123', 'bytes that are kept for long');
  const bytes = readFileSync(pathOf('123'));
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1;
  writeFileSync(pathOf('123'), bytes);
  expect((await get(server.url, '123')).status).toBe(404);
  expect(kept()).toEqual([]);
  expect(events.map(({ event }) => event)).toContain('damaged');
  expect((await put(server.url, '123', 'again')).status).toBe(200);
});

test('a file that was cut, and one that is none of ours, are never served', async () => {
  await put(server.url, '123', 'bytes that are kept for long');
  await put(server.url, '124', 'bytes');
  writeFileSync(pathOf('123'), readFileSync(pathOf('123')).subarray(0, 50));
  writeFileSync(pathOf('124'), 'x');
  expect((await get(server.url, '123')).status).toBe(404);
  expect((await get(server.url, '124')).status).toBe(404);
});

test('a body that is not what its sender says is not stored', async () => {
  const headers = { 'repr-digest': digestHeader(sha256('other')) };
  expect((await put(server.url, '123', 'bytes', { headers })).status).toBe(403);
  expect(kept()).toEqual([]);
  expect(unfinished()).toEqual([]);
});

test('an upload that breaks off is not stored', async () => {
  const { port } = new URL(server.url);
  const headers = { authorization: `Bearer ${WRITE}`, 'content-length': '1000' };
  await new Promise<void>((resolve) => {
    const sent = request({ host: '127.0.0.1', port, path: '/v1/cache/123', method: 'PUT', headers });
    sent.on('error', () => resolve());
    sent.write('a part', () => sent.destroy());
    sent.once('close', () => resolve());
  });
  await expect.poll(() => events.some(({ fields }) => fields.key === '123'), { timeout: 20_000 }).toBe(true);
  expect((await get(server.url, '123')).status).toBe(404);
  expect(unfinished()).toEqual([]);
});

test('a storage may take longer than a connection may be silent; who stops sending may not', async () => {
  await server.stop();
  const storage = await FolderStorage.open({ folder, limit: 2 ** 30, log });
  const slow: Storage = {
    get: (key) => storage.get(key),
    has: (key) => storage.has(key),
    check: () => storage.check(),
    async put(key, incoming) {
      // Taken at once: how long the disk of this machine takes to begin is no silence of the sender.
      const body = await buffer(incoming.body);
      const stored = await storage.put(key, { ...incoming, body: Readable.from([body]) });
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      return stored;
    },
  };
  const options = {
    tokens: parseTokens(TOKENS, 'test'),
    log,
    artifactLimit: 2 ** 20,
    host: '127.0.0.1',
    port: 0,
  };
  server = await serve({ ...options, storage: slow, silence: 500 });
  expect((await put(server.url, '123', 'bytes')).status).toBe(200);
  const stalled = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('by')) });
  await expect(put(server.url, '124', stalled, { headers: { 'content-length': '5' } })).rejects.toThrow();
  expect(kept()).toEqual(['123']);
});

test('an artifact over the limit, and one of unknown size, are refused', async () => {
  expect((await put(server.url, '1', 'x'.repeat(2 ** 20 + 1))).status).toBe(403);
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('x'));
      controller.close();
    },
  });
  expect((await put(server.url, '2', stream)).status).toBe(403);
  expect(kept()).toEqual([]);
});

test('over the limit of all, what was used longest ago goes first, also after a start', async () => {
  await server.stop();
  await start(1000);
  for (const key of ['11', '12', '13']) await put(server.url, key, 'x'.repeat(300));
  const long = (key: string, minutes: number) => {
    const then = new Date(Date.now() - minutes * 60_000);
    utimesSync(pathOf(key), then, then);
  };
  long('11', 30);
  long('12', 40);
  long('13', 20);
  await server.stop();
  await start(1000);
  // Used now, so the others are older.
  await get(server.url, '12');
  await put(server.url, '14', 'x'.repeat(300));
  expect(kept()).toEqual(['12', '13', '14']);
  await server.stop();
  await start(350);
  expect(kept()).toHaveLength(1);
});

test('says whether it is well, without a token', async () => {
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  rmSync(folder, { recursive: true });
  expect((await fetch(`${server.url}/healthz`)).status).toBe(503);
});

describe('a file of tokens', () => {
  test.each([
    ['', 'no token'],
    ['# nothing\n', 'no token'],
    [`admin me ${WRITE}`, 'line 1'],
    [`write ${WRITE}`, 'line 1'],
    [`write me ${WRITE} more`, 'line 1'],
    ['\nread me short', 'line 2 says no token: its token is shorter'],
    [`read a ${WRITE}\nwrite b ${WRITE}`, 'twice'],
  ])('%j is refused', (text, why) => {
    expect(() => parseTokens(text, 'FILE')).toThrow(why);
  });

  test('its errors repeat no token', () => {
    expect(() => parseTokens(`admin me ${WRITE}`, 'FILE')).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(WRITE) as string }) as Error,
    );
  });
});
