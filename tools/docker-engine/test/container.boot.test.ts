import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buffer, text } from 'node:stream/consumers';
import { apkoProgram, containedApko, packageBases } from '@sovereign/apko';
import { guestArch, type Lock } from '@sovereign/base';
import { compilePrograms, openToolchain } from '@sovereign/go';
import { loadService } from '@sovereign/service';
import { cacheDir, sha256, sha256File, workspaceRoot } from '@sovereign/store';
import { makeTestMirror } from '@sovereign/test-mirror';
import { openToolRoot, TOOLS_VARIABLE, type ToolRoot, type ToolWay } from '@sovereign/tools';
import { compileObjects, LEAST_OBJECTS } from 'kernel/testing';
import { builtRoot, rebuildRoot } from 'rootfs-sql/testing';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { TestEngine } from '../src/index.ts';

/** How long the engine may take to notice that somebody is gone, in milliseconds. */
const NOTICED = { timeout: 180_000, interval: 200 };

let folder: string;
let engine: TestEngine;
let tools: ToolRoot;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'containers-'));
  engine = await TestEngine.start();
  vi.stubEnv('DOCKER_HOST', engine.host);
  tools = await openToolRoot('docker');
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await engine.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A program of one package from elsewhere. Go's own library is compiled for it: it takes little of that. */
const goModule = {
  'main.go': `package main

import "golang.org/x/sys/cpu"

func main() { println(cpu.Initialized) }
`,
  'go.mod': `module sovereign/program

go 1.25

require golang.org/x/sys v0.35.0
`,
  'go.sum': `golang.org/x/sys v0.35.0 h1:vz1N37gP5bs89s7He8XuIYXpyY0+QlsKmzipCbUtyxI=
golang.org/x/sys v0.35.0/go.mod h1:BJP2sWEmIv4KK5OTEluFJCKSidICx8ciO85XgH3Ak8k=
`,
};

/** Does some work with other settings than those of all tests. */
async function withSettings<T>(settings: Record<string, string>, work: () => Promise<T>): Promise<T> {
  const before = Object.keys(settings).map((name) => [name, process.env[name]] as const);
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  try {
    return await work();
  } finally {
    for (const [name, value] of before) vi.stubEnv(name, value);
  }
}

const containers = async (): Promise<string[]> =>
  (await engine.docker.listContainers({ all: true })).map(({ Id }) => Id);

/** How many containers of this engine were started until now. */
async function started(): Promise<number> {
  const filters = { event: ['start'] };
  const stream = await engine.docker.getEvents({ since: 0, until: Date.now() / 1000, filters });
  const events = await text(stream);
  return events.split('\n').filter((line) => line !== '').length;
}

/** What a program in a container prints. */
async function printed(script: string): Promise<string[]> {
  const lines: string[] = [];
  await tools.run(['sh', '-c', script], { onLine: (line) => lines.push(line) });
  return lines;
}

/** Runs a program that does not end, and gives the run once the program has said that it began. */
async function begin(signal?: AbortSignal): Promise<{ run: Promise<void> }> {
  const began = Promise.withResolvers<unknown>();
  const run = tools.run(['sh', '-c', 'echo begun; sleep 1000'], {
    onLine: began.resolve,
    ...(signal === undefined ? {} : { signal }),
  });
  await Promise.race([began.promise, run]);
  return { run };
}

test('the image of the tools is named by the digest of their lock, and imported once', async () => {
  const again = await openToolRoot('docker');
  const images = await engine.docker.listImages();
  expect(again.digest).toBe(tools.digest);
  expect(tools.digest).toBe((await openToolRoot('root')).digest);
  expect(images.map(({ RepoTags }) => RepoTags)).toEqual([[`sovereign-tools:${tools.digest.slice(0, 12)}`]]);
});

test(
  '50 objects of the kernel are the same bytes with and without a container',
  { timeout: 600_000 },
  async () => {
    const inside = await compileObjects(tools, join(folder, 'in a container'));
    const outside = await compileObjects(await openToolRoot('root'), join(folder, 'in the tool root'));
    expect(outside.size).toBeGreaterThanOrEqual(LEAST_OBJECTS);
    expect(inside).toEqual(outside);
    expect(await containers()).toEqual([]);
  },
);

