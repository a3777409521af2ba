import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { sha256 } from '@sovereign/store';
import { pack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { composeRoot, type Recipe } from './index.ts';

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'compose '));
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true });
});

type Item = Partial<Header> & { name: string; text?: string | Buffer };

function packages(items: Item[], scripts: Recipe['packages']['scripts'] = []): Recipe['packages'] {
  const tar = pack();
  for (const { text, ...header } of items) {
    if (text === undefined) tar.entry(header);
    else tar.entry(header, text);
  }
  tar.finalize();
  return { tar: Readable.from(tar, { objectMode: false }), scripts };
}

const recipe = (items: Item[], more: Partial<Recipe> = {}): Recipe => ({
  packages: packages(items),
  trim: [],
  rewrites: [],
  effects: [],
  effectsFile: 'effects.ts',
  accounts: [{ name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' }],
  groups: [],
  directories: [],
  links: {},
  overlays: [],
  files: [],
  ...more,
});

async function compose(made: Recipe, name = 'root.tar'): Promise<string> {
  const path = join(scratch, name);
  await composeRoot(made, path);
  return path;
}

/** What GNU tar, as an independent reader, says is in the archive: mode, owner, name. */
const listing = (path: string): string[] =>
  execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--full-time', '--utc', '--file', path], {
    encoding: 'utf8',
  })
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' '));

