import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '@sovereign/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readDigest } from './protocol.ts';
import { get, put, TOKENS, WRITE } from './testing/client.ts';
import { endServers, startServer } from './testing/server-process.ts';

const TIMEOUT = 120_000;

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sovereign-server-'));
});
afterEach(async () => {
  await endServers();
  rmSync(home, { recursive: true, force: true });
});

/** So many bytes, never in memory at once. */
function bytes(size: number): ReadableStream {
  const chunk = Buffer.alloc(2 ** 20, 'sovereign');
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= size) controller.close();
      else {
        controller.enqueue(chunk);
        sent += chunk.length;
      }
    },
  });
}

test('killed in the middle of 100 uploads, nothing wrong is ever served', { timeout: TIMEOUT }, async () => {
  const first = await startServer(home);
  const bodies = Array.from({ length: 100 }, (_, index) => `${index} `.repeat(50_000));
  let answered = 0;
  const some = Promise.withResolvers<undefined>();
  const killed = Promise.withResolvers<undefined>();
  /** Sends the second half when the server is gone: however fast it is, these are in the middle. */
  const slowly = (body: string): ReadableStream =>
    new ReadableStream({
      async start(controller) {
        controller.enqueue(Buffer.from(body.slice(0, body.length / 2)));
        await killed.promise;
        controller.enqueue(Buffer.from(body.slice(body.length / 2)));
        controller.close();
      },
    });
  const send = (body: string, index: number): Promise<Response> => {
    const key = String(1000 + index);
    if (index % 20 !== 0) return put(first.url, key, body);
    return put(first.url, key, slowly(body), { headers: { 'content-length': String(body.length) } });
  };
  const uploads = bodies.map((body, index) =>
    send(body, index).then(
      ({ status }) => {
        if (++answered === 20) some.resolve(undefined);
        return status === 200;
      },
      () => false,
    ),
  );
  await some.promise;
  await first.end('SIGKILL');
  killed.resolve(undefined);
  const stored = await Promise.all(uploads);
  expect(stored.filter((_, index) => index % 20 === 0)).toEqual(Array(5).fill(false));

  const second = await startServer(home);
  expect(readdirSync(join(home, 'store/unfinished'))).toEqual([]);
  for (const [index, body] of bodies.entries()) {
    const answer = await get(second.url, String(1000 + index));
    const text = await answer.text();
    // What was confirmed is there; the rest is there in full, or not at all.
    if (answer.status === 200) expect(sha256(text)).toBe(sha256(body));
    else expect([answer.status, stored[index]]).toEqual([404, false]);
  }
  expect(await second.end('SIGTERM')).toBe(0);
});

test('a full disk costs entries, never a wrong answer', { timeout: TIMEOUT }, async () => {
  const size = 2 ** 20;
  const server = await startServer(home, {}, 8 * size);
  const statuses: number[] = [];
  for (let key = 100; key < 112; key++) {
    statuses.push((await put(server.url, String(key), Buffer.alloc(size, key))).status);
  }
  expect(statuses.filter((status) => status !== 200 && status !== 403)).toEqual([]);
  expect(statuses).toContain(403);
  // What was used longest ago made room for what came after.
  expect(statuses.slice(statuses.indexOf(403))).toContain(200);
  for (let key = 100; key < 112; key++) {
    const answer = await get(server.url, String(key));
    if (answer.status !== 200) expect(answer.status).toBe(404);
    else expect(Buffer.from(await answer.arrayBuffer()).equals(Buffer.alloc(size, key))).toBe(true);
  }
  expect(server.log.join('\n')).toContain('ENOSPC');
  expect(await server.end('SIGTERM')).toBe(0);
});

const MIB = 2 ** 20;
test.each([[25, 8], [160, 2], ...(process.env.SOVEREIGN_LONG === '1' ? [[1024, 8]] : [])])(
  'holds less than 100 MB with artifacts of %i MiB, %i sent at once and one got by 8 clients',
  { timeout: 5 * TIMEOUT },
  async (mebibytes, uploads) => {
    const size = mebibytes * MIB;
    const server = await startServer(home);
    const keys = Array.from({ length: uploads }, (_, index) => String(index + 1));
    const headers = { 'content-length': String(size) };
    const stored = await Promise.all(keys.map((key) => put(server.url, key, bytes(size), { headers })));
    expect(stored.map(({ status }) => status)).toEqual(keys.map(() => 200));
    const clients = Array.from({ length: 8 }, async () => {
      const answer = await get(server.url, '1');
      let got = 0;
      for await (const chunk of answer.body ?? []) got += (chunk as Uint8Array).length;
      expect(got).toBe(size);
      expect(readDigest(answer.headers.get('repr-digest') ?? '')).toHaveLength(64);
    });
    await Promise.all(clients);
    console.log(`most memory of the server: ${Math.round(server.peak() / 1e6)} MB`);
    expect(server.peak()).toBeLessThan(100e6);
    expect(await server.end('SIGTERM')).toBe(0);
  },
);

test('asked to stop, it ends what is under way and takes nothing new', { timeout: TIMEOUT }, async () => {
  const server = await startServer(home);
  const size = 64 * 2 ** 20;
  await put(server.url, '1', bytes(size), { headers: { 'content-length': String(size) } });
  const answer = await get(server.url, '1');
  const ended = server.end('SIGTERM');
  await expect.poll(() => server.log.join('\n'), { timeout: 20_000 }).toContain('stopping');
  await expect(get(server.url, '1')).rejects.toThrow();
  expect((await answer.arrayBuffer()).byteLength).toBe(size);
  expect(await ended).toBe(0);
});

describe('a bad setting is one clear error', () => {
  const run = (env: Record<string, string>) => {
    const tokens = join(home, 'tokens');
    writeFileSync(tokens, TOKENS);
    chmodSync(tokens, 0o600);
    return spawnSync(join(import.meta.dirname, '../serve'), ['--check'], {
      encoding: 'utf8',
      timeout: TIMEOUT,
      env: { HOME: home, PATH: process.env.PATH, SOVEREIGN_CACHE_TOKENS: tokens, ...env },
    });
  };
  test.each([
    ['SOVEREIGN_CACHE_TOKENS', ''],
    ['SOVEREIGN_CACHE_LISTEN', 'nowhere'],
    ['SOVEREIGN_CACHE_LIMIT', '20 GB'],
    ['SOVEREIGN_CACHE_ARTIFACT_LIMIT', '-1'],
    ['SOVEREIGN_CACHE_S3', 's3://bucket'],
  ])('%s=%s', { timeout: TIMEOUT }, (name, value) => {
    const { status, stderr, stdout } = run({ [name]: value });
    expect(status).toBe(2);
    expect(stderr).toMatch(new RegExp(`^error: .+\\n {3}on: ${name}\\n next: .+\\n$`));
    expect(stdout).toBe('');
  });

  test('none is wrong', { timeout: TIMEOUT }, () => {
    expect(run({})).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(existsSync(join(home, '.local'))).toBe(false);
  });

  test('tokens that everybody can read', { timeout: TIMEOUT }, () => {
    const open = join(home, 'open');
    writeFileSync(open, `write main ${WRITE}\n`);
    chmodSync(open, 0o644);
    const { status, stderr } = run({ SOVEREIGN_CACHE_TOKENS: open });
    expect(status).toBe(1);
    expect(stderr).toContain('every user of this machine can read it');
  });
});