test('the root image is the same bytes as the one that was built without a container', async () => {
  const { base, sha256 } = await builtRoot();
  expect(await rebuildRoot(tools, join(folder, 'root'), base)).toBe(sha256);
});

test('Alpine’s packages come to the same lock and the same bytes with apko in a container', async () => {
  const mirror = await makeTestMirror();
  onTestFinished(() => mirror.close());
  // What is in the cache of all runs; the packages go into caches of their own.
  await apkoProgram(tools.arch);
  const { alpine } = (await loadService(join(workspaceRoot(), 'packages/rootfs-sql'))).definition.bases;
  const { packages = [], leaveOut = {} } = alpine ?? {};
  const request = { packages, leaveOut: Object.keys(leaveOut), arch: guestArch.alpine };
  const make = async (way: ToolWay): Promise<[Lock, string]> => {
    const settings = {
      XDG_CACHE_HOME: join(folder, `cache of ${way}`),
      SOVEREIGN_ALPINE_MIRROR: mirror.url,
      SOVEREIGN_ALPINE_KEYS: mirror.keys,
      [TOOLS_VARIABLE]: way,
    };
    return withSettings(settings, async () => {
      const lock = await packageBases.alpine.lock(request);
      const { tar } = await packageBases.alpine.unpack(lock, 'the lock of this test');
      return [lock, sha256(await buffer(tar))];
    });
  };
  const local = await make('root');
  const before = await started();
  const contained = await make('docker');
  expect(contained[0].packages.length).toBeGreaterThan(50);
  expect(contained).toEqual(local);
  // A version and a command, for the lock and for the packages.
  expect(await started()).toBe(before + 4);
  expect(await containers()).toEqual([]);
});

test('a Go program is the same bytes with and without a container, and so is the toolchain that is fetched in one', async () => {
  const module = join(folder, 'module');
  await mkdir(module);
  for (const [name, text] of Object.entries(goModule)) await writeFile(join(module, name), text);
  const programs = [{ name: 'program', package: '.', arch: 'arm64' as const }];
  // A cache of each way's own, without modules and without anything compiled; one without the toolchain too.
  const shared = {
    root: ['go-bootstrap', 'go-toolchain'],
    docker: ['downloads', 'go-bootstrap', 'packages'],
  };
  const make = async (way: ToolWay) => {
    const cache = join(folder, `Go’s cache of ${way}`);
    await mkdir(join(cache, 'sovereign'), { recursive: true });
    for (const kind of shared[way]) {
      await mkdir(cacheDir(kind), { recursive: true });
      await symlink(cacheDir(kind), join(cache, 'sovereign', kind));
    }
    return withSettings({ XDG_CACHE_HOME: cache, [TOOLS_VARIABLE]: way }, async () => {
      const go = await openToolchain();
      await compilePrograms({ module, programs }, go, join(folder, `Go’s programs of ${way}`));
      const modules = await readdir(cacheDir('go/path/pkg/mod/golang.org/x'));
      return [await sha256File(join(folder, `Go’s programs of ${way}`, 'program')), modules];
    });
  };
  await openToolchain();
  const outside = await make('root');
  const before = await started();
  expect(await make('docker')).toEqual(outside);
  // One fetches the toolchain, one the modules, and one compiles.
  expect(await started()).toBe(before + 3);
  expect(await containers()).toEqual([]);
});

