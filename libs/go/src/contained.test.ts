import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerTools } from '@sovereign/tools';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { containedGo } from './contained.ts';
import { buildEnvironment, fetchEnvironment, runGo, type GoCall } from './go.ts';

let folder: string;
let module: string;
let asked: Parameters<ContainerTools['run']>[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-go-'));
  module = join(folder, 'module');
  for (const path of ['module', 'go/bin', 'out']) mkdirSync(join(folder, path), { recursive: true });
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  asked = [];
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Stands in for the container: runs the command as a process of this machine, with the folders where they are. */
const standIn: Pick<ContainerTools, 'run'> = {
  async run(argv, options = {}) {
    asked.push([argv, options]);
    const { binds = [], env = {}, cwd = '/' } = options;
    const at = (text: string) => {
      const bind = binds.find(({ target }) => text === target || text.startsWith(`${target}/`));
      return bind === undefined ? text : bind.source + text.slice(bind.target.length);
    };
    const [command = '', ...args] = argv.map(at);
    const { failed } = await execa(command, args, { cwd: at(cwd), env, extendEnv: false, reject: false });
    if (failed) throw new Error('the tool failed');
  },
};

const call = (script: string, more: Partial<GoCall> = {}) => {
  const path = join(folder, 'go/bin/go');
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const run = containedGo(standIn, () => Promise.resolve("export GOPROXY='https://modules.example'\n"));
  const whole = { args: ['build'], cwd: module, env: buildEnvironment('arm64'), ...more };
  return runGo(run, { path, folder: join(folder, 'go') }, whole);
};
const options = () => asked[0]?.[1];

test('what compiles sees its module, the caches and where it writes, and has no network', async () => {
  const target = join(folder, 'out');
  const args = ['build', '-o', join(target, 'tool'), './tool'];
  await call('true', { args, writes: [target] });
  expect(asked[0]?.[0].slice(-5)).toEqual(['/build/bin/go', 'build', '-o', '/out/tool', './tool']);
  expect(options()?.network).toBeUndefined();
  expect(options()?.cwd).toBe('/src');
  expect(options()?.binds).toEqual([
    { source: join(folder, 'go'), target: '/build' },
    { source: join(folder, 'cache/sovereign/go'), target: '/cache', write: true },
    { source: module, target: '/src', write: false },
    { source: target, target: '/out', write: true },
  ]);
  expect(options()?.env).toMatchObject({
    ...buildEnvironment('arm64'),
    GOPATH: '/cache/path',
    GOCACHE: '/cache/build',
  });
  expect(await call('echo "$GOPROXY"')).toBe('off\n');
});

test('what fetches has a network and the machine’s settings, and no argument tells them', async () => {
  const env = fetchEnvironment();
  const printed = await call('echo "$GOPROXY $GOFLAGS $GOMODCACHE"', { env, fetches: true });
  expect(printed).toBe('https://modules.example -mod=readonly -modcacherw /cache/path/pkg/mod\n');
  expect(options()?.network).toBe(true);
  expect(JSON.stringify(asked)).not.toContain('modules.example');
});

test('a module that is to be changed is not read-only', async () => {
  await call('true', { writes: [module] });
  expect(options()?.binds).toContainEqual({ source: module, target: '/src', write: true });
});

test('a command that fails is the same error as outside, and nothing of the run is left', async () => {
  const failing = call('echo "main.go:1: syntax error" >&2; exit 2', { fetches: true });
  await expect(failing).rejects.toMatchObject({
    code: 'go-failed',
    what: 'go build ended with status 2',
    hint: expect.stringContaining('main.go:1: syntax error') as string,
  });
  await expect(call('kill -KILL $$')).rejects.toMatchObject({ what: 'go build ended with SIGKILL' });
  const caches = join(folder, 'cache/sovereign/go');
  expect(readdirSync(caches).sort()).toEqual(['build', 'path']);
});

test('a container that could not be run is not taken for Go', async () => {
  const tools = { run: () => Promise.reject(new Error('the engine went away')) };
  const go = { path: join(folder, 'go/bin/go'), folder: join(folder, 'go') };
  const run = containedGo(tools)(go, { args: ['build'], cwd: module, env: buildEnvironment('arm64') });
  await expect(run).rejects.toThrow('the engine went away');
});
