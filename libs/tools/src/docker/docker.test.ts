import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { json, refusal, StandInEngine } from '../testing/stand-in-engine.ts';
import { runInContainer, toContainer } from './container.ts';
import { containerUser, openEngine } from './engine.ts';
import { imageName, provideImage } from './image.ts';
import { isOrphan, OWNER_LABEL, ownerLabel, parseOwner, thisOwner } from './owner.ts';

const digest = 'ab'.repeat(32);
const megabytes = 4;

let engine: StandInEngine;
let cache: string;

beforeEach(() => {
  engine = new StandInEngine();
  cache = mkdtempSync(join(tmpdir(), 'tools-'));
  vi.stubEnv('DOCKER_HOST', engine.host);
  vi.stubEnv('XDG_CACHE_HOME', cache);
});

afterEach(() => {
  vi.unstubAllEnvs();
  engine.close();
  rmSync(cache, { recursive: true });
});

const says = (text: string): string => expect.stringContaining(text) as string;

describe('an engine', () => {
  test('that is not there is named, and the way that needs none', async () => {
    engine.die();
    await expect(openEngine()).rejects.toMatchObject({
      code: 'no-engine',
      on: engine.host,
      hint: says('--tools root, needs no engine'),
    });
  });

  test('whose address makes no sense is named too', async () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://[');
    await expect(openEngine()).rejects.toMatchObject({ code: 'no-engine', on: 'tcp://[' });
  });

  test('with containers of another system is refused', async () => {
    engine.answers['GET /version'] = json({ Os: 'windows', Arch: 'amd64' });
    await expect(openEngine()).rejects.toMatchObject({
      code: 'unsupported-host',
      what: says('windows on amd64'),
    });
  });

  test('tells for which processor the tools have to be', async () => {
    engine.answers['GET /version'] = json({ Os: 'linux', Arch: 'arm64' });
    expect((await openEngine()).arch).toBe('arm64');
  });

  test('that is rootless has the caller as root', () => {
    expect(containerUser(['name=seccomp,profile=default', 'name=rootless'], 1000, 100)).toBe('0:0');
    expect(containerUser(['name=seccomp,profile=default'], 1000, 100)).toBe('1000:100');
  });
});

describe('the image of the tools', () => {
  const tree = (): Promise<Readable> =>
    Promise.resolve(Readable.from(Array.from({ length: megabytes }, () => Buffer.alloc(1 << 20))));

  test('is imported once, whole', async () => {
    const open = vi.fn(tree);
    const reached = await openEngine();
    expect(await provideImage(reached, digest, open)).toBe('sha256:1');
    expect(await provideImage(reached, digest, open)).toBe('sha256:1');
    expect(engine.imported).toBe(megabytes << 20);
    expect(open).toHaveBeenCalledTimes(1);
  });

  test('is not taken for one that has only its name', async () => {
    engine.digest = `${digest.slice(0, 12)}${'0'.repeat(52)}`;
    await provideImage(await openEngine(), digest, tree);
    expect(engine.imported).toBeGreaterThan(0);
  });

  test('that an engine without space cannot take is an error with that hint', async () => {
    engine.answers['POST /images/create'] = (request, response) => {
      request.resume().on('end', () => {
        response.end('{"status":"Importing"}\r\n{"error":"write /x: no space left on device"}\r\n');
      });
    };
    await expect(provideImage(await openEngine(), digest, tree)).rejects.toMatchObject({
      code: 'no-space',
      hint: says('docker system df'),
    });
  });

  test('that is refused is an error with the engine’s words', async () => {
    engine.answers['POST /images/create'] = (request, response) => {
      request.resume().on('end', () => refusal(500, 'Error processing tar file')(request, response));
    };
    await expect(provideImage(await openEngine(), digest, tree)).rejects.toMatchObject({
      code: 'engine-refused',
      on: 'Error processing tar file',
    });
  });

  test('is not there where the engine only says that it took it', async () => {
    engine.answers['POST /images/create'] = (request, response) => {
      request.resume().on('end', () => response.end('{"status":"sha256:1"}\r\n'));
    };
    await expect(provideImage(await openEngine(), digest, tree)).rejects.toThrow('has no such image');
  });

  test('is not there when the engine dies while it takes it', async () => {
    engine.answers['POST /images/create'] = (request) => void request.once('data', () => engine.die());
    await expect(provideImage(await openEngine(), digest, tree)).rejects.toMatchObject({
      code: 'engine-lost',
      what: says('import the build tools'),
    });
  });

  test('is not there when the answer is cut', async () => {
    engine.answers['POST /images/create'] = (request, response) => {
      request.resume().on('end', () => response.write('{"status":"Impor', () => response.destroy()));
    };
    await expect(provideImage(await openEngine(), digest, tree)).rejects.toMatchObject({
      code: 'engine-lost',
    });
  });

  test('fails with the error of the tree where that is what broke', async () => {
    const broken = () =>
      Promise.resolve(
        new Readable({
          read() {
            this.destroy(new Error('a package is damaged'));
          },
        }),
      );
    await expect(provideImage(await openEngine(), digest, broken)).rejects.toThrow('a package is damaged');
    expect(engine.digest).toBeUndefined();
  });

  test('pushes out older ones, but for the last', async () => {
    const removed: string[] = [];
    const image = (id: string, Created: number) => ({ Id: id, Created });
    engine.answers['GET /images/json'] = json([image('oldest', 1), image('sha256:1', 9), image('old', 2)]);
    engine.answers['DELETE /images/oldest'] = (_request, response) => {
      removed.push('oldest');
      response.end('[]');
    };
    await provideImage(await openEngine(), digest, tree);
    expect(removed).toEqual(['oldest']);
    expect(engine.requests.filter((key) => key.startsWith('DELETE'))).toHaveLength(1);
  });

  test('is named by the digest’s first twelve digits', () => {
    expect(imageName(digest)).toBe('sovereign-tools:abababababab');
  });
});

