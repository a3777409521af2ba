import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { peakOf, residentBelow, sizeOf } from '@sovereign/store/testing';
import { buffer } from 'node:stream/consumers';
import {
  alpineBase,
  APKO_VERSION,
  localApko,
  writeLock,
  type ApkoResult,
  type ApkoRunner,
  type Lock,
  type Unpacked,
} from '@sovereign/base';
import {
  makeApk,
  makeIndex,
  makeKey,
  type ApkFile,
  type ApkOptions,
  type MadeApk,
} from '@sovereign/base/testing';
import { execa } from 'execa';
import { extract } from 'tar-stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { apkoProgram } from './index.ts';

const key = makeKey('builder@test-0001');
const libc: ApkOptions = {
  name: 'libc',
  version: '1.0-r0',
  provides: ['so:libc.so.1=1'],
  files: [{ path: 'lib' }, { path: 'lib/libc.so.1', body: 'libc' }],
};
const busybox: ApkOptions = {
  name: 'busybox',
  version: '1.37.0-r31',
  depends: ['so:libc.so.1'],
  license: 'GPL-2.0-only',
  url: 'https://busybox.test/',
  scripts: { '.post-install': '#!/bin/sh\n', '.trigger': '#!/bin/sh\ntrue\n' },
  triggers: ['/bin', '/usr/bin'],
  files: [
    { path: 'bin' },
    { path: 'bin/busybox', body: 'busybox', mode: 0o4755 },
    { path: 'etc' },
    { path: 'etc/busybox-paths.d' },
    { path: 'etc/busybox-paths.d/busybox', body: '/bin/ls\n/usr/bin/wc\n' },
    { path: 'tmp', mode: 0o1777 },
  ],
};
const daemon: ApkOptions = {
  name: 'daemon',
  version: '2.0-r1',
  origin: 'daemons',
  buildTime: 1_700_000_000,
  depends: ['libc', 'cmd:busybox'],
  files: [
    { path: 'usr' },
    { path: 'usr/bin' },
    { path: 'usr/bin/daemon', body: 'daemon', mode: 0o755 },
    { path: 'usr/bin/alias', link: 'daemon' },
    { path: 'var' },
    { path: 'var/log' },
    { path: 'var/log/daemon', mode: 0o2750, user: 'daemon', group: 'daemon' },
    { path: 'etc' },
    { path: 'etc/daemon.conf', body: 'secret', mode: 0o640, group: 'daemon' },
  ],
};
const all = [libc, { ...busybox, provides: ['cmd:busybox=1.37.0-r31'] }, daemon];

let scratch: string;
let server: Server;
let files: Map<string, Buffer>;
/** Answers in place of the mirror where it says true. */
let intercept: (path: string, response: ServerResponse) => boolean;
let program: string;

// Builds apko where nothing is cached, which takes minutes on a slow machine.
beforeAll(async () => {
  program = await apkoProgram();
}, 900_000);

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    const path = decodeURIComponent(request.url ?? '');
    if (intercept(path, response)) return;
    const file = files.get(path);
    response.writeHead(file === undefined ? 404 : 200).end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'apko-'));
  mkdirSync(join(scratch, 'keys'));
  writeFileSync(join(scratch, 'keys', key.name), key.publicKey);
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
  vi.stubEnv('SOVEREIGN_ALPINE_MIRROR', `http://127.0.0.1:${(server.address() as AddressInfo).port}/alpine`);
  vi.stubEnv('SOVEREIGN_ALPINE_KEYS', join(scratch, 'keys'));
  intercept = () => false;
  await serve(all);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true });
});

const place = (archive: string, name: string) => `/alpine/v3.24/${archive}/aarch64/${name}`;