test('apko that takes too long leaves no container behind', async () => {
  // Stands in for an apko that never ends.
  await writeFile(join(folder, 'apko'), '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
  const program = () => Promise.resolve(join(folder, 'apko'));
  const run = containedApko(() => Promise.resolve(tools), program, 500);
  expect(await run(['unpack'], folder)).toMatchObject({ timedOut: true });
  expect(await containers()).toEqual([]);
});

test('a program has the rights of the caller and none beside', async () => {
  expect(await printed('id -u; id -g; grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status')).toEqual([
    String(process.getuid?.()),
    String(process.getgid?.()),
    'CapEff:\t0000000000000000',
    'CapBnd:\t0000000000000000',
    'NoNewPrivs:\t1',
  ]);
  // Header lines aside, only the loopback.
  expect(await printed('tail -n +3 /proc/net/dev | cut -d: -f1')).toEqual([expect.stringMatching(/^ *lo$/)]);
  await expect(tools.run(['touch', '/usr/bin/new'])).rejects.toMatchObject({
    code: 'tool-failed',
    hint: expect.stringContaining('Read-only file system') as string,
  });
});

test('what it writes is the caller’s, and only where it may', async () => {
  const binds = [{ source: folder, target: '/out', write: true }];
  await tools.run(['sh', '-c', 'echo made >/out/made'], { binds });
  expect(await readFile(join(folder, 'made'), 'utf8')).toBe('made\n');
  expect((await stat(join(folder, 'made'))).uid).toBe(process.getuid?.());
  await expect(
    tools.run(['touch', '/src/made'], { binds: [{ source: folder, target: '/src' }] }),
  ).rejects.toMatchObject({ code: 'tool-failed' });
});

test('a folder that the engine does not see is named as that', async () => {
  const binds = [{ source: join(folder, 'not there'), target: '/src' }];
  await expect(tools.run(['true'], { binds })).rejects.toMatchObject({
    code: 'engine-refused',
    on: expect.stringContaining('not there') as string,
    hint: expect.stringContaining('has to see the folders of this machine') as string,
  });
});

test('a run that is killed leaves no container behind', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'silent-run.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(createInterface({ input: child.stdout }), 'line');
  expect(await containers()).toHaveLength(1);
  child.kill('SIGKILL');
  await expect.poll(containers, NOTICED).toEqual([]);
});

test('a run that is interrupted ends when its container is gone', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'silent-run.ts')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(createInterface({ input: child.stdout }), 'line');
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  await ended;
  expect(await containers()).toEqual([]);
});

test('a run that is called off is over when its container is gone', async () => {
  const abort = new AbortController();
  const { run } = await begin(abort.signal);
  abort.abort(new Error('called off'));
  await expect(run).rejects.toThrow('called off');
  expect(await containers()).toEqual([]);
});

test('an orphan is removed by the next run, and what another process waits for is not', async () => {
  const { run } = await begin();
  run.catch(() => undefined);
  const [held = ''] = await containers();
  const { Config } = await engine.docker.getContainer(held).inspect();
  const [name = '', label = ''] = Object.entries(Config.Labels).find(([key]) => key.endsWith('.owner')) ?? [];
  const [place, , start] = JSON.parse(label) as [string, number, string];
  // No process has a number this large.
  const gone = { [name]: JSON.stringify([place, 99_999_999, start]) };
  const { RepoTags } = (await engine.docker.listImages())[0] ?? {};
  await engine.docker.createContainer({ Image: RepoTags?.[0] ?? '', Cmd: ['true'], Labels: gone });
  expect(await containers()).toHaveLength(2);
  await openToolRoot('docker');
  expect(await containers()).toEqual([held]);
  await engine.docker.getContainer(held).kill();
  await expect(run).rejects.toMatchObject({ what: 'sh was killed, most often because memory ran out' });
});

test('an engine that dies in the middle is named, and its next start leaves nothing of the run', async () => {
  const { run } = await begin();
  const failed = expect(run).rejects.toMatchObject({
    code: 'engine-lost',
    what: expect.stringContaining('run sh') as string,
  });
  await engine.kill();
  await failed;
  await expect(openToolRoot('docker')).rejects.toMatchObject({
    code: 'no-engine',
    hint: expect.stringContaining('--tools root') as string,
  });
  await engine.restart();
  tools = await openToolRoot('docker');
  await expect.poll(containers, NOTICED).toEqual([]);
  expect(await printed('echo well')).toEqual(['well']);
});
