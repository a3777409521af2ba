import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AdbServerStandIn, type StandInPhone } from '../testing/adb-server.ts';
import { adbForwards } from './forward.ts';
import { runScript } from './script.ts';
import { attachedPhones } from './servers.ts';
import { AdbShell } from './shell.ts';

/** `su` as each flavour has it; `root` says who `id -u` is for adb's own shell. */
const flavours = {
  adbd: { root: true },
  magisk: { version: '27.0:MAGISKSU', joins: true },
  kernelsu: { version: '1.0.1:KernelSU', joins: true },
  apatch: { version: '10763:APatch', joins: true },
  userdebug: { joins: false },
  none: {},
  refused: { version: '27.0:MAGISKSU', refuses: true },
} satisfies Record<string, { root?: true; version?: string; joins?: boolean; refuses?: true }>;

/** A phone whose commands run under mksh on this machine, with a `su` of that flavour. */
function phone(flavour: keyof typeof flavours, state = 'device'): StandInPhone {
  const bin = mkdtempSync(join(tmpdir(), 'sovereign-su-'));
  onTestFinished(() => rmSync(bin, { recursive: true, force: true }));
  const {
    root,
    version,
    joins,
    refuses,
  }: { root?: true; version?: string; joins?: boolean; refuses?: true } = flavours[flavour];
  const program = (name: string, lines: readonly string[]): void => {
    writeFileSync(join(bin, name), ['#!/usr/bin/mksh', ...lines, ''].join('\n'));
    chmodSync(join(bin, name), 0o755);
  };
  program('id', [`echo ${root === true ? 0 : '${AS_ROOT:-2000}'}`]);
  if (refuses === true) {
    program('su', [
      `[ "$1" != -v ] || { echo "${version ?? ''}"; exit; }`,
      'echo "Permission denied" >&2; exit 13',
    ]);
  } else if (joins === true) {
    // All that is left is joined with blanks and parsed once more.
    program('su', [
      `[ "$1" != -v ] || { echo "${version ?? ''}"; exit; }`,
      '[ "$1" = -c ] || exit 1',
      'shift; AS_ROOT=0 exec mksh -c "$*"',
    ]);
  } else if (joins === false) {
    program('su', ['[ "$1" = 0 ] || { echo "su: invalid uid" >&2; exit 1; }', 'shift; AS_ROOT=0 exec "$@"']);
  }
  return { serial: 'phone', state, shell: ['mksh', '-c'], env: { PATH: `${bin}:/usr/bin:/bin` } };
}

async function connected(...phones: StandInPhone[]) {
  const server = new AdbServerStandIn(phones);
  const port = await server.listen();
  return { server, port, shell: new AdbShell({ port }, 'phone') };
}

const AWKWARD = `it's "a $HOME \`b\` \\ *\n;|&`;

describe('a script', () => {
  test.for(['adbd', 'magisk', 'kernelsu', 'apatch', 'userdebug'] as const)(
    'runs as root through %s, its words as they were, with its own status and standard error',
    async (flavour) => {
      const { shell } = await connected(phone(flavour));
      const script = `printf '%s' "$2"; echo "$SOVEREIGN_ROOT" >&2; exit 9`;
      expect(await runScript(shell, script, ['', AWKWARD])).toEqual({
        status: 9,
        stdout: Buffer.from(AWKWARD),
        stderr: `${flavour}\n`,
      });
    },
  );

  test('runs as root also where something else is said before', async () => {
    const one = phone('magisk');
    const { shell } = await connected({
      ...one,
      shell: ['mksh', '-c', 'echo "su: a warning" >&2; eval "$1"', 'sh'],
    });
    expect(await runScript(shell, 'echo of the script >&2; exit 9', [])).toMatchObject({
      status: 9,
      stderr: 'of the script\n',
    });
  });

  test('passes bytes through, both ways, whatever pieces they come in', async () => {
    const { shell, server } = await connected(phone('magisk'));
    const bytes = randomBytes(200_000);
    expect((await runScript(shell, 'cat', [], { input: bytes })).stdout).toEqual(bytes);
    server.pieces = true;
    const few = randomBytes(300);
    expect((await runScript(shell, 'cat', [], { input: few })).stdout).toEqual(few);
  });

  test('that ends without reading its input says so by its status', async () => {
    const { shell } = await connected(phone('adbd'));
    expect(await runScript(shell, 'exit 5', [], { input: randomBytes(1_000_000) })).toMatchObject({
      status: 5,
    });
  });

  test('that takes too long is given up', async () => {
    const { shell } = await connected(phone('adbd'));
    expect(await runScript(shell, 'sleep 2', [], { timeout: 100 })).toMatchObject({ status: 124 });
  });

  test('that is not even taken, by an adb that hangs, is given up too', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined));
    onTestFinished(() => void silent.close());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const shell = new AdbShell({ port: (silent.address() as AddressInfo).port }, 'phone');
    expect(await runScript(shell, 'true', [], { timeout: 100 })).toMatchObject({ status: 124 });
  });

  test('whose connection ends before it does is lost, with what to do next', async () => {
    const { shell, server } = await connected(phone('magisk'));
    server.drop = true;
    await expect(runScript(shell, 'echo half; sleep 1; exit 0', [])).rejects.toMatchObject({
      code: 'adb-lost',
      exit: 4,
      hint: expect.stringMatching(/run the command again/) as string,
    });
  });

  test('without root is an error that names the cure', async () => {
    const { shell } = await connected(phone('none'));
    await expect(runScript(shell, 'true', [])).rejects.toMatchObject({ code: 'no-root', exit: 4 });
    const { shell: refused } = await connected(phone('refused'));
    await expect(runScript(refused, 'true', [])).rejects.toMatchObject({
      code: 'root-denied',
      exit: 4,
      hint: expect.stringMatching(/Magisk/) as string,
    });
  });
});