describe('a composed root', () => {
  test('is the same bytes whatever the order and the times of the packages', async () => {
    const items = [
      { name: './usr/bin/b', text: 'b', mtime: new Date(5_000_000) },
      { name: './usr/bin/a', text: 'a', mode: 0o755 },
    ];
    const first = await compose(recipe(items), '1.tar');
    const second = await compose(
      recipe(items.toReversed().map((item) => ({ ...item, mtime: new Date(9_000_000) }))),
      '2.tar',
    );
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
  });

  test('keeps numeric owners and modes, drops names and times', async () => {
    const path = await compose(
      recipe([{ name: './var/lib/x', text: '', uid: 70, gid: 71, uname: 'me', mode: 0o4750 }]),
    );
    expect(listing(path)).toContain('-rwsr-x--- 70/71 0 1970-01-01 00:00:00 var/lib/x');
  });

  test('leaves a file that nobody may read one that nobody may read', async () => {
    // Of a mode of 0 tar-stream makes 0644, here as well where the tar of the packages is made.
    const path = await compose(recipe([{ name: 'etc/secret', text: '', mode: 0o100000 }]));
    expect(listing(path)).toContainEqual(expect.stringMatching(/^---------- 0\/0 .*etc\/secret$/));
  });

  test('lands files of /bin and /lib behind the links of a merged /usr', async () => {
    const path = await compose(
      recipe([
        { name: './bin', type: 'symlink', linkname: 'usr/bin' },
        { name: './lib/', type: 'directory' },
        { name: './lib/x.so', text: 'x' },
      ]),
    );
    const names = listing(path).map((line) => line.split(' ').slice(5).join(' '));
    expect(names).toContain('usr/lib/x.so');
    expect(names).toContain('bin -> usr/bin');
    expect(names).toContain('lib -> usr/lib');
  });

  test('leaves out what a rule trims, and keeps what only looks alike', async () => {
    const items = [
      { name: './usr/share/doc/x/copyright', text: '' },
      { name: './usr/share/docs', text: '' },
    ];
    const path = await compose(
      recipe(items, { trim: [{ glob: 'usr/share/doc', reason: 'nobody reads it there' }] }),
    );
    const text = listing(path).join('\n');
    expect(text).not.toContain('copyright');
    expect(text).toContain('usr/share/docs');
  });

  test('holds a file in part where a rule says so, and leaves its mode and the others alone', async () => {
    const items = [
      { name: './usr/lib/data.so.1', text: 'for machines, for people' },
      { name: './usr/lib/other.so.1', text: 'for people' },
    ];
    const rule = {
      glob: 'usr/lib/data.so.*',
      reason: 'nobody reads it there',
      rewrite: (content: Buffer) => Buffer.from(content.toString().replace('for people', '          ')),
    };
    const path = await compose(recipe(items, { rewrites: [rule] }));
    expect(readFileSync(path, 'latin1')).toContain('for machines,           ');
    expect(readFileSync(path, 'latin1')).toContain('for people');
    expect(listing(path).filter((line) => line.includes('.so.1'))).toHaveLength(2);
  });

  test('takes an overlay over the packages, with the executable bit and links, whatever the umask', async () => {
    const overlay = join(scratch, 'overlay');
    mkdirSync(join(overlay, 'etc/init.d'), { recursive: true });
    writeFileSync(join(overlay, 'etc/init.d/x'), 'ours');
    chmodSync(join(overlay, 'etc/init.d/x'), 0o700);
    writeFileSync(join(overlay, 'etc/conf'), 'ours', { mode: 0o600 });
    symlinkSync('/run/x', join(overlay, 'etc/link'));
    const text = listing(
      await compose(recipe([{ name: 'etc/conf', text: 'theirs' }], { overlays: [overlay] })),
    ).join('\n');
    expect(text).toMatch(/-rwxr-xr-x 0\/0 4 .* etc\/init\.d\/x/);
    expect(text).toMatch(/-rw-r--r-- 0\/0 4 .* etc\/conf/);
    expect(text).toContain('etc/link -> /run/x');
  });

  test('holds a file once that has several names, unless owner, mode or a byte tell them apart', async () => {
    const items = [
      { name: './usr/bin/a', text: 'same', mode: 0o755 },
      { name: './usr/bin/b', text: 'same', mode: 0o755 },
      { name: './usr/bin/c', text: 'same', mode: 0o644 },
      { name: './usr/bin/d', text: 'same', mode: 0o755, uid: 70 },
      { name: './usr/bin/d2', text: 'sane', mode: 0o755 },
      { name: './usr/bin/e', text: '' },
      { name: './usr/bin/f', text: '' },
    ];
    const lines = listing(await compose(recipe(items))).filter((line) => line.includes('usr/bin/'));
    expect(lines.map((line) => [line.slice(0, 10), line.split(' ').slice(5).join(' ')])).toEqual([
      ['-rwxr-xr-x', 'usr/bin/a'],
      ['hrwxr-xr-x', 'usr/bin/b link to usr/bin/a'],
      ['-rw-r--r--', 'usr/bin/c'],
      ['-rwxr-xr-x', 'usr/bin/d'],
      ['-rwxr-xr-x', 'usr/bin/d2'],
      ['-rw-r--r--', 'usr/bin/e'],
      ['-rw-r--r--', 'usr/bin/f'],
    ]);
  });

  test('says that the disk is full, and does not wait', async () => {
    const items = [{ name: './usr/share/large', text: 'x'.repeat(3 << 20) }];
    await expect(composeRoot(recipe(items), '/dev/full')).rejects.toMatchObject({ code: 'no-space' });
  });

  test('makes one certificate bundle', async () => {
    const items = ['b', 'a'].map((name) => ({
      name: `./usr/share/ca-certificates/m/${name}.crt`,
      text: `cert ${name}\n`,
    }));
    const path = await compose(recipe(items));
    const bundle = execFileSync('tar', ['-xOf', path, 'etc/ssl/certs/ca-certificates.crt'], {
      encoding: 'utf8',
    });
    expect(bundle).toBe('cert a\ncert b\n');
  });
});