/** Makes the mirror hold these packages, the daemon in community; gives them by name. */
async function serve(packages: readonly ApkOptions[], signer = key): Promise<Map<string, MadeApk>> {
  const made = new Map<string, MadeApk>();
  files = new Map();
  for (const options of packages) made.set(options.name, await makeApk(options, signer));
  for (const archive of ['main', 'community']) {
    const here = [...made].filter(([name]) => (name === 'daemon') === (archive === 'community'));
    for (const [, { fileName, file }] of here) files.set(place(archive, fileName), file);
    const index = await makeIndex(
      here.map(([, one]) => one),
      signer,
    );
    files.set(place(archive, 'APKINDEX.tar.gz'), index);
  }
  return made;
}

const base = alpineBase(localApko(() => Promise.resolve(program)));
const lock = (packages = ['daemon'], leaveOut: string[] = []) =>
  base.lock({ packages, leaveOut, arch: 'aarch64' });
const unpack = (locked: Lock) => base.unpack(locked, '/x/alpine.lock.json');
const downloads = () => readdirSync(join(scratch, 'cache/sovereign/downloads'));

async function listing({ tar }: Unpacked): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of tar.pipe(extract())) {
    const { name, mode, uname, gname, type, linkname } = entry.header;
    const target = type === 'symlink' ? ` -> ${linkname}` : '';
    lines.push(`${(mode & 0o7777).toString(8)} ${uname}:${gname} ${name}${target}`);
    entry.resume();
  }
  return lines;
}

test('the version that is built is the one that everything was measured with', () => {
  expect(readFileSync(join(import.meta.dirname, 'module/go.mod'), 'utf8')).toContain(
    `require chainguard.dev/apko ${APKO_VERSION}\n`,
  );
});

