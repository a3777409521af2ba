import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fetchChecked, fetchVerified, sha256 } from './index.ts';

const body = Buffer.alloc(300_000, 'sovereign ');
const good = { name: 'thing 1.0', sha256: sha256(body), size: body.length };

let cache: string;
let server: Server | undefined;
let requests = 0;

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'store-'));
  vi.stubEnv('XDG_CACHE_HOME', cache);
  requests = 0;
});

afterEach(() => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  server?.close();
  rmSync(cache, { recursive: true });
});

async function serve(listener: RequestListener): Promise<string> {
  server = createServer((request, response) => {
    requests++;
    listener(request, response);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/thing`;
}

const downloads = () => readdirSync(join(cache, 'sovereign/downloads'));

describe('fetching a locked file', () => {
  test('stores it under its digest and asks no server again', async () => {
    const url = await serve((_, response) => response.end(body));
    const path = await fetchVerified({ ...good, urls: [url] });
    expect(readFileSync(path).equals(body)).toBe(true);
    expect(await fetchVerified({ ...good, urls: [] })).toBe(path);
    expect(requests).toBe(1);
  });

  test('fetches anew what was damaged on the disk, and never gives it out', async () => {
    const url = await serve((_, response) => response.end(body));
    const path = await fetchVerified({ ...good, urls: [url] });
    writeFileSync(path, Buffer.concat([body.subarray(1), Buffer.from('x')]));
    await expect(fetchVerified({ ...good, urls: [] })).rejects.toMatchObject({ code: 'no-source' });
    expect(await fetchVerified({ ...good, urls: [url] })).toBe(path);
    expect(readFileSync(path).equals(body)).toBe(true);
    expect(requests).toBe(2);
  });

  test('discards what has a wrong digest and never uses it', async () => {
    const url = await serve((_, response) => response.end(Buffer.alloc(body.length, 'x')));
    await expect(fetchVerified({ ...good, urls: [url] })).rejects.toMatchObject({ code: 'wrong-digest' });
    expect(downloads()).toEqual([]);
  });

  test('cuts off a server that sends more than the lock says', async () => {
    const url = await serve((_, response) => response.end(Buffer.concat([body, body])));
    await expect(fetchVerified({ ...good, urls: [url] })).rejects.toMatchObject({ code: 'wrong-digest' });
    expect(downloads()).toEqual([]);
  });

  test('tries again when the connection is cut in the middle', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': body.length });
      if (requests > 1) response.end(body);
      else response.write(body.subarray(0, 1000), () => response.destroy());
    });
    expect(existsSync(await fetchVerified({ ...good, urls: [url] }))).toBe(true);
    expect(requests).toBe(2);
  });

  test('gives up on a server that keeps cutting, and leaves nothing', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': body.length });
      response.write(body.subarray(0, 1000), () => response.destroy());
    });
    await expect(fetchVerified({ ...good, urls: [url] })).rejects.toMatchObject({ code: 'no-network' });
    expect(requests).toBe(3);
    expect(downloads()).toEqual([]);
  });

  test('takes the next mirror where one has dropped the file', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/thing') response.end(body);
      else response.writeHead(404).end();
    });
    const path = await fetchVerified({ ...good, urls: [url.replace('thing', 'gone'), url] });
    expect(existsSync(path)).toBe(true);
  });

  test('tells a dropped file from a broken network', async () => {
    const url = await serve((_, response) => response.writeHead(404).end());
    await expect(fetchVerified({ ...good, urls: [url] })).rejects.toMatchObject({ code: 'not-found' });
    server?.close();
    const closed = 'http://127.0.0.1:9/thing';
    await expect(fetchVerified({ ...good, urls: [closed] })).rejects.toMatchObject({
      code: 'no-network',
      on: closed,
      hint: expect.stringContaining('connection') as string,
    });
  });

  test('counts the bytes that arrived, and takes back those of a failed try', async () => {
    let counted = 0;
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': body.length });
      if (requests > 1) response.end(body);
      else response.write(body.subarray(0, 1000), () => response.destroy());
    });
    await fetchVerified({ ...good, urls: [url] }, (count) => (counted += count));
    expect(counted).toBe(body.length);
  });
});

describe('fetching a file that something else than a lock vouches for', () => {
  const file = { name: 'index', limit: body.length, check: () => undefined };

  test('stores it under the digest that it has', async () => {
    const url = await serve((_, response) => response.end(body));
    const fetched = await fetchChecked({ ...file, url });
    expect(fetched.sha256).toBe(good.sha256);
    expect(fetched.content.equals(body)).toBe(true);
    expect(await fetchVerified({ ...good, urls: [] })).toBe(fetched.path);
  });

  test('keeps nothing of what does not pass its check', async () => {
    const url = await serve((_, response) => response.end(body));
    const check = () => {
      throw new Error('not signed');
    };
    await expect(fetchChecked({ ...file, url, check })).rejects.toThrow('not signed');
    expect(downloads()).toEqual([]);
  });

  test('cuts off a server that sends more than the limit', async () => {
    const url = await serve((_, response) => response.end(body));
    const fetched = fetchChecked({ ...file, url, limit: body.length - 1 });
    await expect(fetched).rejects.toMatchObject({ code: 'wrong-digest' });
    expect(downloads()).toEqual([]);
  });
});