describe('owners that packages call by name', () => {
  const accounts = [
    { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' },
    { name: 'postgres', uid: 70, gid: 71, home: '/', shell: '/bin/sh' },
  ];
  const groups = [{ name: 'shadow', gid: 42 }];
  const named = (items: Item[]) =>
    recipe([], { packages: { ...packages(items), ownersByName: true }, accounts, groups });

  test('get the numbers that the image’s own passwd and group have, whatever the package’s numbers are', async () => {
    const path = await compose(
      named([
        {
          name: 'usr/bin/a',
          text: '',
          uname: 'postgres',
          gname: 'postgres',
          uid: 500,
          gid: 501,
          mode: 0o6755,
        },
        { name: 'usr/bin/b', text: '', uname: 'root', gname: 'shadow', uid: 500, gid: 501, mode: 0o640 },
        { name: 'usr/bin/c', text: '', uid: 7, gid: 8 },
      ]),
    );
    const lines = listing(path).filter((line) => line.includes('usr/bin/'));
    expect(lines.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '-rwsr-sr-x 70/71',
      '-rw-r----- 0/42',
      '-rw-r--r-- 7/8',
    ]);
    const text = (file: string) => execFileSync('tar', ['-xOf', path, file], { encoding: 'utf8' });
    expect(text('etc/passwd')).toContain('postgres:x:70:71:');
    expect(text('etc/group')).toContain('shadow:x:42:');
  });

  test('are root where nobody has the name, and that is told', async () => {
    const path = await compose(
      named([{ name: 'usr/bin/a', text: '', uname: 'games', gname: 'utmp', uid: 12, gid: 13, mode: 0o755 }]),
    );
    expect(listing(path)).toContainEqual(expect.stringMatching(/^-rwxr-xr-x 0\/0 .*usr\/bin\/a$/));
    expect(readFileSync(join(scratch, 'events'), 'utf8')).toMatch(/no account for.*games, utmp/);
  });

  test.each([
    ['setgid', { uname: 'root', gname: 'utmp', mode: 0o2755 }, 'utmp'],
    ['setuid', { uname: 'games', gname: 'root', mode: 0o4755 }, 'games'],
    ['setgid, a folder', { type: 'directory' as const, uname: 'root', gname: 'utmp', mode: 0o2775 }, 'utmp'],
  ])('never become root’s where the mode hands their rights on: %s', async (_case, header, who) => {
    const item = { name: 'usr/bin/a', ...header, ...('type' in header ? {} : { text: '' }) };
    await expect(compose(named([item]))).rejects.toMatchObject({
      code: 'unknown-owner',
      what: expect.stringContaining(who) as string,
      on: 'usr/bin/a',
    });
  });

  test('with such a mode are fine where the bit is the other one’s', async () => {
    await compose(named([{ name: 'usr/bin/a', text: '', uname: 'root', gname: 'utmp', mode: 0o4755 }]));
  });
});

describe('what a composed root says it is of', () => {
  const owners: Record<string, string> = {
    './usr/bin/a': 'one',
    './usr/share/doc/a': 'one',
    './etc/b': 'two',
  };
  const items = [
    { name: './usr/bin/a', text: 'four' },
    { name: './usr/share/doc/a', text: 'trimmed' },
    { name: './etc/b', text: 'theirs' },
    { name: './etc/nobodys', text: '' },
  ];
  const owned = (): Recipe['packages'] => ({ ...packages(items), ownerOf: (name) => owners[name] });

  test('names the package of a file, and gives what lies over it to the overlay', async () => {
    const overlay = join(scratch, 'overlay');
    mkdirSync(join(overlay, 'etc'), { recursive: true });
    writeFileSync(join(overlay, 'etc/b'), 'ours');
    const { files } = await composeRoot(
      recipe([], { packages: owned(), overlays: [overlay], files: [{ path: 'etc/made', content: 'x' }] }),
      join(scratch, 'root.tar'),
    );
    expect(files.filter(({ path }) => path !== 'etc/passwd' && !/^etc\/(group|shadow)$/.test(path))).toEqual([
      {
        path: 'etc/b',
        size: 4,
        source: 'overlay',
        digests: {
          sha1: '48537f613ab85111413f2369616ae97481429bd1',
          sha256: 'ae0bec9e9d33c56354bd612c8a6010840324fc5b9786ce0a18b696b304b09397',
        },
      },
      { path: 'etc/made', size: 1, source: 'generated', digests: expect.anything() as unknown },
      { path: 'etc/nobodys', size: 0, source: 'package' },
      { path: 'usr/bin/a', size: 4, source: 'package', package: 'one' },
      { path: 'usr/share/doc/a', size: 7, source: 'package', package: 'one' },
    ]);
  });

  test('counts what each rule took of each package', async () => {
    const rule = { glob: 'usr/share/doc', reason: 'nobody reads it there' };
    const { files, trimmed } = await composeRoot(
      recipe([], { packages: owned(), trim: [rule] }),
      join(scratch, 'root.tar'),
    );
    expect(trimmed).toEqual([{ rule, package: 'one', files: 1, bytes: 7 }]);
    expect(files.map(({ path }) => path)).not.toContain('usr/share/doc/a');
  });

  test('leaves a file that is held in part with its package, at the size that it has', async () => {
    const rule = {
      glob: 'usr/bin/a',
      reason: 'a half',
      rewrite: (content: Buffer) => content.subarray(0, 2),
    };
    const { files } = await composeRoot(
      recipe([], { packages: owned(), rewrites: [rule] }),
      join(scratch, 'root.tar'),
    );
    expect(files).toContainEqual({ path: 'usr/bin/a', size: 2, source: 'package', package: 'one' });
  });
});

