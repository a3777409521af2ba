import { createHash } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { READ, startServer, WRITE, type ServerProcess } from '@sovereign/remote-cache/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Clone } from './clone.ts';

// Dependencies are installed, and everything is built.
vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 900_000 });

/** Another user, elsewhere: in a user namespace, since there may be no other one to become. */
const elsewhere = {
  env: { TZ: 'Pacific/Chatham', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8', USER: 'else', LOGNAME: 'else' },
  within: [
    ...['unshare', '--user', '--map-user=1234', '--map-group=1234'],
    ...['sh', '-c', 'umask 077 && exec "$@"', 'sh'],
  ],
};

let one: Clone;
let other: Clone;
let server: ServerProcess;
const home = mkdtempSync(join(tmpdir(), 'sovereign-cache-'));

beforeAll(async () => {
  server = await startServer(home);
  one = await Clone.make();
  other = await Clone.make(elsewhere);
  // The locked dependencies; one after the other, since both write npm's cache.
  for (const clone of [one, other]) expect((await clone.run('./sovereign', '--version')).exitCode).toBe(0);
});
afterAll(async () => {
  await server.end('SIGTERM');
  await Promise.all([one.remove(), other.remove(), rm(home, { recursive: true, force: true })]);
});

/** Builds all there is; says what each task did, as Nx tells it, and how long it took. */
async function build(
  clone: Clone,
  env: Record<string, string>,
): Promise<{ tasks: Record<string, string>; output: string; seconds: number }> {
  const began = performance.now();
  const { stdout, stderr, exitCode } = await clone.runWith(
    { NX_DAEMON: 'false', NX_TUI: 'false', NO_COLOR: '1', ...env },
    './nx',
    // The test phone's build fills a cache of this machine, and leaves nothing.
    ...['run-many', '--targets=build', '--exclude=virtual-phone', '--outputStyle=static'],
  );
  const output = stdout + stderr;
  expect(exitCode, output).toBe(0);
  const tasks = [...output.matchAll(/^> nx run (\S+:build)\S*(?: {2}\[(.*)\])?$/gm)].map(
    ([, task = '', how = 'built']) => [task, how] as const,
  );
  return { tasks: Object.fromEntries(tasks), output, seconds: (performance.now() - began) / 1000 };
}

/** Digests of all that a build has left, by path. */
function outputs(clone: Clone): Record<string, string> {
  const entries = globSync('{packages,tools}/*/dist/*', { cwd: clone.folder, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    files
      .sort()
      .map((file) => [
        relative(clone.folder, file),
        createHash('sha256').update(readFileSync(file)).digest('hex'),
      ]),
  );
}

const cache = (token: string) => ({
  SOVEREIGN_CACHE_SERVER: server.url,
  SOVEREIGN_CACHE_TOKEN: token,
  SOVEREIGN_CACHE_SILENCE: '60',
});

test('two clones in other surroundings build the same bytes', async () => {
  const first = await build(one, { ...cache(WRITE), SOVEREIGN_CACHE_WAIT: '600' });
  const second = await build(other, {});
  for (const { tasks, output } of [first, second]) {
    expect(new Set(Object.values(tasks)), output).toEqual(new Set(['built']));
    expect(Object.keys(tasks)).toEqual(
      expect.arrayContaining(['kernel:build', 'rootfs-sql:build', 'device-agent:build', 'network:build']),
    );
  }
  const made = outputs(one);
  expect(Object.keys(made)).toEqual(
    expect.arrayContaining(['packages/kernel/dist/Image', 'packages/rootfs-sql/dist/root.erofs']),
  );
  expect(outputs(other)).toEqual(made);
});

test('a clone that has built nothing is served everything by the cache of another', async () => {
  const made = outputs(one);
  for (const path of ['.nx', ...Object.keys(made).map((file) => join(file, '..'))]) {
    await rm(join(other.folder, path), { recursive: true, force: true });
  }
  const { tasks, output, seconds } = await build(other, cache(READ));
  console.log(`${Object.keys(tasks).length} tasks served in ${seconds.toFixed(1)} s`);
  expect(new Set(Object.values(tasks)), output).toEqual(new Set(['remote cache']));
  expect(outputs(other)).toEqual(made);
});
