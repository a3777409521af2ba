import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { get, put, WRITE } from '../testing/client.ts';
import { startServer } from '../testing/server-process.ts';

test('this machine’s own disk full is a miss, no upload and one warning', { timeout: 120_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), 'sovereign-proxy-'));
  const folder = join(home, 'passing');
  mkdirSync(folder);
  const server = await startServer(home);
  // A megabyte for what passes, in a namespace of its own.
  const mounted = 'mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@"';
  const script = join(import.meta.dirname, '../testing/proxy-process.ts');
  const child = spawn(
    'unshare',
    [
      ...['--user', '--map-root-user', '--mount', 'sh', '-c', mounted, 'sh', folder],
      ...[process.execPath, script, server.url, WRITE, folder],
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    const warnings: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => void warnings.push(line));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async () => String((await lines.next()).value);
    const { url, token } = JSON.parse(await line()) as { url: string; token: string };
    const large = Buffer.alloc(5 * 2 ** 20, 'x');
    expect((await put(server.url, '1', large)).status).toBe(200);
    expect((await put(url, '2', large, { token })).status).toBe(200);
    expect((await get(url, '1', token)).status).toBe(404);
    child.stdin.write('close\n');
    expect(await line()).toBe('closed');
    expect((await get(server.url, '2')).status).toBe(404);
    const told = warnings.filter((text) => text.startsWith('warning: remote cache'));
    expect(told).toEqual([expect.stringMatching(/ENOSPC|no space/)]);
  } finally {
    child.kill('SIGKILL');
    await ended;
    await server.end('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  }
});