describe('composing refuses', () => {
  test('an install script that nobody has declared, by name, and shows it', async () => {
    const script = { package: 'evil', name: 'postinst', text: '#!/bin/sh\nrm -rf /' };
    const made = { ...recipe([]), packages: packages([], [script]) };
    await expect(compose(made)).rejects.toMatchObject({
      code: 'unknown-script',
      what: expect.stringContaining('evil (postinst)') as string,
      on: 'effects.ts',
      hint: expect.stringContaining('rm -rf /') as string,
    });
  });

  test('a long script that nobody has declared, and shows it to its last line', async () => {
    const text = `#!/bin/sh\n${'true\n'.repeat(200)}rm -rf /\n`;
    const made = { ...recipe([]), packages: packages([], [{ package: 'evil', name: 'postinst', text }]) };
    await expect(compose(made)).rejects.toMatchObject({ hint: expect.stringContaining(text) as string });
  });

  test('no script that only prints, but names it', async () => {
    const script = { package: 'chatty', name: '.post-install', text: '#!/bin/sh\necho hello\n' };
    await compose({ ...recipe([]), packages: packages([], [script]) });
    expect(readFileSync(join(scratch, 'events'), 'utf8')).toMatch(/but print: chatty \(\.post-install\)/);
  });

  describe('declared by the digest of its text', () => {
    const text = '#!/bin/sh\nadduser web\n';
    const declared = {
      package: 'web',
      reason: 'the account is ours',
      scripts: { '.pre-install': [sha256(text)] },
    };
    const run = (script: { name: string; text: string }) =>
      compose({
        ...recipe([], { effects: [declared] }),
        packages: packages([], [{ package: 'web', ...script }]),
      });

    test('the text that was declared is fine', async () => {
      await run({ name: '.pre-install', text });
    });

    test.each([
      ['another text of the same script', { name: '.pre-install', text: '#!/bin/sh\nadduser root2\n' }],
      ['the same text under another name', { name: '.trigger', text }],
    ])('%s is refused and shown', async (_case, script) => {
      await expect(run(script)).rejects.toMatchObject({
        code: 'unknown-script',
        what: expect.stringContaining(`web (${script.name})`) as string,
        on: 'effects.ts',
        hint: expect.stringMatching(/adduser/) as string,
      });
    });
  });

  test.each(['../etc/passwd', './usr/../../x'])('a path that leads out of the root: %s', async (name) => {
    await expect(compose(recipe([{ name, text: '' }]))).rejects.toMatchObject({
      code: 'bad-package',
      on: name,
    });
  });

  test('a device node in a package', async () => {
    const made = recipe([{ name: 'dev/x', type: 'block-device' }]);
    await expect(compose(made)).rejects.toThrow('block-device');
  });

  test('a program that is linked against a library that is not there', async () => {
    const made = recipe([{ name: 'usr/bin/node', text: readFileSync(process.execPath) }]);
    await expect(compose(made)).rejects.toMatchObject({
      code: 'missing-library',
      what: expect.stringContaining('libc.so.6 (needed by /usr/bin/node)') as string,
    });
  });

  test('two accounts of one id', async () => {
    const account = { uid: 70, gid: 70, home: '/', shell: '/bin/false' };
    const accounts = [
      { ...account, name: 'a' },
      { ...account, name: 'b' },
    ];
    await expect(compose(recipe([], { accounts }))).rejects.toMatchObject({
      code: 'duplicate-account',
      on: '70',
    });
  });
});