describe('a container', () => {
  const options = {
    binds: [
      { source: '/home/me/my tree', target: '/src' },
      { source: '/tmp/o', target: '/out', write: true },
    ],
    env: { ARCH: 'arm64' },
    cwd: '/src',
  };
  const owner = { place: 'here', pid: 7, start: '42' };

  test('has the mounts and the environment of the tool root, and no right', () => {
    const wanted = toContainer('sha256:1', ['make', '-j2'], options, { user: '1000:100', owner });
    expect(wanted).toMatchObject({ Image: 'sha256:1', User: '1000:100', WorkingDir: '/src' });
    expect(wanted.Entrypoint?.slice(4)).toEqual([
      '/usr/bin/env',
      '-i',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/tmp',
      'LC_ALL=C',
      'TZ=UTC',
      'SOURCE_DATE_EPOCH=0',
      'ARCH=arm64',
      'make',
      '-j2',
    ]);
    expect(wanted.HostConfig).toMatchObject({
      AutoRemove: true,
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges', 'label=disable'],
      Mounts: [
        { Type: 'bind', Source: '/home/me/my tree', Target: '/src', ReadOnly: true },
        { Type: 'bind', Source: '/tmp/o', Target: '/out', ReadOnly: false },
      ],
    });
    expect(wanted.Labels).toEqual({ [OWNER_LABEL]: '["here",7,"42"]' });
  });

  test('that fetches is in the engine’s own network, with no other right more', () => {
    const as = { user: '1000:100', owner };
    const { HostConfig: without, ...rest } = toContainer('sha256:1', ['go'], options, as);
    const { HostConfig: given, ...same } = toContainer('sha256:1', ['go'], { ...options, network: true }, as);
    expect(same).toEqual(rest);
    expect(given).toEqual({ ...without, NetworkMode: 'host' });
  });

  test('passes on what its program prints, line by line', async () => {
    engine.printed = 'one\ntwo\nthree';
    const lines: string[] = [];
    await runInContainer(await openEngine(), 'sha256:1', ['make'], { onLine: (line) => lines.push(line) });
    expect(lines).toEqual(['one', 'two', 'three']);
    // The engine is told to watch before the start, so that no end is missed.
    expect(engine.requests.slice(2)).toEqual([
      'POST /containers/create',
      'POST /containers/ID/attach',
      'POST /containers/ID/wait',
      'POST /containers/ID/start',
    ]);
  });

  test('whose program fails is the same error as in the tool root', async () => {
    engine.status = 2;
    engine.printed = 'make: *** [Makefile:1: all] Error 1\n';
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make', 'all'], {})).rejects.toMatchObject({
      code: 'tool-failed',
      what: 'make ended with status 2',
      on: 'make all',
      hint: 'It printed:\n    make: *** [Makefile:1: all] Error 1',
    });
  });

  test('that was killed says what kills most often', async () => {
    engine.status = 137;
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], {})).rejects.toMatchObject({
      code: 'tool-failed',
      what: 'make was killed, most often because memory ran out',
    });
  });

  test('whose engine dies in the middle is an error, and nothing waits for ever', async () => {
    engine.onStart = () => engine.die();
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], {})).rejects.toMatchObject({
      code: 'engine-lost',
      what: 'the Docker engine went away while it was to run make',
    });
  });

  test('that cannot be started is removed', async () => {
    engine.answers['POST /containers/ID/start'] = refusal(500, 'OCI runtime create failed');
    engine.answers['DELETE /containers/ID'] = json(undefined, 204);
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], {})).rejects.toMatchObject({
      code: 'engine-refused',
      on: 'OCI runtime create failed',
    });
    expect(engine.requests.at(-1)).toBe('DELETE /containers/ID');
  });

  test('for a folder that the engine does not have names that', async () => {
    engine.answers['POST /containers/create'] = refusal(
      400,
      'invalid mount config for type "bind": bind source path does not exist: /home/me',
    );
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], {})).rejects.toMatchObject({
      code: 'engine-refused',
      hint: says('has to see the folders of this machine'),
    });
  });

  test('for whose writable layer there is no space is an error with that hint', async () => {
    engine.answers['POST /containers/create'] = refusal(
      500,
      'mkdir /var/lib/docker/x: no space left on device',
    );
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], {})).rejects.toMatchObject({
      code: 'no-space',
    });
  });

  test('that is called off is removed before that is said', async () => {
    const abort = new AbortController();
    engine.onStart = () => abort.abort(new Error('called off'));
    engine.answers['DELETE /containers/ID'] = json(undefined, 204);
    const run = runInContainer(await openEngine(), 'sha256:1', ['make'], { signal: abort.signal });
    await expect(run).rejects.toThrow('called off');
    expect(engine.requests.at(-1)).toBe('DELETE /containers/ID');
  });

  test('that was made as a signal came is removed before the process ends', async () => {
    // Somebody else who listens: else the process of the tests would end.
    const others = vi.fn();
    process.on('SIGTERM', others);
    const usual = json({ Id: 'c0', Warnings: [] }, 201);
    engine.answers['POST /containers/create'] = (request, response) => {
      process.emit('SIGTERM', 'SIGTERM');
      usual(request, response);
    };
    engine.answers['DELETE /containers/ID'] = json(undefined, 204);
    try {
      const run = runInContainer(await openEngine(), 'sha256:1', ['make'], {});
      await expect(run).rejects.toMatchObject({ code: 'interrupted', exit: 130 });
      // Ours, and the one that would have ended the process.
      await expect.poll(() => others.mock.calls.length, { timeout: 20_000 }).toBe(2);
    } finally {
      process.off('SIGTERM', others);
    }
    expect(engine.requests).not.toContain('POST /containers/ID/start');
    expect(engine.requests.at(-1)).toBe('DELETE /containers/ID');
    engine.answers = {};
    await runInContainer(await openEngine(), 'sha256:1', ['make'], {});
  });

  test('for the terminal is not made where there is none', async () => {
    const run = runInContainer(await openEngine(), 'sha256:1', ['make'], { stdio: 'inherit' });
    await expect(run).rejects.toMatchObject({ code: 'no-terminal' });
    expect(engine.requests).not.toContain('POST /containers/create');
  });

  test('is not even made where the run is called off before', async () => {
    const signal = AbortSignal.abort(new Error('called off'));
    await expect(runInContainer(await openEngine(), 'sha256:1', ['make'], { signal })).rejects.toThrow(
      'called off',
    );
    expect(engine.requests).not.toContain('POST /containers/create');
  });
});

