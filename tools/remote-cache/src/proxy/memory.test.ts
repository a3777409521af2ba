import { spawn, spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import tar from 'tar-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { get, put, WRITE } from '../testing/client.ts';
import { endServers, peakOf, startServer } from '../testing/server-process.ts';

const SIZE = (process.env.SOVEREIGN_LONG === '1' ? 1000 : 160) * 2 ** 20;

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sovereign-proxy-'));
});
afterEach(async () => {
  await endServers();
  rmSync(home, { recursive: true, force: true });
});

/** An artifact of this size as a file; nothing in it is compressed. */
async function large(path: string): Promise<void> {
  const pack = tar.pack();
  const chunk = Buffer.alloc(2 ** 20, 'sovereign');
  const fill = async () => {
    const entry = pack.entry({ name: 'a/dist/out', size: SIZE });
    for (let sent = 0; sent < SIZE; sent += chunk.length) {
      if (!entry.write(chunk)) await new Promise<void>((resolve) => entry.once('drain', () => resolve()));
    }
    entry.end(null);
    await new Promise<void>((resolve) => entry.once('close', () => resolve()));
    pack.entry({ name: 'terminalOutput' }, '');
    pack.entry({ name: 'code' }, Buffer.alloc(4));
    pack.finalize();
  };
  await Promise.all([fill(), pipeline(pack, createGzip({ level: 0 }), createWriteStream(path))]);
}

test('the proxy holds less than 100 MB, whatever the artifact', { timeout: 600_000 }, async () => {
  const server = await startServer(home);
  const artifact = join(home, 'artifact');
  await large(artifact);
  const folder = join(home, 'passing');
  mkdirSync(folder);
  const script = join(import.meta.dirname, '../testing/proxy-process.ts');
  const args = [script, server.url, WRITE, folder];
  // What takes the types off the sources is Nx's own, which has it with every plugin: here it is another process's.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(home, 'compiled') };
  expect(spawnSync(process.execPath, args, { env, input: '', timeout: 60_000 }).status).toBe(0);
  const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async () => String((await lines.next()).value);
    const { url, token } = JSON.parse(await line()) as { url: string; token: string };
    const { size } = statSync(artifact);
    const body = Readable.toWeb(createReadStream(artifact)) as ReadableStream;
    const sent = await put(url, '1', body, { token, headers: { 'content-length': String(size) } });
    expect(sent.status).toBe(200);
    // It is answered before it is sent.
    await expect.poll(() => server.log.join('\n'), { timeout: 120_000 }).toContain('"method":"PUT"');
    const answer = await get(url, '1', token);
    let got = 0;
    for await (const chunk of answer.body ?? []) got += (chunk as Uint8Array).length;
    expect(got).toBe(size);
    child.stdin.write('close\n');
    expect(await line()).toBe('closed');
    const peak = peakOf(child.pid ?? 0);
    console.log(`most memory of the proxy: ${Math.round(peak / 1e6)} MB`);
    expect(peak).toBeLessThan(100e6);
  } finally {
    child.kill('SIGKILL');
  }
});
