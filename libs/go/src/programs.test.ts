import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { localGo, runGo, type GoCall } from './go.ts';
import { compilePrograms } from './programs.ts';
import type { Toolchain } from './toolchain.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-go-'));
  mkdirSync(join(folder, 'module'));
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Stands in for the toolchain: its `go` leaves the arguments and the environment of call N as `N.args` and `N.env`. */
function standIn(extra = ''): Pick<Toolchain, 'run'> {
  const path = join(folder, 'go');
  const script = `#!/bin/sh
n=$(ls '${folder}' | grep -c args)
printf '%s\\n' "$@" >'${folder}'/$n.args
env >'${folder}'/$n.env
${extra}`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return { run: (call: GoCall) => runGo(localGo, { path, folder }, call) };
}

const compile = (go: Pick<Toolchain, 'run'>) =>
  compilePrograms(
    {
      module: join(folder, 'module'),
      programs: [{ name: 'tool.arm64', package: './tool', arch: 'arm64' }],
    },
    go,
    join(folder, 'out'),
  );

const args = (call: number) =>
  readFileSync(join(folder, `${call}.args`), 'utf8')
    .trim()
    .split('\n');
const environment = (call: number) =>
  Object.fromEntries(
    readFileSync(join(folder, `${call}.env`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

test('modules are fetched from where the machine says, held to go.sum, and programs are built without a network', async () => {
  vi.stubEnv('GOPROXY', 'https://modules.example');
  vi.stubEnv('GOFLAGS', '-mod=mod');
  await compile(standIn());
  expect(args(0)).toEqual(['list', '-deps', './tool']);
  expect(environment(0)).toMatchObject({
    GOOS: 'linux',
    GOARCH: 'arm64',
    GOPROXY: 'https://modules.example',
    GOFLAGS: '-mod=readonly -modcacherw',
    GOTOOLCHAIN: 'local',
  });
  expect(args(1)).toEqual([
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-ldflags=-s -w -buildid=',
    '-o',
    join(folder, 'out/tool.arm64'),
    './tool',
  ]);
  expect(environment(1)).toMatchObject({ GOPROXY: 'off', GOENV: 'off', CGO_ENABLED: '0', GOARCH: 'arm64' });
});

test('build tags and linker variables that a program asks for decide it beside the flags of all', async () => {
  const tool = { name: 'tool', package: './tool', arch: 'arm64' } as const;
  const programs = [
    { ...tool, tags: ['one', 'other'], variables: { 'a/b.version': '1.2', 'a/b.other': 'x' } },
  ];
  await compilePrograms({ module: join(folder, 'module'), programs }, standIn(), join(folder, 'out'));
  // What is left out is not fetched either.
  expect(args(0)).toEqual(['list', '-deps', '-tags=one,other', './tool']);
  expect(args(1)).toEqual([
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-ldflags=-s -w -buildid= -X a/b.version=1.2 -X a/b.other=x',
    '-tags=one,other',
    '-o',
    join(folder, 'out/tool'),
    './tool',
  ]);
});

test('nothing of the machine’s own settings decides the bytes of a program', async () => {
  vi.stubEnv('GOAMD64', 'v3');
  vi.stubEnv('GOEXPERIMENT', 'other');
  vi.stubEnv('CC', 'other');
  await compile(standIn());
  for (const name of ['GOAMD64', 'GOEXPERIMENT', 'CC']) expect(environment(1)).not.toHaveProperty(name);
});

test('modules that cannot be had are told in Go’s own words, with the setting that names a proxy', async () => {
  const go = standIn('echo "dial tcp: no route" >&2; exit 1');
  await expect(compile(go)).rejects.toMatchObject({
    code: 'no-network',
    hint: expect.stringMatching(/GOPROXY[^]*dial tcp: no route/) as string,
  });
  expect(existsSync(join(folder, '1.args'))).toBe(false);
});

test('a program that does not compile is an error that repeats what the compiler said', async () => {
  const go = standIn('[ "$1" = list ] || { echo "main.go:1: syntax error"; exit 2; }');
  await expect(compile(go)).rejects.toMatchObject({
    code: 'go-failed',
    what: 'go build ended with status 2',
    hint: expect.stringMatching(/main\.go:1: syntax error/) as string,
  });
});