describe('a lock', () => {
  test('names what the request comes to, by archive, size and digest', async () => {
    const locked = await lock();
    expect(locked).toMatchObject({
      base: 'alpine',
      release: 'v3.24',
      arch: 'aarch64',
      requested: ['daemon'],
    });
    expect(locked.newest).toEqual({ main: 0, community: 1_700_000_000 });
    expect(locked.packages.map(({ name, version, archive }) => `${archive} ${name} ${version}`)).toEqual([
      'main libc 1.0-r0',
      'main busybox 1.37.0-r31',
      'community daemon 2.0-r1',
    ]);
    expect(locked.packages[2]?.path).toBe('aarch64/daemon-2.0-r1.apk');
    expect(await lock()).toEqual(locked);
  });

  test('leaves out what the request leaves out', async () => {
    expect((await lock(['daemon'], ['busybox'])).packages.map(({ name }) => name)).toEqual([
      'libc',
      'daemon',
    ]);
  });

  test('that cannot be made repeats what apko says, after what failed', async () => {
    await expect(lock(['daemon', 'nosuch'])).rejects.toMatchObject({
      code: 'apko-failed',
      what: expect.stringMatching(/^apko could not find a set of packages: .*nosuch/s) as string,
    });
  });

  test('is not made of an index or a package that another key signed', async () => {
    await serve(all, makeKey('mallory'));
    await expect(lock()).rejects.toMatchObject({
      code: 'bad-package',
      what: expect.stringContaining('mallory.rsa.pub') as string,
      on: expect.stringMatching(/main\/aarch64\/APKINDEX\.tar\.gz$/) as string,
    });
    const foreign = (await makeApk(libc, makeKey('mallory'))).file;
    await serve(all);
    files.set(place('main', 'libc-1.0-r0.apk'), foreign);
    await expect(lock()).rejects.toMatchObject({ on: expect.stringMatching(/libc-1\.0-r0\.apk$/) as string });
  });

  test('is not made of a package that is well signed, but not the one that the index names', async () => {
    const { file } = await makeApk({ ...libc, version: '0.9-r0' }, key);
    files.set(place('main', 'libc-1.0-r0.apk'), file);
    await expect(lock()).rejects.toMatchObject({
      code: expect.stringMatching(/^(bad-package|wrong-digest)$/) as string,
    });
  });

  describe('of which any one byte was flipped', () => {
    /** Serves a file with each of its bytes flipped in turn; gives the places at which a lock was made all the same. */
    async function flipped(path: string, make: () => Promise<unknown>, places?: number[]): Promise<number[]> {
      const whole = files.get(path) ?? Buffer.alloc(0);
      const passed: number[] = [];
      for (const at of places ?? whole.keys()) {
        const file = Buffer.from(whole);
        file[at] = (file[at] ?? 0) ^ 0xff;
        files.set(path, file);
        const refused = await make().then(
          () => undefined,
          (error: unknown) => error as { code?: string },
        );
        if (refused === undefined) passed.push(at);
        else expect(refused, `byte ${at}`).toMatchObject({ code: 'bad-package' });
      }
      files.set(path, whole);
      return passed;
    }

    /** Time, speed and system in the wrapping of the signature: nobody signs them and nothing reads them. */
    const unsigned = [4, 5, 6, 7, 8, 9];

    test.each(['libc-1.0-r0.apk', 'APKINDEX.tar.gz'])(
      '%s is refused, but for its wrapping',
      async (name) => {
        // What apko answers was seen once and is said again: a run for each byte would take minutes.
        const answers = new Map<string, ApkoResult>();
        const run = localApko(() => Promise.resolve(program));
        const recorded: ApkoRunner = async (args, ...rest) => {
          const answer = answers.get(args.join(' ')) ?? (await run(args, ...rest));
          answers.set(args.join(' '), answer);
          return answer;
        };
        const fast = alpineBase(recorded);
        const request = { packages: ['libc'], arch: 'aarch64' };
        const whole = await fast.lock(request);
        const kept = downloads();
        const passed: Lock[] = [];
        const make = async () => passed.push(await fast.lock(request));
        expect(await flipped(place('main', name), make)).toEqual(unsigned);
        for (const locked of passed) {
          const [libcLocked] = locked.packages;
          expect({ ...locked, packages: [{ ...libcLocked, sha256: whole.packages[0]?.sha256 }] }).toEqual(
            whole,
          );
        }
        // Nothing of what was refused was kept.
        expect(downloads()).toHaveLength(kept.length + unsigned.length);
      },
      300_000,
    );

    test.each(['libc-1.0-r0.apk', 'APKINDEX.tar.gz'])('%s is refused with apko itself', async (name) => {
      const { length } = files.get(place('main', name)) ?? Buffer.alloc(0);
      // A byte of each part: signature, what is signed, files, end.
      const places = [0, 40, 300, length >> 1, length - 60, length - 1];
      expect(await flipped(place('main', name), () => lock(['libc']), places)).toEqual([]);
    });
  });

  test('is not made of a package or an index that is cut', async () => {
    for (const path of [place('main', 'libc-1.0-r0.apk'), place('main', 'APKINDEX.tar.gz')]) {
      const whole = files.get(path) ?? Buffer.alloc(0);
      for (const length of [0, 1, 30, whole.length >> 1, whole.length - 1]) {
        files.set(path, whole.subarray(0, length));
        await expect(lock(), `${path}, ${length} bytes`).rejects.toMatchObject({ code: 'bad-package' });
      }
      files.set(path, whole);
    }
    expect(readdirSync(join(scratch, 'cache/sovereign'))).toEqual(['downloads']);
  }, 60_000);

  test('says that a mirror is none, and names the setting', async () => {
    files.delete(place('main', 'APKINDEX.tar.gz'));
    await expect(lock()).rejects.toMatchObject({
      code: 'no-mirror',
      hint: expect.stringContaining('SOVEREIGN_ALPINE_MIRROR') as string,
    });
  });

  test('is made once the mirror is back that died in the middle, and leaves no folder behind', async () => {
    intercept = (path, response) => {
      if (!path.endsWith('daemon-2.0-r1.apk')) return false;
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x', () => response.destroy());
      return true;
    };
    await expect(lock()).rejects.toMatchObject({ code: 'no-network' });
    expect(readdirSync(join(scratch, 'cache/sovereign'))).toEqual(['downloads']);
    intercept = () => false;
    expect((await lock()).packages).toHaveLength(3);
  });
});

