// Stand-in for crosvm: takes its arguments as strictly as the release of Android that the phone plays, and runs
// the machine with this workstation's QEMU. `crosvm version` is the same on every Android, as on real ones.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  closeSync,
} from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArgumentError, parseRun, type Disk, type Machine } from './arguments.ts';
import { help, isSince, releases, type Release } from './flags.ts';
import { refusal, toArgs, withInput } from './qemu.ts';

/** Exit statuses of --extended-status (crosvm's src/main.rs). */
const STOP = 0;
const RESET = 32;
const CRASH = 33;
const PANIC = 34;
const BAD_ARGUMENTS = 35;

const conf = new Map(
  readFileSync('/dev/.phone/conf', 'utf8')
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)] as const),
);
const setting = (key: string): string => conf.get(key) ?? '';
const release: Release = releases.find((one) => one === setting('android')) ?? '15';

const say = (level: 'ERROR' | 'INFO', text: string) =>
  process.stderr.write(`[${new Date().toISOString()} ${level} crosvm] ${text}\n`);

/** A program of this workstation, through its own loader; it ends with this process, whatever ends this one. */
const onHost = (program: string, args: readonly string[]): [string, string[]] => [
  '/.phone/bin/setpriv',
  [
    ...['--pdeathsig', 'KILL', '--', setting('host-loader'), '--library-path', setting('host-libraries')],
    ...[program, ...args],
  ],
];

/** crosvm's flock, held by this process and QEMU together. @returns the descriptor */
function lockDisk({ path, readOnly }: Disk): number {
  const fd = openSync(path, readOnly ? 'r' : 'r+');
  const { status } = spawnSync('/system/bin/flock', [readOnly ? '-s' : '-x', '-n', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  if (status !== 0) throw new Error(`failed to lock disk image: ${path}: Try again (os error 11)`);
  return fd;
}

/** A raw arm64 Image; Android 13 loads whatever it is given. */
function checkKernel(path: string): void {
  const header = Buffer.alloc(64);
  const fd = openSync(path, 'r');
  readSync(fd, header, 0, 64, 0);
  closeSync(fd);
  if (isSince(release, '14') && header.toString('latin1', 56, 60) !== 'ARM\x64') {
    throw new Error('failed to load kernel: Invalid magic number (InvalidMagicNumber)');
  }
}

/** Where gvproxy of this phone listens in place of vsock port 1024 (docs/formats.md). */
const GVPROXY = '/data/sovereign/net/connect.sock';

/** Whether this process is the device of a socket: numbers are used again, and soon where there are 32768 of them. */
function serves(pid: string, socket: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(socket);
  } catch {
    return false;
  }
}

async function startVsock(cid: number): Promise<{ socket: string; device: ChildProcess }> {
  const folder = `/dev/.phone/vsock-${cid}`;
  const socket = `${folder}/device`;
  const pidFile = `${folder}/pid`;
  if (existsSync(pidFile) && serves(readFileSync(pidFile, 'utf8'), socket)) {
    throw new Error(
      `failed to set up virtual socket device: failed to set CID for guest: Address already in use`,
    );
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const paths = ['--guest-cid', String(cid), '--socket', socket, '--uds-path', `${folder}/port`];
  symlinkSync(GVPROXY, `${folder}/port_1024`);
  const device = spawn(...onHost(setting('vhost-device-vsock'), paths), {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  writeFileSync(pidFile, String(device.pid));
  for (let turn = 0; !existsSync(socket); turn += 1) {
    if (turn > 3000 || device.exitCode !== null) throw new Error('failed to set up virtual socket device');
    await sleep(20);
  }
  return { socket, device };
}

/** Reads QMP events until the machine ends; gives why it ended, as QEMU says it. */
function watch(monitor: Socket): { reason: () => string | undefined } {
  let reason: string | undefined;
  let rest = '';
  monitor.setEncoding('utf8');
  monitor.on('error', () => undefined);
  monitor.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as { QMP?: object; event?: string; data?: { reason?: string } };
      if (message.QMP !== undefined) monitor.write('{"execute":"qmp_capabilities"}\n');
      if (message.event === 'SHUTDOWN') reason ??= message.data?.reason;
      if (message.event === 'GUEST_PANICKED') reason = 'guest-panic';
    }
  });
  return { reason: () => reason };
}

const statusOf: Record<string, number> = {
  'guest-shutdown': STOP,
  'guest-reset': RESET,
  'guest-panic': PANIC,
  'host-qmp-quit': STOP,
};

/** Runs the machine. @returns the status that --extended-status gives */
async function run(machine: Machine): Promise<number> {
  const why = refusal(machine);
  if (why !== undefined) throw new Error(`this stand-in for crosvm has ${why}`);
  checkKernel(machine.kernel);
  if (machine.cpus > Number(conf.get('max-cpus') ?? Infinity)) {
    // As on some phones: the guest is reset in early boot.
    await sleep(500);
    return RESET;
  }
  const locks = machine.disks.filter(({ lock }) => lock).map(lockDisk);
  const vsock = machine.cid === undefined ? undefined : await startVsock(machine.cid);
  const control = withInput(machine);
  // For reading alone, as crosvm opens it: where the last writer of a FIFO goes, nothing is read from it any more.
  const stdin = control?.input === undefined ? 'ignore' : openSync(control.input, constants.O_RDONLY);
  const append = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
  const stdout = control?.path === undefined ? 'ignore' : openSync(control.path, append, 0o644);
  const args = toArgs(machine, {
    monitor: 3,
    stdout: 4,
    ...(vsock === undefined ? {} : { vsock: vsock.socket }),
  });
  const child = spawn(...onHost(setting('qemu'), args), {
    stdio: [stdin, stdout, 'inherit', 'pipe', 'pipe', ...locks],
  });
  const { reason } = watch(child.stdio[3] as unknown as Socket);
  (child.stdio[4] as unknown as Socket).pipe(process.stdout);

  const stop = { asked: false };
  const kill = () => {
    child.kill('SIGKILL');
    vsock?.device.kill('SIGKILL');
  };
  const server =
    machine.socket === undefined
      ? undefined
      : listen(machine.socket, () => {
          stop.asked = true;
          kill();
        });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(signal, () => {
      kill();
      process.kill(process.pid, signal);
    });
  }
  // With all that it said, the reason among it.
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  vsock?.device.kill('SIGKILL');
  server?.close();
  if (stop.asked) return STOP;
  const known = statusOf[reason() ?? ''];
  if (known === undefined)
    say('ERROR', `the machine ended with ${code ?? 'a signal'} (${reason() ?? 'no reason'})`);
  return known ?? CRASH;
}