test.for([
  ['device unauthorized.\nThis adb server', 'adb-unauthorized', /allow USB debugging/],
  ['device offline', 'adb-offline', /plug it in again/],
  ['device still authorizing', 'adb-authorizing', /allow USB debugging/],
  ['device still connecting', 'adb-connecting', /few seconds/],
  ['no permissions (missing udev rules?)', 'adb-no-permissions', /udev rules/],
  ['recovery', 'adb-recovery', /adb reboot/],
  ['sideload', 'adb-sideload', /Reboot system/],
  ['rescue', 'adb-rescue', /start Android/],
  ['bootloader', 'adb-bootloader', /fastboot reboot/],
] as const)(
  'a phone of which adb says %j has an error of its own, with the cure',
  async ([state, code, cure]) => {
    const { shell } = await connected(phone('adbd', state));
    await expect(runScript(shell, 'true', [])).rejects.toMatchObject({
      code,
      exit: 4,
      hint: expect.stringMatching(cure) as string,
    });
  },
);

test('a phone that is gone, and a server that is, are exit 4', async () => {
  const { port } = await connected(phone('adbd'));
  await expect(runScript(new AdbShell({ port }, 'other'), 'true', [])).rejects.toMatchObject({
    code: 'adb-lost',
    exit: 4,
  });
  await expect(runScript(new AdbShell({ port: 1 }, 'phone'), 'true', [])).rejects.toMatchObject({
    code: 'no-adb-server',
    exit: 4,
  });
});

test('phones of the environment’s server and of announced test phones are listed, each once', async () => {
  const own = new AdbServerStandIn([phone('adbd'), { ...phone('adbd'), serial: 'other', state: 'offline' }]);
  const test = new AdbServerStandIn([phone('adbd'), { ...phone('adbd'), serial: 'test' }]);
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-announced-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const port = await own.listen();
  writeFileSync(join(folder, 'one'), `test ${await test.listen()}\n`);
  writeFileSync(join(folder, 'gone'), 'gone 1\n');
  writeFileSync(join(folder, 'half'), 'half');
  const phones = await attachedPhones({ env: { ANDROID_ADB_SERVER_PORT: String(port) }, announced: folder });
  expect(phones.map(({ serial, state }) => `${serial} ${state}`)).toEqual([
    'phone device',
    'other offline',
    'test device',
  ]);
  expect(phones[0]?.server).toEqual({ port });
});

describe('a forward', () => {
  test('is made once, under the same number where that is free, and taken away alone', async () => {
    const { server, port } = await connected(phone('adbd'));
    const forwards = adbForwards({ port }, 'phone');
    // A port of this machine that somebody listens on: the server's own.
    const [first, again, taken] = await Promise.all([
      forwards.open(23_456),
      forwards.open(23_456),
      forwards.open(port),
    ]);
    expect([first, again]).toEqual([23_456, 23_456]);
    expect(taken).not.toBe(port);
    expect(server.forwards).toHaveLength(2);
    server.forwards.push({ serial: 'another', local: 'tcp:1', remote: 'tcp:23456' });
    await forwards.close([23_456]);
    expect(server.forwards.map(({ serial, remote }) => `${serial} ${remote}`)).toEqual([
      `phone tcp:${port}`,
      'another tcp:23456',
    ]);
  });

  test.for([
    ["device 'phone' not found", 'adb-lost'],
    ['', 'adb-lost'],
    ['device offline', 'adb-offline'],
    ['device unauthorized.\nThis adb server is older', 'adb-unauthorized'],
    ['cannot bind listener: Address already in use', 'adb-refused'],
    ['unknown host service', 'adb-refused'],
  ] as const)('that adb answers with "%s" is the error %s', async ([said, code]) => {
    const { server, port } = await connected(phone('adbd'));
    server.refusal = said;
    await expect(adbForwards({ port }, 'phone').open(23_457)).rejects.toMatchObject({ code, exit: 4 });
  });

  test('that is refused says what adb said', async () => {
    const { server, port } = await connected(phone('adbd'));
    server.refusal = 'unknown host service';
    const what = 'adb refuses that: unknown host service';
    await expect(adbForwards({ port }, 'phone').open(23_457)).rejects.toMatchObject({ what });
  });

  test('without an adb server is the error of every command, and none is started', async () => {
    await expect(adbForwards({ port: 1 }, 'phone').open(23_457)).rejects.toMatchObject({
      code: 'no-adb-server',
      on: '127.0.0.1:1',
    });
  });
});