describe('an orphan', () => {
  const here = thisOwner();
  const listed = (label: string, State = 'running', Created = 0) => ({
    Labels: { [OWNER_LABEL]: label },
    State,
    Created,
  });

  test('is a container whose process is gone, or whose number another process has', () => {
    expect(isOrphan(listed(ownerLabel(here)))).toBe(false);
    expect(isOrphan(listed(ownerLabel({ ...here, pid: 99_999_999 })))).toBe(true);
    expect(isOrphan(listed(ownerLabel({ ...here, start: '1' })))).toBe(true);
  });

  test('of another machine or boot is only one when it was long over', () => {
    const other = ownerLabel({ ...here, place: 'elsewhere' });
    expect(isOrphan(listed(other, 'running'), 10_000)).toBe(false);
    expect(isOrphan(listed(other, 'created'), 60)).toBe(false);
    expect(isOrphan(listed(other, 'created'), 10_000)).toBe(true);
  });

  test('is told by a label that says what it was made from', () => {
    expect(parseOwner(ownerLabel(here))).toEqual(here);
    for (const label of [undefined, '', '{', '[]', '["a","b","c"]', 'null']) {
      expect(parseOwner(label)).toBeUndefined();
    }
  });
});

test('the guard is clean by shellcheck', { timeout: 30_000 }, () => {
  execFileSync('shellcheck', ['--norc', join(import.meta.dirname, 'guard.sh')]);
});
