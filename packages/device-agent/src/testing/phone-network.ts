import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ended, type Outcome, runs, signal } from './device-folder.ts';

const lib = join(import.meta.dirname, '..', 'lib');
const arch = process.arch === 'x64' ? 'amd64' : process.arch;
const gvproxy = join(import.meta.dirname, '..', '..', '..', 'network', 'dist', `gvproxy.${arch}`);
const standIn = join(import.meta.dirname, 'stand-in-vm.ts');

/** Calls one function of the network as the launcher does; `watch N` is N rounds of the keeper. */
const caller = `
set -uf
umask 077
lib=$1 root=$2 nap=0.1
for part in say state process logs device-conf store net net-vsock net-tap net-rules; do . "$lib/$part.sh"; done
VSOCK_DEVICE=$3 VSOCK_PROOF=$4 TAP_LOOK=1 RULES_LOOK=1 NET_RETRY=1 NET_ANSWER=20 NET_LOG_INTERVAL=$4
shift 4
net_conf || die 1 "$net_error"
if [ "$1" = watch ]; then
  left=$2
  while [ "$left" -gt 0 ]; do net_watch; sleep 0.1; left=$((left - 1)); done
elif [ "$1" = watch-alone ]; then
  net_watch
  PATH=/nonexistent
  net_watch && net_watch
else
  "$@" || die 1 "$net_error"
fi`;

/** Where what the network's tests run is found; they need root, network namespaces and these tools. */
const host = { ip: 'ip', iptables: 'iptables-legacy', 'iptables-save': 'iptables-legacy-save' };
const hostPath = '/usr/sbin:/usr/bin:/sbin:/bin';

/** What a namespace needs before it is used. */
const prepared = `mount -t sysfs none /sys && ip link set lo up || exit
[ ! -e /dev/vsock ] || mount --bind /etc/passwd /dev/vsock || exit
exec cat`;

/**
 * A network namespace with its own view of /sys, held by a process that ends with this one. It has no /dev/vsock: the
 * machine's has one space of ports for all tests that run side by side.
 */
