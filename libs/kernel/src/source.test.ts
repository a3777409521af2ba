import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '@sovereign/store';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ToolRunner } from './runner.ts';
import type { SourceLock } from './source-lock.ts';
import { kernelSource } from './source.ts';

const tarball = 'what kernel.org sends';

let folder: string;
let server: Server;
let answer: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kernel-source-'));
  answer = tarball;
  server = createServer((request, response) => {
    if (request.url === '/pub/v6.x/linux-6.12.1.tar.xz') response.end(answer);
    else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  vi.stubEnv('XDG_CACHE_HOME', folder);
  vi.stubEnv('SOVEREIGN_EVENTS', join(folder, 'events'));
  vi.stubEnv('SOVEREIGN_KERNEL_MIRROR', `http://127.0.0.1:${port}/pub/`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  server.close();
  await rm(folder, { recursive: true });
});

const lock: SourceLock = {
  schema: 1,
  kernelOrg: { version: '6.12.1', path: 'v6.x/linux-6.12.1.tar.xz', sha256: sha256(tarball), records: [] },
  debian: { name: 'n', version: '6.12.1-1', archive: 'debian', path: 'p', size: 1, sha256: 'd'.repeat(64) },
};

/** A stand-in for the tool root whose tar copies the archive instead of unpacking it. */
const tools: ToolRunner = {
  digest: 'tools',
  async run(argv, options) {
    const bound = (target: string) => options?.binds?.find((bind) => bind.target === target)?.source ?? '';
    const archive = argv[argv.indexOf('--file') + 1] ?? '';
    const content = await readFile(archive.replace('/src', bound('/src')));
    await writeFile(join(bound('/out'), 'Makefile'), content);
  },
};

test('the source is fetched once, verified and unpacked', async () => {
  const source = await kernelSource(lock, 'kernel.org', tools);
  expect(source).toMatchObject({ digest: sha256(tarball), version: '6.12.1' });
  expect(await readFile(join(source.folder, 'Makefile'), 'utf8')).toBe(tarball);
  server.close();
  expect(await kernelSource(lock, 'kernel.org', tools)).toEqual(source);
});

test('a source with a wrong digest is discarded', async () => {
  answer = 'something else';
  await expect(kernelSource(lock, 'kernel.org', tools)).rejects.toMatchObject({ code: 'wrong-digest' });
  expect(existsSync(join(folder, 'sovereign/kernel-source', sha256(tarball)))).toBe(false);
  expect(existsSync(join(folder, 'sovereign/downloads', sha256(tarball)))).toBe(false);
});

test('who does not reach kernel.org is told of the other way', async () => {
  vi.stubEnv('SOVEREIGN_KERNEL_MIRROR', 'http://127.0.0.1:1');
  await expect(kernelSource(lock, 'kernel.org', tools)).rejects.toMatchObject({
    code: 'no-network',
    hint: expect.stringContaining('SOVEREIGN_KERNEL_SOURCE=debian') as string,
  });
});