/** The control socket knows `stop` alone: on arm64 crosvm refuses power buttons too. */
function listen(path: string, stop: () => void) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (command) => {
      const known = command.toString() === 'stop';
      socket.end(known ? 'ok' : 'Operation not supported on transport endpoint (os error 95)');
      if (known) stop();
    });
  });
  server.on('error', () => {
    say('ERROR', `failed to create control server: Address already in use (os error 98)`);
    process.exit(1);
  });
  server.listen(path);
  return server;
}

function send(command: string, path: string | undefined): void {
  const socket = connect(path ?? '');
  socket.on('error', (error) => {
    say('ERROR', `failed to connect to socket at '${path ?? ''}': ${error.message}`);
    process.exitCode = 1;
  });
  socket.on('connect', () => socket.write(command));
  socket.on('data', (reply) => {
    if (reply.toString() === 'ok') return;
    say('ERROR', reply.toString());
    process.exitCode = 1;
  });
}

async function main(argv: readonly string[]): Promise<number> {
  let extended = false;
  let at = 0;
  for (; argv[at]?.startsWith('-') === true; at += 1) {
    const option = argv[at] ?? '';
    if (option === '--extended-status') extended = true;
    else if (release !== '13' && /^--(log-level|syslog-tag)=/.test(option)) continue;
    else if (release !== '13' && /^--(log-level|syslog-tag)$/.test(option)) at += 1;
    else if (release !== '13' && option === '--no-syslog') continue;
    else if (/^(-h|--help)$/.test(option)) break;
    else return refuse(extended, `arg parsing failed: Unrecognized argument: ${option}`);
  }
  const [command, ...rest] = argv.slice(at);
  if (command === 'version') {
    process.stdout.write('crosvm 0.1.0\n');
    return 0;
  }
  if (command === 'run') {
    if (rest.includes('--help') || rest.includes('-h') || rest[0] === 'help') {
      process.stdout.write(`${help(release)}\n`);
      return 0;
    }
    let machine: Machine;
    try {
      machine = parseRun(release, rest);
    } catch (error) {
      if (error instanceof ArgumentError) return refuse(extended, error.message);
      throw error;
    }
    const status = await run(machine);
    // Without --extended-status a stop, a reset and a panic look the same.
    return extended ? status : status === CRASH ? 1 : 0;
  }
  if (
    command !== undefined &&
    ['stop', 'suspend', 'resume', 'powerbtn', 'sleepbtn', 'gpe'].includes(command)
  ) {
    send(command, rest.at(-1));
    return 0;
  }
  return refuse(extended, `arg parsing failed: Unrecognized argument: ${command ?? ''}`);
}

function refuse(extended: boolean, message: string): number {
  process.stderr.write(`${message}\n`);
  return extended ? BAD_ARGUMENTS : 1;
}

try {
  const status = await main(process.argv.slice(2));
  if (status !== 0) process.exit(status);
} catch (error) {
  say('ERROR', `exiting with error 1: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