describe('unpacking', () => {
  test('gives the files of the packages with their owners and modes, links of BusyBox, and nothing else', async () => {
    const unpacked = await unpack(await lock());
    expect(unpacked.ownersByName).toBe(true);
    expect(await listing(unpacked)).toEqual([
      '755 root:root bin',
      '4755 root:root bin/busybox',
      '777 : bin/ls -> /bin/busybox',
      '755 root:root etc',
      '755 root:root etc/busybox-paths.d',
      '644 root:root etc/busybox-paths.d/busybox',
      '640 root:daemon etc/daemon.conf',
      '755 root:root lib',
      '644 root:root lib/libc.so.1',
      '1777 root:root tmp',
      '755 root:root usr',
      '755 root:root usr/bin',
      '777 root:root usr/bin/alias -> daemon',
      '755 root:root usr/bin/daemon',
      '777 : usr/bin/wc -> /bin/busybox',
      '755 root:root var',
      '755 root:root var/log',
      '2750 daemon:daemon var/log/daemon',
    ]);
  });

  test('says which scripts there are, what the packages are, and which file is whose', async () => {
    const unpacked = await unpack(await lock());
    expect(unpacked.scripts).toEqual([
      { package: 'busybox', name: '.post-install', text: '#!/bin/sh\n' },
      { package: 'busybox', name: '.trigger', text: '#!/bin/sh\ntrue\n' },
    ]);
    expect(unpacked.metadata?.[1]).toEqual({
      name: 'busybox',
      version: '1.37.0-r31',
      license: 'GPL-2.0-only',
      origin: 'busybox',
      homepage: 'https://busybox.test/',
    });
    expect(unpacked.ownerOf?.('usr/bin/daemon')).toBe('daemon');
    expect(unpacked.ownerOf?.('usr/bin/wc')).toBeUndefined();
  });

  test('gives the same bytes every time, in every folder, without the mirror', async () => {
    const locked = await lock();
    const first = await buffer((await unpack(locked)).tar);
    intercept = (_, response) => {
      response.writeHead(500).end();
      return true;
    };
    expect((await buffer((await unpack(locked)).tar)).equals(first)).toBe(true);
    intercept = () => false;
    vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'another cache'));
    expect((await buffer((await unpack(locked)).tar)).equals(first)).toBe(true);
    expect(readdirSync(join(scratch, 'cache/sovereign')).sort()).toEqual(['alpine', 'downloads']);
  });

  test('of the same packages takes what came of them before, without apko', async () => {
    const locked = await lock();
    const first = await unpack(locked);
    const without = alpineBase(() => Promise.reject(new Error('apko was asked')));
    const second = await without.unpack(locked, '/x/alpine.lock.json');
    expect(await listing(second)).toEqual(await listing(first));
    expect([second.scripts, second.metadata]).toEqual([first.scripts, first.metadata]);
    expect(second.ownerOf?.('usr/bin/daemon')).toBe('daemon');
  });

  test('finds what came of them before damaged, and does it again', async () => {
    const locked = await lock();
    const whole = await buffer((await unpack(locked)).tar);
    const kept = join(scratch, 'cache/sovereign/alpine');
    const [entry = ''] = readdirSync(kept);
    for (const name of readdirSync(join(kept, entry))) {
      const path = join(kept, entry, name);
      const bytes = readFileSync(path);
      const at = bytes.length >> 1;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      expect((await buffer((await unpack(locked)).tar)).equals(whole), name).toBe(true);
      expect(readFileSync(path).equals(bytes), name).toBe(false);
    }
  });

  test('refuses a package of which any one byte was flipped, and keeps nothing of it', async () => {
    const locked = await lock(['libc']);
    const whole = files.get(place('main', 'libc-1.0-r0.apk')) ?? Buffer.alloc(0);
    rmSync(join(scratch, 'cache'), { recursive: true });
    for (let at = 0; at < whole.length; at++) {
      const file = Buffer.from(whole);
      file[at] = (file[at] ?? 0) ^ (1 << (at % 8));
      files.set(place('main', 'libc-1.0-r0.apk'), file);
      await expect(unpack(locked), `byte ${at}`).rejects.toMatchObject({ code: 'wrong-digest' });
    }
    expect(downloads()).toEqual([]);
  }, 120_000);

  test('refuses files that several packages fight over, in the words of apko', async () => {
    await serve([
      ...all,
      { name: 'thief', version: '1-r0', files: [{ path: 'bin' }, { path: 'bin/busybox', body: 'x' }] },
    ]);
    await expect(unpack(await lock(['daemon', 'thief']))).rejects.toMatchObject({
      code: 'apko-failed',
      what: expect.stringMatching(/^apko could not unpack the packages: .*bin\/busybox/s) as string,
    });
  });

  describe('a hostile package', () => {
    const hostile = async (options: Partial<ApkOptions>) => {
      await serve([...all, { name: 'evil', version: '1-r0', ...options }]);
      return unpack(await lock(['daemon', 'evil']));
    };
    /** Nothing lies outside of the downloads, and what apko was given is gone. */
    const expectNothingLeft = () => {
      expect(readdirSync(scratch).sort()).toEqual(['cache', 'events', 'keys']);
      expect(readdirSync(join(scratch, 'cache/sovereign')).sort()).toEqual(['alpine', 'downloads']);
      expect(readdirSync(join(scratch, 'cache/sovereign/alpine'))).toEqual([]);
    };
    const body = 'x';

    test.each<[string, ApkFile[]]>([
      ['a path that leads out', [{ path: '../evil', body }]],
      ['a path that leads out further in', [{ path: 'usr' }, { path: 'usr/../../evil', body }]],
      ['a path from the root', [{ path: '/tmp/evil', body }]],
      ['a hard link to what is outside', [{ path: 'evil', link: '../../../etc/passwd', hard: true }]],
      ['a hard link from the root', [{ path: 'evil', link: '/etc/passwd', hard: true }]],
    ])('with %s is refused by its path', async (_case, files) => {
      await expect(hostile({ files })).rejects.toMatchObject({
        code: 'bad-package',
        what: expect.stringContaining('a path that leads out: ') as string,
        on: 'evil',
      });
      expectNothingLeft();
    });

    test.each<[string, ApkFile[]]>([
      [
        'a file below its own link that leads out',
        [
          { path: 'out', link: '..' },
          { path: 'out/evil', body },
        ],
      ],
      ['a file below a link of another package', [{ path: 'usr/bin/alias/evil', body }]],
      ['a folder where another package has a file', [{ path: 'bin/busybox' }]],
      ['a link where another package has a folder', [{ path: 'usr', link: '/tmp' }]],
      ['a hard link to nothing', [{ path: 'evil', link: 'nosuch', hard: true }]],
      ['a path that is longer than Linux takes', [{ path: `${'a/'.repeat(3000)}evil`, body }]],
    ])('with %s is refused in the words of apko', async (_case, files) => {
      await expect(hostile({ files })).rejects.toMatchObject({
        code: 'apko-failed',
        what: expect.stringMatching(/^apko could not unpack the packages: .*pkg evil/s) as string,
      });
      expectNothingLeft();
    });

    test('with more files than an image may hold is refused', async () => {
      const run = localApko(() => Promise.resolve(program));
      const few: ApkoRunner = (args, ...rest) =>
        run(
          args.map((word) => word.replace('--max-files=500000', '--max-files=3')),
          ...rest,
        );
      await expect(alpineBase(few).unpack(await lock(), 'x')).rejects.toMatchObject({
        code: 'apko-failed',
        what: expect.stringContaining('hold more than 3 files') as string,
      });
      expectNothingLeft();
    });

    test('with a file below a link from the root is refused, and not left out in silence', async () => {
      const files = [
        { path: 'out', link: '/tmp' },
        { path: 'out/evil', body },
      ];
      await expect(hostile({ files })).rejects.toMatchObject({
        code: 'bad-package',
        what: expect.stringContaining('out/evil is not where it says') as string,
        on: 'evil',
      });
      expectNothingLeft();
    });

    test('whose files unpack to gigabytes is stopped, in little memory and not much more than the limit on disk', async () => {
      const gulp = gzipSync(Buffer.alloc(64 << 20));
      // One MB that says more than 1 GiB.
      const member = Buffer.concat(Array.from({ length: 17 }, () => gulp));
      let disk = 0;
      const work = hostile({ data: { member, size: 1 } });
      const { peak } = await peakOf(
        () => {
          disk = Math.max(disk, sizeOf(join(scratch, 'cache')));
          return residentBelow();
        },
        work.catch(() => undefined),
      );
      await expect(work).rejects.toMatchObject({
        code: expect.stringMatching(/^(apko-failed|bad-package)$/) as string,
        what: expect.stringMatching(/1073741824/) as string,
      });
      // It was seen, and it was small.
      expect(peak).toBeGreaterThan(5e6);
      expect(peak).toBeLessThan(300e6);
      expect(disk).toBeLessThan(1.5 * 2 ** 30);
      expectNothingLeft();
    }, 300_000);
  });

  test('says that the lock is stale where the mirror has dropped a version', async () => {
    // One package: others would be on their way still when the test ends and its folder goes.
    const locked = await lock(['libc']);
    rmSync(join(scratch, 'cache'), { recursive: true });
    files.delete(place('main', 'libc-1.0-r0.apk'));
    await expect(unpack(locked)).rejects.toMatchObject({ code: 'stale-lock', on: '/x/alpine.lock.json' });
  });

  test('mends a file of the cache that was damaged at rest', async () => {
    const locked = await lock();
    const first = await buffer((await unpack(locked)).tar);
    const path = join(scratch, 'cache/sovereign/downloads', locked.packages[0]?.sha256 ?? '');
    chmodSync(path, 0o644);
    writeFileSync(path, 'damaged');
    expect((await buffer((await unpack(locked)).tar)).equals(first)).toBe(true);
  });

  test('works in two processes at once that share an empty cache', async () => {
    const locked = await lock();
    await writeLock(join(scratch, 'alpine.lock.json'), locked);
    rmSync(join(scratch, 'cache'), { recursive: true });
    const script = `
      import { createHash } from 'node:crypto';
      import { alpineBase, localApko, readLock } from '@sovereign/base';
      const path = process.argv[1];
      const base = alpineBase(localApko(() => Promise.resolve(process.argv[2])));
      const { tar } = await base.unpack(await readLock(path), path);
      const hash = createHash('sha256');
      for await (const chunk of tar) hash.update(chunk);
      console.log(hash.digest('hex'));`;
    const args = ['--input-type=module', '--eval', script, join(scratch, 'alpine.lock.json'), program];
    const run = () => execa(process.execPath, args, { cwd: import.meta.dirname, timeout: 60_000 });
    const [one, other] = await Promise.all([run(), run()]);
    expect(one.stdout).toMatch(/^[0-9a-f]{64}$/);
    expect(other.stdout).toBe(one.stdout);
    expect(downloads().sort()).toEqual(locked.packages.map(({ sha256 }) => sha256).sort());
  }, 90_000);
});

describe('apko', () => {
  test('that is not there is an error that says so', async () => {
    const missing = alpineBase(localApko(() => Promise.resolve('/nonexistent/apko')));
    await expect(missing.unpack(await lock(), 'x')).rejects.toMatchObject({ code: 'no-apko' });
  });

  test('of another version is refused by name', async () => {
    const path = join(scratch, 'other');
    writeFileSync(path, '#!/bin/sh\necho v0.1.0\n', { mode: 0o755 });
    const other = alpineBase(localApko(() => Promise.resolve(path)));
    await expect(other.unpack(await lock(), 'x')).rejects.toMatchObject({
      code: 'wrong-apko',
      what: expect.stringContaining(`apko v0.1.0; locks and images are made with ${APKO_VERSION}`) as string,
    });
  });
});