export class Namespace {
  readonly #holder: ChildProcess;
  readonly #children: ChildProcess[] = [];

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    const own = readlinkSync('/proc/self/ns/mnt');
    const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', prepared], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: hostPath },
    });
    const namespace = new Namespace(holder);
    const end = Date.now() + 20_000;
    while (!namespace.#ready(own)) {
      if (Date.now() > end || holder.exitCode !== null) {
        throw new Error(
          'no network namespace could be made: these tests run as root, on Linux with util-linux',
        );
      }
      await sleep(20);
    }
    return namespace;
  }

  #ready(own: string): boolean {
    const proc = `/proc/${String(this.pid)}`;
    return readlinkSync(`${proc}/ns/mnt`) !== own && readFileSync(`${proc}/comm`, 'utf8') === 'cat\n';
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** The command line that runs a program in here. */
  enter(argv: string[]): [string, string[]] {
    return ['nsenter', ['--target', String(this.pid), '--net', '--mount', ...argv]];
  }

  run(...argv: string[]): string {
    return execFileSync(...this.enter(argv), { encoding: 'utf8', env: { PATH: hostPath } });
  }

  /** Several commands of one program, in one go: `ip` or `iptables-legacy`. */
  all(program: string, lines: string): void {
    for (const line of lines.trim().split('\n')) this.run(program, ...line.trim().split(' '));
  }

  /** Answers every connection to this port with one word. */
  async serve(address: string, port: number, word: string): Promise<void> {
    this.spawn('toybox', 'nc', '-L', '-s', address, '-p', String(port), 'toybox', 'echo', word);
    const end = Date.now() + 20_000;
    while (!this.listens(port, address)) {
      if (Date.now() > end) throw new Error(`nothing listens on port ${port}`);
      await sleep(20);
    }
  }

  /** True when a program in here listens on this port of this address. */
  listens(port: number, address = '127.0.0.1'): boolean {
    const hex = (number: number, digits: number) => number.toString(16).toUpperCase().padStart(digits, '0');
    const host = address.split('.').reverse();
    const socket = `${host.map((byte) => hex(Number(byte), 2)).join('')}:${hex(port, 4)} 00000000:0000 0A`;
    return readFileSync(`/proc/${this.pid}/net/tcp`, 'utf8').includes(socket);
  }

  spawn(...argv: string[]): ChildProcess {
    const child = spawn(...this.enter(argv), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: hostPath },
    });
    this.#children.push(child);
    return child;
  }

  /** What is said at this address, empty where nobody says anything. */
  ask(address: string, port: number): Promise<string> {
    return new Promise((resolve) => {
      const argv = ['timeout', '2', 'toybox', 'nc', '-w', '1', address, String(port)];
      const asking = execFile(...this.enter(argv), { env: { PATH: hostPath } }, (_, stdout) => {
        resolve(stdout.trim());
      });
      asking.stdin?.end();
    });
  }

  remove(): void {
    for (const child of [...this.#children, this.#holder]) child.kill('SIGKILL');
  }
}

/** A device's folder whose launcher runs in a namespace, under mksh with toybox, ip and iptables alone. */
export class PhoneNetwork {
  readonly root: string;
  readonly phone: Namespace;
  /** Stands for /dev/vsock. */
  vsockDevice = '/nonexistent';
  /** Seconds after which gvproxy has proven itself, and between two looks at whether it answers. */
  proof = 600;

  private constructor(root: string, phone: Namespace) {
    this.root = root;
    this.phone = phone;
  }

  static async create(conf: string): Promise<PhoneNetwork> {
    const root = mkdtempSync(join(tmpdir(), 'sovereign network '));
    const bin = join(root, 'bin');
    for (const folder of [bin, join(root, 'net'), join(root, 'store')])
      mkdirSync(folder, { recursive: true });
    for (const tool of execFileSync('toybox', { encoding: 'utf8' }).trim().split(/\s+/)) {
      symlinkSync('/usr/bin/toybox', join(bin, tool));
    }
    symlinkSync('/usr/bin/mksh', join(bin, 'sh'));
    for (const [name, program] of Object.entries(host)) symlinkSync(`/usr/sbin/${program}`, join(bin, name));
    const network = new PhoneNetwork(root, await Namespace.create());
    network.write('device.conf', `schema 1\nkind adb\n${conf}`);
    return network;
  }

  /** In mode `vsock`, with the real gvproxy, which `nx run network:build` made. */
  static async vsock(): Promise<PhoneNetwork> {
    const network = await PhoneNetwork.create('network vsock\n');
    network.storeGvproxy(network.gvproxy());
    network.configureGvproxy();
    return network;
  }

  gvproxy(): Buffer {
    return readFileSync(gvproxy);
  }

  configureGvproxy(): void {
    this.write(
      'net/gvproxy.yaml',
      `stack:
  mtu: 4000
  subnet: 192.168.127.0/24
  gatewayIP: 192.168.127.1
  gatewayMacAddress: 5a:94:ef:e4:0c:dd
`,
    );
  }

  /** As a deploy writes: the old content or the new one. */
  write(path: string, content: string): void {
    const file = join(this.root, path);
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }

  read(path: string): string | undefined {
    const file = join(this.root, path);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  }

  /** Puts a program into the store and says so in device.conf. */
  storeGvproxy(program: Buffer | string): string {
    const digest = createHash('sha256').update(program).digest('hex');
    this.write(`store/${digest}`, '');
    writeFileSync(join(this.root, 'store', digest), program);
    chmodSync(join(this.root, 'store', digest), 0o600);
    this.write('device.conf', `schema 1\nkind adb\nnetwork vsock\ngvproxy ${digest}\n`);
    return join(this.root, 'store', digest);
  }

  /**
   * Writes slot a of a service whose machine is the launcher's stand-in; `publish` are `PORT GUESTPORT` pairs.
   * Returns the arguments of net_publish.
   */
  service(name: string, index: number, publish: string[]): [string, 'a'] {
    const folder = join(this.root, 'services', name);
    mkdirSync(join(folder, 'a'), { recursive: true });
    const lines = [
      'schema 1',
      `service ${name}`,
      `release ${'ab'.repeat(32)}`,
      'deadline 30',
      'stop 5',
      'restarts 1',
      'log-limit 100000',
      'backoff-max 1',
      `address 192.168.127.${index}`,
      // As a deploy plans it for the mode that it finds.
      ...(readFileSync(join(this.root, 'device.conf'), 'utf8').includes('network tap')
        ? [`tap sov-${name}`]
        : []),
      ...publish.map((ports) => `publish ${ports}`),
    ];
    const argv = [process.execPath, '--disable-warning=ExperimentalWarning', standIn, 'healthy'];
    for (const [file, content] of [
      ['a/launch', lines],
      ['a/argv.1', argv],
      ['current', ['a']],
    ] as const) {
      writeFileSync(join(folder, file), content.map((line) => `${line}\n`).join(''));
    }
    return [folder, 'a'];
  }

  /** Such a service, attached and published. */
  async published(name: string, index: number, publish: string[]): Promise<[string, 'a']> {
    const service = this.service(name, index, publish);
    await this.do('net_attach', ...service);
    await this.do('net_publish', ...service);
    return service;
  }

  /** Runs the launcher itself. */
  launch(...args: string[]): Promise<Outcome> {
    return this.#run([join(import.meta.dirname, '..', 'launch.sh'), ...args]);
  }

  /** A shell on the phone; `args` are its arguments. */
  #shell(args: string[]): string[] {
    const bin = join(this.root, 'bin');
    return ['/usr/bin/env', `PATH=${bin}`, join(bin, 'sh'), ...args];
  }

  #call(args: string[]): string[] {
    return ['-c', caller, 'caller', lib, this.root, this.vsockDevice, String(this.proof), ...args];
  }

  #run(args: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        ...this.phone.enter(this.#shell(args)),
        { env: { PATH: hostPath } },
        (error, stdout, stderr) => {
          resolve({ status: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
        },
      );
    });
  }

  call(...args: string[]): Promise<Outcome> {
    return this.#run(this.#call(args));
  }

  /** Calls and fails with what was said where that failed. */
  async do(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.call(...args);
    if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** A keeper that watches for as long as the action takes. */
  async whileWatched<T>(action: () => Promise<T>): Promise<T> {
    const keeper = this.phone.spawn(...this.#shell(this.#call(['watch', '1000'])));
    let said = '';
    keeper.stdout?.on('data', (text) => (said += String(text)));
    try {
      return await action();
    } catch (error) {
      throw new Error(`the keeper said: ${said}`, { cause: error });
    } finally {
      keeper.kill('SIGKILL');
      await ended([keeper.pid ?? 0]);
    }
  }

  /** `- KEY VALUE` lines of the status. */
  async status(): Promise<Record<string, string>> {
    const lines = (await this.do('net_status')).trim().split('\n');
    return Object.fromEntries(lines.map((line) => /^- (\S+) (.*)$/.exec(line)?.slice(1) ?? [])) as Record<
      string,
      string
    >;
  }

  /** Processes of this network that run: gvproxy and relays. */
  processes(): number[] {
    const namespace = readlinkSync(`/proc/${this.phone.pid}/ns/net`);
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== this.phone.pid && namespaceOf(pid) === namespace && runs(pid));
  }

  async remove(): Promise<void> {
    if (existsSync(join(this.root, 'keeper'))) await this.launch('halt', this.root, '0');
    await this.call('net_down');
    // Also what a keeper had just begun when it was killed.
    for (let left = this.processes(); left.length > 0; left = this.processes()) {
      for (const pid of left) signal(pid, 'SIGKILL');
      await ended(left);
    }
    this.phone.remove();
    await rm(this.root, { recursive: true, force: true });
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}
